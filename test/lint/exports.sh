#!/bin/sh
#
# exports.sh
#		Check that a module exports the names of its SQL functions and of the
#		server's module interface, and nothing else: the server loads modules
#		with their symbols global.
#
#	sh test/lint/exports.sh MODULE
#
set -eu

[ -f "${1:?a module is needed}" ] || {
	echo "$1: not there"
	exit 1
}
names=$(nm -D --defined-only "$1" | awk '{ print $NF }')
[ -n "$names" ] || {
	echo "$1: exports nothing"
	exit 1
}
foreign=$(printf '%s\n' "$names" |
	grep -vxE '(pg_finfo_)?allpass_[a-z0-9_]+|Pg_magic_func|_PG_init' || :)
[ -z "$foreign" ] || {
	printf '%s\n' "$foreign" | sed "s|^|$1: exports |"
	exit 1
}
