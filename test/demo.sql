--
-- demo.sql
--		What the API does, from SQL, step by step.  Run by demo.sh.
--
-- psql prints each statement before its result (ECHO), and ends at the first
-- one that fails.  Reads the variable "url".
--
\set ON_ERROR_STOP on
\set ECHO queries

\echo '== 1. A server says where the API is.  A user mapping holds a key for it.'
CREATE EXTENSION allpass;
CREATE SERVER allpass FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url');
CREATE USER MAPPING FOR CURRENT_USER SERVER allpass
	OPTIONS (api_key 'sandbox-key');

\echo
\echo '== 2. A table of customers.'
CREATE TABLE customers (id text PRIMARY KEY, name text, wallet text);
INSERT INTO customers VALUES ('c-1', 'Ada', 'bc1qexamplewallet1'),
	('c-2', 'Ben', NULL), ('c-3', 'Cleo', 'bc1qexamplewallet3');

\echo
\echo '== 3. Join it with the statuses at Allpass.  Ada is known there already; for'
\echo '==    the others "missing_ok" gives NULL instead of an error.'
SELECT id, name, allpass_status(id, missing_ok => true) AS status
FROM customers ORDER BY id;

\echo '== 4. Create an applicant for each of the others.'
SELECT c.id, a->>'status' AS status, a->'flow'->>'name' AS flow
FROM customers c, allpass_create_applicant(c.id, 'basic') a
WHERE c.id <> 'c-1';

\echo '== 5. Look one up.  A function returns what the API returns, as jsonb.'
SELECT a->>'fullName' AS full_name, a->>'dateOfBirth' AS born,
	a->>'country' AS country, a->'review'->>'status' AS review
FROM allpass_applicant('c-1') a;

\echo '== 6. The services that have checked the applicant, as rows.'
SELECT service, status, overall_result AS result,
	allpass_code_name('CheckResult', overall_result) AS result_name
FROM allpass_services('c-1');

\echo '== 7. What they have read from the document, as rows.  The API gives numbers;'
\echo '==    allpass_code_name() knows what they are called.'
SELECT allpass_code_name('FieldType', field_type) AS field, value,
	allpass_code_name('ResultType', source_type) AS read_from,
	allpass_code_name('FieldVerificationResult', validity) AS validity
FROM allpass_document_fields('c-1') WHERE field_type IN (2, 3, 8, 9);

\echo '== 8. Move an applicant to another flow.'
SELECT m->>'status' AS status, a->'flow'->>'id' AS flow_id
FROM allpass_move_to_flow('c-2', '2') m, allpass_applicant(m->>'id') a;

\echo '== 9. Make a token, with which the applicant verifies.  It is a secret.'
SELECT left(t->>'accessToken', 20) || '...' AS access_token, t->>'ttl' AS seconds
FROM allpass_token('c-2', locale => 'en-GB', ttl => 3600) t;

\echo '== 10. Screen the wallets of the customers, and see where their money came from.'
\echo '==     Amounts are exact, however long.'
SELECT c.id, d->>'score' AS score, f.type, f.share, f.amount
FROM customers c,
	allpass_aml_search('BTC', address => c.wallet) s,
	allpass_aml_details(s->>'id', s->>'type') d,
	allpass_aml_funds(d) f
WHERE c.wallet IS NOT NULL AND f.direction = 'source';

\echo '== 11. Schedule the deletion of an applicant, and take it back.'
SELECT left(d->>'scheduledDeletionDate', 10) AS gone_on,
	a->>'scheduledDeletionDate' AS gone_on_after_restoring
FROM allpass_schedule_deletion('c-3') d, allpass_restore(d->>'id') r,
	allpass_applicant(r->>'id') a;

\echo '== 12. What the API refuses is an error with its HTTP status as SQLSTATE.'
\set ON_ERROR_STOP off
SELECT allpass_status('nobody');
\set ON_ERROR_STOP on
\echo SQLSTATE: :LAST_ERROR_SQLSTATE
\set ECHO none
SELECT :'LAST_ERROR_SQLSTATE' = 'KY404' AS refused \gset
\if :refused
\else
	DO $$ BEGIN RAISE 'the API has not refused this'; END $$;
\endif
\set ECHO queries

\echo
\echo '== 13. It can be caught like any other.'
DO $$
BEGIN
	PERFORM allpass_schedule_deletion('nobody');
EXCEPTION WHEN SQLSTATE 'KY404' THEN
	RAISE NOTICE 'there is nobody to delete';
END $$;
