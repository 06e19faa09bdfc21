--
-- 00_setup: the extension, its server and keys, and what the other tests use.
-- It sorts first, so it runs first; the others need what it leaves behind.
--

\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'

CREATE EXTENSION allpass;

-- what it installed, by kind
SELECT count(*) FILTER (WHERE classid = 'pg_proc'::regclass) AS functions,
       count(*) FILTER (WHERE classid = 'pg_type'::regclass) AS types,
       count(*) FILTER (WHERE classid = 'pg_foreign_data_wrapper'::regclass) AS wrappers
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'allpass')
  AND (classid <> 'pg_type'::regclass OR objid IN (SELECT reltype FROM pg_class WHERE relkind = 'c'));

-- everything it installed starts with allpass and has a comment
SELECT pg_describe_object(classid, objid, objsubid)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'allpass')
  AND (classid <> 'pg_type'::regclass OR objid IN (SELECT reltype FROM pg_class WHERE relkind = 'c'))
  AND (pg_describe_object(classid, objid, objsubid) !~ ' allpass'
       OR coalesce(obj_description(objid, classid::regclass::text), '') = '');

-- its labels: what calls the API is volatile and costs, what does not is pure
SELECT provolatile AS volatility, proparallel AS parallel, proisstrict AS strict,
       procost AS cost, string_agg(proname, ' ' ORDER BY proname COLLATE "C") AS functions
FROM pg_proc
WHERE proname LIKE 'allpass\_%'
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

-- its script is not for psql
\getenv source_dir PG_ABS_SRCDIR
\set script :source_dir '/../sql/allpass--1.0.sql'
\i :script

-- it can go, and come into another schema
DROP EXTENSION allpass;
CREATE SCHEMA "of my choice";
CREATE EXTENSION allpass SCHEMA "of my choice";
SELECT "of my choice".allpass_code_name('FieldType', 2);
SELECT count(*) FROM "of my choice".allpass_services('{"servicesData": [{}, {}]}'::jsonb);
DROP EXTENSION allpass;
DROP SCHEMA "of my choice";
CREATE EXTENSION allpass;

--
-- The sandbox and its control path, from SQL.  Everybody may use it.
--
CREATE SCHEMA sandbox;
GRANT USAGE ON SCHEMA sandbox TO PUBLIC;

CREATE TABLE sandbox.address (url text NOT NULL);
\getenv sandbox_url ALLPASS_SANDBOX_URL
INSERT INTO sandbox.address VALUES (:'sandbox_url');

CREATE TABLE sandbox.lines (n bigint GENERATED ALWAYS AS IDENTITY, line text);

-- A call of the control path: the answer of a GET, else NULL.
CREATE FUNCTION sandbox.control(method text, path text, body text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	command text := 'curl -q -sS -f --noproxy ''*'' -H Expect: -H ''Content-Type: application/json'' -X '
		|| method || ' ''' || (SELECT url FROM sandbox.address) || '/_sandbox/' || path || '''';
	answer text;
BEGIN
	IF method = 'GET' THEN
		EXECUTE format('COPY sandbox.lines (line) FROM PROGRAM %L WITH (FORMAT csv, DELIMITER E''\x01'', QUOTE E''\x02'')',
					   command);
		SELECT string_agg(line, E'\n' ORDER BY n) INTO answer FROM sandbox.lines;
		DELETE FROM sandbox.lines;
		RETURN answer;
	END IF;
	-- base64 passes COPY's text format and the shell as it is
	EXECUTE format('COPY (SELECT %L) TO PROGRAM %L',
				   replace(encode(convert_to(coalesce(body, ''), 'UTF8'), 'base64'), E'\n', ''),
				   'base64 -d | ' || command || ' -o /dev/null --data-binary @-');
	RETURN NULL;
END
$$;

-- The last request that a test has seen.
CREATE TABLE sandbox.mark (n bigint NOT NULL);
INSERT INTO sandbox.mark VALUES (0);

-- Forget everything.
CREATE PROCEDURE sandbox.reset()
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM sandbox.control('POST', 'reset');
	UPDATE sandbox.mark SET n = 0;
END
$$;

-- Let calls go wrong.
CREATE PROCEDURE sandbox.fault(rule jsonb) LANGUAGE sql AS $$
	SELECT sandbox.control('POST', 'faults', rule::text)
$$;

-- Let nothing go wrong any more.
CREATE PROCEDURE sandbox.no_faults() LANGUAGE sql AS $$
	SELECT sandbox.control('DELETE', 'faults')
$$;

-- Change how the sandbox answers.
CREATE PROCEDURE sandbox.config(change jsonb) LANGUAGE sql AS $$
	SELECT sandbox.control('POST', 'config', change::text)
$$;

-- Make applicants.
CREATE PROCEDURE sandbox.seed(count int, prefix text DEFAULT 'c-', status text DEFAULT 'APPROVED')
LANGUAGE sql AS $$
	SELECT sandbox.control('POST', 'seed',
						   json_build_object('count', count, 'prefix', prefix, 'status', status)::text)
$$;

-- Let a reading call answer with a text as its data, verbatim.
CREATE PROCEDURE sandbox.serve(kind text, id text, data text) LANGUAGE sql AS $$
	SELECT sandbox.control('PUT', 'document/' || kind || '/' || id, data)
$$;

-- The plan of a statement, as all versions show it.
CREATE FUNCTION sandbox.plan(query text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP
		-- since PostgreSQL 18 numbers of rows are averages, and windows are shown
		line := regexp_replace(line, '(rows=\d+)\.00', '\1');
		CONTINUE WHEN line ~ '^ *Window: w\d';
		-- until PostgreSQL 16 parameters were; since 19 subqueries have names
		line := regexp_replace(line, ' \(returns \$\d+\)$', '');
		RETURN NEXT regexp_replace(line, '((Sub|Init)Plan) \w+', '\1');
	END LOOP;
END
$$;

-- What the sandbox counted since it was reset.
CREATE FUNCTION sandbox.stats() RETURNS jsonb LANGUAGE sql AS $$
	SELECT sandbox.control('GET', 'stats')::jsonb
$$;

-- How many requests it has had since it was reset.
CREATE FUNCTION sandbox.requests() RETURNS int LANGUAGE sql AS $$
	SELECT (sandbox.stats() ->> 'requests')::int
$$;

-- The requests since the last look, as they were logged.
CREATE FUNCTION sandbox.log() RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	log jsonb := sandbox.control('GET', 'log')::jsonb;
BEGIN
	RETURN QUERY SELECT entry FROM jsonb_array_elements(log) AS entry
		WHERE (entry ->> 'n')::bigint > (SELECT n FROM sandbox.mark)
		ORDER BY (entry ->> 'n')::bigint;
	UPDATE sandbox.mark SET n = coalesce((log -> -1 ->> 'n')::bigint, 0);
END
$$;

-- The requests since the last look, in short.
CREATE FUNCTION sandbox.sent() RETURNS TABLE (method text, target text, body text)
LANGUAGE sql AS $$
	SELECT entry ->> 'method', entry ->> 'target', entry ->> 'body' FROM sandbox.log() AS entry
$$;

-- What becomes of a command: the first value of a query, or the error in one line.
CREATE FUNCTION sandbox.outcome(query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	value text;
	message text;
	detail text;
	hint text;
BEGIN
	IF query !~ '^(SELECT|WITH)' THEN
		EXECUTE query;
		RETURN 'ok';
	END IF;
	EXECUTE query INTO value;
	RETURN 'ok: ' || coalesce(value, 'NULL');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ': ' || message
		|| CASE WHEN detail <> '' THEN ' DETAIL: ' || detail ELSE '' END
		|| CASE WHEN hint <> '' THEN ' HINT: ' || hint ELSE '' END;
END
$$;

-- Only what fails of it: its SQLSTATE and message.
CREATE FUNCTION sandbox.error(query text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(sandbox.outcome(query), ' (DETAIL|HINT): .*', '')
$$;

-- A mistake here must not pass for a success of a test.
SELECT sandbox.outcome($$SELECT sandbox.control('GET', 'no-such-path')$$) ~ '^38000: program ".*" failed' AS fails;
SELECT sandbox.outcome($$CALL sandbox.config('{"encryption": "rot13"}')$$) ~ '^38000: program ".*" failed' AS fails;
SELECT sandbox.outcome('SELECT 1/0'), sandbox.outcome('SELECT NULL'), sandbox.outcome('SELECT 42'),
       sandbox.error('CREATE EXTENSION allpass');

--
-- The server and the keys: what is missing is said.
--
SELECT sandbox.outcome($$SELECT allpass_applicant('c-1')$$);

CREATE SERVER allpass FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
SELECT replace(sandbox.outcome($$SELECT allpass_applicant('c-1')$$), quote_ident(current_user), 'me') AS outcome;

CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'sandbox-key');

CALL sandbox.reset();
CALL sandbox.seed(2);
SELECT allpass_status('c-1'), allpass_status('c-2'), allpass_status('c-3', missing_ok => true);
SELECT operation, calls FROM jsonb_each_text(sandbox.stats() -> 'operations') AS o (operation, calls) WHERE calls <> '0';
