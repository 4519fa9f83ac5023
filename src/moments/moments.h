/*
 * Second moments of a model's keys over a corpus: what `rlsedit moments` does.
 *
 * The key of a token is the input of a block's down projection there. Every token of a text counts, those
 * that the tokenizer's post-processor adds (<s>) too, and none more than others: M = sum k k^T / tokens. It
 * is what ROME and MEMIT take.
 */
#ifndef MOMENTS_MOMENTS_H
#define MOMENTS_MOMENTS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rlsedit/context.h"
#include "rlsedit/dtype.h"

typedef struct {
    const char *model, *text, *field, *out; /* field: of JSONL; may be NULL */
    const char *module;                     /* attribute of the file; NULL: by the model's family */
    const int *layers;
    int layer_count;
    int64_t samples;    /* texts; 0: all */
    uint64_t seed;      /* of the random order in which they are taken; 0: as the corpus has them */
    int64_t max_length; /* tokens of a text, the rest of which is cut off; 0: the context, 4096 at most */
    double tolerance;   /* stops when twice the texts change the moments by no more; 0: never; negative: does
                           not even look, which saves the memory of another matrix a layer */
    rls_dtype dtype;    /* of sums and file */
    int tensor_ranks;   /* 0: chosen */
    int64_t token_budget; /* 0: chosen */
    double save_minutes;  /* what there is goes to the disk that often */
    bool overwrite;       /* a file at `out` may be there already */
    bool anew;            /* what an earlier run left is discarded, not gone on with */
    const char *walltime; /* of this allocation; NULL: Slurm's, or none */
    const volatile sig_atomic_t *stop_signal;
    FILE *progress; /* where rank 0 shows progress; NULL: nowhere */
} rls_moments_request;

typedef struct {
    int64_t texts, keys; /* a layer */
    int64_t n;
    double change; /* the last relative change that was looked at, of the layer with the largest; -1: none */
    double seconds;
} rls_moments_result;

/* Runs the model over the corpus and writes request->out, which appears whole at the end. Until then
 * OUT.partial* beside it hold what there is, and the same call goes on with them.
 *
 * With a tolerance the relative change ||M_2s - M_s||_F / ||M_2s||_F of every layer is logged whenever the
 * number s of texts has doubled, from 32 on. Memory: n^2 elements a layer over all ranks, twice that with a
 * tolerance, besides the model.
 *
 * Collective. Returns RLS_STOPPED when asked to stop (all saved), RLS_ERR_USAGE (also when `out` is there, or
 * when OUT.partial is of another model, corpus or option: which is named), RLS_ERR_DATA, RLS_ERR_MEMORY,
 * RLS_ERR_NUMERIC, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_moments_make(rls_context *ctx, const rls_moments_request *request,
                                          rls_moments_result *result);

typedef struct {
    const char *const *files; /* FILE.npz, or LAYER=FILE.npz; the layer is otherwise taken from the name */
    int64_t file_count;
    const char *out;
    const char *module;     /* NULL: from the files' names */
    const rls_dtype *dtype; /* NULL: the files' */
    bool overwrite;
} rls_import_request;

/* Writes second moments from statistics files as store/npz.h has them.
 * Collective. Memory: n^2 elements a file over all ranks. Returns RLS_ERR_USAGE (a layer that is named twice
 * or not at all, `out` that is there), RLS_ERR_DATA, RLS_ERR_MEMORY, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_moments_import(rls_context *ctx, const rls_import_request *request);

#endif
