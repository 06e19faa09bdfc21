#!/bin/sh
#
# selftest.sh
#		Show that each lint finds what it is for: a sound little tree passes,
#		and the same tree with one breach of one rule does not.
#
#	sh test/lint/selftest.sh
#
# Prints "ok" or "not ok" for each case, and ends with status 1 if one is not.
#
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
blank=' '
number=0
status=0

# Make a sound tree: a layer of two files on a base, and a module of it.
make_tree()
{
	rm -rf "$tree"
	mkdir -p "$tree/src" "$tree/test/lint"
	cat >"$tree/test/lint/layers" <<-'END'
		layer	0	base	compat
		layer	0.5	base	status
		layer	1	middle	http json
		layer	2	top	allpass
		only	curl/	http
		word	PG_VERSION_NUM	compat
		quiet	1
		throws	status
	END
	printf '%s\n' '#if PG_VERSION_NUM < 150000' '#endif' >"$tree/src/compat.h"
	cat >"$tree/src/status.c" <<-'END'
		#include "compat.h"

		/* Throw; not a comment with two slashes: "http://". */
		void
		ap_status_throw(void)
		{
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not // \"%s\"", "'")));
		}
	END
	cat >"$tree/src/http.c" <<-'END'
		#include <curl/curl.h>

		#include "compat.h"

		static const struct
		{
			int			a;
		}			table[] = {
			{1},
		};

		/*
		 * Do nothing.
		 */
		static int
		nothing(int a,
				int b)
		{
			/* ereport(ERROR) would be a breach, were it not a comment */
			return a + b + '"' + table[0].a;
		}
	END
	printf '%s\n' '#include "compat.h"' >"$tree/src/json.c"
	cat >"$tree/src/allpass.c" <<-'END'
		#include "http.h"
		#include "json.h"

		/* The function of SQL. */
		PG_FUNCTION_INFO_V1(allpass_a);
		Datum
		allpass_a(PG_FUNCTION_ARGS)
		{
			elog(ERROR, "cannot happen");
		}
	END
}

# Report the case $1, which did as expected if $2 is 0; show the output if not.
report()
{
	number=$((number + 1))
	if [ "$2" = 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		sed 's/^/# /' "$work/output"
		status=1
	fi
}

# Expect that the lint $1 passes the tree.
passes()
{
	rc=0
	sh "$here/$1.sh" "$tree" >"$work/output" 2>&1 || rc=1
	report "$1 passes a sound tree" "$rc"
}

# Expect that the lint $1 fails with the text $2 after the lines of standard
# input were put at the end of the file $3.
finds()
{
	make_tree
	mkdir -p "$tree/$(dirname "$3")"
	cat >>"$tree/$3"
	rc=1
	if ! sh "$here/$1.sh" "$tree" >"$work/output" 2>&1 &&
		grep -qF "$2" "$work/output"; then
		rc=0
	fi
	report "$1 finds: $2" "$rc"
}

make_tree
passes layers
passes style

finds layers 'includes allpass (level 2), which is above it' src/http.c <<END
#include "allpass.h"
END
finds layers 'http and json are both on level' src/http.c <<END
#include "json.h"
END
finds layers '<curl/multi.h> is not for json' src/json.c <<END
#include <curl/multi.h>
END
finds layers 'PG_VERSION_NUM stands outside its file' src/json.c <<END
#if PG_VERSION_NUM >= 170000
END
finds layers 'json is on a level that does not throw' src/json.c <<END
	elog(ERROR, "oh");
END
finds layers 'http is on a level that does not throw' src/http.c <<END
	ereport(
			ERROR, (errcode(1)));
END
finds layers 'queue is in no layer' src/queue.c <<END
int			i;
END
finds layers 'worker is listed, but not there' test/lint/layers <<END
layer	3	top	worker
END

finds style 'a comment with //' src/json.c <<END
int			i;					// one
END
finds style 'blanks at the end of the line' src/json.c <<END
int			i;$blank
END
finds style 'indented by blanks' src/json.c <<END
/* Do. */
void
f(void)
{
    return;
}
END
finds style 'a function without a comment before it' src/json.c <<END
/* Do. */

void
f(void)
{
}
END
finds style 'is not at the start of a line' src/json.c <<END
/* Do. */
void f(void) {
}
END
finds style 'at most 80 are allowed' src/json.c <<END
/* Do. */
void
f(void)
{
$(awk 'BEGIN { for (i = 0; i < 80; i++) print "\ti++;" }')
}
END
finds style 'an error without an errcode' src/allpass.c <<END
/* Do. */
void
f(void)
{
	ereport(ERROR,
			(errmsg("oh")));
}
END
finds style 'blanks at the end of the line' sql/a.sql <<END
SELECT 1;$blank
END
printf 'text' >"$work/text"
finds style 'no newline at the end' README.md <"$work/text"

# Make a module that has the functions given, and expect that the lint's
# answer is $2, with the text $3.
exports()
{
	name=$1 expected=$2 text=$3
	shift 3
	for function; do
		echo "void $function(void); void $function(void) { }"
	done >"$work/module.c"
	gcc -shared -fPIC -o "$work/module.so" "$work/module.c"
	rc=0
	sh "$here/exports.sh" "$work/module.so" >"$work/output" 2>&1 || rc=1
	if [ "$rc" = "$expected" ] && { [ -z "$text" ] || grep -qF "$text" "$work/output"; }; then
		report "$name" 0
	else
		report "$name" 1
	fi
}

exports "exports passes a sound module" 0 '' \
	allpass_a pg_finfo_allpass_a Pg_magic_func _PG_init
exports "exports finds: a foreign name" 1 'exports urlencode' allpass_a urlencode
exports "exports finds: a module's own function" 1 'exports ap_http_open' ap_http_open

exit "$status"
