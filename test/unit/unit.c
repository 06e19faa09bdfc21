/*-------------------------------------------------------------------------
 *
 * unit.c
 *		Unit tests of the sealing, its parts, and the policy of retries, as SQL
 *		functions.
 *
 * It is linked with the extension's own objects, so what is tested is what
 * runs.  Random numbers are of a fixed seed, so that a failure can be repeated;
 * only the IVs differ from run to run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/expandeddatum.h"	/* and with it the macros of varlena values */

#include "retry.h"
#include "seal.h"

AP_COMPAT_MODULE_MAGIC("unit", "1.0");

#define MAX_TEXT (100 * 1024)

static const char hmac_key_text[] =
"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

static const char *const methods[] = {"none", "aes-256-cbc", "aes-256-gcm", NULL};
static const char *const forms[] = {"auto", "hex", "text", NULL};
static const char *const covers[] = {"auto", "wire", "bytes", "plaintext", "body", NULL};

static uint64 state = UINT64CONST(0x9e3779b97f4a7c15);

/*
 * Give a random number below a bound, by xorshift.
 */
static size_t
below(size_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t) (state % bound);
}

/*
 * Give the position of a word in a list that is ended by NULL.
 */
static int
word(const text *value, const char *const *words)
{
	char	   *string = text_to_cstring(value);

	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(string, words[i]) == 0)
			return i;
	}
	elog(ERROR, "no such word: %s", string);
}

/*
 * Set the keys of the test vectors.
 */
static void
set_keys(ApSeal *seal)
{
	memset(seal, 0, sizeof(*seal));
	for (int i = 0; i < AP_KEY_LENGTH; i++)
	{
		seal->crypto_key[i] = (unsigned char) i;
		seal->hmac_key[i] = (unsigned char) (AP_KEY_LENGTH + i);
	}
	seal->hmac_key_text = hmac_key_text;
}

/*
 * Give the content of a buffer as bytes.
 */
static ApBytes
content(const ApBuffer *buffer)
{
	return (ApBytes) {(const unsigned char *) ap_buffer_text(buffer), buffer->len};
}

/*
 * Give an argument as a C string, or NULL.
 */
static char *
argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/*
 * SQL function: unit_open(method text, over text, key text, iv integer,
 * required boolean, wire text, signature text, body text) returns text
 *
 * Opens a sealed text with the keys of the vectors; NULL if that fails.
 */
PG_FUNCTION_INFO_V1(unit_open);
Datum
unit_open(PG_FUNCTION_ARGS)
{
	ApSeal		seal;
	ApStatus	status;
	ApBuffer	plain;
	char	   *wire = argument(fcinfo, 5);
	char	   *signature = argument(fcinfo, 6);
	char	   *body = argument(fcinfo, 7);
	text	   *result = NULL;

	set_keys(&seal);
	seal.method = word(PG_GETARG_TEXT_PP(0), methods);
	seal.signature_over = word(PG_GETARG_TEXT_PP(1), covers);
	seal.signature_key = word(PG_GETARG_TEXT_PP(2), forms);
	seal.gcm_iv_length = PG_GETARG_INT32(3);
	seal.require_signature = PG_GETARG_BOOL(4);
	ap_status_clear(&status);
	ap_buffer_init(&plain, strlen(wire));
	if (ap_seal_open(&seal, (ApBytes) {(unsigned char *) wire, strlen(wire)}, signature,
					 (ApBytes) {(unsigned char *) body, body ? strlen(body) : 0}, &plain, &status))
		result = cstring_to_text_with_len(ap_buffer_text(&plain), (int) plain.len);
	else if (status.code != AP_NOT_OPENED)
		elog(ERROR, "failed otherwise: %s", status.message);
	ap_buffer_free(&plain);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/* One text on its way there and back. */
typedef struct Trip
{
	ApSeal		out;			/* how it is sealed */
	ApSeal		in;				/* how it is opened */
	ApBuffer	plain;
	ApBuffer	body;
	ApBuffer	signature;
	ApBuffer	opened;
}			Trip;

/* What came of all the trips. */
typedef struct Counts
{
	int			same;			/* opened, and what it was */
	int			changed;		/* changed ones that were opened, which is wrong */
	int			unsigned_ones;	/* opened without what proves them, which is wrong */
	int			otherwise;		/* opened by another reading, which is wrong */
}			Counts;

/*
 * Choose how to seal and open, and what.
 */
static void
choose(Trip *trip)
{
	static const int lengths[] = {0, 12, 16};
	size_t		len = below(20) == 0 ? below(MAX_TEXT + 1) : below(300);
	char	   *room;

	set_keys(&trip->out);
	trip->out.method = below(2) == 0 ? AP_METHOD_CBC : AP_METHOD_GCM;
	trip->out.signature_key = below(3);
	trip->out.signature_over = below(5);
	trip->out.gcm_iv_length = lengths[below(3)];
	trip->in = trip->out;
	trip->in.require_signature = below(2) == 0;
	if (trip->in.gcm_iv_length != 0 && below(2) == 0)
		trip->in.gcm_iv_length = 0;

	ap_buffer_init(&trip->plain, MAX_TEXT);
	ap_buffer_init(&trip->body, MAX_TEXT * 3);
	ap_buffer_init(&trip->signature, 256);
	ap_buffer_init(&trip->opened, MAX_TEXT * 3);
	room = ap_buffer_extend(&trip->plain, len);
	for (size_t i = 0; i < len; i++)
		room[i] = (char) below(256);
}

/*
 * Give the sealed text in the request body {"data":"..."}.
 */
static ApBytes
wire_of(const Trip *trip)
{
	return (ApBytes) {(unsigned char *) trip->body.data + 9, trip->body.len - 11};
}

/*
 * Open what was sealed.
 */
static bool
open_it(Trip *trip, const ApSeal *seal, const char *signature)
{
	ApStatus	status;

	ap_status_clear(&status);
	trip->opened.len = 0;
	return ap_seal_open(seal, wire_of(trip), signature, content(&trip->body), &trip->opened, &status);
}

/*
 * Tell whether it opens after one digit of a text was changed.
 */
static bool
opens_changed(Trip *trip, char *text, size_t len)
{
	size_t		place = below(len);
	char		before = text[place];
	bool		opens;

	text[place] = before == '0' ? '1' : '0';
	opens = open_it(trip, &trip->in, trip->signature.data);
	text[place] = before;
	return opens;
}

/*
 * Tell whether it opens by a reading of the signature under which it was not
 * made.
 */
static bool
opens_otherwise(Trip *trip)
{
	ApSeal		other = trip->in;
	ApSigned	made = trip->out.signature_over;

	if (made == AP_SIGNED_AUTO)
		made = AP_SIGNED_WIRE;
	if (trip->in.method == AP_METHOD_GCM)
		other.method = AP_METHOD_CBC;
	else if (below(2) == 0)
		other.signature_key = trip->out.signature_key == AP_KEY_TEXT ? AP_KEY_HEX : AP_KEY_TEXT;
	else
		other.signature_over = AP_SIGNED_WIRE + (made - AP_SIGNED_WIRE + 1 + below(3)) % 4;
	return open_it(trip, &other, trip->signature.data);
}

/*
 * Seal one text, open it, and try to open it where that must fail.
 */
static void
travel(Trip *trip, Counts *counts)
{
	ApStatus	status;
	ApSeal		required;

	ap_status_clear(&status);
	if (!ap_seal_close(&trip->out, content(&trip->plain), &trip->body, &trip->signature, &status))
		elog(ERROR, "could not seal: %s", status.message);
	if (open_it(trip, &trip->in, trip->signature.data) && trip->opened.len == trip->plain.len &&
		memcmp(ap_buffer_text(&trip->opened), ap_buffer_text(&trip->plain), trip->plain.len) == 0)
		counts->same++;
	if (opens_changed(trip, trip->body.data + 9, trip->body.len - 11))
		counts->changed++;
	if (opens_changed(trip, trip->signature.data, trip->signature.len))
		counts->changed++;
	required = trip->in;
	required.require_signature = true;
	if (open_it(trip, &required, NULL))
		counts->unsigned_ones++;
	if (opens_otherwise(trip))
		counts->otherwise++;
}

/*
 * SQL function: unit_round_trips(count integer) returns text
 *
 * Seals and opens random texts of random sizes by all methods and options.
 */
PG_FUNCTION_INFO_V1(unit_round_trips);
Datum
unit_round_trips(PG_FUNCTION_ARGS)
{
	int			count = PG_GETARG_INT32(0);
	Counts		counts = {0};

	for (int i = 0; i < count; i++)
	{
		Trip		trip;

		CHECK_FOR_INTERRUPTS();
		choose(&trip);
		travel(&trip, &counts);
		ap_buffer_free(&trip.plain);
		ap_buffer_free(&trip.body);
		ap_buffer_free(&trip.signature);
		ap_buffer_free(&trip.opened);
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d the same; wrongly opened: "
											  "%d changed, %d unsigned, %d otherwise",
											  counts.same, counts.changed,
											  counts.unsigned_ones, counts.otherwise)));
}

/*
 * Return the bytes of a buffer if a decoder could fill it, else NULL.
 */
static Datum
return_decoded(FunctionCallInfo fcinfo, bool ok, ApBuffer *buffer)
{
	bytea	   *result = palloc(VARHDRSZ + buffer->len);

	SET_VARSIZE(result, VARHDRSZ + buffer->len);
	memcpy(VARDATA(result), ap_buffer_text(buffer), buffer->len);
	ap_buffer_free(buffer);
	if (!ok)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}

/*
 * SQL function: unit_from_hex(text) returns bytea
 */
PG_FUNCTION_INFO_V1(unit_from_hex);
Datum
unit_from_hex(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	ApBuffer	buffer;
	bool		ok;

	ap_buffer_init(&buffer, MAX_TEXT);
	ok = ap_crypto_from_hex(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &buffer);
	return return_decoded(fcinfo, ok, &buffer);
}

/*
 * SQL function: unit_from_base64(text) returns bytea
 */
PG_FUNCTION_INFO_V1(unit_from_base64);
Datum
unit_from_base64(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	ApBuffer	buffer;
	bool		ok;

	ap_buffer_init(&buffer, MAX_TEXT);
	ok = ap_crypto_from_base64(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &buffer);
	return return_decoded(fcinfo, ok, &buffer);
}

/*
 * SQL function: unit_to_hex(bytea) returns text
 */
PG_FUNCTION_INFO_V1(unit_to_hex);
Datum
unit_to_hex(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	ApBytes		bytes = {(unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	ApBuffer	buffer;
	text	   *result;

	ap_buffer_init(&buffer, MAX_TEXT);
	if (!ap_crypto_to_hex(bytes, &buffer))
		elog(ERROR, "no room");
	result = cstring_to_text_with_len(ap_buffer_text(&buffer), (int) buffer.len);
	ap_buffer_free(&buffer);
	PG_RETURN_TEXT_P(result);
}

/*
 * SQL function: unit_buffer() returns text
 *
 * Fills buffers of all small bounds in all small pieces; gives how often a
 * bound was not kept.
 */
PG_FUNCTION_INFO_V1(unit_buffer);
Datum
unit_buffer(PG_FUNCTION_ARGS)
{
	int			runs = 0;
	int			wrong = 0;

	(void) fcinfo;
	for (size_t max = 0; max <= 40; max++)
	{
		for (size_t piece = 0; piece <= 41; piece++)
		{
			static const char filler[] = "0123456789012345678901234567890123456789x";
			ApBuffer	buffer;
			int			taken = 0;

			ap_buffer_init(&buffer, max);
			while (taken < 50 && ap_buffer_append(&buffer, filler, piece))
				taken++;
			runs++;
			if (buffer.len != taken * piece || buffer.len > max ||
				ap_buffer_text(&buffer)[buffer.len] != '\0' ||
				buffer.overflow != (piece > 0) || (piece > 0 && buffer.len + piece <= max))
				wrong++;
			ap_buffer_free(&buffer);
			if (buffer.len != 0 || ap_buffer_text(&buffer)[0] != '\0')
				wrong++;
		}
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d runs, %d wrong", runs, wrong)));
}

/*
 * SQL function: unit_retry(code text, http_status integer, sent boolean,
 * retry_after bigint) returns text
 *
 * Says what becomes of a job with this outcome, and how long all jobs that it
 * concerns are paused after the first and after ten failures.
 */
PG_FUNCTION_INFO_V1(unit_retry);
Datum
unit_retry(PG_FUNCTION_ARGS)
{
	static const char *const codes[] = {
		"ok", "bad argument", "bad option", "denied", "limit", "no memory", "unreachable",
		"not understood", "not opened", "not configured", "refused", NULL
	};
	static const char *const verdicts[] = {"again", "done", "failed"};
	static const char *const scopes[] = {"job", "role", "server"};
	ApStatus	status = {0};
	ApRetry		retry;

	status.code = (ApCode) word(PG_GETARG_TEXT_PP(0), codes);
	status.http_status = PG_GETARG_INT32(1);
	status.sent = PG_GETARG_BOOL(2);
	status.retry_after_s = PG_GETARG_INT64(3);
	retry = ap_retry_judge(&status);
	if (retry.verdict != AP_VERDICT_AGAIN)
		PG_RETURN_TEXT_P(cstring_to_text(verdicts[retry.verdict]));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s, %s%s%s, least " INT64_FORMAT ", pause " INT64_FORMAT " to " INT64_FORMAT,
											  verdicts[retry.verdict], scopes[retry.scope],
											  retry.charged ? "" : ", free",
											  retry.in_doubt ? ", in doubt" : "", retry.least_ms,
											  ap_retry_pause(retry.scope, &status, 1),
											  ap_retry_pause(retry.scope, &status, 10))));
}

/*
 * SQL function: unit_delay(failures integer, least bigint, chance float8)
 * returns bigint
 */
PG_FUNCTION_INFO_V1(unit_delay);
Datum
unit_delay(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(ap_retry_delay(PG_GETARG_INT32(0), PG_GETARG_INT64(1), PG_GETARG_FLOAT8(2)));
}
