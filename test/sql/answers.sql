--
-- answers: what becomes of each answer that a server, or something between it
-- and us, may give.  A hostile one is an error with a SQLSTATE, never quoted.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
CALL sandbox.reset();
CALL sandbox.seed(1);

-- The outcome of a call that meets a fault.
CREATE FUNCTION pg_temp.meets(fault jsonb, call text DEFAULT 'SELECT allpass_applicant(''c-1'')') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL sandbox.no_faults();
	CALL sandbox.fault(fault);
	RETURN sandbox.outcome(call);
END
$$;
-- ... that is answered by this body.
CREATE FUNCTION pg_temp.body(body text, status int DEFAULT 200) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.meets(jsonb_build_object('body', body, 'status', status))
$$;
-- ... by these bytes.
CREATE FUNCTION pg_temp.bytes(body bytea, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.meets(jsonb_build_object('body_base64', replace(encode(body, 'base64'), E'\n', '')) || more)
$$;
-- ... by this data in a good envelope.
CREATE FUNCTION pg_temp.data(data text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.meets(jsonb_build_object('data', data))
$$;

-- success: data of any JSON value is returned as it is
SELECT data, pg_temp.data(data) FROM (VALUES ('{}'), ('[]'), ('null'), ('true'), ('0'), ('"{\"a\": 1}"'), ('[1, "a", null]'), ('  {"a" : 1}  ')) AS d (data);
SELECT body, pg_temp.body(body) FROM (VALUES
	('{"data": {"id": 1}}'), ('{"status": true, "data": {"id": 1}}'), ('{"status": null, "data": 1}'), ('{"status": true, "statusCode": 500, "data": 1}'),
	('{"status": true, "statusCode": "x", "time": 7, "data": 1, "more": [{}]}'), (E' \t\r\n{"data": 1}\r\n '), ('{"data": 1, "data": 2}'), ('{"status": false, "status": true, "data": 1}')) AS b (body);
SELECT status, pg_temp.meets(jsonb_build_object('status', status, 'body', '{"data": 1}')) FROM unnest('{200,201,202,203,206,299}'::int[]) AS status;

-- numbers are exact
SELECT pg_temp.data('123456789012345678901234567890.123456789012345678901234567890') AS long, pg_temp.data('0.1') AS tenth, pg_temp.data('1.10') AS scale,
       pg_temp.data('-0') AS zero, pg_temp.data('18446744073709551616') AS above_uint64, pg_temp.data('1e-20') AS small;
SELECT pg_temp.data('1e400') = 'ok: 1' || repeat('0', 400) AS huge, pg_temp.data('[1E+40]') AS big, pg_temp.data('1e200000') AS too_large, pg_temp.data('1e999999999999') AS absurd;
-- texts are what they were
SELECT pg_temp.data('["\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"]'), pg_temp.data('{"\u00e9": "é😀"}');

-- what is no JSON, or not JSON of the API
SELECT body, pg_temp.body(body) FROM (VALUES
	('<html><body>Hello</body></html>'), ('OK'), ('{'), ('{"data": {"id": 1}'), ('{"data": 1}}'), ('{"data": 1} x'), ('{"data": 1,}'), ('{data: 1}'), ('{''data'': 1}'),
	('{"data": NaN}'), ('{"data": Infinity}'), ('{"data": -Infinity}'), ('{"data": 01}'), ('{"data": 1.}'), ('{"data": .5}'), ('{"data": +1}'), ('{"data": 0x10}'), ('{"data": 1e}'),
	('{"data": "\u0000"}'), ('{"\u0000": 1, "data": 1}'), ('{"data": "\ud800"}'), ('{"data": "\udc00\ud800"}'), ('{"data": "\u12"}'), ('{"data": "\x41"}'), (E'{"data": "a\nb"}'), (E'{"data": "\x01"}'),
	('{"data": "unfinished'), ('{"data": tru}'), ('{"data": 1 2}'), ('// {"data": 1}'), ('{"data": /* */ 1}'),
	('   '), ('null'), ('1'), ('"text"'), ('[]'), ('[{"data": 1}]'), ('true'),
	('{}'), ('{"status": true}'), ('{"status": true, "statusCode": 200, "Data": 1, "time": "now"}'),
	('{"status": "true", "data": 1}'), ('{"status": 1, "data": 1}'), ('{"status": {}, "data": 1}'), ('{"data": "text"}'), ('{"data": ""}')) AS b (body);
-- nothing at all
SELECT pg_temp.body(''), pg_temp.meets('{"body": "", "content_type": "application/json"}');
SELECT pg_temp.meets('{"status": 204, "body": ""}') AS no_content, pg_temp.meets('{"status": 205, "body": ""}') AS reset_content;

-- bytes
SELECT name, pg_temp.bytes(body) FROM (VALUES
	('latin1', '\x7b2264617461223a2022e9227d'::bytea), ('overlong', '\x7b2264617461223a2022c0af227d'), ('surrogate', '\x7b2264617461223a2022eda080227d'),
	('above', '\x7b2264617461223a2022f4908080227d'), ('cut character', '\x7b2264617461223a2022e282227d'), ('NUL', '\x7b2264617461223a20317d00'), ('NUL inside', '\x7b2264617461223a200031007d'),
	('NUL in text', '\x7b2264617461223a20220022 7d'), ('byte order mark', '\xefbbbf7b2264617461223a20317d'), ('UTF-16', '\x7b002200640061007400610022003a00200031007d00'),
	('gzip without saying', '\x1f8b0800000000000003'), ('random', '\x8f3b00ff80fe')) AS b (name, body);

-- depth
SELECT depth, left(pg_temp.body('{"data": ' || repeat('[', depth) || repeat(']', depth) || '}'), 12) AS outcome FROM unnest('{100,1000}'::int[]) AS depth;
SELECT pg_temp.body('{"data": ' || repeat('[', 1000000) || repeat(']', 1000000) || '}') AS arrays,
       pg_temp.body('{"data": ' || repeat('{"a":', 200000) || '1' || repeat('}', 200000) || '}') AS objects,
       pg_temp.body(repeat('[', 1000000)) AS unclosed;
-- a key, and a text, beyond what jsonb takes
SELECT pg_temp.body('{"data": {"' || repeat('k', 1000) || '": 1}}') = 'ok: {"' || repeat('k', 1000) || '": 1}' AS long_key;

-- the type of content does not matter, the content does
SELECT type, pg_temp.meets(jsonb_build_object('content_type', type, 'body', '{"data": 1}')) FROM unnest('{text/html,text/plain;charset=latin1,application/octet-stream,nonsense,""}'::text[]) AS type;

-- compressed, in pieces, without a length
SELECT pg_temp.meets('{"gzip": true}') LIKE 'ok: {"id": %' AS gzip, pg_temp.meets('{"chunked": true}') LIKE 'ok: {"id": %' AS chunked,
       pg_temp.meets('{"slow": {"bytes": 1000, "delay_ms": 1}}') LIKE 'ok: {"id": %' AS pieces, pg_temp.meets('{"gzip": true, "chunked": true}') LIKE 'ok: {"id": %' AS both;
-- cut short: that is a fault of the transport
SELECT fault, regexp_replace(pg_temp.meets(fault), ' DETAIL: .*', '') AS outcome FROM (VALUES
	('{"cut": 0}'::jsonb), ('{"cut": 1}'), ('{"cut": 500}'), ('{"chunked": true, "cut": 500}'), ('{"chunked": true, "cut": 0}'), ('{"gzip": true, "cut": 100}'),
	('{"gzip": true, "chunked": true, "cut": 100}'), ('{"drop": "before"}'), ('{"drop": "after"}')) AS f (fault);
-- a content encoding that it has not
SELECT fault, regexp_replace(pg_temp.meets(fault), ' DETAIL: .*', '') AS outcome FROM (VALUES
	('{"headers": {"Content-Encoding": "gzip"}, "body": "{\"data\": 1}"}'::jsonb), ('{"headers": {"Content-Encoding": "br"}, "body": "{\"data\": 1}"}')) AS f (fault);

--
-- Too large: by its announced length, as it comes, and after decompression.
--
SET allpass.max_response_size = '64kB';
SELECT pg_temp.meets('{"oversize": 65000}') LIKE 'ok: {"filler": %' AS fits;
SELECT pg_temp.meets('{"oversize": 65536}') AS one_more, pg_temp.meets('{"oversize": 1000000000}') AS by_length;
SELECT pg_temp.meets('{"oversize": 1000000000, "chunked": true}') AS by_stream;
-- a megabyte of zeros is a kilobyte of gzip
SELECT pg_temp.meets(jsonb_build_object('gzip', true, 'body', '{"data": "' || repeat('0', 1000000) || '"}')) AS by_gzip;
SET allpass.max_response_size = '2MB';
SELECT left(pg_temp.meets(jsonb_build_object('gzip', true, 'body', '{"data": ["' || repeat('0', 1000000) || '"]}')), 8) AS fits;
RESET allpass.max_response_size;
-- an error page as well
SET allpass.max_response_size = '1kB';
SELECT pg_temp.body(repeat('x', 2000), 500) AS error_page;
RESET allpass.max_response_size;

--
-- Refusals: KY and the HTTP status, with the API's own message.
--
SELECT status, pg_temp.body('{"statusCode": 1, "message": "said so"}', status) AS outcome
FROM unnest('{400,401,402,403,404,405,408,409,410,413,418,422,425,429,451,499,500,501,502,503,504,511,599}'::int[]) AS status;
-- 3xx is not followed, wherever it points
SELECT status, pg_temp.meets(jsonb_build_object('status', status, 'body', '', 'headers', jsonb_build_object('Location', location))) AS outcome
FROM unnest('{300,301,302,303,304,307,308}'::int[]) AS status, unnest('{/api/public/applicant/c-1/status}'::text[]) AS location;
SELECT sandbox.stats() -> 'operations' ->> 'applicant_status' AS followed;
-- missing_ok is for 404 alone
SELECT status, pg_temp.meets(jsonb_build_object('status', status, 'message', 'no'), 'SELECT allpass_status(''c-1'', missing_ok => true)') AS outcome FROM unnest('{400,401,403,404,410,500}'::int[]) AS status;
-- ... or for what says so in a success
SELECT pg_temp.meets('{"body": "{\"status\": false, \"statusCode\": 404}"}', 'SELECT allpass_status(''c-1'', missing_ok => true)') AS missing;

-- "status": false is a refusal, whatever the HTTP status
SELECT body, pg_temp.body(body) FROM (VALUES
	('{"status": false, "statusCode": 404, "message": "no such one"}'), ('{"status": false, "statusCode": 400}'), ('{"status": false, "statusCode": 599, "error": "e"}'), ('{"status": false, "statusCode": "422"}'),
	('{"status": false}'), ('{"status": false, "statusCode": 200, "message": "why"}'), ('{"status": false, "statusCode": 399}'), ('{"status": false, "statusCode": 600}'), ('{"status": false, "statusCode": 404.5}'),
	('{"status": false, "statusCode": -404}'), ('{"status": false, "statusCode": null, "data": {"id": 1}}'), ('{"status": false, "statusCode": 1e400}'), ('{"status": false, "statusCode": 4294967700}')) AS b (body);

-- where the message is: a text, an array, an object, in "error", "errors" or "data"
SELECT body, regexp_replace(pg_temp.body(body, 400), '^KY400: Allpass API answered with status 400 \(bad request\)', 'KY400') AS outcome FROM (VALUES
	('{"message": "one"}'), ('{"message": ["one", "two"]}'), ('{"message": {"message": "inner"}}'), ('{"message": [{"message": "one"}, {"error": "two"}, "three"]}'),
	('{"error": "only error"}'), ('{"errors": ["e1", "e2"]}'), ('{"errors": [{"message": "e1"}]}'), ('{"data": {"message": "in data"}}'), ('{"data": "{\"message\": \"in text\"}"}'),
	('{"message": 7}'), ('{"message": null}'), ('{"message": ""}'), ('{"message": []}'), ('{"message": {}}'), ('{"message": [[[["too deep"]]]]}'), ('{}'), ('[]'), ('"text"'), ('null'), ('{"data": "text"}'),
	('<html>Bad Request</html>'), (''), ('{"message": "cut'), ('{"message": "a\tb\nc\u0001d\u007f"}'), ('{"message": "é😀 \"quoted\" %s %n"}')) AS b (body);
-- bounded: by bytes, at a character
SELECT length(outcome) < 1100 AS bounded, outcome LIKE 'KY400: % DETAIL: xxxx%' AS starts FROM pg_temp.body('{"message": "' || repeat('x', 100000) || '"}', 400) AS outcome;
SELECT octet_length(outcome) < 1200 AS bounded, outcome ~ 'é$' AS whole FROM pg_temp.body('{"message": "a' || repeat('é', 100000) || '"}', 400) AS outcome;
SELECT octet_length(outcome) < 1200 AS bounded FROM pg_temp.body('{"message": [' || repeat('"message", ', 100000) || '"end"]}', 400) AS outcome;

--
-- What the caller sent as a secret or as personal is not shown, though the API echoes it.
--
SELECT pg_temp.body('{"message": "key sandbox-key is wrong, sandbox-key!"}', 401) AS api_key;
SELECT pg_temp.meets(jsonb_build_object('status', 400, 'message', message),
	$$SELECT allpass_create_applicant('c-9', 'basic', '+15550100', 'anna@example.com', 'en', '{"firstName": "Annabel", "born": 19800229, "more": {"deep": ["Example Street 1"]}, "ok": true}')$$) AS echo
FROM (VALUES ('phone +15550100 and anna@example.com exist'), ('anna@example.comanna@example.com'), ('Annabel, born 19800229, of Example Street 1, is true'), ('c-9 of basic in en')) AS m (message);
SELECT pg_temp.meets(jsonb_build_object('status', 400, 'message', '["email anna@example.com is taken", {"message": "so is +15550100"}]'::jsonb),
	$$SELECT allpass_create_applicant('c-9', 'basic', '+15550100', 'anna@example.com')$$) AS in_an_array;
-- not even where the message is cut off
SELECT pg_temp.meets(jsonb_build_object('status', 400, 'message', repeat('x', 1010) || 'anna@example.com'), $$SELECT allpass_create_applicant('c-9', 'basic', email => 'anna@example.com')$$) LIKE '%anna%' AS cut;

-- the longest first, in any case of letters, short ones as whole words, an id that is an address
SELECT pg_temp.meets(jsonb_build_object('status', 400, 'message', message),
	$$SELECT allpass_create_applicant('Bo.Doe@example.com', 'basic', supplied_info => '{"city": "Oslo", "address": "12 Oslo gate, flat 9", "name": "Bob", "no": "No"}')$$) AS echo
FROM (VALUES ('12 Oslo gate, flat 9'), ('BOB of OSLO'), ('Bobbin, kebob; Bob'), ('No, NO'), ('bo.doe@EXAMPLE.com exists')) AS m (message);
-- also as an API escapes them that echoes a URL or JSON, and where they overlap
SELECT pg_temp.meets(jsonb_build_object('status', 404, 'message', 'Cannot GET /api/public/applicant/ada%40example.com'), $$SELECT allpass_applicant('ada@example.com')$$) AS in_a_url;
SELECT pg_temp.meets(jsonb_build_object('status', 400, 'message', message), $$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '{"a": "O\"Hara\nStreet", "b": "abcdef", "c": "defghi"}')$$) AS echo
FROM (VALUES ('got {"a":"O\"Hara\nStreet"}'), ('abcdefghi')) AS m (message);
-- numbers that have no text are no secrets, and no harm
SELECT pg_temp.meets('{"status": 400, "message": "no"}', $$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '{"n": 1e300, "m": [1e-300, 7]}')$$) AS numbers;
-- what an API says twice is shown once
SELECT pg_temp.body('{"message": "Unauthorized", "error": "Unauthorized"}', 401) AS twice;
-- data that is no message is not quoted
SELECT pg_temp.body(body, 409) AS data_of_a_refusal
FROM (VALUES ('{"data": ["John", "Doe 1980-01-01"]}'), ('{"data": {"fullName": "John Doe"}}'), ('{"data": {"message": "taken", "fullName": "John Doe"}}')) AS b (body);

-- other headers of note
SELECT pg_temp.meets('{"status": 429, "retry_after": "7", "message": "slow down"}') AS retry_after;
SELECT pg_temp.meets(jsonb_build_object('headers', jsonb_build_object('X-Long', repeat('h', 20000)))) LIKE 'ok: %' AS long_header;

CALL sandbox.no_faults();
-- none of it has spoiled the session
SELECT allpass_status('c-1');
SELECT sandbox.stats() ->> 'rejected' AS rejected, sandbox.stats() ->> 'in_flight' AS in_flight;
