# Nothing is lost, and nobody created twice, whenever the worker or the server
# is killed: before a call is sent, while it is under way, and when it is
# answered but not yet settled.
#
# Why not psql: it kills servers, and compares what the API has seen with what
# the queue says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = AllpassTest::Sandbox->new('--log-size', 20000);
my $node = make_worker_node('crash', conf => "restart_after_crash = on\nsynchronous_commit = on\n");
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url);

$queue->await_workers;

# Begin anew, with an empty queue and applicants c-1 to c-1000.
sub begin
{
	$queue->clear;
	$sandbox->reset;
	$sandbox->seed;
	return;
}

# Connect again when the server is back.
sub reconnect
{
	poll {
		eval { $queue = AllpassTest::Queue->new($node); 1 }
	} 'the server to be back';
	return;
}

# Kill the worker, which takes the server along, and wait until it is back.
sub kill_worker
{
	my $worker = $queue->await_workers;

	kill 'KILL', $worker;
	poll { !is_running($worker) } 'the worker to be gone';
	# the other processes are ended by the postmaster
	poll { !is_running($queue->session->pid) } 'the session to be ended';
	reconnect();
	return;
}

# Kill all processes of the server at once, and start it again.
sub kill_server
{
	my ($postmaster) = split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'));
	my @children = split(' ', slurp_file("/proc/$postmaster/task/$postmaster/children"));

	kill 'KILL', $postmaster, @children;
	poll { !grep { is_running($_) } $postmaster, @children } 'the server to be gone';
	$node->stop('immediate', fail_ok => 1);
	$node->{_pid} = undef;
	$node->start;
	reconnect();
	return;
}

# Add a deletion, its restoration, and a creation, for each of some numbers.
sub add_jobs
{
	my ($first, $last) = @_;

	$queue->session->do("INSERT INTO allpass_queue (operation, applicant_id, arguments) SELECT o.operation, "
		  . "CASE WHEN o.operation = 'create_applicant' THEN 'new-' ELSE 'c-' END || i, o.arguments "
		  . "FROM generate_series($first, $last) i, (VALUES (1, 'schedule_deletion', NULL), (2, 'restore', NULL), "
		  . q{(3, 'create_applicant', '{"flow_name":"basic"}'::jsonb)) o (n, operation, arguments) ORDER BY i, n});
	return;
}

# Check what became of all jobs, against what the API has seen: at most so many
# calls were repeated.
sub check
{
	my ($name, $first, $last, $in_flight) = @_;
	my (%acted, $repeated);

	$queue->settle;
	is($queue->count("state <> 'done'"), 0, "$name: all jobs are done") || diag($queue->describe("state <> 'done'"));
	foreach my $call ($sandbox->calls)
	{
		next unless $call->{acted} && $call->{operation} ne 'applicant';
		push @{ $acted{ $call->{applicant} } }, $call->{operation};
	}
	my (@lost, @twice, @disordered);
	$repeated = 0;
	foreach my $number ($first .. $last)
	{
		my $order = join(' ', @{ $acted{"c-$number"} || [] });
		my $creations = scalar @{ $acted{"new-$number"} || [] };

		push @lost, "c-$number: $order" if $order !~ /schedule_deletion/ || $order !~ /restore/;
		push @disordered, "c-$number: $order" if $order !~ /^(schedule_deletion ?)+(restore ?)+$/;
		push @lost, "new-$number" if $creations == 0;
		push @twice, "new-$number" if $creations > 1;
		$repeated += (() = $order =~ /\w+/g) - 2;
	}
	is("@lost", '', "$name: nothing is lost");
	is("@disordered", '', "$name: the order of each applicant is kept");
	is("@twice", '', "$name: nobody is created twice");
	cmp_ok($repeated, '<=', $in_flight, "$name: no more calls are repeated than were under way");
	note("$name: $repeated calls repeated");
	return;
}

# Before anything is sent: the way to the API stands still while jobs are
# claimed, since nobody accepts connections.
{
	my $listener = AllpassTest::Listener->new(backlog => 1);

	begin();
	$listener->block;
	$queue->session->do("ALTER SERVER allpass OPTIONS (SET base_url '" . $listener->url . "')");
	add_jobs(1, 5);
	poll { $queue->count("state = 'in_flight'") == 10 } 'jobs to be claimed';
	kill_worker();
	$queue->session->do("ALTER SERVER allpass OPTIONS (SET base_url '" . $sandbox->url . "')");
	check('killed before a call is sent', 1, 5, 0);
}

# While calls are under way, at the first and the second call of an applicant
foreach my $operation ('schedule_deletion', 'restore', 'create_applicant', undef)
{
	my $name = 'killed in flight of ' . ($operation // 'all');

	begin();
	$sandbox->faults({ defined $operation ? (operation => $operation) : (), delay_ms => 60000 });
	add_jobs(1, 5);
	poll { $sandbox->stats('in_flight') == (defined $operation ? 5 : 10) } 'calls to be under way';
	kill_worker();
	$sandbox->faults;
	check($name, 1, 5, 10);
}

# Answered, but not settled: the table is locked
{
	begin();
	my $holder = AllpassTest::Session->new($node);

	$sandbox->faults({ delay_ms => 60000 });
	add_jobs(1, 5);
	poll { $sandbox->stats('in_flight') == 10 } 'calls to be under way';
	$holder->do('BEGIN; LOCK TABLE allpass_queue IN SHARE MODE');
	$sandbox->faults;
	poll { $sandbox->stats('in_flight') == 0 } 'the answers';
	is($queue->count("state = 'in_flight'"), 10, 'answers that are not settled');
	kill_worker();
	check('killed before settling', 1, 5, 10);
}

# The whole server, with many calls under way, also where commits are not meant
# to survive that
foreach my $setting ('on', 'off')
{
	$queue->session->do("ALTER SYSTEM SET synchronous_commit = $setting");
	$queue->session->do("ALTER SYSTEM SET wal_writer_delay = '10s'");
	$node->reload;
	begin();
	$sandbox->faults({ operation => 'schedule_deletion', delay_ms => 60000, times => 4 },
		{ operation => 'create_applicant', delay_ms => 60000, times => 4 }, { delay_ms => 5 });
	$queue->session->do('SET synchronous_commit = on');
	add_jobs(1, 100);
	poll { $queue->count("state = 'done'") > 50 } 'some jobs to be done';
	$queue->session->do("ALTER SYSTEM RESET ALL");
	kill_server();
	$sandbox->faults;
	check("the server killed with synchronous_commit = $setting", 1, 100, 64);
}

# An immediate shutdown, again and again
{
	begin();
	add_jobs(1, 200);
	foreach my $round (1 .. 3)
	{
		poll { $queue->count("state = 'done'") > 100 * $round } 'some jobs to be done';
		$node->stop('immediate');
		$node->start;
		reconnect();
	}
	check('immediate shutdowns', 1, 200, 3 * 64);
}

# A job in doubt is looked up first, and its key stays the same.
{
	begin();
	$sandbox->faults({ operation => 'create_applicant', delay_ms => 60000, times => 1 },
		{ operation => 'applicant', status => 503, times => 1 });
	my $id = $queue->create('new');
	poll { $sandbox->stats('in_flight') == 1 } 'the call';
	kill_worker();
	is($queue->await($id, 'done', "result ->> 'externalUserId'"), 'new', 'a creation that was killed is found');
	is(join(' ', map { $_->{operation} } $sandbox->calls_for('new')), 'create_applicant applicant applicant', 'by looking it up');

	begin();
	$sandbox->faults({ operation => 'create_applicant', drop => 'before', delay_ms => 60000, times => 1 });
	$id = $queue->create('other');
	poll { $sandbox->calls_for('other') } 'the call';
	kill_worker();
	$sandbox->faults;
	$queue->await($id, 'done');
	my @calls = $sandbox->calls_for('other');
	is(join(' ', map { $_->{operation} } @calls), 'create_applicant applicant create_applicant', 'or made again where there is nobody');
	is($calls[0]{key}, $calls[2]{key}, 'with the same idempotency key');
}

done_testing();
