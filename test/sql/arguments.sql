--
-- arguments: what is refused (22023) before any request, and what is not.
--
\pset format unaligned
\pset footer off
\pset null '(null)'
CALL sandbox.reset();
CALL sandbox.seed(1);

\pset tuples_only on

-- create_applicant: id and flow are required, neither NULL nor empty
SELECT sandbox.outcome($$SELECT allpass_create_applicant(NULL, 'basic')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('', 'basic')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('.', 'basic')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('..', 'basic')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', NULL)$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', '')$$);
-- supplied_info must be an object
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '[]')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '[{}]')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '"{}"')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => '1')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => 'true')$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', supplied_info => 'null')$$);

-- ids in a path
SELECT sandbox.outcome($$SELECT allpass_applicant('')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant('.')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant('..', missing_ok => true)$$);
SELECT sandbox.outcome($$SELECT allpass_applicant_status('')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant_status('..')$$);
SELECT sandbox.outcome($$SELECT allpass_status('')$$);
SELECT sandbox.outcome($$SELECT allpass_status('', missing_ok => true)$$);
SELECT sandbox.outcome($$SELECT allpass_status('.')$$);
SELECT sandbox.outcome($$SELECT allpass_questionnaire('')$$);
SELECT sandbox.outcome($$SELECT allpass_questionnaire('..')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('..')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('a-1', '')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_details('a-1', NULL)$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_services('')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_documents('.')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_document_fields('..')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_document_images('', missing_ok => true)$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_funds('')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_entities('a-1', '')$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_timeline('a-1', NULL)$$);
SELECT sandbox.outcome($$SELECT count(*) FROM allpass_aml_comments('..')$$);

-- ids of writing functions
SELECT sandbox.outcome($$SELECT allpass_move_to_flow(NULL, '1')$$);
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('', '1')$$);
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('..', '1')$$);
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('c-1', NULL)$$);
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('c-1', '')$$);
SELECT sandbox.outcome($$SELECT allpass_schedule_deletion(NULL)$$);
SELECT sandbox.outcome($$SELECT allpass_schedule_deletion('')$$);
SELECT sandbox.outcome($$SELECT allpass_schedule_deletion('.')$$);
SELECT sandbox.outcome($$SELECT allpass_restore(NULL)$$);
SELECT sandbox.outcome($$SELECT allpass_restore('')$$);
SELECT sandbox.outcome($$SELECT allpass_restore('..')$$);

-- tokens
SELECT sandbox.outcome($$SELECT allpass_token(NULL)$$);
SELECT sandbox.outcome($$SELECT allpass_token('')$$);
SELECT sandbox.outcome($$SELECT allpass_token('.')$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', ttl => 0)$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', ttl => -1)$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', ttl => 3153600001)$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', ttl => 9223372036854775807)$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', ttl => -9223372036854775808)$$);
SELECT sandbox.outcome($$SELECT allpass_token('c-1', flow_name => '')$$);
SELECT locale, sandbox.outcome(format('SELECT allpass_token(%L, locale => %L)', 'c-1', locale))
FROM (VALUES (''), ('e'), ('en-'), ('-US'), ('en--US'), ('en US'), ('e1'), ('english-US-'), ('abcdefghi'), ('en-123456789'),
			 ('en-US;q=1'), (E'en\n'), ('en/US'), ('än'), ('日本')) AS l (locale);

-- risk: exactly one of address and tx_hash
SELECT sandbox.outcome($$SELECT allpass_aml_search('BTC')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search('BTC', 'bc1qexample', repeat('a', 64))$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search('BTC', '', repeat('a', 64))$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search('BTC', '')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search(NULL, 'bc1qexample')$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search('', 'bc1qexample')$$);
SELECT hash, sandbox.outcome(format('SELECT allpass_aml_search(%L, tx_hash => %L)', 'BTC', hash))
FROM (VALUES (''), (repeat('a', 63)), (repeat('a', 65)), (repeat('g', 64)), ('0X' || repeat('a', 64)), ('0x' || repeat('a', 63)),
			 ('0x0x' || repeat('a', 64)), (repeat('a', 64) || E'\n'), (' ' || repeat('a', 64)), ('0x')) AS h (hash);

-- the last resort for a mistake: no message shows what was given as personal
SELECT sandbox.outcome($$SELECT allpass_create_applicant('', 'basic', '+15550100', 'anna@example.com', 'en', '{"firstName": "Anna"}')$$);

-- a reading function of a NULL id, or a NULL missing_ok, is NULL or no rows
SELECT sandbox.outcome('SELECT allpass_applicant(NULL)'), sandbox.outcome('SELECT allpass_applicant(NULL, true)'),
       sandbox.outcome($$SELECT allpass_applicant('c-1', NULL)$$), sandbox.outcome('SELECT allpass_applicant_status(NULL)'),
       sandbox.outcome('SELECT allpass_status(NULL)'), sandbox.outcome($$SELECT allpass_status('c-1', NULL)$$),
       sandbox.outcome('SELECT allpass_questionnaire(NULL)'), sandbox.outcome('SELECT allpass_aml_details(NULL)'),
       sandbox.outcome('SELECT allpass_aml_details(NULL, NULL)');
SELECT (SELECT count(*) FROM allpass_services(NULL::text)), (SELECT count(*) FROM allpass_services('c-1', NULL)),
       (SELECT count(*) FROM allpass_documents(NULL::text)), (SELECT count(*) FROM allpass_document_fields(NULL::text)),
       (SELECT count(*) FROM allpass_document_images(NULL::text)), (SELECT count(*) FROM allpass_aml_funds(NULL::text)),
       (SELECT count(*) FROM allpass_aml_entities(NULL::text, NULL)), (SELECT count(*) FROM allpass_aml_timeline(NULL::text)),
       (SELECT count(*) FROM allpass_aml_comments(NULL::text));

-- none of the above sent anything
SELECT sandbox.stats() ->> 'requests' AS requests, sandbox.stats() ->> 'connections' AS connections;

-- the bounds themselves are good, and what the API decides is left to it
SELECT allpass_token('c-1', ttl => 1) ->> 'ttl', allpass_token('c-1', ttl => 3153600000) ->> 'ttl';
SELECT locale, sandbox.error(format('SELECT allpass_token(%L, locale => %L) ->> %L', 'c-1', locale, 'ttl'))
FROM (VALUES ('en'), ('en-US'), ('en_US'), ('zh-Hans-CN'), ('de-1996'), ('sr-Latn-RS'), ('EN-us')) AS l (locale);
SELECT sandbox.outcome($$SELECT allpass_move_to_flow('c-1', 'any flow') ->> 'status'$$);
SELECT sandbox.outcome($$SELECT allpass_aml_search('NEWCHAIN_7', 'anything / at all') ->> 'type'$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('c-9', 'basic', '', '', '', '{}') ->> 'status'$$);
SELECT sandbox.outcome($$SELECT allpass_create_applicant('...', 'basic') ->> 'status'$$);
SELECT sandbox.stats() ->> 'rejected' AS rejected;

-- without a configuration arguments are still checked first
SET allpass.server = 'nowhere';
SELECT sandbox.outcome($$SELECT allpass_applicant('')$$);
SELECT sandbox.error($$SELECT allpass_applicant('c-1')$$);
SELECT sandbox.outcome($$SELECT allpass_applicant(NULL)$$);
RESET allpass.server;
