# The worker at its daily work: what wakes it, in which order and how many at a
# time it sends, what it holds on to meanwhile, and what holds it up.
#
# Why not psql: it takes several sessions, the times of calls as the API sees
# them, and looks at the worker from outside while a call is under way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = AllpassTest::Sandbox->new('--log-size', 10000);
my $node = make_worker_node('worker', conf => "max_prepared_transactions = 5\n");
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url);
my $other = AllpassTest::Session->new($node);
my $worker = $queue->await_workers;

$sandbox->seed;

# Begin anew, with an empty queue and applicants c-1 to c-1000.
sub begin
{
	$queue->clear;
	$sandbox->reset;
	$sandbox->seed;
	return;
}

# Give the operations that were asked for an applicant.
sub operations_for
{
	my ($applicant) = @_;

	return join(' ', map { $_->{operation} } $sandbox->calls_for($applicant));
}

# Add a job and give the seconds from the commit to its arrival.
sub arrival
{
	my ($applicant) = @_;
	my $insertion = AllpassTest::Queue::insertion('restore', $applicant);
	my ($call, $sent);

	$sent = time();
	$queue->value($insertion);
	poll { ($call) = $sandbox->calls_for($applicant) } "a call for $applicant";
	return $call->{at} - $sent;
}

# What is seen of it
{
	is($queue->value("SELECT string_agg(backend_type || ': ' || state || ': ' || query, E'\\n' ORDER BY backend_type) "
			  . "FROM pg_stat_activity WHERE backend_type ~ 'allpass'"),
		"allpass launcher: idle: waiting for databases with a queue\nallpass worker: idle: waiting for jobs",
		'launcher and worker in pg_stat_activity');
}

# A commit sends, at once; a rollback does not.
{
	my @times = map { arrival("c-$_") } 1 .. 20;

	note_times('commit to arrival', @times);
	ok(median(@times) < 0.1, 'a commit wakes the worker at once');

	$other->do('BEGIN');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-100'));
	$other->do('SAVEPOINT s');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-101'));
	$other->do('ROLLBACK TO s');
	is($queue->count("applicant_id = 'c-100'"), 0, 'nothing is seen before the commit');
	my $first = $queue->add('restore', 'c-102');
	$queue->await($first, 'done');
	is(operations_for('c-100'), '', 'and nothing sent');
	$other->do('COMMIT');
	$queue->settle;
	is(operations_for('c-100'), 'restore', 'the commit sends it');
	is(operations_for('c-101'), '', 'but not what a savepoint has rolled back');

	$other->do('BEGIN');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-103'));
	$other->do('ROLLBACK');
	$queue->await($queue->add('restore', 'c-104'), 'done');
	is(operations_for('c-103'), '', 'a rollback sends nothing');

	$other->do('BEGIN');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-105'));
	$other->do("PREPARE TRANSACTION 'one'");
	$other->do('BEGIN');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-106'));
	$other->do("PREPARE TRANSACTION 'two'");
	$queue->await($queue->add('restore', 'c-107'), 'done');
	is(operations_for('c-105'), '', 'a prepared transaction sends nothing');
	my $committed = time();
	$queue->session->do("COMMIT PREPARED 'one'");
	$queue->session->do("ROLLBACK PREPARED 'two'");
	poll { $queue->count("applicant_id = 'c-105' AND state = 'done'") } 'the prepared job to be done';
	ok(($sandbox->calls_for('c-105'))[0]{at} - $committed < 1, 'its commit does, at once');
	$queue->settle;
	is(operations_for('c-106'), '', 'and its rollback does not');
}

# What is kept of a job that is done
{
	begin();
	my $id = $queue->add('schedule_deletion', 'c-1');

	$queue->await($id, 'done');
	is(join('|', $queue->job($id, 'attempts', 'http_status', 'sqlstate IS NULL', 'error IS NULL', 'owner IS NULL',
				'lease_until IS NULL', 'retry_at IS NULL', 'accepted_at = finished_at',
				'accepted_at BETWEEN created_at AND now()', "result ? 'scheduledDeletionDate'", 'requested_by = current_user::regrole')),
		'1|201' . '|true' x 9, 'the row of a job that is done');
	like(($sandbox->calls_for('c-1'))[0]{key}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'its idempotency key');
}

# Not before its time, and then in time
{
	begin();
	my $due = $queue->value("SELECT extract(epoch FROM now() + '1.5 s')");
	my $later = $queue->add('restore', 'c-1', run_at => "to_timestamp($due)");
	my $latest = $queue->add('restore', 'c-2', run_at => "now() + '1 h'");

	$queue->await($queue->add('restore', 'c-3'), 'done');
	is($queue->job($later, 'state'), 'waiting', 'a job waits for its time');
	$queue->await($later, 'done');
	my $late = ($sandbox->calls_for('c-1'))[0]{at} - $due;
	cmp_ok($late, '>=', 0, 'it is not sent before');
	cmp_ok($late, '<', 1, 'and soon after');
	is($queue->job($latest, 'state'), 'waiting', 'another one waits on');
	$queue->session->do("UPDATE allpass_queue SET run_at = now() WHERE id = $latest");
	$queue->await($latest, 'done');
	pass('until somebody has it sent earlier');

	# told of together with a job that is due
	begin();
	$queue->session->do('BEGIN');
	$queue->add('restore', 'c-1', run_at => "now() + '3 s'");
	$queue->add('restore', 'c-2', run_at => "now() + '1 s'");
	$queue->add('restore', 'c-3');
	$queue->session->do('COMMIT');
	ok((soon { $queue->count("state = 'done'") == 3 } 10), 'jobs for later beside one for now');
}

# The order of priorities, and of an applicant's jobs
{
	begin();
	$queue->session->do("ALTER SERVER allpass OPTIONS (ADD max_concurrency '1')");
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	$queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'a call that blocks the others';
	$queue->add('restore', 'c-2', priority => -1);
	$queue->add('restore', 'c-3');
	$queue->add('schedule_deletion', 'c-5', priority => -5);
	$queue->add('restore', 'c-5', priority => 100);
	$queue->add('restore', 'c-4', priority => 7);
	$sandbox->faults;
	$queue->settle;
	is(join(' ', map { "$_->{applicant}:$_->{operation}" } $sandbox->calls),
		'c-1:restore c-4:restore c-3:restore c-2:restore c-5:schedule_deletion c-5:restore',
		'higher priorities first, but for an order of an applicant');
	$queue->session->do('ALTER SERVER allpass OPTIONS (DROP max_concurrency)');

	begin();
	$sandbox->faults({ operation => 'schedule_deletion', applicant => 'c-1', status => 503, times => 2 });
	my $deletion = $queue->add('schedule_deletion', 'c-1');
	my $restoring = $queue->add('restore', 'c-1');
	poll { $queue->job($deletion, 'retry_at IS NOT NULL') eq 'true' } 'the deletion to fail';
	$queue->await($queue->add('restore', "c-$_"), 'done') foreach 2 .. 4;
	is($queue->job($restoring, 'state'), 'waiting', 'a job waits for an earlier one of its applicant, others do not');
	$queue->settle;
	is(operations_for('c-1'), 'schedule_deletion schedule_deletion schedule_deletion restore', 'the order is kept over retries');

	# a job that follows another one keeps its own lane when it is tried again
	begin();
	$sandbox->faults({ operation => 'restore', applicant => 'c-1', status => 503, times => 1 });
	$queue->session->do('BEGIN');
	$queue->add('schedule_deletion', 'c-1', priority => 10);
	my $follower = $queue->add('restore', 'c-1');
	$queue->session->do('COMMIT');
	ok((soon { $queue->job($follower, 'state') eq 'done' } 10), 'a follower of another priority is tried again in time');

	# many for one applicant
	begin();
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT CASE WHEN i % 2 = 1 THEN 'schedule_deletion' "
		  . "ELSE 'restore' END, 'c-' || (i % 3) + 1 FROM generate_series(1, 120) i");
	$queue->settle;
	foreach my $applicant (map { "c-$_" } 1 .. 3)
	{
		is(operations_for($applicant),
			$queue->value("SELECT string_agg(operation, ' ' ORDER BY id) FROM allpass_queue WHERE applicant_id = '$applicant'"),
			"40 jobs of $applicant in their order");
	}
}

# A slow answer delays nobody, and the worker holds nothing while it waits.
{
	begin();
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	my $slow = $queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'the slow call';
	my @times = map { arrival("c-$_") } 2 .. 21;
	note_times('commit to arrival beside a slow call', @times);
	ok(percentile(95, @times) < 0.5, 'a slow answer delays nobody');
	$queue->settle("id <> $slow");

	my $activity = "FROM pg_stat_activity WHERE pid = $worker";
	is($queue->value("SELECT state || ': ' || query $activity"), 'active: carrying out 1 job', 'pg_stat_activity tells of it');
	is($queue->value("SELECT count(*) $activity AND xact_start IS NULL AND backend_xmin IS NULL AND backend_xid IS NULL"), 1,
		'no transaction and no snapshot while it waits');
	$other->do('CREATE TABLE rows AS SELECT generate_series(1, 1000) AS i');
	$other->do('DELETE FROM rows');
	my $vacuum = $other->do('VACUUM (VERBOSE) rows');
	like(join("\n", map { $_->{M} } @{ $vacuum->{notices} }), qr/1000 removed, 0 remain, 0 are dead but not yet removable/,
		'VACUUM removes rows meanwhile');
	is($queue->job($slow, 'state'), 'in_flight', 'the call is still under way');
	my $refused = $other->query("SELECT allpass_cancel($slow)");
	fails_with($refused, '55000', qr/in_flight/, 'and cannot be cancelled');
	$sandbox->faults;
	$queue->await($slow, 'done');
}

# Idle, it does nothing at all.
{
	my $watcher = AllpassTest::Session->new($node, dbname => 'template1');
	my $commits = sub { $watcher->value("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'") };
	my $launcher = $watcher->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'allpass launcher'");
	my ($switches, $before);

	# what was done before may yet be counted
	poll {
		my $last = switches($worker);

		select(undef, undef, undef, 0.3);
		switches($worker) == $last
	} 'the worker to rest';
	($switches, $before) = (switches($worker) + switches($launcher), $commits->());
	select(undef, undef, undef, 3);
	cmp_ok(switches($worker) + switches($launcher) - $switches, '<=', 2, 'worker and launcher sleep while there is nothing to do');
	cmp_ok($commits->() - $before, '<=', 1, 'and run no query');
	$watcher->close;
}

# allpass_wait() hears of the end, and looks at nothing meanwhile.
{
	begin();
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	my $id = $queue->add('restore', 'c-1');
	$queue->await($id, 'in_flight');
	$other->send("SELECT state FROM allpass_wait($id)");
	poll { $queue->value('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $other->pid . " AND state = 'active' AND wait_event_type = 'Extension'") }
	'allpass_wait() to wait';
	my $switches = switches($other->pid);
	select(undef, undef, undef, 1);
	cmp_ok(switches($other->pid) - $switches, '<=', 1, 'who waits for a job sleeps');
	my $freed = now();
	$sandbox->faults;
	works($other->receive, 'done', 'until it is done');
	cmp_ok(now() - $freed, '<', 1, 'and hears of that at once');
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	$id = $queue->add('restore', 'c-1');
	works($other->query("SELECT state FROM allpass_wait($id, '200ms')"), 'in_flight', 'or until its time is over');
	$sandbox->faults;
	$queue->settle;
}

# Locks of others
{
	begin();
	# a job that waits
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000, times => 1 });
	$queue->add('schedule_deletion', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'the first job of an applicant';
	my $waiting = $queue->add('restore', 'c-1');
	$other->do("BEGIN; SELECT * FROM allpass_queue WHERE id = $waiting FOR UPDATE");
	$sandbox->faults;
	my @times = map { arrival("c-$_") } 2 .. 11;
	note_times('commit to arrival beside a locked job', @times);
	ok(percentile(90, @times) < 0.5, 'a job that somebody has locked delays no other');
	is($queue->job($waiting, 'state'), 'waiting', 'it waits itself');
	$other->do('COMMIT');
	ok((soon { $queue->job($waiting, 'state') eq 'done' } 10), 'until it is unlocked');

	# a job that waits, and that a trigger relies on instead of adding another one
	begin();
	$queue->session->do("CREATE TABLE customers (id text); INSERT INTO customers VALUES ('c-2')");
	$queue->session->do('CREATE TRIGGER forget AFTER DELETE ON customers FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger(\'id\')');
	$queue->session->do("ALTER SERVER allpass OPTIONS (ADD max_concurrency '1')");
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000, times => 1 });
	$queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'a call that blocks the others';
	my $relied = $queue->add('schedule_deletion', 'c-2');
	$other->do('BEGIN; DELETE FROM customers');
	is($queue->count("applicant_id = 'c-2'"), 1, 'a trigger relies on a job that waits');
	$sandbox->faults;
	ok((soon { $queue->job($relied, 'state') eq 'done' } 10), 'which does not hold the job up');
	$other->do('COMMIT');
	$queue->session->do('DROP TABLE customers; ALTER SERVER allpass OPTIONS (DROP max_concurrency)');

	# a job in flight
	begin();
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000, times => 1 });
	my $locked = $queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'a call';
	$other->do("BEGIN; SELECT * FROM allpass_queue WHERE id = $locked FOR UPDATE");
	$sandbox->faults;
	poll { $sandbox->stats('in_flight') == 0 } 'its answer';
	@times = map { arrival("c-$_") } 2 .. 11;
	note_times('commit to arrival beside a job that is locked in flight', @times);
	ok(percentile(100, @times) < 2, 'nor does one that cannot be settled since it is locked');
	$other->do('COMMIT');
	$queue->await($locked, 'done');
	is($queue->job($locked, "result ? 'id'"), 'true', 'it is settled with its result');
	is(operations_for('c-1'), 'restore', 'and was sent once');

	# the whole table
	begin();
	$sandbox->faults({ applicant => 'c-1', slow => { bytes => 20, delay_ms => 50 }, times => 1 });
	$queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'a call';
	$other->do('BEGIN; LOCK TABLE allpass_queue IN ACCESS EXCLUSIVE MODE');
	poll { $sandbox->stats('in_flight') == 0 } 'the answer to be taken';
	pass('the network goes on while the table is locked');
	$other->do(AllpassTest::Queue::insertion('restore', 'c-2'));
	$other->do('COMMIT');
	$queue->settle;
	is(operations_for($_), 'restore', "and all goes on for $_ when it is not") foreach qw(c-1 c-2);
	is($queue->await_workers, $worker, 'it is still the same worker');
}

# What fails for one job only
{
	begin();
	my $place = -s $node->logfile;
	$other->do('SET session_replication_role = replica');
	$other->do(q{INSERT INTO allpass_queue (operation, applicant_id, arguments, server) VALUES
		('nonsense', 'c-1', NULL, 'allpass'), ('restore', NULL, NULL, 'allpass'), ('restore', '..', NULL, 'allpass'),
		('move_to_flow', 'c-2', '[1, "x"]', 'allpass'), ('move_to_flow', 'c-3', NULL, 'allpass'),
		('token', 'c-3', NULL, 'allpass'), ('create_applicant', NULL, '{"a":{"b":1}}', 'allpass')});
	$other->do('RESET session_replication_role');
	my $good = $queue->add('restore', 'c-9');
	$queue->await($good, 'done');
	$queue->settle;
	is($queue->value("SELECT string_agg(operation || ' ' || state || ' ' || sqlstate, ', ' ORDER BY id) FROM allpass_queue WHERE id < $good"),
		'nonsense failed 42501, restore failed 22023, restore failed 22023, move_to_flow failed 22023, '
		  . 'move_to_flow failed 22023, token failed 22023, create_applicant failed 22023', 'rows of nonsense fail by themselves');
	is($sandbox->stats('requests'), 1, 'and nothing of them is sent');

	$other->do('SET session_replication_role = replica');
	$other->do("INSERT INTO allpass_queue (operation, applicant_id, server) VALUES ('restore', 'c-1', repeat('x', 100))");
	$other->do('RESET session_replication_role');
	$queue->await($queue->add('restore', 'c-10'), 'done');
	pass('a server of an impossible name holds nothing up');
	$queue->session->do('DELETE FROM allpass_queue WHERE length(server) > 63');

	# a trigger of the user's
	$other->do(q{CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'no, not this one'; END $$});
	$other->do("CREATE TRIGGER object BEFORE UPDATE ON allpass_queue FOR EACH ROW WHEN (NEW.applicant_id = 'c-20') EXECUTE FUNCTION object()");
	$place = -s $node->logfile;
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(11, 30) i");
	ok((soon { $queue->count("substr(applicant_id, 3)::int BETWEEN 11 AND 30 AND state = 'done'") == 19 } 15),
		'a job that cannot be claimed because of a trigger of the user holds up no other');
	my @lines = log_since($node, $place) =~ /no, not this one/g;
	cmp_ok(scalar @lines, '<', 20, 'and does not flood the log');
	$other->do('DROP FUNCTION object CASCADE');

	# one that objects to the end of a job only
	$other->do(q{CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'this must not end'; END $$});
	$other->do("CREATE TRIGGER object BEFORE UPDATE ON allpass_queue FOR EACH ROW WHEN (NEW.applicant_id = 'c-45' AND NEW.state = 'done') EXECUTE FUNCTION object()");
	$place = -s $node->logfile;
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(41, 60) i");
	ok((soon { $queue->count("substr(applicant_id, 3)::int BETWEEN 41 AND 60 AND state = 'done'") == 19 } 15),
		'nor does one that cannot be settled');
	@lines = log_since($node, $place) =~ /this must not end/g;
	cmp_ok(scalar @lines, '<', 30, 'and that does not flood the log either');
	$other->do('DROP FUNCTION object CASCADE');
	$queue->clear;
}

# The next job of an applicant cannot be claimed: it alone stays.
{
	begin();
	$other->do(q{CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'not this one'; END $$});
	$other->do("CREATE TRIGGER object BEFORE UPDATE ON allpass_queue FOR EACH ROW WHEN (NEW.operation = 'restore' AND NEW.applicant_id = 'c-1') EXECUTE FUNCTION object()");
	$sandbox->faults({ applicant => 'c-99', delay_ms => 60000 });
	my $hanging = $queue->add('restore', 'c-99');
	my $place = -s $node->logfile;
	my $id;
	$queue->add('schedule_deletion', 'c-1');
	$id = $queue->add('restore', 'c-1');
	$queue->await($queue->add('restore', "c-$_"), 'done') foreach 2 .. 20;
	is($queue->job($id, 'state'), 'waiting', 'a next job that cannot be claimed waits, and others are done');
	my @lines = log_since($node, $place) =~ /cannot be claimed|not this one/g;
	cmp_ok(scalar @lines, '<', 6, 'with few lines in the log');
	# deferred to the commit, too
	$other->do('DROP TRIGGER object ON allpass_queue');
	$other->do('CREATE CONSTRAINT TRIGGER object AFTER UPDATE ON allpass_queue DEFERRABLE INITIALLY DEFERRED '
		  . "FOR EACH ROW WHEN (NEW.applicant_id = 'c-30') EXECUTE FUNCTION object()");
	$queue->add('restore', 'c-30');
	$queue->await($queue->add('restore', "c-$_"), 'done') foreach 31 .. 40;
	is($queue->count("applicant_id = 'c-30' AND state = 'waiting'"), 1, 'nor does one hold others up that fails at the commit');
	$other->do('DROP FUNCTION object CASCADE');
	$sandbox->faults;
}

# What a trigger on the queue adds is carried out at once.
{
	begin();
	$other->do(q{CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO public.allpass_queue (operation, applicant_id) VALUES ('schedule_deletion', NEW.applicant_id); RETURN NULL; END $$});
	$other->do("CREATE TRIGGER follow AFTER UPDATE ON allpass_queue FOR EACH ROW WHEN (NEW.operation = 'restore' AND NEW.state = 'done') EXECUTE FUNCTION follow()");
	$queue->await($queue->add('restore', 'c-1'), 'done');
	ok((soon { $queue->count("operation = 'schedule_deletion' AND state = 'done'") == 1 } 10), 'a job that a trigger on the queue adds is seen');
	$other->do('DROP FUNCTION follow CASCADE');
}

# A function that somebody has added under the name of one of ours
{
	begin();
	$other->do('CREATE FUNCTION allpass_restore(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$');
	$queue->await($queue->add('restore', 'c-1'), 'done');
	pass('a function of the same name is not taken for ours');
	$other->do('DROP FUNCTION allpass_restore(int)');
}

# A lease that ran out, since the table could not be reached, is the worker's own.
{
	begin();
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	my $id = $queue->add('schedule_deletion', 'c-1');
	poll { $sandbox->stats('in_flight') == 1 } 'the call to be under way';
	$queue->add('restore', 'c-1');
	$other->do("UPDATE allpass_queue SET lease_until = now() - '1 h'::interval WHERE id = $id");
	$node->reload;
	ok((soon { $queue->count("id = $id AND lease_until > now()") == 1 } 10), 'it is renewed with the next look');
	is($queue->job($id, 'state'), 'in_flight', 'so its job stays in flight');
	$sandbox->faults;
	$queue->settle;
	is(operations_for('c-1'), 'schedule_deletion restore', 'and is sent once, in order');
}

# It acts as the owner of the table, also when triggers are deferred to the commit.
{
	begin();
	my @tables = qw(allpass_queue allpass_queue_pauses);
	my $owner = $other->value("SELECT relowner::regrole FROM pg_class WHERE relname = '$tables[0]'");
	$other->do('CREATE ROLE clerk');
	$other->do("ALTER TABLE $_ OWNER TO clerk") foreach @tables;
	$other->do('CREATE TABLE acted (event text, as_role name)');
	$other->do('GRANT INSERT ON acted TO clerk');
	$other->do(q{CREATE FUNCTION note_actor() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.acted VALUES (TG_NAME || ' ' || NEW.state, current_user); RETURN NEW; END $$});
	$other->do('CREATE TRIGGER at_once AFTER UPDATE ON allpass_queue FOR EACH ROW EXECUTE FUNCTION note_actor()');
	$other->do('CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON allpass_queue DEFERRABLE INITIALLY DEFERRED '
		  . 'FOR EACH ROW EXECUTE FUNCTION note_actor()');
	$queue->await($queue->add('restore', 'c-1'), 'done');
	is($other->value("SELECT string_agg(event || ' ' || as_role, ', ' ORDER BY event) FROM acted"),
		'at_once done clerk, at_once in_flight clerk, deferred done clerk, deferred in_flight clerk',
		'triggers run with the rights of the owner of the table');
	$other->do('DROP FUNCTION note_actor CASCADE');
	$other->do('DROP TABLE acted');
	$other->do("ALTER TABLE $_ OWNER TO $owner") foreach @tables;
	$other->do('DROP ROLE clerk');
}

# Jobs that are done are purged after a while, those that failed are not.
{
	begin();
	$queue->await($queue->add('restore', 'nobody'), 'failed');
	$other->do('SET session_replication_role = replica');
	$other->do("INSERT INTO allpass_queue (operation, applicant_id, state, finished_at) SELECT 'restore', 'c-1', "
		  . "CASE WHEN i % 2 = 1 THEN 'done' ELSE 'cancelled' END, now() - '1 h'::interval FROM generate_series(1, 2500) i");
	$other->do("INSERT INTO allpass_queue (operation, applicant_id, state, finished_at) VALUES ('restore', 'c-1', 'failed', now() - '1 h'::interval)");
	$other->do('RESET session_replication_role');
	my $recent = $queue->add('restore', 'c-2');
	$queue->await($recent, 'done');
	$queue->session->do("ALTER SYSTEM SET allpass.job_retention = '30min'");
	$node->reload;
	poll { $queue->count("state IN ('done', 'cancelled')") == 1 } 'old jobs to be purged';
	is($queue->value("SELECT string_agg(state, ' ' ORDER BY id) FROM allpass_queue"), 'failed failed done', 'failed and recent ones are kept');
	# one that cannot be removed holds nothing up
	$other->do("CREATE TABLE keeper AS SELECT id FROM allpass_queue WHERE id = $recent");
	$other->do('ALTER TABLE keeper ADD FOREIGN KEY (id) REFERENCES allpass_queue');
	$queue->session->do("ALTER SYSTEM SET allpass.job_retention = '0'");
	$node->reload;
	# a line is written if none was just before
	ok((soon { $node->reload; log_since($node) =~ /violates foreign key constraint "keeper_id_fkey"/ } 20), 'a job that is referred to cannot be purged');
	$queue->await($queue->add('restore', "c-$_"), 'done') foreach 3 .. 6;
	pass('others are carried out all the same');
	$other->do('DROP TABLE keeper');
	$queue->session->do('ALTER SYSTEM RESET allpass.job_retention');
	$node->reload;
}

# Two workers share a queue, and its limits.
{
	begin();
	$queue->session->do("ALTER SERVER allpass OPTIONS (ADD max_concurrency '5')");
	$queue->session->do('ALTER SYSTEM SET allpass.workers = 2');
	$node->reload;
	$queue->await_workers(2);
	# what it knows of the server a worker has to find out first
	$queue->await($queue->add('restore', 'c-1'), 'done');
	$sandbox->faults({ delay_ms => 60000 });
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(2, 21) i");
	ok((soon { $sandbox->stats('in_flight') == 5 } 10), 'two workers use all of max_concurrency');
	is($queue->value("SELECT count(DISTINCT owner) FROM allpass_queue WHERE state = 'in_flight'"), 2, 'both take part');
	$sandbox->faults({ delay_ms => 30 });
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(22, 200) i");
	$queue->settle;
	is($sandbox->stats('peak_concurrency'), 5, 'and never more than that');
	my %times;
	$times{ $_->{applicant} }++ foreach $sandbox->calls;
	is(scalar(grep { $_ == 1 } values %times), 200, 'each job is sent once');

	begin();
	$queue->session->do("ALTER SERVER allpass OPTIONS (SET max_concurrency '20', ADD rate_limit '40')");
	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(1, 80) i");
	$queue->settle;
	my @at = sort { $a <=> $b } map { $_->{at} } $sandbox->calls;
	cmp_ok($at[-1] - $at[0], '>=', 1.9, 'a rate limit holds for two workers together');
	cmp_ok($at[-1] - $at[0], '<', 6, 'and is used');
	$queue->session->do('ALTER SERVER allpass OPTIONS (DROP max_concurrency, DROP rate_limit)');
	$queue->session->do('ALTER SYSTEM RESET allpass.workers');
	$node->reload;
	$queue->await_workers(1);
}

unlike(log_since($node), qr/sandbox-key|PANIC|terminated by signal/, 'nothing secret and no crash in the log');

done_testing();
