-- From commit to arrival: the milliseconds of each job, by the times at which
-- its transaction had committed and at which the sandbox had its request.
-- Variables: label, commits (a file of applicants and times), log (of the sandbox)

CREATE TEMP TABLE commits (applicant text, at float8);
COPY commits FROM :'commits' (DELIMITER ' ');
SELECT format('%s %s', :'label', round(1000 * ((entry ->> 'at')::numeric - at::numeric), 3))
	FROM commits, jsonb_array_elements(pg_read_file(:'log')::jsonb) AS entry
	WHERE entry ->> 'applicant' = applicant;
