--
-- mappings: whose keys a call uses, and that changes take effect at once.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
SET client_min_messages = warning;
\getenv sandbox_url ALLPASS_SANDBOX_URL
CALL sandbox.reset();
CALL sandbox.seed(1);

-- The key of the last request, as it was sent; it need not be a good one.
CREATE FUNCTION sandbox.key_sent() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(entry -> 'headers' ->> 'x-private-app-key', ' ' ORDER BY (entry ->> 'n')::int) FROM sandbox.log() AS entry
$$;
CREATE FUNCTION sandbox.call() RETURNS text LANGUAGE sql AS $$ SELECT sandbox.error('SELECT allpass_status(''c-1'')') || ', key ' || coalesce(sandbox.key_sent(), 'none') $$;

CREATE ROLE regress_allpass_a;
CREATE ROLE regress_allpass_b;
CREATE ROLE regress_allpass_c;
GRANT EXECUTE ON FUNCTION allpass_status(text, boolean) TO regress_allpass_a, regress_allpass_b, regress_allpass_c;
CREATE SERVER keys FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
GRANT USAGE ON FOREIGN SERVER keys TO regress_allpass_a, regress_allpass_b, regress_allpass_c;
SET allpass.server = keys;

-- none, then PUBLIC's, then one's own before PUBLIC's
SET ROLE regress_allpass_a;
SELECT sandbox.call();
RESET ROLE;
CREATE USER MAPPING FOR PUBLIC SERVER keys OPTIONS (api_key 'key-public');
CREATE USER MAPPING FOR regress_allpass_b SERVER keys OPTIONS (api_key 'key-b');
SET ROLE regress_allpass_a;
SELECT sandbox.call();
SET ROLE regress_allpass_b;
SELECT sandbox.call();
SET ROLE regress_allpass_c;
SELECT sandbox.call();
RESET ROLE;
CREATE USER MAPPING FOR regress_allpass_c SERVER keys OPTIONS (api_key 'key-c');
SET ROLE regress_allpass_c;
SELECT sandbox.call();
-- of the role in effect: in a SECURITY DEFINER function its owner's
RESET ROLE;
CREATE FUNCTION sandbox.as_b() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN sandbox.call(); END $$;
GRANT CREATE ON SCHEMA sandbox TO regress_allpass_b;
ALTER FUNCTION sandbox.as_b() OWNER TO regress_allpass_b;
SET ROLE regress_allpass_c;
SELECT sandbox.call(), sandbox.as_b(), sandbox.call();
-- a member of a role does not inherit its mapping
RESET ROLE;
GRANT regress_allpass_b TO regress_allpass_a;
SET ROLE regress_allpass_a;
SELECT sandbox.call();
SET ROLE regress_allpass_b;
SELECT sandbox.call();
RESET ROLE;
SET SESSION AUTHORIZATION regress_allpass_c;
SELECT sandbox.call();
RESET SESSION AUTHORIZATION;

-- another key takes effect at once; and what a transaction did is undone with it
ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (SET api_key 'sandbox-key');
SELECT sandbox.call();
BEGIN;
ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (SET api_key 'key-of-transaction');
SELECT sandbox.call();
SAVEPOINT s;
ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (SET api_key 'key-of-savepoint');
SELECT sandbox.call();
ROLLBACK TO s;
SELECT allpass_status('c-1');
ROLLBACK;
SELECT sandbox.call();
-- a mapping that goes, and comes
DROP USER MAPPING FOR regress_allpass_c SERVER keys;
SET ROLE regress_allpass_c;
SELECT sandbox.call();
RESET ROLE;
DROP USER MAPPING FOR PUBLIC SERVER keys;
SET ROLE regress_allpass_c;
SELECT sandbox.call();
RESET ROLE;
CREATE USER MAPPING FOR PUBLIC SERVER keys OPTIONS (api_key 'sandbox-key');
SET ROLE regress_allpass_c;
SELECT sandbox.call();
RESET ROLE;

-- a server that is renamed, dropped, made again, made of another wrapper
ALTER SERVER keys RENAME TO keys2;
SELECT sandbox.call();
SET allpass.server = keys2;
SELECT sandbox.call();
ALTER SERVER keys2 OPTIONS (SET base_url 'http://127.0.0.1:1');
SELECT sandbox.call();
ALTER SERVER keys2 OPTIONS (SET base_url :'sandbox_url');
SELECT sandbox.call();
DROP SERVER keys2 CASCADE;
SELECT sandbox.call();
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER keys2 FOREIGN DATA WRAPPER other OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER keys2 OPTIONS (api_key 'key-of-another');
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
DROP SERVER keys2 CASCADE;
DROP FOREIGN DATA WRAPPER other;
-- a wrapper of one's own with our validator is ours
CREATE FOREIGN DATA WRAPPER own VALIDATOR allpass_validator;
CREATE SERVER keys2 FOREIGN DATA WRAPPER own OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER keys2 OPTIONS (api_key 'sandbox-key');
SELECT sandbox.call();
DROP FOREIGN DATA WRAPPER own CASCADE;

-- two servers in one session, chosen by the setting, also for one function
CREATE SERVER one FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
CREATE SERVER two FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER one OPTIONS (api_key 'key-one');
CREATE USER MAPPING FOR PUBLIC SERVER two OPTIONS (api_key 'key-two');
CREATE FUNCTION sandbox.by_two() RETURNS text LANGUAGE sql SET allpass.server = two AS $$ SELECT sandbox.error('SELECT allpass_status(''c-1'')') $$;
SET allpass.server = one;
SELECT sandbox.error('SELECT allpass_status(''c-1'')'), sandbox.by_two(), sandbox.error('SELECT allpass_status(''c-1'')');
SELECT sandbox.key_sent();
BEGIN;
SET LOCAL allpass.server = two;
SELECT sandbox.call();
COMMIT;
SELECT sandbox.call();
-- a name that needs quoting, and names that cannot be
CREATE SERVER "Ünser ""Server""" FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
SET allpass.server = 'Ünser "Server"';
SELECT replace(sandbox.outcome('SELECT allpass_status(''c-1'')'), quote_ident(current_user), 'me');
DROP SERVER "Ünser ""Server""";
SET allpass.server = '';
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
SELECT set_config('allpass.server', repeat('x', 100), false) IS NOT NULL AS set;
SELECT sandbox.error('SELECT allpass_status(''c-1'')');
RESET allpass.server;

-- keys in files: read as the call is made, and again when the file changes
\set key_file `mktemp`
\setenv KEY_FILE :key_file
\! printf 'sandbox-key \r\n\n' > "$KEY_FILE" && chmod 644 "$KEY_FILE"
CREATE SERVER filed FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
CREATE USER MAPPING FOR PUBLIC SERVER filed OPTIONS (api_key_file :'key_file');
SET allpass.server = filed;
SELECT sandbox.call();
-- readable by everybody: that is worth a warning
SELECT allpass_status('c-1');
\! printf 'another-key' > "$KEY_FILE"
SELECT sandbox.call();
\! printf '' > "$KEY_FILE"
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
\! printf 'with space\n' > "$KEY_FILE"
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
\! head -c 5000 /dev/zero | tr '\0' k > "$KEY_FILE"
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
\! rm "$KEY_FILE"
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
\! printf 'sandbox-key' > "$KEY_FILE" && chmod 644 "$KEY_FILE"
SELECT sandbox.error('SELECT allpass_status(''c-1'')');
-- the other keys, too
\set crypto_file `mktemp`
\setenv CRYPTO_FILE :crypto_file
\! printf '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n' > "$CRYPTO_FILE" && chmod 644 "$CRYPTO_FILE"
\set hmac_file `mktemp`
\setenv HMAC_FILE :hmac_file
\! printf '202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n' > "$HMAC_FILE" && chmod 644 "$HMAC_FILE"
ALTER SERVER filed OPTIONS (ADD encryption 'aes-256-cbc', ADD require_signature 'on');
ALTER USER MAPPING FOR PUBLIC SERVER filed OPTIONS (ADD crypto_key_file :'crypto_file', ADD hmac_key_file :'hmac_file');
CALL sandbox.config('{"encryption": "aes-256-cbc"}');
SET client_min_messages = error;
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
\! printf 'too short' > "$CRYPTO_FILE"
SELECT sandbox.outcome('SELECT allpass_status(''c-1'')');
CALL sandbox.config('{"encryption": "none"}');
DROP SERVER filed CASCADE;
\! rm -f "$KEY_FILE" "$CRYPTO_FILE" "$HMAC_FILE"

RESET allpass.server;
DROP SERVER one, two CASCADE;
DROP FUNCTION sandbox.by_two(), sandbox.as_b(), sandbox.call(), sandbox.key_sent();
REVOKE ALL ON SCHEMA sandbox FROM regress_allpass_b;
REVOKE ALL ON FUNCTION allpass_status(text, boolean) FROM regress_allpass_a, regress_allpass_b, regress_allpass_c;
DROP ROLE regress_allpass_a, regress_allpass_b, regress_allpass_c;
