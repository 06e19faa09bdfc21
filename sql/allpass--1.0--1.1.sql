\echo Use "ALTER EXTENSION allpass UPDATE TO '1.1'" to load this file. \quit

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
