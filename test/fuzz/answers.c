/*-------------------------------------------------------------------------
 *
 * answers.c
 *		Fuzz targets: answers of the API, plain and sealed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../../src/compat.h"

#include "../../src/document.h"
#include "../../src/envelope.h"

#include "fuzz.h"

#define KEY "0123456789abcdef0123456789abcdef"

/* What the caller keeps secret: no message may hold it. */
#define SECRET "hunter2-secret"

static const int http_statuses[] = {200, 201, 204, 302, 400, 404, 429, 500, 599, 0, 1000};

/*
 * Take the options of sealing.
 */
static ApSeal
take_seal(FuzzInput *input)
{
	static const int iv_lengths[] = {0, 12, 16};
	ApSeal		seal = {0};

	seal.method = fuzz_flag(input, 3);
	seal.signature_key = fuzz_flag(input, 3);
	seal.signature_over = fuzz_flag(input, 5);
	seal.gcm_iv_length = iv_lengths[fuzz_flag(input, 3)];
	seal.require_signature = fuzz_flag(input, 2) == 1;
	memcpy(seal.crypto_key, KEY, AP_KEY_LENGTH);
	memcpy(seal.hmac_key, KEY, AP_KEY_LENGTH);
	seal.hmac_key_text = fuzz_flag(input, 2) == 0 ? KEY : NULL;
	return seal;
}

/*
 * Copy bytes into a buffer that ends where they end.
 */
static void
fill(ApBuffer *buffer, ApBytes bytes)
{
	ap_buffer_init(buffer, bytes.len);
	ap_buffer_own(buffer, CurrentMemoryContext);
	if (bytes.len > 0 && !ap_buffer_append(buffer, bytes.data, bytes.len))
		fuzz_fail("could not fill a buffer");
}

/*
 * Read an answer, and check what holds of every outcome.
 */
static Jsonb *
read_answer(const ApSeal *seal, int http_status, const char *signature, const ApBuffer *body,
			ApStatus *status)
{
	ApHttpAnswer answer = {.http_status = http_status, .body = body, .signature = signature};
	Jsonb	   *data;

	ap_status_clear(status);
	data = ap_envelope_read(seal, &answer, list_make1((void *) SECRET), status);
	fuzz_check_status(status, data != NULL);
	if (strstr(status->message, SECRET) != NULL || strstr(status->detail, SECRET) != NULL)
		fuzz_fail("the secret is in the message");
	return data;
}

/*
 * An answer: options, HTTP status, signature, body.
 */
void
fuzz_envelope(FuzzInput *input)
{
	ApSeal		seal = take_seal(input);
	int			http_status = http_statuses[fuzz_flag(input, lengthof(http_statuses))];
	char	   *signature = fuzz_line(input);
	ApBuffer   *body = palloc(sizeof(ApBuffer));
	ApStatus	status;
	Jsonb	   *data;

	fill(body, fuzz_rest(input));
	data = read_answer(&seal, http_status, signature, body, &status);
	if (data != NULL)
		JsonbToCString(NULL, &data->root, VARSIZE(data));
}

/*
 * A sealed text: options, signature, wire.
 */
void
fuzz_open(FuzzInput *input)
{
	ApSeal		seal = take_seal(input);
	char	   *signature = fuzz_line(input);
	ApBuffer   *wire = palloc(sizeof(ApBuffer));
	ApBuffer   *plain = palloc(sizeof(ApBuffer));
	ApBytes		bytes;
	ApStatus	status;
	bool		ok;

	fill(wire, fuzz_rest(input));
	bytes = (ApBytes) {(const unsigned char *) ap_buffer_text(wire), wire->len};
	ap_buffer_init(plain, wire->len);
	ap_buffer_own(plain, CurrentMemoryContext);
	ap_status_clear(&status);
	ok = ap_seal_open(&seal, bytes, signature, bytes, plain, &status);
	fuzz_check_status(&status, ok);
	if (ok && seal.method == AP_METHOD_GCM)
		fuzz_fail("a forged text was opened");
	ap_seal_is_sealed((const char *) bytes.data, bytes.len);
}

/*
 * Check that a sealed text, wrapped as an answer, gives its data.
 */
static void
check_data(const ApSeal *seal, const char *signature, const ApBuffer *body, ApBytes plain)
{
	char	   *text = pnstrdup((const char *) plain.data, plain.len);
	const char *reason;
	Jsonb	   *expected = ap_document_parse(text, plain.len, &reason);
	ApStatus	status;
	Jsonb	   *data = read_answer(seal, 200, signature, body, &status);

	if ((expected == NULL) != (data == NULL) ||
		(data != NULL && compareJsonbContainers(&expected->root, &data->root) != 0))
		fuzz_fail("sealed data came out as other data: %s", status.message);
}

/*
 * A text that is sealed and opened, perhaps with a bit turned on the way:
 * options, where and what to turn, text.
 */
void
fuzz_round_trip(FuzzInput *input)
{
	ApSeal		seal = take_seal(input);
	size_t		place = fuzz_byte(input) * 256 + fuzz_byte(input);
	int			turn = (unsigned char) (fuzz_byte(input) - '0');
	ApBytes		plain = fuzz_rest(input);
	ApBuffer   *body = palloc(sizeof(ApBuffer));
	ApBuffer   *signature = palloc(sizeof(ApBuffer));
	ApBuffer   *opened = palloc(sizeof(ApBuffer));
	ApBytes		wire;
	ApStatus	status;
	bool		ok;

	if (seal.method == AP_METHOD_NONE)
		return;
	seal.hmac_key_text = KEY;
	ap_buffer_init(body, plain.len * 2 + 256);
	ap_buffer_own(body, CurrentMemoryContext);
	ap_buffer_init(signature, AP_HMAC_MAX * 2);
	ap_buffer_own(signature, CurrentMemoryContext);
	ap_status_clear(&status);
	if (!ap_seal_close(&seal, plain, body, signature, &status))
		fuzz_fail("could not seal: %s", status.message);
	if (turn == 0)
		check_data(&seal, signature->data, body, plain);

	wire = (ApBytes) {(unsigned char *) body->data + strlen("{\"data\":\""),
	body->len - strlen("{\"data\":\"\"}")};
	body->data[strlen("{\"data\":\"") + place % wire.len] ^= turn;
	ap_buffer_init(opened, wire.len);
	ap_buffer_own(opened, CurrentMemoryContext);
	ok = ap_seal_open(&seal, wire, signature->data,
					  (ApBytes) {(unsigned char *) body->data, body->len}, opened, &status);
	fuzz_check_status(&status, ok);
	if (!ok && turn == 0)
		fuzz_fail("could not open what was sealed");
	/* turning a bit may change the case of a digit, which changes nothing */
	if (ok && (opened->len != plain.len ||
			   memcmp(ap_buffer_text(opened), plain.data, plain.len) != 0))
		fuzz_fail("what was opened is not what was sealed");
}
