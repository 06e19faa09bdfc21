/*-------------------------------------------------------------------------
 *
 * rowset.c
 *		Rows out of a JSON document, by a map of columns.
 *
 * Whatever the document's shape, nothing fails: a member that is not
 * there, or not of the documented kind, makes a column null, and a list that
 * is no list makes no rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "crypto.h"
#include "document.h"
#include "rowset.h"

/* Where a walk through a document stands. */
typedef struct Walk
{
	MemoryContext row_context;	/* reset after each row */
	const ApRowset *rowset;
	ReturnSetInfo *result;
	int			rows;
	JsonbValue	levels[AP_MAX_STEPS + 1];
	int			positions[AP_MAX_STEPS + 1];
}			Walk;

/*
 * Decode an image: base64, perhaps as a data URI, perhaps in lines.  Returns
 * NULL for anything else, such as an address.
 */
static bytea *
decode_image(const JsonbValue *value)
{
	static const char marker[] = ";base64,";
	char	   *text;
	char	   *end;
	bytea	   *image = NULL;
	ApBuffer	bytes;

	if (value->type != jbvString)
		return NULL;
	text = ap_document_text(value);
	if (strncmp(text, "data:", 5) == 0 && strstr(text, marker) != NULL)
		text = strstr(text, marker) + strlen(marker);
	end = text;
	for (const char *c = text; *c != '\0'; c++)
	{
		if (strchr(AP_BLANKS, *c) == NULL)
			*end++ = *c;
	}
	ap_buffer_init(&bytes, end - text);
	if (ap_crypto_from_base64(text, end - text, &bytes))
	{
		image = palloc_extended(VARHDRSZ + bytes.len, MCXT_ALLOC_NO_OOM);
		if (image != NULL)
		{
			SET_VARSIZE(image, VARHDRSZ + bytes.len);
			memcpy(VARDATA(image), bytes.data, bytes.len);
		}
	}
	ap_buffer_free(&bytes);
	return image;
}

/*
 * Give a scalar as an SQL text.
 */
static text *
make_text(const JsonbValue *value)
{
	char	   *string;

	if (value->type == jbvString)
		return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	string = ap_document_text(value);
	return string != NULL ? cstring_to_text(string) : NULL;
}

/*
 * Read a member as a column's kind.  Returns false if it cannot be read so.
 */
static bool
read_member(ApColumnKind kind, const JsonbValue *value, Datum *datum)
{
	int64		integer;
	bool		truth;
	TimestampTz time;
	void	   *pointer;

	switch (kind)
	{
		case AP_TEXT:
			pointer = make_text(value);
			*datum = PointerGetDatum(pointer);
			return pointer != NULL;
		case AP_IMAGE:
			pointer = decode_image(value);
			*datum = PointerGetDatum(pointer);
			return pointer != NULL;
		case AP_JSON:
			if (value->type == jbvNull)
				return false;
			*datum = JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, value)));
			return true;
		case AP_NUMERIC:
			return ap_document_numeric(value, datum);
		case AP_INTEGER:
		case AP_BIGINT:
			if (!ap_document_int64(value, &integer))
				return false;
			if (kind == AP_BIGINT)
				*datum = Int64GetDatum(integer);
			else
				*datum = Int32GetDatum((int32) integer);
			return kind == AP_BIGINT || (integer >= PG_INT32_MIN && integer <= PG_INT32_MAX);
		case AP_BOOLEAN:
			if (!ap_document_bool(value, &truth))
				return false;
			*datum = BoolGetDatum(truth);
			return true;
		case AP_TIME:
			if (!ap_document_time(value, &time))
				return false;
			*datum = TimestampTzGetDatum(time);
			return true;
		default:
			return false;
	}
}

/*
 * Read a column of the row at which the walk stands.
 */
static bool
read_column(const Walk *walk, const ApColumn *column, Datum *datum)
{
	JsonbValue	member;

	switch (column->kind)
	{
		case AP_ROW_NUMBER:
			*datum = Int32GetDatum(walk->rows);
			return true;
		case AP_POSITION:
			*datum = Int32GetDatum(walk->positions[column->level]);
			return true;
		case AP_LABEL:
			*datum = CStringGetTextDatum(column->key);
			return true;
		default:
			break;
	}
	if (ap_document_member(&walk->levels[column->level], column->key, &member) &&
		read_member(column->kind, &member, datum))
		return true;
	return column->fallback > 0 &&
		ap_document_member(&walk->levels[column->fallback], column->key, &member) &&
		read_member(column->kind, &member, datum);
}

/*
 * Make a row of where the walk stands.
 */
static void
emit_row(Walk *walk)
{
	Datum		values[AP_MAX_COLUMNS];
	bool		nulls[AP_MAX_COLUMNS];
	MemoryContext old = MemoryContextSwitchTo(walk->row_context);

	CHECK_FOR_INTERRUPTS();
	walk->rows++;
	for (int i = 0; i < walk->rowset->ncolumns; i++)
		nulls[i] = !read_column(walk, &walk->rowset->columns[i], &values[i]);
	tuplestore_putvalues(walk->result->setResult, walk->result->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(walk->row_context);
}

/*
 * Take the steps from a level on, and make the rows below it.
 */
static void
descend(Walk *walk, int level)
{
	const ApStep *step = &walk->rowset->steps[level];
	JsonbValue *next = &walk->levels[level + 1];
	JsonbValue	member;
	JsonbValue	element;
	int			length;

	if (level == walk->rowset->nsteps)
	{
		emit_row(walk);
		return;
	}
	if (!ap_document_member(&walk->levels[level], step->member, &member))
		member.type = jbvNull;
	if (step->single)
	{
		if (!ap_document_as_object(&member, next))
			next->type = jbvNull;
		descend(walk, level + 1);
		return;
	}
	length = ap_document_length(&member);
	for (int i = 0; i < length; i++)
	{
		if (!ap_document_element(&member, i, &element))
			continue;
		/* an array where an object was documented stands for its first one */
		if (!ap_document_as_object(&element, next))
			*next = element;
		walk->positions[level + 1] = i + 1;
		descend(walk, level + 1);
	}
}

/*
 * Check that a result has columns of these types: its type is an object of
 * the database, which may be of another version or may have been altered.
 */
void
ap_rowset_check(TupleDesc result, const Oid *types, int ntypes)
{
	bool		fits = result->natts == ntypes;

	for (int i = 0; fits && i < ntypes; i++)
		fits = TupleDescAttr(result, i)->atttypid == types[i];
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("result type of the function does not have the columns that this version of allpass gives"),
				 errhint("Use ALTER EXTENSION allpass UPDATE.")));
}

/*
 * Check that the result has the columns of the map.
 */
static void
check_result(const ApRowset *rowset, TupleDesc result)
{
	static const Oid kinds[] = {
		[AP_ROW_NUMBER] = INT4OID,
		[AP_POSITION] = INT4OID,
		[AP_LABEL] = TEXTOID,
		[AP_TEXT] = TEXTOID,
		[AP_INTEGER] = INT4OID,
		[AP_BIGINT] = INT8OID,
		[AP_NUMERIC] = NUMERICOID,
		[AP_BOOLEAN] = BOOLOID,
		[AP_TIME] = TIMESTAMPTZOID,
		[AP_JSON] = JSONBOID,
		[AP_IMAGE] = BYTEAOID,
	};
	Oid			types[AP_MAX_COLUMNS] = {0};

	for (int i = 0; i < rowset->ncolumns; i++)
		types[i] = kinds[rowset->columns[i].kind];
	ap_rowset_check(result, types, rowset->ncolumns);
}

/*
 * Add the rows of a document to a result that is being materialized.
 */
void
ap_rowset_emit(const ApRowset *rowset, Jsonb *document, ReturnSetInfo *result)
{
	Walk		walk = {.rowset = rowset, .result = result};

	check_result(rowset, result->setDesc);
	walk.row_context = AllocSetContextCreate(CurrentMemoryContext, "allpass row",
											 ALLOCSET_DEFAULT_SIZES);
	if (ap_document_value(document, &walk.levels[0]))
		descend(&walk, 0);
	MemoryContextDelete(walk.row_context);
}
