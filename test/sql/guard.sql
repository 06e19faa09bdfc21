--
-- guard: how many calls one statement may make.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
CALL sandbox.reset();
CALL sandbox.seed(1);
CREATE FUNCTION calls(count int) RETURNS bigint LANGUAGE sql AS $$ SELECT count(allpass_status('c-1')) FROM generate_series(1, count) $$;

SET allpass.max_calls_per_statement = 3;
SELECT calls(3);
SELECT calls(4);
SELECT sandbox.requests();
\echo :LAST_ERROR_SQLSTATE
-- each statement begins anew
SELECT calls(3);
SELECT calls(3);
SELECT sandbox.requests();
-- of any kind, and of several functions together; what is refused, missing or fails counts as well
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT allpass_status('c-1'), allpass_token('c-1') ->> 'ttl' AS ttl, allpass_applicant_status('c-1') ->> 'status' AS status, allpass_status('c-1');
SELECT allpass_status('nobody', true), allpass_status('nobody', true), allpass_status('nobody', true), allpass_status('nobody', true);
SELECT s.service, (SELECT count(*) FROM allpass_documents('c-1')) FROM allpass_services('c-1') AS s, generate_series(1, 2) WHERE allpass_status('c-1') IS NOT NULL;
SELECT sandbox.requests();
-- what makes no call does not count
SELECT count(allpass_status(NULL)), count(allpass_status('c-1', NULL)) FROM generate_series(1, 10);
SELECT sandbox.error('SELECT allpass_status('''')'), calls(3) FROM generate_series(1, 1);

-- a DO block is one statement, and so is a function with all that it does
DO $$
BEGIN
	FOR i IN 1 .. 5 LOOP
		PERFORM allpass_status('c-1');
	END LOOP;
END
$$;
CREATE FUNCTION caught() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	made int := 0;
BEGIN
	FOR i IN 1 .. 5 LOOP
		BEGIN
			PERFORM allpass_status('c-1');
			made := made + 1;
		EXCEPTION WHEN program_limit_exceeded THEN
			NULL;
		END;
	END LOOP;
	RETURN made || ' made';
END
$$;
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT caught();
SELECT sandbox.requests();
SELECT sandbox.outcome('SELECT calls(4)');
-- it can be raised in between, by whoever means it
DO $$
BEGIN
	FOR i IN 1 .. 5 LOOP
		PERFORM set_config('allpass.max_calls_per_statement', '5', true);
		PERFORM allpass_status('c-1');
	END LOOP;
	RAISE NOTICE 'made 5';
END
$$;
-- statements of one transaction, and of one message of the simple protocol
BEGIN;
SELECT calls(3);
SELECT calls(3);
COMMIT;
SELECT calls(2) \; SELECT calls(2);
-- a prepared statement each time it runs
PREPARE p AS SELECT calls(2);
EXECUTE p;
EXECUTE p;
DEALLOCATE p;

-- a query that is fetched in pieces is one, beside others in the transaction
BEGIN;
DECLARE c CURSOR FOR SELECT allpass_status('c-1') FROM generate_series(1, 9);
DECLARE d CURSOR FOR SELECT allpass_status('c-1') FROM generate_series(1, 9);
FETCH 3 FROM c;
FETCH 3 FROM d;
SELECT sandbox.outcome('FETCH 1 FROM c');
ROLLBACK;

-- zero is no limit, and the default is 10000
SET allpass.max_calls_per_statement = 0;
SELECT calls(50);
RESET allpass.max_calls_per_statement;
SHOW allpass.max_calls_per_statement;
CALL sandbox.config('{"log": false}');
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT sandbox.outcome('SELECT calls(10001)');
SELECT sandbox.requests(), sandbox.stats() ->> 'connections' AS connections;
DROP FUNCTION calls(int), caught();
CALL sandbox.reset();
