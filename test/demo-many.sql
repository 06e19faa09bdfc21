--
-- demo-many.sql
--		Many calls in one statement, and what that costs.  Run by demo.sh, after
--		demo-queue.sql, with an API that takes 20 ms for each answer.
--
\set ON_ERROR_STOP on
\set ECHO queries

\echo '== 21. Two hundred members, and an API that takes 20 ms for each answer.  One after'
\echo '==     another, their statuses take more than four seconds.'
ALTER SERVER allpass OPTIONS (ADD max_concurrency '64');
CREATE TABLE members AS SELECT 'm-' || i AS id, i % 4 AS region FROM generate_series(1, 200) i;
SET allpass.prefetch = off;
\timing on
SELECT count(*) FILTER (WHERE allpass_status(id) = 'APPROVED') AS approved FROM members;
\timing off
RESET allpass.prefetch;

\echo
\echo '== 22. The same statement as people write it.  A node of the plan makes the calls'
\echo '==     ahead of the rows, up to "max_concurrency" at a time.'
\timing on
SELECT count(*) FILTER (WHERE allpass_status(id) = 'APPROVED') AS approved FROM members;
\timing off
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT id, allpass_status(id) FROM members
WHERE region = 1 AND allpass_status(id) <> 'REJECTED' ORDER BY id LIMIT 20;

\echo '== 23. Or by an array of ids: rows come as the answers arrive, what fails is a row,'
\echo '==     and a LIMIT stops the calls.'
\timing on
SELECT s.status, s.sqlstate, count(*)
FROM allpass_statuses(ARRAY(SELECT id FROM members) || '{nobody}') s
GROUP BY s.status, s.sqlstate ORDER BY s.status;
\timing off
SELECT applicant_id IS NOT NULL AS known, status
FROM allpass_statuses(ARRAY(SELECT id FROM members)) LIMIT 3;
SELECT address, type, score, sqlstate
FROM allpass_aml_screen('BTC', '{bc1qexamplewallet1,bc1qexamplewallet3}') ORDER BY address;
\set ECHO none
SELECT count(*) = 200 AND bool_and(status = 'APPROVED') AS all_there
FROM allpass_statuses(ARRAY(SELECT id FROM members)) \gset
\if :all_there
\else
	DO $$ BEGIN RAISE 'a status is missing'; END $$;
\endif
