#!/bin/sh
#
# queue.sh
#		Measure the queue and its worker, beside plain libcurl and plain tables
#		in the same run.
#
#	sh test/bench/queue.sh [PART ...]
#
# The parts, all of them if none is named:
#	throughput	jobs settled a second, beside libcurl's multi interface POSTing the
#				same at the same concurrency
#	latency		from commit to arrival: idle, at 50 commits a second, and with an
#				answer that takes 10 s
#	enqueue		what a job costs whoever puts it in, beside a plain INSERT
#	depth		the speed with many jobs waiting or finished, and under an old
#				snapshot; what a million jobs leave behind
#	idle		what a worker costs that has nothing to do
#
# The cluster keeps what it is promised to keep: fsync is on.  What is compared
# is measured in turns, $ROUNDS times (default 5), and the medians are shown; a
# ratio is the median of the rounds' ratios.  The bars are those that the
# extension promises to keep.
#
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"
# shellcheck source=test/bench/lib.sh
. "$top/test/bench/lib.sh"

ROUNDS=${ROUNDS:-5}
PARTS=${*:-throughput latency enqueue depth idle}
CONCURRENCY=64
JOBS=20000				# in a round of throughput
ROWS=100000				# in a round of enqueuing
FEW=10000				# jobs waiting
MANY=1000000
WINDOWS=5				# of so few jobs, in a round of depth
IDLE_S=60

check_rounds "queue.sh [PART ...]"
for part in $PARTS; do
	case $part in
		throughput | latency | enqueue | depth | idle) ;;
		*)
			echo "usage: sh test/bench/queue.sh [throughput] [latency] [enqueue] [depth] [idle]" >&2
			exit 2
			;;
	esac
done

# --- getting ready ----------------------------------------------------------

# Run statements, one by one.
sql()
{
	for statement; do
		set -- "$@" -c "$statement"
		shift
	done
	as_user psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" 2>"$WORK/sql.log" ||
		die_with_log "$WORK/sql.log" "a statement failed"
}

# Print the process ids of the workers that are there and idle.
workers()
{
	sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'allpass worker' AND state = 'idle'"
}

# Say whether there are so many workers.
has_workers()
{
	[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'allpass worker'")" = "$1" ]
}

# Say whether there are so many, and idle.
has_idle_workers()
{
	[ "$(workers | wc -l)" = "$1" ] && has_workers "$1"
}

# Have so many workers.
set_workers()
{
	sql "ALTER SYSTEM SET allpass.workers = $1" "SELECT pg_reload_conf()" >/dev/null
	poll 20 has_workers "$1" || die "there are not $1 workers"
}

# Empty the queue, and have its worker, or so many, idle.
begin_empty()
{
	sql "TRUNCATE allpass_queue"
	set_workers "${1:-1}"
	poll 20 has_idle_workers "${1:-1}" || die "the workers do not become idle"
}

# Print the seconds of processor time that processes have used.
cpu_seconds()
{
	for pid; do
		cat "/proc/$pid/schedstat"
	done | awk '{ sum += $1 } END { printf "%.6f", sum / 1e9 }'
}

# Print the times that the process $1 has waited, and so woken.
switches()
{
	sed -n 's/^voluntary_ctxt_switches:[[:blank:]]*//p' "/proc/$1/status"
}

# Print the value of an expression.
reckon()
{
	awk "BEGIN { printf \"%.3f\", $1 }"
}

# Add a figure under a label.
note()
{
	printf '%s %s\n' "$1" "$2" >>"$WORK/figures"
}

# Print the median of a label.
median()
{
	quantile "$WORK/figures" "$1" 0.5
}

# Print the median of the rounds' ratios of two labels.
ratio()
{
	awk -v over="$1" -v under="$2" '
		{ value[$1, ++count[$1]] = $2 }
		END {
			for (i = 1; i <= count[over]; i++)
				print "ratio", value[over, i] / value[under, i]
		}' "$WORK/figures" >"$WORK/ratios"
	quantile "$WORK/ratios" ratio 0.5
}

# Say whether the figure $1 reaches the bar $2.
reaches()
{
	awk -v figure="$1" -v bar="$2" 'BEGIN { print (figure >= bar ? "reached" : "BELOW") }'
}

# --- throughput -------------------------------------------------------------

# Let libcurl POST what the worker would: the ending of the labels.
post_plainly()
{
	as_user "$WORK/multi" "$CONCURRENCY" "$WORK/calls" "x-private-app-key: $API_KEY" \
		'x-request-id: 7f3b6a52-1c1d-4f7e-9d57-0d2f6f1f6a10' 'accept: application/json' \
		'idempotency-key: 7f3b6a52-1c1d-8f7e-9d57-0d2f6f1f6a10' 'expect:' 'content-type:' \
		>"$WORK/multi.out" 2>"$WORK/multi.log" || die_with_log "$WORK/multi.log" "libcurl failed"
	read -r seconds cpu _ <"$WORK/multi.out"
	note "multi_$1" "$(reckon "$JOBS / $seconds")"
	note "multi_cpu_$1" "$(reckon "$cpu / $JOBS * 1e6")"
}

# Let workers carry the same out: the ending of the labels, and how many.
# shellcheck disable=SC2086  # process ids are a list of words
carry_out()
{
	begin_empty "$2"
	pids=$(workers)
	cpu=$(cpu_seconds $pids)
	rate=$(sql "CALL fill($JOBS)" "CALL await($JOBS)" \
		"SELECT rate(0, $JOBS, (SELECT max(created_at) FROM allpass_queue))
			WHERE $JOBS = (SELECT count(*) FROM allpass_queue WHERE state = 'done')")
	[ -n "$rate" ] || die "not all jobs were done"
	note "worker_$1" "$rate"
	note "worker_cpu_$1" "$(reckon "($(cpu_seconds $pids) - $cpu) / $JOBS * 1e6")"
}

# Measure the jobs settled a second.
measure_throughput()
{
	awk -v url="$ALLPASS_SANDBOX_URL" -v jobs="$JOBS" 'BEGIN {
		for (i = 1; i <= jobs; i++)
			printf "POST %s/api/public/applicant/c-%d/schedule-deletion\n", url, i
	}' >"$WORK/calls"
	give "$WORK/calls"
	: >"$WORK/figures"
	heading "Jobs settled a second, $JOBS with $CONCURRENCY at once (medians of $ROUNDS rounds)"
	printf '  %-34s %8s %8s %6s %5s %10s %8s\n' '' libcurl allpass ratio bar 'us of cpu' "libcurl's"
	for case in 0:1 0:2 20:1; do
		delay=${case%:*} count=${case#*:}
		control POST config "{\"delay_ms\":$delay}"
		round=0
		while [ "$round" -lt "$ROUNDS" ]; do
			round=$((round + 1))
			post_plainly "$case"
			carry_out "$case" "$count"
		done
		printf '  %-34s %8.0f %8.0f %6.2f' "delay of $delay ms, $count of allpass.workers" "$(median "multi_$case")" \
			"$(median "worker_$case")" "$(ratio "worker_$case" "multi_$case")"
		if [ "$delay" = 0 ]; then
			bar=10000 measured=$(median "worker_$case")
		else
			bar=0.9 measured=$(ratio "worker_$case" "multi_$case")
		fi
		printf ' %5s %10.1f %8.1f  %s\n' "$bar" "$(median "worker_cpu_$case")" \
			"$(median "multi_cpu_$case")" "$(reaches "$measured" "$bar")"
	done
	control POST config '{"delay_ms":0}'
}

# --- latency ----------------------------------------------------------------

# Commit jobs, and print how long they took to arrive: name, label, number,
# the gap in milliseconds, and the first applicant.
measure_arrivals()
{
	as_user "$WORK/commits" "$3" "$4" "$5" >"$WORK/commits.out" 2>"$WORK/commits.log" ||
		die_with_log "$WORK/commits.log" "could not commit jobs"
	give "$WORK/commits.out"
	sql "CALL await($3, 0.1)"
	control GET log >"$WORK/log"
	give "$WORK/log"
	run_sql "$TREE/test/bench/arrivals.sql" "$WORK/figures" -v label="$2" \
		-v commits="$WORK/commits.out" -v log="$WORK/log"
	[ "$(grep -c "^$2 " "$WORK/figures")" = "$3" ] || die "not all jobs have arrived"
	late=$(quantile "$WORK/figures" "$2" 0.99)
	printf '  %-34s %8.2f %8.2f %8.2f   2 / 20  %s / %s\n' "$1" "$(median "$2")" "$late" \
		"$(quantile "$WORK/figures" "$2" 1)" "$(verdict "$(median "$2")" 2)" "$(verdict "$late" 20)"
}

# Measure from commit to arrival.
measure_latency()
{
	begin_empty
	control POST config '{"log":true}'
	heading "From commit to arrival, in milliseconds"
	printf '  %-34s %8s %8s %8s %8s\n' '' median p99 worst bars
	measure_arrivals "idle, 200 with gaps of 100 ms" idle 200 100 1001
	measure_arrivals "500 at 50 a second" steady 500 20 2001
	control POST faults '{"applicant":"c-3000","delay_ms":10000}'
	sql "INSERT INTO allpass_queue (operation, applicant_id) VALUES ('schedule_deletion', 'c-3000')"
	measure_arrivals "90 with an answer 10 s away" slow 90 100 3001
	control DELETE faults
	control POST config '{"log":false}'
}

# --- enqueuing --------------------------------------------------------------

# Print a line of costs: name, label, the plain one's, and the bar, or "-".
print_cost()
{
	measured=$(ratio "$2" "$3")
	printf '  %-44s %8.2f %6.2f %5s' "$1" "$(median "$2")" "$measured" "$4"
	if [ "$4" = - ]; then
		echo
	else
		printf '  %s\n' "$(verdict "$measured" "$4")"
	fi
}

# Put jobs in, in every way, with other jobs waiting if $3 says so: number of
# rows, prefix of ids.
put_in()
{
	run_sql "$TREE/test/bench/enqueue.sql" "$WORK/round" -v rows="$1" -v prefix="$2" \
		-v file="$WORK/customers.copy" ${3:+-v waiting=1}
	cat "$WORK/round" >>"$WORK/figures"
}

# Measure what it costs to put a job in.
measure_enqueue()
{
	set_workers 0
	: >"$WORK/figures"
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		put_in "$ROWS" "e-"
	done
	sql "CALL fill($MANY)"
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		put_in "$ROWS" "w-$round-" waiting
	done
	sql "TRUNCATE allpass_queue, customers_plain, customers_statement"
	heading "What putting in costs, in microseconds a row of $ROWS (medians of $ROUNDS rounds)"
	printf '  %-44s %8s %6s %5s\n' '' cost ratio bar
	print_cost "INSERT INTO customers" plain plain -
	print_cost "the same, statement trigger" statement plain 3
	print_cost "the same, statement trigger, $MANY waiting" waiting_statement waiting_plain 3
	print_cost "the same, row trigger" row plain -
	print_cost "COPY customers" copy_plain copy_plain -
	print_cost "the same, statement trigger" copy_statement copy_plain -
	print_cost "the same, row trigger" copy_row copy_plain -
	print_cost "INSERT INTO allpass_queue ... SELECT" queue plain -
	print_cost "SELECT allpass_enqueue(...) FROM customers" function plain -
}

# --- depth ------------------------------------------------------------------

# Add so many jobs to the queue, and have those before the place $2 carried out.
drain()
{
	set_workers 0
	began=$(sql "CALL fill($1)" "CHECKPOINT" "SELECT clock_timestamp()")
	set_workers 1
	sql "CALL await($2, 0.1)"
}

# Note the rate of the latest drain under a label: of few jobs but for the first
# and the last of them, which come after so many others.
note_rate()
{
	note "$1" "$(sql "SELECT rate($2 + $FEW / 10, $2 + $FEW * 9 / 10, '$began')")"
}

# Drain few jobs, some times over, and as many out of many, in the same round.
drain_in_turns()
{
	window=0
	while [ "$window" -lt "$WINDOWS" ]; do
		sql "TRUNCATE allpass_queue"
		drain "$FEW" "$FEW"
		note_rate few 0
		window=$((window + 1))
	done
	sql "TRUNCATE allpass_queue"
	drain "$MANY" "$((FEW * WINDOWS))"
	while [ "$window" -gt 0 ]; do
		window=$((window - 1))
		note_rate many "$((FEW * window))"
	done
}

# Print a line of rates: name, label, and the bar, or "-".
print_rate()
{
	measured=$(ratio "$2" few)
	printf '  %-50s %8.0f %6.2f %5s' "$1" "$(median "$2")" "$measured" "$3"
	if [ "$3" = - ]; then
		echo
	else
		printf '  %s\n' "$(reaches "$measured" "$3")"
	fi
}

# Print the sizes of the table and of its indexes, in bytes.
sizes()
{
	sql "SELECT pg_table_size('allpass_queue') || ' ' || pg_indexes_size('allpass_queue')"
}

# Hold a snapshot while a function runs.
under_snapshot()
{
	(exec_as_user psql -X -q -c "SET application_name = 'bench snapshot'" \
		-c "BEGIN ISOLATION LEVEL REPEATABLE READ" -c "SELECT 1" -c "SELECT pg_sleep(3600)" \
		>/dev/null 2>&1) &
	holder=$!
	sandboxes="$sandboxes $holder"
	"$@"
	sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bench snapshot'" \
		>/dev/null
	wait "$holder" || :
}

# Measure the speed with many jobs, and what they leave behind.
measure_depth()
{
	: >"$WORK/figures"
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		drain_in_turns
	done
	set_workers 0
	sql "TRUNCATE allpass_queue" "CALL fill($MANY)"
	waiting=$(sizes)
	set_workers 1
	sql "CALL await($MANY, 0.5)"
	drained=$(sizes)
	drain "$FEW" "$((MANY + FEW))"
	note_rate finished 0
	sql "VACUUM allpass_queue"
	vacuumed=$(sizes)
	sql "TRUNCATE allpass_queue"
	under_snapshot drain "$((FEW * 10))" "$((FEW * 10))"
	note_rate snapshot "$((FEW * 9))"
	heading "Jobs settled a second, $FEW of them (medians of $WINDOWS in each of $ROUNDS rounds)"
	printf '  %-50s %8s %6s %5s\n' '' rate ratio bar
	print_rate "$FEW waiting" few -
	print_rate "$MANY waiting" many 0.9
	print_rate "$FEW waiting, $MANY finished (once)" finished -
	print_rate "the last of $((FEW * 10)), under an old snapshot (once)" snapshot -
	heading "The size of $MANY jobs, in bytes a job"
	printf '  %-50s %8s %8s\n' '' table indexes
	while read -r name table indexes; do
		printf '  %-50s %8.0f %8.0f\n' "$name" "$(reckon "$table / $MANY")" "$(reckon "$indexes / $MANY")"
	done <<-END
		waiting $waiting
		done $drained
		vacuumed $vacuumed
	END
}

# --- idling -----------------------------------------------------------------

# Say whether no session is left in the database, so that all have told the
# statistics of what they did.
has_no_session()
{
	sessions="SELECT count(*) FROM pg_stat_activity
		WHERE datname = '$PGDATABASE' AND backend_type = 'client backend'"
	[ "$(PGDATABASE=template1 sql "$sessions")" = 0 ]
}

# Measure what an idle worker does in some time.
measure_idle()
{
	begin_empty
	pid=$(workers)
	# it looks at everything once a minute, and that once is part of it
	commits="SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = '$PGDATABASE'"
	poll 20 has_no_session || die "sessions stay in the database"
	transactions=$(PGDATABASE=template1 sql "$commits")
	cpu=$(cpu_seconds "$pid")
	wakes=$(switches "$pid")
	sleep "$IDLE_S"
	cpu=$(reckon "($(cpu_seconds "$pid") - $cpu) * 1e3")
	wakes=$(($(switches "$pid") - wakes))
	transactions=$(($(PGDATABASE=template1 sql "$commits") - transactions))
	heading "An idle worker in $IDLE_S seconds"
	printf '  %-34s %8d\n' "transactions in its database" "$transactions" "times that it woke" "$wakes"
	printf '  %-34s %8.1f\n' "milliseconds of processor time" "$cpu"
}

# --- all of it --------------------------------------------------------------

begin "$top"
begin_running "shared_preload_libraries = 'allpass'" "fsync = on" "allpass.workers = 0" \
	"max_wal_size = '8GB'" "autovacuum_naptime = '1min'"
# shellcheck disable=SC2046  # lists of flags
compile multi $(pkg-config --cflags --libs libcurl)
compile commits "-I$("$PG_CONFIG" --includedir)" "-L$("$PG_CONFIG" --libdir)" -lpq
control POST config '{"log":false}'
control POST seed "{\"count\":$MANY,\"prefix\":\"c-\",\"status\":\"APPROVED\"}"
run_sql "$TREE/test/bench/queue.sql" /dev/null -v url="$ALLPASS_SANDBOX_URL" \
	-v api_key="$API_KEY" -v concurrency="$CONCURRENCY"
print_machine
for part in $PARTS; do
	"measure_$part"
done
