\echo Use "ALTER EXTENSION allpass UPDATE TO '1.1'" to load this file. \quit

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
