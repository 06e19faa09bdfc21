-- Servers for all kinds of call, and the functions that measure.
-- Variables: url, tls_url, ca_file, api_key, crypto_key, hmac_key

CREATE EXTENSION allpass;

CREATE SERVER allpass FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url');
CREATE SERVER tls FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'tls_url', ca_file :'ca_file');
CREATE SERVER cbc FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url', encryption 'aes-256-cbc');
CREATE SERVER gcm FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url', encryption 'aes-256-gcm');
-- nothing listens on port 1
CREATE SERVER refused FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url 'http://127.0.0.1:1');

SELECT format('CREATE USER MAPPING FOR PUBLIC SERVER %I'
		' OPTIONS (api_key %L, crypto_key %L, hmac_key %L)',
		srvname, :'api_key', :'crypto_key', :'hmac_key')
	FROM pg_foreign_server \gexec

-- Run a query in which %s stands for a number of calls, and give the
-- microseconds of one under a label.
CREATE FUNCTION measure(label text, calls integer, query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	EXECUTE format(query, calls);
	RETURN label || ' ' || 1000000 * extract(epoch FROM clock_timestamp() - start) / calls;
END
$$;

-- Give the kilobytes of this backend's memory, by the kernel's name for them.
CREATE FUNCTION memory(field text) RETURNS integer LANGUAGE sql AS $$
	SELECT substring(pg_read_file('/proc/self/status') FROM field || ':\s*(\d+) kB')::integer
$$;

-- Give the seconds of processor time that this backend has used.
CREATE FUNCTION cpu_seconds() RETURNS float8 LANGUAGE sql AS $$
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1e9
$$;

-- Make ten calls of every kind of success and failure, some times over.
CREATE PROCEDURE call_all(times integer) LANGUAGE plpgsql AS $$
DECLARE
	id text;
	fields bigint;
BEGIN
	FOR i IN 1 .. times LOOP
		FOREACH id IN ARRAY '{c-1,c-2,c-3,c-4,unknown,c-garbage,c-dropped,c-cut,c-refused}'::text[] LOOP
			PERFORM set_config('allpass.server',
				CASE id WHEN 'c-refused' THEN 'refused' ELSE 'allpass' END, false);
			BEGIN
				PERFORM allpass_applicant(id);
			EXCEPTION
				WHEN SQLSTATE 'KY404' OR SQLSTATE 'KY001' OR SQLSTATE 'KY002' THEN
					NULL;
			END;
		END LOOP;
		PERFORM set_config('allpass.server', 'allpass', false);
		SELECT count(f) INTO fields FROM allpass_document_fields('c-5') f;
	END LOOP;
END
$$;
