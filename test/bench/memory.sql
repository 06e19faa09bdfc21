-- The memory of the backend before and after many calls, once it is warm.
-- Variables: calls

SET allpass.max_calls_per_statement = 0;
SET jit = off;
CALL call_all(:calls / 50);
SELECT 'own ' || memory('RssAnon');
SELECT 'all ' || memory('VmRSS');
CALL call_all(:calls / 10);
SELECT 'own ' || memory('RssAnon');
SELECT 'all ' || memory('VmRSS');
