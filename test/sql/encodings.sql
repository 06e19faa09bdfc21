--
-- encodings: databases in other encodings than UTF-8.  What is sent is UTF-8,
-- and what cannot be held is an error.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\getenv sandbox_url ALLPASS_SANDBOX_URL
CALL sandbox.reset();
CALL sandbox.serve('applicant', 'caf%C3%A9', '{"id": "é", "status": "APPROVÉ", "services\u00dcata": 1, "amount": 0.10}');
CALL sandbox.serve('applicant', 'euro', '{"id": "€", "status": "€"}');
CALL sandbox.serve('applicant', 'escaped', '{"id": "\u20ac"}');
SELECT current_database() AS home \gset

CREATE DATABASE regress_allpass_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_allpass_latin1
SET client_encoding = 'UTF8';
\set SHOW_CONTEXT never
CREATE EXTENSION allpass;
CREATE SERVER allpass FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'sandbox-key', crypto_key '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
-- the id goes out in UTF-8, whatever the database has
SELECT octet_length('café') AS octets, allpass_status('café') AS status, allpass_applicant('café') AS applicant;
-- what LATIN1 has not: no document, and no message
SELECT allpass_status('euro');
\echo :LAST_ERROR_SQLSTATE
SELECT allpass_applicant('escaped');
\echo :LAST_ERROR_SQLSTATE
\! "$PG_ABS_SRCDIR"/sandbox/control POST faults '{"status": 400, "message": "caf\u00e9 \u20ac", "times": 1}'
SELECT allpass_status('c-1');
\! "$PG_ABS_SRCDIR"/sandbox/control POST faults '{"status": 400, "message": "caf\u00e9 of m\u00fcller@example.com", "times": 1}'
SELECT allpass_create_applicant('c-1', 'basic', email => 'müller@example.com');
-- bodies as well
SELECT a ->> 'externalUserId' AS id, a -> 'flow' ->> 'name' AS flow FROM allpass_create_applicant('Ü', 'flöw', supplied_info => '{"é": "ü", "n": 1e30}') AS a;
\! "$PG_ABS_SRCDIR"/sandbox/control GET log | grep -o '"body":"{.*}"' | tail -n 1
-- sealed answers and requests
\! "$PG_ABS_SRCDIR"/sandbox/control POST config '{"encryption": "aes-256-gcm"}'
ALTER SERVER allpass OPTIONS (ADD encryption 'aes-256-gcm', ADD encrypt_requests 'on');
SELECT a ->> 'externalUserId' AS id, a -> 'flow' ->> 'name' AS flow FROM allpass_create_applicant('Ö', 'flöw') AS a;
SELECT allpass_status('café');
SELECT allpass_status('euro');
\echo :LAST_ERROR_SQLSTATE
-- documents at hand
SELECT name FROM allpass_aml_entities('{"entities": [{"name": "Zoë"}]}'::jsonb);
\connect :home
DROP DATABASE regress_allpass_latin1;

-- a database without an encoding passes bytes on, if they are UTF-8
CALL sandbox.config('{"encryption": "none"}');
CREATE DATABASE regress_allpass_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_allpass_ascii
CREATE EXTENSION allpass;
CREATE SERVER allpass FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key 'sandbox-key');
SELECT allpass_status('café') = 'APPROVÉ' AS same, octet_length(allpass_status('euro'));
SELECT allpass_status(E'caf\xe9');
\echo :LAST_ERROR_SQLSTATE
SELECT allpass_create_applicant('c-9', E'\xff\xfe');
\echo :LAST_ERROR_SQLSTATE
\connect :home
DROP DATABASE regress_allpass_ascii;
SELECT sandbox.stats() ->> 'rejected' AS rejected;
