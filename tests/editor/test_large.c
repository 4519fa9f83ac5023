/* ctest: NP 1 NAME small ARGS 640 48 */
/* ctest: NP 1 TIMEOUT 1800 LABELS large ARGS 17408 1024 */
/*
 * One rank holds a block of more than 2 GiB, end to end: the anchor from a second moment, 200 edits. The
 * second moment is a diagonal plus few directions, so that products with A_t, which nobody could solve with
 * densely here, are cheap. Arguments: n and m.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

enum { DIRECTIONS = 8, EDITS = 200, BATCH = 100, RANK = DIRECTIONS + EDITS, COLUMNS = 32, BLOCK = 64 };

static const double LAMBDA = 1.0, MU = 1.5, WEIGHT = 2.0;

static int64_t n = 640, m = 48;

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

static double diagonal_at(int64_t i)
{
    return 0.5 + (double)(i % 100) / 25.0;
}

static double weight_at(int64_t i, int64_t j)
{
    return 0.1 * sin((double)(i + 1) * 0.37 + (double)j * 1.91);
}

/* A_t = Diag + U U^T: U [n, RANK] is the directions of mu^2 w M, then the keys. */
static double *make_directions(void)
{
    double *u = array(n * RANK);
    rls_random random = rls_random_seed(3);
    for (int64_t at = 0; at < n * RANK; at++) {
        const double size = at < n * DIRECTIONS ? MU * sqrt(WEIGHT) * 3.0 : 1.0;
        u[at] = size * rls_random_normal(&random) / sqrt((double)n);
    }
    return u;
}

/* out [n, COLUMNS] = A_t x. */
static void times_a(const double *u, const double *x, double *out)
{
    double *ux = array((int64_t)RANK * COLUMNS);
    rls_gemm(RLS_F64, 'T', 'N', RANK, COLUMNS, n, 1.0, u, n, x, n, 0.0, ux, RANK);
    for (int64_t at = 0; at < n * COLUMNS; at++)
        out[at] = (LAMBDA * LAMBDA + MU * MU * WEIGHT * diagonal_at(at % n)) * x[at];
    rls_gemm(RLS_F64, 'N', 'N', n, COLUMNS, RANK, 1.0, u, n, ux, RANK, 1.0, out, n);
    free(ux);
}

static double norm(const double *a, int64_t count)
{
    return sqrt(rls_sum_squares(RLS_F64, count, 1, a, count));
}

/* The lower triangle of M. */
static void fill_moment(rls_matrix *c, const double *u)
{
    int64_t rows, cols, ld;
    double *local = rls_matrix_local(c, &rows, &cols, &ld);
    const double scale = 1.0 / (MU * MU * WEIGHT);
    for (int64_t jl = 0; jl < cols; jl++) {
        const int64_t j = rls_matrix_global_col(c, jl);
        for (int64_t il = 0; il < rows; il++) {
            const int64_t i = rls_matrix_global_row(c, il);
            double sum = 0.0;
            for (int64_t r = 0; i >= j && r < DIRECTIONS; r++)
                sum += u[i + r * n] * u[j + r * n];
            local[il + jl * ld] = scale * sum + (i == j ? diagonal_at(i) : 0.0);
        }
    }
}

static void fill_weight(rls_matrix *x)
{
    int64_t rows, cols, ld;
    double *local = rls_matrix_local(x, &rows, &cols, &ld);
    for (int64_t jl = 0; jl < cols; jl++)
        for (int64_t il = 0; il < rows; il++)
            local[il + jl * ld] = weight_at(rls_matrix_global_row(x, il), rls_matrix_global_col(x, jl));
}

/* ||A_t D^T - K R^T|| / ||K R^T||, R = V - W_0 K, in COLUMNS of W's rows spread over all. */
static double stationarity(rls_editor *ed, const double *u, const double *values)
{
    int64_t ld;
    const double *x = rls_matrix_local(rls_editor_weight(ed), NULL, NULL, &ld), *keys = u + n * DIRECTIONS;
    double *delta = array(n * COLUMNS), *left = array(n * COLUMNS), *right = array(n * COLUMNS);
    double *w0 = array(n * COLUMNS), *residual = array((int64_t)EDITS * COLUMNS);
    for (int64_t c = 0; c < COLUMNS; c++) {
        const int64_t j = c * (m - 1) / (COLUMNS - 1);
        for (int64_t i = 0; i < n; i++) {
            w0[i + c * n] = weight_at(i, j);
            delta[i + c * n] = x[i + j * ld] - w0[i + c * n];
        }
        for (int64_t e = 0; e < EDITS; e++)
            residual[e + c * EDITS] = values[j + e * m];
    }
    rls_gemm(RLS_F64, 'T', 'N', EDITS, COLUMNS, n, -1.0, keys, n, w0, n, 1.0, residual, EDITS);
    rls_gemm(RLS_F64, 'N', 'N', n, COLUMNS, EDITS, 1.0, keys, n, residual, EDITS, 0.0, right, n);
    times_a(u, delta, left);
    const double error = relative_difference(left, right, n * COLUMNS);
    free(delta);
    free(left);
    free(right);
    free(w0);
    free(residual);
    return error;
}

/* ||A_t C - I|| in COLUMNS columns spread over all, the last ones beyond 2 GiB of C's storage. */
static double inverse_error(rls_editor *ed, const double *u)
{
    int64_t ld;
    const double *c = rls_matrix_local(rls_editor_inv_cov(ed), NULL, NULL, &ld);
    double *x = array(n * COLUMNS), *product = array(n * COLUMNS);
    for (int64_t k = 0; k < COLUMNS; k++) {
        const int64_t j = k * (n - 1) / (COLUMNS - 1);
        for (int64_t i = 0; i < n; i++)
            x[i + k * n] = i >= j ? c[i + j * ld] : c[j + i * ld];
    }
    times_a(u, x, product);
    for (int64_t k = 0; k < COLUMNS; k++)
        product[k * (n - 1) / (COLUMNS - 1) + k * n] -= 1.0;
    const double error = norm(product, n * COLUMNS);
    free(x);
    free(product);
    return error;
}

static void test_beyond_two_gib(void **state)
{
    rls_context *ctx = *state;
    rls_grid *grid = NULL;
    rls_editor *ed = NULL;
    assert_int_equal(rls_context_size(ctx), 1);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    double *u = make_directions(), *values = array(m * EDITS);
    for (int64_t at = 0; at < m * EDITS; at++)
        values[at] = cos((double)at * 0.71);
    const double start = MPI_Wtime();
    const rls_editor_options options = {
        .rule = "rls", .lambda = LAMBDA, .mu = MU, .dtype = RLS_F64, .n = n, .m = m, .block = BLOCK};
    assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
    fill_weight(rls_editor_weight(ed));
    fill_moment(rls_editor_inv_cov(ed), u);
    const double filled = MPI_Wtime();
    assert_all_ok(ctx, rls_editor_anchor_moment(ed, WEIGHT));
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    const double started = MPI_Wtime();
    for (int64_t at = 0; at < EDITS; at += BATCH) {
        const rls_batch batch = {.keys = {BATCH, RLS_F64, u + n * (DIRECTIONS + at)},
                                 .values = {BATCH, RLS_F64, values + m * at},
                                 .kind = RLS_TARGET};
        rls_step_report report;
        assert_all_ok(ctx, rls_editor_step(ed, &batch, &report));
        assert_all_le(1.0 - 1e-12, report.smallest_pivot);
    }
    const double stepped = MPI_Wtime(), peak = rls_memory_peak();
    const double state_bytes = 8.0 * (double)n * (double)(n + m);
    print_message(
        "n = %lld, m = %lld: C %.3f GiB; fill %.1f s, start %.1f s, %d edits %.2f s; peak %.3f GB, C + X "
        "%.3f GB\n",
        (long long)n, (long long)m, 8.0 * (double)n * (double)n / 1073741824.0, filled - start,
        started - filled, EDITS, stepped - started, peak * 1e-9, state_bytes * 1e-9);
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow counts too */
    assert_all_le(peak, 1.15 * state_bytes + 268435456.0);
#endif
    const double residual = stationarity(ed, u, values), inverse = inverse_error(ed, u);
    print_message("||A_t D - K R^T|| / ||K R^T|| = %.2g, ||A_t C - I|| = %.2g\n", residual, inverse);
    assert_all_le(residual, 1e-11);
    assert_all_le(inverse, 1e-11);
    free(u);
    free(values);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        n = strtoll(argv[1], NULL, 10);
        m = strtoll(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {context_test(test_beyond_two_gib)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "large");
}
