--
-- options: what servers and user mappings may hold, and what is refused as it
-- is set: unknown names (HV00D), bad values (22023), files by roles that may
-- not read files (42501).  No message shows a key.
--
\pset format unaligned
\pset footer off
\pset null '(null)'
\pset tuples_only on
CALL sandbox.reset();

-- Try an option of a server, or of a mapping, and take it back.
CREATE FUNCTION pg_temp.server(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := sandbox.outcome(format('CREATE SERVER try FOREIGN DATA WRAPPER allpass OPTIONS (%s %I %L)',
		CASE WHEN name = 'base_url' THEN '' ELSE 'base_url ''https://api.example.com'',' END, name, value));
	SELECT 'ok: ' || array_to_string(srvoptions, ' ') INTO result FROM pg_foreign_server WHERE srvname = 'try' AND result = 'ok'
		UNION ALL SELECT result LIMIT 1;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	RETURN result;
END
$$;
CREATE FUNCTION pg_temp.mapping(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := sandbox.outcome(format('CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (%I %L)', name, value));
	SELECT 'ok: ' || array_to_string(umoptions, ' ') INTO result FROM pg_user_mappings WHERE srvname = 'opt' AND result = 'ok'
		UNION ALL SELECT result LIMIT 1;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	RETURN result;
END
$$;

-- unknown options, and options in the wrong place, with a hint of the right ones
SELECT pg_temp.server('hosts', 'x');
SELECT pg_temp.server('api_key', 'secret-key-0001');
SELECT pg_temp.server('Base_URL', 'https://api.example.com');
SELECT sandbox.outcome($$CREATE FOREIGN DATA WRAPPER other VALIDATOR allpass_validator OPTIONS (base_url 'https://api.example.com')$$);
SELECT sandbox.outcome($$CREATE SERVER opt FOREIGN DATA WRAPPER allpass$$);
SELECT sandbox.outcome($$CREATE SERVER opt FOREIGN DATA WRAPPER allpass OPTIONS (encryption 'none')$$);

-- base_url: https, or http to this machine; nothing but host, port and path
SELECT pg_temp.server('base_url', url) FROM (VALUES
	('https://api.example.com'), ('https://api.example.com/'), ('https://api.example.com:8443'), ('https://api.example.com/gate/way'),
	('https://api.example.com/gate/way///'), ('https://192.0.2.1'), ('https://[2001:db8::1]:443'), ('HTTPS://API.EXAMPLE.COM'),
	('http://127.0.0.1:8080'), ('http://localhost'), ('http://LocalHost:1'), ('http://[::1]:8080'), ('http://127.1.2.3')) AS u (url);
SELECT url, pg_temp.server('base_url', url) FROM (VALUES
	(''), ('api.example.com'), ('//api.example.com'), ('/path'), ('ftp://api.example.com'), ('file:///etc/passwd'), ('http://api.example.com'),
	('http://10.0.0.1'), ('http://0.0.0.0'), ('http://128.0.0.1'), ('http://127.0.0.1.example.com'), ('http://localhost.example.com'), ('http://[::2]'),
	('http://127.0.0.1@api.example.com'), ('https://'), ('https:///path'), ('https:/api.example.com'), ('https:api.example.com'), ('https:\\api.example.com'),
	('https://api.example.com:99999'), ('https://api.example.com:http'),
	('https://api example.com'), (E'https://api.example.com\r\nX: y'), (' https://api.example.com'),
	('https://api.example.com/api/public'), ('https://api.example.com?a=b'), ('https://api.example.com?'), ('https://api.example.com/#top'), ('https://api.example.com#')) AS u (url);
-- credentials are refused and not shown
SELECT pg_temp.server('base_url', 'https://user:secret-0002@api.example.com');
SELECT pg_temp.server('base_url', 'https://secret-0002@api.example.com');
SELECT pg_temp.server('base_url', 'https://:secret-0002@api.example.com');
SELECT pg_temp.server('base_url', 'https://api.example.com/?key=secret-0002');

-- words
SELECT pg_temp.server('encryption', value) FROM unnest('{none,aes-256-cbc,aes-256-gcm}'::text[]) AS value;
SELECT pg_temp.server('encryption', value) FROM unnest('{"",rot13,AES-256-CBC,"aes-256-cbc ",aes-128-gcm}'::text[]) AS value;
SELECT pg_temp.server('signature_key', value) FROM unnest('{auto,hex,text}'::text[]) AS value;
SELECT pg_temp.server('signature_key', value) FROM unnest('{"",base64,HEX}'::text[]) AS value;
SELECT pg_temp.server('signature_over', value) FROM unnest('{auto,wire,bytes,plaintext,body}'::text[]) AS value;
SELECT pg_temp.server('signature_over', value) FROM unnest('{"",none,all}'::text[]) AS value;
SELECT pg_temp.server('gcm_iv_length', value) FROM unnest('{auto,12,16}'::text[]) AS value;
SELECT pg_temp.server('gcm_iv_length', value) FROM unnest('{"",0,13,012,"16 "}'::text[]) AS value;
SELECT pg_temp.server(name, value) FROM unnest('{encrypt_requests,require_signature}'::text[]) AS name, unnest('{on,off,true,0}'::text[]) AS value;
SELECT pg_temp.server(name, value) FROM unnest('{encrypt_requests,require_signature}'::text[]) AS name, unnest('{"",maybe,2}'::text[]) AS value;

-- times
SELECT pg_temp.server(name, value) FROM unnest('{timeout,connect_timeout}'::text[]) AS name, unnest('{1,1ms,1500ms,30s,"2 min",1h,3600000,0.5s,1e3}'::text[]) AS value;
SELECT pg_temp.server('timeout', value) FROM unnest('{"",0,-1,0.4ms,1.1h,2h,1d,3600001,soon,"10 parsecs",nan,99999999999}'::text[]) AS value;
SELECT pg_temp.server('connect_timeout', '0');

-- numbers
SELECT pg_temp.server('max_concurrency', value) FROM unnest('{1,16,1024}'::text[]) AS value;
SELECT pg_temp.server('max_concurrency', value) FROM unnest('{"",0,-1,1025,many,1kB,99999999999}'::text[]) AS value;
SELECT pg_temp.server('rate_limit', value) FROM unnest('{0.001,1,2.5,1e3,1000000}'::text[]) AS value;
SELECT pg_temp.server('rate_limit', value) FROM unnest('{"",0,-1,0.0001,1000001,nan,infinity,10/s}'::text[]) AS value;

-- the file of certificates must be an absolute path
SELECT pg_temp.server('ca_file', '/etc/ssl/certs/ca.pem');
SELECT pg_temp.server('ca_file', value) FROM unnest('{"",ca.pem,./ca.pem,~/ca.pem}'::text[]) AS value;

-- mappings
CREATE SERVER opt FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com');
SELECT pg_temp.mapping('password', 'secret-0003');
SELECT pg_temp.mapping('base_url', 'https://api.example.com');
SELECT pg_temp.mapping('api_key', value) FROM unnest('{k,"!~-_.:=/+","0123456789abcdef-0123456789abcdef"}'::text[]) AS value;
SELECT pg_temp.mapping('api_key', value) FROM unnest(ARRAY['', 'secret 0003', E'secret-0003\r\nX: y', E'secret-0003\n', 'sécret-0003', E'\x7fsecret-0003', ' ']) AS value;
SELECT pg_temp.mapping(name, value) = 'ok: ' || name || '=' || value AS good
FROM unnest('{crypto_key,hmac_key}'::text[]) AS name,
	 unnest(ARRAY[repeat('0aF9', 16), 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'exactly thirty-two characters !!', repeat('é', 16)]) AS value;
SELECT name, length(value), octet_length(value), pg_temp.mapping(name, value)
FROM unnest('{crypto_key,hmac_key}'::text[]) AS name,
	 unnest(ARRAY['', 'secret-0003', repeat('0a', 31), repeat('0a', 33), repeat('0a', 31) || '0g', repeat('0a', 31) || 'a', repeat('s', 31), repeat('s', 33), repeat('é', 32),
				  'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8h',
				  'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd-_8=', ' ' || repeat('0a', 32)]) AS value;
-- keys as files: an absolute path, and not beside the key itself
SELECT pg_temp.mapping(name, '/no/such/file') FROM unnest('{api_key_file,crypto_key_file,hmac_key_file}'::text[]) AS name;
SELECT pg_temp.mapping(name, value) FROM unnest('{api_key_file,crypto_key_file,hmac_key_file}'::text[]) AS name, unnest('{"",key.txt}'::text[]) AS value;
SELECT sandbox.outcome($$CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (api_key 'secret-0003', api_key_file '/no/such/file')$$);
SELECT sandbox.outcome($$CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (crypto_key_file '/no/such/file', crypto_key '0123456789abcdef0123456789abcdef')$$);
SELECT sandbox.outcome($$CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (hmac_key_file '/no/such/file', hmac_key '0123456789abcdef0123456789abcdef')$$);

-- ALTER is checked as well
CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (api_key 'good');
ALTER USER MAPPING FOR PUBLIC SERVER opt OPTIONS (SET api_key 'secret 0004');
ALTER USER MAPPING FOR PUBLIC SERVER opt OPTIONS (ADD api_key_file '/no/such/file');
ALTER USER MAPPING FOR PUBLIC SERVER opt OPTIONS (ADD crypto_key 'secret-0004');
ALTER SERVER opt OPTIONS (SET base_url 'http://api.example.com');
ALTER SERVER opt OPTIONS (DROP base_url);
ALTER SERVER opt OPTIONS (ADD timeout '0');
SELECT srvoptions, umoptions FROM pg_user_mappings JOIN pg_foreign_server ON srvid = pg_foreign_server.oid WHERE pg_foreign_server.srvname = 'opt';
ALTER USER MAPPING FOR PUBLIC SERVER opt OPTIONS (DROP api_key, ADD api_key_file '/no/such/file');
DROP USER MAPPING FOR PUBLIC SERVER opt;

-- options that name files are for those who may read the server's files, also
-- where only another option is altered
CREATE ROLE regress_allpass_owner;
CREATE ROLE regress_allpass_reader IN ROLE pg_read_server_files;
GRANT USAGE ON FOREIGN DATA WRAPPER allpass TO regress_allpass_owner, regress_allpass_reader;
SET ROLE regress_allpass_owner;
CREATE SERVER owned FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com', ca_file '/etc/ssl/certs/ca.pem');
CREATE SERVER owned FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com');
ALTER SERVER owned OPTIONS (ADD ca_file '/etc/ssl/certs/ca.pem');
CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (api_key_file '/etc/hostname');
CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (crypto_key_file '/etc/hostname');
CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (hmac_key_file '/etc/hostname');
CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (api_key 'mine');
ALTER USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (ADD crypto_key_file '/etc/hostname');
RESET ROLE;
ALTER SERVER owned OPTIONS (ADD ca_file '/etc/ssl/certs/ca.pem');
SET ROLE regress_allpass_owner;
ALTER SERVER owned OPTIONS (SET base_url 'https://evil.example.com');
ALTER SERVER owned OPTIONS (DROP ca_file);
RESET ROLE;
SET ROLE regress_allpass_reader;
CREATE SERVER read FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://api.example.com', ca_file '/etc/ssl/certs/ca.pem');
CREATE USER MAPPING FOR CURRENT_USER SERVER read OPTIONS (api_key_file '/etc/hostname');
RESET ROLE;
SELECT srvname, srvoptions FROM pg_foreign_server WHERE srvname IN ('owned', 'read') ORDER BY 1;

-- the keys of others do not show
SELECT srvname, umoptions FROM pg_user_mappings WHERE srvname IN ('owned', 'read') ORDER BY 1;
SET ROLE regress_allpass_reader;
SELECT srvname, umoptions FROM pg_user_mappings WHERE srvname IN ('owned', 'read') ORDER BY 1;
RESET ROLE;
DROP SERVER owned CASCADE;
DROP SERVER read CASCADE;
DROP SERVER opt;
REVOKE ALL ON FOREIGN DATA WRAPPER allpass FROM regress_allpass_owner, regress_allpass_reader;
DROP ROLE regress_allpass_owner, regress_allpass_reader;

-- what a call needs besides: said when it is made
\getenv sandbox_url ALLPASS_SANDBOX_URL
CREATE SERVER lacking FOREIGN DATA WRAPPER allpass OPTIONS (base_url :'sandbox_url');
SET allpass.server = lacking;
CREATE USER MAPPING FOR PUBLIC SERVER lacking;
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
ALTER USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (ADD api_key 'sandbox-key');
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
ALTER SERVER lacking OPTIONS (ADD encrypt_requests 'on');
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
ALTER SERVER lacking OPTIONS (ADD encryption 'aes-256-cbc');
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
ALTER USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (ADD crypto_key '0123456789abcdef0123456789abcdef');
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
ALTER SERVER lacking OPTIONS (DROP encrypt_requests, ADD require_signature 'on');
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
ALTER SERVER lacking OPTIONS (SET encryption 'aes-256-gcm', DROP require_signature);
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
ALTER USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (DROP crypto_key);
SELECT sandbox.outcome($$SELECT allpass_status('c-1')$$);
-- two of these reached the network
SELECT sandbox.requests();

-- a file that cannot be read: said when it is used
CREATE FUNCTION pg_temp.key_file(path text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (SET api_key_file %L)', path);
	RETURN sandbox.outcome('SELECT allpass_status(''c-1'')');
END
$$;
ALTER SERVER lacking OPTIONS (DROP encryption);
ALTER USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (DROP api_key, ADD api_key_file '/no/such/file');
SELECT pg_temp.key_file(path) FROM unnest('{/no/such/file,/,/dev/null,/dev/zero}'::text[]) AS path;
RESET allpass.server;
DROP SERVER lacking CASCADE;
SELECT sandbox.requests();
