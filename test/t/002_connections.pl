# Connections: how many there are, when they are kept and when they are given
# up, and that nothing that changes something is ever sent twice.
#
# Why not psql: it counts connections on the other end, closes them there at
# the worst moment, and kills the postmaster.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Listener;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = make_node('connections');
my $sandbox = AllpassTest::Sandbox->new;
my $session = AllpassTest::Session->new($node);
my $control = AllpassTest::Session->new($node);
my $post = "SELECT allpass_schedule_deletion('c-7')";

# Give the body of a good answer, as bytes of HTTP.
sub good
{
	return AllpassTest::Listener::answer(envelope(), @_);
}

# Give the keys that a sandbox saw, one for each run of equal ones.
sub keys_seen
{
	my ($sandbox) = @_;
	my @keys;

	foreach my $request ($sandbox->requests)
	{
		my $key = $request->{headers}{'x-private-app-key'};

		push @keys, $key unless @keys && $keys[-1] eq $key;
	}
	return @keys;
}

$sandbox->seed;
make_server($control, 'allpass', $sandbox->url);

# One connection for a thousand calls that are not made ahead, of one statement
# and of many, of reading and of changing.
{
	$session->do('SET allpass.prefetch = off');
	works($session->query("SELECT count(allpass_status('c-' || i)) FROM generate_series(1, 800) i"),
		800, '800 calls of one statement');
	foreach my $i (1 .. 100)
	{
		$session->do("SELECT allpass_status('c-$i')");
		$session->do("SELECT allpass_token('c-$i')");
	}
	my $stats = $sandbox->stats;
	is($stats->{requests}, 1000, 'the calls that arrived');
	is($stats->{connections}, 1, 'all on one connection');

	# nor does a failure that the API reports cost it
	fails_with($session->query("SELECT allpass_status('nobody')"), 'KY404', qr/404/, 'a call that fails');
	$session->do("SELECT allpass_status('c-1')");
	is($sandbox->stats('connections'), 1, 'the connection is kept after an error of the API');

	# nor the end of a transaction
	$session->do('BEGIN');
	$session->do("SELECT allpass_status('c-1')");
	$session->do('ROLLBACK');
	$session->do("SELECT allpass_status('c-1')");
	is($sandbox->stats('connections'), 1, 'the connection is kept over a rollback');
}

# A change of the keys holds from the next call on, without reconnecting, and
# the connection of the old ones is closed.
{
	$sandbox->control('POST', 'config', { api_key => 'second-key' });
	fails_with($session->query("SELECT allpass_status('c-1')"), 'KY401', qr/401/, 'the old key');
	$control->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'second-key')");
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the new key');
	is($sandbox->stats('connections'), 2, 'a new connection for the new key');
	poll { $sandbox->stats('open_connections') == 1 } 'the old connection to be closed';
	pass('the old connection is closed');

	# what does not change anything costs nothing
	$control->do("COMMENT ON SERVER allpass IS 'changed'");
	$control->do("CREATE SERVER other FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'http://127.0.0.1:1')");
	$control->do("CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (api_key 'x')");
	$control->do("ALTER SERVER other OPTIONS (ADD timeout '1s')");
	$session->do("SELECT allpass_status('c-1')");
	is($sandbox->stats('connections'), 2, 'the connection is kept while another server changes');

	# within a transaction that is rolled back, there and back
	$session->do('BEGIN');
	$session->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'third-key')");
	fails_with($session->query("SELECT allpass_status('c-1')"), 'KY401', qr/401/,
		'a key that is not committed yet holds in its own transaction');
	$session->do('ROLLBACK');
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the old key after the rollback');
}

# A change of the server, while a call is under way: that call ends as it began.
{
	my $elsewhere = AllpassTest::Sandbox->new('--api-key', 'second-key');
	$elsewhere->seed(status => 'REJECTED');
	$sandbox->reset;
	$sandbox->control('POST', 'config', { api_key => 'second-key' });
	$sandbox->seed;
	$sandbox->faults({ delay_ms => 60000, times => 1 });
	$session->send("SELECT allpass_status('c-1')");
	poll { $sandbox->stats('in_flight') } 'the call to arrive';
	$control->do("ALTER SERVER allpass OPTIONS (SET base_url '" . $elsewhere->url . "')");
	$control->do('DROP USER MAPPING FOR PUBLIC SERVER allpass');
	$sandbox->faults;
	works($session->receive, 'APPROVED', 'the call under way ends as it began');
	fails_with($session->query("SELECT allpass_status('c-1')"), 'KY004', qr/no user mapping/, 'without a mapping');
	$control->do("CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'second-key')");
	works($session->query("SELECT allpass_status('c-1')"), 'REJECTED', 'the next call goes to the new address');
	poll { $sandbox->stats('open_connections') == 0 } 'the old connection to be closed';
	pass('the connection to the old address is closed');
	$control->do('DROP SERVER allpass CASCADE');
	fails_with($session->query("SELECT allpass_status('c-1')"), 'KY004', qr/server "allpass" does not exist/,
		'without a server');
	poll { $elsewhere->stats('open_connections') == 0 } 'the last connection to be closed';
	pass('the connection of a server that is dropped is closed');
}

# Each role has its own keys, and a connection of its own.
{
	$sandbox->reset;
	$sandbox->seed;
	make_server($control, 'allpass', $sandbox->url);
	foreach my $role (qw(regress_a regress_b))
	{
		$control->do("CREATE ROLE $role");
		$control->do("GRANT USAGE ON FOREIGN SERVER allpass TO $role");
		$control->do("GRANT EXECUTE ON FUNCTION allpass_status(text, boolean) TO $role");
	}
	$control->do("CREATE USER MAPPING FOR regress_a SERVER allpass OPTIONS (api_key 'key-of-a')");
	foreach my $role (qw(regress_a regress_b regress_a))
	{
		$session->do("SET ROLE $role");
		$session->query("SELECT allpass_status('c-1')");
	}
	is_deeply([ keys_seen($sandbox) ], [qw(key-of-a sandbox-key key-of-a)], 'each role uses its own key');
	is($sandbox->stats('connections'), 2, 'one connection for each key');
	$session->do('RESET ROLE');

	# who is asked is the owner, in a function that runs with its rights
	$control->do("CREATE FUNCTION as_a() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
		AS 'SELECT allpass_status(''c-1'')'");
	$control->do('ALTER FUNCTION as_a() OWNER TO regress_a');
	$session->query('SELECT as_a()');
	is((keys_seen($sandbox))[-1], 'key-of-a', 'a SECURITY DEFINER function uses the key of its owner');
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'and its caller its own again');
	is((keys_seen($sandbox))[-1], 'sandbox-key', 'with its own key');

	$control->do('REVOKE USAGE ON FOREIGN SERVER allpass FROM regress_b');
	$session->do('SET ROLE regress_b');
	fails_with($session->query("SELECT allpass_status('c-1')"), '42501', qr/foreign server allpass/,
		'a right that is taken away is gone at once');
	$session->do('RESET ROLE');
}

# Keys in files are read again when the file changes.
{
	my $folder = PostgreSQL::Test::Utils::tempdir;
	my $file = "$folder/key";
	my $write = sub {
		my ($key) = @_;

		# as tools that hand out keys do it
		open(my $handle, '>', "$file.new") or die $!;
		chmod 0600, "$file.new";
		print $handle "$key\n";
		close $handle;
		rename "$file.new", $file or die $!;
	};

	$write->('first-of-file');
	make_server($control, 'by_file', $sandbox->url);
	$control->do("ALTER USER MAPPING FOR PUBLIC SERVER by_file OPTIONS (DROP api_key, ADD api_key_file '$file')");
	$session->do('SET allpass.server = by_file');
	$session->query("SELECT allpass_status('c-1')");
	is((keys_seen($sandbox))[-1], 'first-of-file', 'the key in a file');
	$write->('sandbox-key');
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the next key in the file');
	unlink $file;
	fails_with($session->query("SELECT allpass_status('c-1')"), 'KY004', qr/api_key_file/, 'the file is gone');
	$write->('sandbox-key');
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the file is there again');

	# A file that comes and goes while calls look at it.
	$session->send(q{DO $$BEGIN
		FOR i IN 1 .. 2000 LOOP
			BEGIN
				PERFORM allpass_status('c-1');
			EXCEPTION WHEN SQLSTATE 'KY004' THEN
				NULL;
			END;
		END LOOP;
	END$$});
	my $moves = 0;
	until ($session->is_ready)
	{
		rename $file, "$file.away" or die $!;
		rename "$file.away", $file or die $!;
		$moves++;
	}
	ok(!$session->receive->{error}, 'a file that comes and goes');
	note("moved $moves times");
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the session works on');
	$session->do('SET allpass.server = allpass');
}

# A server that closes the connection between two calls costs nobody anything.
{
	my $listener = AllpassTest::Listener->new;

	make_server($control, 'raw', $listener->url);
	$session->do('SET allpass.server = raw');
	foreach my $sql ("SELECT allpass_status('x')", $post, $post)
	{
		my ($result, $socket) = $listener->serve_call($session, $sql, good());

		ok(!$result->{error}, 'a new connection, the old one having been closed') || diag(explain($result));
		close $socket if $socket;
	}

	# "Connection: close" is obeyed
	my ($result, $socket) = $listener->serve_call($session, $post, good(headers => "Connection: close\r\n"));
	ok(!$result->{error}, 'an answer that announces the end of the connection') || diag(explain($result));
	($result, my $next) = $listener->serve_call($session, $post, good());
	ok(!$result->{error}, 'the next call makes a new connection') || diag(explain($result));
	close $socket if $socket;
	$socket = $next;

	# A kept connection that ends when the next request is on it: whether the
	# server acted is not known, so what reads is repeated, what changes is not.
	foreach my $end (qw(close reset))
	{
		my $hang_up = sub {
			my ($socket) = @_;

			$end eq 'reset' ? AllpassTest::Listener::reset($socket) : close $socket;
		};

		$session->send("SELECT allpass_status('x')");
		AllpassTest::Listener::read_request($socket);
		$hang_up->($socket);
		my ($again, $request) = $listener->take;
		AllpassTest::Listener::put($again, good());
		is($request->{method}, 'GET', "$end: what reads is repeated");
		works($session->receive, 'APPROVED', "$end: and answered");

		$session->send($post);
		AllpassTest::Listener::read_request($again);
		$hang_up->($again);
		fails_with($session->receive, 'KY001', qr/may or may not have acted/, "$end: what changes something fails");
		# the connection for a second attempt may have been made, but carries nothing
		my $second = '';
		if ($listener->is_called(0))
		{
			my $socket = $listener->accept;

			$socket->blocking(0);
			sysread($socket, $second, 1000);
			close $socket;
		}
		is($second // '', '', "$end: and is not sent again");

		($result, $socket) = $listener->serve_call($session, "SELECT allpass_status('x')", good());
		works($result, 'APPROVED', "$end: the next call works");
	}
	# a first request on a fresh connection
	close $socket;
	foreach my $sql ("SELECT allpass_status('x')", $post)
	{
		$session->send($sql);
		my ($socket, $request) = $listener->take;
		close $socket;
		fails_with($session->receive, 'KY001', qr/./, "$request->{method}: no answer on a new connection");
		ok(!$listener->is_called(0), "$request->{method}: and no second attempt");
	}
	$session->do('SET allpass.server = allpass');
}

# The same with a server that acts: each change arrives once.
{
	my %changes = (
		create_applicant => "SELECT allpass_create_applicant('new-%d', 'kyc')",
		move_to_flow => "SELECT allpass_move_to_flow('c-%d', '2')",
		schedule_deletion => "SELECT allpass_schedule_deletion('c-%d')",
		restore => "SELECT allpass_restore('c-%d')",
		token => "SELECT allpass_token('c-%d')",
		aml_search => "SELECT allpass_aml_search('BTC', 'address-%d')");
	my $number = 0;

	$sandbox->reset;
	$sandbox->seed;
	$session->do("SELECT allpass_status('c-1')");
	foreach my $operation (sort keys %changes)
	{
		$number++;
		$session->do("SELECT allpass_schedule_deletion('c-$number')") if $operation eq 'restore';
		my $before = $sandbox->stats('operations')->{$operation};
		$sandbox->faults({ operation => $operation, drop => 'after' });
		fails_with($session->query(sprintf($changes{$operation}, $number)), 'KY001', qr/./,
			"$operation: the answer is lost");
		is($sandbox->stats('operations')->{$operation} - $before, 1, "$operation: it was done once");
		$sandbox->faults;
		$session->do("SELECT allpass_status('c-1')");
	}
}

# More servers than a session remembers: all work, and the connections of those
# that were left behind are closed.
{
	my $servers = 100;
	my $before = $sandbox->stats('open_connections');
	my $many = AllpassTest::Session->new($node);

	make_server($control, "many_$_", $sandbox->url) foreach 1 .. $servers;
	foreach my $round (1, 2)
	{
		my $good = 0;

		foreach my $number (1 .. $servers)
		{
			$many->do("SET allpass.server = many_$number");
			$good++ unless $many->query("SELECT allpass_status('c-1')")->{error};
		}
		is($good, $servers, "round $round: calls of $servers servers");
	}
	my $left = $sandbox->stats('open_connections') - $before;
	note("$left connections of a session that used $servers servers");
	cmp_ok($left, '<=', $servers / 2, 'connections of servers long not used are closed');
	# the last few servers are those that are remembered
	my $connections = $sandbox->stats('connections');
	foreach my $number ($servers - 9 .. $servers)
	{
		$many->do("SET allpass.server = many_$number; SELECT allpass_status('c-1')");
	}
	is($sandbox->stats('connections'), $connections, 'connections of servers used of late are kept');
	$many->close;
	poll { $sandbox->stats('open_connections') == $before } 'the connections of the session to be closed';
	pass('a session that ends closes its connections');
}

# Calls within calls: a function that is called while the rows of another come.
{
	works($session->query("SELECT count(*) FROM generate_series(1, 50) i, allpass_services('c-' || i),
			LATERAL allpass_document_fields('c-' || i) LIMIT 1"), 50 * $session->value(
			"SELECT count(*) FROM allpass_services('c-1'), allpass_document_fields('c-1')"),
		'calls of one join');
	cmp_ok($sandbox->stats('peak_concurrency'), '<=', 2, 'one after another');
}

# The end of the postmaster ends a backend that waits for an answer.
{
	$sandbox->faults({ delay_ms => 60000 });
	$session->send("SELECT allpass_status('c-1')");
	poll { $sandbox->stats('in_flight') } 'the call to arrive';
	my $start = now();
	$node->kill9;
	poll { !is_running($session->pid) } 'the end of the backend';
	my $time = now() - $start;
	note(sprintf('the backend ended %.0f ms after the postmaster', 1000 * $time));
	cmp_ok($time, '<', 2, 'the backend ends with the postmaster');
	ok($session->receive->{closed}, 'and its connection');
	poll { $sandbox->stats('in_flight') == 0 } 'the end of the call';
	# what is left of the cluster must be gone before the next may start
	poll { !is_running($control->pid) } 'the end of the other backend';
}

done_testing();
