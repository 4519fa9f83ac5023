/*
 * The run directory: config.yaml, run.json, log.jsonl, stream/, checkpoints/, model/, summary.json. Rank 0
 * writes its small files; one run at a time holds its lock, which the system drops when the process ends in
 * whatever way.
 */
#ifndef STORE_RUN_DIR_H
#define STORE_RUN_DIR_H

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

/* Cuts log.jsonl down to the lines of the journal's batches, up to the first one missing: the others are
 * logged again. ends [batches]: edits after each batch. saved: batches that will not be applied again; a line
 * of theirs that is missing is replaced by one that says so ("lost"). A damaged log is kept as *.damaged.
 * *kept: lines there are then. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_dir_rewind_log(rls_run_dir *run, const int64_t *ends, int64_t batches,
                                                int64_t saved, int64_t *kept);

/* Puts the log on the disk. Not collective: pass the status to the next agreement. */
RLS_NODISCARD rls_status rls_run_dir_sync_log(rls_run_dir *run);

/* Appends one line, sealed with its checksum, to log.jsonl. Rank 0 only, not collective: pass the status to
 * the next agreement. line is consumed. */
RLS_NODISCARD rls_status rls_run_dir_log(rls_run_dir *run, json_t *line);

/* Writes summary.json as a manifest. Collective; summary is consumed on rank 0, NULL elsewhere. */
RLS_NODISCARD rls_status rls_run_dir_summary(rls_run_dir *run, json_t *summary);

/* Whether the run is finished: it has a sound summary.json, and the model is what that says. Collective. A
 * damaged one of them is set aside. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_dir_finished(const rls_run_dir *run, bool *finished);

/* A JSON number, null for what JSON cannot hold (infinity, not a number). Not collective. */
json_t *rls_json_real(double value);

#endif
