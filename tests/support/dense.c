#include "support/dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/blas.h"
#include "support/random.h"

void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda, double *b,
            const int *ldb, int *info);

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

static double *random_array(int64_t count, double scale, rls_random *random)
{
    double *a = array(count);
    for (int64_t i = 0; i < count; i++)
        a[i] = (double)(float)(scale * rls_random_normal(random));
    return a;
}

static void gemm(char ta, char tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                 int64_t lda, const double *b, int64_t ldb, double beta, double *c)
{
    const int im = (int)m, in = (int)n, ik = (int)k, ila = (int)lda, ilb = (int)ldb;
    if (m > 0 && n > 0)
        dgemm_(&ta, &tb, &im, &in, &ik, &alpha, a, &ila, b, &ilb, &beta, c, &im);
}

void dense_random(dense_problem *p, int64_t n, int64_t m, int64_t u, double condition, uint64_t seed)
{
    rls_random random = rls_random_seed(seed);
    *p = (dense_problem){.n = n, .m = m, .u = u, .lambda = 1.0, .mu = 1.0, .weight = 1.0};
    p->x0 = random_array(n * m, 0.1, &random);
    p->keys = random_array(n * u, 1.0 / sqrt((double)n), &random);
    p->values = random_array(m * u, 1.0, &random);
    /* M = B B^T with column j of B of size sqrt(condition) geometrically falling to 1: lambda = 1 bounds A_0
     * below. */
    const int64_t rank = n / 2 + 1;
    double *b = random_array(n * rank, 1.0 / sqrt((double)n), &random);
    for (int64_t j = 0; j < rank; j++)
        for (int64_t i = 0; i < n; i++)
            b[i + j * n] *= sqrt(0.3 * pow(condition, 1.0 - (double)j / (double)rank));
    p->moment = array(n * n);
    gemm('N', 'T', n, n, rank, 1.0, b, n, b, n, 0.0, p->moment);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i <= j; i++)
            p->moment[i + j * n] = p->moment[j + i * n] = (double)(float)p->moment[i + j * n];
    free(b);
}

void dense_random_anchors(dense_problem *p, int64_t anchors, int with_values, uint64_t seed)
{
    rls_random random = rls_random_seed(seed);
    p->anchors = anchors;
    p->k0 = random_array(p->n * anchors, 1.0 / sqrt((double)p->n), &random);
    if (with_values)
        p->v0 = random_array(p->m * anchors, 1.0, &random);
}

void dense_free(dense_problem *p)
{
    free(p->moment);
    free(p->k0);
    free(p->v0);
    free(p->x0);
    free(p->keys);
    free(p->values);
    *p = (dense_problem){0};
}

void dense_anchor(const dense_problem *p, double *a)
{
    const int64_t n = p->n;
    const double mu2 = p->mu * p->mu;
    for (int64_t i = 0; i < n * n; i++)
        a[i] = p->moment != NULL ? mu2 * p->weight * p->moment[i] : 0.0;
    for (int64_t i = 0; i < n; i++)
        a[i * (n + 1)] += p->lambda * p->lambda;
    gemm('N', 'T', n, n, p->anchors, mu2, p->k0, n, p->k0, n, 1.0, a);
}

/* rhs += scale K (V - W_0 K)^T */
static void add_pull(const dense_problem *p, double scale, const double *keys, const double *values,
                     int64_t u, double *rhs)
{
    double *e = array(p->m * u);
    memcpy(e, values, (size_t)(p->m * u) * sizeof *e);
    gemm('T', 'N', p->m, u, p->n, -1.0, p->x0, p->n, keys, p->n, 1.0, e);
    gemm('N', 'T', p->n, p->m, u, scale, keys, p->n, e, p->m, 1.0, rhs);
    free(e);
}

int dense_solution(const dense_problem *p, int64_t edits, double *delta)
{
    const int n = (int)p->n, m = (int)p->m;
    int info = 0;
    double *a = array(p->n * p->n);
    dense_anchor(p, a);
    gemm('N', 'T', p->n, p->n, edits, 1.0, p->keys, p->n, p->keys, p->n, 1.0, a);
    memset(delta, 0, (size_t)(p->n * p->m) * sizeof *delta);
    if (p->v0 != NULL)
        add_pull(p, p->mu * p->mu, p->k0, p->v0, p->anchors, delta);
    add_pull(p, 1.0, p->keys, p->values, edits, delta);
    dposv_("L", &n, &m, a, &n, delta, &n, &info);
    free(a);
    return info;
}
