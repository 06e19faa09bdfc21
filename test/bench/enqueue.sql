-- What it costs to put jobs into the queue, once in each way, in microseconds
-- a row.  Nobody takes them out meanwhile.
-- Variables: rows, prefix, file

SET jit = off;
LOAD 'allpass';
SELECT format('SELECT %L || i, %L || i, %L || i || %L FROM generate_series(1, %s) AS i',
	:'prefix', 'Customer ', :'prefix', '@example.com', :'rows') AS people \gset
\set start 'SELECT clock_timestamp() AS began \\gset'
\set stop 'SELECT format(''%s %s'', :''label'', extract(epoch FROM clock_timestamp() - :''began'') * 1000000 / :rows);'

\if :{?waiting}
	\set label waiting_plain
	:start
	INSERT INTO customers_plain (id, name, email) :people;
	:stop
	\set label waiting_statement
	:start
	INSERT INTO customers_statement (id, name, email) :people;
	:stop
	\q
\endif

TRUNCATE allpass_queue, customers_plain, customers_statement, customers_row;
\set label plain
:start
INSERT INTO customers_plain (id, name, email) :people;
:stop
\set label statement
:start
INSERT INTO customers_statement (id, name, email) :people;
:stop
TRUNCATE allpass_queue;
\set label row
:start
INSERT INTO customers_row (id, name, email) :people;
:stop

COPY customers_plain TO :'file';
TRUNCATE allpass_queue, customers_plain, customers_statement, customers_row;
\set label copy_plain
:start
COPY customers_plain FROM :'file';
:stop
\set label copy_statement
:start
COPY customers_statement FROM :'file';
:stop
TRUNCATE allpass_queue;
\set label copy_row
:start
COPY customers_row FROM :'file';
:stop

TRUNCATE allpass_queue;
\set label queue
:start
INSERT INTO allpass_queue (operation, applicant_id)
	SELECT 'schedule_deletion', id FROM customers_plain;
:stop
TRUNCATE allpass_queue;
\set label function
:start
SELECT count(allpass_enqueue('schedule_deletion', id)) FROM customers_plain \g /dev/null
:stop
TRUNCATE allpass_queue, customers_plain, customers_statement, customers_row;
