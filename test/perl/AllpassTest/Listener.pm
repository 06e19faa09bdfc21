# AllpassTest/Listener.pm
#		A server that is nothing but a socket, for what no decent server does.
#
# It lives in the test's own process: the test sends a query in one session,
# takes the connection here, reads the request, and answers byte by byte as it
# likes, all in one flow.  serve() makes a process of it where many calls have
# to be answered while the test waits.

package AllpassTest::Listener;

use strict;
use warnings;

use Carp;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

use AllpassTest::Process;

# The longest that something is waited for, in seconds.
our $patience = 60;

# Listen on some port of the loopback address.
sub new
{
	my ($class, %options) = @_;
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Listen => $options{backlog} // 64,
		Proto => 'tcp') or croak "could not listen: $!";

	return bless { socket => $socket }, $class;
}

# Give the port.
sub port
{
	my ($self) = @_;

	return $self->{socket}->sockport;
}

# Give a base URL that leads here.
sub url
{
	my ($self, $scheme, $host) = @_;

	return ($scheme // 'http') . '://' . ($host // '127.0.0.1') . ':' . $self->port;
}

# Tell whether somebody connects within some seconds.
sub is_called
{
	my ($self, $seconds) = @_;

	return IO::Select->new($self->{socket})->can_read($seconds);
}

# Take a connection.
sub accept
{
	my ($self) = @_;

	$self->is_called($patience) or croak 'nobody connects';
	my $socket = $self->{socket}->accept or croak "could not accept: $!";
	$socket->autoflush(1);
	return $socket;
}

# Read from a connection until a pattern matches; nothing if it ends before.
sub read_until
{
	my ($socket, $pattern) = @_;
	my $end = time() + $patience;
	my $text = '';

	while ($text !~ $pattern)
	{
		my $left = $end - time();

		IO::Select->new($socket)->can_read($left > 0 ? $left : 0) or croak 'nothing comes';
		sysread($socket, $text, 65536, length $text) or return;
	}
	return $text;
}

# Read a whole request; nothing if the client hangs up before its end.
sub read_request
{
	my ($socket) = @_;
	my $text = read_until($socket, qr/\r\n\r\n/) // return;
	my ($head, $body) = split(/\r\n\r\n/, $text, 2);

	if ($head =~ /^content-length:\s*(\d+)/mi)
	{
		while (length $body < $1)
		{
			sysread($socket, $body, 65536, length $body) or return;
		}
	}
	return { head => $head, body => $body, method => (split ' ', $head)[0] };
}

# Take a connection and read its request.
sub take
{
	my ($self) = @_;
	my $socket = $self->accept;
	my $request = read_request($socket) // croak 'a connection without a request';

	return wantarray ? ($socket, $request) : $socket;
}

# Have a session run a statement that calls this listener, and answer its call,
# if it comes to make one.  Gives the result, the connection, and the request,
# both undefined if there was none.
sub serve_call
{
	my ($self, $session, $sql, $answer) = @_;
	my $end = time() + $patience;
	my ($socket, $request);

	$session->send($sql);
	while (!$request && time() < $end && !$session->is_ready)
	{
		$self->is_called(0.01) or next;
		$socket = $self->accept;
		# a connection may come to nothing
		$request = read_request($socket);
		put($socket, $answer) if $request;
	}
	return ($session->receive, $request ? $socket : undef, $request);
}

# Write bytes, whether or not anybody reads them; false when the other end has
# hung up.
sub put
{
	my ($socket, $bytes) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $count = syswrite($socket, $bytes);

		return 0 unless $count;
		substr($bytes, 0, $count) = '';
	}
	return 1;
}

# Give a good HTTP answer around a body.
sub answer
{
	my ($body, %options) = @_;
	my $status = $options{status} // '200 OK';
	my $headers = $options{headers} // '';

	return "HTTP/1.1 $status\r\nContent-Type: application/json\r\n${headers}Content-Length: "
	  . length($body) . "\r\n\r\n$body";
}

# Close a connection so that the other end gets a reset.
sub reset
{
	my ($socket) = @_;

	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
	close $socket;
	return;
}

# Answer from now on in a process of its own: the code gets each connection and
# its number, and the connection is closed when it returns.
sub serve
{
	my ($self, $code) = @_;

	AllpassTest::Process::run(sub {
			$SIG{PIPE} = 'IGNORE';
			for (my $number = 0;; $number++)
			{
				my $socket = $self->{socket}->accept or next;

				eval { $code->($socket, $number) };
				close $socket;
			}
		});
	return;
}

# Fill the queue of those waiting to be accepted, so that whoever connects next
# gets no answer at all.
sub block
{
	my ($self) = @_;

	while (1)
	{
		my $socket = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0) or croak "no socket: $!";

		connect($socket, Socket::pack_sockaddr_in($self->port, Socket::inet_aton('127.0.0.1')));
		push @{ $self->{callers} }, $socket;
		last unless IO::Select->new($socket)->can_write(0.2);
	}
	return;
}

1;
