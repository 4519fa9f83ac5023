/*
 * Checkpoints: checkpoints/step-000001200/ with layer-04.nc ... and manifest.json.
 *
 * A layer's file (CDF-5) has inv_cov(n, n), the whole symmetric C, and weight_t(m, n), X = W^T column by
 * column: global and in canonical order, so that any number of ranks, grid and block size can read it. The
 * manifest (store/manifest.h), written last, says what the checkpoint covers and has the digest of every
 * file. A checkpoint without a valid manifest does not exist.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include <stdbool.h>

#include <jansson.h>

#include "linalg/matrix.h"

#define RLS_CHECKPOINT_FORMAT "rlsedit-checkpoint"

/* One layer's matrices: C [n, n] (lower triangle) and X [n, m]. */
typedef struct {
    int number;
    rls_matrix *inv_cov, *weight;
} rls_checkpoint_layer;

/* Writes and commits the checkpoint of a step.
 * Collective. dir: the directory of checkpoints, made when missing. step: edits applied. token: of this run,
 * for temporary names. manifest: what else it shall say (consumed on rank 0; NULL elsewhere); `format`,
 * `version`, `step` and `files` are added. C's upper triangles are filled in. What an older attempt left
 * under that step's name is removed, or set aside when it was committed. Returns RLS_ERR_IO, RLS_ERR_MEMORY;
 * then there is no new checkpoint, and older ones are as they were. */
RLS_NODISCARD rls_status rls_checkpoint_write(rls_context *ctx, const char *dir, int64_t step,
                                              const char *token, const rls_checkpoint_layer *layers,
                                              int count, json_t *manifest);

/* Fills a layer's matrices from the checkpoint of a step, whose checksums are not looked at.
 * Collective. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_checkpoint_load(rls_context *ctx, const char *dir, int64_t step,
                                             const rls_checkpoint_layer *layer);

/* The same without a verification before: the checksums are taken while the layer is read, which on a disk
 * that is slower than the processors costs nothing. Collective. manifest: of rls_checkpoint_verify without
 * digests, on all ranks. Returns RLS_ERR_DATA too when the file is damaged; the matrices' contents are of no
 * use then. */
RLS_NODISCARD rls_status rls_checkpoint_load_checked(rls_context *ctx, const char *dir, int64_t step,
                                                     const json_t *manifest,
                                                     const rls_checkpoint_layer *layer);

/* The steps that have a directory, newest first, on every rank. Collective. Free *steps with free().
 * No directory of checkpoints: none. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_checkpoint_list(rls_context *ctx, const char *dir, int64_t **steps,
                                             int64_t *count);

/* What a checkpoint's directory holds. Equal on all ranks. */
typedef struct {
    bool committed;   /* it has a manifest; without one it does not exist, and nothing is wrong with it */
    json_t *manifest; /* NULL: none, or a damaged one */
    json_t *problems; /* what is wrong, as store/problem.h has it; empty for a sound one */
    int64_t bytes;    /* of its files */
} rls_checkpoint_survey;

/* Checks the checkpoint in a directory against its manifest: the sizes of its files and, with `digests`,
 * every checksum, in parallel. Collective. A directory named step-<number> has to be of that step. Free with
 * rls_checkpoint_survey_free. Returns RLS_ERR_MEMORY; damage is no failure. */
RLS_NODISCARD rls_status rls_checkpoint_examine(rls_context *ctx, const char *directory, bool digests,
                                                rls_checkpoint_survey *out);
void rls_checkpoint_survey_free(rls_checkpoint_survey *survey);

/* Checks a checkpoint against its manifest: every file's digest, in parallel with `digests`, otherwise only
 * the manifest and the files' sizes. Collective. *manifest: equal on all ranks, NULL when the checkpoint is
 * not sound; why[768] is then the reason. bytes: of its files. Free with json_decref. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY; damage is no failure. */
RLS_NODISCARD rls_status rls_checkpoint_verify(rls_context *ctx, const char *dir, int64_t step, bool digests,
                                               json_t **manifest, int64_t *bytes, char why[768]);

/* Removes what never became a checkpoint or is one no longer: directories under temporary names, and those
 * without a manifest, which runs that died left. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_checkpoint_clear(rls_context *ctx, const char *dir);

/* Renames the checkpoint of a step to *.damaged: it is no checkpoint any more, and no evidence is lost.
 * Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_checkpoint_set_aside(rls_context *ctx, const char *dir, int64_t step);

/* Deletes old checkpoints: keeps the newest `keep` committed ones and every one whose step is a multiple of
 * keep_every (0: none). Collective. The manifest goes first, so that no half-deleted checkpoint is ever taken
 * for a whole one. Damaged ones are not touched and not counted. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_checkpoint_prune(rls_context *ctx, const char *dir, int64_t keep,
                                              int64_t keep_every);

#endif
