/*
 * What a machine's matrix products come to: all ranks multiply matrices [m, k] x [k, n] of their own at the
 * same time. Other benchmarks and scripts compare with it.
 *
 *     mpirun -n 2 bench_gemm --dtype float32 --m 3072 --n 3072 --k 3072 --json gemm.json
 *
 * The best of --times; Gflop/s of all ranks together. --n and --k are --m by default.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

typedef struct {
    int64_t m, n, k, times;
    rls_dtype dtype;
    const char *json;
} options;

static int parse(int argc, char **argv, options *o)
{
    static const struct option names[] = {{"m", required_argument, NULL, 'm'},
                                          {"n", required_argument, NULL, 'n'},
                                          {"k", required_argument, NULL, 'k'},
                                          {"times", required_argument, NULL, 't'},
                                          {"dtype", required_argument, NULL, 'd'},
                                          {"json", required_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    for (int c = 0; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        int64_t *const at[] = {['m'] = &o->m, ['n'] = &o->n, ['k'] = &o->k, ['t'] = &o->times};
        if (c == '?')
            return -1;
        if (c == 'd') {
            o->dtype = strcmp(optarg, "float64") == 0 ? RLS_F64 : RLS_F32;
            if (strcmp(optarg, rls_dtype_name(o->dtype)) != 0)
                return -1;
        } else if (c == 'j') {
            o->json = optarg;
        } else if ((*at[c] = strtoll(optarg, NULL, 10)) < 1) {
            return -1;
        }
    }
    o->n = o->n > 0 ? o->n : o->m;
    o->k = o->k > 0 ? o->k : o->m;
    return optind == argc && o->m <= INT32_MAX && o->n <= INT32_MAX && o->k <= INT32_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    options o = {.m = 3072, .times = 6, .dtype = RLS_F32};
    int rank = 0, ranks = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (parse(argc, argv, &o) != 0) {
        if (rank == 0)
            (void)fprintf(stderr, "usage: bench_gemm [--dtype float64|float32] [--m M] [--n N] [--k K] "
                                  "[--times T] [--json FILE]\n");
        MPI_Finalize();
        return 2;
    }
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
