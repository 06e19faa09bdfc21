--
-- privileges: a plain role may do nothing that sends or reads keys, until it is
-- granted; what works on a document at hand is for everybody.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
CALL sandbox.reset();
CALL sandbox.seed(1);

CREATE ROLE regress_allpass_plain;
-- what PUBLIC may execute
SELECT p.oid::regprocedure AS function FROM pg_proc AS p WHERE p.proname LIKE 'allpass\_%' AND has_function_privilege('regress_allpass_plain', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT has_foreign_data_wrapper_privilege('regress_allpass_plain', 'allpass', 'USAGE') AS wrapper, has_server_privilege('regress_allpass_plain', 'allpass', 'USAGE') AS server;

-- each function by its name, as the role
SET ROLE regress_allpass_plain;
SELECT call, sandbox.error(call) FROM (VALUES
	($$SELECT allpass_create_applicant('c-9', 'basic')$$), ($$SELECT allpass_applicant('c-1')$$), ($$SELECT allpass_applicant_status('c-1')$$), ($$SELECT allpass_status('c-1')$$),
	($$SELECT allpass_move_to_flow('c-1', '1')$$), ($$SELECT allpass_schedule_deletion('c-1')$$), ($$SELECT allpass_restore('c-1')$$), ($$SELECT allpass_token('c-1')$$),
	($$SELECT allpass_questionnaire('kyc-basic')$$), ($$SELECT allpass_aml_search('BTC', 'bc1qexample')$$), ($$SELECT allpass_aml_details('a-1')$$),
	($$SELECT count(*) FROM allpass_services('c-1')$$), ($$SELECT count(*) FROM allpass_documents('c-1')$$), ($$SELECT count(*) FROM allpass_document_fields('c-1')$$),
	($$SELECT count(*) FROM allpass_document_images('c-1')$$), ($$SELECT count(*) FROM allpass_aml_funds('a-1')$$), ($$SELECT count(*) FROM allpass_aml_entities('a-1')$$),
	($$SELECT count(*) FROM allpass_aml_timeline('a-1')$$), ($$SELECT count(*) FROM allpass_aml_comments('a-1')$$),
	($$SELECT count(*) FROM allpass_applicants('{c-1}')$$), ($$SELECT count(*) FROM allpass_statuses('{c-1}')$$), ($$SELECT count(*) FROM allpass_aml_screen('BTC', '{bc1qexample}')$$),
	-- also of a NULL, which would make no call
	($$SELECT allpass_status(NULL)$$), ($$SELECT count(*) FROM allpass_services(NULL::text)$$),
	-- pure ones
	($$SELECT count(*) FROM allpass_services('{"servicesData": [{}]}'::jsonb)$$), ($$SELECT count(*) FROM allpass_documents('{}'::jsonb)$$), ($$SELECT count(*) FROM allpass_document_fields('{}'::jsonb)$$),
	($$SELECT count(*) FROM allpass_document_images('{}'::jsonb)$$), ($$SELECT count(*) FROM allpass_aml_funds('{}'::jsonb)$$), ($$SELECT count(*) FROM allpass_aml_entities('{}'::jsonb)$$),
	($$SELECT count(*) FROM allpass_aml_timeline('{}'::jsonb)$$), ($$SELECT count(*) FROM allpass_aml_comments('{}'::jsonb)$$), ($$SELECT allpass_code_name('FieldType', 8)$$)) AS c (call);
-- nor make a server of its own
SELECT sandbox.error($$CREATE SERVER mine FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com')$$);
SELECT sandbox.error($$CREATE USER MAPPING FOR CURRENT_USER SERVER allpass OPTIONS (api_key 'mine')$$);
-- nor see keys
SELECT srvname, umoptions FROM pg_user_mappings WHERE srvname = 'allpass';
RESET ROLE;
SELECT sandbox.requests();

-- with the functions alone the server is still closed
GRANT EXECUTE ON FUNCTION allpass_status(text, boolean), allpass_services(text, boolean), allpass_statuses(text[]) TO regress_allpass_plain;
SET ROLE regress_allpass_plain;
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_statuses('{c-1}')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_services('c-1')$$);
RESET ROLE;
SELECT sandbox.requests();
-- with USAGE on it, it works; the other functions do not
GRANT USAGE ON FOREIGN SERVER allpass TO regress_allpass_plain;
SET ROLE regress_allpass_plain;
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_services('c-1')$$);
SELECT sandbox.outcome($$SELECT count(status) FROM allpass_statuses('{c-1}')$$);
SELECT sandbox.error($$SELECT allpass_applicant('c-1')$$);
RESET ROLE;
-- and no longer when that is taken back, in the same session
REVOKE USAGE ON FOREIGN SERVER allpass FROM regress_allpass_plain;
SET ROLE regress_allpass_plain;
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
RESET ROLE;
SELECT sandbox.requests();

-- a SECURITY DEFINER function lends its owner's rights and keys, and no more
CREATE ROLE regress_allpass_owner;
GRANT EXECUTE ON FUNCTION allpass_status(text, boolean) TO regress_allpass_owner;
GRANT USAGE ON FOREIGN SERVER allpass TO regress_allpass_owner;
CREATE FUNCTION lend(id text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$ SELECT allpass_status(id) $$;
ALTER FUNCTION lend(text) OWNER TO regress_allpass_owner;
SET ROLE regress_allpass_plain;
SELECT lend('c-1');
RESET ROLE;
DROP FUNCTION lend(text);

REVOKE ALL ON FUNCTION allpass_status(text, boolean), allpass_services(text, boolean), allpass_statuses(text[]) FROM regress_allpass_plain, regress_allpass_owner;
REVOKE ALL ON FOREIGN SERVER allpass FROM regress_allpass_owner;
DROP ROLE regress_allpass_plain, regress_allpass_owner;

-- everybody may look at the progress of what they may watch, which is nothing of others
SET ROLE pg_monitor;
SELECT count(*) FROM allpass_progress;
RESET ROLE;

-- the settings are for everybody
SELECT name, context FROM pg_settings WHERE name LIKE 'allpass.%' ORDER BY name COLLATE "C";
