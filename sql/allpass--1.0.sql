\echo Use "CREATE EXTENSION allpass" to load this file. \quit

-- Labels, and why.
--
-- What calls the API is VOLATILE: the planner evaluates a STABLE function of
-- constants while it estimates, so that even EXPLAIN would make paid calls.
-- It costs 1000, so that a call comes after the cheap conditions of a query
-- (and not so much that estimates switch JIT compilation on).  What reads is
-- PARALLEL RESTRICTED: it runs in the leader, whose connections and limits are
-- one set.  What changes something is PARALLEL UNSAFE.  None of it is granted
-- to PUBLIC.  What works on a document at hand is pure.

-- servers and user mappings

CREATE FUNCTION allpass_validator(options text[], catalog oid) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION allpass_validator(text[], oid) IS
	'checks the options of servers and user mappings of allpass';

CREATE FOREIGN DATA WRAPPER allpass VALIDATOR allpass_validator;
COMMENT ON FOREIGN DATA WRAPPER allpass IS
	'servers of the Allpass.ai API, and the keys of roles for them';

-- applicants

CREATE FUNCTION allpass_create_applicant(external_user_id text, flow_name text, phone text DEFAULT NULL, email text DEFAULT NULL, lang text DEFAULT NULL, supplied_info jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_create_applicant(text, text, text, text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION allpass_create_applicant(text, text, text, text, text, jsonb) IS
	'creates an applicant in a flow, and returns it (POST applicant)';

CREATE FUNCTION allpass_applicant(applicant_id text, missing_ok boolean DEFAULT false) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000;
REVOKE ALL ON FUNCTION allpass_applicant(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_applicant(text, boolean) IS
	'returns an applicant with everything known of it (GET applicant/{id})';

CREATE FUNCTION allpass_applicant_status(applicant_id text, missing_ok boolean DEFAULT false) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000;
REVOKE ALL ON FUNCTION allpass_applicant_status(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_applicant_status(text, boolean) IS
	'returns the id and status of an applicant (GET applicant/{id}/status)';

CREATE FUNCTION allpass_status(applicant_id text, missing_ok boolean DEFAULT false) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000;
REVOKE ALL ON FUNCTION allpass_status(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_status(text, boolean) IS
	'returns the status of an applicant, such as APPROVED (GET applicant/{id}/status)';

CREATE FUNCTION allpass_move_to_flow(applicant_id text, flow_id text) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_move_to_flow(text, text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_move_to_flow(text, text) IS
	'moves an applicant to another flow (POST applicant/{id}/moveToFlow)';

CREATE FUNCTION allpass_schedule_deletion(applicant_id text) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_schedule_deletion(text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_schedule_deletion(text) IS
	'schedules the deletion of an applicant (POST applicant/{id}/schedule-deletion)';

CREATE FUNCTION allpass_restore(applicant_id text) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_restore(text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_restore(text) IS
	'takes back the scheduled deletion of an applicant (POST applicant/{id}/restore)';

CREATE FUNCTION allpass_token(applicant_id text, locale text DEFAULT NULL, ttl bigint DEFAULT NULL, flow_name text DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_token(text, text, bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_token(text, text, bigint, text) IS
	'makes a token and link with which the applicant verifies; ttl is in seconds (POST applicant/{id}/token)';

-- questionnaires

CREATE FUNCTION allpass_questionnaire(id text, missing_ok boolean DEFAULT false) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000;
REVOKE ALL ON FUNCTION allpass_questionnaire(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_questionnaire(text, boolean) IS
	'returns the schema of a questionnaire (GET questionnaire/{id})';

-- anti-money-laundering checks of wallets and transactions

CREATE FUNCTION allpass_aml_search(blockchain text, address text DEFAULT NULL, tx_hash text DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE ALL ON FUNCTION allpass_aml_search(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_search(text, text, text) IS
	'searches the risk of a wallet or a transaction, and returns the id and type of the report (POST crypto-aml/search)';

CREATE FUNCTION allpass_aml_details(aml_id text, type text DEFAULT 'WALLET', missing_ok boolean DEFAULT false) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000;
REVOKE ALL ON FUNCTION allpass_aml_details(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_details(text, text, boolean) IS
	'returns a risk report (GET crypto-aml/{id}/details)';

-- documents as rows

CREATE TYPE allpass_service AS (
	ordinality integer,
	service text,
	status text,
	type text,
	step_type text,
	overall_result integer,
	elapsed_time numeric,
	elapsed_time_rfid numeric,
	uploaded_pages_count integer,
	deactivated_service_count integer,
	error_message text,
	reason text,
	created_at timestamptz,
	data jsonb);
COMMENT ON TYPE allpass_service IS
	'a row of allpass_services()';

CREATE FUNCTION allpass_services(applicant jsonb) RETURNS SETOF allpass_service
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 5;
COMMENT ON FUNCTION allpass_services(jsonb) IS
	'the verification services of an applicant, of a document at hand';

CREATE FUNCTION allpass_services(applicant_id text, missing_ok boolean DEFAULT false) RETURNS SETOF allpass_service
	AS 'MODULE_PATHNAME', 'allpass_services_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 5;
REVOKE ALL ON FUNCTION allpass_services(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_services(text, boolean) IS
	'the verification services of an applicant, fetched by id (GET applicant/{id})';

CREATE TYPE allpass_document AS (
	ordinality integer,
	id text,
	doc_id text,
	name text,
	page_index integer,
	has_mrz boolean,
	icao text,
	type integer,
	year text,
	format integer,
	created_at timestamptz,
	service_ordinality integer);
COMMENT ON TYPE allpass_document IS
	'a row of allpass_documents()';

CREATE FUNCTION allpass_documents(applicant jsonb) RETURNS SETOF allpass_document
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 2;
COMMENT ON FUNCTION allpass_documents(jsonb) IS
	'the types of the documents of an applicant, of a document at hand';

CREATE FUNCTION allpass_documents(applicant_id text, missing_ok boolean DEFAULT false) RETURNS SETOF allpass_document
	AS 'MODULE_PATHNAME', 'allpass_documents_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 2;
REVOKE ALL ON FUNCTION allpass_documents(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_documents(text, boolean) IS
	'the types of the documents of an applicant, fetched by id (GET applicant/{id})';

CREATE TYPE allpass_document_field AS (
	ordinality integer,
	field_type integer,
	id text,
	doc_id text,
	lcid integer,
	status integer,
	page_index integer,
	probability numeric,
	validity integer,
	value text,
	source_type integer,
	comparison jsonb,
	created_at timestamptz,
	service_ordinality integer);
COMMENT ON TYPE allpass_document_field IS
	'a row of allpass_document_fields()';

CREATE FUNCTION allpass_document_fields(applicant jsonb) RETURNS SETOF allpass_document_field
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 20;
COMMENT ON FUNCTION allpass_document_fields(jsonb) IS
	'the text fields read from the documents of an applicant, of a document at hand';

CREATE FUNCTION allpass_document_fields(applicant_id text, missing_ok boolean DEFAULT false) RETURNS SETOF allpass_document_field
	AS 'MODULE_PATHNAME', 'allpass_document_fields_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 20;
REVOKE ALL ON FUNCTION allpass_document_fields(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_document_fields(text, boolean) IS
	'the text fields read from the documents of an applicant, fetched by id (GET applicant/{id})';

CREATE TYPE allpass_document_image AS (
	ordinality integer,
	field_type integer,
	id text,
	doc_id text,
	source_type integer,
	container_type integer,
	page_index integer,
	image bytea,
	created_at timestamptz,
	service_ordinality integer);
COMMENT ON TYPE allpass_document_image IS
	'a row of allpass_document_images()';

CREATE FUNCTION allpass_document_images(applicant jsonb) RETURNS SETOF allpass_document_image
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 5;
COMMENT ON FUNCTION allpass_document_images(jsonb) IS
	'the images cut from the documents of an applicant, of a document at hand';

CREATE FUNCTION allpass_document_images(applicant_id text, missing_ok boolean DEFAULT false) RETURNS SETOF allpass_document_image
	AS 'MODULE_PATHNAME', 'allpass_document_images_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 5;
REVOKE ALL ON FUNCTION allpass_document_images(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_document_images(text, boolean) IS
	'the images cut from the documents of an applicant, fetched by id (GET applicant/{id})';

CREATE TYPE allpass_aml_fund AS (
	direction text,
	ordinality integer,
	hash text,
	forward boolean,
	owner text,
	score numeric,
	type text,
	depth integer,
	amount numeric,
	address text,
	share numeric,
	transaction_count bigint,
	unidentified boolean,
	unknown boolean,
	amount_cur numeric,
	cluster numeric,
	direct_stamp numeric,
	"timestamp" numeric,
	list_type text,
	amount_dec numeric,
	direct_tx text);
COMMENT ON TYPE allpass_aml_fund IS
	'a row of allpass_aml_funds()';

CREATE FUNCTION allpass_aml_funds(report jsonb) RETURNS SETOF allpass_aml_fund
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 20;
COMMENT ON FUNCTION allpass_aml_funds(jsonb) IS
	'the sources and uses of funds of a risk report, of a document at hand';

CREATE FUNCTION allpass_aml_funds(aml_id text, type text DEFAULT 'WALLET', missing_ok boolean DEFAULT false) RETURNS SETOF allpass_aml_fund
	AS 'MODULE_PATHNAME', 'allpass_aml_funds_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 20;
REVOKE ALL ON FUNCTION allpass_aml_funds(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_funds(text, text, boolean) IS
	'the sources and uses of funds of a risk report, fetched by id (GET crypto-aml/{id}/details)';

CREATE TYPE allpass_aml_entity AS (
	ordinality integer,
	id text,
	score numeric,
	score_type text,
	name text,
	score_type_id text);
COMMENT ON TYPE allpass_aml_entity IS
	'a row of allpass_aml_entities()';

CREATE FUNCTION allpass_aml_entities(report jsonb) RETURNS SETOF allpass_aml_entity
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 5;
COMMENT ON FUNCTION allpass_aml_entities(jsonb) IS
	'the entities of a risk report, of a document at hand';

CREATE FUNCTION allpass_aml_entities(aml_id text, type text DEFAULT 'WALLET', missing_ok boolean DEFAULT false) RETURNS SETOF allpass_aml_entity
	AS 'MODULE_PATHNAME', 'allpass_aml_entities_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 5;
REVOKE ALL ON FUNCTION allpass_aml_entities(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_entities(text, text, boolean) IS
	'the entities of a risk report, fetched by id (GET crypto-aml/{id}/details)';

CREATE TYPE allpass_aml_event AS (
	ordinality integer,
	id text,
	request_unique_id text,
	event_name text,
	applicant_id text,
	app_key text,
	data jsonb,
	aml_id text,
	user_id bigint,
	device jsonb,
	geo jsonb,
	created_at timestamptz,
	updated_at timestamptz);
COMMENT ON TYPE allpass_aml_event IS
	'a row of allpass_aml_timeline()';

CREATE FUNCTION allpass_aml_timeline(report jsonb) RETURNS SETOF allpass_aml_event
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 5;
COMMENT ON FUNCTION allpass_aml_timeline(jsonb) IS
	'the events of a risk report, of a document at hand';

CREATE FUNCTION allpass_aml_timeline(aml_id text, type text DEFAULT 'WALLET', missing_ok boolean DEFAULT false) RETURNS SETOF allpass_aml_event
	AS 'MODULE_PATHNAME', 'allpass_aml_timeline_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 5;
REVOKE ALL ON FUNCTION allpass_aml_timeline(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_timeline(text, text, boolean) IS
	'the events of a risk report, fetched by id (GET crypto-aml/{id}/details)';

CREATE TYPE allpass_aml_comment AS (
	ordinality integer,
	id text,
	content text,
	aml_id text,
	author_id bigint,
	parent_id text,
	author_name text,
	updated_at timestamptz,
	created_at timestamptz,
	parent_comment jsonb);
COMMENT ON TYPE allpass_aml_comment IS
	'a row of allpass_aml_comments()';

CREATE FUNCTION allpass_aml_comments(report jsonb) RETURNS SETOF allpass_aml_comment
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10 ROWS 5;
COMMENT ON FUNCTION allpass_aml_comments(jsonb) IS
	'the comments on a risk report, of a document at hand';

CREATE FUNCTION allpass_aml_comments(aml_id text, type text DEFAULT 'WALLET', missing_ok boolean DEFAULT false) RETURNS SETOF allpass_aml_comment
	AS 'MODULE_PATHNAME', 'allpass_aml_comments_of_id' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 5;
REVOKE ALL ON FUNCTION allpass_aml_comments(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION allpass_aml_comments(text, text, boolean) IS
	'the comments on a risk report, fetched by id (GET crypto-aml/{id}/details)';

-- numeric codes

CREATE FUNCTION allpass_code_name(kind text, code integer) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION allpass_code_name(text, integer) IS
	'returns the name of a numeric code in a document, such as FieldType 2, or NULL';
