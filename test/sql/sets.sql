--
-- sets: many calls in one statement, and what their plans and rows look like.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
CALL sandbox.reset();
CALL sandbox.seed(50);

-- a row for each element: known, unknown, bad, NULL, and again
SELECT * FROM allpass_statuses('{c-1,nobody,NULL,c-2,"",c-1,..,a/b?c%,NULL,c-1}') ORDER BY applicant_id COLLATE "C", sqlstate;
-- what is equal is one call, and what is bad or NULL is none
SELECT count(*), count(DISTINCT target) FROM sandbox.sent();
SELECT applicant_id, applicant ->> 'externalUserId' AS id, applicant = allpass_applicant('c-1') AS same, sqlstate, error
FROM allpass_applicants(ARRAY['c-1', 'c-2', 'nobody', 'c-1']) ORDER BY 1;
SELECT count(*) FROM sandbox.sent();
-- nothing of nothing
SELECT count(*) FROM allpass_statuses(NULL);
SELECT count(*) FROM allpass_statuses('{}');
SELECT count(*) FROM allpass_applicants('{}');
SELECT count(*) FROM allpass_aml_screen('BTC', NULL);
SELECT count(*) FROM allpass_aml_screen(NULL, '{}');
SELECT * FROM allpass_statuses('{NULL,NULL}');
SELECT * FROM allpass_aml_screen('BTC', '{NULL}');
SELECT count(*) FROM sandbox.sent();
-- any array will do
SELECT applicant_id, status FROM allpass_statuses('[3:4][0:1]={{c-1,c-2},{c-3,c-1}}') ORDER BY 1;
SELECT count(*) = 400 AS rows, sum((error IS NULL)::int) = 50 * 8 AS good FROM allpass_statuses(ARRAY(SELECT 'c-' || 1 + i % 50 FROM generate_series(1, 400) AS i));
SELECT count(*) FROM sandbox.sent();

-- what is known before any call is an error of the statement
SET allpass.server = 'nowhere';
SELECT sandbox.error($$SELECT * FROM allpass_statuses('{c-1}')$$);
RESET allpass.server;
-- the guard counts each call; what it stops is a row
SET allpass.max_calls_per_statement = 3;
SELECT count(status), count(*) FILTER (WHERE sqlstate = '54000'), max(error) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 10) AS i));
SELECT count(*), count(DISTINCT sqlstate), max(sqlstate) FROM allpass_aml_screen('BTC', '{bc1qa,bc1qb,bc1qc}') WHERE sqlstate IS NOT NULL;
RESET allpass.max_calls_per_statement;
SELECT count(*) FROM sandbox.sent();

-- a fault that passes is tried again, with a pause, and one that stays is not tried for ever
CALL sandbox.fault('[{"applicant": "c-1", "status": 500, "times": 2}, {"applicant": "c-2", "status": 503}, {"applicant": "c-3", "drop": "before", "times": 1},
	{"applicant": "c-4", "status": 429, "times": 1}, {"applicant": "c-5", "status": 408, "times": 1}, {"applicant": "c-6", "status": 425, "times": 1},
	{"applicant": "c-7", "status": 400}, {"applicant": "c-8", "body": "<html>"}, {"applicant": "c-9", "status": 401}]');
SELECT applicant_id, status, sqlstate, error FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 9) AS i)) ORDER BY 1;
SELECT target, count(*) FROM sandbox.sent() GROUP BY 1 ORDER BY 1;
CALL sandbox.no_faults();
-- an answer that says when to come back is obeyed, by all, and is no failed try
CALL sandbox.fault('{"status": 429, "retry_after": "1", "times": 8}');
CREATE TABLE clock AS SELECT clock_timestamp() AS began;
SELECT count(status) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 20) AS i));
SELECT clock_timestamp() - began >= '1s' AS waited FROM clock;
SELECT count(*) FROM sandbox.sent();
-- unless it says so of a time that is too long
CALL sandbox.no_faults();
CALL sandbox.fault('{"applicant": "c-1", "status": 429, "retry_after": "86400"}');
SELECT applicant_id, sqlstate FROM allpass_statuses('{c-1,c-2}') ORDER BY 1;
CALL sandbox.no_faults();
SELECT count(*) FROM sandbox.sent();
DROP TABLE clock;

-- screening: a search and its report for each address
SELECT address, aml_id IS NOT NULL AS searched, type, score, report ->> 'address' AS reported, report ->> 'id' = aml_id AS same, sqlstate, error
FROM allpass_aml_screen('BTC', '{bc1qa,bc1qb,NULL,bc1qa,""}') ORDER BY 1;
SELECT method, count(*) FROM sandbox.sent() GROUP BY 1 ORDER BY 1;
SELECT address, sqlstate, error FROM allpass_aml_screen(NULL, '{bc1qa,bc1qb}') ORDER BY 1;
SELECT address, sqlstate, error FROM allpass_aml_screen('', '{bc1qa}') ORDER BY 1;
SELECT count(*) FROM sandbox.sent();
-- a search that may have been carried out is never repeated
CALL sandbox.fault('[{"applicant": "after", "drop": "after"}, {"applicant": "before", "drop": "before"}, {"applicant": "failed", "status": 503, "retry_after": "1"}, {"applicant": "broken", "status": 500}]');
SELECT address, aml_id, sqlstate FROM allpass_aml_screen('BTC', '{after,before,failed,broken}') ORDER BY 1;
SELECT method, body, count(*) FROM sandbox.sent() GROUP BY 1, 2 ORDER BY 2;
CALL sandbox.no_faults();
-- one that certainly was not is
CALL sandbox.fault('[{"applicant": "busy", "status": 429, "times": 1}, {"applicant": "early", "status": 425, "times": 2}]');
SELECT address, aml_id IS NOT NULL AS searched, sqlstate FROM allpass_aml_screen('BTC', '{busy,early}') ORDER BY 1;
SELECT body, count(*) FROM sandbox.sent() WHERE method = 'POST' GROUP BY 1 ORDER BY 1;
CALL sandbox.no_faults();
-- a report that is not there yet is waited for, without another search
CALL sandbox.fault('[{"operation": "aml_details", "status": 404, "times": 2}, {"operation": "aml_details", "data": "{\"id\": \"x\", \"score\": null}", "times": 1}, {"operation": "aml_details", "data": "null", "times": 1}]');
SELECT address, score, report ->> 'address' AS reported, sqlstate FROM allpass_aml_screen('BTC', '{bc1qlate}');
SELECT method, count(*) FROM sandbox.sent() GROUP BY 1 ORDER BY 1;
CALL sandbox.no_faults();
-- one that cannot be had leaves what the search has brought
CALL sandbox.fault('[{"operation": "aml_details", "status": 403}]');
SELECT address, aml_id IS NOT NULL AS searched, type, score, report, sqlstate FROM allpass_aml_screen('BTC', '{bc1qa}');
SELECT method, count(*) FROM sandbox.sent() GROUP BY 1 ORDER BY 1;
CALL sandbox.no_faults();
-- searches that bring odd things
CALL sandbox.fault('[{"applicant": "none", "data": "{}"}, {"applicant": "list", "data": "[]"}, {"applicant": "number", "data": "{\"id\": 7}"}]');
SELECT address, aml_id, type, sqlstate, error FROM allpass_aml_screen('BTC', '{none,list}') ORDER BY 1;
CALL sandbox.fault('{"operation": "aml_details", "data": "{\"score\": 1e400, \"id\": 7}"}');
SELECT address, aml_id, type, score = 1e400 AS exact, sqlstate FROM allpass_aml_screen('BTC', '{number}');
CALL sandbox.no_faults();
SELECT count(*) FROM sandbox.sent();

-- in FROM, rows come one by one; the plan says so
EXPLAIN (VERBOSE, COSTS OFF) SELECT s.applicant_id, s FROM allpass_statuses('{c-1,c-2}') AS s WHERE s.status LIKE 'A%';
EXPLAIN (COSTS ON) SELECT * FROM allpass_statuses('{c-1,c-2,c-3}');
-- a constant LIMIT is known before
SELECT status FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 50) AS i)) LIMIT 3;
SELECT count(*) FROM sandbox.sent();
-- one that is not stops at most a window later
SELECT count(*) FROM (SELECT status FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 50) AS i)) WHERE status LIKE 'A%' LIMIT 3) AS s;
SELECT count(*) BETWEEN 3 AND 3 + 8 AS few FROM sandbox.sent();
-- searches begin with one
SELECT count(*) FROM (SELECT * FROM allpass_aml_screen('BTC', ARRAY(SELECT 'bc1q' || i FROM generate_series(1, 50) AS i)) WHERE score IS NOT NULL LIMIT 1) AS s;
SELECT method, count(*) <= 2 AS few FROM sandbox.sent() GROUP BY 1 ORDER BY 1;
-- again and again without another call, unless an argument changes
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM generate_series(1, 5) AS i LEFT JOIN allpass_statuses('{c-1,c-2}') AS s ON i > 2;
SELECT count(*), count(status) FROM generate_series(1, 5) AS i LEFT JOIN allpass_statuses('{c-1,c-2}') AS s ON i > 2;
SELECT count(*) FROM sandbox.sent();
SELECT i, s.* FROM generate_series(1, 3) AS i, LATERAL allpass_statuses(ARRAY['c-' || i, 'c-9', 'x' || i]) AS s ORDER BY 1, 2;
SELECT count(*) FROM sandbox.sent();
SELECT i, (SELECT status FROM allpass_statuses(ARRAY['c-' || i, 'c-9']) LIMIT 1) FROM generate_series(1, 3) AS i ORDER BY 1;
SELECT count(*) FROM sandbox.sent();
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
-- joins, among them one of two sets, and everywhere else
SELECT count(*), count(s.status), count(a.applicant) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 20) AS i)) AS s JOIN allpass_applicants(ARRAY(SELECT 'c-' || i FROM generate_series(11, 30) AS i)) AS a USING (applicant_id);
SELECT count(*) FROM sandbox.sent();
WITH w AS MATERIALIZED (SELECT * FROM allpass_statuses('{c-1,c-2,c-3}')) SELECT count(*) FROM w AS a, w AS b;
SELECT allpass_statuses('{c-1,c-2}');
SELECT (allpass_statuses('{c-1,c-2}')).*;
SELECT applicant_id, ordinality FROM allpass_statuses('{c-1}') WITH ORDINALITY;
SELECT s.applicant_id, g FROM ROWS FROM (allpass_statuses('{c-1}'), generate_series(1, 2)) AS s (applicant_id, status, sqlstate, error, g);
CREATE TABLE customers (id text PRIMARY KEY, status text);
INSERT INTO customers (id) SELECT 'c-' || i FROM generate_series(1, 5) AS i;
SELECT sandbox.plan('UPDATE customers AS c SET status = s.status FROM allpass_statuses(ARRAY(SELECT id FROM customers)) AS s WHERE s.applicant_id = c.id');
UPDATE customers AS c SET status = s.status FROM allpass_statuses(ARRAY(SELECT id FROM customers)) AS s WHERE s.applicant_id = c.id;
SELECT count(status) FROM customers;
CREATE TABLE copy AS SELECT * FROM allpass_applicants(ARRAY(SELECT id FROM customers));
SELECT count(applicant) FROM copy;
SELECT count(*) FROM (SELECT c.id FROM customers AS c JOIN allpass_statuses('{c-1,c-2}') AS s ON s.applicant_id = c.id FOR UPDATE OF c) AS f;
DO $$
DECLARE
	row allpass_status_answer;
	rows int := 0;
BEGIN
	FOR row IN SELECT * FROM allpass_statuses('{c-1,c-2,c-3,c-4,c-5}') LOOP
		rows := rows + 1;
		-- a subtransaction that fails leaves the set alone
		BEGIN
			PERFORM allpass_status('nobody');
		EXCEPTION WHEN SQLSTATE 'KY404' THEN
			NULL;
		END;
		EXIT WHEN rows = 4;
	END LOOP;
	RAISE NOTICE '% rows', rows;
END
$$;
DROP TABLE customers, copy;
PREPARE p (text[], int) AS SELECT applicant_id FROM allpass_statuses($1) LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXECUTE p('{c-1,c-2,c-3}', 2);
EXECUTE p('{c-4}', 2);
RESET plan_cache_mode;
DEALLOCATE p;

-- cursors, in all directions
CALL sandbox.reset();
CALL sandbox.seed(50);
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) OVER (ROWS UNBOUNDED PRECEDING) AS n, left(applicant_id, 2) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 50) AS i));
FETCH 2 FROM c;
SELECT sandbox.requests() BETWEEN 2 AND 2 + 8 AS few;
CLOSE c;
-- one call at a time, so that the order is known
DO $$
BEGIN
	EXECUTE format('CREATE SERVER serial FOREIGN DATA WRAPPER allpass OPTIONS (base_url %L, max_concurrency ''1'')', (SELECT url FROM sandbox.address));
END
$$;
CREATE USER MAPPING FOR PUBLIC SERVER serial OPTIONS (api_key 'sandbox-key');
SET LOCAL allpass.server = 'serial';
DECLARE s SCROLL CURSOR FOR SELECT applicant_id FROM allpass_statuses('{c-41,c-42,c-43,c-44,c-45}');
DECLARE g SCROLL CURSOR FOR SELECT 'c-' || i FROM generate_series(41, 45) AS i;
CREATE FUNCTION step(step int, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	names text[] := '{s,g}';
	results text[] := '{}';
	cursor refcursor;
	value text;
	seen text;
BEGIN
	FOREACH cursor IN ARRAY names LOOP
		seen := '';
		FOR i IN 1 .. step LOOP
			IF command = 'forward' THEN
				FETCH NEXT FROM cursor INTO value;
			ELSE
				FETCH PRIOR FROM cursor INTO value;
			END IF;
			EXIT WHEN NOT FOUND;
			seen := seen || ' ' || value;
		END LOOP;
		results := results || seen;
	END LOOP;
	RETURN CASE WHEN results[1] = results[2] THEN 'same' ELSE results::text END;
END
$$;
SELECT step(2, 'forward'), step(1, 'backward'), step(2, 'forward'), step(9, 'backward'), step(3, 'forward'), step(9, 'forward'), step(2, 'backward'), step(9, 'forward'), step(9, 'backward'), step(9, 'forward');
SELECT applicants -> 'c-45' AS once FROM jsonb_extract_path(sandbox.stats(), 'applicants') AS applicants;
ROLLBACK;

-- types of another version
BEGIN;
ALTER TYPE allpass_status_answer ADD ATTRIBUTE more text;
SELECT sandbox.error($$SELECT * FROM allpass_statuses('{c-1}')$$);
ROLLBACK;

-- nothing is under way when nothing runs
SELECT count(*) FROM allpass_progress;
SELECT pid = pg_backend_pid() AS mine, statement, calls_done + in_flight AS calls, failed <= calls_done AS failed, started <= clock_timestamp() AS began
FROM allpass_statuses('{nobody}') AS s, LATERAL (SELECT * FROM allpass_progress OFFSET 0) AS p LIMIT 1;
SELECT count(*) FROM allpass_progress;
CALL sandbox.reset();
