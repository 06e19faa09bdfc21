#!/bin/sh
#
# docs.sh
#		Check that README.md describes what there is, and nothing that is not.
#
#	sh test/lint/docs.sh [TREE]
#
# Functions with all their arguments, row types with all their columns, options,
# settings, kinds of codes and the files in their layers, as the sources have
# them; and the same version everywhere.
#
set -eu

cd "${1:-$(dirname "$0")/../..}"

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" allpass.control)

# Print the functions of the scripts as the reference writes them.
functions()
{
	sed -n 's/^CREATE FUNCTION \(allpass_.*)\) RETURNS .*/\1/p' sql/allpass--*.sql |
		sed 's/ DEFAULT / = /g'
}

# Print the row types of the scripts: the name, a bar, a column with its type.
columns()
{
	awk '
		/^CREATE TYPE / { type = $3; next }
		/^\t/ && type { gsub(/["\t,;]|\);$/, ""); print type "|" $0; next }
		{ type = "" }' sql/allpass--*.sql
}

# Print the options of servers and user mappings.
options()
{
	sed -n 's/^	{"\([a-z_]*\)", [A-Za-z]*RelationId, .*/\1/p' src/options.c
}

# Print the settings.
settings()
{
	sed -n 's/.*DefineCustom[A-Za-z]*Variable("\([a-z_.]*\)".*/\1/p' src/settings.c
}

# Print the kinds of codes.
kinds()
{
	for table in src/codes/*.tsv; do
		basename "$table" .tsv
	done
}

# Print the files of the layers.
files()
{
	awk '$1 == "layer" { for (i = 4; i <= NF; i++) print $i }' test/lint/layers
}

# Complain of each thing that the list $1 prints and README.md lacks: a
# function anywhere, a column in its type's row, a file in the picture of the
# layers, all else in a row's first cell.
check_list()
{
	count=0
	"$1" | {
		while IFS='|' read -r thing column; do
			count=$((count + 1))
			case $1 in
				functions) grep -F "\`$thing\`" README.md ;;
				columns) grep "^| \`$thing\` |" README.md | grep -F "\`$column\`" ;;
				files) sed -n '/^surface /,/^arguments /p' README.md | grep -w "$thing" ;;
				*) grep "^|[^|]*\`$thing\`" README.md ;;
			esac >/dev/null || echo "README.md lacks, of the $1: $thing $column"
		done
		# An empty list would lack nothing.
		[ "$count" -gt 0 ] || echo "no $1 found in the sources"
	}
}

# Complain of each name in README.md that is not in the scripts.
check_names()
{
	grep -oE '\ballpass_[a-z_]+' README.md | sort -u | while IFS= read -r name; do
		# the server of an example
		[ "$name" != allpass_test ] || continue
		grep -qE "^CREATE (FUNCTION|TYPE|VIEW) $name\b" sql/allpass--*.sql ||
			echo "README.md names $name, which does not exist"
	done
}

# Complain of files of another version.
check_version()
{
	for indent in '   ' '         '; do
		grep -q "^$indent\"version\": \"$version.0\"" META.json ||
			echo "META.json is not of version $version"
	done
	grep -q "^## $version " CHANGELOG.md || echo "CHANGELOG.md has nothing on version $version"
}

complaints=$(
	for list in functions columns options settings kinds files; do
		check_list "$list"
	done
	check_names
	check_version
)
[ -z "$complaints" ] || {
	printf '%s\n' "$complaints"
	exit 1
}
