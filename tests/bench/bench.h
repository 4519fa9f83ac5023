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

/* Gflop/s of all ranks' products [m, k] x [k, n] together, the first factor stored as trans ('N', 'T') says:
 * best of several. Collective over all. */
static inline double gemm_rate(rls_dtype dtype, char trans, int64_t m, int64_t n, int64_t k, int times)
{
    const double bytes = (double)rls_dtype_size(dtype);
    void *a = memory(bytes * (double)m * (double)k), *b = memory(bytes * (double)k * (double)n);
    void *c = memory(bytes * (double)m * (double)n);
    for (int64_t i = 0; i < m * k; i++)
        rls_set(dtype, a, i, (double)(i % 17) - 8.0);
    for (int64_t i = 0; i < k * n; i++)
        rls_set(dtype, b, i, (double)(i % 13) - 6.0);
    for (int64_t i = 0; i < m * n; i++)
        rls_set(dtype, c, i, 0.0);
    int ranks = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    double best = INFINITY;
    for (int i = 0; i < times; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        rls_gemm(dtype, trans, 'N', m, n, k, 1.0, a, trans == 'N' ? m : k, b, k, 0.0, c, m);
        best = fmin(best, slowest(MPI_Wtime() - start));
    }
    free(a);
    free(b);
    free(c);
    return 2e-9 * (double)m * (double)n * (double)k * ranks / best;
}

#endif
