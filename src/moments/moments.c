#include "moments/moments.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/symmetric.h"
#include "moments/output.h"
#include "moments/run.h"

/* Changes are looked at from this many texts on, whenever their number has doubled. */
enum { FIRST_DOUBLING = 32 };

/* The next number of texts at which changes are looked at; INT64_MAX when they are not. */
static int64_t next_doubling(const rls_moments_run *run)
{
    int64_t at = FIRST_DOUBLING;
    if (run->partial.doubling == NULL)
        return INT64_MAX;
    while (at <= run->partial.texts)
        at *= 2;
    return at;
}

/* Keeps the means as they are, for the next doubling. Not collective. */
static void keep_means(rls_moments_partial *p)
{
    for (int i = 0; i < p->count; i++) {
        const rls_matrix *sum = p->sums[i];
        const int64_t count = rls_matrix_storage(sum);
        if (count > 0)
            memcpy(p->doubling[i]->part.data, sum->part.data,
                   (size_t)count * rls_dtype_size(sum->part.dtype));
        rls_symmetric_scale_shift(p->doubling[i], 1.0 / (double)p->keys, 0.0);
    }
    p->doubling_texts = p->texts;
    p->doubling_keys = p->keys;
}

/* At a doubling: the largest relative change of a layer since the last one. Collective. */
static void look_at_change(rls_moments_run *run)
{
    rls_moments_partial *p = &run->partial;
    char text[1024] = "";
    size_t at = 0;
    if (p->keys == 0)
        return;
    if (p->doubling_texts > 0) {
        run->change = 0.0;
        for (int i = 0; i < p->count; i++) {
            double change = 0.0, norm = 0.0;
            rls_symmetric_change(p->sums[i], 1.0 / (double)p->keys, p->doubling[i], 1.0, &change, &norm);
            const double relative = norm > 0.0 ? change / norm : 0.0;
            run->change = fmax(run->change, relative);
            const int wrote = snprintf(text + at, sizeof text - at, "%s %.3g (layer %d)", i > 0 ? "," : "",
                                       relative, run->layers[i]);
            at += wrote > 0 && at + (size_t)wrote < sizeof text ? (size_t)wrote : 0;
        }
        rls_progress_end(&run->progress);
        rls_log(run->ctx, RLS_LOG_INFO, "%" PRId64 " texts, change since %" PRId64 ":%s", p->texts,
                p->doubling_texts, text);
    }
    keep_means(p);
}

static bool close_enough(const rls_moments_run *run)
{
    return run->request->tolerance > 0.0 && run->change >= 0.0 && run->change <= run->request->tolerance;
}

/* Commits what there is. Collective. */
static rls_status save(rls_moments_run *run)
{
    const double start = rls_profile_start();
    const rls_status status = rls_moments_partial_save(&run->partial);
    run->saved_at = rls_profile_start();
    run->saved_texts = run->partial.texts;
    run->save_seconds = fmax(run->save_seconds, run->saved_at - start);
    run->stop.reserve = 2.0 + 1.5 * run->save_seconds;
    return status;
}

/* Rank 0's clock decides for all. Collective. */
static bool save_due(const rls_moments_run *run)
{
    int due = rls_profile_start() - run->saved_at >= 60.0 * run->request->save_minutes;
    MPI_Bcast(&due, 1, MPI_INT, 0, run->ctx->comm);
    return due != 0 && run->partial.keys > 0;
}

/* The next round. Collective. */
static rls_status one_round(rls_moments_run *run)
{
    rls_moments_partial *p = &run->partial;
    const rls_partition *part = &run->llm->part;
    const int64_t doubling = next_doubling(run), stop = doubling < run->samples ? doubling : run->samples;
    rls_texts_round round = {0};
    const double start = rls_profile_start();
    rls_status status = rls_texts_fill(&run->texts, p->texts, run->budget * part->data_groups);
    (void)rls_profile_add(run->ctx, "tokens", start, 0.0, 0.0);
    if (status == RLS_OK)
        status = rls_agree(
            run->ctx, rls_texts_deal(&run->texts, stop, run->budget, part->data_groups, part->data, &round));
    if (status == RLS_OK && round.keys > 0)
        status = rls_moments_run_round(run, &round);
    if (status == RLS_OK) {
        p->texts = round.end;
        p->keys += round.keys;
        if (p->texts == doubling)
            look_at_change(run);
    }
    rls_texts_round_free(&round);
    run->round_seconds = fmax(run->round_seconds, rls_profile_start() - start);
    return status;
}

static rls_status take_all(rls_moments_run *run)
{
    rls_moments_partial *p = &run->partial;
    rls_status status = RLS_OK;
    rls_progress_begin(&run->progress, run->ctx->rank == 0 ? run->request->progress : NULL, p->texts,
                       run->samples);
    run->progress.unit = "texts";
    run->saved_at = rls_profile_start();
    while (status == RLS_OK && p->texts < run->samples && !close_enough(run)) {
        status = rls_agree(run->ctx, rls_stop_check(run->ctx, &run->stop, run->round_seconds, p->texts));
        if (status == RLS_OK)
            status = one_round(run);
        if (status == RLS_OK && save_due(run))
            status = save(run);
        rls_progress_update(&run->progress, p->texts);
    }
    rls_progress_end(&run->progress);
    return status;
}

/* Stopped: what there is goes to the disk. The reason stays the message. Collective. */
static rls_status save_and_stop(rls_moments_run *run)
{
    if (run->saved_texts == run->partial.texts || run->partial.keys == 0)
        return RLS_STOPPED;
    char *reason = NULL;
    rls_status status = rls_agree(run->ctx, rls_strdup(run->ctx, rls_context_message(run->ctx), &reason));
    if (status == RLS_OK)
        status = save(run);
    if (status == RLS_OK)
        status = rls_agree(run->ctx, rls_fail(run->ctx, RLS_STOPPED, "%s", reason));
    free(reason);
    return status;
}

/* The sums become means, and the means the file. Collective. */
static rls_status finish(rls_moments_run *run)
{
    rls_moments_partial *p = &run->partial;
    rls_context *ctx = run->ctx;
    void *memory = NULL;
    rls_status status = rls_alloc(ctx, p->count, sizeof(int64_t), &memory);
    if (status == RLS_OK && p->keys == 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: not a single token is in its texts", run->request->text);
    status = rls_agree(ctx, status);
    int64_t *counts = memory;
    for (int i = 0; i < p->count && status == RLS_OK; i++) {
        counts[i] = p->keys;
        rls_symmetric_scale_shift(p->sums[i], 1.0 / (double)p->keys, 0.0);
        status = rls_symmetric_mirror(p->sums[i]);
    }
    if (status == RLS_OK)
        status = rls_moments_commit(ctx, p->out, p->module, p->count, p->layers, p->sums, counts, NULL, NULL);
    free(memory);
    return status;
}

rls_status rls_moments_make(rls_context *ctx, const rls_moments_request *request, rls_moments_result *result)
{
    rls_moments_run run = {.ctx = ctx, .request = request, .lock = -1, .change = -1.0};
    const double start = rls_profile_start();
    rls_status status = rls_moments_run_begin(&run);
    if (status == RLS_OK) {
        status = take_all(&run);
        if (status == RLS_STOPPED)
            status = save_and_stop(&run);
        if (status == RLS_OK)
            status = finish(&run);
    }
    *result = (rls_moments_result){.texts = run.partial.texts,
                                   .keys = run.partial.keys,
                                   .n = run.arch.inner,
                                   .change = run.change,
                                   .seconds = rls_profile_start() - start};
    rls_moments_run_end(&run);
    return status;
}
