/* The run directory: config.yaml, log.jsonl, summary.json, model/. Rank 0 writes; every function agrees. */
#ifndef SESSION_RUN_DIR_H
#define SESSION_RUN_DIR_H

#include <jansson.h>

#include "base/context.h"

typedef struct rls_run_dir rls_run_dir;

/* Checks that a run directory can be made at path, and makes nothing: it is not there or an empty directory,
 * and the place is writable. Collective. Returns RLS_ERR_USAGE when something else is there, RLS_ERR_IO when
 * it could not be made. */
RLS_NODISCARD rls_status rls_run_dir_check(rls_context *ctx, const char *path);

/* Makes the directory with config.yaml and an empty log.jsonl. Collective. Returns RLS_ERR_USAGE, RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_dir_create(rls_context *ctx, const char *path, const char *config_text,
                                            rls_run_dir **out);

/* Closes the log, frees, sets *run to NULL; the files stay. Not collective. NULL is accepted. */
void rls_run_dir_close(rls_run_dir **run);

/* The path of something inside, "model" for example; rank 0's log names it like this too. Free with free().
 * Not collective. */
RLS_NODISCARD rls_status rls_run_dir_path(rls_context *ctx, const rls_run_dir *run, const char *name,
                                          char **out);

/* Appends one line to log.jsonl. Rank 0 only, not collective: pass the status to the next agreement. line is
 * consumed. */
RLS_NODISCARD rls_status rls_run_dir_log(rls_run_dir *run, json_t *line);

/* Writes summary.json: complete under a temporary name, then renamed. Collective; summary is consumed on rank
 * 0, NULL elsewhere. */
RLS_NODISCARD rls_status rls_run_dir_summary(rls_run_dir *run, json_t *summary);

/* A JSON number, null for what JSON cannot hold (infinity, not a number). Not collective. */
json_t *rls_json_real(double value);

#endif
