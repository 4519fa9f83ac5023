/*
 * What a machine's matrix products come to: all ranks multiply matrices [m, k] x [k, n] of their own at the
 * same time. Other benchmarks and scripts compare with it.
 *
 *     mpirun -n 2 bench_gemm --dtype float32 --m 3072 --n 3072 --k 3072 --json gemm.json
 *
 * The best of --times; Gflop/s of all ranks together. --n and --k are --m by default.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/options.h"

typedef struct {
    int64_t m, n, k, times;
    rls_dtype dtype;
    const char *json;
} options;

int main(int argc, char **argv)
{
    options o = {.m = 3072, .times = 6, .dtype = RLS_F32};
    const bench_option table[] = {
        {"dtype", "TYPE", "float64 or float32 (float32)", OPTION_DTYPE, &o.dtype, 4},
        {"m", "M", "rows (3072)", OPTION_NUMBER, &o.m, 1},
        {"n", "N", "columns (as rows)", OPTION_NUMBER, &o.n, 1},
        {"k", "K", "depth (as rows)", OPTION_NUMBER, &o.k, 1},
        {"times", "T", "products, of which the fastest counts (6)", OPTION_NUMBER, &o.times, 1},
        {"json", "FILE", "also a JSON object", OPTION_TEXT, &o.json, 0}};
    int rank = 0, ranks = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const int stop = options_read(argc, argv, "bench_gemm", table, OPTION_COUNT(table));
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    o.n = o.n > 0 ? o.n : o.m;
    o.k = o.k > 0 ? o.k : o.m;
    const double rate = gemm_rate(o.dtype, 'N', o.m, o.n, o.k, (int)o.times);
    if (rank == 0)
        printf("%s GEMM of %lld x %lld x %lld on %d ranks: %.1f Gflop/s\n", rls_dtype_name(o.dtype),
               (long long)o.m, (long long)o.n, (long long)o.k, ranks, rate);
    FILE *json = o.json != NULL && rank == 0 ? fopen(o.json, "w") : NULL;
    if (json != NULL) {
        (void)fprintf(json,
                      "{\"bench\": \"gemm\", \"dtype\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, "
                      "\"ranks\": %d, \"gflops\": %.6g}\n",
                      rls_dtype_name(o.dtype), (long long)o.m, (long long)o.n, (long long)o.k, ranks, rate);
        (void)fclose(json);
    }
    MPI_Finalize();
    return 0;
}
