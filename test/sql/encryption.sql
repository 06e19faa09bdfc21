--
-- encryption: answers in plain, AES-256-CBC and AES-256-GCM under every option,
-- hostile ones, and encrypted requests, which the sandbox opens.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
SET client_min_messages = warning;
CALL sandbox.reset();
CALL sandbox.seed(1);

\set crypto_key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
\set hmac_key 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f

-- Use a server "sealed" with these options.
CREATE PROCEDURE pg_temp.server(options text, keys text DEFAULT 'all') LANGUAGE plpgsql AS $$
BEGIN
	DROP SERVER IF EXISTS sealed CASCADE;
	EXECUTE format('CREATE SERVER sealed FOREIGN DATA WRAPPER allpass OPTIONS (base_url %L%s)',
				   (SELECT url FROM sandbox.address), ', ' || nullif(options, ''));
	EXECUTE 'CREATE USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (api_key ''sandbox-key'''
		|| CASE WHEN keys IN ('all', 'crypto') THEN ', crypto_key ''000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f''' ELSE '' END
		|| CASE WHEN keys IN ('all', 'hmac') THEN ', hmac_key ''202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f''' ELSE '' END
		|| ')';
END
$$;
SET allpass.server = sealed;

-- The outcome of a call that is answered by this body with this signature.
CREATE FUNCTION pg_temp.body(body text, signature text DEFAULT '', status int DEFAULT 200) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL sandbox.no_faults();
	CALL sandbox.fault(jsonb_build_object('body', body, 'signature', signature, 'status', status));
	RETURN sandbox.outcome('SELECT allpass_applicant(''c-1'')');
END
$$;
-- The same for this sealed text, in the least of envelopes.
CREATE FUNCTION pg_temp.opens(wire text, signature text DEFAULT '') RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.body('{"data":"' || wire || '"}', signature)
$$;
CREATE FUNCTION pg_temp.hmac(bits int, key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	block int := CASE bits WHEN 512 THEN 128 ELSE 64 END;
	inner_pad bytea := decode(repeat('36', block), 'hex');
	outer_pad bytea := decode(repeat('5c', block), 'hex');
BEGIN
	FOR i IN 0 .. length(key) - 1 LOOP
		inner_pad := set_byte(inner_pad, i, get_byte(key, i) # 54);
		outer_pad := set_byte(outer_pad, i, get_byte(key, i) # 92);
	END LOOP;
	IF bits = 512 THEN
		RETURN sha512(outer_pad || sha512(inner_pad || message));
	END IF;
	RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;

--
-- CBC: what opens under which options.  The sandbox signs its answers in every
-- way; "auto" takes each of them, with either form of the key.
--
CREATE TABLE cbc_result (over text, key text, option_over text, option_key text, outcome text);
DO $$
DECLARE
	option_over text;
	option_key text;
	over text;
	key text;
BEGIN
	FOREACH option_over IN ARRAY '{auto,wire,bytes,plaintext,body}'::text[] LOOP
		FOREACH option_key IN ARRAY '{auto,hex,text}'::text[] LOOP
			CALL pg_temp.server(format('encryption ''aes-256-cbc'', signature_over %L, signature_key %L', option_over, option_key));
			FOREACH over IN ARRAY '{wire,bytes,plaintext,body,none}'::text[] LOOP
				FOREACH key IN ARRAY '{hex,text}'::text[] LOOP
					CALL sandbox.config(jsonb_build_object('encryption', 'aes-256-cbc', 'signature_over', over, 'signature_key', key));
					INSERT INTO cbc_result VALUES (over, key, option_over, option_key, sandbox.outcome('SELECT allpass_status(''c-1'')'));
				END LOOP;
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;
SELECT over, key, string_agg(option_over || '/' || option_key, ' ' ORDER BY option_over COLLATE "C", option_key COLLATE "C") AS opens_with
FROM cbc_result WHERE outcome = 'ok: APPROVED' GROUP BY over, key ORDER BY over COLLATE "C", key COLLATE "C";
SELECT outcome, count(*) FROM cbc_result GROUP BY outcome ORDER BY outcome COLLATE "C";
DROP TABLE cbc_result;

--
-- CBC: the vectors of the facts, of {"externalUserId":"u-1","flowName":"basic"}.
--
\set cbc a0a1a2a3a4a5a6a7a8a9aaabacadaeaf6b3081bff7f0fa51f630bab4bb634949ab085f08cbe0a82da28f64307b60a1a66125cdebeec0770150b123ecbfcc1b13
\set mac_a 25c8e191e2bc430a73126304b6e4c49f5b9c57cafc9e21e473628b3d5f0622f2
\set mac_c f8beaea16fccffcb967182971a3966c00f5dfe2feb2e427d78a7839b744f952e
CREATE TABLE mac (name text, value text);
INSERT INTO mac VALUES ('A', :'mac_a'), ('B', '2c9d3aec23f35e136741d5017731d36ee83388a249c652ba2a3013201093031b'), ('C', :'mac_c'),
	('D', '2964adc2f8371ee9a534ff619ea3181dd286932a4d37b45e4e87a7d0fccfd53d'), ('E', '19f067209abe039a876cf5180723dacb625fc449d8af66a2024105588f97f847'),
	('F', '401fcfe1d9bda71e8751505aeff2637807f082f27fa9359369b5bf72cc9c2340');
CALL sandbox.config('{"encryption": "none"}');
CALL pg_temp.server($$encryption 'aes-256-cbc'$$);
SELECT name, pg_temp.opens(:'cbc', value) FROM mac ORDER BY name;
CALL pg_temp.server($$encryption 'aes-256-cbc', signature_over 'wire'$$);
SELECT name, pg_temp.opens(:'cbc', value) FROM mac ORDER BY name;
CALL pg_temp.server($$encryption 'aes-256-cbc', signature_over 'plaintext'$$);
SELECT name, pg_temp.opens(:'cbc', value) FROM mac ORDER BY name;
CALL pg_temp.server($$encryption 'aes-256-cbc', signature_over 'body', signature_key 'hex'$$);
SELECT name, pg_temp.opens(:'cbc', value) FROM mac ORDER BY name;
CALL pg_temp.server($$encryption 'aes-256-cbc'$$);

-- forms of the signature: any case, base64, a prefix, SHA-512; and white space around
SELECT pg_temp.opens(:'cbc', upper(:'mac_a')) AS upper,
       pg_temp.opens(:'cbc', encode(decode(:'mac_a', 'hex'), 'base64')) AS base64,
       pg_temp.opens(:'cbc', 'sha256=' || :'mac_a') AS prefix,
       pg_temp.opens(:'cbc', 'SHA256= ' || encode(decode(:'mac_a', 'hex'), 'base64') || '  ') AS prefix_base64;
SELECT pg_temp.hmac(256, decode(:'hmac_key', 'hex'), :'cbc'::bytea) = decode(:'mac_a', 'hex') AS hmac_is_right,
       pg_temp.opens(:'cbc', encode(pg_temp.hmac(512, decode(:'hmac_key', 'hex'), :'cbc'::bytea), 'hex')) AS sha512,
       pg_temp.opens(:'cbc', replace(encode(pg_temp.hmac(512, :'hmac_key'::bytea, :'cbc'::bytea), 'base64'), E'\n', '')) AS sha512_base64;
-- forms of the sealed text: upper case, base64, white space around
SELECT pg_temp.opens(upper(:'cbc'), :'mac_c') AS upper, pg_temp.opens(upper(:'cbc'), :'mac_a') AS upper_but_signed_lower,
       pg_temp.opens(replace(encode(decode(:'cbc', 'hex'), 'base64'), E'\n', ''), :'mac_c') AS base64,
       pg_temp.opens('  ' || :'cbc' || '\n', :'mac_a') AS spaces;

-- signatures that are none: always the same error
SELECT name, pg_temp.opens(:'cbc', value) FROM (VALUES
	('first digit', overlay(:'mac_a' PLACING '3' FROM 1 FOR 1)), ('last digit', overlay(:'mac_a' PLACING '3' FROM 64 FOR 1)),
	('of zeros', repeat('0', 64)), ('half of it', left(:'mac_a', 32)), ('one byte less', left(:'mac_a', 62)), ('one byte more', :'mac_a' || '00'),
	('twice', :'mac_a' || :'mac_a'), ('not hexadecimal', 'zz'), ('no text', '!'), ('prefix alone', 'sha256='), ('long', repeat('ab', 2000)),
	('of another text', '35069a579bbb0fc0ce4ed44e64fde5d76fa78fbb82a6f8a1b43e72e82bde6565')) AS s (name, value);
-- sealed texts that were changed, with the signature of the right one
SELECT name, pg_temp.opens(value, :'mac_a') FROM (VALUES
	('iv', overlay(:'cbc' PLACING 'b' FROM 1 FOR 1)), ('ciphertext', overlay(:'cbc' PLACING '0' FROM 33 FOR 1)),
	('end', overlay(:'cbc' PLACING '4' FROM 128 FOR 1)), ('block less', left(:'cbc', 96)), ('block more', :'cbc' || repeat('0', 32)),
	('empty', ''), ('text', 'hello')) AS t (name, value);
-- and without one: padding or JSON is wrong, or the form
SELECT name, pg_temp.opens(value) FROM (VALUES
	('as it is', :'cbc'), ('block less', left(:'cbc', 96)), ('digit less', left(:'cbc', 127)), ('byte less', left(:'cbc', 126)), ('iv alone', left(:'cbc', 32)),
	('less than iv', left(:'cbc', 30)), ('not hexadecimal', left(:'cbc', 126) || 'zz'), ('padding', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf04b725a7bc1fab594fa9a300b573660c'),
	('not JSON', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf9eb36e6662af4081e236152b7447a0b1'), ('NUL in JSON', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf851c797ae1872a06db1bad9305cd40d6'),
	('nothing', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf600d07a3b9b2c4e4082153d6d1707aa6'), ('a text', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf87f29259668f030c978b77aa487ad956'),
	('null', 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf41677eeb7baee0e2f672de1793268808')) AS t (name, value);
-- a plain answer passes, and so does JSON in a text
SELECT pg_temp.body('{"data": {"id": 1}}'), pg_temp.body('{"data": null}'), pg_temp.body('{"data": [1]}'), pg_temp.body('{"data": " {\"id\": 1} "}'), pg_temp.body('{"data": 1}');

-- with require_signature, nothing but what is signed
CALL pg_temp.server($$encryption 'aes-256-cbc', require_signature 'on'$$);
SELECT pg_temp.opens(:'cbc', :'mac_a') AS signed, pg_temp.opens(:'cbc') AS unsigned, pg_temp.opens(:'cbc', repeat('0', 64)) AS wrong;
SELECT pg_temp.body('{"data": {"id": 1}}') AS plain;
SELECT pg_temp.body('{"data": null}') AS nothing, pg_temp.body('{"data": "{\"id\": 1}"}') AS text;
-- a refusal is one, signed or not
SELECT pg_temp.body('{"statusCode": 404, "message": "no such one"}', '', 404) AS refusal;

-- wrong and missing keys
CALL pg_temp.server($$encryption 'aes-256-cbc'$$);
ALTER USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (SET hmac_key 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
SELECT pg_temp.opens(:'cbc', :'mac_a') AS wrong_hmac_key;
ALTER USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (DROP hmac_key);
SELECT pg_temp.opens(:'cbc', :'mac_a') AS no_hmac_key, pg_temp.opens(:'cbc') AS no_hmac_key_unsigned;
ALTER USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (SET crypto_key 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
SELECT pg_temp.opens(:'cbc') AS wrong_crypto_key;
-- keys in their other forms
ALTER USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (SET crypto_key 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', ADD hmac_key ' !"#$%&''()*+,-./0123456789:;<=>?');
SELECT pg_temp.opens(:'cbc', :'mac_a') AS base64_and_raw;

-- the server's own method and no other opens an answer
CALL pg_temp.server($$encryption 'aes-256-gcm'$$);
SELECT pg_temp.opens(:'cbc', :'mac_a') AS cbc_by_gcm, pg_temp.opens(:'cbc') AS cbc_by_gcm_unsigned;
CALL pg_temp.server($$encryption 'none'$$);
SELECT pg_temp.opens(:'cbc', :'mac_a') AS none;
CALL pg_temp.server('', '');
SELECT pg_temp.opens(:'cbc', :'mac_a') AS by_default;
SELECT pg_temp.opens('hello') AS text, pg_temp.opens('') AS empty, pg_temp.opens('{\"id\": 1}') AS json_in_text, pg_temp.opens('{\"id\": ') AS no_json_in_text;

--
-- GCM: every length of IV and place of the tag
--
CREATE TABLE gcm_result (iv int, tag text, option_iv text, outcome text);
DO $$
DECLARE
	option_iv text;
	iv int;
	tag text;
BEGIN
	FOREACH option_iv IN ARRAY '{auto,12,16}'::text[] LOOP
		CALL pg_temp.server(format('encryption ''aes-256-gcm'', gcm_iv_length %L', option_iv));
		CALL sandbox.no_faults();
		FOREACH iv IN ARRAY '{12,16}'::int[] LOOP
			FOREACH tag IN ARRAY '{header,inband}'::text[] LOOP
				CALL sandbox.config(jsonb_build_object('encryption', 'aes-256-gcm', 'gcm_iv_length', iv, 'tag', tag));
				INSERT INTO gcm_result VALUES (iv, tag, option_iv, sandbox.outcome('SELECT allpass_status(''c-1'')'));
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;
SELECT iv, tag, option_iv, outcome FROM gcm_result ORDER BY iv, tag COLLATE "C", option_iv COLLATE "C";
DROP TABLE gcm_result;
CALL sandbox.config('{"encryption": "none"}');

-- the vectors
\set gcm16 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf518146c46ca8bf18a2f24ac28866c4f4a07f610c53057380df7406d96e7b47ea69b3dc41f7b2ccd48d2b4d
\set tag16 e811a7aadb64de8eaaa89d731ed08b42
\set gcm12 a0a1a2a3a4a5a6a7a8a9aaab9d3a195531ae70d10309d2a0620889ba52967b65bf866040be684ae908e5146cb7547dddcd4320543cbe79
\set tag12 2b21f63b2e74ff1e73c5d340a0a4daff
CALL pg_temp.server($$encryption 'aes-256-gcm', require_signature 'on'$$, 'crypto');
SELECT pg_temp.opens(:'gcm16', :'tag16') AS iv16, pg_temp.opens(:'gcm12', :'tag12') AS iv12,
       pg_temp.opens(:'gcm16' || :'tag16') AS iv16_inband, pg_temp.opens(:'gcm12' || :'tag12') AS iv12_inband;
SELECT pg_temp.opens(:'gcm16', upper(:'tag16')) AS upper, pg_temp.opens(:'gcm16', encode(decode(:'tag16', 'hex'), 'base64')) AS base64,
       pg_temp.opens(replace(encode(decode(:'gcm12', 'hex'), 'base64'), E'\n', ''), :'tag12') AS wire_base64;
-- tags that are none
SELECT name, pg_temp.opens(:'gcm16', value) FROM (VALUES
	('none', ''), ('first digit', overlay(:'tag16' PLACING '0' FROM 1 FOR 1)), ('last digit', overlay(:'tag16' PLACING '0' FROM 32 FOR 1)),
	('of the other', :'tag12'), ('one byte', left(:'tag16', 2)), ('4 bytes', left(:'tag16', 8)), ('12 bytes', left(:'tag16', 24)), ('15 bytes', left(:'tag16', 30)),
	('17 bytes', :'tag16' || '00'), ('32 bytes', repeat(:'tag16', 2)), ('no text', '!')) AS t (name, value);
-- sealed texts that were changed
SELECT name, pg_temp.opens(value, :'tag16') FROM (VALUES
	('iv', overlay(:'gcm16' PLACING 'b' FROM 1 FOR 1)), ('ciphertext', overlay(:'gcm16' PLACING '0' FROM 40 FOR 1)), ('byte less', left(:'gcm16', 116)), ('byte more', :'gcm16' || '00'),
	('iv alone', left(:'gcm16', 32)), ('less than iv', left(:'gcm16', 30)), ('empty', ''), ('one byte', '00'), ('text', 'hello')) AS t (name, value);
SELECT pg_temp.opens(overlay(:'gcm16' || :'tag16' PLACING '0' FROM 40 FOR 1)) AS inband_changed, pg_temp.opens(left(:'gcm16' || :'tag16', 60)) AS inband_cut,
       pg_temp.opens('00') AS inband_short, pg_temp.body('{"data": {"id": 1}}') AS plain;
ALTER USER MAPPING FOR PUBLIC SERVER sealed OPTIONS (SET crypto_key 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
SELECT pg_temp.opens(:'gcm16', :'tag16') AS wrong_crypto_key;
CALL pg_temp.server($$encryption 'aes-256-gcm'$$, 'crypto');
SELECT pg_temp.body('{"data": {"id": 1}}') AS plain, pg_temp.body('{"data": "{\"id\": 1}"}') AS plain_text;

--
-- Refusals may be sealed: their message is found, if it can be trusted.
--
CALL pg_temp.server($$encryption 'aes-256-cbc'$$);
\set sealed_message a0a1a2a3a4a5a6a7a8a9aaabacadaeaf4e3cd66cc74246f9aa638ccd21a500f6f951e046535daac21dd6549c3017e937c733521e3b1e49848c45e9febe4aae0d3f6065c1340d6b8c1d0e2bdf5d1a00dc
\set message_mac 35069a579bbb0fc0ce4ed44e64fde5d76fa78fbb82a6f8a1b43e72e82bde6565
SELECT pg_temp.body('{"status": false, "statusCode": 422, "data": "' || :'sealed_message' || '"}', :'message_mac', 422) AS signed;
SELECT pg_temp.body('{"status": false, "statusCode": 422, "data": "' || :'sealed_message' || '"}', '', 422) AS unsigned;
SELECT pg_temp.body('{"status": false, "statusCode": 422, "data": "' || :'sealed_message' || '"}', repeat('0', 64), 422) AS wrong;
SELECT pg_temp.body('{"status": false, "statusCode": 422, "data": "' || :'sealed_message' || '"}', :'message_mac') AS in_a_success;
CALL sandbox.no_faults();

--
-- Encrypted requests: the sandbox opens them, with the same reading of the open
-- questions as the server's options, and refuses them otherwise.
--
CREATE TABLE request (id int GENERATED ALWAYS AS IDENTITY, options text, config jsonb, outcome text);
DO $$
DECLARE
	option text;
	config jsonb;
BEGIN
	FOREACH option IN ARRAY '{"","signature_over ''wire''","signature_over ''bytes''","signature_over ''plaintext''","signature_over ''body''","signature_key ''hex''","signature_key ''text''"}'::text[] LOOP
		FOREACH config IN ARRAY ARRAY['{"signature_over": "wire"}', '{"signature_over": "bytes"}', '{"signature_over": "body"}', '{"signature_over": "wire", "signature_key": "text"}']::jsonb[] LOOP
			CALL pg_temp.server(concat_ws(', ', 'encryption ''aes-256-cbc'', encrypt_requests ''on''', nullif(option, '')));
			CALL sandbox.reset();
			CALL sandbox.config(config || '{"encryption": "aes-256-cbc"}');
			-- only what is sent matters here
			CALL sandbox.fault('{"body": "{\"data\": true}"}');
			INSERT INTO request (options, config, outcome) VALUES (option, config, sandbox.outcome('SELECT allpass_create_applicant(''c-9'', ''basic'')'));
		END LOOP;
	END LOOP;
END
$$;
SELECT options, string_agg(config - 'encryption' #>> '{}', ' ' ORDER BY id) AS agrees_with FROM request WHERE outcome = 'ok: true' GROUP BY options ORDER BY options COLLATE "C";
SELECT outcome, count(*) FROM request GROUP BY outcome ORDER BY outcome COLLATE "C";
DROP TABLE request;

-- over the plaintext: the sandbox can say so too
CALL pg_temp.server($$encryption 'aes-256-cbc', encrypt_requests 'on', signature_over 'plaintext', signature_key 'text'$$);
CALL sandbox.reset();
CALL sandbox.config('{"encryption": "aes-256-cbc", "signature_over": "plaintext", "signature_key": "text"}');
SELECT sandbox.error($$SELECT allpass_create_applicant('c-9', 'basic') ->> 'status'$$);

-- what goes out: no plaintext, another IV each time, and a signature
CALL pg_temp.server($$encryption 'aes-256-cbc', encrypt_requests 'on'$$);
CALL sandbox.reset();
CALL sandbox.config('{"encryption": "aes-256-cbc"}');
SELECT a ->> 'status' AS status, a ->> 'phone' AS phone FROM allpass_create_applicant('c-1', 'basic', '+15550100', 'anna@example.com', 'en', '{"amount": 1234567890.12345678901234567890}') AS a;
SELECT allpass_move_to_flow('c-1', '7') ->> 'status' AS status;
SELECT allpass_move_to_flow('c-1', '7') ->> 'status' AS status;
SELECT allpass_token('c-1') ->> 'ttl' AS ttl, allpass_token('c-1', 'en-US', 60) ->> 'ttl' AS ttl;
SELECT allpass_aml_search('BTC', 'bc1qexample') ->> 'type' AS type;
SELECT length(allpass_schedule_deletion('c-1') ->> 'scheduledDeletionDate') AS length, allpass_restore('c-1') ? 'id' AS restored;
SELECT allpass_status('c-1');
CREATE TABLE sent AS SELECT * FROM sandbox.log() AS log;
SELECT log ->> 'operation' AS operation, log ->> 'status' AS status, regexp_replace(log ->> 'body', '[0-9a-f]{64,}', '{wire}') AS body,
       length(log -> 'headers' ->> 'x-allpass-signature') AS signature, log -> 'headers' ->> 'content-type' AS type
FROM sent ORDER BY (log ->> 'n')::int;
SELECT count(DISTINCT substr(log ->> 'body', 10, 32)) AS ivs, count(DISTINCT log ->> 'body') AS bodies, count(*) FROM sent WHERE log ->> 'body' <> '';
-- the signature is candidate A of the facts
SELECT bool_and(log -> 'headers' ->> 'x-allpass-signature' = encode(pg_temp.hmac(256, decode(:'hmac_key', 'hex'), ((log ->> 'body')::jsonb ->> 'data')::bytea), 'hex')) AS is_a
FROM sent WHERE log ->> 'body' <> '';
DROP TABLE sent;

-- GCM: the IV has 16 bytes unless the option says 12
CREATE FUNCTION pg_temp.gcm_request(iv_option text, iv int, tag text DEFAULT 'header') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL pg_temp.server(concat_ws(', ', 'encryption ''aes-256-gcm'', encrypt_requests ''on''', 'gcm_iv_length ' || quote_literal(nullif(iv_option, ''))), 'crypto');
	CALL sandbox.reset();
	CALL sandbox.config(jsonb_build_object('encryption', 'aes-256-gcm', 'gcm_iv_length', iv, 'tag', tag));
	RETURN sandbox.outcome('SELECT allpass_create_applicant(''c-1'', ''basic'', supplied_info => ''{"a": 0.10}'') ->> ''status''');
END
$$;
SELECT option, iv, pg_temp.gcm_request(option, iv) FROM unnest('{"",auto,12,16}'::text[]) AS option, unnest('{12,16}'::int[]) AS iv;
SELECT pg_temp.gcm_request('', 16);
SELECT length(log -> 'headers' ->> 'x-allpass-signature') AS tag, length((log ->> 'body')::jsonb ->> 'data') AS wire FROM sandbox.log() AS log;

-- a large document both ways
CALL pg_temp.server($$encryption 'aes-256-gcm', encrypt_requests 'on'$$);
SELECT length(allpass_create_applicant('c-2', repeat('x', 20000)) -> 'flow' ->> 'name');
CALL sandbox.serve('applicant', 'big', '{"text": "' || repeat('é', 200000) || '"}');
SELECT length(allpass_applicant('big') ->> 'text');

DROP TABLE mac;
RESET allpass.server;
DROP SERVER sealed CASCADE;
CALL sandbox.reset();
