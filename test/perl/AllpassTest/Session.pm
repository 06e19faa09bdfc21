# AllpassTest/Session.pm
#		A session that speaks the server's protocol by itself.
#
# psql and its wrappers tell neither when exactly an answer came nor all of its
# fields, and they end with the connection.  Here a query is sent and its
# result fetched as two steps, so that a test can act in between.
#
# A result is { rows => [[...]], error => {C, M, D, H, ...}, notices => [...],
# closed => 1 if the server hung up }, with the fields of an error under the
# letters of the protocol: S severity, C SQLSTATE, M message, D detail, H hint.

package AllpassTest::Session;

use strict;
use warnings;

use Carp;
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

# The longest that a result is waited for, in seconds.
our $patience = 60;

# Connect to a server of the test framework.
sub new
{
	my ($class, $node, %options) = @_;
	my %startup = (
		user => $options{user} // scalar(getpwuid($>)),
		database => $options{dbname} // 'postgres',
		application_name => 'allpass test',
		client_encoding => $options{client_encoding} // 'UTF8');
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $self = bless { buffer => '' }, $class;

	$self->{socket} = IO::Socket::UNIX->new(Peer => $path) or croak "could not connect to $path: $!";
	my $packet = pack('N', 196608) . join('', map { "$_\0$startup{$_}\0" } sort keys %startup) . "\0";
	$self->put(pack('N', 4 + length $packet) . $packet);
	my $result = $self->receive;
	croak "could not connect: $result->{error}{M}" if $result->{error};
	croak 'could not connect: the server hung up' if $result->{closed};
	return $self;
}

# Give the process id of the backend.
sub pid
{
	my ($self) = @_;

	return $self->{pid};
}

# Write bytes to the server.
sub put
{
	my ($self, $bytes) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $count = syswrite($self->{socket}, $bytes);

		return unless defined $count;    # the end of the server shows in receive()
		substr($bytes, 0, $count) = '';
	}
	return;
}

# Read bytes from the server; false at the end of the connection.
sub fill
{
	my ($self, $end) = @_;
	my $left = $end - time();

	$left = 0 if $left < 0;
	IO::Select->new($self->{socket})->can_read($left) or croak 'the server does not answer in time';
	return sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer});
}

# Give the next message, or nothing at the end of the connection.
sub message
{
	my ($self, $end) = @_;

	while (1)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack('a N', $self->{buffer});

			if (length $self->{buffer} > $length)
			{
				my $body = substr($self->{buffer}, 5, $length - 4);

				substr($self->{buffer}, 0, 1 + $length) = '';
				return ($type, $body);
			}
		}
		$self->fill($end) or return;
	}
}

# Send a query without waiting for its result.
sub send
{
	my ($self, $sql) = @_;
	my $body = "$sql\0";

	utf8::encode($body) if utf8::is_utf8($body);
	$self->put('Q' . pack('N', 4 + length $body) . $body);
	return;
}

# Wait for the result of what was sent.
sub receive
{
	my ($self, $seconds) = @_;
	my $end = time() + ($seconds // $patience);
	my %result = (rows => [], notices => []);

	while (my ($type, $body) = $self->message($end))
	{
		if ($type eq 'D')
		{
			my ($count, $rest) = unpack('n a*', $body);
			my @row;

			foreach (1 .. $count)
			{
				my $length = unpack('N', $rest);

				substr($rest, 0, 4) = '';
				push @row, $length == 0xffffffff ? undef : substr($rest, 0, $length, '');
			}
			push @{ $result{rows} }, \@row;
		}
		elsif ($type eq 'E' || $type eq 'N')
		{
			my %fields = map { (substr($_, 0, 1) => substr($_, 1)) } grep { length } split(/\0/, $body);

			$result{error} ||= \%fields if $type eq 'E';
			push @{ $result{notices} }, \%fields if $type eq 'N';
		}
		elsif ($type eq 'K')
		{
			$self->{pid} = unpack('N', $body);
		}
		return \%result if $type eq 'Z';
	}
	$result{closed} = 1;
	return \%result;
}

# Tell whether the server has said something that was not received yet.
sub is_ready
{
	my ($self) = @_;

	return length $self->{buffer} || IO::Select->new($self->{socket})->can_read(0);
}

# Run a query and give its result.
sub query
{
	my ($self, $sql) = @_;

	$self->send($sql);
	return $self->receive;
}

# Send a statement with parameters, which its text does not show, without
# waiting for its result.
sub start_execute
{
	my ($self, $sql, @values) = @_;
	my $parse = "\0$sql\0" . pack('n', 0);
	my $bind = "\0\0" . pack('n n', 0, scalar @values)
	  . join('', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @values)
	  . pack('n', 0);
	my $execute = "\0" . pack('N', 0);

	$self->put(join('', map { $_->[0] . pack('N', 4 + length $_->[1]) . $_->[1] }
		  [ 'P', $parse ], [ 'B', $bind ], [ 'E', $execute ], [ 'S', '' ]));
	return;
}

# Run a statement with parameters and give its result.
sub execute
{
	my ($self, $sql, @values) = @_;

	$self->start_execute($sql, @values);
	return $self->receive;
}

# Run a statement that must succeed.
sub do
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);

	croak "\"$sql\" failed: $result->{error}{C} $result->{error}{M}" if $result->{error};
	croak "\"$sql\" lost the connection" if $result->{closed};
	return $result;
}

# Give the first value of a query that must succeed.
sub value
{
	my ($self, $sql) = @_;

	return $self->do($sql)->{rows}[0][0];
}

# End the session without a word, as a client that crashes does.
sub close
{
	my ($self) = @_;

	CORE::close($self->{socket});
	return;
}

1;
