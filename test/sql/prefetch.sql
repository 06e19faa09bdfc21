--
-- prefetch: calls that are made ahead of a query's rows: where, how many, and
-- what does not change by it.  test/t/009_prefetch.pl compares many more.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
CALL sandbox.reset();
CALL sandbox.seed(40);
CREATE TABLE customer AS SELECT n, 'c-' || n AS id, n % 10 AS g FROM generate_series(1, 40) AS n;
CREATE TABLE purchase AS SELECT n, 'c-' || n % 10 + 1 AS customer FROM generate_series(1, 30) AS n;
ANALYZE customer, purchase;
ALTER SERVER allpass OPTIONS (ADD max_concurrency '8');

-- Give the calls made since the last time.
CREATE TABLE called (n int);
INSERT INTO called VALUES (0);
CREATE FUNCTION calls() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	made int;
	before int := (SELECT n FROM called);
BEGIN
	-- what was given up may still be on its way
	WHILE (sandbox.stats() ->> 'in_flight')::int > 0 LOOP
	END LOOP;
	made := sandbox.requests();
	UPDATE called SET n = made;
	RETURN made - before;
END
$$;

-- in the first statement of a session, with nothing preloaded
\c
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer;
CALL sandbox.config('{"delay_ms": 20}');
\c
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
SELECT count(*), min(status) FROM (SELECT id, allpass_status(id) AS status FROM customer OFFSET 0) AS s;
CALL sandbox.config('{"delay_ms": 0}');
SELECT calls(), (sandbox.stats() ->> 'peak_concurrency')::int BETWEEN 2 AND 8 AS many_at_a_time;
SHOW allpass.prefetch;

-- a filter: no call for a row that a cheaper one removes; the same call in both is one
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer WHERE allpass_status(id) = 'APPROVED' AND g = 3;
SELECT id, allpass_status(id) FROM customer WHERE allpass_status(id) = 'APPROVED' AND g = 3;
SELECT calls();
-- of two filters the second is asked for what passes the first
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE allpass_status(id) = 'INIT' AND upper(allpass_applicant(id) ->> 'status') = 'INIT';
SELECT id FROM customer WHERE allpass_status(id) = 'INIT' AND upper(allpass_applicant(id) ->> 'status') = 'INIT';
SELECT calls();

-- the counters of EXPLAIN ANALYZE
SET jit = off;
CREATE FUNCTION explain(query text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(line, 'Peak Concurrency: [2-8]$', 'Peak Concurrency: many')
	FROM sandbox.plan(query, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF') AS line
$$;
SELECT explain('SELECT p.n, allpass_status(p.customer) FROM purchase AS p');
SELECT calls();
SELECT explain('SELECT id FROM customer WHERE allpass_status(id) = ''INIT''');
SELECT calls();
-- an empty, a null and a refused argument make none
SELECT explain('SELECT allpass_status(nullif(id, id)), allpass_status(id, nullif(true, true)) FROM customer WHERE g = 1');
SELECT calls();

-- joins, with duplicates
EXPLAIN (COSTS OFF) SELECT p.n, allpass_status(c.id) FROM purchase AS p JOIN customer AS c ON c.id = p.customer;
SELECT count(allpass_status(c.id)) FROM purchase AS p JOIN customer AS c ON c.id = p.customer;
SELECT calls();
SELECT count(*) FROM purchase AS p LEFT JOIN customer AS c ON c.id = p.customer AND c.n < 4 WHERE allpass_status(c.id) IS NULL;
SELECT calls();

-- functions of the rows of another table
EXPLAIN (COSTS OFF) SELECT c.id, s.service FROM customer AS c, allpass_services(c.id) AS s WHERE c.g = 2;
SELECT c.id, count(*) FROM customer AS c, LATERAL allpass_services(c.id) AS s WHERE c.g = 2 GROUP BY 1 ORDER BY 1;
SELECT calls();
EXPLAIN (COSTS OFF) SELECT c.id, s.n, d.name FROM customer AS c LEFT JOIN LATERAL (SELECT count(*) AS n FROM allpass_services(c.id)) AS s ON true, allpass_documents(c.id) AS d WHERE allpass_status(c.id) = 'APPROVED' AND c.g = 2;
SELECT count(*) FROM customer AS c LEFT JOIN LATERAL (SELECT count(*) AS n FROM allpass_services(c.id)) AS s ON true, allpass_documents(c.id) AS d WHERE allpass_status(c.id) = 'APPROVED' AND c.g = 2;
SELECT calls();
EXPLAIN (COSTS OFF) SELECT id, (allpass_services(id)).service FROM customer;

-- aggregates, groups, windows, DISTINCT, ORDER BY, UNION ALL, subqueries, CTEs
EXPLAIN (COSTS OFF) SELECT g, count(allpass_status(id)) FROM customer GROUP BY g HAVING allpass_status('c-' || g + 1) = 'APPROVED';
EXPLAIN (COSTS OFF) SELECT allpass_status(id), count(*) FROM customer GROUP BY 1;
EXPLAIN (COSTS OFF) SELECT DISTINCT allpass_status(id) FROM customer ORDER BY 1;
SELECT sandbox.plan('SELECT allpass_status(id), rank() OVER (ORDER BY g) FROM customer');
EXPLAIN (COSTS OFF) SELECT allpass_status(id) FROM customer UNION ALL SELECT allpass_status(customer) FROM purchase;
EXPLAIN (COSTS OFF) WITH s AS MATERIALIZED (SELECT id, allpass_status(id) AS status FROM customer) SELECT * FROM s WHERE status = 'INIT';
SELECT allpass_status(id), count(*) FROM customer GROUP BY 1;
SELECT calls();
CREATE VIEW statuses AS SELECT id, g, allpass_status(id) AS status FROM customer;
EXPLAIN (COSTS OFF) SELECT * FROM statuses WHERE g = 1;
SELECT count(*) FROM statuses WHERE g = 1 AND status = 'APPROVED';
SELECT calls();
-- parallel workers are below it
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer WHERE g = 1;
SELECT count(*) FROM (SELECT id, allpass_status(id) FROM customer WHERE g = 1 OFFSET 0) AS s;
SELECT calls();
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- LIMIT: as many calls as rows, after the sort; through a filter one window more
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer ORDER BY n DESC LIMIT 3 OFFSET 2;
SELECT id, allpass_status(id) FROM customer ORDER BY n DESC LIMIT 3 OFFSET 2;
SELECT calls();
SELECT id FROM customer WHERE allpass_status(id) = 'APPROVED' LIMIT 3;
SELECT calls() BETWEEN 3 AND 3 + 8 AS few;
SELECT id, allpass_applicant(id) ->> 'status' AS status FROM customer WHERE allpass_status(id) = 'APPROVED' LIMIT 2;
SELECT calls() BETWEEN 4 AND 4 + 8 AS few;
PREPARE few(int) AS SELECT id, allpass_status(id) FROM customer WHERE n > $1 LIMIT $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE few(2);
EXECUTE few(3);
SELECT calls();
-- the setting holds for a plan that is there
SET allpass.prefetch = off;
EXECUTE few(1);
SELECT calls();
RESET allpass.prefetch;
RESET plan_cache_mode;
SELECT count(*) FROM customer AS c WHERE EXISTS (SELECT FROM purchase AS p WHERE p.customer = c.id AND allpass_status(p.customer) = 'APPROVED');
SELECT calls() <= 10 + 10 * 8 AS few;

-- cursors: few rows cost few calls, and going back none
BEGIN;
DECLARE c CURSOR FOR SELECT id, allpass_status(id) FROM customer;
FETCH 3 FROM c;
SELECT calls() <= 6 AS few;
FETCH BACKWARD 2 FROM c;
FETCH 3 FROM c;
SELECT calls() <= 1 + 8 AS few;
MOVE LAST FROM c;
FETCH PRIOR FROM c;
MOVE ABSOLUTE 0 FROM c;
FETCH 1 FROM c;
SELECT calls() <= 40 AS no_call_twice;
UPDATE customer SET g = 0 WHERE CURRENT OF c RETURNING id;
ROLLBACK;

-- errors come with their row: of the call, of the data, and in this order
UPDATE customer SET id = 'nobody' WHERE n = 5;
SELECT id, allpass_status(id) FROM customer WHERE n < 5 ORDER BY n;
SELECT id, allpass_status(id) FROM customer ORDER BY n LIMIT 4;
SELECT id, allpass_status(id) FROM customer ORDER BY n LIMIT 5;
SELECT count(allpass_status(id, true)), count(*) FROM customer;
SELECT id, allpass_status(id) FROM customer WHERE 1 / (n - 4) < 2 LIMIT 3;
SELECT id, allpass_status(id) FROM customer WHERE 1 / (n - 4) < 2 LIMIT 4;
SELECT id, allpass_status('c-' || 8 / (4 - n)) FROM customer LIMIT 3;
SELECT id, allpass_status('c-' || 8 / (4 - n)) FROM customer LIMIT 4;
BEGIN;
DECLARE c CURSOR FOR SELECT n, allpass_status(id) FROM customer;
FETCH 4 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH 2 FROM c;
FETCH 1 FROM c;
ROLLBACK;
UPDATE customer SET id = 'c-5' WHERE n = 5;
-- of the configuration, too, and of the limit, which counts as ever
SET allpass.server = 'nowhere';
SELECT id, allpass_status(id) FROM customer LIMIT 0;
SELECT id, allpass_status(nullif(id, 'c-1')) FROM customer LIMIT 1;
SELECT id, allpass_status(id) FROM customer LIMIT 1;
RESET allpass.server;
SET allpass.max_calls_per_statement = 4;
SELECT calls() >= 0 AS counted;
SELECT customer, allpass_status(customer) FROM purchase WHERE n % 10 = 1 OR n = 2;
SELECT customer, allpass_status(customer) FROM purchase WHERE n % 10 IN (1, 2);
SELECT calls() <= 4 AS few;
RESET allpass.max_calls_per_statement;

-- what a function does inside is its own: it asks again
CREATE FUNCTION poll(id text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN allpass_status(id) || allpass_status(id) || allpass_status(id); END $$;
SELECT poll(id), allpass_status(id) FROM customer WHERE n = 1;
SELECT calls();
CREATE FUNCTION approved(customer text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$ SELECT allpass_status(c.id) = 'APPROVED' FROM customer AS c WHERE c.id = customer $$;
SELECT count(*) FROM customer WHERE n < 4 AND approved(id);
SELECT calls();

-- row security and security barriers: rows that they remove are not asked for
CREATE TABLE hidden AS SELECT * FROM customer;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON hidden USING (g = 7);
CREATE ROLE regress_allpass_reader;
GRANT SELECT ON hidden TO regress_allpass_reader;
GRANT EXECUTE ON FUNCTION allpass_status TO regress_allpass_reader;
GRANT USAGE ON FOREIGN SERVER allpass TO regress_allpass_reader;
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM customer WHERE g = 8;
SET ROLE regress_allpass_reader;
EXPLAIN (COSTS OFF) SELECT id FROM hidden WHERE allpass_status(id) = 'APPROVED';
SELECT id FROM hidden WHERE allpass_status(id) = 'APPROVED';
RESET ROLE;
SELECT calls();
EXPLAIN (COSTS OFF) SELECT id FROM barrier WHERE allpass_status(id) = 'APPROVED';
SELECT id FROM barrier WHERE allpass_status(id) = 'APPROVED';
SELECT calls();

-- one row at a time above what has effects: locks, and functions
EXPLAIN (COSTS OFF) SELECT allpass_status(id) FROM (SELECT id FROM customer FOR UPDATE) AS s LIMIT 2;
SELECT allpass_status(id) FROM (SELECT id FROM customer FOR UPDATE) AS s LIMIT 2;
SELECT calls();
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer FOR UPDATE;
CREATE FUNCTION seen(n int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'saw %', n; RETURN true; END $$;
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer WHERE seen(n) LIMIT 2;
SELECT id, allpass_status(id) FROM customer WHERE seen(n) LIMIT 2;

-- a merge join can go back in what it marked
CREATE INDEX ON purchase (customer);
SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM purchase AS a JOIN purchase AS b USING (customer) WHERE allpass_status(a.customer) = 'APPROVED' AND allpass_status(b.customer) = 'APPROVED';
SELECT count(*) FROM purchase AS a JOIN purchase AS b USING (customer) WHERE allpass_status(a.customer) = 'APPROVED' AND allpass_status(b.customer) = 'APPROVED';
RESET enable_hashjoin; RESET enable_nestloop; RESET enable_sort; RESET enable_seqscan; RESET enable_bitmapscan;
SELECT calls();

-- changes of data
CREATE TABLE sink (id text, status text);
EXPLAIN (COSTS OFF) INSERT INTO sink SELECT id, allpass_status(id) FROM customer;
INSERT INTO sink SELECT id, allpass_status(id) FROM customer;
SELECT count(*), min(status) FROM sink;
EXPLAIN (COSTS OFF) UPDATE sink SET status = allpass_status(id) || '!' WHERE id < 'c-2';
UPDATE sink SET status = allpass_status(id) || '!' WHERE id < 'c-2';
DELETE FROM sink WHERE allpass_status(id) = 'APPROVED' AND status LIKE '%!';
SELECT count(*), min(status) FROM sink;
SELECT calls();
MERGE INTO sink USING (SELECT id, allpass_status(id) AS status FROM customer WHERE n < 4) AS c ON sink.id = c.id
WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (c.id, c.status);
SELECT calls();

-- what stays serial: later branches, subqueries, keys, arguments that are not pure or not of the row
SELECT sandbox.plan('SELECT allpass_status(id), CASE WHEN g > 3 THEN allpass_status(id) END, (SELECT count(*) FROM allpass_services(c.id)) FROM customer AS c');
EXPLAIN (COSTS OFF) SELECT CASE WHEN g > 3 THEN allpass_status(id) END FROM customer;
EXPLAIN (COSTS OFF) SELECT allpass_status(poll(id)) FROM customer;
EXPLAIN (COSTS OFF) SELECT allpass_status('c-1') FROM customer;
EXPLAIN (COSTS OFF) SELECT allpass_status('c-1');
-- and what writes as well: it may read what it has written
EXPLAIN (COSTS OFF) SELECT allpass_status(id), allpass_restore(id) FROM customer;
SET allpass.prefetch = off;
EXPLAIN (COSTS OFF) SELECT id, allpass_status(id) FROM customer;
RESET allpass.prefetch;

ALTER SERVER allpass OPTIONS (DROP max_concurrency);
DROP VIEW statuses, barrier;
DROP TABLE customer, purchase, called, hidden, sink;
DROP FUNCTION calls(), explain(text), poll(text), approved(text), seen(int);
REVOKE ALL ON FUNCTION allpass_status FROM regress_allpass_reader;
REVOKE ALL ON FOREIGN SERVER allpass FROM regress_allpass_reader;
DROP ROLE regress_allpass_reader;
CALL sandbox.reset();
