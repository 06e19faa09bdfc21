/*-------------------------------------------------------------------------
 *
 * store.c
 *		What the sandbox remembers: applicants, flows, reports, overrides.
 *
 * One lock guards all tables. An applicant stands in two of them, under its
 * id and under its externalUserId; the second one holds the reference.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store.h"
#include "table.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SbTable *by_id;
static SbTable *by_external_id;
static SbTable *flows;			/* name to number */
static char **flow_names;		/* number - 1 to name */
static size_t flow_count;
static SbTable *reports;
static SbTable *overrides[SB_DOCUMENT_KINDS];

/* Make the tables */
void
sb_store_start(void)
{
	by_id = sb_table_create();
	by_external_id = sb_table_create();
	flows = sb_table_create();
	reports = sb_table_create();
	for (int i = 0; i < SB_DOCUMENT_KINDS; i++)
		overrides[i] = sb_table_create();
}

/* Free the tables */
void
sb_store_stop(void)
{
	sb_store_reset();
	sb_table_destroy(by_id);
	sb_table_destroy(by_external_id);
	sb_table_destroy(flows);
	sb_table_destroy(reports);
	for (int i = 0; i < SB_DOCUMENT_KINDS; i++)
		sb_table_destroy(overrides[i]);
}

/* Release a value of a table that is about to be cleared */
static void
visit_applicant(SbSlice key, void *value, void *context)
{
	(void) key;
	(void) context;
	sb_applicant_release(value);
}

/* Release a value of a table that is about to be cleared */
static void
visit_report(SbSlice key, void *value, void *context)
{
	(void) key;
	(void) context;
	sb_report_release(value);
}

/* Release a value of a table that is about to be cleared */
static void
visit_override(SbSlice key, void *value, void *context)
{
	(void) key;
	(void) context;
	sb_override_release(value);
}

/* Forget everything */
void
sb_store_reset(void)
{
	pthread_mutex_lock(&lock);
	sb_table_walk(by_external_id, visit_applicant, NULL);
	sb_table_clear(by_external_id);
	sb_table_clear(by_id);
	sb_table_walk(reports, visit_report, NULL);
	sb_table_clear(reports);
	for (int i = 0; i < SB_DOCUMENT_KINDS; i++)
	{
		sb_table_walk(overrides[i], visit_override, NULL);
		sb_table_clear(overrides[i]);
	}
	sb_table_clear(flows);
	for (size_t i = 0; i < flow_count; i++)
		free(flow_names[i]);
	free(flow_names);
	flow_names = NULL;
	flow_count = 0;
	pthread_mutex_unlock(&lock);
}

/* Give the next number of a sequence that begins at a seed (splitmix64) */
uint64_t
sb_mix(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Write the UUID that belongs to a seed, and a zero byte */
void
sb_uuid(uint64_t seed, char *id)
{
	uint64_t	high = (sb_mix(&seed) & ~UINT64_C(0xf000)) | 0x4000;
	uint64_t	low = (sb_mix(&seed) & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
	static const char *const digits = "0123456789abcdef";

	for (int i = 0, nibble = 0; i < SB_ID_LENGTH; i++)
	{
		uint64_t	half = nibble < 16 ? high : low;

		if (i == 8 || i == 13 || i == 18 || i == 23)
			id[i] = '-';
		else
			id[i] = digits[half >> (60 - 4 * (nibble++ % 16)) & 15];
	}
	id[SB_ID_LENGTH] = '\0';
}

/* Copy a slice behind a record and step on */
static SbSlice
place_slice(char **at, SbSlice slice)
{
	SbSlice		copy = {NULL, slice.length};

	if (slice.data == NULL)
		return copy;
	copy.data = memcpy(*at, slice.data, slice.length);
	*at += slice.length;
	return copy;
}

/* Copy a record but for the count of its users, who come and go meanwhile */
static void
copy_record(SbApplicant *to, const SbApplicant *from)
{
	size_t		first = offsetof(SbApplicant, id);

	memcpy((char *) to + first, (const char *) from + first, sizeof(SbApplicant) - first);
}

/* Make a record of a draft, in one piece of memory */
static SbApplicant *
make_applicant(const SbApplicant *draft)
{
	SbApplicant *made = sb_alloc(sizeof(SbApplicant) + draft->external_id.length +
								 draft->status.length + draft->flow_name.length +
								 draft->phone.length + draft->email.length + draft->lang.length);
	char	   *at = (char *) (made + 1);

	copy_record(made, draft);
	atomic_init(&made->refs, 1);
	made->external_id = place_slice(&at, draft->external_id);
	made->status = place_slice(&at, draft->status);
	made->flow_name = place_slice(&at, draft->flow_name);
	made->phone = place_slice(&at, draft->phone);
	made->email = place_slice(&at, draft->email);
	made->lang = place_slice(&at, draft->lang);
	return made;
}

/* Count one more user of a record */
static SbApplicant *
hold(SbApplicant *applicant)
{
	if (applicant != NULL)
		atomic_fetch_add(&applicant->refs, 1);
	return applicant;
}

/* Let go of a record */
void
sb_applicant_release(SbApplicant *applicant)
{
	if (applicant != NULL && atomic_fetch_sub(&applicant->refs, 1) == 1)
		free(applicant);
}

/* Put a record in both tables; the caller holds the lock */
static void
enter(SbApplicant *applicant)
{
	void	  **slot = sb_table_slot(by_external_id, applicant->external_id);

	sb_applicant_release(*slot);
	*slot = applicant;
	*sb_table_slot(by_id, (SbSlice) {applicant->id, SB_ID_LENGTH}) = applicant;
}

/* Find a record by its id, else by its externalUserId; the caller holds the lock */
static SbApplicant *
find(SbSlice id)
{
	SbApplicant *found = sb_table_find(by_id, id);

	return found ? found : sb_table_find(by_external_id, id);
}

/*
 * Create an applicant; NULL if its externalUserId exists.
 *
 * The id comes from the externalUserId, so that runs can be compared.
 */
SbApplicant *
sb_store_create(const SbApplicant *draft)
{
	SbApplicant *made = make_applicant(draft);

	made->seed = sb_hash(draft->external_id);
	sb_uuid(made->seed, made->id);
	made->created_ms = made->updated_ms = sb_clock_wall();
	pthread_mutex_lock(&lock);
	if (sb_table_find(by_external_id, draft->external_id) == NULL)
		enter(hold(made));
	else
	{
		sb_applicant_release(made);
		made = NULL;
	}
	pthread_mutex_unlock(&lock);
	return made;
}

/* Find an applicant; the caller releases it */
SbApplicant *
sb_store_find(SbSlice id)
{
	SbApplicant *found;

	pthread_mutex_lock(&lock);
	found = hold(find(id));
	pthread_mutex_unlock(&lock);
	return found;
}

/* Put a changed record in the place of an applicant's; the caller releases it */
SbApplicant *
sb_store_change(SbSlice id, SbChange change, const void *argument)
{
	SbApplicant *found;
	SbApplicant *made = NULL;

	pthread_mutex_lock(&lock);
	found = find(id);
	if (found != NULL)
	{
		SbApplicant draft;

		copy_record(&draft, found);
		draft.updated_ms = sb_clock_wall();
		change(&draft, argument);
		made = make_applicant(&draft);
		enter(hold(made));
	}
	pthread_mutex_unlock(&lock);
	return made;
}

/* Remove an applicant for good; false if there is none */
bool
sb_store_remove(SbSlice id)
{
	SbApplicant *found;

	pthread_mutex_lock(&lock);
	found = find(id);
	if (found != NULL)
	{
		sb_table_remove(by_id, (SbSlice) {found->id, SB_ID_LENGTH});
		sb_table_remove(by_external_id, found->external_id);
	}
	pthread_mutex_unlock(&lock);
	sb_applicant_release(found);
	return found != NULL;
}

/* Make many applicants at once; those that exist are made anew */
void
sb_store_seed(SbSlice prefix, int64_t count, SbSlice status)
{
	SbApplicant draft = {.status = status,.flow_name = sb_slice("kyc-basic")};
	SbText		external_id = {0};

	draft.flow_id = sb_store_flow(draft.flow_name);
	draft.created_ms = draft.updated_ms = sb_clock_wall();
	for (int64_t i = 1; i <= count; i++)
	{
		char		phone[32];
		char		email[48];

		external_id.length = 0;
		sb_text_put(&external_id, prefix);
		sb_text_printf(&external_id, "%lld", (long long) i);
		snprintf(phone, sizeof(phone), "+1555%07lld", (long long) i);
		snprintf(email, sizeof(email), "applicant%lld@example.com", (long long) i);
		draft.external_id = sb_text_slice(&external_id);
		draft.phone = sb_slice(phone);
		draft.email = sb_slice(email);
		draft.lang = SB_LITERAL("en");
		draft.seed = sb_hash(draft.external_id);
		sb_uuid(draft.seed, draft.id);
		pthread_mutex_lock(&lock);
		enter(make_applicant(&draft));
		pthread_mutex_unlock(&lock);
	}
	sb_text_free(&external_id);
}

/* Give the number of a flow; any name is taken */
int64_t
sb_store_flow(SbSlice name)
{
	void	  **slot;
	int64_t		id;

	pthread_mutex_lock(&lock);
	slot = sb_table_slot(flows, name);
	if (*slot == NULL)
	{
		char	  **names = realloc(flow_names, (flow_count + 1) * sizeof(char *));

		if (names == NULL)
			abort();
		flow_names = names;
		flow_names[flow_count++] = sb_copy(name.data, name.length);
		*slot = (void *) (uintptr_t) flow_count;
	}
	id = (int64_t) (uintptr_t) *slot;
	pthread_mutex_unlock(&lock);
	return id;
}

/* Append the name of a flow; a number never given out gets a name */
void
sb_store_flow_name(int64_t id, SbText *name)
{
	pthread_mutex_lock(&lock);
	if (id >= 1 && (uint64_t) id <= flow_count)
		sb_text_puts(name, flow_names[id - 1]);
	else
		sb_text_printf(name, "flow-%lld", (long long) id);
	pthread_mutex_unlock(&lock);
}

/* Make or find the report of an address or hash; the caller releases it */
SbReport *
sb_store_add_report(SbSlice blockchain, SbSlice subject, bool transaction)
{
	SbReport   *made = sb_alloc(sizeof(SbReport) + blockchain.length + subject.length);
	char	   *at = (char *) (made + 1);
	void	  **slot;

	atomic_init(&made->refs, 1);
	made->blockchain = place_slice(&at, blockchain);
	made->subject = place_slice(&at, subject);
	made->transaction = transaction;
	made->created_ms = sb_clock_wall();
	made->seed = sb_hash((SbSlice) {made->blockchain.data, blockchain.length + subject.length});
	sb_uuid(made->seed, made->id);
	pthread_mutex_lock(&lock);
	slot = sb_table_slot(reports, (SbSlice) {made->id, SB_ID_LENGTH});
	if (*slot == NULL)
		*slot = made;
	else
	{
		free(made);
		made = *slot;
	}
	atomic_fetch_add(&made->refs, 1);
	pthread_mutex_unlock(&lock);
	return made;
}

/* Find a report; the caller releases it */
SbReport *
sb_store_find_report(SbSlice id)
{
	SbReport   *found;

	pthread_mutex_lock(&lock);
	found = sb_table_find(reports, id);
	if (found != NULL)
		atomic_fetch_add(&found->refs, 1);
	pthread_mutex_unlock(&lock);
	return found;
}

/* Let go of a report */
void
sb_report_release(SbReport *report)
{
	if (report != NULL && atomic_fetch_sub(&report->refs, 1) == 1)
		free(report);
}

/* Find a kind of document by its name */
SbDocumentKind
sb_document_kind(SbSlice name)
{
	static const char *const names[] = {"applicant", "aml", "questionnaire"};

	for (int i = 0; i < SB_DOCUMENT_KINDS; i++)
		if (sb_slice_is(name, names[i]))
			return (SbDocumentKind) i;
	return SB_DOCUMENT_KINDS;
}

/* Put an override in place, or with NULL take it away */
void
sb_store_put_override(SbDocumentKind kind, SbSlice id, SbOverride *override)
{
	SbOverride *old;

	pthread_mutex_lock(&lock);
	old = sb_table_remove(overrides[kind], id);
	if (override != NULL)
		*sb_table_slot(overrides[kind], id) = override;
	pthread_mutex_unlock(&lock);
	sb_override_release(old);
}

/* Find an override; the caller releases it */
SbOverride *
sb_store_find_override(SbDocumentKind kind, SbSlice id)
{
	SbOverride *found = NULL;

	pthread_mutex_lock(&lock);
	if (sb_table_count(overrides[kind]) > 0)
		found = sb_table_find(overrides[kind], id);
	if (found != NULL)
		atomic_fetch_add(&found->refs, 1);
	pthread_mutex_unlock(&lock);
	return found;
}

/* Let go of an override */
void
sb_override_release(SbOverride *override)
{
	if (override == NULL || atomic_fetch_sub(&override->refs, 1) != 1)
		return;
	sb_text_free(&override->data);
	sb_text_free(&override->status);
	free(override);
}
