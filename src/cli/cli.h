/* The subcommands: a file each, all called by main through one table. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "rlsedit/context.h"

/* rlsedit edit: applies a stream of edits to a model. Collective. argv[0] is "edit". */
RLS_NODISCARD rls_status rls_cli_edit(rls_context *ctx, int argc, char **argv);

/* rlsedit inspect: says what a path holds. Collective. argv[0] is "inspect". */
RLS_NODISCARD rls_status rls_cli_inspect(rls_context *ctx, int argc, char **argv);

#endif
