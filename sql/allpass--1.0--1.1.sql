\echo Use "ALTER EXTENSION allpass UPDATE TO '1.1'" to load this file. \quit

-- the queue

CREATE TABLE allpass_queue (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	operation text COLLATE "C" NOT NULL,
	applicant_id text COLLATE "C",
	arguments jsonb,
	server text COLLATE "C" NOT NULL DEFAULT coalesce(current_setting('allpass.server', true), 'allpass'),
	run_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	priority integer NOT NULL DEFAULT 0,
	request_key text COLLATE "C",
	requested_by regrole NOT NULL DEFAULT quote_ident(current_user)::regrole,
	state text COLLATE "C" NOT NULL DEFAULT 'waiting'
		CHECK (state IN ('waiting', 'in_flight', 'done', 'failed', 'cancelled')),
	attempts integer NOT NULL DEFAULT 0,
	sqlstate text COLLATE "C",
	http_status integer,
	error text,
	result jsonb,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	accepted_at timestamptz,
	finished_at timestamptz,
	retry_at timestamptz,
	owner text COLLATE "C",
	lease_until timestamptz,
	in_doubt boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1,
	autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE allpass_queue IS
	'jobs: calls that the worker, or allpass_drain(), makes after the transaction that inserts them has committed';
COMMENT ON SEQUENCE allpass_queue_id_seq IS
	'numbers of jobs';
COMMENT ON COLUMN allpass_queue.id IS 'number of the job';
COMMENT ON COLUMN allpass_queue.operation IS 'schedule_deletion, restore, create_applicant, move_to_flow or aml_search';
COMMENT ON COLUMN allpass_queue.applicant_id IS 'the applicant; of create_applicant the external id, of aml_search nothing';
COMMENT ON COLUMN allpass_queue.arguments IS 'the other arguments of the function of that name, as a JSON object';
COMMENT ON COLUMN allpass_queue.server IS 'foreign server to use';
COMMENT ON COLUMN allpass_queue.run_at IS 'not before; a time that has passed becomes the time of the insert.  Jobs of an applicant keep the order of run_at, then id';
COMMENT ON COLUMN allpass_queue.priority IS 'higher goes first, but no job overtakes an earlier one of its applicant';
COMMENT ON COLUMN allpass_queue.request_key IS 'unique among the waiting and in-flight jobs of a role';
COMMENT ON COLUMN allpass_queue.requested_by IS 'role that asked, with whose mapping and rights the job runs';
COMMENT ON COLUMN allpass_queue.state IS 'waiting, in_flight, done, failed or cancelled';
COMMENT ON COLUMN allpass_queue.attempts IS 'how often it was tried';
COMMENT ON COLUMN allpass_queue.sqlstate IS 'SQLSTATE of the latest failure';
COMMENT ON COLUMN allpass_queue.http_status IS 'HTTP status of the latest answer';
COMMENT ON COLUMN allpass_queue.error IS 'words of the latest failure';
COMMENT ON COLUMN allpass_queue.result IS 'data of the answer';
COMMENT ON COLUMN allpass_queue.created_at IS 'when it was inserted';
COMMENT ON COLUMN allpass_queue.accepted_at IS 'when the API accepted it';
COMMENT ON COLUMN allpass_queue.finished_at IS 'when it was done, failed or cancelled';
COMMENT ON COLUMN allpass_queue.retry_at IS 'not before, after a failure';
COMMENT ON COLUMN allpass_queue.owner IS 'process that has it in flight';
COMMENT ON COLUMN allpass_queue.lease_until IS 'when others may take it from that process';
COMMENT ON COLUMN allpass_queue.in_doubt IS 'an attempt to create may have succeeded unnoticed, so the applicant is looked up first';

-- A job is in one of three stages, and each stage has indexes of its own, so
-- that a job that moves on leaves them behind: waiting jobs in the order in
-- which they are taken, and by applicant; those in flight by applicant; and
-- those that may be purged by time.
CREATE INDEX allpass_queue_due ON allpass_queue (server, priority, coalesce(retry_at, run_at), id) WITH (deduplicate_items = off)
	WHERE state = 'waiting';
CREATE INDEX allpass_queue_order ON allpass_queue (applicant_id, run_at, id) WITH (deduplicate_items = off)
	WHERE state = 'waiting';
CREATE INDEX allpass_queue_in_flight ON allpass_queue (applicant_id)
	WHERE state = 'in_flight';
CREATE INDEX allpass_queue_finished ON allpass_queue (finished_at)
	WHERE state IN ('done', 'cancelled');
CREATE UNIQUE INDEX allpass_queue_request_key ON allpass_queue (requested_by, request_key)
	WHERE request_key IS NOT NULL AND state IN ('waiting', 'in_flight');

SELECT pg_catalog.pg_extension_config_dump('allpass_queue', '');
SELECT pg_catalog.pg_extension_config_dump('allpass_queue_id_seq', '');

ALTER TABLE allpass_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY allpass_own_jobs ON allpass_queue
	USING (requested_by = (SELECT quote_ident(current_user)::regrole))
	WITH CHECK (requested_by = (SELECT quote_ident(current_user)::regrole));
COMMENT ON POLICY allpass_own_jobs ON allpass_queue IS
	'a role sees the jobs that it asked for';

CREATE TABLE allpass_queue_pauses (
	server text COLLATE "C" NOT NULL,
	requested_by regrole NOT NULL,
	paused_until timestamptz NOT NULL,
	failures integer NOT NULL,
	sqlstate text COLLATE "C" NOT NULL,
	reason text NOT NULL,
	PRIMARY KEY (server, requested_by)
);
COMMENT ON TABLE allpass_queue_pauses IS
	'servers whose jobs wait because of a fault that is not the job''s own; the worker writes it';
COMMENT ON COLUMN allpass_queue_pauses.server IS 'foreign server';
COMMENT ON COLUMN allpass_queue_pauses.requested_by IS 'role whose jobs wait, or 0 for all roles';
COMMENT ON COLUMN allpass_queue_pauses.paused_until IS 'when the next attempt may be made';
COMMENT ON COLUMN allpass_queue_pauses.failures IS 'attempts that failed so, one after the other';
COMMENT ON COLUMN allpass_queue_pauses.sqlstate IS 'SQLSTATE of the latest of them';
COMMENT ON COLUMN allpass_queue_pauses.reason IS 'words of the latest of them';

ALTER TABLE allpass_queue_pauses ENABLE ROW LEVEL SECURITY;
CREATE POLICY allpass_own_pauses ON allpass_queue_pauses
	USING (requested_by = 0 OR requested_by = (SELECT quote_ident(current_user)::regrole));
COMMENT ON POLICY allpass_own_pauses ON allpass_queue_pauses IS
	'a role sees what holds up its jobs';

CREATE VIEW allpass_queue_status WITH (security_invoker = true) AS
	SELECT j.*, p.paused_until, p.reason AS pause_reason
	FROM (
		SELECT server, operation,
			count(*) FILTER (WHERE state = 'waiting') AS waiting,
			count(*) FILTER (WHERE state = 'waiting' AND coalesce(retry_at, run_at) <= statement_timestamp()) AS due,
			count(*) FILTER (WHERE state = 'in_flight') AS in_flight,
			count(*) FILTER (WHERE state = 'failed') AS failed,
			statement_timestamp() - min(run_at) FILTER (WHERE state = 'in_flight' OR state = 'waiting' AND run_at <= statement_timestamp()) AS oldest_age
		FROM allpass_queue
		WHERE state IN ('waiting', 'in_flight', 'failed')
		GROUP BY server, operation) j
	LEFT JOIN LATERAL (
		SELECT s.paused_until, s.reason
		FROM allpass_queue_pauses s
		WHERE s.server = j.server AND s.paused_until > statement_timestamp()
		ORDER BY s.paused_until DESC LIMIT 1) p ON true;
COMMENT ON VIEW allpass_queue_status IS
	'the queue at a glance: by server and operation, how many jobs are waiting, due, in flight and failed, how old the oldest is, and what holds them up';

CREATE FUNCTION allpass_queue_check() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION allpass_queue_check() FROM PUBLIC;
COMMENT ON FUNCTION allpass_queue_check() IS
	'checks the jobs that come into the queue; its trigger calls it';

CREATE FUNCTION allpass_queue_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION allpass_queue_changed() FROM PUBLIC;
COMMENT ON FUNCTION allpass_queue_changed() IS
	'tells the workers of changes of the queue; its trigger calls it';

CREATE TRIGGER allpass_check BEFORE INSERT
	OR UPDATE OF operation, applicant_id, arguments, server, run_at, priority, requested_by
	ON allpass_queue FOR EACH ROW EXECUTE FUNCTION allpass_queue_check();
COMMENT ON TRIGGER allpass_check ON allpass_queue IS
	'refuses what the function of the operation would refuse';
CREATE TRIGGER allpass_changed AFTER UPDATE OR DELETE
	ON allpass_queue FOR EACH STATEMENT EXECUTE FUNCTION allpass_queue_changed();
COMMENT ON TRIGGER allpass_changed ON allpass_queue IS
	'tells the workers to look at the queue anew';

-- the functions of the queue

CREATE FUNCTION allpass_enqueue(operation text, applicant_id text DEFAULT NULL, arguments jsonb DEFAULT NULL, run_at timestamptz DEFAULT now(), request_key text DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION allpass_enqueue(text, text, jsonb, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_enqueue(text, text, jsonb, timestamptz, text) IS
	'puts a job into the queue, or finds the living one with that request_key; its id';

CREATE FUNCTION allpass_cancel(id bigint) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION allpass_cancel(bigint) FROM PUBLIC;
COMMENT ON FUNCTION allpass_cancel(bigint) IS
	'cancels a waiting job';

CREATE FUNCTION allpass_retry(id bigint) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION allpass_retry(bigint) FROM PUBLIC;
COMMENT ON FUNCTION allpass_retry(bigint) IS
	'lets a failed or cancelled job wait again';

CREATE FUNCTION allpass_retry(operation text, server text DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'allpass_retry_failed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION allpass_retry(text, text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_retry(text, text) IS
	'lets all failed jobs of an operation wait again; how many';

CREATE FUNCTION allpass_wait(id bigint, timeout interval DEFAULT '1min') RETURNS allpass_queue
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION allpass_wait(bigint, interval) FROM PUBLIC;
COMMENT ON FUNCTION allpass_wait(bigint, interval) IS
	'waits until a job is settled or the time is over, and gives its row';

CREATE FUNCTION allpass_verify_trigger() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION allpass_verify_trigger() FROM PUBLIC;
COMMENT ON FUNCTION allpass_verify_trigger() IS
	'puts a job that creates the applicant into the queue for each new row; arguments: flow, id column, email=column, phone=column, lang=column';

CREATE FUNCTION allpass_forget_trigger() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION allpass_forget_trigger() FROM PUBLIC;
COMMENT ON FUNCTION allpass_forget_trigger() IS
	'puts a job that schedules the deletion of the applicant into the queue for each deleted row; argument: id column';

CREATE PROCEDURE allpass_drain(max_jobs bigint DEFAULT NULL, timeout interval DEFAULT NULL)
	AS 'MODULE_PATHNAME' LANGUAGE C;
REVOKE ALL ON PROCEDURE allpass_drain(bigint, interval) FROM PUBLIC;
COMMENT ON PROCEDURE allpass_drain(bigint, interval) IS
	'carries out the queued jobs that are due, as the worker does, and commits after each step';

-- sets

CREATE FUNCTION allpass_set_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION allpass_set_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION allpass_set_support(internal) IS
	'the planner''s support for functions over sets';

CREATE TYPE allpass_applicant_answer AS (
	applicant_id text,
	applicant jsonb,
	sqlstate text,
	error text);
COMMENT ON TYPE allpass_applicant_answer IS
	'a row of allpass_applicants()';

CREATE FUNCTION allpass_applicants(applicant_ids text[]) RETURNS SETOF allpass_applicant_answer
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 100 SUPPORT allpass_set_support;
REVOKE ALL ON FUNCTION allpass_applicants(text[]) FROM PUBLIC;
COMMENT ON FUNCTION allpass_applicants(text[]) IS
	'returns applicants as their documents arrive, fetched concurrently (GET applicant/{id})';

CREATE TYPE allpass_status_answer AS (
	applicant_id text,
	status text,
	sqlstate text,
	error text);
COMMENT ON TYPE allpass_status_answer IS
	'a row of allpass_statuses()';

CREATE FUNCTION allpass_statuses(applicant_ids text[]) RETURNS SETOF allpass_status_answer
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 100 SUPPORT allpass_set_support;
REVOKE ALL ON FUNCTION allpass_statuses(text[]) FROM PUBLIC;
COMMENT ON FUNCTION allpass_statuses(text[]) IS
	'returns the statuses of applicants as they arrive, fetched concurrently (GET applicant/{id}/status)';

CREATE TYPE allpass_aml_answer AS (
	address text,
	aml_id text,
	type text,
	score numeric,
	report jsonb,
	sqlstate text,
	error text);
COMMENT ON TYPE allpass_aml_answer IS
	'a row of allpass_aml_screen()';

CREATE FUNCTION allpass_aml_screen(blockchain text, addresses text[]) RETURNS SETOF allpass_aml_answer
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 100 SUPPORT allpass_set_support;
REVOKE ALL ON FUNCTION allpass_aml_screen(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_screen(text, text[]) IS
	'searches wallets and returns their risk reports as they arrive, concurrently (POST crypto-aml/search, GET crypto-aml/{id}/details)';

-- progress

CREATE FUNCTION allpass_progress_entries(
	OUT pid integer, OUT statement text, OUT calls_done bigint, OUT in_flight bigint, OUT failed bigint, OUT started timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED COST 100 ROWS 5;
COMMENT ON FUNCTION allpass_progress_entries() IS
	'returns the rows of allpass_progress';

CREATE VIEW allpass_progress AS
	SELECT pid, statement, calls_done, in_flight, failed, started FROM allpass_progress_entries();
GRANT SELECT ON allpass_progress TO PUBLIC;
COMMENT ON VIEW allpass_progress IS
	'how far statements with many calls are, in sessions that the current role may watch';

-- calls ahead of a query's rows

CREATE FUNCTION allpass_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION allpass_support(internal) IS
	'lets the planner load the library, and tells the functions that call the API';

ALTER FUNCTION allpass_create_applicant(text, text, text, text, text, jsonb) SUPPORT allpass_support;
ALTER FUNCTION allpass_applicant(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_applicant_status(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_status(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_move_to_flow(text, text) SUPPORT allpass_support;
ALTER FUNCTION allpass_schedule_deletion(text) SUPPORT allpass_support;
ALTER FUNCTION allpass_restore(text) SUPPORT allpass_support;
ALTER FUNCTION allpass_token(text, text, bigint, text) SUPPORT allpass_support;
ALTER FUNCTION allpass_questionnaire(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_search(text, text, text) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_details(text, text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_services(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_documents(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_document_fields(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_document_images(text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_funds(text, text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_entities(text, text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_timeline(text, text, boolean) SUPPORT allpass_support;
ALTER FUNCTION allpass_aml_comments(text, text, boolean) SUPPORT allpass_support;
