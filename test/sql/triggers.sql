--
-- triggers: verify who comes into a table, forget who leaves it; for rows and
-- for statements.  They only write into the queue.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'
\set SHOW_CONTEXT never
CALL sandbox.reset();

CREATE TABLE people (id text, email varchar(40), phone bigint, lang char(2), "Odd Name" text);
-- the jobs since the last look, in the order of their ids
CREATE FUNCTION new_jobs() RETURNS TABLE (operation text, applicant_id text, arguments jsonb, server text, requested_by regrole, state text)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT q.operation, q.applicant_id, q.arguments, q.server, nullif(q.requested_by, quote_ident(session_user)::regrole)::regrole, q.state FROM allpass_queue AS q ORDER BY q.id;
	DELETE FROM allpass_queue;
END
$$;

-- for rows
CREATE TRIGGER verify AFTER INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email', 'lang=lang', 'phone=phone');
INSERT INTO people VALUES ('p-1', 'one@example.com', 15555550101, 'en', NULL), ('p-2', NULL, NULL, NULL, NULL), ('p-1', 'again@example.com', NULL, NULL, NULL), (NULL, 'x', NULL, NULL, NULL), ('', 'x', NULL, NULL, NULL), ('.', 'x', NULL, NULL, NULL), ('..', 'x', NULL, NULL, NULL);
SELECT * FROM new_jobs();
-- the key alone counts: a new one, or the first one
UPDATE people SET email = 'other@example.com' WHERE id = 'p-2';
UPDATE people SET id = id;
SELECT * FROM new_jobs();
UPDATE people SET id = 'p-3' WHERE id = 'p-2';
UPDATE people SET id = 'p-4' WHERE id IS NULL;
UPDATE people SET id = NULL WHERE id = 'p-3';
SELECT operation, applicant_id, arguments FROM new_jobs();
DROP TRIGGER verify ON people;
TRUNCATE people;
INSERT INTO people VALUES ('p-1'), ('p-2'), ('p-2'), (NULL), ('.'), ('p-3');
CREATE TRIGGER forget AFTER DELETE OR UPDATE OF id ON people FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger('id');
UPDATE people SET id = id, email = 'x';
UPDATE people SET id = 'p-4' WHERE id = 'p-3';
DELETE FROM people;
SELECT * FROM new_jobs();
DROP TRIGGER forget ON people;

-- for statements, in the order of the rows
CREATE TRIGGER verify AFTER INSERT ON people REFERENCING NEW TABLE AS whatever FOR EACH STATEMENT EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'phone=phone');
CREATE TRIGGER verify_changed AFTER UPDATE ON people REFERENCING NEW TABLE AS n OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION allpass_verify_trigger('other', 'id');
INSERT INTO people (id, phone) VALUES ('p-2', 1), ('p-1', 2), (NULL, 3), ('p-1', 4), ('..', 5);
INSERT INTO people SELECT 'x' WHERE false;
SELECT * FROM new_jobs();
UPDATE people SET id = CASE id WHEN 'p-1' THEN 'p-2' WHEN 'p-2' THEN 'p-1' ELSE 'p-9' END;
SELECT operation, applicant_id, arguments FROM new_jobs();
COPY people (id) FROM stdin;
c-2
c-1
\N
\.
SELECT operation, applicant_id FROM new_jobs();
-- as many as are stored in several lots
INSERT INTO people (id) SELECT i::text FROM generate_series(1, 2500) AS i;
SELECT count(*), count(DISTINCT applicant_id), bool_and(applicant_id = (id - first + 1)::text) AS in_order FROM (SELECT applicant_id, id, min(id) OVER () AS first FROM allpass_queue) AS q;
DELETE FROM allpass_queue;
CREATE TRIGGER forget AFTER DELETE ON people REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION allpass_forget_trigger('id');
CREATE TRIGGER forget_changed AFTER UPDATE ON people REFERENCING NEW TABLE AS n OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION allpass_forget_trigger('id');
DELETE FROM people WHERE length(id) < 3 AND id ~ '^[12]';
SELECT count(*), min(operation), min(arguments::text) FROM new_jobs();
DELETE FROM people WHERE id NOT IN ('p-1', 'p-2', 'p-9') OR id IS NULL;
DELETE FROM allpass_queue;
-- who is still there is neither forgotten nor verified anew
UPDATE people SET id = 'p-3' WHERE id = 'p-9';
SELECT operation, applicant_id, arguments FROM new_jobs();
UPDATE people SET id = id;
SELECT count(*) FROM new_jobs();
DELETE FROM people;
DELETE FROM allpass_queue;
DROP TRIGGER verify ON people;
DROP TRIGGER verify_changed ON people;
DROP TRIGGER forget_changed ON people;

-- a job that does the same already is enough: the newest of its applicant that lives, has the operation, waits and is due
CREATE FUNCTION delete_beside(others int, living text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	job text;
	outcome text;
BEGIN
	INSERT INTO people (id) SELECT 'other ' || i FROM generate_series(1, others) AS i;
	INSERT INTO people (id) VALUES ('p');
	FOREACH job IN ARRAY living LOOP
		INSERT INTO allpass_queue (operation, applicant_id, state, run_at, server)
		SELECT split_part(job, ' ', 1), 'p', coalesce(nullif(split_part(job, ' ', 2), ''), 'waiting'), clock_timestamp() + split_part(job, ' ', 3)::interval, coalesce(nullif(split_part(job, ' ', 4), ''), 'allpass');
	END LOOP;
	DELETE FROM people;
	SELECT string_agg(operation, ' ' ORDER BY id) INTO outcome FROM allpass_queue WHERE applicant_id = 'p';
	DELETE FROM allpass_queue;
	RETURN outcome;
END
$$;
SELECT living, delete_beside(0, living) AS alone, delete_beside(999, living) AS with_others FROM (VALUES (ARRAY[]::text[]), ('{schedule_deletion waiting 0s}'), ('{schedule_deletion waiting 0s,restore waiting 0s}'), ('{restore waiting 0s,schedule_deletion waiting 0s}'), ('{schedule_deletion in_flight 0s}'),
	('{schedule_deletion done 0s}'), ('{schedule_deletion failed 0s}'), ('{schedule_deletion cancelled 0s}'), ('{schedule_deletion waiting 1d}'), ('{schedule_deletion waiting 0s,restore waiting 1d}'),
	('{restore in_flight 0s,schedule_deletion waiting 0s}'), ('{schedule_deletion waiting 0s allpass_test}')) AS c (living);
DROP TRIGGER forget ON people;
CREATE TRIGGER forget AFTER DELETE ON people FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger('id');
SELECT living, delete_beside(0, living) FROM (VALUES (ARRAY[]::text[]), ('{schedule_deletion waiting 0s}'), ('{schedule_deletion waiting 0s,restore waiting 0s}'), ('{restore waiting 0s,schedule_deletion waiting 0s}'), ('{schedule_deletion in_flight 0s}'),
	('{schedule_deletion waiting 1d}'), ('{restore in_flight 0s,schedule_deletion waiting 0s}'), ('{schedule_deletion waiting 0s allpass_test,restore waiting 0s}')) AS c (living);
DROP FUNCTION delete_beside(int, text[]);
DROP TRIGGER forget ON people;

-- who writes needs EXECUTE on the function of the operation, and nothing else
CREATE ROLE regress_allpass_writer;
GRANT INSERT ON people TO regress_allpass_writer;
CREATE TRIGGER verify AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION allpass_verify_trigger('basic', 'id');
SET ROLE regress_allpass_writer;
INSERT INTO people (id) VALUES ('w-1');
RESET ROLE;
GRANT EXECUTE ON FUNCTION allpass_create_applicant TO regress_allpass_writer;
SET ROLE regress_allpass_writer;
SET allpass.server = 'allpass_test';
INSERT INTO people (id) VALUES ('w-1');
RESET allpass.server;
SELECT count(*) FROM allpass_queue;
RESET ROLE;
SELECT * FROM new_jobs();
REVOKE ALL ON FUNCTION allpass_create_applicant FROM regress_allpass_writer;
REVOKE ALL ON people FROM regress_allpass_writer;
DROP ROLE regress_allpass_writer;

-- what is rolled back leaves no job
BEGIN;
SAVEPOINT s;
INSERT INTO people (id) VALUES ('r-1');
ROLLBACK TO s;
INSERT INTO people (id) VALUES ('r-2');
COMMIT;
SELECT applicant_id FROM new_jobs();

-- triggers, columns and constraints of the queue's owner count
BEGIN;
CREATE TABLE audit (what text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (TG_WHEN || ' ' || TG_LEVEL || coalesce(' ' || NEW.applicant_id, '')); RETURN NEW; END $$;
CREATE TRIGGER a AFTER INSERT ON allpass_queue FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER b BEFORE INSERT ON allpass_queue FOR EACH STATEMENT EXECUTE FUNCTION audit();
ALTER TABLE allpass_queue ADD COLUMN note text DEFAULT 'noted', ADD COLUMN gone int, ADD CONSTRAINT no_t CHECK (applicant_id <> 't-3');
ALTER TABLE allpass_queue DROP COLUMN gone;
INSERT INTO people (id) VALUES ('t-1'), ('t-2');
SELECT what FROM audit;
SELECT applicant_id, note FROM allpass_queue ORDER BY id;
SELECT sandbox.error($$INSERT INTO people (id) VALUES ('t-3')$$);
ROLLBACK;
DROP TRIGGER verify ON people;
TRUNCATE people;

-- mistakes in the definition are told when it first fires
CREATE FUNCTION mistake(event text, level text, call text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
BEGIN
	EXECUTE format('CREATE TRIGGER mistake %s ON people %s EXECUTE FUNCTION %s', event, level, call);
	outcome := sandbox.outcome(statement);
	DROP TRIGGER mistake ON people;
	RETURN outcome;
END
$$;
SELECT call, mistake('AFTER INSERT', 'FOR EACH ROW', call, $$INSERT INTO people VALUES ('m')$$)
FROM (VALUES ('allpass_verify_trigger()'), ($$allpass_verify_trigger('basic')$$), ($$allpass_verify_trigger('', 'id')$$), ($$allpass_verify_trigger('basic', 'name')$$), ($$allpass_verify_trigger('basic', 'ID')$$),
	($$allpass_verify_trigger('basic', 'id', 'email')$$), ($$allpass_verify_trigger('basic', 'id', 'mail=email')$$), ($$allpass_verify_trigger('basic', 'id', 'email=mail')$$), ($$allpass_verify_trigger('basic', 'id', 'email=email', 'email=id')$$),
	($$allpass_verify_trigger('basic', 'Odd Name', 'email=Odd Name')$$), ($$allpass_forget_trigger('id')$$)) AS c (call);
INSERT INTO people VALUES ('m');
SELECT call, mistake('AFTER DELETE', 'FOR EACH ROW', call, 'DELETE FROM people')
FROM (VALUES ('allpass_forget_trigger()'), ($$allpass_forget_trigger('id', 'id')$$), ($$allpass_forget_trigger('name')$$), ($$allpass_verify_trigger('basic', 'id')$$)) AS c (call);
SELECT mistake('BEFORE INSERT', 'FOR EACH ROW', $$allpass_verify_trigger('basic', 'id')$$, $$INSERT INTO people VALUES ('m')$$);
SELECT mistake('AFTER TRUNCATE', '', $$allpass_forget_trigger('id')$$, 'TRUNCATE people');
SELECT mistake('AFTER INSERT', '', $$allpass_verify_trigger('basic', 'id')$$, $$INSERT INTO people VALUES ('m')$$);
SELECT mistake('AFTER DELETE', '', $$allpass_forget_trigger('id')$$, 'DELETE FROM people WHERE false');
SELECT mistake('AFTER UPDATE', 'REFERENCING NEW TABLE AS n', $$allpass_verify_trigger('basic', 'id')$$, 'UPDATE people SET id = id');
DROP FUNCTION mistake(text, text, text, text);
SELECT count(*) FROM allpass_queue;

-- partitions: a row that moves is nobody who leaves
CREATE TABLE parts (id int, part int) PARTITION BY LIST (part);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
CREATE TRIGGER verify AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION allpass_verify_trigger('basic', 'id');
CREATE TRIGGER forget AFTER DELETE ON parts REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION allpass_forget_trigger('id');
INSERT INTO parts VALUES (1, 1), (2, 2);
SELECT operation, applicant_id FROM new_jobs();
DROP TRIGGER verify ON parts;
UPDATE parts SET part = 2 WHERE part = 1;
DELETE FROM parts WHERE id = 2;
SELECT operation, applicant_id FROM new_jobs();
CREATE TRIGGER forget_rows AFTER DELETE ON parts FOR EACH ROW EXECUTE FUNCTION allpass_forget_trigger('id');
DELETE FROM parts;
DROP TABLE parts;

-- a text of absurd length is left out, and the write goes on
TRUNCATE allpass_queue;
CREATE TABLE long_texts (id text, email text, phone text);
CREATE TRIGGER verify AFTER INSERT ON long_texts REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email', 'phone=phone');
INSERT INTO long_texts VALUES ('long', repeat('x', 262144), '1'), ('fits', repeat('x', 262143), '2');
SELECT applicant_id, length(arguments ->> 'email') AS email, arguments ->> 'phone' AS phone FROM allpass_queue ORDER BY id;
DROP TABLE long_texts;

-- nothing of all this went over the network
SELECT sandbox.requests();
DROP FUNCTION new_jobs();
DROP TABLE people;
