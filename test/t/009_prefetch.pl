# Queries whose calls are made ahead give what they give without, row by row,
# notice by notice, and error by error, and make no more calls: in generated
# queries of many shapes, in cursors, prepared statements and changes of data.
#
# Why not psql: two sessions run the same statements, and what they give is
# compared with all fields of an error; nobody could read thousands of results.
#
# Reads from the environment:
#	ALLPASS_PREFETCH_QUERIES	how many queries
#	ALLPASS_PREFETCH_SEED		the seed of the generator
#	ALLPASS_CANCEL_REPEATS		how many cancels

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use Test::More;

my $queries = $ENV{ALLPASS_PREFETCH_QUERIES} // 1000;
my $seed = $ENV{ALLPASS_PREFETCH_SEED} // 20261;

# How many calls may be under way; small, so that a window too many shows.
my $window = 5;

my $node = make_node('prefetch', conf => "jit = off\nmax_parallel_workers_per_gather = 0\n");
my $sandbox = AllpassTest::Sandbox->new('--delay-ms', 0);

$sandbox->control('POST', 'config', { log => \0 });
$sandbox->seed(count => 15, prefix => 'c-');
$sandbox->seed(count => 15, prefix => 'i-', status => 'INIT');
$sandbox->faults({ applicant => 'c-7', operation => 'applicant_status', status => 503 },
	{ applicant => 'i-4', operation => 'applicant', body => 'oops' });

my $setup = AllpassTest::Session->new($node);

make_server($setup, 'allpass', $sandbox->url, max_concurrency => $window);
$setup->do($_) foreach (
	# v is no number at times, and d is zero at times
	q(CREATE TABLE clean AS
		SELECT n, CASE WHEN n % 11 = 0 THEN NULL WHEN n % 2 = 0 THEN 'i-' || n % 15 + 1
			ELSE 'c-' || n % 6 + 1 END AS id, n % 7 AS g, n::text AS v, n % 5 + 1 AS d
		FROM generate_series(1, 40) n),
	q(CREATE TABLE dirty AS
		SELECT n, CASE WHEN n = 17 THEN 'nobody' WHEN n = 23 THEN '.' WHEN n = 31 THEN NULL
			WHEN n % 2 = 0 THEN 'i-' || n % 15 + 1 ELSE 'c-' || n % 11 + 1 END AS id,
			n % 7 AS g, CASE WHEN n = 29 THEN 'x' ELSE n::text END AS v, n % 13 AS d
		FROM generate_series(1, 40) n),
	q(CREATE TABLE orders AS
		SELECT n AS o, CASE WHEN n % 3 = 0 THEN 'i-' ELSE 'c-' END || n % 6 + 1 AS cid, n % 9 AS amount
		FROM generate_series(1, 50) n),
	q(CREATE INDEX ON clean (n)), q(CREATE INDEX ON dirty (n)), q(CREATE UNIQUE INDEX ON orders (o)),
	q(CREATE INDEX ON clean (id)), q(CREATE INDEX ON orders (cid)),
	q(CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM clean WHERE g < 5),
	q(CREATE VIEW statuses AS SELECT *, allpass_status(id, true) AS s FROM clean WHERE n < 30),
	q(CREATE TABLE secured (LIKE clean)), q(INSERT INTO secured SELECT * FROM clean),
	q(ALTER TABLE secured ENABLE ROW LEVEL SECURITY), q(ALTER TABLE secured FORCE ROW LEVEL SECURITY),
	q(CREATE POLICY even ON secured USING (n % 2 = 0 AND allpass_status(id, true) IS DISTINCT FROM 'APPROVED')),
	q(CREATE TABLE sink (n int, s text)),
	q(CREATE SEQUENCE counter),
	q(CREATE FUNCTION noisy(n int) RETURNS bool LANGUAGE plpgsql VOLATILE AS
		$$ BEGIN RAISE NOTICE 'saw %', n; RETURN n % 3 > 0; END $$),
	q(CREATE FUNCTION quiet(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN RETURN 100 / (n - 36) > -100 AND n % 4 < 3; END $$),
	q(CREATE FUNCTION asks(id text) RETURNS text LANGUAGE plpgsql AS
		$$ BEGIN RETURN allpass_status(id, true) || allpass_status(id, true); END $$),
	q(CREATE FUNCTION definer(id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
		$$ SELECT allpass_status(c.id, true) FROM clean c WHERE c.id = $1 ORDER BY n $$),
	q(CREATE ROLE reader), q(GRANT ALL ON ALL TABLES IN SCHEMA public TO reader),
	q(GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO reader),
	q(GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO reader),
	q(GRANT USAGE ON FOREIGN SERVER allpass TO reader),
	q(ANALYZE));

my $on = AllpassTest::Session->new($node);
my $off = AllpassTest::Session->new($node);

$off->do('SET allpass.prefetch = off');
$_->do('SET role = reader') foreach $on, $off;

# --- what queries are made of -----------------------------------------------

# Choose one of these; what is given twice is chosen twice as often.
sub any
{
	return $_[ int(rand(@_)) ];
}

# Give something once in so many times, else an empty text.
sub sometimes
{
	my ($times, $text) = @_;

	return rand($times) < 1 ? $text : '';
}

# Make the id of a row, as an argument.
sub make_id
{
	my ($t) = @_;

	return any("$t.id", "$t.id", "$t.id", "$t.id", "$t.id || ''", "nullif($t.id, 'i-3')", "coalesce($t.id, 'c-2')",
		"'c-' || $t.n % 4 + 1", "'i-' || 12 / $t.d", "(ARRAY['c-1', 'c-2', $t.id])[$t.g]");
}

# Make a call, as a text.
sub make_call
{
	my ($t) = @_;
	my $id = make_id($t);
	my $missing_ok = any(', true', ', true', ', true', ', false', '', ", $t.g > 2");

	return any("allpass_status($id$missing_ok)", "allpass_status($id$missing_ok)",
		"(allpass_applicant_status($id$missing_ok) ->> 'status')",
		"(allpass_applicant($id$missing_ok) ->> 'externalUserId')",
		sometimes(4, "asks($id)") || "allpass_status($id$missing_ok)",
		sometimes(4, "definer($id)") || "allpass_status($id$missing_ok)");
}

# Make a condition of a row that calls.
sub make_calling_condition
{
	my ($t) = @_;
	my $call = make_call($t);

	return any("$call = 'APPROVED'", "$call = 'INIT'", "$call IS NOT NULL", "$call LIKE 'A%'",
		"$call IN ('INIT', 'c-1', 'c-2')", "($call = 'INIT' OR " . make_call($t) . " = 'APPROVED')",
		"($t.g > 3 OR $call = 'INIT')", "CASE WHEN $t.g < 4 THEN $call = 'INIT' ELSE true END",
		"coalesce($call, $t.v) <> 'INIT'", "upper($call) <> $t.v", "${call} || $t.v > 'B'",
		"EXISTS (SELECT FROM orders o WHERE o.cid = $t.id AND $call IS NOT NULL)");
}

# Make a condition of a row.
sub make_condition
{
	my ($t) = @_;

	return make_calling_condition($t) if rand() < 0.35;
	return any("$t.g < " . int(rand(8)), "$t.n > " . int(rand(40)), "100 / $t.d > 10", "$t.v::int < 30",
		"$t.id LIKE 'c%'", "$t.id IS NOT NULL", "$t.n % 3 = 1", "$t.n < $t.g * 6",
		sometimes(2, "quiet($t.n)") || "$t.g <> 2", sometimes(3, "noisy($t.n)") || "$t.g <> 3");
}

# Make WHERE, or nothing.
sub make_where
{
	my ($t) = @_;
	my @conditions = map { make_condition($t) } 1 .. any(0, 1, 1, 2, 2, 3);

	return @conditions ? 'WHERE ' . join(' AND ', @conditions) : '';
}

# Choose a table; most have rows that only some expressions fail at.
sub make_table
{
	return any('clean', 'clean', 'clean', 'dirty', 'dirty', 'barrier', 'secured');
}

# Make FROM with the table t and perhaps others.
sub make_from
{
	my $table = make_table();

	return any(
		"$table t", "$table t",
		"$table t JOIN orders o ON o.cid = t.id",
		"$table t LEFT JOIN orders o ON o.cid = t.id AND o.amount < 4",
		"$table t JOIN orders o ON o.o = t.n",
		"orders o LEFT JOIN $table t ON o.cid = t.id",
		"$table t JOIN orders o ON allpass_status(t.id, true) = 'INIT' AND o.o = t.n",
		"$table t JOIN orders o ON o.cid = t.id AND allpass_status(o.cid, true) = 'INIT'",
		"$table t, LATERAL allpass_services(t.id, true) s",
		"$table t, allpass_services(" . make_id('t') . ') s',
		"$table t LEFT JOIN LATERAL allpass_services(t.id, true) s ON s.ordinality < 3",
		"$table t CROSS JOIN LATERAL (SELECT * FROM allpass_services(t.id, true) LIMIT 2) s",
		"$table t CROSS JOIN LATERAL (SELECT count(*) AS n FROM allpass_services(t.id, true)) s",
		"$table t JOIN orders o ON o.o = t.n, allpass_services(o.cid, true) s",
		"(SELECT *, " . make_call('i') . " AS s FROM $table i " . make_where('i') . sometimes(2, ' OFFSET 0') . ') t',
		"(SELECT * FROM $table i " . make_where('i') . ' ORDER BY i.g, i.n LIMIT ' . int(rand(20)) . ') t',
		"(SELECT DISTINCT id, n, g, v, d FROM $table i " . make_where('i') . ') t',
		"(SELECT * FROM $table UNION ALL SELECT * FROM clean WHERE n < 9) t",
		'statuses t', 'statuses t',
		"$table t JOIN (SELECT n, " . make_call('i') . " AS s FROM clean i OFFSET 0) i ON i.n = t.n");
}

# Make one column.
sub make_column
{
	return make_call('t') if rand() < 0.6;
	return any('t.n', 't.id', 't.g', 't.v::int', '10 / t.d', 't', 'NULL',
		sometimes(2, "(SELECT count(*) FROM allpass_services(t.id, true))") || 't.n',
		sometimes(2, "(SELECT max(allpass_status(o.cid)) FROM orders o WHERE o.cid = t.id)") || 't.id',
		sometimes(3, "nextval('counter') - nextval('counter')") || 't.g',
		'CASE WHEN t.g > 3 THEN ' . make_call('t') . ' END',
		'coalesce(' . make_call('t') . ', ' . make_call('t') . ')');
}

# Make a query that gives rows.
sub make_query
{
	my $from = make_from();
	my $where = make_where('t');
	my $limit = sometimes(3, ' LIMIT ' . any(0 .. 12)) . sometimes(8, ' OFFSET ' . any(1 .. 6));
	my $call = make_call('t');
	my $columns = join(', ', 't.n', map { make_column() } 1 .. any(1, 1, 2, 3));
	my $order = any('', '', ' ORDER BY t.n', ' ORDER BY t.g, t.n', ' ORDER BY 2, 1');

	return any(
		("SELECT $columns FROM $from $where$order$limit") x 6,
		"SELECT t.g, count(*), max($call) FROM $from $where GROUP BY t.g" . any('', ' HAVING count(*) > 2') . " ORDER BY 1$limit",
		"SELECT $call AS s, count(*) FROM $from $where GROUP BY 1 ORDER BY 1",
		"SELECT t.g, string_agg($call, ',' ORDER BY t.n) FROM $from $where GROUP BY t.g",
		"SELECT count(*) FILTER (WHERE $call = 'INIT'), max(t.n) FROM $from $where",
		"SELECT t.id, allpass_status(t.id, true), count(*) FROM $from $where GROUP BY t.id" . any('', " HAVING allpass_status(t.id, true) = 'INIT'"),
		"SELECT DISTINCT $call FROM $from $where$limit",
		"SELECT t.n, (allpass_services(t.id, true)).service FROM $from $where$limit",
		"SELECT t.n, $call, row_number() OVER (ORDER BY t.n) FROM $from $where$limit",
		"SELECT t.n, lag($call) OVER (ORDER BY t.n) FROM $from $where",
		"WITH w AS MATERIALIZED (SELECT $columns FROM $from $where) SELECT * FROM w" . any($limit, " UNION ALL SELECT * FROM w$limit"),
		"WITH RECURSIVE r(n, s) AS (SELECT 1, 'INIT' UNION ALL SELECT r.n + 1, allpass_status('i-' || r.n) FROM r WHERE r.n < 9) SELECT * FROM r",
		"SELECT $columns FROM $from WHERE EXISTS (SELECT FROM clean t2 WHERE t2.n < t.g AND " . make_calling_condition('t2') . ')',
		"SELECT $columns FROM $from WHERE t.id IN (SELECT t2.id FROM dirty t2 " . make_where('t2') . ')',
		"SELECT $columns FROM $from $where$order FOR UPDATE OF t$limit",
		"SELECT x.n, allpass_status(x.id, true) FROM (SELECT n, id FROM clean WHERE n < 20 FOR UPDATE) x$limit");
}

# Make statements that run a query in one way or another.
sub make_statements
{
	my $query = make_query();

	return ($query) if rand() < 0.6;
	return any(
		[ "PREPARE p(int) AS $query", 'EXECUTE p(1)', 'EXECUTE p(2)', 'DEALLOCATE p' ],
		[ 'SET plan_cache_mode = force_generic_plan',
			'PREPARE p(int, text) AS SELECT t.n, allpass_status(t.id || $2, true) FROM clean t WHERE t.n > $1 LIMIT $1',
			'EXECUTE p(' . int(rand(12)) . ", '')", "EXECUTE p(5, any_value)" =~ s/any_value/'x'/r, 'DEALLOCATE p' ],
		[ 'BEGIN', 'DECLARE c' . any('', '', ' SCROLL', ' NO SCROLL', ' INSENSITIVE') . " CURSOR FOR $query",
			(map { any('FETCH 1 c', 'FETCH 3 c', 'FETCH 7 c', 'MOVE 2 c', 'FETCH ALL c', 'FETCH BACKWARD 1 c', 'FETCH BACKWARD 3 c',
				'MOVE BACKWARD 2 c', 'FETCH FIRST c', 'FETCH LAST c', 'FETCH ABSOLUTE 4 c', 'FETCH RELATIVE -2 c', 'FETCH PRIOR c', 'MOVE FIRST c', 'MOVE BACKWARD ALL c') } 1 .. 6),
			'ROLLBACK' ],
		[ 'BEGIN', "DECLARE c CURSOR FOR SELECT t.n, allpass_status(t.id, true) FROM clean t WHERE t.g < 5", 'FETCH ' . any(1 .. 9) . ' c',
			'UPDATE clean SET g = -1 WHERE CURRENT OF c RETURNING n', 'FETCH 2 c', 'DELETE FROM clean WHERE CURRENT OF c RETURNING n', 'ROLLBACK' ],
		[ 'BEGIN', "INSERT INTO sink SELECT q.n, 'x' FROM ($query) q(n) RETURNING *", 'SELECT * FROM sink', 'ROLLBACK' ],
		[ 'BEGIN', 'UPDATE dirty t SET v = ' . make_call('t') . ' ' . make_where('t') . ' RETURNING t.*', 'SELECT * FROM dirty ORDER BY n', 'ROLLBACK' ],
		[ 'BEGIN', 'UPDATE clean t SET v = ' . make_call('o') =~ s/\bo\.(n|d|g|v)\b/o.amount/gr =~ s/o\.id/o.cid/gr . " FROM orders o WHERE o.o = t.n AND t.g < 4 RETURNING t.*", 'ROLLBACK' ],
		[ 'BEGIN', 'DELETE FROM clean t ' . make_where('t') . ' RETURNING t.n, ' . make_call('t'), 'ROLLBACK' ],
		[ "DO \$\$ DECLARE r record; i int := 0; BEGIN FOR r IN $query LOOP RAISE NOTICE '%', r; i := i + 1; EXIT WHEN i > " . any(1, 3, 9, 99) . '; END LOOP; END $$' ],
		[ "DO \$\$ DECLARE r record; BEGIN SELECT * INTO r FROM ($query) q; RAISE NOTICE '%', r; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END \$\$" ],
	);
}

# Make settings for a query, so that plans differ.
sub make_settings
{
	my @off = grep { rand() < 0.3 } qw(enable_hashjoin enable_mergejoin enable_nestloop enable_sort enable_seqscan
	  enable_bitmapscan enable_indexscan enable_hashagg enable_memoize enable_material);

	return ('RESET ALL', 'SET role = reader', (map { "SET $_ = off" } @off),
		(rand() < 0.1 ? 'SET allpass.max_calls_per_statement = ' . int(1 + rand(40)) : ()),
		(rand() < 0.05 ? 'SET work_mem = 64' : ()));
}

# --- running and comparing --------------------------------------------------

# Give what a result says, as a text.
sub describe
{
	my ($result) = @_;
	my $error = $result->{error};

	return join("\n",
		(map { join('|', map { $_ // '(null)' } @$_) } @{ $result->{rows} }),
		(map { "notice: $_->{M}" } @{ $result->{notices} }),
		$error ? "error: $error->{C} $error->{M} " . ($error->{D} // '') : (),
		$result->{closed} ? 'closed' : ());
}

# Run statements in a session: gives what they say, whether one failed, and how
# many calls were made.
sub run
{
	my ($session, @statements) = @_;
	my $before = $sandbox->stats('requests');
	my $failed = 0;
	my @texts;

	foreach my $statement (@statements)
	{
		my $result = $session->query($statement);

		push @texts, describe($result);
		$failed ||= $result->{error} || $result->{closed};
	}
	poll { $sandbox->stats('in_flight') == 0 } 'the calls to end';
	return (\@texts, $failed, $sandbox->stats('requests') - $before);
}

# Count the nodes in the plans of statements, and tell whether something may
# stop to read before the end.
sub look_at_plans
{
	my (@statements) = @_;
	my ($nodes, $may_stop) = (0, 0);

	foreach my $statement (@statements)
	{
		next if $statement !~ /allpass|asks|definer|statuses|secured/;
		$may_stop = 1 if $statement =~ /CURSOR|^DO/;
		(my $query = $statement) =~ s/^(PREPARE p\S*( text\))? AS|DECLARE c .*?CURSOR FOR|DECLARE c CURSOR FOR) //;
		$query =~ s/^DO \$\$.*?(FOR r IN|INTO r FROM) (.*?) (LOOP RAISE|q; RAISE).*/SELECT * FROM ($2) q/s;
		$query =~ s/\(\((SELECT .*)\)\) q$/($1) q/s;
		$query =~ s/\$1/5/g;
		$query =~ s/\$2/''/g;
		my $plan = join("\n", map { $_->[0] } @{ $on->query("EXPLAIN $query")->{rows} });

		$nodes += () = $plan =~ /AllpassPrefetch/g;
		$may_stop = 1 if $plan =~ /Limit|Merge Join|Hash.*Join|Semi|Anti|SubPlan|InitPlan|Nested Loop|WindowAgg|FOR UPDATE/;
	}
	return ($nodes, $may_stop);
}

srand($seed);
note("$queries queries with seed $seed");

my ($with_nodes, $with_calls, $errors, $calls_on, $calls_off) = (0) x 5;
my (@different, @too_many);

foreach my $number (1 .. $queries)
{
	my @statements = map { ref $_ ? @$_ : $_ } make_statements();
	my @settings = make_settings();

	foreach my $session ($on, $off)
	{
		$session->do($_) foreach @settings;
	}
	$off->do('SET allpass.prefetch = off');
	my ($expected, $failed, $expected_calls) = run($off, @statements);
	my ($given, undef, $given_calls) = run($on, @statements);

	if ("@$expected" ne "@$given")
	{
		push @different, join("\n", "query $number:", @settings, @statements,
			'--- off:', @$expected, '--- on:', @$given);
		last if "@$given" =~ /closed/;
	}
	next if $expected_calls == 0;
	my ($nodes, $may_stop) = look_at_plans(@statements);
	# of a query that fails, calls of conditions for rows that were read ahead come on top
	my $windows = $failed ? 3 * $nodes : $may_stop ? $nodes : 0;
	my $allowed = $expected_calls + $windows * $window * (1 + grep { /^EXECUTE/ } @statements);

	# what arrives late counts for the next query
	if ($given_calls > $allowed)
	{
		(undef, undef, $given_calls) = run($on, @statements);
		push @too_many, join("\n", "query $number:", @settings, @statements,
			"$given_calls calls of $expected_calls, $nodes nodes, may stop: $may_stop") if $given_calls > $allowed;
	}
	$with_calls++;
	$with_nodes++ if $nodes > 0;
	$errors++ if $failed;
	$calls_on += $given_calls;
	$calls_off += $expected_calls;
}
note("$with_calls queries made calls, $with_nodes had nodes, $errors failed; $calls_on calls of $calls_off");

is(scalar @different, 0, 'the results are the same');
diag(join("\n\n", @different[ 0 .. (@different > 5 ? 4 : $#different) ])) if @different;
is(scalar @too_many, 0, 'there are no calls too many');
diag(join("\n\n", @too_many[ 0 .. (@too_many > 5 ? 4 : $#too_many) ])) if @too_many;
cmp_ok($with_nodes, '>', 0.6 * $with_calls, 'most queries had nodes');
cmp_ok($errors, '>', 0.05 * $with_calls, 'some queries failed');
cmp_ok($calls_on, '<', $calls_off, 'calls were saved');

# --- being cancelled --------------------------------------------------------

# A query with many calls under way ends at once, and leaves nothing behind.
my $victim = AllpassTest::Session->new($node);
my $many = 64;
my $repeats = $ENV{ALLPASS_CANCEL_REPEATS} // 30;
my @times;

$sandbox->faults;
$setup->do("ALTER SERVER allpass OPTIONS (SET max_concurrency '$many')");
$sandbox->seed(count => 500, prefix => 'm-');
$sandbox->control('POST', 'config', { delay_ms => 1 });
my $calling = "SELECT count(s) FROM (SELECT allpass_status('m-' || n) AS s FROM generate_series(1, 500) n OFFSET 0) q";

# Cancel the query when all its calls are under way, and give the time it took.
sub cancel_once
{
	$victim->send($calling);
	poll { $sandbox->stats('in_flight') == $many } 'all calls to be under way';
	my $begin = now();
	$setup->do('SELECT pg_cancel_backend(' . $victim->pid . ')');
	my $result = $victim->receive;
	my $time = now() - $begin;

	fails_with($result, '57014', qr/canceling statement due to user request/, 'cancelled') if !$result->{error} || $result->{error}{C} ne '57014';
	return $time;
}

works($victim->query($calling), 500, 'a query with many calls works');
# the first call of a query comes alone, so only later ones are slow
$sandbox->control('POST', 'config', { delay_ms => 0 });
$sandbox->faults(map { { operation => 'applicant_status', applicant => "m-$_", delay_ms => 60000 } } 20 .. 500);
cancel_once() foreach 1 .. 5;
my $descriptors = () = descriptors($victim->pid);
my $resident = resident_kb($victim->pid);
poll { $sandbox->stats('in_flight') == 0 } 'the API to see the calls end';
my $connections = $sandbox->stats('open_connections');

push @times, cancel_once() foreach 1 .. $repeats;
note_times("cancel with $many calls under way", @times);
cmp_ok(median(@times), '<', 0.05, 'a cancel takes effect at once');
is(scalar(() = descriptors($victim->pid)), $descriptors, 'no descriptor is left behind');
cmp_ok(resident_kb($victim->pid) - $resident, '<', 512, 'no memory is left behind');
poll { $sandbox->stats('in_flight') == 0 } 'the API to see the calls end';
cmp_ok($sandbox->stats('open_connections'), '<=', $connections, 'no connection of an ended call is left behind');
$sandbox->faults;
works($victim->query($calling), 500, 'and then the query works');

done_testing();
