/*
 * How fast second moments are summed up, against what the machine can do in the same run:
 *
 *     mpirun -n 2 bench_moments --n 8192 --keys 1024 --repeats 5
 *
 * One update C += K K^T of `keys` float32 vectors into a float64 and a float32 state, from vectors dealt to
 * the ranks to the sum. Counted are n^2 k flops: 2 n^2 k / 2, as only the triangle is computed; the ratio is
 * to square matrix products of all ranks at the same time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/options.h"
#include "linalg/accumulate.h"
#include "rlsedit/rlsedit.h"

typedef struct {
    int64_t n, keys, block, gemm_size;
    int repeats;
} options;

static void fill(rls_dtype dtype, void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        rls_set(dtype, data, i, (double)(i % 17) - 8.0);
}

static void fail(const rls_context *ctx)
{
    fprintf(stderr, "bench_moments: %s\n", rls_context_message(ctx));
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void run(rls_context *ctx, rls_grid *grid, rls_dtype dtype, const options *o)
{
    rls_matrix *c = NULL;
    rls_accumulator *a = NULL;
    const int rank = rls_context_rank(ctx), size = rls_context_size(ctx);
    const int64_t count = o->keys * (rank + 1) / size - o->keys * rank / size;
    void *keys = memory((double)(count * o->n) * sizeof(float));
    double best = INFINITY, sum = 0.0;
    fill(RLS_F32, keys, count * o->n);
    const double peak = gemm_rate(dtype, 'N', o->gemm_size, o->gemm_size, o->gemm_size, 6);
    if (rls_matrix_create(grid, dtype, o->n, o->n, o->block, &c) != RLS_OK ||
        rls_accumulator_create(grid, dtype, o->n, o->block, o->keys, &a) != RLS_OK)
        fail(ctx);
    for (int i = -1; i < o->repeats; i++) {
        const rls_vectors vectors = {count, RLS_F32, keys};
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        if (rls_accumulate(a, c, &vectors) != RLS_OK)
            fail(ctx);
        const double seconds = slowest(MPI_Wtime() - start);
        if (i < 0)
            continue; /* the first one touches the memory */
        best = fmin(best, seconds);
        sum += seconds;
    }
    const double flops = 1e-9 * (double)o->n * (double)o->n * (double)o->keys;
    if (rank == 0)
        printf("%s: %.3f s (best), %.3f s (mean): %.1f and %.1f Gflop/s of %.1f (GEMM): %.2f and %.2f\n",
               rls_dtype_name(dtype), best, sum / o->repeats, flops / best, flops * o->repeats / sum, peak,
               flops / best / peak, flops * o->repeats / sum / peak);
    rls_accumulator_destroy(&a);
    rls_matrix_destroy(&c);
    free(keys);
}

int main(int argc, char **argv)
{
    options o = {.n = 8192, .keys = 1024, .block = 64, .gemm_size = 2048, .repeats = 5};
    const bench_option table[] = {
        {"n", "N", "size of the matrix (8192)", OPTION_NUMBER, &o.n, 1},
        {"keys", "K", "keys an update (1024)", OPTION_NUMBER, &o.keys, 1},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"gemm", "SIZE", "size of the GEMM measurement (2048)", OPTION_NUMBER, &o.gemm_size, 1},
        {"repeats", "R", "updates timed (5)", OPTION_REPEATS, &o.repeats, 1}};
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    MPI_Init(&argc, &argv);
    const int stop = options_read(argc, argv, "bench_moments", table, OPTION_COUNT(table));
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK || rls_grid_create(ctx, 0, 0, &grid) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    if (rls_context_rank(ctx) == 0)
        printf("n %lld, %lld float32 keys an update, block %lld, %d ranks; n^2 k flops counted\n",
               (long long)o.n, (long long)o.keys, (long long)o.block, rls_context_size(ctx));
    run(ctx, grid, RLS_F64, &o);
    run(ctx, grid, RLS_F32, &o);
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
