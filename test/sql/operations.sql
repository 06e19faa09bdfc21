--
-- operations: every operation of the API: what is sent, as the sandbox logged
-- it, and what comes back.  The sandbox refuses what the API's page forbids.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
CALL sandbox.reset();

-- A call that went through: its id is one that the sandbox made, so not shown.
CREATE FUNCTION pg_temp.members(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM jsonb_object_keys(document) AS key
$$;

-- create: the two that are required alone
SELECT pg_temp.members(a), a ->> 'externalUserId' AS external, a ->> 'status' AS status, a -> 'phone' AS phone
FROM allpass_create_applicant('c-1', 'basic') AS a;
SELECT * FROM sandbox.sent();

-- create: all of them, by position and by name
SELECT a ->> 'phone' AS phone, a ->> 'email' AS email, a ->> 'lang' AS lang, a -> 'flow' ->> 'name' AS flow
FROM allpass_create_applicant('c-2', 'flow of "quotes" \ / é', '+15550100', 'anna@example.com', 'en', '{"firstName": "Anna"}') AS a;
SELECT * FROM sandbox.sent();
SELECT a ->> 'email' AS email FROM allpass_create_applicant(flow_name => 'basic', external_user_id => 'c-3', email => 'b@example.org') AS a;
SELECT * FROM sandbox.sent();

-- supplied_info goes out exactly: numbers, escapes, depth, order of members
SELECT a ->> 'id' IS NOT NULL AS created
FROM allpass_create_applicant('c-4', 'basic', supplied_info =>
	'{"amount": 123456789012345678901234567890.10, "tiny": 1e-400, "huge": 1e30, "one": 1.0, "text": "\u00e9\"\\\/\n\u2028", "nested": {"a": [1, [], {}, null, true, 0.1]}}') AS a;
SELECT body::jsonb -> 'suppliedInfo' AS supplied_info,
       body::jsonb -> 'suppliedInfo' = '{"amount": 123456789012345678901234567890.10, "tiny": 1e-400, "huge": 1e30, "one": 1.0, "text": "\u00e9\"\\\/\n\u2028", "nested": {"a": [1, [], {}, null, true, 0.1]}}' AS same
FROM sandbox.sent();
SELECT a ->> 'id' IS NOT NULL AS created FROM allpass_create_applicant('c-5', 'basic', supplied_info => '{}') AS a;
SELECT * FROM sandbox.sent();

-- every character survives in a text
SELECT a ->> 'externalUserId' = E'\x01\x08\x1f"\\/\x7f\u00e9\u20ac\U0001f600''' AS same
FROM allpass_create_applicant(E'\x01\x08\x1f"\\/\x7f\u00e9\u20ac\U0001f600''', 'basic') AS a;
SELECT body::jsonb ->> 'externalUserId' = E'\x01\x08\x1f"\\/\x7f\u00e9\u20ac\U0001f600''' AS same FROM sandbox.sent();

-- one that exists already
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-1', 'basic')$$);
SELECT * FROM sandbox.sent();

-- look up, by the client's id and by the API's own
SELECT pg_temp.members(a) = pg_temp.members(b) AS same_members, a -> 'id' = b -> 'id' AS same_id, a ->> 'externalUserId' AS external
FROM allpass_applicant('c-2') AS a, LATERAL allpass_applicant(a ->> 'id') AS b;
SELECT method, regexp_replace(target, '[0-9a-f]{8}-[0-9a-f-]{27}', '{uuid}') AS target, body FROM sandbox.sent();
SELECT pg_temp.members(allpass_applicant_status('c-1')), allpass_applicant_status('c-1') ->> 'status' AS status, allpass_status('c-1');
SELECT * FROM sandbox.sent();

-- what is not there: an error, or NULL where that is all right
SELECT sandbox.outcome($$SELECT allpass_applicant('nobody')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant('nobody', missing_ok => false)$$);
SELECT sandbox.outcome($$SELECT allpass_applicant('nobody', missing_ok => true)$$);
SELECT sandbox.outcome($$SELECT allpass_applicant_status('nobody')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant_status('nobody', true)$$);
SELECT sandbox.outcome($$SELECT allpass_status('nobody')$$);
SELECT sandbox.outcome($$SELECT allpass_status('nobody', true)$$);
SELECT * FROM sandbox.sent();

-- move to another flow
SELECT pg_temp.members(a), a ->> 'status' AS status FROM allpass_move_to_flow('c-1', '7') AS a;
SELECT allpass_applicant('c-1') ->> 'flowId' AS flow_id;
SELECT * FROM sandbox.sent();
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('nobody', '7')$$);
SELECT * FROM sandbox.sent();

-- deletion and restoration: POSTs without a body, and without its type
SELECT pg_temp.members(a), (a ->> 'scheduledDeletionDate')::timestamptz > now() + interval '19 days' AS in_time
FROM allpass_schedule_deletion('c-1') AS a;
SELECT allpass_applicant('c-1') ->> 'scheduledDeletionDate' IS NOT NULL AS scheduled;
SELECT pg_temp.members(allpass_restore('c-1'));
SELECT allpass_applicant('c-1') -> 'scheduledDeletionDate' AS scheduled;
SELECT log ->> 'method' AS method, log ->> 'target' AS target, log ->> 'body' AS body,
       log -> 'headers' -> 'content-type' AS type, log -> 'headers' -> 'content-length' AS length,
       log -> 'headers' -> 'transfer-encoding' AS encoding, log -> 'headers' -> 'expect' AS expect
FROM sandbox.log() AS log WHERE log ->> 'method' = 'POST';
SELECT sandbox.outcome($$SELECT allpass_schedule_deletion('nobody')$$);
SELECT sandbox.outcome($$SELECT allpass_restore('nobody')$$);
-- in test mode the applicant is gone at once
CALL sandbox.config('{"mode": "test"}');
SELECT pg_temp.members(allpass_schedule_deletion('c-5'));
SELECT sandbox.outcome($$SELECT allpass_restore('c-5')$$);
CALL sandbox.config('{"mode": "live"}');
SELECT method, target FROM sandbox.sent();

-- tokens: every member may be left out
SELECT pg_temp.members(t), t ->> 'ttl' AS ttl, t ->> 'link' LIKE 'https://%' AS has_link, t ->> 'accessToken' ~ '^[\w-]+\.[\w-]+\.[\w-]+$' AS has_token
FROM allpass_token('c-1') AS t;
SELECT t ->> 'ttl' AS ttl FROM allpass_token('c-1', 'en-US', 3153600000, 'basic') AS t;
SELECT t ->> 'ttl' AS ttl FROM allpass_token('c-1', ttl => 1) AS t;
SELECT t ->> 'ttl' AS ttl FROM allpass_token('c-1', flow_name => 'other') AS t;
SELECT * FROM sandbox.sent();
SELECT sandbox.outcome($$SELECT allpass_token('nobody')$$);

-- questionnaires
SELECT pg_temp.members(q), q ->> 'id' AS id, q -> 'version' AS version FROM allpass_questionnaire('kyc-basic') AS q;
SELECT sandbox.outcome($$SELECT allpass_questionnaire('none')$$);
SELECT sandbox.outcome($$SELECT allpass_questionnaire('none', missing_ok => true)$$);
SELECT * FROM sandbox.sent();

-- risk of a wallet, and of a transaction with and without 0x
CREATE TABLE search AS
	SELECT * FROM (VALUES ('wallet', allpass_aml_search('BTC', 'bc1qexampleexampleexample')),
						  ('wallet by name', allpass_aml_search(blockchain => 'ETH', address => '0xExample')),
						  ('transaction', allpass_aml_search('BTC', tx_hash => repeat('aB', 32))),
						  ('transaction 0x', allpass_aml_search('ETH', NULL, '0x' || repeat('0', 64))))
		AS s (kind, answer);
SELECT kind, pg_temp.members(answer), answer ->> 'type' AS type FROM search;
SELECT * FROM sandbox.sent();
SELECT kind, pg_temp.members(d) = 'address addressInfo amount applicantId blockchain clientKey comments createdAt entities id isMonitoring lastUpdateDate outdated reviewStatus score sof timelines type uof updatedAt' AS complete,
       d ->> 'address' AS address, d ->> 'blockchain' AS blockchain, d ->> 'amount' AS amount, d -> 'uof' -> 0 -> 'amountDec' AS amount_dec
FROM search, allpass_aml_details(answer ->> 'id', answer ->> 'type') AS d;
SELECT method, regexp_replace(target, '[0-9a-f]{8}-[0-9a-f-]{27}', '{uuid}') AS target, body FROM sandbox.sent();
-- the type is WALLET unless it is given, and goes out escaped
SELECT allpass_aml_details(answer ->> 'id') ->> 'type' AS type FROM search WHERE kind = 'wallet';
SELECT sandbox.outcome($$SELECT allpass_aml_details('none')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('none', missing_ok => true)$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('none', 'A&B=C D/%', true)$$);
SELECT method, regexp_replace(target, '[0-9a-f]{8}-[0-9a-f-]{27}', '{uuid}') AS target FROM sandbox.sent();
DROP TABLE search;

-- an id is one path segment, whatever it holds
CREATE TABLE ids (id text);
INSERT INTO ids VALUES ('a/b'), ('a?b=c'), ('a#b'), ('100%'), ('%2F'), ('%00'), ('a b'), ('a+b'), (E'a\nb'), (E'a\r\nHost: evil'),
	('é€😀'), ('...'), ('../c-1'), ('a\b'), (''''), ('"'), (';'), ('a&b'), ('.a'), ('a..'), ('~-_.'), (':@!$&()*,=');
SELECT allpass_create_applicant(id, 'basic') ->> 'externalUserId' = id AS created, count(*) FROM ids GROUP BY 1;
SELECT allpass_status(id) AS status, allpass_applicant(id) ->> 'externalUserId' = id AS same, count(*) FROM ids GROUP BY 1, 2;
SELECT allpass_move_to_flow(id, '9') ->> 'status' AS status, count(*) FROM ids GROUP BY 1;
SELECT target FROM sandbox.sent() WHERE target LIKE '%/moveToFlow' ORDER BY target COLLATE "C";
SELECT sandbox.error(format('SELECT allpass_questionnaire(%L)', id)) AS error, count(*) FROM ids GROUP BY 1;
SELECT sandbox.error(format('SELECT allpass_aml_details(%L)', id)) AS error, count(*) FROM ids GROUP BY 1;
SELECT target FROM sandbox.sent() WHERE target ~ '%0D' ORDER BY target COLLATE "C";
DROP TABLE ids;
-- a long one, too
SELECT sandbox.error(format('SELECT allpass_status(%L)', repeat('x', 4000)));

-- the headers of a call
SELECT allpass_status('c-1');
SELECT allpass_move_to_flow('c-1', '8') ->> 'status' AS status;
SELECT log ->> 'method' AS method,
       (SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM jsonb_object_keys(log -> 'headers') AS key) AS headers,
       log -> 'headers' ->> 'accept' AS accept, log -> 'headers' ->> 'content-type' AS type,
       log -> 'headers' ->> 'x-private-app-key' AS key, log -> 'headers' ->> 'accept-encoding' AS encoding,
       log -> 'headers' ->> 'user-agent' ~ '^allpass/[0-9.]+ PostgreSQL/[0-9]+' AS agent,
       log ->> 'user_agent' LIKE 'allpass/' || extversion || ' %' AS version,
       log ->> 'request_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS uuid
FROM sandbox.log() AS log, pg_extension WHERE extname = 'allpass' AND log ->> 'applicant' = 'c-1';

-- nothing was refused by the sandbox, but for what was meant to be
SELECT sandbox.stats() ->> 'rejected' AS rejected;
