#!/bin/sh
#
# run.sh
#		Measure what a call costs, beside plain libcurl in the same run.
#
#	sh test/bench/run.sh [ROUNDS]
#
# Everything runs on this machine, against the sandbox, in a throwaway cluster.
# What is compared is measured in turns, ROUNDS times (default 15).  A ratio is
# taken in each round, and the median of these is shown, with their quartiles:
# a machine that does other things beside is no steady yardstick.  Ratios travel
# between machines; microseconds do not.
# The bars are those that the extension promises to keep.
#
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"
# shellcheck source=test/bench/lib.sh
. "$top/test/bench/lib.sh"

ROUNDS=${1:-15}
CALLS=1000				# of a kind in a round
MEMORY_CALLS=20000
CANCELS=200				# by each way
GAP=60					# of a pause between calls of libcurl, in microseconds

check_rounds run.sh

# --- getting ready ----------------------------------------------------------

# Call the control path of the sandbox for TLS.
control_tls()
{
	ALLPASS_SANDBOX_URL=$ALLPASS_SANDBOX_TLS_URL sh "$TREE/test/sandbox/control" "$@"
}

# Make servers for all kinds of call, and the functions that measure.
prepare_database()
{
	run_sql "$TREE/test/bench/prepare.sql" /dev/null \
		-v url="$ALLPASS_SANDBOX_URL" -v tls_url="$ALLPASS_SANDBOX_TLS_URL" \
		-v ca_file="$ALLPASS_SANDBOX_CA" -v api_key="$API_KEY" \
		-v crypto_key="$CRYPTO_KEY" -v hmac_key="$HMAC_KEY"
}

# Write the data of an answer to the path $1 to the file $2, as it was sent.
save_data()
{
	curl -q -sS --noproxy '*' -H "x-private-app-key: $API_KEY" -H 'x-request-id: 1' \
		"$ALLPASS_SANDBOX_URL$1" |
		sed 's/^{[^{]*"data"://; s/,"time":[^,]*$//' >"$2"
	give "$2"
}

# --- figures ----------------------------------------------------------------

# Print the median and the quartiles of the rounds' ratios in file $1: the label
# $2 to the sum of the other labels.
ratios()
{
	awk -v over="$2" -v under="$3 ${4:-}" '
		{ value[$1, ++count[$1]] = $2 }
		END {
			parts = split(under, label, " ")
			for (i = 1; i <= count[over]; i++) {
				sum = 0
				for (j = 1; j <= parts; j++)
					sum += value[label[j], i]
				print "ratio", value[over, i] / sum
			}
		}' "$1" >"$1.ratios"
	for share in 0.5 0.25 0.75; do
		quantile "$1.ratios" ratio "$share"
	done | xargs printf '%.2f (%.2f - %.2f)'
}

# --- a call -----------------------------------------------------------------

# Write the SQL that measures a kind of call in turns with its yardsticks: URL,
# path, server, function, file of the text, and perhaps the gap of pauses.
write_rounds()
{
	cat <<-EOF
		SET allpass.max_calls_per_statement = 0;
		SET jit = off;
		SET allpass.server = '$3';
		CREATE TEMP TABLE texts AS
			SELECT pg_read_file('$5') AS document FROM generate_series(1, $CALLS);
		SELECT count($4('c-7')) FROM generate_series(1, 200) \\g /dev/null
	EOF
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		for gap in 0 $6; do
			# with the headers that ours sends as well
			cat <<-EOF
				\\! printf 'libcurl_$gap ' && $WORK/plain '$1$2' $CALLS $gap 'x-private-app-key: $API_KEY' 'x-request-id: 7f3b6a52-1c1d-4f7e-9d57-0d2f6f1f6a10' 'accept: application/json'
			EOF
		done
		cat <<-EOF
			SELECT measure('parse', $CALLS, 'SELECT count(document::jsonb) FROM texts LIMIT %s');
			SELECT measure('ours', $CALLS, 'SELECT count($4(''c-7'')) FROM generate_series(1, %s)');
		EOF
	done
}

# Measure a kind of call and print its line: name, bar, and the arguments of
# write_rounds().
measure_call()
{
	name=$1
	bar=$2
	shift 2
	write_rounds "$@" "${gap_shown:-}" >"$WORK/rounds.sql"
	run_sql "$WORK/rounds.sql" "$WORK/figures"
	ratio=$(ratios "$WORK/figures" ours libcurl_0 parse)
	printf '  %-32s %8.1f %8.1f %8.1f  %-18s' "$name" "$(quantile "$WORK/figures" libcurl_0 0.5)" \
		"$(quantile "$WORK/figures" parse 0.5)" "$(quantile "$WORK/figures" ours 0.5)" "$ratio"
	if [ -n "$bar" ]; then
		printf '  %s  %s\n' "$bar" "$(verdict "${ratio%% *}" "$bar")"
	else
		printf '     -\n'
	fi
}

# Measure what a call costs in every way it can be made.
measure_calls()
{
	document=/api/public/applicant/c-7
	save_data "$document" "$WORK/applicant.json"
	save_data "$document/status" "$WORK/status.json"
	heading "A call at no delay, in microseconds (a document of $(wc -c <"$WORK/applicant.json") bytes; medians of $ROUNDS rounds of $CALLS)"
	printf '  %-32s %8s %8s %8s  %-18s %5s\n' '' libcurl ::jsonb ours 'ratio (quartiles)' bar
	gap_shown=$GAP
	measure_call "allpass_applicant" 1.25 "$ALLPASS_SANDBOX_URL" "$document" allpass \
		allpass_applicant "$WORK/applicant.json"
	gap_shown=''
	paused=$(quantile "$WORK/figures" "libcurl_$GAP" 0.5)
	measure_call "allpass_status" '' "$ALLPASS_SANDBOX_URL" "$document/status" allpass \
		allpass_status "$WORK/status.json"
	measure_call "allpass_applicant, TLS" '' "$ALLPASS_SANDBOX_TLS_URL" "$document" tls \
		allpass_applicant "$WORK/applicant.json"
	for method in cbc gcm; do
		control POST config "{\"encryption\":\"aes-256-$method\"}"
		measure_call "allpass_applicant, aes-256-$method" '' "$ALLPASS_SANDBOX_URL" "$document" \
			"$method" allpass_applicant "$WORK/applicant.json"
	done
	control POST config '{"encryption":"none"}'
	printf '%s\n' "  ratio: ours / (libcurl + ::jsonb of the text as it was sent); libcurl does not decrypt" \
		"  libcurl with pauses of $GAP us between its calls, as long as parsing takes: $paused us"
}

# --- connections ------------------------------------------------------------

# Print the number of connections that the sandbox has accepted.
connections()
{
	control GET stats | sed -n 's/.*"connections": *\([0-9]*\).*/\1/p'
}

# Count the connections of 1,000 calls in as many statements of one session.
measure_connections()
{
	before=$(connections)
	awk 'BEGIN {
		for (i = 1; i <= 500; i++)
			printf "SELECT allpass_status(\047c-%d\047);\nSELECT allpass_applicant(\047c-%d\047);\n", i, i
	}' >"$WORK/connections.sql"
	run_sql "$WORK/connections.sql" /dev/null
	opened=$(($(connections) - before))
	heading "Connections"
	printf '  %-52s %9s %7s\n' '' connections bar
	printf '  %-52s %11d %7d  %s\n' "1,000 calls in 1,000 statements of a session" \
		"$opened" 1 "$(verdict "$opened" 1)"
}

# --- memory -----------------------------------------------------------------

# Print what the figure $1 of the backend's memory grew by, in kilobytes.
growth()
{
	sed -n "s/^$1 //p" "$WORK/figures" | awk 'NR == 1 { first = $1 } END { print $1 - first }'
}

# Measure what the backend's memory grows by over many calls.
measure_memory()
{
	control POST faults '[{"applicant":"c-garbage","body":"<html>garbage"},
		{"applicant":"c-dropped","drop":"before"}, {"applicant":"c-cut","cut":100}]'
	run_sql "$TREE/test/bench/memory.sql" "$WORK/figures" -v calls="$MEMORY_CALLS"
	control DELETE faults
	heading "Memory of the backend over $MEMORY_CALLS calls, half of them failing"
	printf '  %-52s %8s kB %7s\n' '' growth bar
	printf '  %-52s %11d %7d  %s\n' "its own (RssAnon)" "$(growth own)" 1024 \
		"$(verdict "$(growth own)" 1024)"
	printf '  %-52s %11d %7s\n' "all (VmRSS, with shared buffers it has touched)" "$(growth all)" -
}

# --- rows -------------------------------------------------------------------

# Measure what rows cost for each document.
measure_rows()
{
	run_sql "$TREE/test/bench/rows.sql" "$WORK/figures" \
		-v document="$WORK/applicant.json" -v calls="$CALLS" -v rounds="$ROUNDS"
	heading "Rows of a stored document, in microseconds a document (medians of $ROUNDS rounds of $CALLS)"
	printf '  %-41s %8s %8s  %s\n' '' 'in SQL' ours 'ratio (quartiles)'
	for view in services fields; do
		name=allpass_services
		[ "$view" = services ] || name=allpass_document_fields
		printf '  %-41s %8.1f %8.1f  %s\n' "$name" \
			"$(quantile "$WORK/figures" "${view}_in_sql" 0.5)" \
			"$(quantile "$WORK/figures" "$view" 0.5)" \
			"$(ratios "$WORK/figures" "$view" "${view}_in_sql")"
	done
	printf '%s\n' "  in SQL: the same columns and casts with jsonb_array_elements()"
}

# --- cancels ----------------------------------------------------------------

# Print a line of cancels: name, label, and whether the bars hold for it.
print_cancels()
{
	median=$(quantile "$WORK/figures" "$2" 0.5)
	late=$(quantile "$WORK/figures" "$2" 0.99)
	bars='       -'
	if [ "$3" = bars ]; then
		bars="  2 / 50  $(verdict "$median" 2) / $(verdict "$late" 50)"
	fi
	printf '  %-52s %7.2f %7.2f %7.2f%s\n' "$1" "$median" "$late" \
		"$(quantile "$WORK/figures" "$2" 1)" "$bars"
}

# Run the cancels of a query, whose figures get the label's ending $1.
run_cancels()
{
	as_user "$WORK/cancel" "$CANCELS" "$2" >"$WORK/cancels" 2>"$WORK/cancel.log" ||
		die_with_log "$WORK/cancel.log" "could not measure cancels"
	sed "s/ /_$1 /" "$WORK/cancels" >>"$WORK/figures"
}

# Measure how long a cancel takes while an answer is awaited.
measure_cancels()
{
	control POST faults '{"applicant":"c-slow","delay_ms":10000}'
	: >"$WORK/figures"
	run_cancels ours "SELECT allpass_applicant('c-slow')"
	run_cancels sleep "SELECT pg_sleep(10)"
	control DELETE faults
	heading "From cancel to error, in milliseconds, with an answer 10 s away ($CANCELS of each)"
	printf '  %-52s %7s %7s %7s %7s\n' '' median p99 worst bars
	print_cancels "allpass_applicant, by pg_cancel_backend()" backend_ours bars
	print_cancels "pg_sleep, by pg_cancel_backend()" backend_sleep ''
	print_cancels "allpass_applicant, by PQcancel(), which connects" request_ours ''
	print_cancels "pg_sleep, by PQcancel()" request_sleep ''
}

# --- all of it --------------------------------------------------------------

begin "$top"
# shellcheck disable=SC2119  # it takes settings, not our arguments
begin_running
start_tls_sandbox
# shellcheck disable=SC2046  # lists of flags
compile plain $(pkg-config --cflags --libs libcurl)
compile cancel "-I$("$PG_CONFIG" --includedir)" "-L$("$PG_CONFIG" --libdir)" -lpq
control POST config "{\"log\":false,\"crypto_key\":\"$CRYPTO_KEY\",\"hmac_key\":\"$HMAC_KEY\"}"
control POST seed '{"count":1000,"prefix":"c-","status":"APPROVED"}'
control_tls POST config '{"log":false}'
control_tls POST seed '{"count":1000,"prefix":"c-","status":"APPROVED"}'
prepare_database
print_machine
measure_calls
measure_connections
measure_memory
measure_rows
measure_cancels
