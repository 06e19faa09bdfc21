-- Every operation in every mode, and every hostile answer, so that the backend
-- that runs this can be watched.  It fails where an outcome is not the expected.
-- Variables: url, tls_url, ca_file, crypto_key, hmac_key, key_file
-- Environment: CONTROL, the command that controls the sandbox

SET client_min_messages = error;
SET allpass.max_response_size = '1MB';

-- Evaluate an expression, which must end with this SQLSTATE.
CREATE PROCEDURE expect(expected text, expression text) LANGUAGE plpgsql AS $$
DECLARE
	outcome text := '00000';
	words text;
BEGIN
	BEGIN
		EXECUTE 'SELECT count(s) FROM (SELECT ' || expression || ') s';
	EXCEPTION WHEN OTHERS OR query_canceled THEN
		outcome := sqlstate;
		words := sqlerrm;
	END;
	IF outcome <> expected THEN
		RAISE EXCEPTION '% ended with % (%), not with %', expression, outcome, words, expected;
	END IF;
END
$$;

CREATE SERVER allpass FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url', timeout '5s', connect_timeout '2s');
CREATE USER MAPPING FOR PUBLIC SERVER allpass
	OPTIONS (api_key 'sandbox-key', crypto_key :'crypto_key', hmac_key :'hmac_key');

-- all operations, and their rows
CREATE PROCEDURE expect_operations(prefix text) LANGUAGE plpgsql AS $$
DECLARE
	aml_id text;
BEGIN
	CALL expect('00000', format('allpass_create_applicant(%L, ''basic'', ''+15550100'','
		' ''anna@example.com'', ''en'', ''{"a": [1e400, "é"]}'')', prefix || '/1'));
	CALL expect('KY409', format('allpass_create_applicant(%L, ''basic'', ''+15550100'')', prefix || '/1'));
	CALL expect('00000', format('allpass_create_applicant(%L, ''basic'')', prefix || '/2'));
	CALL expect('00000', format('allpass_applicant(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_applicant_status(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_status(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_move_to_flow(%L, ''full'')', prefix || '/1'));
	CALL expect('00000', format('allpass_schedule_deletion(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_restore(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_token(%L, ''en-US'', 3600, ''basic'')', prefix || '/1'));
	CALL expect('00000', 'allpass_questionnaire(''kyc-basic'')');
	CALL expect('KY404', 'allpass_questionnaire(''unknown'')');
	CALL expect('00000', 'allpass_questionnaire(''unknown'', true)');
	CALL expect('00000', 'allpass_aml_search(''BTC'', tx_hash => repeat(''ab'', 32))');
	aml_id := allpass_aml_search('BTC', 'bc1qexample')->>'id';
	CALL expect('00000', format('allpass_aml_details(%L)', aml_id));
	CALL expect('00000', format('allpass_services(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_documents(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_document_fields(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_document_images(%L)', prefix || '/1'));
	CALL expect('00000', format('allpass_aml_funds(%L)', aml_id));
	CALL expect('00000', format('allpass_aml_entities(%L)', aml_id));
	CALL expect('00000', format('allpass_aml_timeline(%L)', aml_id));
	CALL expect('00000', format('allpass_aml_comments(%L)', aml_id));
	-- sets: read to the end, in part, and in the select list
	CALL expect('00000', format('status FROM allpass_statuses(ARRAY[%1$L, NULL, ''nobody'', '''', %1$L])', prefix || '/1'));
	CALL expect('00000', format('applicant FROM allpass_applicants(ARRAY[%L, ''nobody'']) WHERE sqlstate IS NULL LIMIT 1', prefix || '/1'));
	CALL expect('00000', format('allpass_statuses(ARRAY[%L, ''nobody''])', prefix || '/1'));
	CALL expect('00000', 'score FROM allpass_aml_screen(''BTC'', ''{bc1qexample,bc1qother}'')');
END
$$;
CALL expect_operations('plain');

-- calls made ahead: joins, filters on each other, errors that wait, cursors, locks
CREATE TABLE people AS SELECT n, 'plain/' || n % 2 + 1 AS id FROM generate_series(1, 40) AS n;
CREATE INDEX ON people (n);
CREATE PROCEDURE expect_ahead() LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
	found record;
BEGIN
	CALL expect('00000', '1 FROM people AS p WHERE allpass_status(p.id) <> allpass_applicant(p.id) ->> ''id'' OFFSET 0');
	CALL expect('00000', '1 FROM people AS p JOIN people AS q USING (n), allpass_services(p.id) AS s WHERE allpass_status(q.id) IS NOT NULL');
	CALL expect('00000', 'count(allpass_status(p.id)) FROM people AS p GROUP BY allpass_status(p.id) HAVING allpass_status(min(p.id)) IS NOT NULL');
	CALL expect('00000', '(allpass_services(p.id)).service FROM people AS p LIMIT 3');
	CALL expect('00000', '1 FROM people AS p WHERE EXISTS (SELECT FROM people AS q WHERE q.n = p.n AND allpass_status(q.id) = ''INIT'' FOR UPDATE)');
	CALL expect('KY404', 'allpass_status(CASE WHEN n > 30 THEN ''nobody'' ELSE id END) FROM people');
	CALL expect('00000', 'allpass_status(CASE WHEN n > 9 THEN ''nobody'' ELSE id END) FROM people LIMIT 9');
	CALL expect('22012', 'allpass_status(id) FROM people WHERE 1 / (n - 9) < 2');
	CALL expect('00000', 'allpass_status(id) FROM people WHERE 1 / (n - 9) < 2 LIMIT 8');
	CALL expect('22023', 'allpass_status(CASE WHEN n = 20 THEN ''.'' ELSE id END) FROM people');
	PERFORM set_config('allpass.max_calls_per_statement', '10', true);
	CALL expect('54000', 'allpass_status(id), allpass_applicant(id) FROM people WHERE allpass_status(id) IS NOT NULL');
	PERFORM set_config('allpass.max_calls_per_statement', '10000', true);
	OPEN c SCROLL FOR SELECT allpass_status(id) FROM people WHERE 1 / (n - 12) < 2;
	MOVE FORWARD 7 FROM c;
	MOVE BACKWARD 3 FROM c;
	FETCH c INTO found;
	CLOSE c;
	UPDATE people SET n = n WHERE allpass_status(id) = 'INIT';
	SET LOCAL work_mem = '64kB';
	CALL expect('00000', 'allpass_applicant(id) FROM people');
END
$$;
CALL expect_ahead();
\! sh "$CONTROL" POST faults '{"applicant":"plain/2","times":1,"delay_ms":60000}'
SET statement_timeout = '3s';
CALL expect('57014', 'allpass_status(id) FROM people');
RESET statement_timeout;
EXPLAIN ANALYZE SELECT allpass_status(id) FROM people WHERE 1 / (n - 12) < 2 LIMIT 5;

-- in every mode of encryption, of answers and of requests
\! sh "$CONTROL" POST config '{"encryption":"aes-256-cbc"}'
ALTER SERVER allpass OPTIONS (ADD encryption 'aes-256-cbc');
CALL expect_operations('cbc');
ALTER SERVER allpass OPTIONS (ADD encrypt_requests 'on', ADD require_signature 'on');
CALL expect_operations('cbc-both');
ALTER SERVER allpass OPTIONS (ADD signature_key 'text', ADD signature_over 'plaintext');
\! sh "$CONTROL" POST config '{"signature_key":"text","signature_over":"plaintext"}'
CALL expect_operations('cbc-plaintext');
ALTER SERVER allpass OPTIONS (DROP signature_key, SET signature_over 'body');
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
ALTER SERVER allpass OPTIONS (DROP signature_over);
\! sh "$CONTROL" POST config '{"signature_key":"hex","signature_over":"wire"}'
\! sh "$CONTROL" POST faults '[{"times":1,"signature":""},{"times":1,"signature":"sha256=00"},{"times":1,"signature":"no hex"},{"times":1,"body":"{\"data\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}"}]'
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET crypto_key '00000000000000000000000000000000', SET hmac_key '00000000000000000000000000000000');
CALL expect('KY003', 'allpass_applicant(''cbc/1'')');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET crypto_key :'crypto_key', DROP hmac_key);
CALL expect('KY004', 'allpass_applicant(''cbc/1'')');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (ADD hmac_key :'hmac_key');
CALL expect('00000', 'allpass_applicant(''cbc/1'')');
\! sh "$CONTROL" POST config '{"encryption":"aes-256-gcm"}'
ALTER SERVER allpass OPTIONS (SET encryption 'aes-256-gcm');
CALL expect_operations('gcm-both');
ALTER SERVER allpass OPTIONS (ADD gcm_iv_length '12');
\! sh "$CONTROL" POST config '{"gcm_iv_length":12,"tag":"inband"}'
ALTER SERVER allpass OPTIONS (DROP encrypt_requests, DROP require_signature);
CALL expect_operations('gcm-inband');
\! sh "$CONTROL" POST faults '[{"times":1,"signature":"00112233445566778899aabbccddeeff"},{"times":1,"body":"{\"data\":\"AAAA\"}"}]'
CALL expect('KY003', 'allpass_applicant(''gcm-inband/1'')');
CALL expect('KY003', 'allpass_applicant(''gcm-inband/1'')');
ALTER SERVER allpass OPTIONS (SET encryption 'none');
CALL expect('KY003', 'allpass_applicant(''gcm-inband/1'')');
\! sh "$CONTROL" POST config '{"encryption":"none"}'
CALL expect('00000', 'allpass_applicant(''gcm-inband/1'')');

-- hostile answers, each served once, in this order
\! sh "$CONTROL" POST faults '[{"times":1,"body":"<html>no JSON</html>","content_type":"text/html"},{"times":1,"body":""},{"times":1,"body":"[1,2]"},{"times":1,"body":"{\"status\":true}"},{"times":1,"data":"NaN"},{"times":1,"data":"\"\\u0000\""},{"times":1,"data":"{\"a\":"},{"times":1,"body_base64":"eyJkYXRhIjoi/yJ9"},{"times":1,"data":"\"no JSON\""},{"times":1,"oversize":3000000},{"times":1,"oversize":3000000,"chunked":true},{"times":1,"body":"no gzip","headers":{"Content-Encoding":"gzip"}}]'
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
CALL expect('KY002', 'allpass_applicant(''plain/1'')');
\! sh "$CONTROL" POST faults '[{"times":1,"cut":100},{"times":1,"cut":100,"chunked":true},{"operation":"token","times":1,"drop":"before"},{"operation":"token","times":1,"drop":"after"},{"times":1,"gzip":true},{"times":1,"chunked":true},{"times":1,"slow":{"bytes":500,"delay_ms":1}},{"times":1,"data":"null"},{"times":1,"data":"[1e1000, \"é\", {\"a\":null}]"}]'
CALL expect('KY001', 'allpass_applicant(''plain/1'')');
CALL expect('KY001', 'allpass_applicant(''plain/1'')');
CALL expect('KY001', 'allpass_token(''plain/1'')');
CALL expect('KY001', 'allpass_token(''plain/1'')');
CALL expect('00000', 'allpass_applicant(''plain/1'')');
CALL expect('00000', 'allpass_applicant(''plain/1'')');
CALL expect('00000', 'allpass_applicant(''plain/1'')');
CALL expect('00000', 'allpass_services(''plain/1'')');
CALL expect('00000', 'allpass_document_fields(''plain/1'')');
\! sh "$CONTROL" POST faults '[{"times":1,"status":302,"headers":{"Location":"http://127.0.0.1:1/"}},{"times":1,"status":401},{"times":1,"status":429,"retry_after":"1"},{"times":1,"status":500,"body":""},{"times":1,"status":503,"message":["not now",{"message":"+15550100 and sandbox-key"}]},{"times":1,"message":"no"}]'
CALL expect('KY302', 'allpass_status(''plain/1'')');
CALL expect('KY401', 'allpass_status(''plain/1'')');
CALL expect('KY429', 'allpass_status(''plain/1'')');
CALL expect('KY500', 'allpass_status(''plain/1'')');
CALL expect('KY503', 'allpass_create_applicant(''plain/3'', ''basic'', ''+15550100'')');
CALL expect('KY400', 'allpass_status(''plain/1'')');

-- documents of odd shapes, which are text for the id's overload otherwise
CALL expect('00000', 'allpass_services(document), allpass_documents(document),
		allpass_document_fields(document), allpass_document_images(document),
		allpass_aml_funds(document), allpass_aml_entities(document),
		allpass_aml_timeline(document), allpass_aml_comments(document)
	FROM unnest(ARRAY[''1'', ''null'', ''[]'', ''{"servicesData": {"data": [{"types": "x", "fields": {"data": {"value": {}}}}]}}'',
		''{"servicesData": [{"data": {"createdAt": "2026-02-30", "graphics": [{"data": [{"image": "data:image/png;base64,iVBO\nRw0K"}, {"image": "==="}]}]}}]}'',
		''{"sof": [{"amount": "123456789012345678901234567890.5", "score": "x", "depth": 1e9}], "uof": 7, "comments": [[{"authorId": 1.5}]]}'']::jsonb[]) document');

-- cancels, timeouts, and peers that are not there
\! sh "$CONTROL" POST faults '{"applicant":"plain/1","delay_ms":20000}'
ALTER SERVER allpass OPTIONS (SET timeout '300ms');
CALL expect('KY001', 'allpass_applicant(''plain/1'')');
ALTER SERVER allpass OPTIONS (SET timeout '30s');
SET statement_timeout = '500ms';
CALL expect('57014', 'allpass_applicant(''plain/1'')');
SET statement_timeout = '700ms';
CALL expect('57014', 'allpass_document_fields(''plain/1'')');
RESET statement_timeout;
\! sh "$CONTROL" DELETE faults
CALL expect('00000', 'allpass_applicant(''plain/1'')');
ALTER SERVER allpass OPTIONS (SET base_url 'http://127.0.0.1:1');
CALL expect('KY001', 'allpass_applicant(''plain/1'')');
-- a name, which a thread looks up
ALTER SERVER allpass OPTIONS (SET base_url 'https://localhost:1');
CALL expect('KY001', 'allpass_applicant(''plain/1'')');

-- TLS: trusted, not trusted, not to be read
ALTER SERVER allpass OPTIONS (SET base_url :'tls_url');
CALL expect('KY001', 'allpass_applicant(''plain/1'')');
ALTER SERVER allpass OPTIONS (ADD ca_file '/nowhere/ca.crt');
CALL expect('KY004', 'allpass_applicant(''plain/1'')');
ALTER SERVER allpass OPTIONS (SET ca_file :'ca_file');
CALL expect('KY404', 'allpass_applicant(''plain/1'')');
CALL expect('KY404', 'allpass_applicant(''plain/1'')');

-- many connections, one after another
ALTER SERVER allpass OPTIONS (SET base_url :'url', DROP ca_file, ADD max_concurrency '1');
SELECT format('ALTER SERVER allpass OPTIONS (SET max_concurrency ''%s'')', i + 1),
		'CALL expect(''00000'', ''allpass_status(''''plain/1'''')'')'
	FROM generate_series(1, 40) i \gexec
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (DROP api_key, ADD api_key_file :'key_file');
CALL expect('00000', 'allpass_status(''plain/1'')');
\! printf 'another-key\n' >"$KEY_FILE"
CALL expect('KY401', 'allpass_status(''plain/1'')');
\! rm "$KEY_FILE"
CALL expect('KY004', 'allpass_status(''plain/1'')');
ALTER SERVER allpass OPTIONS (ADD rate_limit '20');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (DROP api_key_file, ADD api_key 'sandbox-key');
CALL expect('00000', 'allpass_status(''plain/1'') FROM generate_series(1, 5)');

-- options and arguments that are refused
CREATE PROCEDURE expect_options(expected text, catalog regclass, VARIADIC options text[]) LANGUAGE sql AS $$
	CALL expect(expected, format('allpass_validator(%L::text[], %s)', options, catalog::oid));
$$;
CALL expect_options('HV00D', 'pg_foreign_server', 'nothing=1');
CALL expect_options('22023', 'pg_foreign_server', 'encryption=none');
CALL expect_options('22023', 'pg_foreign_server', 'base_url=https://user@api.example.com');
CALL expect_options('22023', 'pg_foreign_server', 'base_url=http://api.example.com');
CALL expect_options('22023', 'pg_foreign_server', 'base_url=https://api.example.com', 'timeout=never');
CALL expect_options('22023', 'pg_foreign_server', 'base_url=https://api.example.com', 'rate_limit=NaN');
CALL expect_options('22023', 'pg_user_mapping', 'crypto_key=short');
CALL expect_options('22023', 'pg_user_mapping', 'api_key=two words');
CALL expect_options('22023', 'pg_user_mapping', 'api_key=key', 'api_key_file=/nowhere/key');
CALL expect('22023', 'allpass_token(''plain/1'', ttl => 0)');
CALL expect('22023', 'allpass_aml_search(''BTC'', tx_hash => ''0x1'')');
CALL expect('22023', 'allpass_create_applicant(''a'', ''b'', supplied_info => ''[]'')');
CALL expect('22023', 'allpass_code_name(''nothing'', 1)');
CALL expect('00000', 'allpass_code_name(''FieldType'', 2)');

-- the guard, and the end of what a call needs, with its connection open
SET allpass.max_calls_per_statement = 2;
CALL expect('54000', 'allpass_status(''plain/1'') FROM generate_series(1, 5)');
SET allpass.server = 'nothing';
CALL expect('KY004', 'allpass_status(''plain/1'')');
RESET allpass.server;
DROP USER MAPPING FOR PUBLIC SERVER allpass;
CALL expect('KY004', 'allpass_status(''plain/1'')');
CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'sandbox-key');
CALL expect('00000', 'allpass_status(''plain/1'')');

-- the queue, with everything that may become of a job; there is no extension
-- here but its objects, so the catalog is told that there is
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (99999, 'allpass', 10, 'public'::regnamespace, true, '1.1');
RESET allow_system_table_mods;
ALTER SERVER allpass OPTIONS (DROP rate_limit, SET max_concurrency '8');
CREATE PROCEDURE expect_jobs(expected text) LANGUAGE plpgsql AS $$
DECLARE
	found text := (SELECT string_agg(state || coalesce(' ' || sqlstate, ''), ', ' ORDER BY id) FROM allpass_queue);
BEGIN
	IF found IS DISTINCT FROM expected THEN
		RAISE EXCEPTION 'jobs are %, not %', found, expected;
	END IF;
END
$$;
CREATE TABLE queued_people (id text PRIMARY KEY, email text);
CREATE TRIGGER verify AFTER INSERT ON queued_people REFERENCING NEW TABLE AS rows
	FOR EACH STATEMENT EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email');
CREATE TRIGGER forget AFTER DELETE ON queued_people
	FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger('id');
INSERT INTO queued_people SELECT 'q/' || i, 'q' || i || '@example.com' FROM generate_series(1, 3) i;
DELETE FROM queued_people WHERE id = 'q/1';
SELECT allpass_enqueue('restore', 'q/1'), allpass_enqueue('move_to_flow', 'q/2', '{"flow_id": 2}', request_key => 'k'),
	allpass_enqueue('aml_search', NULL, '{"blockchain": "BTC", "address": "bc1qexample"}'), allpass_enqueue('restore', 'nobody');
SELECT allpass_cancel(allpass_enqueue('restore', 'q/3'));
CALL expect('22023', 'allpass_enqueue(''token'', ''q/1'')');
CALL expect('22023', 'allpass_enqueue(''restore'', ''q/1'', ''{"a": 1}'')');
\! sh "$CONTROL" POST faults '[{"operation":"create_applicant","applicant":"q/3","drop":"after","times":1},{"operation":"schedule_deletion","status":503,"times":1},{"operation":"move_to_flow","body":"<html>","times":1},{"operation":"aml_search","status":429,"retry_after":"1","times":1}]'
CALL allpass_drain(max_jobs => 2);
CALL allpass_drain();
SELECT count(allpass_wait(id, '0')) FROM allpass_queue;
UPDATE allpass_queue SET retry_at = NULL WHERE state = 'waiting';
DELETE FROM allpass_queue_pauses;
CALL allpass_drain();
CALL expect_jobs('done, done, done, done, done, done, done, failed KY404, cancelled');
SELECT allpass_retry('restore'), count(*) FROM allpass_queue_status;
\! sh "$CONTROL" POST faults '{"operation":"restore","delay_ms":60000}'
SET statement_timeout = '3s';
\set ON_ERROR_STOP off
CALL allpass_drain();
\set ON_ERROR_STOP on
SELECT 1 / (:'LAST_ERROR_SQLSTATE' = '57014')::integer;
RESET statement_timeout;
\! sh "$CONTROL" DELETE faults
CALL expect_jobs('done, done, done, done, done, done, done, waiting KY404, cancelled');
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'another-key');
CALL allpass_drain();
CALL expect_jobs('done, done, done, done, done, done, done, waiting KY401, cancelled');
DELETE FROM allpass_queue;
ALTER USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (SET api_key 'sandbox-key');
SELECT 'finished';
