#!/bin/sh
# bench.sh: measure a sandbox of its own, with and without log and encryption.

set -eu
cd "$(dirname "$0")"

seconds=${1:-3}
work=$(mktemp -d)
./sandbox --port-file "$work/port" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$work"' EXIT
until [ -s "$work/port" ]; do kill -0 $server; done
port=$(cat "$work/port")
ALLPASS_SANDBOX_URL=http://127.0.0.1:$port
export ALLPASS_SANDBOX_URL

measure() {
	printf '%-44s' "$1"
	./load "$port" 64 "$seconds" "$2"
}

./control POST seed '{"count":1000}'
measure 'status, log on' /api/public/applicant/c-7/status
./control POST config '{"log":false}'
measure 'status' /api/public/applicant/c-7/status
measure 'applicant (7 kB)' /api/public/applicant/c-7
./control POST config '{"encryption":"aes-256-cbc"}'
measure 'status, aes-256-cbc' /api/public/applicant/c-7/status
measure 'applicant, aes-256-cbc' /api/public/applicant/c-7
./control POST config '{"encryption":"aes-256-gcm"}'
measure 'status, aes-256-gcm' /api/public/applicant/c-7/status
measure 'applicant, aes-256-gcm' /api/public/applicant/c-7
./control POST config '{"encryption":"none","delay_ms":20}'
printf '%-44s' 'status, 20 ms delay, 2000 connections'
./load "$port" 2000 "$seconds" /api/public/applicant/c-7/status
