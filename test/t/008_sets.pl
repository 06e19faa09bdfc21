# Many calls in one statement: how many are under way at once, that rows come as
# answers do, that what stops early leaves nothing behind, and that neither
# memory nor the rest of the session pays for a large set.
#
# Why not psql: it watches the statement from another session and the calls from
# the other end, and acts in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Cluster;
use Test::More;

# How often a statement with 64 calls in flight is cancelled.
my $repeats = $ENV{ALLPASS_CANCEL_REPEATS} // 30;

my $sandbox = AllpassTest::Sandbox->new;
my $node = make_node('sets');
my $session = AllpassTest::Session->new($node);
my $control = AllpassTest::Session->new($node);

make_server($control, 'allpass', $sandbox->url, max_concurrency => 64);
make_server($control, 'narrow', $sandbox->url, max_concurrency => 8);
make_server($control, 'slow', $sandbox->url, rate_limit => 50);
make_server($control, 'nobody', 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
$session->do('SET allpass.max_calls_per_statement = 0');

# Give SQL for an array of so many ids.
sub ids
{
	my ($count) = @_;

	return "ARRAY(SELECT 'c-' || i FROM generate_series(1, $count) AS i)";
}

# Forget what the sandbox saw, and make applicants.
sub start_anew
{
	my ($count) = @_;

	$sandbox->reset;
	$sandbox->seed(count => $count);
	return;
}

# Wait until nothing is under way.
sub wait_for_quiet
{
	poll { $sandbox->stats('in_flight') == 0 } 'the end of all calls';
	return;
}

# Give the row of another session's progress, as its fields in a row.
sub progress
{
	return $control->do('SELECT pid, statement, calls_done, in_flight, failed FROM allpass_progress')->{rows};
}

# As many calls at once as the server takes, whatever the statement asks for.
{
	foreach my $case ([ 'allpass', 64 ], [ 'narrow', 8 ])
	{
		my ($server, $most) = @$case;

		start_anew(1000);
		$sandbox->control('POST', 'config', { delay_ms => 20 });
		$session->do("SET allpass.server = $server");
		works($session->query('SELECT count(status) FROM allpass_statuses(' . ids($most * 5) . ')'), $most * 5,
			"a set, at most $most calls at once");
		is($sandbox->stats('peak_concurrency'), $most, 'that many were');
		cmp_ok($sandbox->stats('connections'), '<=', $most, 'on as many connections');
	}
	start_anew(1000);
	$sandbox->control('POST', 'config', { delay_ms => 20 });
	works($session->query('SELECT count(s.status || a.applicant::text) FROM allpass_statuses(' . ids(40) . ') AS s FULL JOIN allpass_applicants('
			  . ids(40) . ') AS a USING (applicant_id)'), 40, 'two sets in one statement');
	works($session->query('SELECT count(*) FROM (SELECT allpass_statuses(' . ids(40) . '), allpass_applicants(' . ids(40) . ')) AS s'), 40,
		'two sets side by side');
	works($session->query("SELECT count(s.status || allpass_status('c-' || i)) FROM generate_series(1, 40) AS i JOIN allpass_statuses("
			  . ids(40) . ") AS s ON s.applicant_id = 'c-' || i"), 40, 'a set beside calls made ahead');
	is($sandbox->stats('peak_concurrency'), 8, 'no more at once than one');
	$session->do('RESET allpass.server');
}

# The rate limit holds for calls of a set as well.
{
	start_anew(1000);
	$session->do('SET allpass.server = slow');
	my $begin = now();
	works($session->query('SELECT count(status) FROM allpass_statuses(' . ids(40) . ')'), 40, 'a set with a rate limit');
	cmp_ok(now() - $begin, '>=', 0.75, 'its calls were spread');
	$session->do('RESET allpass.server');
}

# Rows come as answers do; a cursor goes on while an answer is missing.
{
	start_anew(1000);
	$sandbox->faults({ applicant => 'c-1', delay_ms => 60000 });
	$session->do('BEGIN');
	$session->do('DECLARE c CURSOR FOR SELECT applicant_id FROM allpass_statuses(' . ids(1000) . ')');
	is(scalar @{ $session->do('FETCH 20 FROM c')->{rows} }, 20, 'rows come while the first answer is missing');
	cmp_ok($sandbox->stats('requests'), '<=', 20 + 64, 'no more calls than a window ahead');
	is(scalar @{ $session->do('FETCH 979 FROM c')->{rows} }, 979, 'the others, too');
	is($sandbox->stats('in_flight'), 1, 'one call is left');
	my ($row) = @{ progress() };
	is_deeply($row, [ $session->pid, 'allpass_statuses', 999, 1, 0 ], 'another session sees how far it is');
	$session->do('CLOSE c');
	wait_for_quiet();
	is_deeply(progress(), [], 'a closed cursor ends its calls, and its report');
	$session->do('COMMIT');
	$sandbox->faults;
}

# A slow answer is not held up by quick ones.
{
	start_anew(10000);
	$sandbox->faults({ applicant => 'c-10', delay_ms => 30 });
	my $place = $session->value('SELECT n FROM (SELECT applicant_id, row_number() OVER () AS n FROM allpass_statuses('
		  . ids(10000) . ')) AS s WHERE applicant_id = \'c-10\'');
	note("a call of 30 ms was answer $place of 10000");
	cmp_ok($place, '<', 9000, 'an answer that was slow comes before the end');
	$sandbox->faults;
}

# A statement that ends early leaves nothing under way.
{
	foreach my $case (
		[ 'LIMIT', 'SELECT count(*) FROM (SELECT applicant_id FROM allpass_statuses(%s) WHERE status IS NOT NULL LIMIT 3) AS s', undef ],
		[ 'an error', 'SELECT sum(1 / (length(applicant_id) - 3)) FROM allpass_statuses(%s)', '22012' ],
		[ 'a time limit', 'SET statement_timeout = 300; SELECT count(*) FROM allpass_statuses(%s)', '57014' ])
	{
		my ($name, $query, $sqlstate) = @$case;

		start_anew(1000);
		$sandbox->faults(map { { applicant => "c-$_", delay_ms => 60000 } } 2 .. 9, 30 .. 60);
		my $result = $session->query(sprintf($query, ids(1000)));
		is($result->{error} ? $result->{error}{C} : undef, $sqlstate, "a set ended by $name");
		$session->do('RESET statement_timeout');
		wait_for_quiet();
		is_deeply(progress(), [], 'nothing is left of it');
		$sandbox->faults;
	}
}

# A cancel with 64 calls in flight takes effect at once and leaves nothing.
{
	my $session = AllpassTest::Session->new($node);
	my @times;
	my ($memory, $files);

	start_anew(1000);
	my $kept = $sandbox->stats('open_connections');
	$sandbox->faults({ delay_ms => 60000 });
	foreach my $round (0 .. $repeats)
	{
		$session->send('SELECT count(*) FROM allpass_statuses(' . ids(1000) . ')');
		poll { $sandbox->stats('in_flight') == 64 } '64 calls in flight';
		my ($row) = @{ progress() };
		is($row->[3], 64, 'which their report says') if $round == 0;
		my $begin = now();
		$control->do('SELECT pg_cancel_backend(' . $session->pid . ')');
		my $result = $session->receive;
		push @times, now() - $begin;
		fails_with($result, '57014', qr/canceling statement due to user request/, 'a set cancelled') if $round == 0;
		wait_for_quiet();
		($memory, $files) = (resident_kb($session->pid), scalar descriptors($session->pid)) if $round == 5;
	}
	note_times('cancel latency, 64 calls in flight', @times);
	cmp_ok(median(@times), '<', 0.05, 'a cancel takes effect at once');
	is_deeply(progress(), [], 'no report is left');
	is(scalar descriptors($session->pid), $files, 'no descriptor is left');
	is($sandbox->stats('open_connections'), $kept, 'no connection');
	cmp_ok(resident_kb($session->pid) - $memory, '<', 1024, 'no memory');
	is(threads($session->pid), 1, 'no thread');
	$sandbox->faults;
	works($session->query('SELECT count(status) FROM allpass_statuses(' . ids(1000) . ')'), 1000, 'the next set');

	# the session ends
	my $other = AllpassTest::Session->new($node);
	$sandbox->faults({ delay_ms => 60000 });
	$other->send('SELECT count(*) FROM allpass_statuses(' . ids(1000) . ')');
	poll { $sandbox->stats('in_flight') == 64 } '64 calls in flight';
	$control->do('SELECT pg_terminate_backend(' . $other->pid . ')');
	fails_with($other->receive, '57P01', qr/./, 'a session with a set ended');
	wait_for_quiet();
	$sandbox->faults;
}

# Memory does not grow with the set, and others can see how far it is.
{
	my $count = 20000;
	my @seen;

	start_anew($count);
	$sandbox->control('POST', 'config', { log => JSON::PP::false() });
	$session->do('SELECT count(*) FROM allpass_applicants(' . ids(1000) . ')');
	my $memory = resident_kb($session->pid);
	$session->send('SELECT count(applicant), count(sqlstate) FROM allpass_applicants(' . ids($count) . ')');
	my $most = 0;
	until ($session->is_ready)
	{
		my $now = resident_kb($session->pid);

		$most = $now if $now > $most;
		push @seen, map { $_->[2] } @{ progress() };
	}
	is_deeply($session->receive->{rows}, [ [ $count, 0 ] ], "$count documents");
	note(sprintf('memory grew by %d kB', $most - $memory));
	cmp_ok($most - $memory, '<', 8 * 1024, 'in little memory');
	cmp_ok(scalar(do { my %seen; grep { !$seen{$_}++ } @seen }), '>', 2, 'progress was seen');
	is(join(' ', sort { $a <=> $b } @seen), join(' ', @seen), 'and only forward');
}

# Whom progress is shown to.
{
	start_anew(10);
	$control->do('CREATE ROLE plain LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_read_all_stats TO watcher');
	$sandbox->faults({ delay_ms => 60000 });
	$session->send('SELECT count(*) FROM allpass_statuses(' . ids(10) . ')');
	poll { $sandbox->stats('in_flight') == 10 } 'the calls to arrive';
	is(AllpassTest::Session->new($node, user => 'plain')->value('SELECT count(*) FROM allpass_progress'), 0, 'not to a plain role');
	is(AllpassTest::Session->new($node, user => 'watcher')->value('SELECT in_flight FROM allpass_progress'), 10, 'to one that may read statistics');
	$control->do('SELECT pg_cancel_backend(' . $session->pid . ')');
	$session->receive;
	$sandbox->faults;
}

# The calls of a query that are made ahead are shown as well.
{
	start_anew(100);
	$session->do('CREATE TEMP TABLE members AS SELECT \'c-\' || i AS id FROM generate_series(1, 100) i');
	$sandbox->faults({ applicant => 'c-9', delay_ms => 60000 });
	$session->send('SELECT id, allpass_status(id) FROM members');
	poll { ($control->do('SELECT calls_done FROM allpass_progress')->{rows}[0][0] // 0) > 8 } 'progress of a plain query';
	my $row = progress()->[0];
	is($row->[1], 'prefetch', 'progress of calls made ahead');
	cmp_ok($row->[3], '>', 0, 'with those in flight');
	$control->do('SELECT pg_cancel_backend(' . $session->pid . ')');
	fails_with($session->receive, '57014', qr/./, 'which is cancelled');
	is(scalar @{ progress() }, 0, 'and is no longer shown');
	$sandbox->faults;
}

# What was certainly not sent is tried again, whatever it is.
{
	$session->do('SET allpass.server = nobody');
	foreach my $query (q{SELECT sqlstate FROM allpass_statuses('{c-1}')}, q{SELECT sqlstate FROM allpass_aml_screen('BTC', '{bc1q}')})
	{
		my $begin = now();

		works($session->query($query), 'KY001', 'nobody is there');
		cmp_ok(now() - $begin, '>', 1.5, 'which was tried for a while');
	}
	$session->do('RESET allpass.server');
}

# What was sent and may have been carried out is not, if it is paid for.
{
	start_anew(10);
	$sandbox->faults({ operation => 'aml_search', drop => 'after' });
	works($session->query(q{SELECT count(*) FROM allpass_aml_screen('BTC', ARRAY(SELECT 'bc1q' || i FROM generate_series(1, 100) AS i)) WHERE sqlstate = 'KY001'}),
		100, 'a hundred searches whose answer is lost');
	is($sandbox->stats('operations')->{aml_search}, 100, 'each was sent once');
	# also where connections that were kept break
	$sandbox->faults({ headers => { Connection => 'close' } });
	$session->do('SELECT count(*) FROM allpass_statuses(' . ids(10) . ')');
	works($session->query(q{SELECT count(score) FROM allpass_aml_screen('BTC', ARRAY(SELECT 'bc1p' || i FROM generate_series(1, 100) AS i))}),
		100, 'a hundred on connections that end');
	is($sandbox->stats('operations')->{aml_search}, 200, 'each was sent once');
	$sandbox->faults;
}

done_testing();
