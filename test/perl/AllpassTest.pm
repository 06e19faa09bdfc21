# AllpassTest.pm
#		What the TAP tests share: a server with the extension, waiting for a
#		state, figures, and what /proc says about a backend.
#
# The tests measure and provoke what psql cannot: so sessions speak the
# protocol themselves (AllpassTest::Session), hostile servers are plain sockets
# in the test's own process (AllpassTest::Listener), and the well-behaved API
# is the sandbox (AllpassTest::Sandbox).  Nothing sleeps for a guessed time:
# what has to happen first is polled for.

package AllpassTest;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use AllpassTest::Listener;
use AllpassTest::Queue;
use AllpassTest::Sandbox;
use AllpassTest::Session;

our @EXPORT = qw(
  $test_dir make_node make_worker_node make_server poll soon now median percentile note_times
  descriptors threads resident_kb is_running switches log_since fails_with works envelope
);

# The folder "test" of the tree.
our $test_dir = "$FindBin::RealBin/..";

# The longest that a state is waited for, in seconds.
our $patience = 60;

# Give the time of a steady clock in seconds.
sub now
{
	return clock_gettime(CLOCK_MONOTONIC);
}

# Wait until the code returns something true, and return that; give up, with
# the words in the message, when it takes too long.
sub poll(&$)
{
	my ($code, $what) = @_;
	my $end = now() + $patience;

	while (1)
	{
		my $result = $code->();

		return $result if $result;
		croak "waited in vain for $what" if now() > $end;
		select(undef, undef, undef, 0.002);
	}
}

# Tell whether the code returns something true within so many seconds.
sub soon(&$)
{
	my ($code, $seconds) = @_;

	local $patience = $seconds;
	return eval { poll { $code->() } 'it'; 1 } ? 1 : 0;
}

# Make and start a server with the extension.  The statement log, which the
# test framework switches on, is off: the text of CREATE USER MAPPING has keys.
sub make_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ], %{ $options{init} || {} });
	$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\n");
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	{
		local @ENV{ keys %{ $options{environment} || {} } } = values %{ $options{environment} || {} };

		$node->start;
	}
	$node->safe_psql('postgres', 'CREATE EXTENSION allpass');
	return $node;
}

# Make and start a server that has the module preloaded, and so a worker.
sub make_worker_node
{
	my ($name, %options) = @_;

	$options{conf} = "shared_preload_libraries = 'allpass'\n" . ($options{conf} // '');
	return make_node($name, %options);
}

# Make a foreign server with a mapping for PUBLIC, in a session; the api_key is
# the sandbox's unless given.
sub make_server
{
	my ($session, $name, $url, %options) = @_;
	my %keys = (api_key => 'sandbox-key');

	foreach my $key (qw(api_key crypto_key hmac_key))
	{
		$keys{$key} = delete $options{$key} if exists $options{$key};
	}
	$options{base_url} = $url;
	$session->do("CREATE SERVER $name FOREIGN DATA WRAPPER allpass OPTIONS ("
		  . join(', ', map { "$_ '$options{$_}'" } sort keys %options) . ')');
	$session->do("CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS ("
		  . join(', ', map { "$_ '$keys{$_}'" } sort keys %keys) . ')');
	return;
}

# Test that a result is an error of this SQLSTATE, and that its texts match.
sub fails_with
{
	my ($result, $sqlstate, $pattern, $name) = @_;
	my $error = $result->{error} || {};
	my $text = join("\n", map { "$_: " . ($error->{$_} // '') } qw(C M D H));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(($error->{C} // '') eq $sqlstate && $text =~ $pattern, $name)
	  || diag("expected $sqlstate and $pattern, got:\n$text");
}

# Test that a result is no error, and its first value.
sub works
{
	my ($result, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($result->{error} ? "error: $result->{error}{C} $result->{error}{M} " . ($result->{error}{D} // '')
		  : $result->{rows}[0][0], $expected, $name);
}

# Give a whole good answer of the API around some JSON.
sub envelope
{
	my ($data) = @_;

	$data //= '{"id":"x","status":"APPROVED"}';
	return qq({"status":true,"statusCode":200,"data":$data,"time":"2026-01-01T00:00:00.000Z"});
}

# Give the median of some figures.
sub median
{
	return percentile(50, @_);
}

# Give the figure that so many in a hundred do not exceed.
sub percentile
{
	my ($rank, @figures) = @_;

	@figures = sort { $a <=> $b } @figures;
	return $figures[ int($rank / 100 * $#figures + 0.5) ];
}

# Print what repeated times in seconds come to.
sub note_times
{
	my ($what, @times) = @_;

	note(sprintf('%s: median %.2f ms, p99 %.2f ms, worst %.2f ms of %d', $what,
		1000 * median(@times), 1000 * percentile(99, @times),
		1000 * percentile(100, @times), scalar @times));
	return;
}

# List the open descriptors of a process, as what they lead to.
sub descriptors
{
	my ($pid) = @_;

	return grep { defined } map { readlink $_ } glob "/proc/$pid/fd/*";
}

# Count the threads of a process.
sub threads
{
	my ($pid) = @_;

	return scalar(my @tasks = glob "/proc/$pid/task/*");
}

# Give the memory of a process that is its own and in use, in kB: not what it
# shares, which grows as it touches more of the server's buffers.
sub resident_kb
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : croak "no RssAnon of $pid";
}

# Tell whether a process is there and no zombie.
sub is_running
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return 0;
	my $line = <$file> // '';
	close $file;
	return $line =~ /\) [^ZX]/;
}

# Count how often a process has gone to sleep and woken up: not at all while it
# waits for something that does not happen.
sub switches
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : croak "no switches of $pid";
}

# Give what a server has logged since a place, by default since its start.
sub log_since
{
	my ($node, $place) = @_;

	return slurp_file($node->logfile, $place // 0);
}

1;
