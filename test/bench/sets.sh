#!/bin/sh
#
# sets.sh
#		Measure what many calls at once cost, beside libcurl's multi interface
#		at the same concurrency in the same run.
#
#	sh test/bench/sets.sh [ROUNDS]
#
# Statuses by the set form, each in a session of its own, so with connections
# yet to be made, as the yardstick has them to make.  What is compared is measured
# in turns, ROUNDS times (default 5), and the medians are shown; the ratio is
# the median of the rounds' ratios.  By HTTP/2, nginx stands before the sandbox.
# The bars are those that the extension promises to keep.
#
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"
# shellcheck source=test/bench/lib.sh
. "$top/test/bench/lib.sh"

ROUNDS=${1:-5}
CONCURRENCY=64
CANCELS=100

check_rounds "sets.sh"

# --- getting ready ----------------------------------------------------------

# Make the servers and the functions that measure.
prepare_database()
{
	run_sql "$TREE/test/bench/prepare.sql" /dev/null \
		-v url="$ALLPASS_SANDBOX_URL" -v tls_url="https://127.0.0.1:$1" \
		-v ca_file="$ALLPASS_SANDBOX_CA" -v api_key="$API_KEY" \
		-v crypto_key="$CRYPTO_KEY" -v hmac_key="$HMAC_KEY"
	as_user psql -X -q -c "ALTER SERVER allpass OPTIONS (ADD max_concurrency '$CONCURRENCY')" \
		-c "ALTER SERVER tls OPTIONS (ADD max_concurrency '$CONCURRENCY')"
}

# Start nginx, which speaks HTTP/2, before the sandbox.  Its port is in
# $WORK/nginx.port then.
start_nginx()
{
	make_certificates
	PATH=$PATH:/usr/sbin
	port=$(($(cat "$WORK/sandbox.port") + 1))
	http2_listen=' http2' http2_on=''
	if nginx -v 2>&1 | grep -qE '/1\.(2[5-9]|[3-9][0-9])'; then
		http2_listen='' http2_on='http2 on;'
	fi
	cat >"$WORK/nginx.conf" <<-EOF
		daemon off;
		master_process off;
		pid $WORK/nginx.pid;
		error_log $WORK/nginx.error.log;
		events { worker_connections 1000; }
		http {
			access_log off;
			client_body_temp_path $WORK/nginx.body;
			proxy_temp_path $WORK/nginx.proxy;
			fastcgi_temp_path $WORK/nginx.fastcgi;
			uwsgi_temp_path $WORK/nginx.uwsgi;
			scgi_temp_path $WORK/nginx.scgi;
			upstream sandbox { server ${ALLPASS_SANDBOX_URL#http://}; keepalive 64; }
			server {
				listen 127.0.0.1:$port ssl$http2_listen;
				$http2_on
				ssl_certificate $WORK/tls/server.crt;
				ssl_certificate_key $WORK/tls/server.key;
				keepalive_requests 1000000;
				location / {
					proxy_pass http://sandbox;
					proxy_http_version 1.1;
					proxy_set_header Connection "";
				}
			}
		}
	EOF
	give "$WORK/nginx.conf"
	(exec_as_user nginx -e "$WORK/nginx.error.log" -p "$WORK" -c "$WORK/nginx.conf" \
		>"$WORK/nginx.log" 2>&1) &
	sandboxes="$sandboxes $!"
	ALLPASS_SANDBOX_CA=$WORK/tls/ca.crt
	export ALLPASS_SANDBOX_CA
	poll 10 curl -q -s -o /dev/null --noproxy '*' --cacert "$ALLPASS_SANDBOX_CA" \
		"https://127.0.0.1:$port/" || die_with_log "$WORK/nginx.log" "could not start nginx"
	echo "$port" >"$WORK/nginx.port"
}

# --- measuring --------------------------------------------------------------

# Measure the yardstick: base URL, number of calls, number under way at once,
# label.
run_multi()
{
	seq "$2" | sed "s|.*|GET $1/api/public/applicant/c-&/status|" >"$WORK/calls"
	give "$WORK/calls"
	# with the headers that ours sends as well
	as_user "$WORK/multi" "$3" "$WORK/calls" "x-private-app-key: $API_KEY" \
		'x-request-id: 7f3b6a52-1c1d-4f7e-9d57-0d2f6f1f6a10' 'accept: application/json' \
		>"$WORK/line" || die "libcurl's calls failed"
	sed "s/^\(.*\) .*/$4 \1 -/" "$WORK/line" >>"$WORK/figures"
}

# Measure a query: server, number of calls, query, label, and perhaps whether
# calls may be made ahead.
run_query()
{
	PGOPTIONS="-c allpass.server=$1 -c allpass.prefetch=${5:-on}" run_sql "$TREE/test/bench/sets.sql" "$WORK/line" \
		-v label="$4" -v calls="$2" -v query="$3"
	cat "$WORK/line" >>"$WORK/figures"
}

# Print the median of field $2 of the label $1.
field()
{
	awk -v label="$1" -v field="$2" '$1 == label { print label, $field }' \
		"$WORK/figures" >"$WORK/field"
	quantile "$WORK/field" "$1" 0.5
}

# Print the median of the rounds' ratios of field $2: the label $1 to multi.
ratio_of()
{
	awk -v label="$1" -v field="$2" '
		$1 == label { over[++i] = $field }
		$1 == "multi" { under[++j] = $field }
		END {
			for (k = 1; k <= i; k++)
				if (under[k] > 0) print "ratio", over[k] / under[k]
		}' "$WORK/figures" >"$WORK/field"
	quantile "$WORK/field" ratio 0.5
}

# Print a line of figures: name, label, number of calls, and the bars of the
# ratios of time and of processor time, or "-".
print_line()
{
	time_ratio=$(ratio_of "$2" 2) cpu_ratio=$(ratio_of "$2" 3)
	printf '  %-34s %8.3f %6.2f %5s %8.1f %6.2f %5s %7s' "$1" "$(field "$2" 2)" \
		"$time_ratio" "$4" "$(field "$2" 3 | awk -v calls="$3" '{ print $1 * 1e6 / calls }')" \
		"$cpu_ratio" "$5" "$(field "$2" 4)"
	verdicts=''
	[ "$4" = - ] || verdicts=" $(verdict "$time_ratio" "$4")"
	[ "$5" = - ] || verdicts="$verdicts $(verdict "$cpu_ratio" "$5")"
	printf '%s\n' "$verdicts"
}

# Measure a number of calls at a delay in milliseconds: name of the protocol,
# base URL, server, calls, delay, and the bars: of time and of processor time for
# the set form, of time for the plain form.
measure()
{
	: >"$WORK/figures"
	control POST config "{\"delay_ms\":$5}"
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		run_multi "$2" "$4" "$CONCURRENCY" multi
		run_query "$3" "$4" 'SELECT count(status) FROM allpass_statuses(ARRAY(SELECT id FROM ids))' set
		run_query "$3" "$4" 'SELECT count(status) FROM (SELECT id, allpass_status(id) AS status FROM ids OFFSET 0) s' plain
	done
	print_line "$1, $4 at $5 ms: libcurl" multi "$4" - -
	print_line "set form" set "$4" "$6" "$7"
	print_line "plain form" plain "$4" "$8" -
}

# Print what one after another costs, once: it takes its time.
measure_sequence()
{
	: >"$WORK/figures"
	control POST config '{"delay_ms":20}'
	run_multi "$ALLPASS_SANDBOX_URL" 1000 1 multi
	run_query allpass 1000 'SELECT count(allpass_status(id)) FROM ids' sequence off
	print_line "one after another: libcurl" multi 1000 - -
	print_line "one after another: allpass_status" sequence 1000 - -
	control POST config '{"delay_ms":0}'
}

# Measure how long a cancel takes with all calls in flight.
measure_cancels()
{
	control POST faults '{"delay_ms":10000}'
	as_user "$WORK/cancel" "$CANCELS" \
		"SELECT count(*) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 1000) AS i))" \
		>"$WORK/figures" 2>"$WORK/cancel.log" ||
		die_with_log "$WORK/cancel.log" "could not measure cancels"
	control DELETE faults
	late=$(quantile "$WORK/figures" backend 0.99)
	heading "From cancel to error, in milliseconds, with $CONCURRENCY calls in flight ($CANCELS)"
	printf '  %-34s %8s %8s %8s %5s\n' '' median p99 worst bar
	printf '  %-34s %8.2f %8.2f %8.2f %5d  %s\n' "by pg_cancel_backend()" \
		"$(quantile "$WORK/figures" backend 0.5)" "$late" \
		"$(quantile "$WORK/figures" backend 1)" 50 "$(verdict "$late" 50)"
}

# --- all of it --------------------------------------------------------------

begin "$top" nginx-light
# shellcheck disable=SC2119  # it takes settings, not our arguments
begin_running
start_nginx
# shellcheck disable=SC2046  # lists of flags
compile multi $(pkg-config --cflags --libs libcurl)
compile cancel "-I$("$PG_CONFIG" --includedir)" "-L$("$PG_CONFIG" --libdir)" -lpq
control POST config '{"log":false}'
control POST seed '{"count":10000,"prefix":"c-","status":"APPROVED"}'
prepare_database "$(cat "$WORK/nginx.port")"
print_machine
heading "Statuses, $CONCURRENCY calls at once: seconds, microseconds of processor time a call, kB of memory (medians of $ROUNDS)"
printf '  %-34s %8s %6s %5s %8s %6s %5s %7s\n' '' seconds ratio bar cpu/call ratio bar growth
for calls in 1000 10000; do
	measure HTTP/1.1 "$ALLPASS_SANDBOX_URL" allpass "$calls" 0 - 2 -
	measure HTTP/1.1 "$ALLPASS_SANDBOX_URL" allpass "$calls" 5 - - -
	measure HTTP/1.1 "$ALLPASS_SANDBOX_URL" allpass "$calls" 20 1.15 - 1.3
	measure HTTP/1.1 "$ALLPASS_SANDBOX_URL" allpass "$calls" 100 1.15 - 1.3
	measure HTTP/2 "https://127.0.0.1:$(cat "$WORK/nginx.port")" tls "$calls" 0 - 2 -
	measure HTTP/2 "https://127.0.0.1:$(cat "$WORK/nginx.port")" tls "$calls" 20 1.15 - 1.3
done
measure_sequence
measure_cancels
