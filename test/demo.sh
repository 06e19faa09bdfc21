#!/bin/sh
#
# demo.sh
#		Show what the extension does: SQL and its real results, step by step.
#
#	sh test/demo.sh
#
# Runs on a bare Debian as root, or as a user who may use sudo.  It installs the
# packages that are missing, builds everything in a temporary folder, starts a
# PostgreSQL cluster and a local stand-in for the Allpass API (the sandbox) in
# it, and takes everything but the packages back at the end.
#
# Reads from the environment what lib.sh reads.
#
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"

# Run the script $1 of psql; what follows are options.  It is read as standard
# input, so that messages come without the script's name and line.
play()
{
	script=$TREE/test/$1
	shift
	# shellcheck disable=SC2016  # expanded by the inner shell
	as_user sh -c 'script=$1; shift; exec psql -Xq "$@" <"$script" 2>&1' sh "$script" \
		-P footer=off -P 'null=(null)' "$@"
}

# Tell the sandbox something.
tell_sandbox()
{
	"$TREE/test/sandbox/control" POST "$@" || die "the sandbox does not listen"
}

# Play the same calls in encrypted mode: method, changes of the server, changes
# of the mapping, customer, whether to show the statement.
play_encrypted()
{
	tell_sandbox config "{\"encryption\":\"$1\"}"
	play demo-encrypted.sql -v settings="$2" -v keys="$3" -v customer="$4" -v echo="$5"
}

# Print an empty line and a heading.
heading()
{
	printf '\n'
	printf '== %s\n' "$@"
}

begin "$top"
begin_running "shared_preload_libraries = 'allpass'"
tell_sandbox seed '{"count":1,"prefix":"c-","status":"APPROVED"}'

printf 'PostgreSQL %s, talking to a local sandbox of the Allpass API.\n\n' \
	"$("$PG_CONFIG" --version | sed 's/PostgreSQL //')"
play demo.sql -v url="$ALLPASS_SANDBOX_URL"

printf '\n'
tell_sandbox faults '[{"operation":"create_applicant","applicant":"p-2","status":503,"times":1},
	{"operation":"create_applicant","applicant":"p-4","drop":"after","times":1},
	{"operation":"schedule_deletion","applicant":"p-3","status":429,"retry_after":"1","times":1}]'
play demo-queue.sql

printf '\n'
tell_sandbox seed '{"count":200,"prefix":"m-","status":"APPROVED"}'
tell_sandbox config '{"delay_ms":20}'
play demo-many.sql
tell_sandbox config '{"delay_ms":0}'

heading "24. The same, encrypted with aes-256-gcm in both directions.  Answers that" \
	"   are not signed are refused from here on."
play_encrypted aes-256-gcm \
	"ADD encryption 'aes-256-gcm', ADD encrypt_requests 'on',
	ADD require_signature 'on'" \
	"ADD crypto_key '$CRYPTO_KEY'" d-1 queries

heading "25. And with aes-256-cbc, which signs with a key of its own."
play_encrypted aes-256-cbc "SET encryption 'aes-256-cbc'" "ADD hmac_key '$HMAC_KEY'" d-2 none

heading "That is all.  README.md tells how to connect it with the real Allpass."
