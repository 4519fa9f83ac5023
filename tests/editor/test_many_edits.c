/* ctest: NP 1 TIMEOUT 300 */
/* ctest: NP 2 TIMEOUT 900 LABELS long */
/* A lifetime: 100,000 edits one by one. C must stay positive definite, and W the minimum of its objective. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

enum { N = 512, M = 16, EDITS = 100000, BLOCK = 32, CHUNK = 1000 };

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

/* Keys of lengths from 0.1 to 10 in all directions, and targets; the same on every rank. */
static void draw(rls_random *random, double *key, double *value)
{
    const double size = pow(10.0, 2.0 * rls_random_uniform(random) - 1.0) / sqrt(N);
    for (int i = 0; i < N; i++)
        key[i] = size * rls_random_normal(random);
    for (int i = 0; i < M; i++)
        value[i] = rls_random_normal(random);
}

/* A += K K^T and D_rhs [M, N] += (V - W_0 K) K^T for a chunk of edits. */
static void gather(const dense_problem *p, const double *keys, double *values, double *a, double *rhs)
{
    rls_gemm(RLS_F64, 'T', 'N', M, CHUNK, N, -1.0, p->x0, N, keys, N, 1.0, values, M);
    rls_gemm(RLS_F64, 'N', 'T', N, N, CHUNK, 1.0, keys, N, keys, N, 1.0, a, N);
    rls_gemm(RLS_F64, 'N', 'T', M, N, CHUNK, 1.0, values, M, keys, N, 1.0, rhs, M);
}

/* ||X - X_0 - delta^T|| / ||delta||: delta is [M, N]. */
static double error_of(rls_context *ctx, rls_editor *ed, const dense_problem *p, const double *delta)
{
    double *x = array((int64_t)N * M), *turned = array((int64_t)N * M);
    matrix_to_dense(ctx, rls_editor_weight(ed), x);
    for (int j = 0; j < M; j++)
        for (int i = 0; i < N; i++) {
            x[i + j * N] -= p->x0[i + j * N];
            turned[i + j * N] = delta[j + i * M];
        }
    const double error = relative_difference(x, turned, (int64_t)N * M);
    free(x);
    free(turned);
    return error;
}

static void test_hundred_thousand_edits(void **state)
{
    rls_context *ctx = *state;
    dense_problem p;
    dense_random(&p, N, M, 0, 1e3, 9);
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_editor *ed = editor_for(grid, &p, RLS_F64, BLOCK);
    double *a = array((int64_t)N * N), *rhs = array((int64_t)M * N), *c = array((int64_t)N * N);
    double *keys = array((int64_t)N * CHUNK), *values = array((int64_t)M * CHUNK);
    dense_anchor(&p, a);
    rls_random random = rls_random_seed(10);
    rls_step_report report = {0};
    double trace = (double)INFINITY, pivot = (double)INFINITY, seconds = 0.0;
    for (int64_t at = 0; at < EDITS; at += CHUNK) {
        for (int64_t e = 0; e < CHUNK; e++)
            draw(&random, keys + e * N, values + e * M);
        const double start = MPI_Wtime();
        for (int64_t e = 0; e < CHUNK; e++) {
            const bool mine = (at + e) % rls_context_size(ctx) == rls_context_rank(ctx);
            const rls_batch batch = {.keys = {mine ? 1 : 0, RLS_F64, keys + e * N},
                                     .values = {mine ? 1 : 0, RLS_F64, values + e * M},
                                     .kind = RLS_TARGET};
            const rls_status status = rls_editor_step(ed, &batch, &report);
            assert_int_equal(status, RLS_OK); /* equal on all ranks, as the report is */
            assert_true(report.trace <= trace);
            trace = report.trace;
            pivot = fmin(pivot, report.smallest_pivot);
        }
        seconds += MPI_Wtime() - start;
        gather(&p, keys, values, a, rhs);
    }
    if (rls_context_rank(ctx) == 0)
        print_message("%d edits of rank 1 on n = %d, m = %d: %.1f s, %.0f us each; smallest pivot %.17g\n",
                      EDITS, N, M, seconds, 1e6 * seconds / EDITS, pivot);
    assert_all_le(1.0, pivot); /* C was positive definite in every key's direction */
    symmetric_to_dense(ctx, rls_editor_inv_cov(ed), c);
    double trace_now = 0.0;
    for (int64_t i = 0; i < N; i++)
        trace_now += c[i * (N + 1)];
    assert_all_le(fabs(trace_now - trace), 1e-12 * trace);
    assert_all_int_equal(rls_cholesky(RLS_F64, N, c, N), 0);
    /* D = rhs A^{-1}, by Cholesky. */
    assert_all_int_equal(rls_cholesky(RLS_F64, N, a, N), 0);
    rls_solve_right(RLS_F64, 'T', M, N, a, N, rhs, M);
    rls_solve_right(RLS_F64, 'N', M, N, a, N, rhs, M);
    const double error = error_of(ctx, ed, &p, rhs);
    if (rls_context_rank(ctx) == 0)
        print_message("relative error against the closed form: %.2g\n", error);
    assert_all_le(error, 1e-8);
    free(a);
    free(rhs);
    free(c);
    free(keys);
    free(values);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_hundred_thousand_edits)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "many-edits");
}
