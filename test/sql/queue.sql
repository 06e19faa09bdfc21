--
-- queue: what comes into the queue is checked, and whose it is; the functions
-- that put in, take back, put in again, and wait.  No worker runs here.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE ROLE regress_allpass_one;
CREATE ROLE regress_allpass_two;
CREATE ROLE regress_allpass_boss;
GRANT regress_allpass_one TO regress_allpass_boss;
-- the jobs as they are seen, in short
CREATE VIEW jobs WITH (security_invoker = true) AS
	SELECT row_number() OVER (ORDER BY id) AS n, operation, applicant_id, arguments, server, priority, request_key, requested_by, state FROM allpass_queue;
GRANT SELECT ON jobs TO PUBLIC;

-- the checks are those of the functions, in their words
SELECT call, sandbox.outcome('INSERT INTO allpass_queue (operation, applicant_id, arguments) VALUES (' || call || ')')
FROM (VALUES ($$'restore', 'a', NULL$$), ($$'restore', 'a', '{}'$$), ($$'schedule_deletion', 'a', NULL$$),
	($$'create_applicant', 'a', '{"flow_name": "basic", "email": "a@example.com", "phone": 15555550100, "lang": null, "supplied_info": {"n": 1e30}}'$$),
	($$'move_to_flow', 'a', '{"flow_id": 2}'$$), ($$'aml_search', NULL, '{"blockchain": "BTC", "address": "bc1q"}'$$)) AS c (call);
SELECT call, sandbox.outcome('INSERT INTO allpass_queue (operation, applicant_id, arguments) VALUES (' || call || ')')
FROM (VALUES ($$'token', 'a', NULL$$), ($$'', 'a', NULL$$), ($$'applicant', 'a', NULL$$),
	($$'restore', NULL, NULL$$), ($$'restore', '', NULL$$), ($$'restore', '..', NULL$$),
	($$'restore', 'a', '{"applicant_id": "b"}'$$), ($$'restore', 'a', '[]'$$), ($$'restore', 'a', '"x"'$$), ($$'restore', 'a', 'null'$$),
	($$'move_to_flow', 'a', NULL$$), ($$'move_to_flow', 'a', '{"flow_id": ""}'$$), ($$'move_to_flow', 'a', '{"flow_id": true}'$$),
	($$'move_to_flow', 'a', '{"flow_id": [2]}'$$), ($$'move_to_flow', 'a', '{"flow_id": {}}'$$), ($$'move_to_flow', 'a', '{"flow": 2}'$$),
	($$'create_applicant', 'a', '{"flow_name": "basic", "supplied_info": "x"}'$$), ($$'create_applicant', 'a', '{"flow_name": "basic", "supplied_info": [1]}'$$),
	($$'create_applicant', 'a', '{"flow_name": null}'$$), ($$'create_applicant', 'a', '{"flow_name": "b", "e-mail": "x"}'$$),
	($$'aml_search', 'a', '{"blockchain": "BTC", "address": "bc1q"}'$$), ($$'aml_search', NULL, '{"blockchain": "BTC"}'$$),
	($$'aml_search', NULL, '{"blockchain": "BTC", "tx_hash": "12"}'$$)) AS c (call);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id) VALUES (NULL, 'a')$$), sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id, server) VALUES ('restore', 'a', NULL)$$);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id, arguments) VALUES ('create_applicant', 'a', jsonb_build_object('flow_name', 'basic', 'supplied_info', jsonb_build_object('x', repeat('x', 1 << 20))))$$);
-- of what is changed as well
SELECT sandbox.outcome($$UPDATE allpass_queue SET applicant_id = '.' WHERE operation = 'restore'$$);
SELECT sandbox.outcome($$UPDATE allpass_queue SET operation = 'move_to_flow' WHERE operation = 'restore'$$);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id, server) VALUES ('restore', 'a', '')$$);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id, server) VALUES ('restore', 'a', repeat('s', 64))$$);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id, state) VALUES ('restore', 'a', 'lost')$$) ~ '^23514' AS refused;
-- the server is the setting's
SET allpass.server = 'allpass_test';
INSERT INTO allpass_queue (operation, applicant_id) VALUES ('restore', 'at test');
RESET allpass.server;
SELECT operation, applicant_id, arguments, server, priority, request_key, state FROM jobs ORDER BY n;

-- a time that has passed is the present, one to come stays
TRUNCATE allpass_queue;
INSERT INTO allpass_queue (operation, applicant_id, run_at) VALUES ('restore', 'past', '2001-01-01'), ('restore', 'future', '2201-01-01'), ('restore', 'now', now()), ('restore', 'default', DEFAULT);
SELECT applicant_id, run_at - created_at BETWEEN '-100us' AND '1s' AS now, run_at = '2201-01-01' AS future FROM allpass_queue ORDER BY id;
UPDATE allpass_queue SET run_at = '2001-01-01' WHERE applicant_id = 'future';
SELECT applicant_id, run_at >= created_at AS corrected FROM allpass_queue WHERE applicant_id = 'future';
-- so that jobs keep the order in which they were put in
DO $$
BEGIN
	INSERT INTO allpass_queue (operation, applicant_id) VALUES ('schedule_deletion', 'order');
	PERFORM allpass_enqueue('restore', 'order');
	INSERT INTO allpass_queue (operation, applicant_id, run_at) VALUES ('schedule_deletion', 'order', now());
	PERFORM allpass_enqueue('restore', 'order', run_at => now() - interval '1 day');
END
$$;
SELECT string_agg(operation, ' ' ORDER BY id) = string_agg(operation, ' ' ORDER BY run_at, id) AS ordered, count(*) FROM allpass_queue WHERE applicant_id = 'order';

-- a dump comes back as it was: every state, and the time of what waits
TRUNCATE allpass_queue;
COPY allpass_queue (id, operation, applicant_id, server, run_at, requested_by, state, attempts, error, result, created_at, finished_at) FROM stdin;
1007	restore	d-1	allpass	2024-01-02 00:00:00+00	regress_allpass_one	done	2	\N	{"id": "d-1"}	2024-01-01 00:00:00+00	2024-01-03 00:00:00+00
1008	restore	d-2	allpass	2024-01-02 00:00:00+00	regress_allpass_one	waiting	0	\N	\N	2024-01-01 00:00:00+00	\N
1006	schedule_deletion	d-2	allpass	2024-01-01 00:00:00+00	regress_allpass_one	waiting	0	\N	\N	2024-01-01 00:00:00+00	\N
1009	once_an_operation	d-3	allpass	2024-01-02 00:00:00+00	regress_allpass_one	failed	1	\N	\N	2024-01-01 00:00:00+00	2024-01-03 00:00:00+00
\.
SELECT id, operation, state, run_at, created_at, result FROM allpass_queue ORDER BY id;
TRUNCATE allpass_queue;

-- a role may do nothing with the queue by itself
SET ROLE regress_allpass_one;
SELECT call, sandbox.error(call) FROM (VALUES ($$SELECT count(*) FROM allpass_queue$$), ($$INSERT INTO allpass_queue (operation, applicant_id) VALUES ('restore', 'a')$$),
	($$SELECT count(*) FROM allpass_queue_pauses$$), ($$SELECT count(*) FROM allpass_queue_status$$), ($$SELECT allpass_enqueue('restore', 'a')$$), ($$SELECT allpass_cancel(1)$$), ($$SELECT allpass_retry(1)$$),
	($$SELECT allpass_retry('restore')$$), ($$SELECT allpass_wait(1)$$), ($$CREATE TEMP TABLE t (id text)$$), ($$CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION allpass_verify_trigger('basic', 'id')$$),
	($$CREATE TRIGGER t AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger('id')$$), ($$CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION allpass_queue_check()$$)) AS c (call);
RESET ROLE;
-- with the table it still needs the function of the operation
GRANT SELECT, INSERT, UPDATE ON allpass_queue TO regress_allpass_one, regress_allpass_two;
GRANT EXECUTE ON FUNCTION allpass_restore(text) TO regress_allpass_one, regress_allpass_two;
SET ROLE regress_allpass_one;
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id) VALUES ('schedule_deletion', 'a')$$);
SELECT sandbox.outcome($$INSERT INTO allpass_queue (operation, applicant_id) VALUES ('restore', 'a')$$);
-- and leaves alone what is the worker's, and others
SELECT columns, sandbox.outcome(format('INSERT INTO allpass_queue (operation, applicant_id, %s) VALUES (''restore'', ''x'', %s)', columns, value))
FROM (VALUES ('state', $$'done'$$), ('attempts', '1'), ('sqlstate', $$'KY404'$$), ('http_status', '200'), ('error', $$'x'$$), ('result', $$'{}'$$), ('created_at', $$'2001-01-01'$$), ('accepted_at', 'now()'),
	('finished_at', 'now()'), ('retry_at', 'now()'), ('owner', $$'x'$$), ('lease_until', 'now()'), ('in_doubt', 'true'), ('requested_by', $$'regress_allpass_two'$$), ('requested_by', $$'regress_allpass_one'$$)) AS c (columns, value);
SELECT sandbox.outcome($$UPDATE allpass_queue SET requested_by = 'regress_allpass_two'$$);
SELECT sandbox.outcome($$UPDATE allpass_queue SET priority = 5, applicant_id = 'b' WHERE applicant_id = 'a'$$);
RESET ROLE;
UPDATE allpass_queue SET state = 'in_flight' WHERE applicant_id = 'b';
SET ROLE regress_allpass_one;
SELECT regexp_replace(sandbox.outcome($$UPDATE allpass_queue SET priority = 6 WHERE applicant_id = 'b'$$), 'job \d+', 'job N');
SET ROLE regress_allpass_two;
SELECT count(*) FROM jobs;
INSERT INTO allpass_queue (operation, applicant_id) VALUES ('restore', 'of two');
SELECT applicant_id, requested_by FROM jobs;
RESET ROLE;
SELECT applicant_id, requested_by FROM jobs ORDER BY n;
REVOKE ALL ON allpass_queue FROM regress_allpass_one, regress_allpass_two;
TRUNCATE allpass_queue;

-- allpass_enqueue needs no privilege on the table
GRANT EXECUTE ON FUNCTION allpass_enqueue, allpass_cancel, allpass_retry(bigint), allpass_retry(text, text), allpass_wait TO regress_allpass_one, regress_allpass_two, regress_allpass_boss;
SET ROLE regress_allpass_one;
SELECT allpass_enqueue('restore', 'a') IS NOT NULL AS enqueued, current_user;
SELECT sandbox.outcome($$SELECT allpass_enqueue('schedule_deletion', 'a')$$);
SELECT sandbox.outcome($$SELECT allpass_enqueue(NULL, 'a')$$), sandbox.outcome($$SELECT allpass_enqueue('token', 'a')$$), sandbox.outcome($$SELECT allpass_enqueue('restore', '')$$);
SELECT current_user;
-- whatever is in the search_path, also when the statements are prepared
RESET ROLE;
CREATE SCHEMA evil;
GRANT ALL ON SCHEMA evil TO regress_allpass_one;
SET ROLE regress_allpass_one;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE FUNCTION evil.equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.equal);
CREATE TABLE evil.allpass_queue (id int);
\c -
\pset format unaligned
SET ROLE regress_allpass_one;
SET search_path = evil, public, pg_catalog;
SELECT public.allpass_enqueue('restore', 'a', request_key => 'evil') IS NOT NULL AS enqueued;
SELECT (public.allpass_wait(public.allpass_enqueue('restore', 'a', request_key => 'evil'), '0')).state;
SELECT public.allpass_cancel(public.allpass_enqueue('restore', 'a', request_key => 'evil'));
SELECT public.allpass_retry('restore');
RESET search_path;
RESET ROLE;
DROP TABLE evil.allpass_queue;
DROP OPERATOR evil.= (text, text), evil.= (bigint, bigint);
DROP FUNCTION evil.equal(text, text), evil.equal(bigint, bigint);
DROP SCHEMA evil;
TRUNCATE allpass_queue;

-- one living job for a request key of a role
SELECT allpass_enqueue('restore', 'a', request_key => 'k') AS id \gset
SELECT allpass_enqueue('restore', 'a', request_key => 'k') = :id AS same;
SELECT allpass_enqueue('schedule_deletion', 'b', request_key => 'k') = :id AS same;
SELECT allpass_enqueue('restore', 'a', request_key => 'other') = :id AS same;
SELECT count(DISTINCT allpass_enqueue('restore', i::text, request_key => 'many')) FROM generate_series(1, 3) AS i;
SET ROLE regress_allpass_one;
SELECT allpass_enqueue('restore', 'a', request_key => 'k') = :id AS same;
RESET ROLE;
SELECT sandbox.error($$INSERT INTO allpass_queue (operation, applicant_id, request_key) VALUES ('restore', 'a', 'k')$$);
UPDATE allpass_queue SET state = 'done', finished_at = now() WHERE id = :id;
SELECT allpass_enqueue('restore', 'a', request_key => 'k') = :id AS same;
SELECT operation, applicant_id, requested_by = 'regress_allpass_one'::regrole AS of_one, state FROM jobs WHERE request_key = 'k' ORDER BY n;
TRUNCATE allpass_queue;

-- cancelling and retrying, by whom it may
SET ROLE regress_allpass_one;
SELECT allpass_enqueue('restore', 'a') AS id \gset
SELECT allpass_enqueue('restore', 'b', request_key => 'k') AS keyed \gset
SET ROLE regress_allpass_two;
SELECT replace(sandbox.outcome(format(call, :'id')), :'id', 'N') FROM (VALUES ('SELECT allpass_cancel(%s)'), ('SELECT allpass_retry(%s)'), ('SELECT allpass_wait(%s)')) AS c (call);
SET ROLE regress_allpass_boss;
SELECT allpass_cancel(:id);
SELECT (allpass_wait(:id)).state;
SET ROLE regress_allpass_one;
SELECT replace(sandbox.outcome('SELECT allpass_cancel(' || :'id' || ')'), :'id', 'N');
SELECT sandbox.outcome('SELECT allpass_cancel(0)'), sandbox.outcome('SELECT allpass_cancel(NULL)');
SELECT allpass_retry(:id);
SELECT replace(sandbox.outcome('SELECT allpass_retry(' || :'id' || ')'), :'id', 'N');
RESET ROLE;
UPDATE allpass_queue SET state = 'in_flight' WHERE id = :id;
SELECT replace(sandbox.outcome('SELECT allpass_cancel(' || :'id' || ')'), :'id', 'N');
UPDATE allpass_queue SET state = 'failed', attempts = 1, error = 'it was so', finished_at = now(), retry_at = now() WHERE id IN (:id, :keyed);
SELECT replace(sandbox.outcome('SELECT allpass_cancel(' || :'id' || ')'), :'id', 'N');
SELECT allpass_retry(:id);
SELECT state, attempts, error, finished_at, retry_at, run_at > created_at AS later FROM allpass_queue WHERE id = :id;
-- not beside a living job of the same request key
SET ROLE regress_allpass_one;
SELECT allpass_enqueue('restore', 'c', request_key => 'k') AS rival \gset
SELECT replace(replace(sandbox.outcome('SELECT allpass_retry(' || :'keyed' || ')'), :'keyed', 'N'), :'rival', 'M');
SELECT allpass_retry('restore');
SELECT allpass_cancel(:rival);
RESET ROLE;
-- all failed ones of an operation, of oneself or for who manages of everybody
INSERT INTO allpass_queue (operation, applicant_id, server, requested_by, state, request_key) VALUES ('restore', 'd', 'allpass', 'regress_allpass_two', 'failed', NULL),
	('restore', 'e', 'allpass_test', 'regress_allpass_one', 'failed', NULL), ('restore', 'f', 'allpass', 'regress_allpass_one', 'failed', 'k'), ('schedule_deletion', 'g', 'allpass', 'regress_allpass_one', 'failed', NULL);
SET ROLE regress_allpass_one;
SELECT sandbox.outcome($$SELECT allpass_retry('token')$$), sandbox.outcome($$SELECT allpass_retry(NULL::text)$$);
SELECT allpass_retry('restore', 'allpass');
SELECT allpass_retry('restore');
SELECT allpass_retry('restore');
RESET ROLE;
SELECT allpass_retry('restore');
-- of equal request keys the latest
SELECT applicant_id, server, requested_by, request_key, state FROM jobs ORDER BY n;
TRUNCATE allpass_queue;

-- waiting, where nobody works: until the time is over
SELECT allpass_enqueue('restore', 'a') AS id \gset
SELECT (w).state, (w).applicant_id, (w).attempts FROM allpass_wait(:id, '0') AS w;
SELECT (w).state FROM allpass_wait(:id, '1ms') AS w;
SELECT sandbox.outcome('SELECT allpass_wait(0)'), sandbox.outcome('SELECT allpass_wait(1, NULL)'), sandbox.outcome($$SELECT allpass_wait(1, '-1ms')$$), sandbox.outcome('SELECT allpass_wait(NULL)');
SET statement_timeout = '200ms';
SELECT allpass_wait(:id, '1 year');
RESET statement_timeout;
UPDATE allpass_queue SET state = 'done', result = '{"id": "a"}' WHERE id = :id;
SELECT (w).state, (w).result FROM allpass_wait(:id, '1000 years') AS w;
-- not for what this transaction keeps from the worker
BEGIN;
SELECT allpass_enqueue('restore', 'b') AS id \gset
SELECT (w).state FROM allpass_wait(:id, '0') AS w;
SELECT replace(sandbox.outcome('SELECT allpass_wait(' || :'id' || ')'), :'id', 'N');
ROLLBACK;

-- the queue at a glance
TRUNCATE allpass_queue;
INSERT INTO allpass_queue (operation, applicant_id, state, run_at) VALUES ('restore', 'a', 'waiting', DEFAULT), ('restore', 'b', 'waiting', '2201-01-01'), ('restore', 'c', 'failed', DEFAULT), ('restore', 'd', 'done', DEFAULT), ('schedule_deletion', 'd', 'in_flight', DEFAULT);
SELECT server, operation, waiting, due, in_flight, failed, oldest_age IS NOT NULL AS has_age, paused_until, pause_reason FROM allpass_queue_status ORDER BY operation COLLATE "C";

-- its triggers are for it alone
CREATE TABLE elsewhere (id int);
CREATE TRIGGER t BEFORE INSERT ON elsewhere FOR EACH ROW EXECUTE FUNCTION allpass_queue_check();
SELECT sandbox.outcome('INSERT INTO elsewhere VALUES (1)');
DROP TABLE elsewhere;

-- when the extension moves, what is prepared moves along
SELECT allpass_enqueue('restore', 'a') > 0 AS ok;
CREATE SCHEMA "of my choice";
ALTER EXTENSION allpass SET SCHEMA "of my choice";
SELECT "of my choice".allpass_enqueue('restore', 'moved') > 0 AS ok;
ALTER EXTENSION allpass SET SCHEMA public;
SELECT allpass_enqueue('restore', 'moved') > 0 AS ok;
SELECT count(*) FROM jobs WHERE applicant_id = 'moved';

DROP SCHEMA "of my choice";
DROP VIEW jobs;
TRUNCATE allpass_queue;
REVOKE ALL ON FUNCTION allpass_enqueue, allpass_cancel, allpass_retry(bigint), allpass_retry(text, text), allpass_wait, allpass_restore FROM regress_allpass_one, regress_allpass_two, regress_allpass_boss;
DROP ROLE regress_allpass_one, regress_allpass_two, regress_allpass_boss;
