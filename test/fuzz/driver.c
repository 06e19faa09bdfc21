/*-------------------------------------------------------------------------
 *
 * driver.c
 *		libFuzzer inside a backend: the SQL function that runs it.
 *
 * The targets are the extension's own functions, so they need what a backend
 * has: memory contexts, the jsonb parser, the catalogs.  Each input runs in a
 * memory context of its own.  No input may raise an error, except one that is
 * none of the input's fault: what a hostile server sends becomes a status or
 * a null, never an error on the way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../../src/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "fuzz.h"

/* libFuzzer's door, for a program with a main() of its own. */
extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*target) (const uint8_t *data, size_t size));

static const struct
{
	char		letter;
	void		(*run) (FuzzInput *input);
}			targets[] = {
	{'E', fuzz_envelope},
	{'S', fuzz_open},
	{'R', fuzz_round_trip},
	{'D', fuzz_document},
	{'T', fuzz_scalar},
	{'O', fuzz_options},
	{'U', fuzz_request},
};

static MemoryContext input_context;

/*
 * Report a finding, and end: libFuzzer writes the input down.
 */
void
fuzz_fail(const char *fmt,...)
{
	va_list		args;

	fputs("FINDING: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\n", stderr);
	abort();
}

/*
 * Judge an error that came out of a target.
 */
static void
judge_error(void)
{
	ErrorData  *error;

	MemoryContextSwitchTo(input_context);
	error = CopyErrorData();
	FlushErrorState();
	if (error->sqlerrcode != ERRCODE_OUT_OF_MEMORY &&
		error->sqlerrcode != ERRCODE_STATEMENT_TOO_COMPLEX)
		fuzz_fail("error %s: %s", unpack_sql_state(error->sqlerrcode), error->message);
}

/*
 * Run the target that an input chooses.
 */
static int
run_input(const uint8_t *data, size_t size)
{
	MemoryContext old = MemoryContextSwitchTo(input_context);
	FuzzInput	input = {data, size};
	int			choice = -1;

	if (size == 0)
		return 0;
	for (int i = 0; i < (int) lengthof(targets); i++)
	{
		if (targets[i].letter == (char) data[0])
			choice = i;
	}
	if (choice < 0)
		choice = data[0] % (int) lengthof(targets);
	input.data++, input.len--;

	PG_TRY();
	{
		targets[choice].run(&input);
	}
	PG_CATCH();
	{
		judge_error();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(input_context);
	return 0;
}

/*
 * SQL function: allpass_fuzz(arguments text[]) returns integer
 *
 * Runs libFuzzer with these arguments.  It ends the process itself when it has
 * fuzzed, and returns when it was given inputs to replay.
 */
PG_FUNCTION_INFO_V1(allpass_fuzz);
Datum
allpass_fuzz(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			argc = 1;
	char	  **argv;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	argv = palloc0((count + 2) * sizeof(char *));
	argv[0] = pstrdup("allpass_fuzz");
	for (int i = 0; i < count; i++)
		argv[argc++] = TextDatumGetCString(elements[i]);
	input_context = AllocSetContextCreate(TopMemoryContext, "fuzz input", ALLOCSET_DEFAULT_SIZES);
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &argv, run_input));
}
