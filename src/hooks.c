/*-------------------------------------------------------------------------
 *
 * hooks.c
 *		What the workers have to know of commands that backends run.
 *
 * Commands that need a database without sessions find it so until they commit;
 * commands that change servers, mappings, extensions or databases are told of
 * when they commit, and a prepared transaction when it does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "tcop/utility.h"

#include "hooks.h"
#include "shared.h"

/* How long workers may take to leave a database. */
#define AP_EVICT_MS 5000

static ProcessUtility_hook_type next_utility = NULL;

/*
 * Give the string value of an option in a list, or NULL.
 */
static const char *
find_option(const List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/*
 * Give the database that a command needs without sessions, or NULL.
 */
static const char *
needed_database(const Node *command)
{
	const char *name;

	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			return ((const DropdbStmt *) command)->dbname;
		case T_RenameStmt:
			return ((const RenameStmt *) command)->renameType == OBJECT_DATABASE ?
				((const RenameStmt *) command)->subname : NULL;
		case T_AlterDatabaseStmt:
			return find_option(((const AlterDatabaseStmt *) command)->options, "tablespace") != NULL ?
				((const AlterDatabaseStmt *) command)->dbname : NULL;
		case T_CreatedbStmt:
			name = find_option(((const CreatedbStmt *) command)->options, "template");
			return name != NULL ? name : "template1";
		default:
			return NULL;
	}
}

/*
 * Give the OID of the database that a command needs without sessions, if the
 * role may have it so.
 */
static Oid
database_to_evict(const Node *command)
{
	const char *name = needed_database(command);
	Oid			database = name != NULL ? get_database_oid(name, true) : InvalidOid;

	if (!OidIsValid(database) || database == MyDatabaseId ||
		!ap_compat_owns_database(database, GetUserId()))
		return InvalidOid;
	return database;
}

/*
 * Note what a command has changed.
 */
static void
note(const Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreateExtensionStmt:
		case T_AlterExtensionStmt:
		case T_AlterObjectSchemaStmt:
			ap_shared_note_all();
			break;
		case T_CreatedbStmt:
		case T_DropdbStmt:
			ap_shared_note_databases();
			break;
		case T_DropStmt:
			if (((const DropStmt *) command)->removeType == OBJECT_EXTENSION)
				ap_shared_note_all();
			else if (((const DropStmt *) command)->removeType == OBJECT_FOREIGN_SERVER)
				ap_shared_note_config();
			break;
		case T_CreateForeignServerStmt:
		case T_AlterForeignServerStmt:
		case T_CreateUserMappingStmt:
		case T_AlterUserMappingStmt:
		case T_DropUserMappingStmt:
			ap_shared_note_config();
			break;
		case T_RenameStmt:
			if (((const RenameStmt *) command)->renameType == OBJECT_FOREIGN_SERVER)
				ap_shared_note_config();
			break;
		default:
			break;
	}
}

/*
 * Run a command as the server, or the next hook, does.
 */
static void
run_next(PlannedStmt *statement, const char *text, bool read_only_tree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		 DestReceiver *destination, QueryCompletion *completion)
{
	if (next_utility != NULL)
		next_utility(statement, text, read_only_tree, context, params, environment,
					 destination, completion);
	else
		standard_ProcessUtility(statement, text, read_only_tree, context, params, environment,
								destination, completion);
}

/*
 * Run a command, with what workers have to do before and after it.
 */
static void
on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		   DestReceiver *destination, QueryCompletion *completion)
{
	const Node *command = statement->utilityStmt;
	bool		is_transaction = IsA(command, TransactionStmt);
	bool		is_prepared = is_transaction &&
		((const TransactionStmt *) command)->kind == TRANS_STMT_COMMIT_PREPARED;
	Oid			evicted = database_to_evict(command);

	/* if some stay, the command says so itself */
	if (OidIsValid(evicted))
		(void) ap_shared_evict(evicted, AP_EVICT_MS);
	run_next(statement, text, read_only_tree, context, params, environment,
			 destination, completion);
	/* the tree of a command that ends the transaction may have ended with it */
	if (is_prepared)
		ap_shared_tell_all();
	else if (!is_transaction)
		note(command);
}

/*
 * Have commands pass through here.
 */
void
ap_hooks_install(void)
{
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
