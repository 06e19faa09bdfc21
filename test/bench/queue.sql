-- What the benchmark of the queue works with: a server, tables of customers
-- with and without triggers, and how jobs come and are waited for.
-- Variables: url, api_key, concurrency

CREATE EXTENSION allpass;

CREATE SERVER allpass FOREIGN DATA WRAPPER allpass
	OPTIONS (base_url :'url', max_concurrency :'concurrency');
CREATE USER MAPPING FOR PUBLIC SERVER allpass OPTIONS (api_key :'api_key');

CREATE TABLE customers_plain (
	id text PRIMARY KEY, name text, email text, created_at timestamptz DEFAULT now());
CREATE TABLE customers_statement (LIKE customers_plain INCLUDING ALL);
CREATE TABLE customers_row (LIKE customers_plain INCLUDING ALL);
CREATE TRIGGER verify AFTER INSERT ON customers_statement
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
	EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email');
CREATE TRIGGER verify AFTER INSERT ON customers_row FOR EACH ROW
	EXECUTE FUNCTION allpass_verify_trigger('basic', 'id', 'email=email');

-- Put a job for each of some applicants into the queue.
CREATE PROCEDURE fill(jobs integer) LANGUAGE sql AS $$
	INSERT INTO allpass_queue (operation, applicant_id)
		SELECT 'schedule_deletion', 'c-' || i FROM generate_series(1, jobs) AS i;
$$;

-- Wait until no job waits before that of a number, counted from the first of
-- all, or is in flight if there is no such job.  No snapshot is kept for long.
CREATE PROCEDURE await(jobs bigint, pause_s float8 DEFAULT 0.02) LANGUAGE plpgsql AS $$
DECLARE
	target bigint := (SELECT min(id) + jobs FROM allpass_queue);
	first bigint;
BEGIN
	LOOP
		COMMIT;
		SELECT id INTO first FROM allpass_queue WHERE state = 'waiting' AND server = 'allpass'
			AND priority = 0 ORDER BY coalesce(retry_at, run_at), id LIMIT 1;
		EXIT WHEN first >= target;
		EXIT WHEN first IS NULL AND NOT EXISTS (SELECT FROM allpass_queue WHERE state = 'in_flight');
		PERFORM pg_sleep(pause_s);
	END LOOP;
END
$$;

-- Give the jobs a second that were settled from one place to another, in the
-- order of their ends since a time, which is that of place 0.
CREATE FUNCTION rate(first_job bigint, last_job bigint, since timestamptz) RETURNS float8
LANGUAGE sql AS $$
	WITH settled AS (
		SELECT finished_at, row_number() OVER (ORDER BY finished_at) AS place
		FROM allpass_queue WHERE state IN ('done', 'cancelled') AND finished_at > since)
	SELECT (last_job - first_job) / extract(epoch FROM max(finished_at) -
		coalesce(min(finished_at) FILTER (WHERE place = first_job), since))
	FROM settled WHERE place <= last_job;
$$;
