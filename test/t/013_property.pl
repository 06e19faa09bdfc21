# A promise for every history: random jobs from several sessions, under random
# faults of the API and a kill in the middle, leave the API and the queue
# agreeing.  What is committed is carried out, what is rolled back is not, the
# order of each applicant is kept, and nobody is created twice.
#
# Why not psql: it compares what the API has seen with what the queue says.
#
#	ALLPASS_SEED	the seed of the random numbers, to repeat a run

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{ALLPASS_SEED} // time() % 1_000_000;
my $sandbox = AllpassTest::Sandbox->new('--log-size', 100000);
my $node = make_worker_node('property', conf => "allpass.workers = 2\nrestart_after_crash = on\n");
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url,
	server_options => { max_concurrency => 16, timeout => '2s' });

note("ALLPASS_SEED=$seed");
srand($seed);

# Give a whole number from 0 to below a limit.
sub any
{
	my ($limit) = @_;

	return int(rand($limit));
}

# The jobs that were committed, by applicant in their order, and the applicants
# all of whose jobs were rolled back.
my (%committed, %rolled_back);

# Add jobs of some applicants from one session, in transactions of which some
# are rolled back, as a whole or in part.
sub add_some
{
	my ($session, $number, $count) = @_;
	my (@pending, @kept);

	$session->do('BEGIN');
	foreach my $i (1 .. $count)
	{
		# each applicant belongs to one session, or else there were no order
		my $applicant = any(4) == 0 ? "new-$number-" . any(40) : "c-" . ($number * 25 + any(25) + 1);
		my $operation = $applicant =~ /^new/ ? 'create_applicant' : qw(schedule_deletion restore move_to_flow) [ any(3) ];
		my %columns = (priority => any(3) - 1);

		next if $applicant =~ /^new/ && $committed{$applicant};
		$columns{arguments} = q('{"flow_name":"basic"}') if $operation eq 'create_applicant';
		$columns{arguments} = q('{"flow_id":"1"}') if $operation eq 'move_to_flow';
		my $fate = any(8);
		$session->do('SAVEPOINT s') if $fate == 0;
		if ($fate == 0)
		{
			$session->do(AllpassTest::Queue::insertion($operation, "gone-$number-$i-" . any(1000), %columns));
			$session->do('ROLLBACK TO s');
		}
		else
		{
			push @pending, [ $applicant, $operation, $session->value(AllpassTest::Queue::insertion($operation, $applicant, %columns)) ];
			$committed{$applicant} ||= [] if $applicant =~ /^new/;
		}
		next if any(6);
		if (any(5) == 0)
		{
			$session->do('ROLLBACK');
			# another try of the same creation is none
			foreach my $job (@pending)
			{
				$rolled_back{ $job->[2] } = 1;
				delete $committed{ $job->[0] } if $job->[0] =~ /^new/;
			}
		}
		else
		{
			$session->do('COMMIT');
			push @kept, @pending;
		}
		@pending = ();
		$session->do('BEGIN');
	}
	$session->do('COMMIT');
	push @{ $committed{ $_->[0] } }, [ $_->[1], $_->[2] ] foreach @kept, @pending;
	return;
}

# How many calls may have been carried out without an answer that says so.
my $unanswered = 0;

# Make rules of faults, each for a few calls.
sub make_faults
{
	my @harmless = (
		{ delay_ms => 1 + any(150) },
		{ status => 503 },
		{ status => 429, retry_after => '1' },
		{ drop => 'before' });
	my @harmful = (
		{ status => 500, act => JSON::PP::true() },
		{ drop => 'after' },
		{ body => '<html>no</html>', content_type => 'text/html' },
		{ cut => any(40) },
		{ chunked => JSON::PP::true(), cut => any(40) },
		{ delay_ms => 2500 });
	my @rules;

	foreach (1 .. 25)
	{
		my $harms = any(2);
		my $kinds = $harms ? \@harmful : \@harmless;
		my $times = 1 + any(2);

		push @rules, { %{ $kinds->[ any(scalar @$kinds) ] }, skip => any(30), times => $times };
		$unanswered += $times if $harms;
	}
	return @rules;
}

# Kill a worker, or ask it to end; with it goes the whole server, or nothing.
sub disturb
{
	my @workers = $queue->workers or return 0;
	my $session_pid = $queue->session->pid;

	if (any(2))
	{
		kill 'TERM', $workers[ any(scalar @workers) ];
		return 0;
	}
	kill 'KILL', $workers[ any(scalar @workers) ];
	poll { !is_running($session_pid) } 'the server to end its sessions';
	poll {
		eval { $queue = AllpassTest::Queue->new($node); 1 }
	} 'the server to be back';
	return 1;
}

$queue->await_workers(2);
$sandbox->seed;

foreach my $round (1 .. 4)
{
	$sandbox->faults(make_faults());
	my @sessions = map { AllpassTest::Session->new($node) } 0 .. 3;

	foreach (1 .. 3)
	{
		add_some($sessions[$_], $_, 20) foreach 0 .. 3;
	}
	$_->close foreach @sessions;
	poll { $sandbox->stats('in_flight') > 0 || $queue->count("state = 'waiting' AND coalesce(retry_at, run_at) <= now()") == 0 } 'something to disturb';
	$unanswered += 16;
	note("round $round: " . (disturb() ? 'killed' : 'terminated'));
}
$sandbox->faults;
# enough for what was tried a few times; no job may wait for a look by chance
$AllpassTest::patience = 40;
$queue->settle;

# What the API did, and what it was asked
my (%acted, %asked);

foreach my $call ($sandbox->calls)
{
	next if $call->{operation} eq 'applicant';
	$asked{ $call->{applicant} }++;
	push @{ $acted{ $call->{applicant} } }, { %$call } if $call->{acted};
}

is($queue->count("state <> 'done'"), 0, 'all that was committed is done') || diag($queue->describe("state <> 'done'"));
is($queue->count('true'), scalar(map { @$_ } values %committed), 'the queue has all that was committed, and nothing else');
is(join(' ', grep { /^gone/ } sort keys %asked), '', 'what a savepoint rolled back was never sent');
is(join(' ', grep { !@{ $committed{$_} || [] } } sort keys %asked), '', 'nor was anything else that was rolled back');

# Each job has a key of its own, by which its calls are known: the jobs of an
# applicant come in their order, each at least once, and a repetition only in
# its own place.
my (@lost, @disordered, @twice, %key_of);
my $repeated = 0;

foreach my $applicant (sort keys %committed)
{
	my @jobs = @{ $committed{$applicant} };
	my @calls = @{ $acted{$applicant} || [] };
	my (@order, %seen);

	next unless @jobs;
	foreach my $call (@calls)
	{
		if (@order && $order[-1]{key} eq $call->{key})
		{
			$repeated++;
			next;
		}
		push @order, $call;
	}
	my $expected = join(' ', map { $_->[0] } @jobs);
	my $actual = join(' ', map { $_->{operation} } @order);

	push @twice, $applicant if $applicant =~ /^new/ && @calls > 1;
	next if $actual eq $expected;
	(@order < @jobs) ? push(@lost, "$applicant: $actual instead of $expected") : push(@disordered, "$applicant: $actual instead of $expected");
}
is("@lost", '', 'nothing is lost');
is("@disordered", '', 'the order of each applicant is kept');
is("@twice", '', 'nobody is created twice');

note(sprintf('%d jobs, %d calls, %d repeated', scalar(map { @$_ } values %committed), scalar($sandbox->calls), $repeated));
cmp_ok($repeated, '<=', $unanswered, 'no more was repeated than was under way when a worker ended, or met a fault');

# Keys: one for each job, whatever becomes of it
my %jobs_of_key;
foreach my $applicant (keys %acted)
{
	$jobs_of_key{ $_->{key} }{ $_->{operation} . ' ' . $applicant } = 1 foreach @{ $acted{$applicant} };
}
is(scalar(grep { keys %$_ > 1 } values %jobs_of_key), 0, 'no two jobs share an idempotency key');
is($queue->count("attempts < 1 OR owner IS NOT NULL OR lease_until IS NOT NULL OR accepted_at IS NULL"), 0, 'nothing is left in flight');

done_testing();
