# shellcheck shell=sh
#
# lib.sh
#		What the benchmarks share, beyond test/lib.sh: compiling, running SQL,
#		the sandbox's control path, and figures.
#
# Sourced after test/lib.sh.
#

# --- getting ready ----------------------------------------------------------

# Check that $ROUNDS is a number; $1 is the name of the command.
check_rounds()
{
	case $ROUNDS in
		'' | *[!0-9]* | 0)
			echo "usage: sh test/bench/$1 [ROUNDS]" >&2
			exit 2
			;;
	esac
}

# Compile a program of this folder into $WORK with the flags given.
compile()
{
	program=$1
	shift
	as_user gcc -O2 -Wall -Wextra -Werror -o "$WORK/$program" \
		"$TREE/test/bench/$program.c" "$@" >"$WORK/compile.log" 2>&1 ||
		die_with_log "$WORK/compile.log" "could not compile $program.c"
}

# Run a file of SQL, whose result goes to a file, with psql's options given.
run_sql()
{
	file=$1
	result=$2
	shift 2
	as_user psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" -f "$file" >"$result" 2>"$WORK/sql.log" ||
		die_with_log "$WORK/sql.log" "a statement failed"
}

# Call the control path of the plain sandbox.
control()
{
	(
		unset ALLPASS_SANDBOX_CA
		sh "$TREE/test/sandbox/control" "$@"
	)
}

# Say what everything runs on.
print_machine()
{
	printf 'PostgreSQL %s, %s, %d processors\n' "$PG_MAJOR" \
		"$(curl -q --version | sed -n '1s/.*\(libcurl[^ ]*\).*/\1/p')" "$(getconf _NPROCESSORS_ONLN)"
}

# --- figures ----------------------------------------------------------------

# Print the figure at share $3 (0.5 for the median) of the label $2 in file $1.
quantile()
{
	sed -n "s/^$2 //p" "$1" | sort -g | awk -v share="$3" '
		{ value[NR] = $1 }
		END {
			at = int(NR * share + 0.999999)
			print value[at < 1 ? 1 : at]
		}'
}

# Print a heading.
heading()
{
	printf '\n%s\n' "$1"
}

# Say whether the figure $1 keeps within the bar $2.
verdict()
{
	awk -v figure="$1" -v bar="$2" 'BEGIN { print figure <= bar ? "within" : "OVER" }'
}
