#!/bin/sh
#
# run.sh
#		Fuzz what takes bytes from outside: answers, documents, options, requests.
#
#	sh test/fuzz/run.sh [RUNS | SECONDSs | FILE ...]
#
# Without arguments a short run that is the same every time; else that many
# runs, or a run for so long, such as 600s; or the inputs in the files, once.
#
# libFuzzer runs inside a single-user server, in a module that is built of the
# extension's sources and the targets here, with AddressSanitizer.  Nothing is
# installed and nothing goes to a network.  A finding is an invalid access, an
# error raised where there should be a status or a null, or a broken promise
# that the targets check; the input that led to it is printed.
#
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"

RUNS=200000
SECONDS_LIMIT=0
SEED=1
MAX_LENGTH=4096

usage()
{
	sed -n 's/^#	\(sh test.*\)/usage: \1/p' "$0" >&2
	exit 2
}

# Take the command line apart.
read_arguments()
{
	inputs=''
	[ $# -gt 0 ] || return 0
	case $1 in
		'' | -*) usage ;;
		*[!0-9s]* | *s?*) ;;
		*s)
			RUNS=-1 SECONDS_LIMIT=${1%s} SEED=0
			return
			;;
		*)
			RUNS=$1
			return
			;;
	esac
	for input; do
		[ -f "$input" ] || usage
		inputs="$inputs $(realpath "$input")"
	done
	RUNS=1
}

# Print the path of a file of the compiler's own library, whose names differ
# between its versions: name and ending.
runtime()
{
	for file in "$1-$(uname -m)$2" "$1$2"; do
		path=$(clang -print-file-name="$file")
		if [ -f "$path" ]; then
			echo "$path"
			return
		fi
	done
	die "clang has no $1$2; is libclang-rt-dev installed?"
}

# Build the module, and what must be loaded before it.
build()
{
	sanitizer=$(runtime libclang_rt.asan .so)
	fuzzer=$(runtime libclang_rt.fuzzer_no_main .a)
	objects=$(cd "$TREE" && printf '%s ' src/*.c test/fuzz/*.c | sed 's/\.c /.o /g')
	# -Bsymbolic: the sanitizer has functions of the fuzzer's names that do
	# nothing, and would win
	make_in "$TREE" CC=clang OBJS="$objects" \
		COPT="-O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer-no-link,address -shared-libasan" \
		SHLIB_LINK="-Wl,-Bsymbolic $fuzzer -lstdc++ -lm $(pkg-config --libs libcurl json-c libcrypto)" \
		>"$WORK/build.log" 2>&1 ||
		die_with_log "$WORK/build.log" "could not build the fuzz targets"
	as_user clang -shared -fPIC -Wall -Wextra -Werror -Wl,-z,initfirst -o "$WORK/start.so" \
		"$TREE/test/fuzz/preload/start.c" >"$WORK/build.log" 2>&1 ||
		die_with_log "$WORK/build.log" "could not build the library to preload"
}

# Run SQL, with an empty line after each command, in a single-user server with
# the sanitizer.
run_single()
{
	# shellcheck disable=SC2016  # expanded by the inner shell
	as_user env LD_PRELOAD="$sanitizer $WORK/start.so" \
		ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:quarantine_size_mb=64 \
		sh -c 'exec "$0" --single -j -D "$1" postgres <"$2"' \
		"$PGBIN/postgres" "$WORK/data" "$1" >"$2" 2>&1
}

# Make a database with the functions, from the module where it was built.
make_database()
{
	as_user initdb -D "$WORK/data" -U postgres --auth=trust --no-sync \
		--encoding=UTF8 --locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 ||
		die_with_log "$WORK/initdb.log" "could not make a cluster"
	{
		print_scripts "$TREE"
		printf '\n%s\n\n' "CREATE FUNCTION allpass_fuzz(arguments text[]) RETURNS integer
			AS '$TREE/allpass' LANGUAGE C;"
	} >"$WORK/install.sql"
	if ! run_single "$WORK/install.sql" "$WORK/install.log" ||
		grep -q 'ERROR:' "$WORK/install.log"; then
		die_with_log "$WORK/install.log" "could not define the functions"
	fi
}

# Run the fuzzer.
fuzz()
{
	cp -r "$TREE/test/fuzz/corpus" "$WORK/corpus"
	give "$WORK/corpus"
	set -- "-seed=$SEED" "-runs=$RUNS" "-max_total_time=$SECONDS_LIMIT" \
		"-max_len=$MAX_LENGTH" -rss_limit_mb=0 -timeout=10 \
		"-dict=$TREE/test/fuzz/dictionary" "-artifact_prefix=$WORK/finding-"
	if [ -n "$inputs" ]; then
		for input in $inputs; do
			cp "$input" "$WORK/input-${input##*/}"
			set -- "$@" "$WORK/input-${input##*/}"
		done
		give "$WORK"/input-*
	else
		set -- "$@" "$WORK/corpus"
	fi
	list=$(printf ',"%s"' "$@")
	printf "SELECT allpass_fuzz('{%s}');\n\n" "${list#,}" >"$WORK/fuzz.sql"
	run_single "$WORK/fuzz.sql" "$WORK/fuzz.log"
}

# Print what was found, and how to see it again.
report()
{
	grep -a -E -A 25 'FINDING|ERROR: (AddressSanitizer|libFuzzer)|^==[0-9]*==' "$WORK/fuzz.log" |
		head -n 60 || tail -n 40 "$WORK/fuzz.log"
	for finding in "$WORK"/finding-*; do
		[ -f "$finding" ] || continue
		printf '\n%s\n' "the input; \"base64 -d >FILE\" makes a file of it, and \"sh test/fuzz/run.sh FILE\" runs it:"
		base64 "$finding"
	done
}

read_arguments "$@"
begin "$top" clang libclang-rt-dev
say "building the fuzz targets for PostgreSQL $PG_MAJOR ..."
build
make_database
say "fuzzing ..."
if fuzz && ! ls "$WORK"/finding-* >/dev/null 2>&1 &&
	grep -a -q -E '^Done [0-9]+ runs|^Executed ' "$WORK/fuzz.log"; then
	grep -a -E '^#[0-9]+.DONE|^Executed ' "$WORK/fuzz.log" | sed 's/ exec.*//'
	echo "no findings"
else
	report
	exit 1
fi
