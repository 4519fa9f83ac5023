/* What the memory can do, measured in the benchmark's own run by all ranks at the same time: STREAM's triad,
 * and reading. Static and inline, as each benchmark is one program. (GEMM: gemm_rate in bench.h.) */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

#include "bench/bench.h"

enum { PEAK_TIMES = 8, READ_LANES = 16 };

/* Three arrays of float64, beyond the caches together: for triad and reading, and to flush the caches. */
typedef struct {
    int64_t count; /* elements of each on this rank */
    double *a, *b, *c;
} triad;

/* This rank's share of `bytes` in all. Not collective. */
static inline triad triad_make(int64_t bytes)
{
    int ranks = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    triad t = {.count = bytes / 24 / ranks / READ_LANES * READ_LANES};
    t.a = memory(8.0 * (double)t.count);
    t.b = memory(8.0 * (double)t.count);
    t.c = memory(8.0 * (double)t.count);
#pragma omp parallel for
    for (int64_t i = 0; i < t.count; i++) {
        t.a[i] = 0.0;
        t.b[i] = 1.0;
        t.c[i] = (double)(i % 7);
    }
    return t;
}

static inline void triad_free(triad *t)
{
    free(t->a);
    free(t->b);
    free(t->c);
}

/* a = b + scale c: the caches then hold nothing of what was there before. Not collective. */
static inline void triad_run(triad *t, double scale)
{
    double *restrict a = t->a;
    const double *restrict b = t->b;
    const double *restrict c = t->c;
#pragma omp parallel for
    for (int64_t i = 0; i < t->count; i++)
        a[i] = b[i] + scale * c[i];
}

/* GB/s of all ranks together, 3 words an element: best of several, as STREAM has it. Collective over all. */
static inline double triad_rate(triad *t)
{
    int ranks = 1;
    double best = INFINITY;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int i = 0; i < PEAK_TIMES; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        triad_run(t, 1.0 + 0.5 * i);
        best = fmin(best, slowest(MPI_Wtime() - start));
    }
    return 24e-9 * (double)t->count * ranks / best;
}

/* The sum of an array, a multiple of READ_LANES long, in as many sums as fit the registers: no addition waits
 * for another. */
static inline double read_sum(const double *x, int64_t count)
{
    double sum[READ_LANES] = {0.0}, all = 0.0;
    for (int64_t i = 0; i < count; i += READ_LANES)
        for (int l = 0; l < READ_LANES; l++)
            sum[l] += x[i + l];
    for (int l = 0; l < READ_LANES; l++)
        all += sum[l];
    return all;
}

/* The sum of all three arrays, by all threads of the rank in pieces. */
static inline double read_all(const triad *t)
{
    enum { PIECE = 1 << 16 };
    double all = 0.0;
#pragma omp parallel for reduction(+ : all)
    for (int64_t i = 0; i < t->count; i += PIECE) {
        const int64_t count = t->count - i < PIECE ? t->count - i : PIECE;
        all += read_sum(t->a + i, count) + read_sum(t->b + i, count) + read_sum(t->c + i, count);
    }
    return all;
}

/* GB/s of all ranks together when all three arrays are summed up once: best of several. Collective over all.
 */
static inline double read_rate(triad *t)
{
    int ranks = 1;
    double best = INFINITY;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int i = 0; i < PEAK_TIMES; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        t->a[0] = 1e-300 * read_all(t); /* kept, so that no compiler leaves the sums out */
        best = fmin(best, slowest(MPI_Wtime() - start));
    }
    return 24e-9 * (double)t->count * ranks / best;
}

#endif
