/*
 * The run directory: config.yaml, run.json, log.jsonl, stream/, checkpoints/, model/, summary.json. Rank 0
 * writes its small files; one run at a time holds its lock, which the system drops when the process ends in
 * whatever way.
 */
#ifndef SESSION_RUN_DIR_H
#define SESSION_RUN_DIR_H

#include <stdbool.h>

#include <jansson.h>

#include "base/context.h"

#define RLS_RUN_FORMAT "rlsedit-run"
#define RLS_SUMMARY_FORMAT "rlsedit-summary"

typedef struct rls_run_dir rls_run_dir;

/* Whether there is a run at path that could be resumed (it has run.json). Collective. Never fails for a path
 * that is not there. */
RLS_NODISCARD rls_status rls_run_dir_exists(rls_context *ctx, const char *path, bool *exists);

/* Checks that a run directory can be made at path, and makes nothing: it is not there or an empty directory,
 * and the place is writable. Collective. Returns RLS_ERR_USAGE when something else is there, RLS_ERR_IO when
 * it could not be made. */
RLS_NODISCARD rls_status rls_run_dir_check(rls_context *ctx, const char *path);

/* Makes the directory, locks it, and writes config.yaml, an empty log.jsonl, and run.json from `identity`
 * (consumed on rank 0; NULL elsewhere), which gets the config's checksum. Collective. Returns RLS_ERR_USAGE,
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_dir_create(rls_context *ctx, const char *path, const char *config_text,
                                            json_t *identity, rls_run_dir **out);

/* Opens and locks the directory of a run that was begun.
 * Collective. config_text: of config.yaml; identity: what run.json says; both equal on all ranks, the
 * caller's to free. Returns RLS_ERR_USAGE when another run is at work in it, RLS_ERR_DATA when run.json or
 * config.yaml is damaged, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_run_dir_open(rls_context *ctx, const char *path, char **config_text,
                                          json_t **identity, rls_run_dir **out);

/* Closes the log, drops the lock, frees, sets *run to NULL. Not collective. NULL is accepted. */
void rls_run_dir_close(rls_run_dir **run);

/* The path of something inside ("model"), free with free(); a name for temporary files that no other run
 * uses. Not collective. */
RLS_NODISCARD rls_status rls_run_dir_path(rls_context *ctx, const rls_run_dir *run, const char *name,
                                          char **out);
const char *rls_run_dir_token(const rls_run_dir *run);

/* Cuts log.jsonl down to its first sound lines, at most `batches` of them: what came after is logged again.
 * *kept: how many. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_dir_rewind_log(rls_run_dir *run, int64_t batches, int64_t *kept);

/* Appends one line, sealed with its checksum, to log.jsonl. Rank 0 only, not collective: pass the status to
 * the next agreement. line is consumed. */
RLS_NODISCARD rls_status rls_run_dir_log(rls_run_dir *run, json_t *line);

/* Writes summary.json as a manifest. Collective; summary is consumed on rank 0, NULL elsewhere. */
RLS_NODISCARD rls_status rls_run_dir_summary(rls_run_dir *run, json_t *summary);

/* Whether the run is finished: it has a sound summary.json. Collective. */
RLS_NODISCARD rls_status rls_run_dir_finished(const rls_run_dir *run, bool *finished);

/* A JSON number, null for what JSON cannot hold (infinity, not a number). Not collective. */
json_t *rls_json_real(double value);

#endif
