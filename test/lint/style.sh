#!/bin/sh
#
# style.sh
#		Check the form of the sources: what no compiler reports.
#
#	sh test/lint/style.sh [TREE]
#
# C: no comments with //, functions of at most 80 lines, each with a comment
# before it and its brace on a line of its own, tabs, an errcode for every error.
# Other texts: no blanks at the end of a line, a newline at the end of the file.
# Prints each breach as FILE:LINE: TEXT, and ends with status 1 if there is one.
#
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}"

# Check the C files.
check_c()
{
	files=$(find src test -name '*.[ch]' | sort)
	[ -n "$files" ] || {
		echo "no C files to check"
		return 1
	}
	# shellcheck disable=SC2086  # a list of names without blanks
	awk -f "$here/strip.awk" -f "$here/style.awk" $files
}

# Print the names of the other texts; what a program wrote is not judged.
other_texts()
{
	find . -name .git -prune -o -type f \( -name '*.sh' -o -name '*.pl' -o \
		-name '*.pm' -o -name '*.sql' -o -name '*.md' -o -name '*.json' -o \
		-name '*.awk' -o -name '*.control' -o -name Makefile -o \
		-path './.ci/run' \) -print | sort
}

# Check the other texts.
check_others()
{
	breaches=$(other_texts | while read -r file; do
		grep -n '[[:blank:]]$' "$file" |
			sed "s|^\([0-9]*\):.*|$file:\1: blanks at the end of the line|"
		[ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at the end"
	done)
	[ -z "$breaches" ] || {
		printf '%s\n' "$breaches"
		return 1
	}
}

status=0
check_c || status=1
check_others || status=1
exit "$status"
