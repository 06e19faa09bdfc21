--
-- documents: rows out of documents at hand.  No network, no errors: what can be
-- read is given, and NULL for the rest.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CALL sandbox.reset();

--
-- The sample of the API's page.
--
CREATE TABLE document (name text PRIMARY KEY, body jsonb);
INSERT INTO document VALUES ('applicant', '{
  "id": "text", "status": "INIT", "servicesData": [{
    "data": {
      "id": "text", "stepType": "DOCUMENT_CAPTURE", "overallResult": 0, "elapsedTime": 1, "elapsedTimeRFID": 2, "uploadedPagesCount": 3,
      "createdAt": "2025-05-19T08:37:31.277Z",
      "types": [{"id": "text", "docId": "doc", "name": "name", "pageIndex": 1, "hasMRZ": true, "icao": "LVA", "type": 12, "year": "2012", "format": 0,
                 "createdAt": "2025-05-19T08:37:31.277Z"}],
      "graphics": [{"fieldType": 1, "data": [{"id": "text", "docId": "doc", "fieldType": 201, "sourceType": -1, "containerType": -2, "pageIndex": 1,
                    "image": "text", "createdAt": "2025-05-19T08:37:31.277Z"}]}],
      "fields": [{"fieldType": 1, "data": [{"id": "text", "docId": "doc", "fieldType": 0, "lcid": 9, "status": 8, "pageIndex": 7, "probability": 6, "validity": 5,
                  "value": "the value", "sourceType": -1, "comparison": {"3": 4}, "createdAt": "2025-05-19T08:37:31.277Z"}]}]
    },
    "service": "DOCUMENT_CAPTURE", "status": "REJECTED", "type": "ON_DEMAND", "deactivatedServiceCount": 4, "errorMessage": "the error", "reason": "the reason"}]}');
\x on
SELECT s.* FROM document, allpass_services(body) AS s;
SELECT d.* FROM document, allpass_documents(body) AS d;
SELECT f.* FROM document, allpass_document_fields(body) AS f;
SELECT i.* FROM document, allpass_document_images(body) AS i;
INSERT INTO document VALUES ('report', '{
  "type": "WALLET", "uof": [{"hash": "u", "forward": true, "owner": "o", "score": 1, "type": "t", "depth": 2, "amount": 3, "address": "a", "share": 4, "transactionCount": 5,
    "unidentified": true, "unknown": false, "amountCur": 6, "cluster": 7, "directStamp": 8, "timestamp": 9, "listType": "l", "amountDec": 10, "directTx": "d"}],
  "sof": [{"hash": "s"}, {"hash": "s2"}],
  "entities": [{"id": "e", "score": 1.5, "scoreType": "st", "name": "n", "scoreTypeId": "si"}],
  "timelines": [{"id": "t", "requestUniqueId": "r", "eventName": "CRYPTO_AML_STATUS_UPDATED", "applicantId": "a", "appKey": "k", "data": {"x": [1]}, "amlId": "m", "userId": 1,
    "device": {}, "geo": {"g": 1}, "createdAt": "2025-05-19T08:37:31.277Z", "updatedAt": "2025-05-20T08:37:31.277Z"}],
  "comments": [{"id": "c", "content": "text", "amlId": "m", "authorId": 1, "parentId": "p", "authorName": "an", "updatedAt": "2025-05-19T08:37:31.277Z", "createdAt": "2025-05-18T08:37:31.277Z",
    "parentComment": "[Circular Reference]"}]}');
SELECT f.* FROM document, allpass_aml_funds(body) AS f WHERE direction = 'use';
\x off
SELECT direction, ordinality, hash, num_nulls(forward, owner, score, type, depth, amount, address, share, transaction_count, unidentified, unknown, amount_cur, cluster, direct_stamp, "timestamp", list_type, amount_dec, direct_tx) AS nulls
FROM document, allpass_aml_funds(body);
\x on
SELECT e.* FROM document, allpass_aml_entities(body) AS e;
SELECT t.* FROM document, allpass_aml_timeline(body) AS t;
SELECT c.* FROM document, allpass_aml_comments(body) AS c;
\x off

--
-- Order and places: several services, types and groups.
--
CREATE FUNCTION pg_temp.applicant(services text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT ('{"servicesData": ' || services || '}')::jsonb $$;
SELECT ordinality, service, status FROM allpass_services(pg_temp.applicant('[{"service": "A"}, {"service": "B", "status": "NEW_STATUS"}, {"service": "C"}]'));
SELECT ordinality, service_ordinality, name FROM allpass_documents(pg_temp.applicant('[{"service": "A"}, {"data": {"types": [{"name": "x"}, {"name": "y"}]}}, {"data": {"types": [{"name": "z"}]}}]'));
SELECT ordinality, service_ordinality, field_type, value FROM allpass_document_fields(pg_temp.applicant(
	'[{"data": {"fields": [{"fieldType": 1, "data": [{"value": "a"}, {"value": "b"}]}, {"fieldType": 2, "data": []}, {"fieldType": 3, "data": [{"value": "c"}]}]}}, {}, {"data": {"fields": [{"data": [{"value": "d"}]}]}}]'));
-- the inner value of a field in group and entry, the group's where the inner one is missing or cannot be read
SELECT field_type, status, value, doc_id FROM allpass_document_fields(pg_temp.applicant('[{"data": {"fields": [{"fieldType": 7, "status": 2, "value": "group", "docId": "g", "data": [
	{"fieldType": 8, "status": 1, "value": "inner", "docId": "i"}, {}, {"fieldType": null, "status": "x", "value": null, "docId": {}}, {"fieldType": 0, "status": 0, "value": "", "docId": ""}]}]}}]'));
SELECT field_type, image FROM allpass_document_images(pg_temp.applicant('[{"data": {"graphics": [{"fieldType": 7, "image": "QUJD", "data": [{"fieldType": 8}, {"image": "REVG"}, {}]}]}}]'));

--
-- Shapes other than documented: object for array, array for object, texts and
-- numbers for either.
--
SELECT shape, (SELECT count(*) FROM allpass_services(pg_temp.applicant(shape))) AS services, (SELECT count(*) FROM allpass_documents(pg_temp.applicant(shape))) AS documents,
       (SELECT count(*) FROM allpass_document_fields(pg_temp.applicant(shape))) AS fields, (SELECT count(*) FROM allpass_document_images(pg_temp.applicant(shape))) AS images
FROM (VALUES ('null'), ('[]'), ('{}'), ('"text"'), ('1'), ('true'), ('[null]'), ('[1, "a", null, [], {}]'), ('{"service": "A"}'), ('[[{"service": "A"}]]'), ('[[[{"service": "A"}]]]'),
	('[{"data": null}]'), ('[{"data": []}]'), ('[{"data": "text"}]'), ('[{"data": 1}]'), ('[{"data": {}}]'),
	('[{"data": {"types": {}, "fields": {}, "graphics": {}}}]'), ('[{"data": {"types": {"id": "x"}, "fields": {"data": {"value": "x"}}, "graphics": {"data": {}}}}]'),
	('[{"data": [{"types": [{}], "fields": [{"data": [{}]}], "graphics": [{"data": [{}]}]}, {"types": [{}], "fields": [{"data": [{}]}], "graphics": [{"data": [{}]}]}]}]'),
	('[{"data": {"types": "x", "fields": 1, "graphics": true}}]'), ('[{"data": {"types": [1, null, "x"], "fields": [1, null], "graphics": ["x"]}}]'),
	('[{"data": {"types": [[{}], {}], "fields": [{"data": 1}, {"data": null}, {}, {"data": "x"}, {"data": [1, [{}]]}], "graphics": [[{"data": [{}]}]]}}]')) AS s (shape);
SELECT document, (SELECT count(*) FROM allpass_services(document)) AS services, (SELECT count(*) FROM allpass_aml_funds(document)) AS funds, (SELECT count(*) FROM allpass_aml_entities(document)) AS entities,
       (SELECT count(*) FROM allpass_aml_timeline(document)) AS timeline, (SELECT count(*) FROM allpass_aml_comments(document)) AS comments
FROM (VALUES ('null'::jsonb), ('1'), ('"text"'), ('true'), ('[]'), ('{}'), ('[{"servicesData": [{}]}]'), ('{"sof": {}, "uof": [], "entities": null, "timelines": "x", "comments": {"id": 1}}'),
	('{"sof": [null, 1, {}], "uof": 7, "entities": [[{}]], "timelines": [[]], "comments": [{}, {}]}')) AS d (document);
-- an object for an array is one element, an array for an object its first object
SELECT ordinality, service, step_type, data FROM allpass_services(pg_temp.applicant('{"service": "A", "data": [1, {"stepType": "S"}, {"stepType": "T"}]}'));
SELECT ordinality, service, overall_result FROM allpass_services(pg_temp.applicant('[[null, {"service": "A", "data": {"overallResult": 1}}, {"service": "B"}], 7, {"service": "C"}]'));
SELECT value, comparison FROM allpass_document_fields(pg_temp.applicant('{"data": {"fields": {"data": {"value": "v", "comparison": [1, 2]}}}}'));
-- a NULL document has no rows
SELECT count(*) FROM allpass_services(NULL::jsonb);
SELECT count(*) FROM document AS d LEFT JOIN document AS e ON e.name = 'none', LATERAL allpass_aml_funds(e.body);

--
-- Columns: what each kind takes.
--
-- text: scalars as their text, nothing of arrays and objects
SELECT value, name FROM (VALUES ('"x"'), ('""'), ('1.50'), ('1e3'), ('true'), ('null'), ('[]'), ('{"a": 1}'), ('"\u00e9\n"')) AS v (value), allpass_aml_entities(('{"entities": [{"name": ' || value || '}]}')::jsonb);
-- integer
SELECT value, depth FROM (VALUES ('1'), ('-1'), ('1.0'), ('1e2'), ('2147483647'), ('2147483648'), ('-2147483648'), ('-2147483649'), ('1.5'), ('1e400'), ('0.1e1'), ('"7"'), ('" 7 "'), ('"+7"'), ('"-7.0"'), ('"7e0"'),
	('"7.5"'), ('"x"'), ('""'), ('" "'), ('"0x7"'), ('"7 8"'), ('"1e"'), ('"."'), ('"-"'), ('"1e1000"'), ('"NaN"'), ('"Infinity"'), ('"1_000"'), ('"1,000"'), ('true'), ('null'), ('[1]'), ('{"a": 1}')) AS v (value),
	allpass_aml_funds(('{"sof": [{"depth": ' || value || '}]}')::jsonb);
-- bigint
SELECT value, transaction_count FROM (VALUES ('2147483648'), ('9223372036854775807'), ('9223372036854775808'), ('-9223372036854775808'), ('-9223372036854775809'), ('"9223372036854775807"'), ('1e18'), ('1e19'), ('0.5')) AS v (value),
	allpass_aml_funds(('{"sof": [{"transactionCount": ' || value || '}]}')::jsonb);
-- numeric: exact, also of 30 digits
SELECT value, amount FROM (VALUES ('123456789012345678901234567890'), ('0.1'), ('0.1000000000000000055511151231257827021181583404541015625'), ('1.10'), ('-0.000000000000000001'), ('1e-20'), ('100000000000000000000000000000.000000000000000000000000000001'),
	('"123456789012345678901234567890.10"'), ('" 1.5 "'), ('".5"'), ('"5."'), ('"1e3"'), ('"1E-3"'), ('"+1"'), ('"--1"'), ('"1.2.3"'), ('"NaN"'), ('"inf"'), ('"0x10"'), ('"12 USD"'), ('"1e1000"'), ('true'), ('null'), ('[]')) AS v (value),
	allpass_aml_funds(('{"uof": [{"amount": ' || value || '}]}')::jsonb);
SELECT amount = ('1' || repeat('0', 400))::numeric AS huge, amount_dec = ('0.' || repeat('0', 399) || '1')::numeric AS tiny, pg_typeof(amount) AS type FROM allpass_aml_funds('{"sof": [{"amount": 1e400, "amountDec": 1e-400}]}'::jsonb);
SELECT length(amount::text) AS digits FROM allpass_aml_funds(('{"sof": [{"amount": ' || repeat('9', 5000) || '}]}')::jsonb);
-- ... as text they have a bound
SELECT length(amount::text) AS digits FROM allpass_aml_funds(('{"sof": [{"amount": "' || repeat('9', 200) || '"}]}')::jsonb);
SELECT amount FROM allpass_aml_funds(('{"sof": [{"amount": "' || repeat('9', 5000) || '"}]}')::jsonb);
-- boolean
SELECT value, forward FROM (VALUES ('true'), ('false'), ('null'), ('"true"'), ('"false"'), ('1'), ('0'), ('"x"'), ('[]')) AS v (value), allpass_aml_funds(('{"sof": [{"forward": ' || value || '}]}')::jsonb);
-- jsonb: anything but null
SELECT value, data, data IS NULL AS none FROM (VALUES ('{}'), ('[]'), ('1.10'), ('"x"'), ('true'), ('null')) AS v (value), allpass_aml_timeline(('{"timelines": [{"data": ' || value || '}]}')::jsonb);

-- times: ISO 8601; without a zone UTC; what cannot be read is NULL
SELECT value, created_at AT TIME ZONE 'UTC' AS utc FROM (VALUES ('2025-05-19T08:37:31.277Z'), ('2025-05-19T08:37:31.277'), ('2025-05-19T08:37:31'), ('2025-05-19 08:37:31'), ('2025-05-19T08:37'), ('2025-05-19'), ('2025-05-19T08:37:31.123456789Z'),
	('2025-05-19T08:37:31+02:00'), ('2025-05-19T08:37:31-0330'), ('2025-05-19T08:37:31+14'), ('2025-05-19t08:37:31z'), (' 2025-05-19T08:37:31Z '), ('2024-02-29'), ('2025-02-29'), ('2025-13-01'), ('2025-00-10'), ('2025-05-32'), ('2025-05-19T24:00:00Z'),
	('2025-05-19T25:00:00Z'), ('2025-05-19T08:60:00Z'), ('2025-05-19T08:37:60Z'), ('2025-05-19T08:37:61Z'), ('0001-01-01'), ('0000-01-01'), ('9999-12-31T23:59:59Z'), ('294277-01-01'), ('10000-01-01'), ('999999999-01-01'), ('-2025-05-19'),
	('2025-05-19T08:37:31 Europe/Riga'), ('2025-05-19T08:37:31 EST'), ('19.05.2025'), ('05/19/2025'), ('2025/05/19'), ('20250519'), ('20250519T083731Z'), ('2025-139'), ('2025-W21-1'), ('2025-05'), ('2025'), ('now'), ('today'), ('tomorrow'), ('epoch'), ('infinity'), ('-infinity'),
	('1747643851'), ('1747643851277'), ('J2460815'), ('Mon, 19 May 2025 08:37:31 GMT'), (''), (' '), ('text'), ('2025-05-19T'), ('2025-05-19TZ'), ('2025-05-19T08'), ('2025-05-19T08:37:31Z Z'), ('2025-05-19T08:37:31+99:00'), ('2025-05-19T08:37:31+02:00Z'),
	('2025-05-19 2025-05-20'), ('2025-05-19T08:37:31.'), ('2025-05-19T08:37:31,277Z'), ('2025-05-19Z'), ('2025-05-19+02'),
	('2025-5-9'), ('2025-05-19T8:37'), ('2025-05-19T08:37:31 +02'), ('2025-05-19T08:37:31Z00'), ('2025-05-19T08:37:31+02:00:30'), ('2025-05-19T08:37:31.5+02:00'), ('2025-05-19T083731Z')) AS v (value),
	allpass_aml_comments(jsonb_build_object('comments', jsonb_build_array(jsonb_build_object('createdAt', value))));
SELECT value, created_at FROM (VALUES ('1747643851'), ('1747643851277'), ('null'), ('true'), ('[]'), ('{}')) AS v (value), allpass_aml_comments(('{"comments": [{"createdAt": ' || value || '}]}')::jsonb);
SELECT created_at FROM allpass_aml_comments(jsonb_build_object('comments', jsonb_build_array(jsonb_build_object('createdAt', repeat('2025-05-19 ', 100)))));
-- so they do not depend on the session
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'iso_8601';
SELECT count(DISTINCT created_at), min(created_at) = '2025-05-19T08:37:31Z' AS right
FROM (VALUES ('2025-05-19T08:37:31'), ('2025-05-19T08:37:31Z'), ('2025-05-19 10:37:31+02')) AS v (value), allpass_aml_comments(jsonb_build_object('comments', jsonb_build_array(jsonb_build_object('createdAt', value))));
SELECT created_at = '2025-04-03T00:00:00Z' AS right FROM allpass_aml_comments('{"comments": [{"createdAt": "2025-04-03"}]}'::jsonb);
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
RESET intervalstyle;

-- images: base64, also as a data URI or in lines, else NULL
SELECT left(value, 60) AS value, convert_from(image, 'UTF8') AS image FROM (VALUES ('"QUJD"'), ('"QQ=="'), ('"QUI="'), ('"data:image/png;base64,QUJD"'), ('"data:image/svg+xml;charset=utf-8;base64,QUJD"'), ('"QU\nJD\r\n"'), ('" QUJD "'), ('"data:;base64,"'), ('""'),
	('"QUJ"'), ('"QUJD="'), ('"QUJD===="'), ('"QQ"'), ('"Q==="'), ('"===="'), ('"Q=Q="'), ('"QU-_"'), ('"QUJD!"'), ('"text"'), ('"https://images.example.com/1.png"'), ('"data:image/png,QUJD"'), ('"é"'), ('1234'), ('true'), ('null'), ('[]'), ('{}')) AS v (value),
	allpass_document_images(pg_temp.applicant('[{"data": {"graphics": [{"data": [{"image": ' || value || '}]}]}}]')) WHERE value <> '"text"';
SELECT encode(image, 'hex') AS any_four_characters_may_be_base64 FROM allpass_document_images(pg_temp.applicant('[{"data": {"graphics": [{"data": [{"image": "text"}]}]}}]'));
SELECT length(image) AS length, sha256(image) = sha256(decode(repeat('00ff10', 1000000), 'hex')) AS same
FROM allpass_document_images(pg_temp.applicant('[{"data": {"graphics": [{"data": [{"image": "' || replace(encode(decode(repeat('00ff10', 1000000), 'hex'), 'base64'), E'\n', '') || '"}]}]}}]'));

-- many rows, and deep documents
SELECT count(*), sum(field_type), max(ordinality) FROM allpass_document_fields(pg_temp.applicant('[{"data": {"fields": [' || repeat('{"fieldType": 1, "data": [{}, {"fieldType": 2}]},', 20000) || '{"data": {}}]}}]'));
SELECT length(data::text) FROM allpass_services(pg_temp.applicant('[{"data": {"types": ' || repeat('[', 500) || repeat(']', 500) || '}}]'));

-- a number that is short as it stands and long in digits has no text, and costs no memory for each row
SELECT owner, depth, amount = ('1' || repeat('0', 131071))::numeric AS exact FROM allpass_aml_funds('{"sof": [{"owner": 1e131071, "depth": 1e131071, "amount": 1e131071}, {"owner": 1e-300, "depth": 1e-300}, {"owner": 1e255}]}'::jsonb);
SELECT count(*), count(transaction_count) FROM allpass_aml_funds(('{"sof": [' || repeat('{"owner": 1e131071, "type": 1e131071, "depth": 1e131071, "transactionCount": 1e131071},', 3000) || '{}]}')::jsonb);

-- a result type that is not what this version gives
BEGIN;
ALTER TYPE allpass_aml_entity ADD ATTRIBUTE extra text;
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_entities('{"entities": [{}]}'::jsonb)$$);
ROLLBACK;
BEGIN;
ALTER TYPE allpass_aml_entity ALTER ATTRIBUTE score TYPE text;
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_entities('{"entities": [{"score": 1}]}'::jsonb)$$);
ROLLBACK;

--
-- They are pure: usable in an index, a stored column, a check; no call was made.
--
CREATE FUNCTION pg_temp.surname(document jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT value FROM allpass_document_fields(document) WHERE field_type = 8 LIMIT 1 $$;
CREATE TABLE stored (applicant jsonb, field_name text GENERATED ALWAYS AS (allpass_code_name('FieldType', (applicant ->> 'code')::int)) STORED);
CREATE INDEX ON stored (allpass_code_name('FieldType', (applicant ->> 'code')::int));
INSERT INTO stored (applicant) VALUES ('{"code": 8, "servicesData": [{"data": {"fields": [{"data": [{"fieldType": 8, "value": "Example"}]}]}}]}'), ('{"code": 9}'), (NULL);
SELECT field_name, f.value FROM stored LEFT JOIN LATERAL allpass_document_fields(applicant) AS f ON true ORDER BY field_name;
SELECT pg_temp.surname(applicant) FROM stored ORDER BY field_name;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM stored, LATERAL allpass_document_fields(applicant);
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET max_parallel_workers_per_gather;
-- in the select list, with a filter, with a limit
SELECT (allpass_aml_entities(body)).name, allpass_aml_entities(body) IS NOT NULL AS some FROM document WHERE name = 'report';
SELECT value FROM document, allpass_document_fields(body) WHERE field_type = 0 AND allpass_code_name('FieldType', field_type) IS NOT NULL LIMIT 1;
SELECT sandbox.requests();
DROP TABLE stored, document;
