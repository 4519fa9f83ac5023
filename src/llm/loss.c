/* Log-softmax over a vocabulary in slices, losses and their gradients with respect to h. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "llm/pass_state.h"

/* The layout of MPI_DOUBLE_INT. */
typedef struct {
    double value;
    int id;
} top_entry;

/* Of a piece of columns, over the whole vocabulary. */
typedef struct {
    int64_t count;
    top_entry top[RLS_HEAD_COLUMNS];  /* the largest logit; of equal ones the smallest id */
    double sum[3 * RLS_HEAD_COLUMNS]; /* sums of exp(logit - top); the targets' log-probabilities; ranks with
                                         a reference, of which empty slices may have none */
    double divergence[RLS_HEAD_COLUMNS]; /* KL(p || p0) */
} piece_stats;

static void find_top(const rls_share *vocab, const float *logits, piece_stats *stats)
{
#pragma omp parallel for
    for (int64_t i = 0; i < stats->count; i++) {
        const float *l = logits + i * vocab->count;
        int64_t best = -1;
        for (int64_t v = 0; v < vocab->count; v++)
            if (best < 0 || l[v] > l[best])
                best = v;
        stats->top[i] = best < 0 ? (top_entry){-INFINITY, INT_MAX}
                                 : (top_entry){(double)l[best], (int)(vocab->first + best)};
    }
}

static void sum_exponentials(const rls_share *vocab, const float *logits, piece_stats *stats)
{
#pragma omp parallel for
    for (int64_t i = 0; i < stats->count; i++) {
        const float *l = logits + i * vocab->count, top = (float)stats->top[i].value;
        double sum = 0.0;
        for (int64_t v = 0; v < vocab->count; v++)
            sum += (double)expf(l[v] - top);
        stats->sum[i] = sum;
    }
}

/* The logits of a piece become log-probabilities. terms: for their targets, or NULL. Collective over the
 * group. */
static void log_softmax(rls_llm *llm, const rls_loss_term *terms, float *logits, piece_stats *stats)
{
    const rls_share *vocab = &llm->part.vocab;
    const MPI_Comm comm = llm->part.group->comm;
    const int64_t count = stats->count;
    find_top(vocab, logits, stats);
    if (llm->part.tensor_ranks > 1)
        MPI_Allreduce(MPI_IN_PLACE, stats->top, (int)count, MPI_DOUBLE_INT, MPI_MAXLOC, comm);
    sum_exponentials(vocab, logits, stats);
    for (int64_t i = 0; i < count; i++) {
        const int64_t v = terms != NULL ? terms[i].target - vocab->first : -1;
        stats->sum[count + i] = v >= 0 && v < vocab->count ? (double)logits[i * vocab->count + v] : 0.0;
        stats->sum[2 * count + i] = terms != NULL && terms[i].reference != NULL ? 1.0 : 0.0;
    }
    if (llm->part.tensor_ranks > 1)
        MPI_Allreduce(MPI_IN_PLACE, stats->sum, (int)(3 * count), MPI_DOUBLE, MPI_SUM, comm);
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++) {
        const double log_sum = stats->top[i].value + log(stats->sum[i]);
        float *l = logits + i * vocab->count;
        stats->sum[count + i] -= log_sum;
        for (int64_t v = 0; v < vocab->count; v++)
            l[v] = (float)((double)l[v] - log_sum);
    }
}

static bool has_reference(const piece_stats *stats, int64_t i)
{
    return stats->sum[2 * stats->count + i] > 0.0;
}

/* KL(p || p0) of the terms with a reference. Collective over the group. */
static rls_status sum_divergence(rls_llm *llm, rls_status status, const rls_loss_term *terms,
                                 const float *log_p, piece_stats *stats)
{
    const int64_t n = llm->part.vocab.count;
    bool any = false;
    for (int64_t i = 0; i < stats->count; i++) {
        any = any || has_reference(stats, i);
        if (has_reference(stats, i) && terms[i].reference == NULL && n > 0 && status == RLS_OK)
            status = rls_fail(llm->part.group, RLS_ERR_USAGE,
                              "a term has a reference on some ranks of its group only");
    }
#pragma omp parallel for
    for (int64_t i = 0; i < stats->count; i++) {
        const float *p = log_p + i * n, *p0 = terms[i].reference;
        double sum = 0.0;
        for (int64_t v = 0; v < n && p0 != NULL; v++)
            sum += (double)expf(p[v]) * ((double)p[v] - (double)p0[v]);
        stats->divergence[i] = sum;
    }
    if (any && llm->part.tensor_ranks > 1)
        MPI_Allreduce(MPI_IN_PLACE, stats->divergence, (int)stats->count, MPI_DOUBLE, MPI_SUM,
                      llm->part.group->comm);
    return status;
}

/* Log-probabilities become the gradient of weight x term with respect to the logits: p - 1[target], or
 * p (log p - log p0 - KL). */
static void differentiate(const rls_llm *llm, const rls_loss_term *terms, const piece_stats *stats,
                          float *log_p)
{
    const rls_share *vocab = &llm->part.vocab;
#pragma omp parallel for
    for (int64_t i = 0; i < stats->count; i++) {
        float *p = log_p + i * vocab->count;
        const float *p0 = terms[i].reference, weight = (float)terms[i].weight;
        const float divergence = (float)stats->divergence[i];
        if (has_reference(stats, i)) {
            for (int64_t v = 0; v < vocab->count && p0 != NULL; v++)
                p[v] = weight * expf(p[v]) * (p[v] - p0[v] - divergence);
            continue;
        }
        for (int64_t v = 0; v < vocab->count; v++)
            p[v] = weight * expf(p[v]);
        const int64_t target = terms[i].target - vocab->first;
        if (target >= 0 && target < vocab->count)
            p[target] -= weight;
    }
}

/* Adds what comes back through the head and the final norm to room->gradient. Collective over the group. */
static rls_status back_through_head(rls_pass *pass, rls_status status, const piece_stats *stats,
                                    const int64_t *position)
{
    rls_llm *llm = pass->llm;
    rls_pass_room *room = pass->room;
    const int64_t hidden = pass->rows.hidden, size = hidden * stats->count;
    if (status == RLS_OK)
        status = rls_linear_back(llm->part.group, &llm->weights.head, stats->count, room->head_logits, 0.0F,
                                 room->head_normed);
    rls_group_sum(llm, room->head_normed, size);
    if (status != RLS_OK)
        return status;
    for (int64_t i = 0; i < stats->count; i++) /* one by one: positions may repeat */
        rls_norm_back(&llm->arch, &llm->weights.norm, 1, room->head_h + i * hidden,
                      room->head_normed + i * hidden, room->gradient + position[i] * hidden);
    return RLS_OK;
}

/* One piece of the terms. Collective over the group. */
static rls_status piece_of_loss(rls_pass *pass, rls_status status, int64_t count, const rls_loss_term *terms,
                                bool gradient, double *values, int32_t *best)
{
    piece_stats stats = {.count = count};
    int64_t position[RLS_HEAD_COLUMNS] = {0};
    float *logits = pass->room->head_logits;
    for (int64_t i = 0; i < count; i++)
        position[i] = terms[i].position;
    if (status == RLS_OK)
        status = rls_head_logits(pass, count, position, logits);
    log_softmax(pass->llm, terms, logits, &stats);
    status = sum_divergence(pass->llm, status, terms, logits, &stats);
    for (int64_t i = 0; i < count; i++) {
        if (values != NULL)
            values[i] = has_reference(&stats, i) ? stats.divergence[i] : -stats.sum[count + i];
        if (best != NULL)
            best[i] = stats.top[i].id;
    }
    if (!gradient)
        return status;
    if (status == RLS_OK)
        differentiate(pass->llm, terms, &stats, logits);
    return back_through_head(pass, status, &stats, position);
}

static rls_status check_end(const rls_pass *pass)
{
    return pass->block == pass->llm->arch.blocks
               ? RLS_OK
               : rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                          "the pass is at block %" PRId64 " of %" PRId64 ": run it to the end first",
                          pass->block, pass->llm->arch.blocks);
}

static rls_status check_loss(rls_pass *pass, int64_t count, const rls_loss_term *terms, bool gradient)
{
    rls_status status = check_end(pass);
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        status = rls_pass_check_positions(pass, 1, &terms[i].position);
        if (status == RLS_OK && terms[i].reference == NULL && pass->llm->part.vocab.count > 0 &&
            (terms[i].target < 0 || terms[i].target >= pass->llm->arch.vocab))
            status = rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                              "term %" PRId64 ": target id %" PRId32 " is not in the vocabulary of %" PRId64,
                              i, terms[i].target, pass->llm->arch.vocab);
    }
    if (status == RLS_OK && gradient)
        status = rls_room_for_gradient(pass);
    return status == RLS_OK ? rls_room_for_head(pass) : status;
}

rls_status rls_pass_loss(rls_pass *pass, int64_t count, const rls_loss_term *terms, bool gradient,
                         double *values, int32_t *best)
{
    const rls_llm *llm = pass->llm;
    const int64_t piece = rls_head_columns(&llm->arch, llm->part.tensor_ranks);
    rls_status status = rls_agree(llm->part.group, check_loss(pass, count, terms, gradient));
    if (status != RLS_OK)
        return status;
    if (gradient && !pass->gradient)
        memset(pass->room->gradient, 0, (size_t)(pass->rows.hidden * pass->tokens) * sizeof(float));
    pass->gradient = pass->gradient || gradient;
    for (int64_t at = 0; at < count; at += piece)
        status = piece_of_loss(pass, status, count - at < piece ? count - at : piece, terms + at, gradient,
                               values != NULL ? values + at : NULL, best != NULL ? best + at : NULL);
    return rls_agree(llm->part.group, status);
}

/* Logits, or log-probabilities, of chosen columns in pieces. */
static rls_status columns_of_head(rls_pass *pass, int64_t count, const int64_t *position, bool probabilities,
                                  float *out)
{
    rls_llm *llm = pass->llm;
    const int64_t piece = rls_head_columns(&llm->arch, llm->part.tensor_ranks);
    rls_status status = check_end(pass);
    if (status == RLS_OK)
        status = rls_pass_check_positions(pass, count, position);
    if (status == RLS_OK)
        status = rls_room_for_head(pass);
    status = rls_agree(llm->part.group, status);
    if (status != RLS_OK)
        return status;
    for (int64_t at = 0; at < count; at += piece) {
        piece_stats stats = {.count = count - at < piece ? count - at : piece};
        float *to = out + at * llm->part.vocab.count;
        if (status == RLS_OK)
            status = rls_head_logits(pass, stats.count, position + at, to);
        if (probabilities)
            log_softmax(llm, NULL, to, &stats);
    }
    return rls_agree(llm->part.group, status);
}

rls_status rls_pass_log_probabilities(rls_pass *pass, int64_t count, const int64_t *position, float *out)
{
    return columns_of_head(pass, count, position, true, out);
}

rls_status rls_pass_logits(rls_pass *pass, int64_t count, const int64_t *position, float *out)
{
    return columns_of_head(pass, count, position, false, out);
}
