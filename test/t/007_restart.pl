# The module and the extension over their lives: preloaded or not, dropped and
# made again, moved, dumped and restored, reloaded, and called from the places
# where a backend is about to do something else.
#
# Why not psql: it needs servers that start anew with other settings, dumps, and
# signals while a call is under way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = make_node('restart', conf => "max_prepared_transactions = 5\n");
my $sandbox = AllpassTest::Sandbox->new;
my $session = AllpassTest::Session->new($node);
my $ask = "SELECT allpass_status('c-1')";

$sandbox->seed;
make_server($session, 'allpass', $sandbox->url);
works($session->query($ask), 'APPROVED', 'a call');

# Count the calls that some code makes.
sub calls_of
{
	my ($code) = @_;
	my $before = $sandbox->stats('requests');

	$code->();
	return $sandbox->stats('requests') - $before;
}

# The extension is dropped and made again, and moved to another schema, in a
# session that has used it.
{
	fails_with($session->query('DROP EXTENSION allpass'), '2BP01', qr/server allpass/, 'a server depends on the extension');
	$session->do('DROP EXTENSION allpass CASCADE');
	fails_with($session->query($ask), '42883', qr/./, 'the functions are gone');
	is($session->value('SELECT count(*) FROM pg_foreign_server'), 0, 'the servers are gone');

	$session->do('BEGIN');
	$session->do('CREATE EXTENSION allpass');
	make_server($session, 'allpass', $sandbox->url);
	works($session->query($ask), 'APPROVED', 'a call where nothing is committed yet');
	$session->do('ROLLBACK');
	fails_with($session->query($ask), '42883', qr/./, 'nothing is left of it');

	$session->do('CREATE SCHEMA apart');
	$session->do('CREATE EXTENSION allpass SCHEMA apart');
	make_server($session, 'allpass', $sandbox->url);
	works($session->query("SELECT apart.allpass_status('c-1')"), 'APPROVED', 'a call in another schema');
	works($session->query("SELECT count(*) > 0 FROM apart.allpass_services('c-1')"), 't', 'rows in another schema');
	$session->do('ALTER EXTENSION allpass SET SCHEMA public');
	works($session->query($ask), 'APPROVED', 'a call after the extension has moved');
	works($session->query("SELECT count(*) > 0 FROM allpass_services('c-1')"), 't', 'rows after it has moved');
}

# Errors that are caught, and what happens next in the same transaction.
{
	works($session->query(q{DO $$
		DECLARE
			caught text := '';
			id text;
		BEGIN
			FOREACH id IN ARRAY ARRAY['c-1', 'nobody', 'c-2', '..'] LOOP
				BEGIN
					caught := caught || allpass_status(id) || ' ';
				EXCEPTION
					WHEN SQLSTATE 'KY404' THEN caught := caught || 'missing ';
					WHEN invalid_parameter_value THEN caught := caught || 'wrong ';
				END;
			END LOOP;
			PERFORM set_config('allpass_test.caught', caught, false);
		END $$; SELECT current_setting('allpass_test.caught')}),
		'APPROVED missing APPROVED wrong ', 'errors are caught by their SQLSTATE');

	# even a cancelled call
	$sandbox->faults({ operation => 'applicant', delay_ms => 60000, times => 1 });
	$session->do("SET statement_timeout = '300ms'");
	$session->do(q{CREATE FUNCTION go_on() RETURNS text LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM allpass_applicant('c-1');
			RETURN 'not cancelled';
		EXCEPTION WHEN query_canceled THEN
			RETURN allpass_status('c-1');
		END $$});
	works($session->query('SELECT go_on()'), 'APPROVED', 'a call after one that was cancelled, in one statement');
	$session->do('SET statement_timeout = 0');
	$sandbox->faults;

	$session->do('BEGIN');
	$session->do('SAVEPOINT s');
	fails_with($session->query("SELECT allpass_status('nobody')"), 'KY404', qr/./, 'an error in a savepoint');
	$session->do('ROLLBACK TO s');
	works($session->query($ask), 'APPROVED', 'a call after it');
	$session->do("PREPARE TRANSACTION 'p'");
	$session->do("COMMIT PREPARED 'p'");
	works($session->query($ask), 'APPROVED', 'a call after a prepared transaction');

	$session->do(q{CREATE PROCEDURE step_by_step() LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1 .. 3 LOOP
				PERFORM allpass_status('c-' || i);
				COMMIT;
			END LOOP;
		END $$});
	is(calls_of(sub { $session->do('CALL step_by_step()') }), 3, 'calls of a procedure that commits between them');
}

# A cursor whose calls are not made ahead calls as far as it is read.
{
	$session->do('BEGIN');
	$session->do('SET LOCAL allpass.prefetch = off');
	is(calls_of(sub { $session->do("DECLARE c CURSOR FOR SELECT allpass_status('c-' || i) FROM generate_series(1, 100) i") }),
		0, 'a cursor that is not read yet');
	is(calls_of(sub { $session->do('FETCH 3 FROM c') }), 3, 'three rows of it');
	is(calls_of(sub { $session->do('FETCH 2 FROM c') }), 2, 'two more');
	is(calls_of(sub { $session->do('CLOSE c') }), 0, 'and no more at its end');
	$session->do('COMMIT');
	is(calls_of(sub { $session->do("SELECT allpass_status('c-' || i) FROM generate_series(1, 100) i LIMIT 4") }), 4, 'a LIMIT');
	is(calls_of(sub { $session->do("EXPLAIN (COSTS OFF) SELECT allpass_status('c-1'), * FROM allpass_services('c-1')") }), 0,
		'EXPLAIN makes no call');
	$session->do("PREPARE p(text) AS SELECT allpass_status(\$1)");
	is(calls_of(sub { $session->do("EXECUTE p('c-1')") foreach 1 .. 10 }), 10, 'a prepared statement, with a plan for all values in the end');
}

# Parallel plans: what is pure runs in workers, what calls runs in the leader.
{
	my $parallel = $session->value('SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';

	$session->do('CREATE TABLE stored AS SELECT i, ' . "'c-' || i AS id, a AS document "
		  . "FROM generate_series(1, 500) i, allpass_applicant('c-1') a");
	$session->do('ANALYZE stored');
	my $expected = $session->value('SELECT count(value) FROM stored, allpass_document_fields(document)');
	$session->do("SET $parallel = on");
	$session->do("SET $_ = 0") foreach qw(parallel_setup_cost parallel_tuple_cost min_parallel_table_scan_size);
	$session->do('ALTER TABLE stored SET (parallel_workers = 2)');
	my $plan = sub {
		my ($sql) = @_;

		return join("\n", map { $_->[0] } @{ $session->do("EXPLAIN (VERBOSE, COSTS OFF) $sql")->{rows} });
	};
	my $pure = 'SELECT count(value) FROM stored, allpass_document_fields(document)';
	like($plan->($pure), qr/Gather.*Function Scan.*allpass_document_fields/s, 'rows of stored documents are for workers');
	is($session->value($pure), $expected, 'and the same there');
	my $calling = 'SELECT count(allpass_status(id)) FROM stored WHERE i <= 50';
	unlike($plan->($calling), qr/Gather.*allpass_status/s, 'calls are not for workers');
	is(calls_of(sub { is($session->value($calling), 50, 'and work beside them') }), 50, 'each is made once');
	# within a plan of workers
	is(calls_of(sub { $session->do("SELECT allpass_status(id) FROM stored WHERE md5(document::text) <> 'x' AND i <= 20") }), 20,
		'above a parallel scan as well');
	my $writing = "SELECT allpass_token(id) FROM stored WHERE i <= 5";
	unlike($plan->($writing), qr/Gather/, 'with calls that change something there are no workers at all');
	$session->do('RESET ALL');
}

# A change of the configuration takes effect in a session that runs, and does
# not disturb a call.
{
	make_server($session, 'second', $sandbox->url);
	$session->do(q{ALTER SYSTEM SET allpass.server = 'second'});
	$sandbox->faults({ delay_ms => 60000, times => 1 });
	$session->send("$ask || ' by ' || current_setting('allpass.server')");
	poll { $sandbox->stats('in_flight') } 'the call to arrive';
	$node->reload;
	my $other = AllpassTest::Session->new($node);
	poll { $other->value('SHOW allpass.server') eq 'second' } 'the new configuration';
	kill 'HUP', $session->pid;
	kill 'USR1', $session->pid;
	$sandbox->faults;
	like($session->receive->{rows}[0][0], qr/^APPROVED/, 'a reload during a call');
	works($session->query('SHOW allpass.server'), 'second', 'holds for the next one');
	$session->do('DROP SERVER second CASCADE');
	fails_with($session->query($ask), 'KY004', qr/second/, 'in which that server is used');
	$session->do('ALTER SYSTEM RESET allpass.server');
	$node->reload;
	poll { $session->value('SHOW allpass.server') eq 'allpass' } 'the old configuration';
	works($session->query($ask), 'APPROVED', 'and the old one again');
	$other->close;
}

# Dump and restore: servers, mappings and rights come along.
{
	$session->do('CREATE ROLE regress_reader');
	$session->do('GRANT USAGE ON FOREIGN SERVER allpass TO regress_reader');
	$session->do('GRANT EXECUTE ON FUNCTION allpass_status(text, boolean) TO regress_reader');
	$session->do("ALTER SERVER allpass OPTIONS (ADD timeout '20s', ADD rate_limit '1000')");
	my $temp = PostgreSQL::Test::Utils::tempdir;
	$node->command_ok([ 'pg_dump', '-f', "$temp/dump.sql", '-d', 'postgres' ], 'pg_dump');
	my $dump = slurp_file("$temp/dump.sql");
	like($dump, qr/CREATE EXTENSION.*allpass/, 'the extension is dumped as such');
	unlike($dump, qr/CREATE FUNCTION public\.allpass_/, 'and not its functions');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$temp/dump.sql", '-d', 'restored' ], 'restore');
	my $restored = AllpassTest::Session->new($node, dbname => 'restored');
	works($restored->query($ask), 'APPROVED', 'a call in the restored database');
	works($restored->query("SELECT string_agg(o, ' ' ORDER BY o) FROM pg_foreign_server, unnest(srvoptions) o WHERE o !~ 'base_url'"),
		'rate_limit=1000 timeout=20s', 'the options of the server');
	$restored->do('SET ROLE regress_reader');
	works($restored->query($ask), 'APPROVED', 'the rights of a role');
	fails_with($restored->query("SELECT allpass_applicant('c-1')"), '42501', qr/allpass_applicant/, 'and no others');
	$restored->close;
}

# With the module in the postmaster
{
	$session->close;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'allpass'\nallpass.max_calls_per_statement = 3\n");
	$node->restart;
	my $preloaded = AllpassTest::Session->new($node);
	works($preloaded->query('SHOW allpass.max_calls_per_statement'), '3', 'preloaded: the settings are known from the start');
	works($preloaded->query($ask), 'APPROVED', 'preloaded: a call');
	$preloaded->do('SET allpass.prefetch = off');
	fails_with($preloaded->query("SELECT allpass_status('c-' || i) FROM generate_series(1, 4) i"), '54000',
		qr/limit of 3/, 'preloaded: a setting of the configuration');
	fails_with($preloaded->query("SET allpass.nonsense = 1"), '42602', qr/allpass/, 'preloaded: there are no others');
	# each backend has connections of its own
	my $second = AllpassTest::Session->new($node);
	is(calls_of(sub { $_->do($ask) foreach $preloaded, $second }), 2, 'preloaded: calls of two sessions');
	is($sandbox->stats('open_connections'), 2, 'preloaded: a connection for each');
	my ($postmaster) = split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'));
	is(threads($postmaster), 1, 'preloaded: no thread in the postmaster');
	$node->stop('fast');
	poll { $sandbox->stats('open_connections') == 0 } 'the connections to be closed';

	# in new sessions only, and what is loaded by hand
	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
	$node->append_conf('postgresql.conf', "session_preload_libraries = 'allpass'\n");
	$node->start;
	my $session = AllpassTest::Session->new($node);
	works($session->query('SHOW allpass.max_calls_per_statement'), '3', 'loaded by the session: the settings are known');
	$session->do("LOAD 'allpass'");
	works($session->query($ask), 'APPROVED', 'loaded by the session: a call');
	$session->close;
}

done_testing();
