/* What benchmarks measure with. Static and inline, as each is one program. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <mpi.h>

#include "base/dtype.h"
#include "linalg/kernels.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"

/* Ends the program with the context's message unless all is well. Not collective. */
static inline void check(const rls_context *ctx, rls_status status)
{
    if (status == RLS_OK)
        return;
    (void)fprintf(stderr, "bench, rank %d: %s\n", rls_context_rank(ctx), rls_context_message(ctx));
    MPI_Abort(MPI_COMM_WORLD, rls_status_exit_code(status));
}

/* Aligned memory, on large pages as the library's; without it the program ends. Not collective. */
static inline void *memory(double bytes)
{
    void *data = NULL;
    const size_t page = bytes < 16e6 ? 64 : (size_t)2 << 20;
    if (posix_memalign(&data, page, (size_t)bytes + 64) != 0) {
        (void)fprintf(stderr, "bench: no memory for %.0f bytes\n", bytes);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
#ifdef MADV_HUGEPAGE
    if (page > 64)
        (void)madvise(data, (size_t)bytes, MADV_HUGEPAGE);
#endif
    return data;
}

/* This rank's even share of u random vectors. Not collective. */
static inline rls_vectors share(rls_context *ctx, int64_t length, int64_t u, double scale, uint64_t seed)
{
    const int64_t size = rls_context_size(ctx), rank = rls_context_rank(ctx);
    const int64_t first = u * rank / size, count = u * (rank + 1) / size - first;
    float *data = memory((double)(length * count) * sizeof *data);
    rls_random random = rls_random_seed(seed + (uint64_t)first);
    for (int64_t i = 0; i < length * count; i++)
        data[i] = (float)(scale * rls_random_normal(&random));
    return (rls_vectors){count, RLS_F32, data};
}

/* What the slowest rank took. Collective over all; by PMPI, for a benchmark may count the library's calls. */
static inline double slowest(double seconds)
{
    PMPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return seconds;
}

/* Arrays of one product op(A) B a rank, op(A) [m, k], B [k, n]. */
typedef struct {
    rls_dtype dtype;
    char trans;
    int64_t m, n, k;
    void *a, *b, *c;
} gemm_product;

static inline gemm_product gemm_make(rls_dtype dtype, char trans, int64_t m, int64_t n, int64_t k)
{
    const double bytes = (double)rls_dtype_size(dtype);
    const gemm_product g = {dtype,
                            trans,
                            m,
                            n,
                            k,
                            memory(bytes * (double)m * (double)k),
                            memory(bytes * (double)k * (double)n),
                            memory(bytes * (double)m * (double)n)};
    for (int64_t i = 0; i < m * k; i++)
        rls_set(dtype, g.a, i, (double)(i % 17) - 8.0);
    for (int64_t i = 0; i < k * n; i++)
        rls_set(dtype, g.b, i, (double)(i % 13) - 6.0);
    for (int64_t i = 0; i < m * n; i++)
        rls_set(dtype, g.c, i, 0.0);
    return g;
}

/* Seconds of the slowest rank for one product. Collective. */
static inline double gemm_seconds(const gemm_product *g)
{
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    rls_gemm(g->dtype, g->trans, 'N', g->m, g->n, g->k, 1.0, g->a, g->trans == 'N' ? g->m : g->k, g->b, g->k,
             0.0, g->c, g->m);
    return slowest(MPI_Wtime() - start);
}

/* Gflop/s of all ranks, when a product takes so long. */
static inline double gemm_speed(const gemm_product *g, double seconds)
{
    int ranks = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return 2e-9 * (double)g->m * (double)g->n * (double)g->k * ranks / seconds;
}

static inline void gemm_free(gemm_product *g)
{
    free(g->a);
    free(g->b);
    free(g->c);
}

/* Gflop/s of all ranks' products [m, k] x [k, n] together, the first factor stored as trans ('N', 'T') says:
 * best of several. Collective over all. */
static inline double gemm_rate(rls_dtype dtype, char trans, int64_t m, int64_t n, int64_t k, int times)
{
    gemm_product g = gemm_make(dtype, trans, m, n, k);
    double best = INFINITY;
    for (int i = 0; i < times; i++)
        best = fmin(best, gemm_seconds(&g));
    const double rate = gemm_speed(&g, best);
    gemm_free(&g);
    return rate;
}

#endif
