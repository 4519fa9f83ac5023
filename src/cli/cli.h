/* The subcommands: a file each, all called by main through one table. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <signal.h>

#include "rlsedit/context.h"

/* A subcommand. Collective. argv[0] is its name. stop: becomes the number of a signal that asks to stop. */
typedef rls_status rls_cli_run(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop);

rls_cli_run rls_cli_ask;     /* continues prompts */
rls_cli_run rls_cli_edit;    /* applies a stream of edits to a model */
rls_cli_run rls_cli_eval;    /* says what a model has learnt, kept and forgotten of facts */
rls_cli_run rls_cli_inspect; /* says what a path holds */
rls_cli_run rls_cli_report;  /* makes a page that shows how a run went */
rls_cli_run rls_cli_score;   /* says how probable a model finds texts */
rls_cli_run rls_cli_moments; /* takes second moments of keys */

#endif
