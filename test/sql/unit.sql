--
-- unit: the sealing and its parts by themselves, in a module of the extension's
-- own objects; see test/unit.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'

\! MAKEFLAGS= make -s -C "$PG_ABS_SRCDIR/unit" 2>&1
\getenv source_dir PG_ABS_SRCDIR
\set module :source_dir '/unit/unit'
CREATE FUNCTION unit_open(method text, over text, key text, iv integer, required boolean, wire text, signature text, body text) RETURNS text AS :'module' LANGUAGE C;
CREATE FUNCTION unit_round_trips(count integer) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_from_hex(text) RETURNS bytea AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_from_base64(text) RETURNS bytea AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_to_hex(bytea) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_buffer() RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_retry(code text, http_status integer, sent boolean, retry_after bigint) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE FUNCTION unit_delay(failures integer, asked bigint, chance float8) RETURNS bigint AS :'module' LANGUAGE C STRICT;

--
-- The vectors of the facts: which signature opens under which options.
--
\set cbc a0a1a2a3a4a5a6a7a8a9aaabacadaeaf6b3081bff7f0fa51f630bab4bb634949ab085f08cbe0a82da28f64307b60a1a66125cdebeec0770150b123ecbfcc1b13
CREATE TABLE mac (name text, value text);
INSERT INTO mac VALUES ('A', '25c8e191e2bc430a73126304b6e4c49f5b9c57cafc9e21e473628b3d5f0622f2'), ('B', '2c9d3aec23f35e136741d5017731d36ee83388a249c652ba2a3013201093031b'),
	('C', 'f8beaea16fccffcb967182971a3966c00f5dfe2feb2e427d78a7839b744f952e'), ('D', '2964adc2f8371ee9a534ff619ea3181dd286932a4d37b45e4e87a7d0fccfd53d'),
	('E', '19f067209abe039a876cf5180723dacb625fc449d8af66a2024105588f97f847'), ('F', '401fcfe1d9bda71e8751505aeff2637807f082f27fa9359369b5bf72cc9c2340'), ('none', NULL);
SELECT over, key, string_agg(name, ' ' ORDER BY name COLLATE "C") AS opens
FROM unnest('{auto,wire,bytes,plaintext,body}'::text[]) WITH ORDINALITY AS o (over, number), unnest('{auto,hex,text}'::text[]) AS key, mac
WHERE unit_open('aes-256-cbc', over, key, 0, true, :'cbc', value, '{"data":"' || :'cbc' || '"}') = '{"externalUserId":"u-1","flowName":"basic"}'
GROUP BY number, over, key ORDER BY number, key COLLATE "C";
SELECT unit_open('aes-256-cbc', 'auto', 'auto', 0, false, :'cbc', NULL, '') AS unsigned;
\set gcm16 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf518146c46ca8bf18a2f24ac28866c4f4a07f610c53057380df7406d96e7b47ea69b3dc41f7b2ccd48d2b4d
\set tag16 e811a7aadb64de8eaaa89d731ed08b42
\set gcm12 a0a1a2a3a4a5a6a7a8a9aaab9d3a195531ae70d10309d2a0620889ba52967b65bf866040be684ae908e5146cb7547dddcd4320543cbe79
\set tag12 2b21f63b2e74ff1e73c5d340a0a4daff
SELECT iv, unit_open('aes-256-gcm', 'auto', 'auto', iv, true, :'gcm16', :'tag16', '') AS iv16, unit_open('aes-256-gcm', 'auto', 'auto', iv, true, :'gcm12', :'tag12', '') AS iv12,
       unit_open('aes-256-gcm', 'auto', 'auto', iv, true, :'gcm16' || :'tag16', NULL, '') AS iv16_inband, unit_open('aes-256-gcm', 'auto', 'auto', iv, true, :'gcm12' || :'tag12', NULL, '') AS iv12_inband
FROM unnest('{0,12,16}'::int[]) AS iv;

-- each digit that is changed, each end that is cut off, of text and signature: never opened
SELECT count(*) AS tried, count(unit_open('aes-256-cbc', 'auto', 'auto', 0, false, overlay(:'cbc' PLACING CASE substr(:'cbc', place, 1) WHEN '0' THEN '1' ELSE '0' END FROM place FOR 1), value, '')) AS opened
FROM mac, generate_series(1, length(:'cbc')) AS place WHERE name = 'A';
SELECT count(*) AS tried, count(unit_open('aes-256-cbc', 'auto', 'auto', 0, false, :'cbc', overlay(value PLACING CASE substr(value, place, 1) WHEN '0' THEN '1' ELSE '0' END FROM place FOR 1), '')) AS opened
FROM mac, generate_series(1, length(value)) AS place WHERE name = 'A';
SELECT count(*) AS tried, count(unit_open('aes-256-cbc', 'auto', 'auto', 0, false, left(:'cbc', cut), value, '')) AS opened_text, count(unit_open('aes-256-cbc', 'auto', 'auto', 0, true, :'cbc', left(value, cut / 2), '')) AS opened_signature
FROM mac, generate_series(0, length(:'cbc') - 1) AS cut WHERE name = 'A';
SELECT count(*) AS tried, count(unit_open('aes-256-gcm', 'auto', 'auto', 0, false, overlay(:'gcm16' PLACING CASE substr(:'gcm16', place, 1) WHEN '0' THEN '1' ELSE '0' END FROM place FOR 1), :'tag16', '')) AS opened
FROM generate_series(1, length(:'gcm16')) AS place;
SELECT count(*) AS tried, count(unit_open('aes-256-gcm', 'auto', 'auto', 0, false, :'gcm16', overlay(:'tag16' PLACING CASE substr(:'tag16', place, 1) WHEN '0' THEN '1' ELSE '0' END FROM place FOR 1), '')) AS opened
FROM generate_series(1, length(:'tag16')) AS place;
SELECT count(*) AS tried, count(unit_open('aes-256-gcm', 'auto', 'auto', 0, false, left(:'gcm16' || :'tag16', cut), NULL, '')) AS opened_inband, count(unit_open('aes-256-gcm', 'auto', 'auto', 0, false, :'gcm16', left(:'tag16', cut), '')) AS opened_tag
FROM generate_series(0, 31) AS cut;

--
-- Round trips of random texts of up to 100 kB, by all methods and options.
--
SELECT unit_round_trips(5000);

--
-- Encodings, beside the server's own.
--
SELECT count(*) AS tried, count(*) FILTER (WHERE unit_from_hex(encode(bytes, 'hex')) IS DISTINCT FROM bytes OR unit_from_hex(upper(encode(bytes, 'hex'))) IS DISTINCT FROM bytes OR unit_to_hex(bytes) IS DISTINCT FROM encode(bytes, 'hex')) AS hex_wrong,
       count(*) FILTER (WHERE length > 0 AND unit_from_base64(replace(encode(bytes, 'base64'), E'\n', '')) IS DISTINCT FROM bytes) AS base64_wrong
FROM generate_series(0, 300) AS length, LATERAL (SELECT coalesce(string_agg(sha512((length || '/' || n)::bytea), ''), '') AS all_bytes FROM generate_series(1, 5) AS n) AS s, substr(all_bytes, 1, length) AS bytes;
SELECT count(unit_from_hex(chr(a) || '0')) AS hex_digits, count(unit_from_hex('0' || chr(a))) AS again, count(unit_from_base64('AAA' || chr(a))) AS base64_digits_and_padding, count(unit_from_base64(chr(a) || 'AAA')) AS base64_digits
FROM generate_series(1, 1000) AS a;
SELECT value, unit_from_hex(value), unit_from_base64(value) FROM unnest(ARRAY['', '0', '00', '000', '0000', '0x00', ' 00', '00 ', 'AA==', 'AA=A', 'A===', '====', '=AAA', 'AAAA=', 'AAAAA', E'AAAA\n', E'AA\nAA', 'AAAA AAAA', 'AAAAAA==', 'AA==AAAA', 'ééé']) AS value;
SELECT unit_buffer();

--
-- What becomes of a job: by HTTP status, and by what else can go wrong.
--
SELECT unit_retry('refused', s, true, 0) AS outcome, string_agg(s::text, ' ' ORDER BY s) AS statuses
FROM unnest('{302,400,401,403,404,408,409,410,422,425,429,451,499,500,501,502,503,504,599}'::int[]) AS s GROUP BY 1 ORDER BY min(s);
SELECT after, unit_retry('refused', 429, true, after) AS "429", unit_retry('refused', 503, true, after) AS "503", unit_retry('refused', 401, true, after) AS "401"
FROM unnest('{1,120,3600,1000000000000}'::bigint[]) AS after;
SELECT code, unit_retry(code, 0, false, 0) AS unsent, unit_retry(code, 0, true, 0) AS sent
FROM unnest('{ok,bad argument,denied,limit,no memory,unreachable,not understood,not opened,not configured}'::text[]) AS code;
SELECT failures, unit_delay(failures, 0, 0) AS "from", unit_delay(failures, 0, 1) AS "to", unit_delay(failures, 400000, 1) AS asked
FROM unnest('{0,1,2,3,8,9,10,1000000}'::int[]) AS failures;

DROP TABLE mac;
DROP FUNCTION unit_open(text, text, text, integer, boolean, text, text, text), unit_round_trips(integer), unit_from_hex(text), unit_from_base64(text), unit_to_hex(bytea), unit_buffer(), unit_retry(text, integer, boolean, bigint), unit_delay(integer, bigint, float8);
