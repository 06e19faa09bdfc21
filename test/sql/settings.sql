--
-- settings: names, units, bounds, contexts.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'

-- the module comes with the first function that is called
SELECT allpass_code_name('FieldType', 8);
SELECT name, setting, unit, vartype, context, min_val, max_val, boot_val, short_desc, extra_desc FROM pg_settings WHERE name LIKE 'allpass.%' ORDER BY name COLLATE "C";

-- units
SET allpass.max_response_size = '1MB';
SHOW allpass.max_response_size;
SET allpass.max_response_size = 100;
SHOW allpass.max_response_size;
SET allpass.max_response_size = '1048575kB';
SHOW allpass.max_response_size;
-- bounds; the words are the server's
\set VERBOSITY sqlstate
SET allpass.max_response_size = 0;
SET allpass.max_response_size = '1GB';
SET allpass.max_response_size = '1 parsec';
SET allpass.max_calls_per_statement = -1;
SET allpass.max_calls_per_statement = 2147483647;
SET allpass.max_calls_per_statement = 2147483648;
SET allpass.max_calls_per_statement = 'many';
\set VERBOSITY default
RESET ALL;
SHOW allpass.max_response_size;
SHOW allpass.max_calls_per_statement;
SHOW allpass.server;

-- the prefix is reserved: a mistyped name is refused
SET allpass.max_responsesize = 1;
SELECT set_config('allpass.timeout', '1', false);

-- for a role, a database, a function
CREATE FUNCTION bounded() RETURNS text LANGUAGE sql SET allpass.max_response_size = '2kB' AS $$ SELECT current_setting('allpass.max_response_size') $$;
SELECT bounded(), current_setting('allpass.max_response_size');
DROP FUNCTION bounded();
CREATE ROLE regress_allpass_setting;
ALTER ROLE regress_allpass_setting SET allpass.server = 'another';
DROP ROLE regress_allpass_setting;

-- what is set before the module is there holds once it is, or is reported
\c -
SET allpass.max_calls_per_statement = 5;
SET allpass.server = 'nowhere';
SELECT sandbox.error($$SELECT allpass_status('c-1')$$);
SHOW allpass.max_calls_per_statement;
\c -
SET allpass.max_response_size = 'too large';
SET allpass.no_such_setting = 1;
SELECT allpass_code_name('FieldType', 8);
SHOW allpass.max_response_size;
SHOW allpass.no_such_setting;
