#!/bin/bash
# check.sh: the self test of the sandbox.
#
# Starts servers of its own on free ports, one plain and one with TLS.
#	SANDBOX_WRAPPER		command before the server, such as valgrind's
#	SANDBOX_ROUNDS		rounds of garbage (200)
#	SANDBOX_TESTS		some of the tests by name, instead of all

set -u
cd "$(dirname "$0")" || exit 1

work=$(mktemp -d)
pids='' pid='' plain='' plain_pid='' small='' small_pid='' secure='' secure_pid=''
failed=0
count=0
trap 'for pid in $pids; do kill "$pid" 2>/dev/null; done; wait; rm -rf "$work"' EXIT

# Compare what came with what should have come
is() { # NAME EXPECTED ACTUAL
	count=$((count + 1))
	[ "$2" = "$3" ] && return
	failed=$((failed + 1))
	printf 'not ok: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
}

# Look for a pattern of the shell in what came
like() { # NAME PATTERN ACTUAL
	count=$((count + 1))
	# shellcheck disable=SC2254
	case $3 in $2) return ;; esac
	failed=$((failed + 1))
	printf 'not ok: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "${3:0:600}"
}

# Start a server; the variables named by the arguments become URL and process
start() { # URL-VARIABLE SCHEME [OPTION...]
	local variable=$1 scheme=$2 file=$work/port.$1
	shift 2
	${SANDBOX_WRAPPER-} ./sandbox --port-file "$file" "$@" &
	printf -v "${variable}_pid" %s $!
	pids="$pids $!"
	until [ -s "$file" ]; do
		kill -0 $! 2>/dev/null || { echo "the server did not start"; exit 1; }
	done
	printf -v "$variable" %s "$scheme://127.0.0.1:$(cat "$file")"
}

api=/api/public
json='Content-Type: application/json'
bare() { curl -q -s --path-as-is --cacert "$work/cert.pem" "$@"; }
call() { bare -H 'x-private-app-key: sandbox-key' -H 'x-request-id: check' "$@"; }
code() { call -o "$work/body" -D "$work/head" -w '%{http_code}' "$@"; }
full() { printf '%s %s' "$(code "$@")" "$(cat "$work/body")"; }
outcome() { call -o "$work/body" -D "$work/head" "$@"; echo $?; }
header() { sed -n "s/\r\$//; s/^$1: //Ip" "$work/head"; }
status() { code "$plain$api/applicant/$1/status"; }
field() { grep -o "\"$1\":\"\{0,1\}[^\",}]*" | head -1 | sed 's/^[^:]*:"\{0,1\}//'; }
control() { ./control "$@"; }
fault() { control POST faults "$1"; }
stat() { control GET stats | field "$1"; }
now_ms() { date +%s%3N; }

until_stat() { # NAME VALUE
	local deadline=$(($(now_ms) + 10000))
	while [ "$(stat "$1")" != "$2" ] && [ "$(now_ms)" -lt $deadline ]; do :; done
	is "$1 becomes $2" "$2" "$(stat "$1")"
}

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
start plain http
start secure https --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
export ALLPASS_SANDBOX_URL=$plain

test_endpoints() {
	control POST reset
	is seed '{"count":12}' "$(control -v POST seed '{"count":12,"prefix":"c-","status":"APPROVED"}')"
	like status '200 {"status":true,"statusCode":200,"data":{"id":"????????-????-4???-????-????????????","status":"APPROVED"},"time":"20??-??-??T??:??:??.???Z"}' \
		"$(full "$plain$api/applicant/c-12/status")"
	is 'unknown applicant' 404 "$(status c-13)"
	like 'unknown applicant' '{"status":false,"statusCode":404,"message":"Applicant not found","error":"Not Found","time":*}' "$(cat "$work/body")"
	like create '201 {"status":true,"statusCode":200,"data":{"id":*"externalUserId":"u-1","status":"INIT",*"phone":"+15550100","email":null,*' \
		"$(full -H "$json" -d '{"externalUserId":"u-1","flowName":"basic","phone":"+15550100","suppliedInfo":{"a":1}}' "$plain$api/applicant")"
	id=$(field id <"$work/body")
	like 'read by id' "200 *\"externalUserId\":\"u-1\"*" "$(full "$plain$api/applicant/$(call "$plain$api/applicant/u-1/status" | field id)")"
	like 'create again' '409 {"status":false,"statusCode":409,*' "$(full -H "$json" -d '{"externalUserId":"u-1","flowName":"basic"}' "$plain$api/applicant")"
	like move '201 *"status":"INIT"}*' "$(full -H "$json" -d '{"flowId":"2"}' "$plain$api/applicant/c-1/moveToFlow")"
	like moved '*"flowId":2,*"flow":{"name":"basic","id":2,*' "$(call "$plain$api/applicant/c-1")"
	like schedule '201 *"scheduledDeletionDate":"20*Z"}*' "$(full -X POST "$plain$api/applicant/c-2/schedule-deletion")"
	is '20 days' "$(date -u -d '+20 days' +%Y-%m-%d)" "$(field scheduledDeletionDate <"$work/body" | cut -c1-10)"
	like scheduled '*"scheduledDeletionDate":"20*' "$(call "$plain$api/applicant/c-2")"
	like restore '201 *"data":{"id":"*"},*' "$(full -H "$json" -d '{}' "$plain$api/applicant/c-2/restore")"
	like restored '*"scheduledDeletionDate":null*' "$(call "$plain$api/applicant/c-2")"
	control POST config '{"mode":"test"}'
	is 'delete in test mode' 201 "$(code -X POST "$plain$api/applicant/c-2/schedule-deletion")"
	is 'gone at once' 404 "$(status c-2)"
	is 'not restorable' 404 "$(code -X POST "$plain$api/applicant/c-2/restore")"
	like token '201 *"accessToken":"eyJ*.*.*","link":"https://verification.example.com/eyJ*"ttl":60}*' "$(full -H "$json" -d '{"ttl":60,"locale":"en-US"}' "$plain$api/applicant/c-1/token")"
	like 'token without body' '201 *"ttl":3600}*' "$(full -X POST "$plain$api/applicant/c-1/token")"
	is 'the longest ttl' 201 "$(code -H "$json" -d '{"ttl":3153600000}' "$plain$api/applicant/c-1/token")"
	like questionnaire '200 *"id":"kyc-basic"*' "$(full "$plain$api/questionnaire/kyc-basic")"
	is 'unknown questionnaire' 404 "$(code "$plain$api/questionnaire/other")"
	like 'search address' '201 *"type":"WALLET"}*' "$(full -H "$json" -d '{"blockchain":"BTC","address":"bc1q"}' "$plain$api/crypto-aml/search")"
	id=$(field id <"$work/body")
	like details '200 *"sof":\[*"amount":0.1000000000000000055511151231257827021181583404541015625,*' "$(full "$plain$api/crypto-aml/$id/details?type=WALLET")"
	is 'details of the other type' 404 "$(code "$plain$api/crypto-aml/$id/details?type=TRANSACTION")"
	like 'search hash' '201 *"type":"TRANSACTION"}*' "$(full -H "$json" -d "{\"blockchain\":\"ETH\",\"txHash\":\"0x$(printf '%064d' 1)\"}" "$plain$api/crypto-aml/search")"
	control POST reset
}

test_ids() {
	local id
	for id in 'a/b|a%2Fb' 'a?b|a%3Fb' 'a%b|a%25b' 'ü|%C3%BC' '..|%2E%2E' 'a b+c|a%20b+c' 'a\nb|a%0Ab' 'x\u0000y|x%00y'; do
		is "create ${id%|*}" 201 "$(code -H "$json" -d "{\"externalUserId\":\"${id%|*}\",\"flowName\":\"basic\"}" "$plain$api/applicant")"
		is "read ${id#*|}" 200 "$(status "${id#*|}")"
	done
	is 'a slash as it is' 404 "$(status a/b)"
	is 'broken escape' 400 "$(status a%2)"
	is 'counted by id' 2 "$(control GET stats | grep -o '"a/b":{[^}]*}' | grep -o ':1' | wc -l)"
	like 'raw target in the log' '*"target":"/api/public/applicant/a%2Fb/status","applicant":"a/b"*' "$(control GET log)"
	control POST reset
}

test_validation() {
	local body long
	control POST seed '{"count":1}'
	like 'no key' '{"statusCode":401,"message":"Unauthorized","error":"Unauthorized"}' "$(bare -H 'x-request-id: 1' "$plain$api/applicant/c-1")"
	like 'wrong key' '{"statusCode":401,*' "$(bare -H 'x-request-id: 1' -H 'x-private-app-key: no' "$plain$api/applicant/c-1")"
	like 'no request id' '{"statusCode":400,"message":\["x-request-id must be given"\],"error":"Bad Request"}' "$(bare -H 'x-private-app-key: sandbox-key' "$plain$api/applicant/c-1")"
	like 'empty request id' '{"statusCode":400,*' "$(bare -H 'x-private-app-key: sandbox-key' -H 'x-request-id;' "$plain$api/applicant/c-1")"
	like 'wrong path' '404 {"statusCode":404,"message":"Cannot GET /api/public/nothing","error":"Not Found"}' "$(full "$plain$api/nothing")"
	is 'wrong method' 405 "$(code -X DELETE "$plain$api/applicant/c-1")"
	is 'HEAD' 405 "$(code -I "$plain$api/applicant/c-1")"
	is 'query on a call without' 400 "$(code "$plain$api/applicant/c-1?x=1")"
	is 'body on GET' 400 "$(code -X GET -H "$json" -d '{}' "$plain$api/applicant/c-1")"
	for long in 'details' 'details?type=' 'details?type=wallet' 'details?type=WALLET&type=WALLET' 'details?type=WALLET&x=1' 'details?type=%zz'; do
		is "$long" 400 "$(code "$plain$api/crypto-aml/x/$long")"
	done
	is 'type is right' 404 "$(code "$plain$api/crypto-aml/x/details?type=WALLET")"
	is 'content type' 400 "$(code -d '{"externalUserId":"x","flowName":"f"}' "$plain$api/applicant")"
	is 'content type with charset' 201 "$(code -H "$json; charset=utf-8" -d '{"externalUserId":"x","flowName":"f"}' "$plain$api/applicant")"
	while read -r body; do
		is "create $body" 400 "$(code -H "$json" -d "$body" "$plain$api/applicant")"
	done <<-'END'
		{
		[]
		null
		{"externalUserId":"y"}
		{"flowName":"f"}
		{"externalUserId":"","flowName":"f"}
		{"externalUserId":1,"flowName":"f"}
		{"externalUserId":"y","flowName":"f","phone":null}
		{"externalUserId":"y","flowName":"f","suppliedInfo":[]}
		{"externalUserId":"y","flowName":"f","other":1}
		{"externalUserId":"y","flowName":"f","suppliedInfo":{"a":NaN}}
		{"externalUserId":"y","flowName":"f","data":"00"}
	END
	while read -r body; do
		is "token $body" 400 "$(code -H "$json" -d "$body" "$plain$api/applicant/c-1/token")"
	done <<-'END'
		{"ttl":0}
		{"ttl":3153600001}
		{"ttl":"1"}
		{"locale":"e"}
		{"locale":"en-"}
		{"locale":"en US"}
		{"flowName":""}
	END
	while read -r body; do
		is "search $body" 400 "$(code -H "$json" -d "$body" "$plain$api/crypto-aml/search")"
	done <<-'END'
		{"blockchain":"BTC"}
		{"address":"a"}
		{"blockchain":"btc","address":"a"}
		{"blockchain":"BTC","txHash":"12"}
		{"blockchain":"BTC","address":"a","txHash":"0000000000000000000000000000000000000000000000000000000000000000"}
	END
	is 'body where none belongs' 400 "$(code -H "$json" -d '{"a":1}' "$plain$api/applicant/c-1/restore")"
	is 'no flow' 400 "$(code -X POST "$plain$api/applicant/c-1/moveToFlow")"
	is 'flow is a number' 400 "$(code -H "$json" -d '{"flowId":2}' "$plain$api/applicant/c-1/moveToFlow")"
	is 'rejections are counted' 43 "$(stat rejected)"
	control POST reset
}

test_encryption() {
	local wire signature
	control POST seed '{"count":1}'
	control POST config '{"encryption":"aes-256-cbc"}'
	call -D "$work/head" "$plain$api/applicant/c-1/status" >"$work/body"
	wire=$(field data <"$work/body")
	is 'hmac of an answer' "$(header x-allpass-signature)" \
		"$(printf %s "$wire" | openssl dgst -sha256 -mac HMAC -macopt hexkey:202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f | sed 's/.* //')"
	like 'plaintext of an answer' '{"id":"*","status":"APPROVED"}' \
		"$(printf %s "${wire:32}" | perl -pe 's/(..)/chr hex $1/ge' | openssl enc -d -aes-256-cbc -iv "${wire:0:32}" -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f)"
	wire=a0a1a2a3a4a5a6a7a8a9aaabacadaeaf6b3081bff7f0fa51f630bab4bb634949ab085f08cbe0a82da28f64307b60a1a66125cdebeec0770150b123ecbfcc1b13
	signature=25c8e191e2bc430a73126304b6e4c49f5b9c57cafc9e21e473628b3d5f0622f2
	is 'sealed request' 201 "$(code -H "$json" -H "x-allpass-signature: $signature" -d "{\"data\":\"$wire\"}" "$plain$api/applicant")"
	is 'what it created' 200 "$(status u-1)"
	like 'wrong signature' '400 *x-allpass-signature does not agree*' "$(full -H "$json" -H "x-allpass-signature: ${signature//0/1}" -d "{\"data\":\"$wire\"}" "$plain$api/applicant")"
	is 'no signature' 400 "$(code -H "$json" -d "{\"data\":\"$wire\"}" "$plain$api/applicant")"
	is 'no wire' 400 "$(code -H "$json" -d '{"data":1}' "$plain$api/applicant")"
	is 'plain request' 201 "$(code -H "$json" -d '{"externalUserId":"p","flowName":"basic"}' "$plain$api/applicant")"
	like 'errors are plain' '404 {"status":false,*' "$(full "$plain$api/applicant/none/status")"
	control POST config '{"signature_over":"body"}'
	call -D "$work/head" "$plain$api/applicant/c-1/status" >"$work/body"
	is 'hmac over the body' "$(header x-allpass-signature)" \
		"$(openssl dgst -sha256 -mac HMAC -macopt hexkey:202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f "$work/body" | sed 's/.* //')"
	control POST config '{"signature_over":"none"}'
	code "$plain$api/applicant/c-1/status" >/dev/null
	is 'no hmac' '' "$(header x-allpass-signature)"
	control POST config '{"encryption":"aes-256-gcm"}'
	wire=a0a1a2a3a4a5a6a7a8a9aaabacadaeaf518146c46ca8bf18a2f24ac28866c4f4a07f610c53057380df7406d96e7b47ea69b3dc41f7b2ccd48d2b4d
	like 'sealed with GCM' '409 *' "$(full -H "$json" -H "x-allpass-signature: e811a7aadb64de8eaaa89d731ed08b42" -d "{\"data\":\"$wire\"}" "$plain$api/applicant")"
	is 'wrong tag' 400 "$(code -H "$json" -H "x-allpass-signature: e811a7aadb64de8eaaa89d731ed08b43" -d "{\"data\":\"$wire\"}" "$plain$api/applicant")"
	code "$plain$api/applicant/c-1/status" >/dev/null
	is 'tag in the header' 32 "$(header x-allpass-signature | tr -d '\n' | wc -c)"
	control POST config '{"tag":"inband","gcm_iv_length":12}'
	code "$plain$api/applicant/c-1/status" >/dev/null
	is 'tag in band' '' "$(header x-allpass-signature)"
	fault '{"signature":"zz","times":1}'
	code "$plain$api/applicant/c-1/status" >/dev/null
	is 'signature of a fault' zz "$(header x-allpass-signature)"
	control POST config '{"tag":"header"}'
	fault '{"signature":"","data":"{\"sealed\":1.10}","times":1}'
	code "$plain$api/applicant/c-1/status" >/dev/null
	is 'signature left out' '' "$(header x-allpass-signature)"
	like 'data of a fault is sealed' '*"data":"??????????????????????????????????????????????????????"*' "$(cat "$work/body")"
	control POST reset
	like 'reset restores the configuration' '{"encryption":"none",*"tag":"header","mode":"live","log":true,"api_key":"sandbox-key","delay_ms":0}' "$(control GET config)"
}

test_faults() {
	local begin
	control POST seed '{"count":9}'
	fault '[{"operation":"applicant_status","applicant":"c-1","skip":1,"times":2,"status":503,"retry_after":"7","message":["a",{"b":1}]}]'
	is 'skip lets pass' 200 "$(status c-1)"
	is 'other applicant' 200 "$(status c-2)"
	like 'status and message' '503 {"status":false,"statusCode":503,"message":\["a",{"b":1}\],"error":"Service Unavailable",*' "$(full "$plain$api/applicant/c-1/status")"
	is 'retry after' 7 "$(header retry-after)"
	like 'used' '*"used":1}*' "$(control GET faults)"
	is 'second' 503 "$(status c-1)"
	is 'used up' '200 []' "$(status c-1) $(control GET faults)"
	fault '{"message":"soft","times":1}'
	like 'soft failure' '200 {"status":false,"statusCode":400,"message":"soft",*' "$(full "$plain$api/applicant/c-1/status")"
	fault '{"body":"<html>","content_type":"text/html","headers":{"X-One":"1","Connection":"close"},"times":1}'
	is 'other body' '200 <html>' "$(full "$plain$api/applicant/none")"
	is 'its type' 'text/html 1 close' "$(header content-type) $(header x-one) $(header connection)"
	fault '{"body_base64":"AAEC/w==","status":201,"times":1}'
	is 'raw bytes' '201 000102ff' "$(code "$plain$api/applicant/c-1") $(od -An -tx1 "$work/body" | tr -d ' \n')"
	fault '{"body":"","times":1}'
	is 'empty body' '200 ' "$(full "$plain$api/applicant/c-1")"
	fault '{"data":"{\"n\":1e400,\"n\":NaN","times":1}'
	like 'data as it is' '200 {"status":true,"statusCode":200,"data":{"n":1e400,"n":NaN,"time":"*"}' "$(full "$plain$api/applicant/c-1")"
	fault '{"status":502,"data":"\"x\"","times":1}'
	like 'failure with data' '502 {"status":false,"statusCode":502,"data":"x",*' "$(full "$plain$api/applicant/c-1")"
	fault '{"operation":"create_applicant","applicant":"n","status":500,"times":1}'
	is 'refused' 500 "$(code -H "$json" -d '{"externalUserId":"n","flowName":"f"}' "$plain$api/applicant")"
	is 'and not done' 404 "$(status n)"
	fault '{"operation":"create_applicant","status":500,"act":true,"times":1}'
	is 'failed' 500 "$(code -H "$json" -d '{"externalUserId":"n","flowName":"f"}' "$plain$api/applicant")"
	is 'but done' 200 "$(status n)"
	fault '{"operation":"schedule_deletion","act":false,"times":1}'
	like 'pretended' '201 *"data":{"id":"c-3"}*' "$(full -X POST "$plain$api/applicant/c-3/schedule-deletion")"
	like 'and not done' '*"scheduledDeletionDate":null*' "$(call "$plain$api/applicant/c-3")"
	fault '[{"operation":"create_applicant","drop":"before","times":1},{"operation":"create_applicant","drop":"after","times":1}]'
	is 'dropped before' 52 "$(outcome -H "$json" -d '{"externalUserId":"m","flowName":"f"}' "$plain$api/applicant")"
	is 'not done' 404 "$(status m)"
	is 'dropped after' 52 "$(outcome -H "$json" -d '{"externalUserId":"m","flowName":"f"}' "$plain$api/applicant")"
	is 'done' 200 "$(status m)"
	like 'dropped in the log' '*"operation":"create_applicant"*"status":null,"acted":false*"status":null,"acted":true*' "$(control GET log)"
	control POST reset
}

test_framing() {
	local begin size
	control POST seed '{"count":9}'
	size=$(call "$plain$api/applicant/c-1" | wc -c)
	fault '{"cut":100,"times":1}'
	is 'cut' '18 100' "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	is 'announced' "$size" "$(header content-length)"
	fault '{"cut":0,"times":1}'
	is 'cut to nothing' 18 "$(outcome "$plain$api/applicant/c-1")"
	fault '{"cut":1000000,"times":1}'
	is 'cut beyond the end' "0 $size" "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"chunked":true,"times":1}'
	is 'chunked' "0 $size chunked" "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body") $(header transfer-encoding)"
	fault '{"chunked":true,"cut":100,"times":1}'
	is 'chunked and cut' '18 100' "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"chunked":true,"cut":1000000,"times":1}'
	is 'last chunk left out' "18 $size" "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"gzip":true,"times":1}'
	is 'gzip' "0 $size gzip" "$(outcome --compressed "$plain$api/applicant/c-1") $(wc -c <"$work/body") $(header content-encoding)"
	fault '{"gzip":true,"chunked":true,"times":1}'
	is 'gzip and chunked' "0 $size" "$(outcome --compressed "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"slow":{"bytes":1000,"delay_ms":30},"times":1}'
	begin=$(now_ms)
	is 'slow' "0 $size" "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	is 'slow is slow' 1 $(($(now_ms) - begin >= 170))
	fault '{"slow":{"bytes":1000,"delay_ms":30},"chunked":true,"cut":2500,"times":1}'
	is 'slow, chunked and cut' '18 2500' "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"oversize":3000000,"times":1}'
	is 'oversize' '0 3000087' "$(outcome "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	like 'it is an envelope' '{"status":true,"statusCode":200,"data":{"filler":"xxx*xxx"},"time":"*"}' "$(cat "$work/body")"
	fault '{"oversize":3000000,"gzip":true,"times":1}'
	is 'oversize and gzip' '0 3000087' "$(outcome --compressed "$plain$api/applicant/c-1") $(wc -c <"$work/body")"
	fault '{"oversize":3000000,"gzip":true,"slow":{"bytes":1000,"delay_ms":1},"cut":2000,"times":1}'
	is 'all at once' 18 "$(outcome "$plain$api/applicant/c-1")"
	fault '{"oversize":1000000000000,"times":1}'
	is 'a terabyte is given up' 63 "$(outcome --max-filesize 1000000 "$plain$api/applicant/c-1")"
	fault '{"oversize":1000000000000,"chunked":true,"times":1}'
	call --max-time 0.3 -o /dev/null "$plain$api/applicant/c-1"
	until_stat in_flight 0
	control POST reset
}

test_delays() {
	local begin i
	control POST seed '{"count":200}'
	fault '{"applicant":"c-1","delay_ms":200,"times":1}'
	begin=$(now_ms)
	is 'delayed' 200 "$(status c-1)"
	is 'delay' 1 $(($(now_ms) - begin >= 200))
	fault '{"operation":"schedule_deletion","delay_ms":60000}'
	is 'given up' 28 "$(outcome -X POST --max-time 0.3 "$plain$api/applicant/c-1/schedule-deletion")"
	until_stat in_flight 0
	until_stat open_connections 0
	like 'acted at once' '*"scheduledDeletionDate":"2*' "$(call "$plain$api/applicant/c-1")"
	control POST reset
	control POST seed '{"count":200}'
	control POST config '{"delay_ms":60000}'
	call -Z --parallel-immediate --parallel-max 200 -o /dev/null -w '%{http_code}\n' "$plain$api/applicant/c-[1-200]/status" >"$work/codes" 2>/dev/null &
	i=$!
	until_stat in_flight 200
	is 'all wait at once' 200 "$(stat peak_concurrency)"
	begin=$(now_ms)
	control DELETE faults
	wait $i
	is 'released at once' 1 $(($(now_ms) - begin < 20000))
	is 'all are answered' '200 200' "$(sort "$work/codes" | uniq -c | sed 's/^ *//')"
	is 'and counted' '200 200' "$(stat requests) $(stat applicant_status)"
	control POST reset
	is 'reset counts' '0 0' "$(stat requests) $(stat connections)"
	code "$plain$api/applicant/c-[1-5]/status" >/dev/null
	is 'kept alive' '5 1' "$(stat requests) $(stat connections)"
	control POST reset
}

test_control() {
	local what
	export ALLPASS_SANDBOX_URL=$plain
	control PUT document/applicant/o%2F1 ' {"id":"real","status":"ON HOLD", "n":1.100,"n":2} '
	is 'document as it is' '{"status":true,"statusCode":200,"data": {"id":"real","status":"ON HOLD", "n":1.100,"n":2} ,' "$(call "$plain$api/applicant/o%2F1" | sed 's/"time.*//')"
	like 'its status' '*"data":{"id":"real","status":"ON HOLD"},*' "$(call "$plain$api/applicant/o%2F1/status")"
	control PUT document/applicant/o%2F1 '[1'
	like 'odd document' '*"data":\[1,*' "$(call "$plain$api/applicant/o%2F1/status")"
	control DELETE document/applicant/o%2F1
	is 'taken away' 404 "$(status o%2F1)"
	control PUT document/aml/r1 '{"amount":12345678901234567890.1234567890}'
	like 'report as it is' '*12345678901234567890.1234567890*' "$(call "$plain$api/crypto-aml/r1/details?type=TRANSACTION")"
	printf '{"q":"%s"}' "$(head -c 300000 /dev/zero | tr '\0' q)" | control PUT document/questionnaire/q1 -
	is 'questionnaire as it is' 1 $(($(call "$plain$api/questionnaire/q1" | wc -c) > 300000))
	while read -r method path what; do
		control "$method" "$path" "$what" 2>/dev/null
		is "$method $path $what" 1 $?
	done <<-'END'
		POST seed {"count":-1}
		POST seed {"count":99999999999}
		POST seed {"count":"1"}
		POST seed {"count":1,"status":""}
		POST seed []
		POST config {"encryption":"rot13"}
		POST config {"gcm_iv_length":13}
		POST config {"crypto_key":"00"}
		POST config {"hmac_key":"xyz"}
		POST config {"unknown":1}
		POST config nonsense
		POST faults nonsense
		POST faults 1
		POST faults [{},1]
		POST faults {"oops":1}
		POST faults {"operation":"nothing"}
		POST faults {"status":99}
		POST faults {"status":"503"}
		POST faults {"drop":"now"}
		POST faults {"slow":{"bytes":0,"delay_ms":1}}
		POST faults {"slow":1}
		POST faults {"body":1}
		POST faults {"body_base64":"A"}
		POST faults {"body":"a","data":"b"}
		POST faults {"headers":{"Content-Length":"1"}}
		POST faults {"headers":{"a b":"1"}}
		POST faults {"headers":{"a":"1\r\nb: 2"}}
		POST faults {"retry_after":"1\n"}
		POST faults {"chunked":1}
		POST faults {"cut":1.5}
		PUT document/other/x {}
		PUT document/applicant/ {}
		PUT document/applicant/a/b {}
		PUT document/applicant/%2 {}
		POST nothing {}
		GET seed {}
	END
	is 'nothing was changed' '[]' "$(control GET faults)"
	like 'nothing was configured' '{"encryption":"none",*' "$(control GET config)"
	fault '[]'
	control POST config '{"log":false}'
	status none >/dev/null
	is 'log is off' 0 "$(control GET log | grep -c none)"
	control POST config '{"log":true,"api_key":"other"}'
	is 'other key' 401 "$(status none)"
	control POST reset
	for what in $(seq 1010); do echo "url = $plain$api/applicant/l-$what/status"; done >"$work/urls"
	call -K "$work/urls" >/dev/null
	is 'the log keeps a thousand' '1000 11 1010' "$(control GET log | grep -c '"n":') $(control GET log | head -1 | field n) $(control GET log | tail -1 | field n)"
	control POST reset
	start small http --log-size 2
	for what in 1 2 3; do bare "$small/$what" >/dev/null; done
	is 'a log of another size' '2 3' "$(ALLPASS_SANDBOX_URL=$small control GET log | field n) $(ALLPASS_SANDBOX_URL=$small control GET log | tail -1 | field n)"
	kill "$small_pid"
	wait "$small_pid"
}

test_tls() {
	export ALLPASS_SANDBOX_URL=$secure ALLPASS_SANDBOX_CA=$work/cert.pem
	control POST seed '{"count":9}'
	is 'TLS' 200 "$(code "$secure$api/applicant/c-1/status")"
	fault '[{"applicant":"c-1","delay_ms":100},{"applicant":"c-2","drop":"after"},{"applicant":"c-3","slow":{"bytes":2000,"delay_ms":10}},{"applicant":"c-4","cut":10},{"applicant":"c-5","oversize":1000000,"gzip":true}]'
	is 'TLS and delay' 200 "$(code "$secure$api/applicant/c-1")"
	is 'TLS and drop' 1 $(($(outcome "$secure$api/applicant/c-2") != 0))
	is 'TLS and slow' 0 "$(outcome "$secure$api/applicant/c-3")"
	is 'TLS and cut' 1 $(($(outcome "$secure$api/applicant/c-4") != 0))
	is 'TLS and oversize' 0 "$(outcome --compressed "$secure$api/applicant/c-5")"
	is 'plain text to TLS' 1 $(($(outcome "${secure/https/http}$api/applicant/c-1") != 0))
	until_stat in_flight 0
	export ALLPASS_SANDBOX_URL=$plain ALLPASS_SANDBOX_CA=
}

# Send garbage of many kinds; the server must go on
test_garbage() {
	perl -e '
		use strict; use warnings; use IO::Socket::INET;
		my ($port, $rounds) = @ARGV;
		srand(7);
		my @lines = ("GET /api/public/applicant/a/status HTTP/1.1", "POST /_sandbox/faults HTTP/1.1",
			"POST /_sandbox/config HTTP/1.1", "POST /_sandbox/seed HTTP/1.1",
			"PUT /_sandbox/document/applicant/a HTTP/1.1", "POST /api/public/applicant HTTP/1.1",
			"POST /api/public/crypto-aml/search HTTP/1.1", "GET /api/public/crypto-aml/x/details?type=WALLET HTTP/1.1",
			"DELETE /_sandbox/document/aml/a HTTP/1.1");
		my @bodies = (q({"operation":"applicant","times":3,"status":503,"slow":{"bytes":1,"delay_ms":2},"headers":{"a":"b"}}),
			q({"externalUserId":"a","flowName":"b","suppliedInfo":{"x":[1,2,{"y":null}]}}),
			q({"count":3,"prefix":"c-","status":"APPROVED"}), q({"encryption":"none","delay_ms":1}),
			q([{"cut":5,"chunked":true,"times":1},{"body_base64":"AAEC","times":1}]));
		for my $round (1 .. $rounds) {
			my $line = $lines[rand @lines];
			my $body = $bodies[rand @bodies];
			for (1 .. rand 6) {
				my $kind = int rand 4;
				if ($kind == 0) { substr($body, rand length $body, 1) = chr int rand 256 }
				elsif ($kind == 1) { $body = substr $body, 0, rand length $body; $body = "{" if $body eq "" }
				elsif ($kind == 2) { substr($body, rand length $body, 0) = join "", map { chr int rand 256 } 1 .. rand 9 }
				else { my $cut = rand length $line; substr($line, $cut, 1) = chr int rand 256 if rand() < 0.3 }
			}
			my $length = rand() < 0.1 ? int rand 1e10 : length $body;
			my $request = "$line\r\nHost: x\r\nx-private-app-key: sandbox-key\r\nx-request-id: g\r\n" .
				"Content-Type: application/json\r\nContent-Length: $length\r\n\r\n$body";
			$request = join "", map { chr int rand 256 } 1 .. rand 500 if rand() < 0.1;
			my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "the server is gone\n";
			$socket->syswrite($request);
			shutdown $socket, 1 if rand() < 0.8;
			my $ready = "";
			vec($ready, fileno($socket), 1) = 1;
			select $ready, undef, undef, 0.05;
			close $socket;
		}' "${plain##*:}" "${SANDBOX_ROUNDS-200}"
	is 'garbage is survived' 0 $?
	control POST reset
	until_stat in_flight 0
	control POST seed '{"count":1}'
	is 'and the server goes on' 200 "$(status c-1)"
}

# End a server while a call is delayed; it must end cleanly
test_end() {
	local process
	fault '{"delay_ms":60000}'
	call -o /dev/null "$plain$api/applicant/c-1" &
	process=$!
	until_stat in_flight 1
	kill "$plain_pid" "$secure_pid"
	wait "$plain_pid"
	is 'clean end' 0 $?
	wait "$secure_pid"
	is 'clean end with TLS' 0 $?
	wait $process
	pids=
}

for name in ${SANDBOX_TESTS-endpoints ids validation encryption faults framing delays control tls garbage end}; do
	"test_$name"
done
./unit || failed=$((failed + 1))
echo "sandbox: $failed of $count checks failed"
[ "$failed" = 0 ]
