--
-- transport: connections, ids of requests, limits of time, and that a POST is
-- sent once.  What psql cannot see is in test/t.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
SET client_min_messages = warning;
\getenv sandbox_url ALLPASS_SANDBOX_URL
--
-- One connection, kept alive over calls and statements.
--
CREATE FUNCTION pg_temp.connections() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s requests, %s connections', s ->> 'requests', s ->> 'connections') FROM sandbox.stats() AS s
$$;
CREATE FUNCTION pg_temp.outcome(query text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(sandbox.outcome(query), ' DETAIL: .*', '') $$;
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT count(allpass_status('c-1')) FROM generate_series(1, 1000);
SELECT pg_temp.connections();
SELECT allpass_applicant('c-1') ->> 'status' AS status;
BEGIN;
SELECT allpass_token('c-1') ->> 'ttl' AS ttl;
ROLLBACK;
SELECT allpass_status('nobody', true);
SELECT sandbox.error($$SELECT allpass_status('nobody')$$);
DO $$ BEGIN PERFORM allpass_schedule_deletion('c-1'); PERFORM allpass_restore('c-1'); END $$;
SELECT count(*) FROM allpass_services('c-1');
SELECT pg_temp.connections();
-- a refusal, a bad answer and one that is read in pieces do not cost it
CALL sandbox.fault('[{"status": 500, "times": 1}, {"body": "<html>", "times": 1}, {"gzip": true, "times": 1}, {"chunked": true, "times": 1}]');
SELECT sandbox.error($$SELECT allpass_status('c-1')$$), sandbox.error($$SELECT allpass_status('c-1')$$), sandbox.error($$SELECT allpass_status('c-1')$$), sandbox.error($$SELECT allpass_status('c-1')$$);
SELECT pg_temp.connections();
-- an answer that is too large does
SET allpass.max_response_size = '1kB';
SELECT sandbox.error($$SELECT allpass_applicant('c-1')$$);
RESET allpass.max_response_size;
SELECT allpass_status('c-1');
SELECT pg_temp.connections();

-- it goes when keys, server or role matter otherwise, and stays when they do not
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT allpass_status('c-1');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'another');
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'sandbox-key');
SELECT allpass_status('c-1');
SELECT pg_temp.connections();
ALTER SERVER allpass OPTIONS (ADD timeout '20s');
SELECT allpass_status('c-1');
SELECT pg_temp.connections();
CREATE SERVER unrelated FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com');
DROP SERVER unrelated;
SELECT allpass_status('c-1');
SELECT pg_temp.connections();
CREATE ROLE regress_allpass_role;
GRANT EXECUTE ON FUNCTION allpass_status(text, boolean) TO regress_allpass_role;
GRANT USAGE ON FOREIGN SERVER allpass TO regress_allpass_role;
CREATE USER MAPPING FOR regress_allpass_role SERVER allpass OPTIONS (api_key 'another');
SET ROLE regress_allpass_role;
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
RESET ROLE;
SELECT allpass_status('c-1');
SELECT count(DISTINCT log ->> 'connection') AS connections, count(DISTINCT (log ->> 'connection', log -> 'headers' ->> 'x-private-app-key')) AS with_keys FROM sandbox.log() AS log WHERE (log ->> 'n')::int > 3;
DROP USER MAPPING FOR regress_allpass_role SERVER allpass;
REVOKE ALL ON FUNCTION allpass_status(text, boolean) FROM regress_allpass_role;
REVOKE ALL ON FOREIGN SERVER allpass FROM regress_allpass_role;
DROP ROLE regress_allpass_role;
ALTER SERVER allpass OPTIONS (DROP timeout);

-- a connection that the server closed in between is made anew, unnoticed
CALL sandbox.reset();
CALL sandbox.seed(1);
CALL sandbox.fault('{"headers": {"Connection": "close"}, "times": 1}');
SELECT allpass_status('c-1');
SELECT allpass_status('c-1');
SELECT pg_temp.connections();

--
-- What is in each request: an id of its own, the version, the path as it is.
--
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT count(allpass_status('c-1')), count(allpass_token('c-1')) FROM generate_series(1, 100);
SELECT count(DISTINCT log ->> 'request_id') AS request_ids, count(DISTINCT log ->> 'user_agent') AS agents, count(log ->> 'idempotency_key') AS idempotency_keys FROM sandbox.log() AS log;
-- a path in base_url, and slashes at its end
\set with_path :sandbox_url /some/../path%20x//
ALTER SERVER allpass OPTIONS (SET base_url :'with_path');
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
SELECT target FROM sandbox.sent();
\set with_slash :sandbox_url ///
ALTER SERVER allpass OPTIONS (SET base_url :'with_slash');
SELECT allpass_status('c-1');
SELECT target FROM sandbox.sent();
ALTER SERVER allpass OPTIONS (SET base_url :'sandbox_url');

--
-- No proxy of the environment is used: the tests in test/t set one.  A POST is
-- put on the wire once, whatever becomes of it.
--
CALL sandbox.reset();
CALL sandbox.seed(1);
CREATE FUNCTION pg_temp.once(fault jsonb, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before int := sandbox.requests();
	outcome text;
BEGIN
	CALL sandbox.fault(fault || '{"times": 1}');
	outcome := pg_temp.outcome(call);
	CALL sandbox.no_faults();
	RETURN outcome || ', requests ' || sandbox.requests() - before;
END
$$;
-- on a connection that was used before, where a library likes to repeat
SELECT allpass_status('c-1');
SELECT pg_temp.once('{"drop": "before"}', $$SELECT allpass_create_applicant('p-1', 'basic')$$);
SELECT allpass_status('p-1', true) AS not_created;
SELECT pg_temp.once('{"drop": "after"}', $$SELECT allpass_create_applicant('p-2', 'basic')$$);
SELECT allpass_status('p-2', true) AS created;
SELECT allpass_status('c-1');
SELECT pg_temp.once('{"drop": "after"}', $$SELECT allpass_aml_search('BTC', 'bc1qexample')$$);
SELECT allpass_status('c-1');
SELECT pg_temp.once('{"drop": "before"}', $$SELECT allpass_schedule_deletion('c-1')$$);
-- and on a new one
SELECT pg_temp.once('{"drop": "after"}', $$SELECT allpass_restore('c-1')$$);
SELECT pg_temp.once('{"drop": "before"}', $$SELECT allpass_token('c-1')$$);
SELECT pg_temp.once('{"cut": 10}', $$SELECT allpass_token('c-1')$$);
SELECT pg_temp.once('{"status": 503}', $$SELECT allpass_token('c-1')$$);
SELECT sandbox.stats() -> 'operations' AS operations;
-- a GET on a used connection may be sent again: it changes nothing
CALL sandbox.reset();
CALL sandbox.seed(1);
SELECT allpass_status('c-1');
SELECT pg_temp.once('{"drop": "before"}', $$SELECT allpass_status('c-1')$$) IN ('ok: APPROVED, requests 2', 'KY001: could not complete a request to the Allpass API, requests 1') AS good;
-- what it says
SELECT allpass_status('c-1');
CALL sandbox.fault('{"drop": "after", "times": 1}');
SELECT sandbox.outcome($$SELECT allpass_token('c-1')$$) ~ '^KY001: could not complete a request to the Allpass API DETAIL: .*\.$' AS says;
CALL sandbox.no_faults();

--
-- Limits of time.
--
CREATE FUNCTION pg_temp.timeout(fault jsonb, call text DEFAULT 'SELECT allpass_status(''c-1'')') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL sandbox.no_faults();
	CALL sandbox.fault(fault);
	RETURN regexp_replace(sandbox.outcome(call), 'after [0-9]+ ms', 'after N ms');
END
$$;
ALTER SERVER allpass OPTIONS (ADD timeout '400ms');
SELECT pg_temp.timeout('{"delay_ms": 60000}');
SELECT pg_temp.timeout('{"slow": {"bytes": 10, "delay_ms": 20}}', $$SELECT allpass_applicant('c-1')$$);
SELECT pg_temp.timeout('{"delay_ms": 60000}', $$SELECT allpass_token('c-1')$$);
CALL sandbox.no_faults();
SELECT sandbox.stats() -> 'operations' ->> 'token' AS tokens;
ALTER SERVER allpass OPTIONS (SET timeout '20s');
-- within the limit it is waited for
SELECT pg_temp.timeout('{"delay_ms": 100}');
CALL sandbox.no_faults();
-- nobody there
ALTER SERVER allpass OPTIONS (SET base_url 'http://127.0.0.1:1');
SELECT pg_temp.outcome($$SELECT allpass_status('c-1')$$);
SELECT pg_temp.outcome($$SELECT allpass_token('c-1')$$);
-- TLS where there is none
SELECT replace(:'sandbox_url', 'http:', 'https:') AS tls_url \gset
ALTER SERVER allpass OPTIONS (SET base_url :'tls_url');
SELECT pg_temp.outcome($$SELECT allpass_status('c-1')$$);
ALTER SERVER allpass OPTIONS (SET base_url :'sandbox_url', DROP timeout);
SELECT allpass_status('c-1');

-- a statement's own limit: its SQLSTATE and words are the server's
CALL sandbox.fault('{"delay_ms": 60000}');
SET statement_timeout = '50ms';
SELECT allpass_status('c-1');
\echo :LAST_ERROR_SQLSTATE
RESET statement_timeout;
CALL sandbox.no_faults();
SELECT allpass_status('c-1');

--
-- rate_limit: starts of calls keep their distance, also over statements.
--
CALL sandbox.reset();
CALL sandbox.seed(1);
ALTER SERVER allpass OPTIONS (ADD rate_limit '20');
SELECT clock_timestamp() AS start \gset
SELECT count(allpass_status('c-1')) FROM generate_series(1, 4);
SELECT allpass_status('c-1');
SELECT clock_timestamp() - :'start'::timestamptz >= interval '200ms' AS apart;
-- a wait for it, which begins at the call before, can be cancelled as well
ALTER SERVER allpass OPTIONS (SET rate_limit '0.01');
SET statement_timeout = '100ms';
SELECT allpass_status('c-1');
RESET statement_timeout;
SELECT sandbox.requests();
ALTER SERVER allpass OPTIONS (DROP rate_limit);
SELECT allpass_status('c-1');

-- nothing is left under way
SELECT sandbox.stats() ->> 'in_flight' AS in_flight, sandbox.stats() ->> 'rejected' AS rejected;
