# What becomes of a job that the API, or the way to it, does not take: tried
# again, paused with its role or with all of its server, or failed; and what is
# told about it.
#
# Why not psql: the API has to misbehave while the worker runs, and the times of
# its calls tell what was waited for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = AllpassTest::Sandbox->new('--log-size', 20000);
my $node = make_worker_node('faults', conf => "log_min_messages = debug1\nlog_min_error_statement = panic\n");
my $queue = AllpassTest::Queue->new($node, server_url => $sandbox->url);
my $session = $queue->session;

$queue->await_workers;

# Begin anew, with an empty queue and applicants c-1 to c-1000.
sub begin
{
	$queue->clear;
	$sandbox->reset;
	$sandbox->seed;
	# pauses are in memory, too
	$session->do('ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key \'sandbox-key\')');
	return;
}

# Give the times between the calls for an applicant.
sub gaps
{
	my ($applicant) = @_;
	my @at = map { $_->{at} } $sandbox->calls_for($applicant);

	return map { $at[$_] - $at[ $_ - 1 ] } 1 .. $#at;
}

# Count pauses.
sub pauses
{
	return $queue->value('SELECT count(*) FROM allpass_queue_pauses WHERE paused_until > now()');
}

# Faults that pass are waited out by the job, longer each time.
{
	begin();
	$sandbox->faults({ applicant => 'c-1', status => 503, times => 3 });
	my $id = $queue->add('restore', 'c-1');
	poll { $queue->job($id, 'attempts') == 1 && $queue->job($id, 'state') eq 'waiting' } 'the first failure';
	is(join('|', $queue->job($id, 'sqlstate', 'http_status', 'finished_at IS NULL', 'retry_at > now()', 'error')),
		'KY503|503|true|true|Allpass API answered with status 503 (service unavailable): Service Unavailable',
		'a failure that may pass is kept');
	$queue->await($id, 'done');
	is(join('|', $queue->job($id, 'attempts', 'http_status', 'sqlstate IS NULL', 'error IS NULL', 'retry_at IS NULL')),
		'4|201|true|true|true', 'and forgotten in the end');
	my @gaps = gaps('c-1');
	ok($gaps[0] >= 1 && $gaps[1] >= 2 && $gaps[2] >= 4 && $gaps[2] < 9, 'the back-off doubles') || diag("@gaps");
	my %keys = map { $_->{key} => 1 } $sandbox->calls_for('c-1');
	is(scalar(keys %keys), 1, 'the idempotency key stays the same');

	# all kinds of them
	begin();
	my %faults = (
		'c-2' => { status => 408 }, 'c-3' => { status => 425 }, 'c-4' => { status => 500 }, 'c-5' => { status => 599 },
		'c-6' => { drop => 'before' }, 'c-7' => { drop => 'after' }, 'c-8' => { body => '<html>', content_type => 'text/html' },
		'c-9' => { cut => 5 }, 'c-10' => { chunked => JSON::PP::true(), cut => 5 }, 'c-11' => { status => 302 });
	$sandbox->faults(map { { applicant => $_, times => 1, %{ $faults{$_} } } } sort keys %faults);
	$queue->add('restore', $_) foreach sort keys %faults;
	$queue->settle;
	is($queue->value("SELECT string_agg(state || attempts, ' ') FROM allpass_queue"), join(' ', ('done2') x 10), 'what passes is tried again');
	is(pauses(), 0, 'without a pause for others');

	# what the API asks for
	begin();
	$sandbox->faults({ applicant => 'c-1', status => 503, retry_after => '3', times => 1 });
	$queue->add('restore', 'c-1');
	poll { $sandbox->calls_for('c-1') } 'the failure';
	$queue->await($queue->add('restore', 'c-2'), 'done');
	$queue->settle;
	cmp_ok((gaps('c-1'))[0], '>=', 3, 'Retry-After of 503 holds for the job');
}

# 429 is for all of the server.
{
	my $late;

	begin();
	$sandbox->faults({ applicant => 'c-1', status => 429, retry_after => '3', times => 1 }, { applicant => 'c-2', delay_ms => 800 });
	$late = $queue->add('restore', 'c-2');
	poll { $sandbox->calls_for('c-2') } 'a call that is answered later';
	$queue->add('restore', 'c-1');
	poll { pauses() } 'the pause';
	my ($paused) = map { $_->{at} } $sandbox->calls_for('c-1');
	$queue->add('restore', "c-$_") foreach 3 .. 12;
	like(join(' ', map { $_ // 'null' } @{ $session->do("SELECT due, paused_until > now(), pause_reason FROM allpass_queue_status WHERE operation = 'restore'")->{rows}[0] }),
		qr/^1\d t Allpass API answered with status 429/, 'the view tells of the pause');
	$queue->await($late, 'done');
	# commands that have nothing to do with it
	$session->do('CREATE TABLE things (); ALTER TABLE things RENAME TO others; GRANT SELECT ON others TO PUBLIC; DROP TABLE others');
	$node->reload;
	$queue->settle;
	my @early = grep { $_->{at} > $paused && $_->{at} < $paused + 3 } $sandbox->calls;
	is(join(' ', map { sprintf('%s:%.1f', $_->{applicant}, $_->{at} - $paused) } @early), '', 'Retry-After of 429 holds for all jobs of the server');
	is($queue->count("state = 'done' AND attempts = 1"), 11, 'others have not been tried');
	is($queue->value('SELECT count(*) FROM allpass_queue_pauses'), 0, 'the pause is over');

	# for all workers
	begin();
	$session->do('ALTER SYSTEM SET allpass.workers = 3');
	$node->reload;
	$queue->await_workers(3);
	$queue->add('restore', "c-$_") foreach 100 .. 130;
	$queue->settle;
	$sandbox->faults({ applicant => 'c-1', status => 429, retry_after => '2', times => 1 });
	$queue->add('restore', 'c-1');
	poll { pauses() } 'the pause';
	($paused) = map { $_->{at} } $sandbox->calls_for('c-1');
	$queue->add('restore', "c-$_") foreach 2 .. 40;
	$queue->settle;
	@early = grep { $_->{at} > $paused && $_->{at} < $paused + 2 } $sandbox->calls;
	is(scalar @early, 0, 'and in all workers');
	$session->do('ALTER SYSTEM RESET allpass.workers');
	$node->reload;
	$queue->await_workers(1);
}

# A key that is not accepted
{
	begin();
	my $place = -s $node->logfile;
	$session->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'mist4ken-s3cret')");
	$session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(1, 30) i");
	poll { ($queue->value('SELECT max(failures) FROM allpass_queue_pauses') // 0) >= 3 } 'a third failure';
	my $wrong = $sandbox->stats('requests');
	cmp_ok($wrong, '<', 80, 'a key that is not accepted is not tried with every job');
	is($queue->count("state = 'waiting'"), 30, 'all jobs wait');
	is($queue->value('SELECT sum(attempts) FROM allpass_queue'), 0, 'no attempt is burned');
	my $mended = now();
	$session->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'sandbox-key')");
	$queue->settle;
	cmp_ok(now() - $mended, '<', 1.5, 'ALTER USER MAPPING resumes at once');
	is($queue->count("state = 'done' AND attempts = 1"), 30, 'and all are done');
	my $log = log_since($node, $place);
	my @lines = $log =~ /are paused for/g;
	is(scalar @lines, 1, 'one line of the log says so');
	unlike($log, qr/mist4ken-s3cret/, 'without the key');

	# again and again: who hears of the new key has it
	begin();
	my $stale = 0;
	foreach my $round (1 .. 100)
	{
		$session->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'mistaken')");
		my $id = $queue->add('restore', "c-$round");
		my $added = now();
		poll { pauses() } 'the pause';
		$session->do("ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'sandbox-key')");
		my $was_paused = now() - $added < 1;
		$queue->await($id, 'done');
		$stale++ if $was_paused && $sandbox->calls_for("c-$round") > 2;
	}
	is($stale, 0, 'no call is made with the old key afterwards');
}

# No mapping
{
	begin();
	$session->do('CREATE ROLE regress_clerk LOGIN');
	$session->do('GRANT EXECUTE ON FUNCTION allpass_restore(text), allpass_enqueue(text, text, jsonb, timestamptz, text) TO regress_clerk');
	$session->do('GRANT USAGE ON FOREIGN SERVER allpass TO regress_clerk');
	$session->do('GRANT INSERT, SELECT ON allpass_queue TO regress_clerk');
	$session->do('DROP USER MAPPING FOR PUBLIC SERVER allpass');
	$session->do("CREATE USER MAPPING FOR regress_clerk SERVER allpass OPTIONS (api_key 'sandbox-key')");
	my $place = -s $node->logfile;
	my $id = $queue->add('restore', 'c-1');
	poll { pauses() } 'the pause';
	my $clerk = AllpassTest::Session->new($node, user => 'regress_clerk');
	my $own = $clerk->value("SELECT allpass_enqueue('restore', 'c-2')");
	$queue->await($own, 'done');
	pass('the jobs of a role without a mapping hold up those of no other role');
	is(join('|', $queue->job($id, 'state', 'attempts', 'sqlstate')), 'waiting|0|KY004', 'they wait');
	select(undef, undef, undef, 1.5);
	my @lines = log_since($node, $place) =~ /are paused for/g;
	is(scalar @lines, 1, 'with one line in the log');
	my $mended = now();
	$session->do("CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'sandbox-key')");
	$queue->await($id, 'done');
	cmp_ok(now() - $mended, '<', 1.5, 'until there is one');

	# each role has its own key
	begin();
	$session->do("ALTER USER MAPPING FOR regress_clerk SERVER allpass OPTIONS (SET api_key 'key-of-clerk')");
	$own = $clerk->value("SELECT allpass_enqueue('restore', 'c-3')");
	$id = $queue->add('restore', 'c-4');
	$queue->await($id, 'done');
	poll { $sandbox->calls_for('c-3') } 'the call of the other role';
	is(($sandbox->calls_for('c-3'))[0]{api_key}, 'key-of-clerk', 'a job goes out with the key of the role that asked');
	is(($sandbox->calls_for('c-4'))[0]{api_key}, 'sandbox-key', 'and another one with that of another role');
	$session->do("ALTER USER MAPPING FOR regress_clerk SERVER allpass OPTIONS (SET api_key 'sandbox-key')");
	$queue->await($own, 'done');

	# rights and roles that are gone meanwhile
	my $later = $clerk->value("SELECT allpass_enqueue('restore', 'c-5', run_at => now() + '1 s')");
	$session->do('REVOKE EXECUTE ON FUNCTION allpass_restore(text) FROM regress_clerk');
	is(join('|', $queue->await($later, 'failed', 'sqlstate', 'error')), '42501|permission denied for function allpass_restore',
		'a job of a role that may not call the function any more fails');
	$session->do('GRANT EXECUTE ON FUNCTION allpass_restore(text) TO regress_clerk');
	$later = $clerk->value("SELECT allpass_enqueue('restore', 'c-6', run_at => now() + '1 s')");
	$session->do('REVOKE USAGE ON FOREIGN SERVER allpass FROM regress_clerk');
	is(join('|', $queue->await($later, 'failed', 'sqlstate')), '42501', 'nor of one that may not use the server');
	$session->do('GRANT USAGE ON FOREIGN SERVER allpass TO regress_clerk');
	$later = $clerk->value("SELECT allpass_enqueue('restore', 'c-7', run_at => now() + '1 s')");
	$clerk->close;
	$session->do('DROP USER MAPPING FOR regress_clerk SERVER allpass; DROP OWNED BY regress_clerk; DROP ROLE regress_clerk');
	like(join('|', $queue->await($later, 'failed', 'sqlstate', 'error')), qr/^42501\|role .* does not exist any more/, 'a job of a dropped role fails, and says so');
	is(join(' ', map { scalar $sandbox->calls_for($_) } qw(c-5 c-6 c-7)), '0 0 0', 'nothing of them is sent');
}

# Nobody is there.
{
	begin();
	my $gone = AllpassTest::Listener->new;
	my $url = $gone->url;
	my $place = -s $node->logfile;

	close $gone->{socket};
	$session->do("ALTER SERVER allpass OPTIONS (SET base_url '$url')");
	$session->do("INSERT INTO allpass_queue (operation, applicant_id) SELECT 'restore', 'c-' || i FROM generate_series(1, 200) i");
	poll { ($queue->value('SELECT max(failures) FROM allpass_queue_pauses') // 0) >= 2 } 'a second failure';
	cmp_ok($queue->value('SELECT sum(attempts) FROM allpass_queue'), '<', 100, 'an API that is not there is not tried with every job');
	is($queue->count("state IN ('waiting', 'in_flight')"), 200, 'all jobs wait');
	my @lines = log_since($node, $place) =~ /are paused for/g;
	cmp_ok(scalar @lines, '<=', 2, 'with few lines in the log');
	my $mended = now();
	$session->do("ALTER SERVER allpass OPTIONS (SET base_url '" . $sandbox->url . "')");
	$queue->settle;
	cmp_ok(now() - $mended, '<', 5, 'they go on when it is where the server says');
	is($queue->count("state = 'done'"), 200, 'and are done');
}

# What fails for good, and comes back when somebody asks for it
{
	begin();
	$sandbox->faults({ applicant => 'c-1', status => 422, times => 1, message => 'not now, erika.mustermann@example.com' },
		{ applicant => 'c-2', status => 404, times => 1 });
	my $first = $queue->add('restore', 'c-1');
	my $second = $queue->add('restore', 'c-2');
	my $third = $queue->add('restore', 'c-1');
	is(join('|', $queue->await($first, 'failed', 'sqlstate', 'http_status', 'attempts', 'finished_at IS NOT NULL', 'accepted_at IS NULL')),
		'KY422|422|1|true|true', 'other failures are final');
	$queue->await($third, 'done');
	pass('and let the next job of the applicant go on');
	is(join('|', $queue->await($second, 'failed', 'sqlstate')), 'KY404', 'another one');
	my ($key) = map { $_->{key} } $sandbox->calls_for('c-2');
	$session->do("SELECT allpass_retry($second)");
	$queue->await($second, 'done');
	isnt(($sandbox->calls_for('c-2'))[1]{key}, $key, 'a job that is retried by hand has another idempotency key');
	is($session->value("SELECT allpass_retry('restore')"), 1, 'all failed ones of an operation can be retried');
	$queue->await($first, 'done');
	pass('and are done then');

	# too old
	$session->do("ALTER SYSTEM SET allpass.job_max_age = '2s'");
	$node->reload;
	$sandbox->faults({ applicant => 'c-3', status => 503 });
	my $old = $queue->add('restore', 'c-3');
	like(join('|', $queue->await($old, 'failed', 'sqlstate', 'error')), qr/^KY503\|gave up after [23] attempts: .*503/, 'a job is given up at some age');
	$session->do('ALTER SYSTEM RESET allpass.job_max_age');
	$node->reload;
	$sandbox->faults;
	$session->do("SELECT allpass_retry($old)");
	$queue->await($old, 'done');
	pass('and can be retried, too');
}

# Creations in doubt are looked up, and never made twice.
{
	my %faults = (
		'drop after' => { drop => 'after' },
		'a failure after all was done' => { status => 500, act => JSON::PP::true() },
		'garbage' => { body => '<html>' },
		'a cut answer' => { cut => 10 },
		'drop before' => { drop => 'before' },
		'a failure' => { status => 503 });

	begin();
	$sandbox->faults(map { { applicant => $_, operation => 'create_applicant', times => 1, %{ $faults{$_} } },
			{ applicant => $_, operation => 'applicant', status => 503, times => 1 } } sort keys %faults);
	my %ids = map { $_ => $queue->create($_) } sort keys %faults;
	foreach my $name (sort keys %faults)
	{
		is($queue->await($ids{$name}, 'done', "result ->> 'externalUserId'"), $name, "created in spite of $name");
		my @calls = $sandbox->calls_for($name);
		is(scalar(grep { $_->{operation} eq 'create_applicant' && $_->{acted} } @calls), 1, "and once in spite of $name");
		is(join(' ', map { $_->{operation} } @calls),
			join(' ', qw(create_applicant applicant applicant), $name =~ /before|^a failure$/ ? 'create_applicant' : ()),
			"after a look because of $name");
	}

	# the look itself is refused; the doubt stays
	$sandbox->faults({ operation => 'create_applicant', drop => 'after', times => 1 }, { operation => 'applicant', status => 400, times => 1 });
	my $id = $queue->create('doubtful');
	$queue->await($id, 'failed');
	$session->do("SELECT allpass_retry($id)");
	is($queue->await($id, 'done', "result ->> 'externalUserId'"), 'doubtful', 'a doubt outlives a failure');

	# one that was there before is none of ours
	$id = $queue->create('c-1');
	is(join('|', $queue->await($id, 'failed', 'sqlstate')), 'KY409', 'an applicant that is there already is an error');
}

# What others may not read
{
	begin();
	$sandbox->faults({ applicant => 'private', status => 422, message => 'phone +15550177123 of erika.mustermann@example.com: no' });
	my $id = $queue->create('private', arguments => q('{"flow_name":"basic","phone":"+15550177123","email":"erika.mustermann@example.com"}'));
	$queue->await($id, 'failed');
	unlike($queue->job($id, 'error'), qr/15550177123|erika/, 'no personal data in the text of an error');
	unlike(log_since($node), qr/15550177123|erika|"sandbox-key|key-of-clerk/, 'nor in the log, and no key');
	unlike(log_since($node), qr/PANIC|terminated by signal|TRAP/, 'and no crash');
}

done_testing();
