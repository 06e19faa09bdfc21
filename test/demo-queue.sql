--
-- demo-queue.sql
--		The queue and its worker, while the API fails now and then.  Run by
--		demo.sh, after demo.sql.
--
\set ON_ERROR_STOP on
\set ECHO queries

\echo '== 14. A table of people.  Whoever comes into it is to be verified, and whoever'
\echo '==     leaves it forgotten: two triggers put jobs into the queue.'
CREATE TABLE people (id text PRIMARY KEY, name text, email text);
CREATE TRIGGER verify AFTER INSERT ON people
	REFERENCING NEW TABLE AS new_people FOR EACH STATEMENT
	EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email');
CREATE TRIGGER forget AFTER DELETE ON people
	REFERENCING OLD TABLE AS old_people FOR EACH STATEMENT
	EXECUTE FUNCTION allpass_forget_trigger('id');

\echo '== 15. Jobs are sent when their transaction has committed.  Before that, nothing.'
BEGIN;
INSERT INTO people SELECT 'p-' || i, 'Person ' || i, 'p' || i || '@example.com'
FROM generate_series(1, 6) i;
SELECT server, operation, waiting, due, in_flight, failed FROM allpass_queue_status;
COMMIT;

\echo '== 16. The worker carries them out at once.  The API fails some of the calls: one'
\echo '==     with status 503, one without an answer though it has acted.  They are tried'
\echo '==     again, and nobody is created twice.'
SELECT w.applicant_id, w.state, w.attempts, w.accepted_at IS NOT NULL AS accepted
FROM allpass_queue q, allpass_wait(q.id) w
WHERE q.operation = 'create_applicant' ORDER BY 1;

\echo '== 17. Join the table with the statuses at Allpass.'
SELECT id, name, allpass_status(id) AS status FROM people ORDER BY id;

\echo '== 18. Three people leave.  A deletion that the API refuses for a while waits.'
DELETE FROM people WHERE id IN ('p-1', 'p-2', 'p-3');
SELECT server, operation, waiting + in_flight AS unfinished, failed FROM allpass_queue_status;
SELECT w.applicant_id, w.state, w.attempts,
	left(w.result ->> 'scheduledDeletionDate', 10) AS gone_on
FROM allpass_queue q, allpass_wait(q.id) w
WHERE q.operation = 'schedule_deletion' ORDER BY 1;

\echo '== 19. One of them comes back in time.  A job never overtakes an earlier one of the'
\echo '==     same applicant.'
SELECT allpass_enqueue('restore', 'p-2') AS job \gset
SELECT operation, applicant_id, state FROM allpass_wait(:job);
SELECT id, a ->> 'scheduledDeletionDate' IS NOT NULL AS to_be_deleted
FROM unnest('{p-1,p-2,p-3,p-4}'::text[]) id, allpass_applicant(id) a ORDER BY id;

\echo '== 20. Nothing is left to do.'
SELECT count(*) AS unfinished FROM allpass_queue_status WHERE waiting + in_flight + failed > 0;
SELECT operation, state, count(*) AS jobs, sum(attempts) AS attempts
FROM allpass_queue GROUP BY operation, state ORDER BY operation;
\set ECHO none
SELECT count(*) = 10 AND bool_and(state = 'done') AND sum(attempts) > 10 AS all_done
FROM allpass_queue \gset
\if :all_done
\else
	DO $$ BEGIN RAISE 'a job was not carried out'; END $$;
\endif
