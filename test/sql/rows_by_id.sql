--
-- rows_by_id: the row functions that fetch, and calls inside of queries: joins,
-- filters, plans.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CALL sandbox.reset();
CALL sandbox.seed(3);

-- the same rows as of the document
SELECT ordinality, service, status, step_type, overall_result FROM allpass_services('c-1');
SELECT ordinality, name, icao, type, year, has_mrz, service_ordinality FROM allpass_documents('c-1');
SELECT ordinality, field_type, allpass_code_name('FieldType', field_type) AS field, source_type, status, comparison FROM allpass_document_fields('c-1');
SELECT ordinality, field_type, substr(image, 2, 3) AS magic, length(image) AS length FROM allpass_document_images('c-1');
SELECT (SELECT count(*) FROM (SELECT * FROM allpass_services('c-2') EXCEPT SELECT * FROM allpass_services(allpass_applicant('c-2'))) AS d) AS services,
       (SELECT count(*) FROM (SELECT * FROM allpass_documents('c-2') EXCEPT SELECT * FROM allpass_documents(allpass_applicant('c-2'))) AS d) AS documents,
       (SELECT count(*) FROM (SELECT * FROM allpass_document_fields('c-2') EXCEPT SELECT * FROM allpass_document_fields(allpass_applicant('c-2'))) AS d) AS fields,
       (SELECT count(*) FROM (SELECT * FROM allpass_document_images('c-2') EXCEPT SELECT * FROM allpass_document_images(allpass_applicant('c-2'))) AS d) AS images;
SELECT count(*) FILTER (WHERE target ~ '/c-[12]$'), count(*) FROM sandbox.sent();

CREATE TABLE report AS SELECT s ->> 'id' AS id, s ->> 'type' AS type FROM (VALUES (allpass_aml_search('BTC', 'bc1qexample')), (allpass_aml_search('BTC', tx_hash => repeat('1', 64)))) AS v (s);
SELECT f.direction, f.ordinality, f.owner, f.forward, f.depth, f.amount, f.share, f.amount_dec FROM report AS r, allpass_aml_funds(r.id) AS f WHERE r.type = 'WALLET';
SELECT r.type, count(*) AS funds, sum(f.amount) AS amount FROM report AS r, allpass_aml_funds(r.id, r.type) AS f GROUP BY 1 ORDER BY 1;
SELECT e.ordinality, e.score_type, e.name FROM report AS r, allpass_aml_entities(r.id, type => r.type) AS e WHERE r.type = 'TRANSACTION';
SELECT t.ordinality, t.event_name, t.user_id, t.data FROM report AS r, allpass_aml_timeline(r.id, r.type, false) AS t WHERE r.type = 'WALLET';
SELECT c.ordinality, c.content, c.author_name, c.parent_comment ->> 'content' AS parent FROM report AS r, allpass_aml_comments(r.id, r.type) AS c WHERE r.type = 'WALLET';
SELECT DISTINCT regexp_replace(target, '[0-9a-f]{8}-[0-9a-f-]{27}', '{uuid}') AS target FROM sandbox.sent() WHERE method = 'GET' ORDER BY 1;
DROP TABLE report;

-- what is not there
SELECT count(*) FROM allpass_services('nobody');
SELECT count(*) FROM allpass_services('nobody', missing_ok => true);
SELECT count(*) FROM allpass_documents('nobody', true);
SELECT count(*) FROM allpass_document_fields('nobody', true);
SELECT count(*) FROM allpass_document_images('nobody', missing_ok => false);
SELECT count(*) FROM allpass_aml_funds('nothing');
SELECT count(*) FROM allpass_aml_funds('nothing', missing_ok => true);
SELECT count(*) FROM allpass_aml_entities('nothing', 'TRANSACTION', true);
SELECT count(*) FROM allpass_aml_timeline('nothing', missing_ok => true);
SELECT count(*) FROM allpass_aml_comments('nothing', 'WALLET', true);

-- a literal is an id, and a document needs its type; a NULL must have one
SELECT count(*) FROM allpass_services('{"servicesData": [{}]}'::jsonb);
SELECT sandbox.error($$SELECT count(*) FROM allpass_services('{"servicesData": [{}]}')$$);
SELECT sandbox.error($$SELECT count(*) FROM allpass_services(NULL)$$);

-- odd documents do not fail here either
CALL sandbox.serve('applicant', 'odd', '[1, "x"]');
CALL sandbox.serve('applicant', 'null', 'null');
CALL sandbox.serve('applicant', 'exact', '{"status": 7, "servicesData": {"service": "A", "data": {"elapsedTime": 123456789012345678901234567890.5}}}');
CALL sandbox.serve('aml', 'exact', '{"sof": {"amount": 1e30, "amountDec": "0.10"}}');
SELECT (SELECT count(*) FROM allpass_services('odd')) AS odd, (SELECT count(*) FROM allpass_services('null')) AS "null",
       allpass_applicant('odd') AS odd, allpass_applicant('null') AS "null", allpass_applicant('null') IS NULL AS is_null, pg_typeof(allpass_applicant('null')) AS type;
SELECT ordinality, service, elapsed_time FROM allpass_services('exact');
SELECT amount, amount_dec FROM allpass_aml_funds('exact');
-- a status that is none
SELECT allpass_status('exact') AS number, allpass_applicant_status('exact') AS whole;
CALL sandbox.fault('{"operation": "applicant_status", "data": "{\"id\": 1}", "times": 1}');
SELECT allpass_status('c-1') AS absent;
CALL sandbox.fault('{"operation": "applicant_status", "data": "{\"status\": null}", "times": 1}');
SELECT allpass_status('c-1') AS "null";
CALL sandbox.fault('{"operation": "applicant_status", "data": "{\"status\": {\"a\": 1}}", "times": 1}');
SELECT allpass_status('c-1') AS object;
CALL sandbox.fault('{"operation": "applicant_status", "data": "[]", "times": 1}');
SELECT allpass_status('c-1') AS array;

--
-- In queries.
--
CREATE TABLE customer (id text, country text, active boolean);
INSERT INTO customer VALUES ('c-1', 'LV', true), ('c-2', 'EE', true), ('c-3', 'LV', false), (NULL, 'LV', true);
CALL sandbox.reset();
CALL sandbox.seed(2);
CALL sandbox.seed(1, 'd-', 'REJECTED');
SELECT id, allpass_status(id, missing_ok => true) AS status FROM customer ORDER BY id;
SELECT c.id, s.ordinality, s.service FROM customer AS c LEFT JOIN LATERAL allpass_services(c.id, missing_ok => true) AS s ON s.status = 'APPROVED' ORDER BY 1, 2;
SELECT c.id, f.value IS NOT NULL AS has_surname FROM customer AS c, allpass_document_fields(c.id, true) AS f WHERE f.field_type = 8 ORDER BY 1;
SELECT sandbox.requests();

-- calls come after the cheap conditions, wherever they are written
CALL sandbox.reset();
CALL sandbox.seed(3);
SELECT id FROM customer WHERE allpass_status(id) = 'APPROVED' AND active AND country = 'LV' AND id IS NOT NULL;
SELECT sandbox.requests();
SELECT count(*) FROM customer WHERE (allpass_applicant(id) ->> 'status') = 'APPROVED' AND country ~ 'E.*E' AND length(country) = 2;
SELECT sandbox.requests();

-- a plan makes no call: not by EXPLAIN, not of a constant, not to estimate or to inline
CALL sandbox.reset();
CALL sandbox.seed(3);
EXPLAIN (COSTS OFF) SELECT * FROM customer WHERE country = allpass_status('c-1');
EXPLAIN (COSTS OFF) SELECT * FROM customer AS c, allpass_services(c.id) AS s WHERE s.status = 'APPROVED';
CREATE INDEX ON customer (country);
ANALYZE customer;
SELECT sandbox.outcome($$EXPLAIN SELECT allpass_applicant('c-1'), allpass_aml_search('BTC', 'bc1qexample')$$),
       sandbox.outcome($$EXPLAIN SELECT allpass_applicant('c-1') FROM customer WHERE false$$),
       sandbox.outcome($$EXPLAIN INSERT INTO customer SELECT allpass_create_applicant('c-9', 'basic') ->> 'id'$$),
       sandbox.outcome($$EXPLAIN SELECT * FROM customer WHERE country > allpass_status('c-1') AND country IN (allpass_status('c-2'), 'LV')$$),
       sandbox.outcome($$EXPLAIN VERBOSE SELECT count(*) FROM allpass_services('c-1'), allpass_aml_funds('a-1')$$);
SELECT * FROM customer WHERE false AND country = allpass_status('c-1');
PREPARE by_id (text) AS SELECT allpass_status($1), allpass_status('c-1');
CREATE VIEW statuses AS SELECT id, allpass_status(id) AS status FROM customer;
SELECT sandbox.requests();
EXECUTE by_id ('c-2');
SELECT sandbox.requests();
-- the column of a view is called for the rows that pass
SELECT status FROM statuses WHERE id = 'c-1';
SELECT sandbox.requests();
-- what is volatile is called for every row, once
SELECT count(allpass_status('c-1')) FROM customer;
SELECT sandbox.requests();
SELECT bool_and(x = x) FROM (SELECT allpass_status('c-1') AS x FROM customer OFFSET 0) AS s;
SELECT sandbox.requests();
-- a limit stops it
SELECT id FROM customer WHERE allpass_status(id) = 'APPROVED' LIMIT 1;
SELECT sandbox.requests();
-- and none is made by a branch that is not taken
SELECT CASE WHEN active IS NULL THEN allpass_status(id) END FROM customer WHERE id = 'c-1';
SELECT coalesce('known', allpass_status('c-1'));
SELECT sandbox.requests();

-- cursors, and rows that are read in part
BEGIN;
DECLARE c CURSOR FOR SELECT id, allpass_status(id) FROM customer WHERE id IS NOT NULL ORDER BY id;
FETCH 1 FROM c;
FETCH 1 FROM c;
CLOSE c;
COMMIT;
SELECT name FROM allpass_documents('c-1') LIMIT 1;
SELECT (allpass_services('c-1')).service LIMIT 1;

-- in functions, triggers and writes
CREATE FUNCTION pg_temp.on_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.country := allpass_status(NEW.id);
	RETURN NEW;
END
$$;
CREATE TRIGGER fill BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION pg_temp.on_insert();
INSERT INTO customer (id) VALUES ('c-3') RETURNING id, country;
DO $$
DECLARE
	found text;
BEGIN
	found := allpass_status('c-1');
	BEGIN
		PERFORM allpass_status('nobody');
	EXCEPTION WHEN SQLSTATE 'KY404' THEN
		RAISE NOTICE 'not there: %', SQLERRM;
	END;
	RAISE NOTICE 'still %', allpass_status('c-1');
END
$$;
-- the error of one row ends the statement, and rolls it back
UPDATE customer SET country = allpass_status(coalesce(id, 'nobody'));
SELECT string_agg(country, ' ' ORDER BY country) FROM customer;
DROP VIEW statuses;
DROP TABLE customer;
DEALLOCATE by_id;
