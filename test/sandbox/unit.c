/*-------------------------------------------------------------------------
 *
 * unit.c
 *		Checks of the parts that HTTP cannot reach exactly: vectors, scanners.
 *
 * The sealed texts were made by another program, so they show that the open
 * side is right; that seal and open agree then shows it of the seal side.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "clock.h"
#include "documents.h"
#include "envelope.h"
#include "json.h"
#include "routes.h"
#include "validate.h"

#define PLAINTEXT "{\"externalUserId\":\"u-1\",\"flowName\":\"basic\"}"
#define CBC_WIRE \
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf6b3081bff7f0fa51f630bab4bb634949" \
	"ab085f08cbe0a82da28f64307b60a1a66125cdebeec0770150b123ecbfcc1b13"
#define GCM16_WIRE \
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf518146c46ca8bf18a2f24ac28866c4f4" \
	"a07f610c53057380df7406d96e7b47ea69b3dc41f7b2ccd48d2b4d"
#define GCM16_TAG "e811a7aadb64de8eaaa89d731ed08b42"
#define GCM12_WIRE \
	"a0a1a2a3a4a5a6a7a8a9aaab9d3a195531ae70d10309d2a0620889ba52967b65" \
	"bf866040be684ae908e5146cb7547dddcd4320543cbe79"
#define GCM12_TAG "2b21f63b2e74ff1e73c5d340a0a4daff"

static int	failures;
static int	checks;

/* Record one check */
static void
expect(bool good, const char *what)
{
	checks++;
	if (good)
		return;
	failures++;
	printf("not ok: %s\n", what);
}

typedef struct Vector
{
	const char *encryption;
	const char *signature_key;
	const char *signature_over;
	const char *gcm_iv_length;
	const char *tag;
	const char *wire;
	const char *signature;
} Vector;

static const Vector vectors[] = {
	{"aes-256-cbc", "hex", "wire", "16", "header", CBC_WIRE,
	"25c8e191e2bc430a73126304b6e4c49f5b9c57cafc9e21e473628b3d5f0622f2"},
	{"aes-256-cbc", "text", "wire", "16", "header", CBC_WIRE,
	"2c9d3aec23f35e136741d5017731d36ee83388a249c652ba2a3013201093031b"},
	{"aes-256-cbc", "hex", "bytes", "16", "header", CBC_WIRE,
	"f8beaea16fccffcb967182971a3966c00f5dfe2feb2e427d78a7839b744f952e"},
	{"aes-256-cbc", "hex", "plaintext", "16", "header", CBC_WIRE,
	"2964adc2f8371ee9a534ff619ea3181dd286932a4d37b45e4e87a7d0fccfd53d"},
	{"aes-256-cbc", "hex", "body", "16", "header", CBC_WIRE,
	"19f067209abe039a876cf5180723dacb625fc449d8af66a2024105588f97f847"},
	{"aes-256-cbc", "text", "plaintext", "16", "header", CBC_WIRE,
	"401fcfe1d9bda71e8751505aeff2637807f082f27fa9359369b5bf72cc9c2340"},
	{"aes-256-cbc", "hex", "none", "16", "header", CBC_WIRE, ""},
	{"aes-256-gcm", "hex", "wire", "16", "header", GCM16_WIRE, GCM16_TAG},
	{"aes-256-gcm", "hex", "wire", "12", "header", GCM12_WIRE, GCM12_TAG},
	{"aes-256-gcm", "hex", "wire", "16", "inband", GCM16_WIRE GCM16_TAG, ""},
	{"aes-256-gcm", "hex", "wire", "12", "inband", GCM12_WIRE GCM12_TAG, ""},
};

/* Make the configuration of a vector */
static void
configure(const Vector *vector, SbConfig *config)
{
	SbText		error = {0};

	sb_config_defaults(config);
	expect(sb_config_set(config, sb_slice("encryption"), vector->encryption, &error) &&
		   sb_config_set(config, sb_slice("signature_key"), vector->signature_key, &error) &&
		   sb_config_set(config, sb_slice("signature_over"), vector->signature_over, &error) &&
		   sb_config_set(config, sb_slice("gcm_iv_length"), vector->gcm_iv_length, &error) &&
		   sb_config_set(config, sb_slice("tag"), vector->tag, &error) &&
		   sb_config_check(config, &error), "the vector's configuration is accepted");
	sb_text_free(&error);
}

/* Open a wire string and compare what comes out */
static bool
opens(const SbConfig *config, const char *wire, const char *body, const char *signature,
	  const char *expected)
{
	SbText		plain = {0};
	const char *refusal = sb_envelope_open(config, sb_slice(wire), sb_slice(body), signature,
										   &plain);
	bool		good = refusal == NULL && sb_slice_is(sb_text_slice(&plain), expected);

	sb_text_free(&plain);
	return good;
}

/* Check that no change of one digit goes unnoticed */
static void
check_tampering(const SbConfig *config, const Vector *vector)
{
	char	   *wire = sb_copy(vector->wire, strlen(vector->wire));
	char	   *signature = sb_copy(vector->signature, strlen(vector->signature));
	SbText		body = {0};

	for (size_t i = 0; wire[i]; i++)
	{
		char		old = wire[i];

		wire[i] = old == '0' ? '1' : '0';
		body.length = 0;
		sb_text_printf(&body, "{\"data\":\"%s\"}", wire);
		expect(!opens(config, wire, body.data, signature, PLAINTEXT),
			   "a changed digit of the wire is noticed");
		wire[i] = old;
	}
	body.length = 0;
	sb_text_printf(&body, "{\"data\":\"%s\"}", wire);
	for (size_t i = 0; signature[i]; i++)
	{
		char		old = signature[i];

		signature[i] = old == '0' ? '1' : '0';
		expect(!opens(config, wire, body.data, signature, PLAINTEXT),
			   "a changed digit of the signature is noticed");
		signature[i] = old;
	}
	if (signature[0])
		expect(!opens(config, wire, body.data, NULL, PLAINTEXT), "a missing signature is refused");
	for (size_t length = 0; length < strlen(vector->wire); length++)
	{
		wire[length] = '\0';
		expect(!opens(config, wire, "", signature, PLAINTEXT), "a cut wire is refused");
		wire[length] = vector->wire[length];
	}
	sb_text_free(&body);
	free(wire);
	free(signature);
}

/* Seal an answer and open it */
static void
check_round_trip(const SbConfig *config, SbSlice data)
{
	char		signature[SB_SIGNATURE_MAX];
	SbText		body = {0};
	struct json_object *envelope;
	SbSlice		wire;

	expect(sb_envelope_success(config, data, &body, signature), "an answer is sealed");
	envelope = sb_json_parse(sb_text_slice(&body));
	expect(envelope != NULL, "a sealed answer is JSON");
	wire = sb_json_string(json_object_object_get(envelope, "data"));
	expect(wire.data != NULL && opens(config, wire.data, body.data, signature, data.data),
		   "a sealed answer opens");
	json_object_put(envelope);
	sb_text_free(&body);
}

/* Check sealing and opening in all modes */
static void
check_envelopes(void)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		const Vector *vector = &vectors[i];
		SbText		body = {0};
		SbConfig	config;

		configure(vector, &config);
		sb_text_printf(&body, "{\"data\":\"%s\"}", vector->wire);
		expect(opens(&config, vector->wire, body.data, vector->signature, PLAINTEXT),
			   "a known wire opens");
		sb_text_free(&body);
		if (strcmp(vector->signature_over, "none") != 0)
			check_tampering(&config, vector);
		check_round_trip(&config, sb_slice(PLAINTEXT));
		check_round_trip(&config, sb_slice("0"));
	}
}

/* Check what is JSON and what is not */
static void
check_json(void)
{
	static const char *const good[] = {"{}", "[]", "0", "-0.5e+10", "\"\\u00fc\"", " true ",
	"[1,[2,{\"a\":null}]]", "1e400", "\"\xC3\xBC\""};
	static const char *const bad[] = {"", " ", "{", "{]", "[1,]", "{\"a\":1,}", "{a:1}", "01",
		"1.", ".5", "+1", "NaN", "Infinity", "'a'", "\"a", "\"\t\"", "\"\\x\"", "\"\\u12\"",
	"tru", "1 2", "\"\xC3\"", "\"\xED\xA0\x80\"", "\"\xC0\x80\"", "// x", "{\"a\" 1}"};
	SbText		deep = {0};
	struct json_object *value;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		expect(sb_json_valid(sb_slice(good[i])), good[i]);
		value = sb_json_parse(sb_slice(good[i]));
		expect(value != NULL, good[i]);
		json_object_put(value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(!sb_json_valid(sb_slice(bad[i])), bad[i]);
	for (int i = 0; i < 100000; i++)
		sb_text_puts(&deep, "[");
	expect(!sb_json_valid(sb_text_slice(&deep)), "nesting without an end is refused");
	sb_text_free(&deep);
}

/* Check that a route gives an operation and an id */
static void
check_route(const char *method, const char *target, SbRouting expected, const char *id)
{
	SbOperation operation;
	SbText		subject = {0};
	SbSlice		query;
	SbRouting	routing = sb_route(method, target, &operation, &subject, &query);

	expect(routing == expected && (id == NULL || sb_slice_is(sb_text_slice(&subject), id)), target);
	sb_text_free(&subject);
}

/* Check routes and ids */
static void
check_routes(void)
{
	check_route("GET", "/api/public/applicant/a", SB_ROUTED, "a");
	check_route("GET", "/api/public/applicant/a%2Fb%3F%25%0A%C3%BC/status", SB_ROUTED,
				"a/b?%\n\xC3\xBC");
	check_route("GET", "/api/public/applicant/a+b?", SB_ROUTED, "a+b");
	check_route("GET", "/api/public/applicant/status", SB_ROUTED, "status");
	check_route("GET", "/api/public/applicant/a/b", SB_NO_PATH, NULL);
	check_route("GET", "/api/public/applicant/", SB_NO_PATH, NULL);
	check_route("GET", "/api/public/applicant//status", SB_NO_PATH, NULL);
	check_route("GET", "/api/public/applicant/a/", SB_NO_PATH, NULL);
	check_route("GET", "/api/public/applicant", SB_NO_METHOD, NULL);
	check_route("DELETE", "/api/public/applicant/a", SB_NO_METHOD, NULL);
	check_route("GET", "/api/public/applicant/%4", SB_BAD_TARGET, NULL);
	check_route("GET", "/api/public/applicant/%zz", SB_BAD_TARGET, NULL);
	check_route("GET", "/api/public/applicant/%", SB_BAD_TARGET, NULL);
	check_route("GET", "/api/public/applicant/\xC3\xBC", SB_BAD_TARGET, NULL);
	check_route("GET", "/api/publicapplicant/a", SB_NO_PATH, NULL);
	check_route("GET", "*", SB_NO_PATH, NULL);
	check_route("GET", "", SB_NO_PATH, NULL);
}

/* Check that documents are JSON whatever the record holds */
static void
check_documents(void)
{
	static const char *const odd[] = {"c-1", "\"", "\\", "\x01\n\xff\xC3", "@id@", "\xC3\xBC"};
	SbText		out = {0};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
	{
		SbSlice		text = sb_slice(odd[i]);
		SbApplicant draft = {.external_id = text,.status = text,.flow_name = text,.email = text};
		SbApplicant *applicant = sb_store_create(&draft);
		SbReport   *report = sb_store_add_report(text, text, true);

		out.length = 0;
		sb_document_applicant(applicant, &out);
		expect(sb_json_valid(sb_text_slice(&out)), "an applicant is JSON");
		out.length = 0;
		sb_document_status(applicant, &out);
		expect(sb_json_valid(sb_text_slice(&out)), "a status is JSON");
		out.length = 0;
		sb_document_report(report, &out);
		expect(sb_json_valid(sb_text_slice(&out)), "a report is JSON");
		sb_applicant_release(applicant);
		sb_report_release(report);
	}
	out.length = 0;
	expect(sb_document_questionnaire(sb_slice("kyc-basic"), &out) &&
		   sb_json_valid(sb_text_slice(&out)), "a questionnaire is JSON");
	sb_text_free(&out);
}

/* Check the calendar at its corners */
static void
check_clock(void)
{
	static const struct
	{
		int64_t		ms;
		const char *text;
	}			times[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
		{INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
		{INT64_C(1629471153648), "2021-08-20T14:52:33.648Z"},
		{INT64_C(1735689599999), "2024-12-31T23:59:59.999Z"},
		{INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
	};
	char		text[SB_TIME_LENGTH + 1];

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
	{
		sb_clock_format(times[i].ms, text);
		expect(strcmp(text, times[i].text) == 0, times[i].text);
	}
}

/* Run all checks */
int
main(void)
{
	sb_cipher_start();
	sb_documents_start();
	sb_store_start();
	check_envelopes();
	check_json();
	check_routes();
	check_documents();
	check_clock();
	sb_store_stop();
	sb_documents_stop();
	sb_cipher_stop();
	printf("unit: %d of %d checks failed\n", failures, checks);
	return failures > 0;
}
