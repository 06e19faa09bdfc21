# The queue drained from a session, where nothing is preloaded.
#
# Why not psql: it is cancelled, and its backend ended, while calls are under way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = AllpassTest::Sandbox->new('--log-size', 10000);
my $node = make_node('drain');
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url, server_options => { max_concurrency => 10 });
my $session = AllpassTest::Session->new($node);

$sandbox->seed;

# Add deletions of some applicants, and their restorations.
sub add_jobs
{
	my ($first, $last) = @_;

	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT o.operation, 'c-' || i "
		  . "FROM generate_series($first, $last) i, (VALUES (1, 'schedule_deletion'), (2, 'restore')) o (n, operation) ORDER BY i, n");
	return;
}

# Tell how the jobs stand.
sub states
{
	return $queue->value("SELECT string_agg(state || ':' || n, ' ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM allpass_queue GROUP BY state) s");
}

# All of it, and parts of it
{
	add_jobs(1, 30);
	my $later = $queue->add('restore', 'c-31', run_at => "now() + '1 h'");
	is($queue->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'allpass'"), 0, 'no worker where nothing is preloaded');
	is($sandbox->stats('requests'), 0, 'and nothing sent');
	$session->do('CALL allpass_drain(5)');
	is(states(), 'done:5 waiting:56', 'so many jobs');
	$sandbox->faults({ delay_ms => 20 });
	$session->do('CALL allpass_drain()');
	$sandbox->faults;
	is(states(), 'done:60 waiting:1', 'all that are due');
	is($sandbox->stats('peak_concurrency'), 10, 'as many at a time as the server allows');
	foreach my $number (1 .. 30)
	{
		my $order = join(' ', map { $_->{operation} } $sandbox->calls_for("c-$number"));

		$order eq 'schedule_deletion restore' or fail("the order of c-$number: $order");
	}
	my $begun = now();
	$session->do('CALL allpass_drain()');
	cmp_ok(now() - $begun, '<', 1, 'nothing to do is done at once');

	# for a time
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	add_jobs(1, 2);
	$begun = now();
	$session->do("CALL allpass_drain(timeout => '500ms')");
	cmp_ok(now() - $begun, '<', 3, 'for so long');
	is(states(), 'done:62 waiting:3', 'what is under way then waits again');
	is($queue->value("SELECT string_agg(attempts::text, ' ') FROM allpass_queue WHERE state = 'waiting'"), '0 0 0', 'and is not counted');
	$sandbox->faults;
	$session->do('CALL allpass_drain()');
	is(states(), 'done:64 waiting:1', 'until the next time');
	$queue->session->do("SELECT allpass_cancel($later)");

	# failures
	$sandbox->faults({ applicant => 'c-1', status => 503, times => 1 });
	add_jobs(1, 1);
	$session->do('CALL allpass_drain()');
	is($queue->count("state = 'waiting'"), 2, 'it does not wait for what is to be tried later');
	poll { $queue->value("SELECT min(retry_at) < now() FROM allpass_queue WHERE state = 'waiting'") eq 't' } 'the time to try again';
	$session->do('CALL allpass_drain()');
	is($queue->count("state = 'waiting'"), 0, 'but does it then');
}

# Where it can be called, and as whom
{
	$session->do('BEGIN');
	fails_with($session->query('CALL allpass_drain()'), '2D000', qr/transaction block/, 'not in a transaction block');
	$session->do('ROLLBACK');
	fails_with($session->query('DO $$ BEGIN BEGIN CALL allpass_drain(); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$'),
		'2D000', qr/./, 'nor where an error is caught');
	add_jobs(38, 39);
	$session->do('DO $$ BEGIN CALL allpass_drain(); END $$');
	is($queue->count("state = 'waiting'"), 0, 'but in a DO block');
	$session->do('CREATE ROLE regress_drainer LOGIN');
	$session->do('GRANT EXECUTE ON PROCEDURE allpass_drain(bigint, interval) TO regress_drainer');
	my $drainer = AllpassTest::Session->new($node, user => 'regress_drainer');
	add_jobs(40, 41);
	$drainer->do("SET search_path = ''");
	$drainer->do("SET default_transaction_read_only = on; SET default_transaction_isolation = serializable");
	$drainer->do('CALL public.allpass_drain()');
	is($queue->count("state = 'waiting'"), 0, 'a role that may call it drains the jobs of others');
	is($drainer->value('SELECT current_user || current_setting(\'search_path\')'), 'regress_drainer""', 'and is itself afterwards');
	fails_with($drainer->query('SELECT * FROM public.allpass_queue'), '42501', qr/./, 'with no more rights than before');
	$drainer->close;
}

# A trigger of the user's objects to a job.
{
	$queue->session->do(q{CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'no, not this one'; END $$});
	$queue->session->do("CREATE TRIGGER object BEFORE UPDATE ON allpass_queue FOR EACH ROW WHEN (NEW.applicant_id = 'c-45') EXECUTE FUNCTION object()");
	add_jobs(43, 47);
	is($session->query('CALL allpass_drain()')->{error}{M}, undef, 'a job that cannot be claimed does not end the procedure');
	is($queue->value("SELECT string_agg(DISTINCT applicant_id, ' ') FROM allpass_queue WHERE state = 'waiting'"), 'c-45', 'and is the only one left');
	$queue->session->do('DROP FUNCTION object CASCADE');
	$session->do('CALL allpass_drain()');
	is($queue->count("state = 'waiting'"), 0, 'until it can be');
}

# Interrupted while calls are under way
foreach my $how ('cancelled', 'timed out', 'terminated')
{
	$sandbox->faults({ delay_ms => 60000 });
	add_jobs(50, 70);
	$session->do('SET statement_timeout = 700') if $how eq 'timed out';
	$session->send('CALL allpass_drain()');
	poll { $sandbox->stats('in_flight') == 10 } 'calls to be under way';
	my $asked = now();
	$queue->value('SELECT pg_cancel_backend(' . $session->pid . ')') if $how eq 'cancelled';
	$queue->value('SELECT pg_terminate_backend(' . $session->pid . ')') if $how eq 'terminated';
	fails_with($session->receive, $how eq 'terminated' ? '57P01' : '57014', qr/./, "$how with calls under way");
	cmp_ok(now() - $asked, '<', 2, "$how at once");
	poll { $sandbox->stats('in_flight') == 0 } 'the calls to be given up';
	$sandbox->faults;
	if ($how eq 'terminated')
	{
		$session = AllpassTest::Session->new($node);
	}
	else
	{
		is($queue->count("state = 'in_flight'"), 0, "$how: nothing stays in flight");
		$session->do('SET statement_timeout = 0');
	}
	works($session->query('SELECT 1'), 1, "$how: the session goes on");
	$session->do('CALL allpass_drain()');
	is($queue->count("state IN ('waiting', 'in_flight')"), 0, "$how: the next one does the rest");
	is($queue->count('attempts > 1 AND applicant_id <> \'c-1\''), 0, "$how: and what was given up was not counted") if $how ne 'terminated';
}

# Two at a time
{
	$queue->session->do('DELETE FROM allpass_queue');
	$sandbox->reset;
	$sandbox->seed;
	$sandbox->faults({ delay_ms => 5 });
	add_jobs(1, 100);
	my $other = AllpassTest::Session->new($node);
	$_->send('CALL allpass_drain()') foreach $session, $other;
	is($_->receive->{error}, undef, 'one of two that drain at the same time') foreach $session, $other;
	$session->do('CALL allpass_drain()');
	is(states(), 'done:200', 'two together drain all');
	is($sandbox->stats('requests'), 200, 'and send each job once');
	my @disordered = grep { join(' ', map { $_->{operation} } $sandbox->calls_for("c-$_")) ne 'schedule_deletion restore' } 1 .. 5;
	is("@disordered", '', 'in the order of its applicant');
	$other->close;
}

# Triggers that are deferred to the commit run as the owner, and may fail.
{
	my $admin = AllpassTest::Session->new($node);

	$queue->session->do('DELETE FROM allpass_queue');
	$admin->do('CREATE ROLE keeper');
	$admin->do("ALTER TABLE $_ OWNER TO keeper") foreach qw(allpass_queue allpass_queue_pauses);
	$admin->do('CREATE TABLE acted (as_role name)');
	$admin->do('GRANT INSERT ON acted TO keeper');
	$admin->do(q{CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.applicant_id = 'c-1' THEN RAISE EXCEPTION 'not this one'; END IF;
		INSERT INTO public.acted VALUES (current_user); RETURN NULL; END $$});
	$admin->do('CREATE CONSTRAINT TRIGGER act AFTER UPDATE ON allpass_queue DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION act()');
	add_jobs(1, 3);
	$session->do('CALL allpass_drain()');
	is(states(), 'done:4 waiting:2', 'a job to whose claim a deferred trigger objects stays, and the others are done');
	is($admin->value("SELECT string_agg(DISTINCT as_role, ' ') FROM acted"), 'keeper', 'such triggers run as the owner');
	$admin->do('DROP FUNCTION act CASCADE');
	$admin->do("ALTER TABLE $_ OWNER TO CURRENT_USER") foreach qw(allpass_queue allpass_queue_pauses);
	$admin->close;
}

unlike(log_since($node), qr/PANIC|TRAP|terminated by signal|sandbox-key/, 'neither a crash nor a key in the log');

done_testing();
