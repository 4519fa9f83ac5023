/* A run over a corpus under way; see moments/moments.h. */
#ifndef MOMENTS_RUN_H
#define MOMENTS_RUN_H

#include "base/progress.h"
#include "base/stop.h"
#include "linalg/accumulate.h"
#include "moments/moments.h"
#include "moments/partial.h"
#include "moments/texts.h"

typedef struct {
    rls_context *ctx;
    const rls_moments_request *request;
    rls_architecture arch;
    rls_model_dir *dir;
    rls_llm *llm;
    rls_corpus *corpus;
    rls_grid *grid;
    rls_accumulator *accumulator;
    char module[512];
    int *layers; /* request->layers in increasing order */
    int64_t samples, max_length, budget;
    rls_moments_partial partial; /* the sums */
    rls_texts texts;
    rls_stop stop;
    rls_progress progress;
    int lock; /* rank 0's claim of the output */
    double saved_at, save_seconds, round_seconds;
    int64_t saved_texts; /* in what is on the disk */
    double change;       /* the last one looked at; -1: none */
} rls_moments_run;

/* Opens and checks everything, and goes on with what an earlier run left. Collective. After a failure too,
 * rls_moments_run_end closes everything. */
RLS_NODISCARD rls_status rls_moments_run_begin(rls_moments_run *run);
void rls_moments_run_end(rls_moments_run *run);

/* Passes the round's texts through the blocks and adds their keys to the sums. Collective. */
RLS_NODISCARD rls_status rls_moments_run_round(rls_moments_run *run, const rls_texts_round *round);

#endif
