#!/bin/sh
#
# layers.sh
#		Check that src/ keeps to the layers that the file "layers" lists.
#
#	sh test/lint/layers.sh [TREE]
#
# Prints each breach as FILE:LINE: TEXT, and ends with status 1 if there is one.
#
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}"

set -- src/*.[ch]
[ -e "$1" ] || {
	echo "src: no sources to check"
	exit 1
}
rules=test/lint/layers
awk -v rules_file="$rules" -f "$here/strip.awk" -f "$here/layers.awk" "$rules" "$@"
