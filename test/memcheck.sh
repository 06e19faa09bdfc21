#!/bin/sh
#
# memcheck.sh
#		Run the operations and the hostile answers under valgrind.
#
#	sh test/memcheck.sh
#
# A throwaway server runs under valgrind, with the module from where it was
# built; nothing is installed.  Fails on an invalid access, a use of what was
# never written, or memory lost, where the extension's code, or libcurl,
# json-c or OpenSSL, has a part in it.  What the server does by itself, such as
# writing its own padding to its own files, is counted but not judged, so
# there is no list of suppressions to keep.
#
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"

# Make the command that runs the server under valgrind; pg_ctl wants a program.
make_command()
{
	mkdir "$WORK/valgrind"
	cat >"$WORK/postgres" <<-EOF
		#!/bin/sh
		exec valgrind --tool=memcheck --trace-children=yes --leak-check=full \\
			--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite \\
			--num-callers=40 --fullpath-after= --log-file='$WORK/valgrind/%p' \\
			'$PGBIN/postgres' "\$@"
	EOF
	chmod 755 "$WORK/postgres"
	give "$WORK/postgres" "$WORK/valgrind"
}

# Make and start the cluster, with as few processes as can be.
start_watched_cluster()
{
	as_user initdb -D "$WORK/data" -U postgres --auth=trust --no-sync \
		--encoding=UTF8 --locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 ||
		die_with_log "$WORK/initdb.log" "could not make a cluster"
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$WORK'" \
		"fsync = off" "autovacuum = off" "jit = off" "max_logical_replication_workers = 0" \
		"max_parallel_workers = 0" "shared_buffers = '8MB'" "timezone = 'UTC'" \
		>>"$WORK/data/postgresql.conf"
	cluster=$WORK/data
	as_user pg_ctl -D "$cluster" -p "$WORK/postgres" -l "$WORK/server.log" -w start \
		>"$WORK/pg_ctl.log" 2>&1 ||
		die_with_log "$WORK/pg_ctl.log" "could not start the cluster"
	PGHOST=$WORK PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	export PGHOST PGPORT PGUSER PGDATABASE
}

# Run psql, quietly, for a file of SQL and with the options given.
run_sql()
{
	file=$1
	shift
	as_user psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" -f "$file" >"$WORK/sql.log" 2>&1 ||
		die_with_log "$WORK/sql.log" "an operation had another outcome than expected"
}

# Define the functions, from the module where it was built.
define_functions()
{
	print_scripts "$TREE" >"$WORK/install.sql"
	run_sql "$WORK/install.sql"
}

# Call the control path of the sandbox.
control()
{
	sh "$CONTROL" "$@"
}

# Run all operations in one session.
run_operations()
{
	control POST config "{\"crypto_key\":\"$CRYPTO_KEY\",\"hmac_key\":\"$HMAC_KEY\"}"
	run_sql "$TREE/test/memcheck/operations.sql" -v url="$ALLPASS_SANDBOX_URL" \
		-v tls_url="$ALLPASS_SANDBOX_TLS_URL" -v ca_file="$TLS_CA" \
		-v crypto_key="$CRYPTO_KEY" -v hmac_key="$HMAC_KEY" -v key_file="$KEY_FILE"
	grep -q '^finished' "$WORK/sql.log" ||
		die_with_log "$WORK/sql.log" "the operations did not finish"
}

# Say whether a call is under way.
call_waits()
{
	control GET stats | grep -q '"in_flight": *1[,}]'
}

# End a session by pg_$1_backend() while its call waits for an answer.
interrupt()
{
	as_user psql -X -q -c "SELECT allpass_applicant('plain/1')" >"$WORK/interrupt.log" 2>&1 &
	victim=$!
	poll 20 call_waits || die_with_log "$WORK/interrupt.log" "the call was not made"
	psql -X -q -A -t -c "SELECT pg_$1_backend(pid) FROM pg_stat_activity
		WHERE query ~ '^SELECT allpass_applicant' AND pid <> pg_backend_pid()" \
		>"$WORK/signal.log" 2>&1
	wait "$victim" || :
	grep -q "$2" "$WORK/interrupt.log" ||
		die_with_log "$WORK/interrupt.log" "the call was not interrupted"
}

# Interrupt calls from outside, in every way.
run_interrupts()
{
	control POST faults '{"operation":"applicant","delay_ms":60000}'
	interrupt cancel 'canceling statement due to user request'
	interrupt terminate 'terminating connection due to administrator command'
	control DELETE faults
}

# Say whether every process has reported to its end.
all_reported()
{
	! grep -L 'ERROR SUMMARY' "$WORK"/valgrind/* | grep -q .
}

# Stop the cluster, whose processes then report, and judge what they reported.
judge()
{
	stop_cluster
	poll 20 all_reported || :
	if grep -q 'terminated by signal' "$WORK/server.log"; then
		die_with_log "$WORK/server.log" "a process of the server crashed"
	fi
	awk -v tree="$TREE" -f "$TREE/test/memcheck/judge.awk" "$WORK"/valgrind/*
}

begin "$top" valgrind
say "building the extension for PostgreSQL $PG_MAJOR and the sandbox ..."
make_in "$TREE" CC=gcc COPT="-g -O1 -Wall -Wextra -Werror" >"$WORK/build.log" 2>&1 ||
	die_with_log "$WORK/build.log" "could not build the extension"
make_in "$TREE/test/sandbox" >"$WORK/build.log" 2>&1 ||
	die_with_log "$WORK/build.log" "could not build the sandbox"
start_sandbox
start_tls_sandbox
TLS_CA=$ALLPASS_SANDBOX_CA CONTROL=$TREE/test/sandbox/control KEY_FILE=$WORK/api.key
unset ALLPASS_SANDBOX_CA	# the control path of the plain sandbox has none
export CONTROL KEY_FILE
printf 'sandbox-key\n' >"$KEY_FILE"
chmod 600 "$KEY_FILE"
give "$KEY_FILE"
make_command
start_watched_cluster
define_functions
say "running the operations under valgrind ..."
run_operations
run_interrupts
judge
