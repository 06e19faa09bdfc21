# Workers over the lives of databases, extensions and servers: made, dropped,
# renamed, copied, upgraded, moved, ended, promoted, and short of room.
#
# Why not psql: it takes several databases and servers, a call under way while
# something is dropped, and signals.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = AllpassTest::Sandbox->new('--log-size', 10000);
my $node = make_worker_node('lifecycle', init => { allows_streaming => 1 });
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url);
my $session = $queue->session;

$sandbox->seed;
$queue->await_workers;

# Have a call under way for c-1; it is not answered until faults() says so.
sub hang
{
	my ($queue) = @_;
	my $before = $sandbox->stats('in_flight');

	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	my $id = $queue->add('restore', 'c-1');
	poll { $sandbox->stats('in_flight') == $before + 1 } 'a call to be under way';
	return $id;
}

# Test that a statement is through within two seconds.
sub fast
{
	my ($session, $sql, $name) = @_;
	my $begun = now();
	my $result = $session->query($sql);
	my $taken = now() - $begun;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($result->{error} ? "$result->{error}{C} $result->{error}{M}" : undef, undef, $name);
	cmp_ok($taken, '<', 2, "$name: within 2 s");
	note(sprintf('%s: %.0f ms', $name, 1000 * $taken));
	return;
}

# Count the workers of a database.
sub workers_of
{
	my ($database) = @_;

	return $session->value("SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'allpass worker'");
}

# Give the lines of the log since a place that tell of trouble.
sub troubles
{
	my ($place) = @_;

	return grep { /(ERROR|FATAL|PANIC|WARNING):/ && !/allpass test / } split(/\n/, log_since($node, $place));
}

# Other databases: from nothing, and from templates that have the extension
{
	$session->do('CREATE DATABASE second');
	my $second = AllpassTest::Session->new($node, dbname => 'second');
	$second->do('CREATE EXTENSION allpass');
	my $queue2 = AllpassTest::Queue->new($node, dbname => 'second', server_url => $sandbox->url);
	$queue2->await_workers;
	$queue2->await($queue2->add('restore', 'c-2'), 'done');
	pass('a database that gets the extension gets a worker');

	$second->close;
	$queue2->close;
	poll { $session->value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'second' AND backend_type = 'client backend'") == 0 } 'the sessions to be gone';
	fast($session, 'CREATE DATABASE third TEMPLATE second', 'a copy of a database with a worker');
	ok((soon { workers_of('second') == 1 && workers_of('third') == 1 } 10), 'both have a worker');
	my $queue3 = AllpassTest::Queue->new($node, dbname => 'third');
	$queue3->await($queue3->add('restore', 'c-3'), 'done');
	pass('the copy has a worker of its own');
	is($queue3->value("SELECT count(*) FROM allpass_queue WHERE applicant_id = 'c-2' AND state = 'done'"), 1, 'and what was done before is done there, too');
	$queue3->close;

	my $template = AllpassTest::Session->new($node, dbname => 'template1');
	$template->do('CREATE EXTENSION allpass');
	$template->close;
	poll { $session->value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1' AND backend_type = 'client backend'") == 0 } 'the session to be gone';
	fast($session, 'CREATE DATABASE fourth', 'a database from a template with the extension');
	ok((soon { workers_of('fourth') == 1 } 10), 'it has a worker');
	is(workers_of('template1'), 0, 'the template has none');
	my $queue4 = AllpassTest::Queue->new($node, dbname => 'fourth', server_url => $sandbox->url);
	$queue4->await($queue4->add('restore', 'c-4'), 'done');
	pass('which works');

	# renamed and dropped, with a call under way
	my $id = hang($queue4);
	$queue4->close;
	poll { $session->value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'fourth' AND backend_type = 'client backend'") == 0 } 'the session to be gone';
	fast($session, 'ALTER DATABASE fourth RENAME TO fifth', 'renaming a database with a call under way');
	$sandbox->faults;
	poll { workers_of('fifth') == 1 } 'a worker in the renamed database';
	$queue4 = AllpassTest::Queue->new($node, dbname => 'fifth');
	$queue4->await($id, 'done');
	is($queue4->job($id, 'attempts'), 1, 'the job is sent again there, and the first attempt not counted');
	hang($queue4);
	$queue4->close;
	poll { $session->value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'fifth' AND backend_type = 'client backend'") == 0 } 'the session to be gone';
	my $place = -s $node->logfile;
	fast($session, 'DROP DATABASE fifth', 'dropping a database with a call under way');
	poll { $sandbox->stats('in_flight') == 0 } 'the call to be given up';
	$sandbox->faults;
	fast($session, 'DROP DATABASE third', 'dropping a database with an idle worker');
	# a refused one has its worker back
	my $guest = AllpassTest::Session->new($node, dbname => 'second');
	fails_with($session->query('DROP DATABASE second'), '55006', qr/being accessed/, 'a database with sessions is not dropped');
	poll { workers_of('second') == 1 } 'its worker to come back';
	pass('and has its worker back');
	$guest->close;
	is_deeply([ troubles($place) ], [], 'nothing of it in the log');
}

# The extension is dropped and made again.
{
	my $place = -s $node->logfile;

	hang($queue);
	fast($session, 'DROP EXTENSION allpass CASCADE', 'dropping the extension with a call under way');
	poll { $sandbox->stats('in_flight') == 0 } 'the call to be given up';
	poll { workers_of('postgres') == 0 } 'the worker to end';
	$sandbox->faults;
	pass('the worker ends');
	$session->do('BEGIN');
	$session->do('CREATE EXTENSION allpass');
	$session->do('ROLLBACK');
	$session->do('CREATE EXTENSION allpass');
	make_server($session, 'allpass', $sandbox->url);
	$queue->await_workers;
	$queue->await($queue->add('restore', 'c-5'), 'done');
	pass('and comes back with it');

	# dropped by a transaction that takes its time and changes its mind
	my $id = hang($queue);
	$session->do('BEGIN; DROP EXTENSION allpass CASCADE');
	$sandbox->faults;
	poll { $sandbox->stats('in_flight') == 0 } 'the answer';
	$session->do('ROLLBACK');
	$queue->await($id, 'done');
	is($queue->job($id, 'attempts'), 1, 'a job goes on where the drop is rolled back');
	is_deeply([ troubles($place) ], [], 'nothing of it in the log');

	# moved
	$session->do('CREATE SCHEMA apart');
	$id = hang($queue);
	fast($session, 'ALTER EXTENSION allpass SET SCHEMA apart', 'moving the extension with a call under way');
	$sandbox->faults;
	$session->do('SET search_path = apart, public');
	$queue->await($id, 'done');
	$queue->await($queue->add('restore', 'c-6'), 'done');
	pass('the worker finds it in another schema');
	$session->do('ALTER SCHEMA apart RENAME TO "Quite apart"');
	$session->do('SET search_path = "Quite apart", public');
	$queue->await($queue->add('restore', 'c-7'), 'done');
	pass('also where that is renamed');
	$session->do('ALTER EXTENSION allpass SET SCHEMA public');
	$session->do('RESET search_path');
	$queue->await($queue->add('restore', 'c-8'), 'done');
	is_deeply([ troubles($place) ], [], 'nothing of that in the log either');

	# upgraded from a version without a queue
	$session->do('DROP EXTENSION allpass CASCADE');
	poll { workers_of('postgres') == 0 } 'the worker to end';
	$session->do("CREATE EXTENSION allpass VERSION '1.0'");
	make_server($session, 'allpass', $sandbox->url);
	works($session->query("SELECT allpass_status('c-1')"), 'APPROVED', 'the old version works');
	$session->do('ALTER EXTENSION allpass UPDATE');
	$queue->await_workers;
	$queue->await($queue->add('restore', 'c-9'), 'done');
	pass('an upgrade starts the worker');
}

# The number of workers is a setting.
{
	foreach my $count (2, 0, 1)
	{
		$session->do("ALTER SYSTEM SET allpass.workers = $count");
		$node->reload;
		$queue->await_workers($count);
		pass("$count workers after a reload");
		next unless $count;
		$queue->await($queue->add('restore', "c-$_"), 'done') foreach 1 .. 5;
	}
	is($session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'allpass launcher'"), 1, 'and one launcher');
}

# Whoever is terminated comes back.
{
	my $id = hang($queue);
	my $worker = $queue->await_workers;
	my $ended = now();

	$session->do("SELECT pg_terminate_backend($worker)");
	poll { !is_running($worker) } 'the worker to end';
	cmp_ok(now() - $ended, '<', 2, 'a worker that is terminated ends at once');
	$sandbox->faults;
	isnt($queue->await_workers, $worker, 'and comes back');
	$queue->await($id, 'done');
	is($queue->job($id, 'attempts'), 1, 'its job is sent again, and the first attempt not counted');

	my $launcher = $session->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'allpass launcher'");
	$session->do("SELECT pg_terminate_backend($launcher)");
	poll { !is_running($launcher) } 'the launcher to end';
	ok((soon { $session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'allpass launcher' AND pid <> $launcher") } 15),
		'a launcher that is terminated comes back');
	$queue->await($queue->add('restore', 'c-10'), 'done');
	$session->do('CREATE DATABASE sixth');
	ok((soon { workers_of('sixth') == 1 } 10), 'and does its work');
	$queue->await_workers(1);
}

# A fast shutdown waits for no answer.
{
	$sandbox->faults({ applicant => 'c-1', delay_ms => 12000 }, { operation => 'create_applicant', delay_ms => 12000 });
	my ($id, $creation) = ($queue->add('restore', 'c-1'), $queue->create('new'));
	poll { $sandbox->stats('in_flight') == 2 } 'calls to be under way';
	my $place = -s $node->logfile;
	my $begun = now();
	$node->stop('fast');
	cmp_ok(now() - $begun, '<', 2, 'a fast shutdown with calls under way');
	is_deeply([ troubles($place) ], [], 'without a complaint');
	$sandbox->faults;
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$queue->await($id, 'done');
	is($queue->job($id, 'attempts'), 1, 'the job is sent again after the start, and the first attempt not counted');
	$queue->await($creation, 'done');
	is(join(' ', map { "$_->{operation}:$_->{acted}" } $sandbox->calls_for('new')), 'create_applicant:1 applicant:1',
		'what may have been created is looked up instead');

	$node->stop('fast');
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$queue->await_workers;
	pass('it starts with an empty queue');
}

# Nor does a fast shutdown wait for a standby that is not there.
{
	$session->do("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	$session->do('SET synchronous_commit = local');
	poll { $session->value('SHOW synchronous_standby_names') eq 'nobody' } 'the setting to take effect';
	my $calls = $sandbox->calls_for('c-51');
	my $id = $queue->add('restore', 'c-51');
	poll { $session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'allpass worker' AND wait_event = 'SyncRep'") == 1 }
		'the worker to wait for the standby';
	$session->do('ALTER SYSTEM RESET synchronous_standby_names');
	my $begun = now();
	$node->stop('fast');
	cmp_ok(now() - $begun, '<', 2, 'a fast shutdown while a commit waits for a standby');
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$queue->await_workers;

	# also with a call under way, which is given back
	$sandbox->faults({ applicant => 'c-53', delay_ms => 12000 });
	my $given_back = $queue->add('restore', 'c-53');
	poll { $sandbox->stats('in_flight') == 1 } 'the call to be under way';
	$session->do("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	poll { $session->value('SHOW synchronous_standby_names') eq 'nobody' } 'the setting to take effect';
	$session->do('ALTER SYSTEM RESET synchronous_standby_names');
	$begun = now();
	$node->stop('fast');
	cmp_ok(now() - $begun, '<', 2, 'a fast shutdown that gives a job back while no standby is there');
	$sandbox->faults;
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$queue->await($given_back, 'done');
	$queue->close;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$queue->await($id, 'done');
	is($sandbox->calls_for('c-51') - $calls, 1, 'the job was not sent again, since its end had been committed');
}

# A cluster that is upgraded is left alone.
{
	my $id = $queue->add('restore', 'c-52', run_at => "now() + '2 s'");
	$node->stop('fast');
	system_or_bail('pg_ctl', '--wait', '--pgdata', $node->data_dir, '--log', $node->logfile, '--options', '-b', 'start');
	my $upgrade = AllpassTest::Session->new($node);
	ok(!(soon { $upgrade->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'allpass%'") > 0 } 3),
		'neither launcher nor worker during pg_upgrade');
	is($upgrade->value("SELECT state FROM allpass_queue WHERE id = $id AND run_at < now()"), 'waiting', 'so no job is carried out');
	system_or_bail('pg_ctl', '--wait', '--pgdata', $node->data_dir, '--mode', 'fast', 'stop');
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$queue->await($id, 'done');
	pass('it is afterwards');
}

# A standby has no worker until it is promoted.
{
	$node->backup('copy');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	my $id = $queue->add('restore', 'c-11', run_at => "now() + '1 h'");
	$node->wait_for_catchup($standby, 'replay');
	my $copy = AllpassTest::Queue->new($standby);
	is($copy->job($id, 'state'), 'waiting', 'the queue is there on a standby');
	is($copy->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'allpass'"), 0, 'but neither launcher nor worker');
	like($copy->session->query("SELECT allpass_status('c-1')")->{rows}[0][0], qr/APPROVED/, 'functions work there');
	fails_with($copy->session->query('CALL allpass_drain()'), '25006', qr/./, 'and the queue cannot be drained');
	$session->do("UPDATE allpass_queue SET run_at = now() WHERE id = $id");
	$queue->await($id, 'done');
	$queue->session->do("ALTER SYSTEM SET allpass.workers = 0");
	$node->reload;
	$queue->await_workers(0);
	my $later = $queue->add('restore', 'c-12');
	$node->wait_for_catchup($standby, 'replay');
	$node->stop('immediate');
	$standby->promote;
	$copy->await($later, 'done');
	pass('when it is promoted its worker starts');
	is(scalar($sandbox->calls_for('c-12')), 1, 'and sends what was left');
	is(scalar($sandbox->calls_for('c-11')), 1, 'and nothing else');
	$copy->close;
	$standby->stop('fast');
	$node->start;
	$queue = AllpassTest::Queue->new($node);
	$session = $queue->session;
	$session->do('DELETE FROM allpass_queue');
	$session->do('ALTER SYSTEM RESET allpass.workers');
	$node->reload;
	$queue->await_workers;
}

# There is no room for workers.
{
	# those of the launcher of logical replication and of ours take two
	$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
	$node->stop('fast');
	my $place = -s $node->logfile;
	$node->start;
	poll { log_since($node, $place) =~ /could not start a worker of allpass/ } 'a complaint';
	like(log_since($node, $place), qr/too many background workers.*max_worker_processes/s, 'a server without room for workers says so');
	$queue = AllpassTest::Queue->new($node);
	my $id = $queue->add('restore', 'c-13');
	select(undef, undef, undef, 2);
	my @complaints = log_since($node, $place) =~ /could not start a worker/g;
	cmp_ok(scalar @complaints, '<=', 3, 'now and then');
	is($queue->job($id, 'state'), 'waiting', 'jobs wait');
	$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
	$node->restart;
	$queue = AllpassTest::Queue->new($node);
	$queue->await($id, 'done');
	pass('until there is room');
}

unlike(log_since($node), qr/PANIC|terminated by signal|TRAP/, 'no crash in the log');

done_testing();
