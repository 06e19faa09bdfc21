#!/bin/sh
#
# check.sh
#		Run every test, on a machine that needs to have nothing but apt.
#
#	sh test/check.sh [STEP ...]
#
# Without arguments all steps run; else those whose names contain one of the
# arguments.  One line for each step, the output of those that fail, and the
# total at the end; ends with status 1 if anything failed.  A step that runs
# tests of its own counts as many as it ran, any other one counts as one.
#
# Reads from the environment, besides what lib.sh reads:
#	REGRESS			only these tests of test/sql, by their names
#	PROVE_TESTS		only these files of test/t, by their paths
#	ALLPASS_LOGS	a folder to keep the whole output of the steps in
#
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"

STEPS="build-gcc build-clang build-sandbox codes layers style docs lint-selftest
	exports cppcheck shellcheck sandbox regress isolation tap examples fuzz memory"

passed=0 failed=0 total=''

# --- the steps --------------------------------------------------------------

# The extension builds with gcc.
step_build_gcc()
{
	build_extension "$TREE" gcc
}

# The extension builds with clang.
step_build_clang()
{
	copy_to_workspace "$top" "$WORK/clang"
	build_extension "$WORK/clang" clang
}

# The sandbox builds.
step_build_sandbox()
{
	make_in "$TREE/test/sandbox"
}

# The table of codes is what its generator makes.
step_codes()
{
	make_in "$TREE" check-codes
}

# Includes, libraries and errors keep to the layers.
step_layers()
{
	as_user sh "$TREE/test/lint/layers.sh" "$TREE"
}

# The sources have the project's form.
step_style()
{
	as_user sh "$TREE/test/lint/style.sh" "$TREE"
}

# README.md describes what there is.
step_docs()
{
	as_user sh "$TREE/test/lint/docs.sh" "$TREE"
}

# The lints find what they are for.
step_lint_selftest()
{
	as_user sh "$TREE/test/lint/selftest.sh"
}

# The module exports what it must and nothing else.
step_exports()
{
	make_in "$TREE" CC=gcc || return 1
	as_user sh "$TREE/test/lint/exports.sh" "$TREE/allpass.so"
}

# cppcheck finds nothing.
step_cppcheck()
{
	for folder in src test/sandbox test/bench test/fuzz test/unit; do
		[ ! -d "$TREE/$folder" ] || printf '%s\n' "$folder"
	done >"$WORK/folders"
	as_user env -C "$TREE" cppcheck --quiet --enable=warning,performance,portability \
		--std=c99 --inline-suppr --error-exitcode=1 --file-list="$WORK/folders" \
		--include=test/lint/cppcheck.h --suppress=normalCheckLevelMaxBranches
}

# No script has a finding of shellcheck.
step_shellcheck()
{
	(cd "$TREE" && grep -rlE '^#!(/usr)?/bin/(env )?(ba|da)?sh|^# shellcheck shell=' \
		--exclude-dir=.git .) >"$WORK/scripts"
	as_user env -C "$TREE" xargs -a "$WORK/scripts" shellcheck -x
}

# The sandbox passes its own tests.
step_sandbox()
{
	make_in "$TREE/test/sandbox" check
}

# The tests in SQL.
step_regress()
{
	need_server || return 1
	set -- installcheck TAP_TESTS= ISOLATION=
	[ -z "${REGRESS:-}" ] || set -- "$@" "REGRESS=$REGRESS"
	regress_rc=0
	make_in "$TREE" -j 1 "$@" || regress_rc=1
	if [ -s "$TREE/regression.diffs" ]; then
		head -n 200 "$TREE/regression.diffs"
	fi
	server_is_sound "$WORK/server.log" || regress_rc=1
	return "$regress_rc"
}

# The tests of sessions side by side.
step_isolation()
{
	need_server || return 1
	isolation_rc=0
	make_in "$TREE" -j 1 installcheck TAP_TESTS= REGRESS= \
		PGOPTIONS="-c sandbox.url=$ALLPASS_SANDBOX_URL" || isolation_rc=1
	if [ -s "$TREE/regression.diffs" ]; then
		head -n 200 "$TREE/regression.diffs"
	fi
	server_is_sound "$WORK/server.log" || isolation_rc=1
	return "$isolation_rc"
}

# The tests that psql cannot express.
step_tap()
{
	need_server || return 1
	tests=$("$PG_CONFIG" --pgxs)
	tests=${tests%/src/*}/src/test
	as_user mkdir -p "$TREE/tmp_check"
	files=${PROVE_TESTS:-$(cd "$TREE" && echo test/t/*.pl)}
	tap_rc=0
	# Each test makes servers of its own, so the cluster's address is unset.
	# shellcheck disable=SC2086  # a list of words
	as_user env -C "$TREE" -u PGHOST -u PGUSER -u PGDATABASE PGPORT=65432 \
		PERL5LIB="$tests/perl:$TREE/test/perl" PG_REGRESS="$tests/regress/pg_regress" \
		TESTDIR="$TREE" TESTLOGDIR="$TREE/tmp_check/log" TESTDATADIR="$TREE/tmp_check" \
		prove --verbose $files || tap_rc=1
	for server_log in "$TREE"/tmp_check/log/*.log; do
		[ ! -e "$server_log" ] || server_is_sound "$server_log" || tap_rc=1
	done
	# what a failure was is said in each test's own log, and why a test died
	if [ "$tap_rc" != 0 ]; then
		awk '/ not ok / { left = 12 } left-- > 0' "$TREE"/tmp_check/log/regress_log_*
		grep -L ' 1\.\.[0-9]' "$TREE"/tmp_check/log/regress_log_* | xargs -r -n 1 tail -n 12
	fi
	return "$tap_rc"
}

# The examples of README.md work, each after the one before it.
step_examples()
{
	need_server || return 1
	printf 'sandbox-key\n' >"$WORK/api-key"
	chmod 600 "$WORK/api-key"
	give "$WORK/api-key"
	"$TREE/test/sandbox/control" POST reset || return 1
	{
		echo "CREATE EXTENSION allpass;"
		awk -v url="$ALLPASS_SANDBOX_URL" -v key_file="$WORK/api-key" \
			-f "$TREE/test/lint/examples.awk" "$TREE/README.md" "$TREE/README.md"
	} >"$WORK/examples.sql"
	give "$WORK/examples.sql"
	as_user createdb examples &&
		as_user psql -Xq -d examples -v ON_ERROR_STOP=1 -f "$WORK/examples.sql"
}

# A short, repeatable run of the fuzz targets.
step_fuzz()
{
	as_user env -C "$TREE" sh test/fuzz/run.sh
}

# No leak and no invalid access.
step_memory()
{
	need_server || return 1
	as_user env -C "$TREE" sh test/memcheck.sh
}

# --- what they share --------------------------------------------------------

# Say what in a server's log tells of a crash, of something that a transaction
# left behind or, where the server checks that, of memory that was overwritten.
server_is_sound()
{
	! grep -nE -e 'was terminated by signal ([0-8]|[1-9][0-9]):|PANIC:|TRAP:|AddressSanitizer' \
		-e 'WARNING: .*( leak: |resource was not closed|problem in (alloc set|Generation|Slab))' "$1"
}

# Have the extension and the sandbox built and everything started, once; the
# step that asks first has the output.
need_server()
{
	[ -z "${server_ready:-}" ] || return 0
	make_in "$TREE" CC=gcc >"$WORK/need.log" 2>&1 || {
		tail -n 20 "$WORK/need.log"
		echo "the extension does not build"
		return 1
	}
	make_in "$TREE/test/sandbox" >"$WORK/need.log" 2>&1 || {
		tail -n 20 "$WORK/need.log"
		echo "the sandbox does not build"
		return 1
	}
	install_extension "$TREE"
	start_cluster
	start_sandbox
	start_tls_sandbox
	server_ready=yes
}

# Count the tests in the output $1 of a step that ended with status $2: by a
# closing line "N passed, N failed", else by the lines of TAP or of pg_regress
# before version 16, else the step is one test.
count_results()
{
	awk -v rc="$2" '
		/^[0-9]+ passed, [0-9]+ failed/ { total = 1; p = $1; f = $3 }
		total { next }
		/^not ok .*# TODO/ || /^ok .*# SKIP/ || /^ok .*# skip/ { next }
		/^not ok / || /^(test|    ) +[^ ]+ +\.\.\. FAILED/ { f++ }
		/^ok / || /^(test|    ) +[^ ]+ +\.\.\. ok/ { p++ }
		END {
			if (rc != 0 && !f) f = 1
			if (rc == 0 && !p && !f) p = 1
			print p + 0, f + 0
		}' "$1"
}

# Print the total, once.  Called at any end, so that what could not even be
# set up is a failure too.
at_finish()
{
	[ -z "$total" ] || return 0
	[ "$1" = 0 ] || failed=$((failed + 1))
	if [ -n "${ALLPASS_LOGS:-}" ]; then
		for step_log in "$WORK"/step-*.log "$WORK/server.log" "$TREE/tmp_check/log"; do
			[ ! -e "$step_log" ] || cp -R "$step_log" "$ALLPASS_LOGS"
		done
	fi
	total="$passed passed, $failed failed"
	printf '\n%s\n' "$total"
}

# Print the time in tenths of a second.
tenths()
{
	echo $(($(date +%s%N) / 100000000))
}

# Run one step and print its line.  A step's variables are this shell's, so
# those that outlast it have names of their own.
run_step()
{
	step_name=$1
	step_log=$WORK/step-$step_name.log
	step_began=$(tenths)
	step_rc=0
	"step_$(echo "$step_name" | tr - _)" >"$step_log" 2>&1 || step_rc=$?
	took=$(($(tenths) - step_began))
	counts=$(count_results "$step_log" "$step_rc")
	p=${counts% *} f=${counts#* }
	passed=$((passed + p)) failed=$((failed + f))
	word=ok
	[ "$step_rc" = 0 ] && [ "$f" = 0 ] || word=FAIL
	detail=''
	[ "$((p + f))" = 1 ] || detail="  ($p passed, $f failed)"
	printf '%-4s %3d.%ds  %s%s\n' "$word" $((took / 10)) $((took % 10)) "$step_name" "$detail"
	[ "$word" = ok ] || show_failure "$step_log"
}

# Show what failed in the log $1: its failing lines, and its end.
show_failure()
{
	{
		grep -nE '^not ok |\.\.\. FAILED|: (error|warning):' "$1" | head -n 40
		echo "--- the last lines:"
		tail -n 60 "$1"
	} | cut -c 1-300 | sed 's/^/    /'
}

# Say whether the step $1 was asked for.
is_wanted()
{
	step=$1
	shift
	[ $# -gt 0 ] || return 0
	for pattern; do
		case $step in *"$pattern"*) return 0 ;; esac
	done
	return 1
}

wanted=''
for step in $STEPS; do
	if is_wanted "$step" "$@"; then wanted="$wanted $step"; fi
done
# shellcheck disable=SC2086  # a list of words
[ -n "$wanted" ] || die "no step matches; the steps are:" $STEPS

# shellcheck disable=SC2046  # a list of words
begin "$top" $(test_packages)
printf 'PostgreSQL %s, in %s\n' "$("$PG_CONFIG" --version | sed 's/PostgreSQL //')" "$WORK"
for step_name in $wanted; do
	run_step "$step_name"
done
at_finish 0
[ "$failed" = 0 ]
