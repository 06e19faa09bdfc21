# A call ends at once when the session is cancelled or ended, in every phase:
# looking up the name, connecting, loading certificates, negotiating TLS, waiting
# for the answer, receiving it, and waiting for the rate limit.
#
# Why not psql: each phase must be entered for certain before the signal comes,
# the other end must stop right there, and the time until the error is the
# point.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Listener;
use PostgreSQL::Test::Utils;
use Test::More;

# How often each phase is cancelled for the figures.
my $repeats = $ENV{ALLPASS_CANCEL_REPEATS} // 100;

# A cancel must take effect within this many seconds; without it every phase
# would last for 30 or more.
my $bound = 2;

my $temp = PostgreSQL::Test::Utils::tempdir;

# A name lookup that hangs: getaddrinfo() of hang.test connects to the test and
# waits until that hangs up.
my $lookups = AllpassTest::Listener->new;
{
	open(my $source, '>', "$temp/lookup.c") or die $!;
	print $source <<'C';
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			fd;
	char		c;

	if (host == NULL || strcmp(host, "hang.test") != 0)
		return ((Lookup) dlsym(RTLD_NEXT, "getaddrinfo")) (host, service, hints, result);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = htons(atoi(getenv("ALLPASS_LOOKUP_PORT")));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		(void) !read(fd, &c, 1);
	close(fd);
	return EAI_AGAIN;
}
C
	close $source;
	system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', "$temp/lookup.so", "$temp/lookup.c", '-ldl');
}

my $node = make_node(
	'cancel',
	environment => { LD_PRELOAD => "$temp/lookup.so", ALLPASS_LOOKUP_PORT => $lookups->port });
my $control = AllpassTest::Session->new($node);

my $friendly = AllpassTest::Listener->new;
my $plain = AllpassTest::Listener->new;
my $blocked = AllpassTest::Listener->new(backlog => 0);
$blocked->block;

make_server($control, 'good', $friendly->url);
make_server($control, 'lookup', 'https://hang.test:1');
make_server($control, 'connect', $blocked->url);
make_server($control, 'tls', $plain->url('https'));
make_server($control, 'certificates', $plain->url('https'));
make_server($control, 'waiting', $plain->url);
make_server($control, 'body', $plain->url);
make_server($control, 'limited', $friendly->url, rate_limit => '0.01');

# Tell whether a process is connecting to a port and gets no answer: a line of
# state 2 in the kernel's table, whose inode is among the process's sockets.
sub is_connecting
{
	my ($pid, $port) = @_;
	my $remote = sprintf('0100007F:%04X', $port);
	my %attempts;

	foreach my $line (grep { /$remote/ } split(/\n/, slurp_file('/proc/net/tcp')))
	{
		my @fields = split(' ', $line);

		$attempts{"socket:[$fields[9]]"} = 1 if $fields[2] eq $remote && $fields[3] eq '02';
	}
	return grep { $attempts{$_} } descriptors($pid);
}

# Tell whether what was written to a connection has been read by its other end.
sub has_read
{
	my ($socket) = @_;
	my ($local, $remote) = map { sprintf('0100007F:%04X', $_) } $socket->peerport, $socket->sockport;

	foreach my $line (grep { /$remote/ } split(/\n/, slurp_file('/proc/net/tcp')))
	{
		my @fields = split(' ', $line);

		return $fields[4] =~ /:0+$/ if $fields[1] eq $local && $fields[2] eq $remote;
	}
	return 0;
}

# Wait until a session waits for a network.
sub wait_until_quiet
{
	my ($session) = @_;

	poll
	{
		($control->value('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $session->pid) // '')
		  eq 'Extension'
	}
	'the session to wait';
	return;
}

# Let all lookups that hang end, and wait for the end of their threads.  Newer
# versions of libcurl look up the addresses of each family in a thread of its
# own, and keep threads for a while.
sub end_lookups
{
	my ($session) = @_;

	poll
	{
		close $lookups->accept while $lookups->is_called(0);
		threads($session->pid) == 1
	}
	'the end of the resolver threads';
	return;
}

# How a session's call gets into each phase, once it is sent; gives what must
# be kept open meanwhile.
my %phases = (
	lookup => sub { return $lookups->accept },
	connect => sub {
		my ($session) = @_;

		return poll { is_connecting($session->pid, $blocked->port) } 'the connection attempt';
	},
	# libcurl loads them once it has sent its greeting: a handshake record
	certificates => sub {
		my $socket = $plain->accept;

		AllpassTest::Listener::read_until($socket, qr/^\x16\x03/);
		return $socket;
	},
	tls => sub {
		my ($session) = @_;
		my $socket = $plain->accept;

		AllpassTest::Listener::read_until($socket, qr/^\x16\x03/);
		wait_until_quiet($session);
		return $socket;
	},
	waiting => sub { return scalar $plain->take },
	body => sub {
		my $socket = $plain->take;

		AllpassTest::Listener::put($socket,
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"status\":true,");
		poll { has_read($socket) } 'the piece of the answer to be read';
		return $socket;
	},
	limited => \&wait_until_quiet);
my @phases = qw(lookup connect certificates tls waiting body limited);

# Make a call that is answered well, if it comes to be made.
sub call_good
{
	my ($session, $server) = @_;

	$session->do("SET allpass.server = $server");
	my ($result, $socket) = $friendly->serve_call($session, "SELECT allpass_status('x')",
		AllpassTest::Listener::answer(envelope(), headers => "Connection: close\r\n"));
	close $socket if $socket;
	return $result;
}

# Let a session use the server of a phase; a rate limit counts from the first
# call.
sub prepare
{
	my ($session, $phase) = @_;

	call_good($session, $phase) if $phase eq 'limited';
	$session->do("SET allpass.server = $phase");
	return;
}

# Start a call and bring it into a phase.
sub enter
{
	my ($session, $phase) = @_;

	$session->send("SELECT allpass_status('x')");
	return $phases{$phase}->($session);
}

# Cancel what a session does.
sub cancel
{
	my ($session) = @_;

	$control->do('SELECT pg_cancel_backend(' . $session->pid . ')');
	return $session->receive;
}

# List the descriptors of a session that are no files of the cluster.
sub handles
{
	my ($session) = @_;

	return grep { !m{^/} } descriptors($session->pid);
}

# pg_cancel_backend(), many times in each phase, and what is left afterwards.
foreach my $phase (@phases)
{
	my $session = AllpassTest::Session->new($node);
	my (@times, %outcomes, @before);

	call_good($session, 'good');
	prepare($session, $phase);
	foreach my $number (0 .. $repeats)
	{
		my $held = enter($session, $phase);
		my $start = now();
		my $error = cancel($session)->{error} || {};

		push @times, now() - $start;
		$outcomes{ ($error->{C} // '') . ' ' . ($error->{M} // '') }++;
		close $held if ref $held;
		close $lookups->accept while $lookups->is_called(0);
		if ($number == 0)
		{
			end_lookups($session);
			@before = handles($session);
		}
	}
	is_deeply(\%outcomes, { '57014 canceling statement due to user request' => $repeats + 1 },
		"$phase: what a cancelled call says");
	cmp_ok(percentile(100, @times), '<', $bound, "$phase: a cancel takes effect at once");
	note_times("cancel latency, $phase", @times);

	works(call_good($session, 'good'), 'APPROVED', "$phase: the session works on");
	end_lookups($session);
	my @after = handles($session);
	cmp_ok(scalar @after, '<=', scalar @before, "$phase: no descriptor is left")
	  || diag("before: @before\nafter: @after");
	$session->close;
}

# The server counts the descriptors that libraries open, and refuses more when
# they seem too many: those of cancelled attempts must be given back.
{
	my $session = AllpassTest::Session->new($node);
	my $attempts = 1 + $control->value("SELECT setting FROM pg_settings WHERE name = 'max_files_per_process'") / 3;

	$session->do('SET allpass.server = connect');
	local $AllpassTest::patience = 5;
	foreach (1 .. $attempts)
	{
		# an attempt that is refused at once is not seen to connect
		my $entered = eval { enter($session, 'connect') };

		cancel($session);
		last unless $entered;
	}
	works(call_good($session, 'good'), 'APPROVED', sprintf('the session works after %d cancelled attempts to connect', $attempts));
	$session->close;
}

# Hanging lookups do not wait for one another, nor does the backend wait for
# them: many threads may hang at once, and all end when the lookups do.
{
	my $session = AllpassTest::Session->new($node);
	my @held;

	$session->do('SET allpass.server = lookup');
	foreach (1 .. 5)
	{
		push @held, enter($session, 'lookup');
		cancel($session);
	}
	cmp_ok(threads($session->pid), '>', 5, 'the threads of hanging lookups are left behind');
	works(call_good($session, 'good'), 'APPROVED', 'the session works while old lookups hang');
	close $_ foreach @held;
	end_lookups($session);
	pass('the threads end with the lookups');

	# the limit of making a connection covers the lookup as well
	make_server($control, 'impatient', 'https://hang.test:1', connect_timeout => '200ms');
	$session->do('SET allpass.server = impatient');
	my $held = enter($session, 'lookup');
	fails_with($session->receive, 'KY001', qr/timed out.*looking up/s, 'a lookup that hangs times out');
	$session->close;
}

# A call that was cancelled before it was sent does not use up the rate limit.
{
	my $session = AllpassTest::Session->new($node);

	make_server($control, 'per_second', $friendly->url, rate_limit => '1');
	call_good($session, 'per_second');
	foreach (1 .. 5)
	{
		enter($session, 'limited');
		cancel($session);
	}
	my $start = now();
	works(call_good($session, 'per_second'), 'APPROVED', 'the next call comes to its turn');
	cmp_ok(now() - $start, '<', 3, 'calls that were never sent take no turn');
	$session->close;
}

# The wait has a name where the version can show one.
{
	my $session = AllpassTest::Session->new($node);

	$session->do('SET allpass.server = waiting');
	my $held = enter($session, 'waiting');
	wait_until_quiet($session);
	is($control->value('SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $session->pid),
		$control->value('SHOW server_version_num') >= 170000 ? 'AllpassRequest' : 'Extension',
		'name of the wait event');
	cancel($session);
	$session->close;
}

# The time limit of a statement.
foreach my $phase (@phases)
{
	my $session = AllpassTest::Session->new($node);

	prepare($session, $phase);
	$session->do("SET statement_timeout = '100ms'");
	my $start = now();
	$session->send("SELECT allpass_status('x')");
	my $held = $phase eq 'limited' ? undef : $phases{ $phase eq 'tls' ? 'certificates' : $phase }->($session);
	fails_with($session->receive, '57014', qr/^M: canceling statement due to statement timeout$/m,
		"$phase: statement_timeout");
	cmp_ok(now() - $start, '<', $bound, "$phase: statement_timeout takes effect at once");
	$session->do('SET statement_timeout = 0');
	works(call_good($session, 'good'), 'APPROVED', "$phase: the session works on after it");
	$session->close;
}

# The end of a session by an administrator.
foreach my $phase (@phases)
{
	my $session = AllpassTest::Session->new($node);

	prepare($session, $phase);
	my $held = enter($session, $phase);
	my $start = now();
	$control->do('SELECT pg_terminate_backend(' . $session->pid . ')');
	my $result = $session->receive;
	fails_with($result, '57P01', qr/^M: terminating connection due to administrator command$/m,
		"$phase: pg_terminate_backend");
	ok($result->{closed}, "$phase: the connection is closed");
	poll { !is_running($session->pid) } 'the end of the backend';
	cmp_ok(now() - $start, '<', $bound, "$phase: the backend ends at once");
	$session->close;
}

# A client that hangs up, where the server looks for that.
foreach my $phase (qw(lookup waiting))
{
	my $session = AllpassTest::Session->new($node);
	my $pid = $session->pid;

	$session->do("SET client_connection_check_interval = '20ms'");
	prepare($session, $phase);
	my $held = enter($session, $phase);
	my $start = now();
	$session->close;
	poll { !is_running($pid) } 'the end of the backend';
	cmp_ok(now() - $start, '<', $bound, "$phase: the backend ends with its client");
}

# A fast shutdown with a call in every phase.
{
	my (%sessions, %held);

	foreach my $phase (@phases)
	{
		$sessions{$phase} = AllpassTest::Session->new($node);
		prepare($sessions{$phase}, $phase);
		$held{$phase} = enter($sessions{$phase}, $phase);
	}
	my $start = now();
	$node->stop('fast');
	my $time = now() - $start;
	foreach my $phase (@phases)
	{
		fails_with($sessions{$phase}->receive, '57P01', qr/administrator command/, "$phase: fast shutdown");
	}
	note(sprintf('fast shutdown: %.0f ms', 1000 * $time));
	cmp_ok($time, '<', 5, 'a fast shutdown waits for none of them');
}

done_testing();
