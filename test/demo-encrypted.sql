--
-- demo-encrypted.sql
--		The same calls, encrypted.  Run by demo.sh, after demo.sql, once for
--		each method.
--
-- Reads the variables "method"; "settings" and "keys", the changes to make;
-- "customer", an id that is not in use; and "echo", whether to print the calls.
--
\set ON_ERROR_STOP on
\set ECHO queries
ALTER SERVER allpass OPTIONS
	(:settings);
ALTER USER MAPPING FOR CURRENT_USER SERVER allpass OPTIONS
	(:keys);
\set ECHO :echo
SELECT 'created' AS step, a->>'status' AS result
FROM allpass_create_applicant(:'customer', 'basic', email => 'dora@example.com') a
UNION ALL SELECT 'looked up', a->>'fullName' FROM allpass_applicant(:'customer') a
UNION ALL SELECT 'services', string_agg(service, ', ') FROM allpass_services(:'customer')
UNION ALL SELECT allpass_code_name('FieldType', field_type), value
FROM allpass_document_fields(:'customer') WHERE field_type IN (8, 9)
UNION ALL SELECT 'moved', m->>'status' FROM allpass_move_to_flow(:'customer', '2') m
UNION ALL SELECT 'token', left(t->>'accessToken', 20) || '...' FROM allpass_token(:'customer') t
UNION ALL SELECT direction || ' of funds', f.type
FROM allpass_aml_search('BTC', address => 'bc1qexamplewallet4') s,
	allpass_aml_funds(s->>'id', s->>'type') f WHERE direction = 'source'
UNION ALL SELECT 'to be deleted', left(d->>'scheduledDeletionDate', 10)
FROM allpass_schedule_deletion(:'customer') d
UNION ALL SELECT 'restored', allpass_status(r->>'id') FROM allpass_restore(:'customer') r;

-- What the sandbox received when the applicant was created, and an answer as
-- it leaves the sandbox.
\set ECHO none
\set log `"$TREE/test/sandbox/control" GET log`
\set answer `curl -qsSi --noproxy '*' -H 'x-private-app-key: sandbox-key' -H 'x-request-id: demo' "$ALLPASS_SANDBOX_URL/api/public/applicant/c-1/status" | tr -d '\r'`
SELECT l->>'body' AS body, l->'headers'->>'x-allpass-signature' AS signature
FROM jsonb_array_elements(:'log') l
WHERE l->>'operation' = 'create_applicant' ORDER BY (l->>'n')::int DESC LIMIT 1 \gset
SELECT left(:'signature', 48) || CASE WHEN length(:'signature') > 48 THEN '...' ELSE '' END AS signature,
	regexp_replace(:'body', '([0-9a-f]{48})[0-9a-f]+', '\1...') AS body,
	regexp_replace(substring(:'answer' FROM '\n(\{.*)'), '([0-9a-f]{24})[0-9a-f]+(.*),"time.*', '\1...\2, ...}') AS answer,
	:'body' ~ '^\{"data":"[0-9a-f]{150,}"\}$' AND :'signature' ~ '^[0-9a-f]{32,}$' AND
		:'answer' ~ '"data":"[0-9a-f]{80,}"' AS encrypted \gset
\echo 'On the wire, the request that created the applicant, and the answer to another:'
\echo '> POST /api/public/applicant'
\echo '> x-allpass-signature:' :signature
\echo '>' :body
\echo '<' :answer
\if :encrypted
\else
	DO $$ BEGIN RAISE 'this is not encrypted'; END $$;
\endif
