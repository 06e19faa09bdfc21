-- One way of getting many statuses, measured: the seconds, the seconds of
-- processor time of this backend, and the kilobytes that its memory grew by.
-- Variables: label, query, calls

SET allpass.max_calls_per_statement = 0;
SET jit = off;
CREATE TEMP TABLE ids AS SELECT 'c-' || i AS id FROM generate_series(1, :calls) AS i;
ANALYZE ids;
SELECT cpu_seconds() AS cpu, memory('RssAnon') AS memory, clock_timestamp() AS began \gset
:query \g /dev/null
SELECT format('%s %s %s %s', :'label', extract(epoch FROM clock_timestamp() - :'began'),
		cpu_seconds() - :'cpu'::float8, memory('RssAnon') - :'memory'::int);
