#include "support/edit_truth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

static double sum_squares(const double *a, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * a[i];
    return sum;
}

/* out [m] = (W_0 + D) k, D may be NULL. */
static void apply(const dense_problem *p, const double *delta, const double *key, double *out)
{
    for (int64_t j = 0; j < p->m; j++) {
        out[j] = 0.0;
        for (int64_t i = 0; i < p->n; i++)
            out[j] += (p->x0[i + j * p->n] + (delta != NULL ? delta[i + j * p->n] : 0.0)) * key[i];
    }
}

/* ||V - (W_0 + D) K||_F^2 */
static double misfit2(const dense_problem *p, const double *delta, const double *keys, const double *values,
                      int64_t count)
{
    double *y = array(p->m), sum = 0.0;
    for (int64_t e = 0; e < count; e++) {
        apply(p, delta, keys + e * p->n, y);
        for (int64_t j = 0; j < p->m; j++)
            sum += (values[e * p->m + j] - y[j]) * (values[e * p->m + j] - y[j]);
    }
    free(y);
    return sum;
}

/* mu^2 (w tr(D M D^T) + ||W K_0 - V_0||^2) + lambda^2 ||D||^2 */
static double held2(const dense_problem *p, const double *delta)
{
    double sum = 0.0;
    double *y = array(p->m), *zero = array(p->m);
    for (int64_t c = 0; p->moment != NULL && c < p->m; c++)
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t i = 0; i < p->n; i++)
                sum += p->weight * delta[i + c * p->n] * p->moment[i + j * p->n] * delta[j + c * p->n];
    for (int64_t k = 0; k < p->anchors; k++) {
        apply(p, delta, p->k0 + k * p->n, y);
        if (p->v0 == NULL)
            apply(p, NULL, p->k0 + k * p->n, zero);
        const double *v = p->v0 != NULL ? p->v0 + k * p->m : zero;
        for (int64_t j = 0; j < p->m; j++)
            sum += (y[j] - v[j]) * (y[j] - v[j]);
    }
    free(y);
    free(zero);
    return p->mu * p->mu * sum + p->lambda * p->lambda * sum_squares(delta, p->n * p->m);
}

/* tr(A_t^{-1}) */
static double trace_of_c(const dense_problem *p)
{
    const int n = (int)p->n;
    int info = 0;
    double *a = array(p->n * p->n), trace = 0.0;
    dense_anchor(p, a);
    for (int64_t e = 0; e < p->u; e++)
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t i = 0; i < p->n; i++)
                a[i + j * p->n] += p->keys[i + e * p->n] * p->keys[j + e * p->n];
    dpotrf_("L", &n, a, &n, &info);
    if (info == 0)
        dpotri_("L", &n, a, &n, &info);
    if (info != 0)
        abort();
    for (int64_t i = 0; i < p->n; i++)
        trace += a[i * (p->n + 1)];
    free(a);
    return trace;
}

/* The batch of edits [first, first + count) of p, whose values become targets. */
static void take_batch(dense_problem *p, rls_value_kind kind, int64_t first, int64_t count,
                       double *from_start, edit_truth *out)
{
    const double *keys = p->keys + first * p->n;
    double *values = p->values + first * p->m, *y = array(p->m);
    edit_truth_batch *batch = &out->batch[out->batches++];
    for (int64_t e = 0; kind == RLS_RESIDUAL && e < count; e++) {
        apply(p, out->delta, keys + e * p->n, y);
        for (int64_t j = 0; j < p->m; j++)
            values[e * p->m + j] += y[j];
    }
    free(y);
    batch->edits = first + count;
    batch->innovation_before = sqrt(misfit2(p, out->delta, keys, values, count));
    if (dense_solution(p, first + count, out->delta) != 0)
        abort();
    batch->innovation_after = sqrt(misfit2(p, out->delta, keys, values, count));
    *from_start += misfit2(p, NULL, keys, values, count);
    batch->delta_norm = sqrt(sum_squares(out->delta, p->n * p->m));
    batch->delta_bound = sqrt(*from_start) / (2.0 * p->lambda);
    batch->objective = misfit2(p, out->delta, p->keys, p->values, first + count) + held2(p, out->delta);
}

void edit_truth_make(const dense_problem *problem, rls_value_kind kind, int64_t batch, edit_truth *out)
{
    dense_problem p = *problem;
    p.values = array(p.m * p.u);
    memcpy(p.values, problem->values, (size_t)(p.m * p.u) * sizeof *p.values);
    *out = (edit_truth){.delta = array(p.n * p.m)};
    out->batch = calloc((size_t)p.u, sizeof *out->batch);
    if (out->batch == NULL || dense_solution(&p, 0, out->delta) != 0)
        abort();
    double from_start = p.v0 != NULL ? p.mu * p.mu * misfit2(&p, NULL, p.k0, p.v0, p.anchors) : 0.0;
    for (int64_t first = 0; first < p.u; first += batch)
        take_batch(&p, kind, first, p.u - first < batch ? p.u - first : batch, &from_start, out);
    double weight2 = 0.0;
    for (int64_t i = 0; i < p.n * p.m; i++)
        weight2 += (p.x0[i] + out->delta[i]) * (p.x0[i] + out->delta[i]);
    out->weight_norm = sqrt(weight2);
    out->fit_error = sqrt(misfit2(&p, out->delta, p.keys, p.values, p.u) / sum_squares(p.values, p.m * p.u));
    out->trace = trace_of_c(&p);
    free(p.values);
}

void edit_truth_free(edit_truth *truth)
{
    free(truth->batch);
    free(truth->delta);
    *truth = (edit_truth){0};
}
