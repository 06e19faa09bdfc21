/*-------------------------------------------------------------------------
 *
 * input.c
 *		Taking an input apart, and what must hold of every outcome.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../../src/compat.h"

#include "mb/pg_wchar.h"

#include "fuzz.h"

/*
 * Take a byte; 0 at the end of the input.
 */
int
fuzz_byte(FuzzInput *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return *input->data++;
}

/*
 * Take a choice among so many; the digit 0 stands for the first.
 */
int
fuzz_flag(FuzzInput *input, int choices)
{
	return (unsigned char) (fuzz_byte(input) - '0') % choices;
}

/*
 * Take a line, or what is left of one, as a C string.  One that begins with
 * "-" stands for NULL.
 */
char *
fuzz_line(FuzzInput *input)
{
	const unsigned char *end = memchr(input->data, '\n', input->len);
	size_t		len = end != NULL ? (size_t) (end - input->data) : input->len;
	char	   *line = pnstrdup((const char *) input->data, len);

	input->data += Min(len + 1, input->len);
	input->len -= Min(len + 1, input->len);
	return line[0] == '-' ? NULL : line;
}

/*
 * Take all that is left.
 */
ApBytes
fuzz_rest(FuzzInput *input)
{
	ApBytes		rest = {input->data, input->len};

	input->len = 0;
	return rest;
}

/*
 * Tell whether a C string could be a text of the database.
 */
bool
fuzz_is_text(const char *text)
{
	return pg_verifymbstr(text, (int) strlen(text), true);
}

/*
 * Check that a status fits the outcome, and that its words can be shown.
 */
void
fuzz_check_status(const ApStatus *status, bool ok)
{
	const char *sqlstate = unpack_sql_state(ap_status_sqlstate(status));

	if (ok != (status->code == AP_OK))
		fuzz_fail("outcome is %d, but the status has code %d", ok, status->code);
	if (strspn(sqlstate, "0123456789HVKYD") != 5)
		fuzz_fail("SQLSTATE \"%s\"", sqlstate);
	if (!ok && status->message[0] == '\0')
		fuzz_fail("a failure without a message");
	if (!fuzz_is_text(status->message) || !fuzz_is_text(status->detail) ||
		!fuzz_is_text(status->hint))
		fuzz_fail("a status that is no text");
}
