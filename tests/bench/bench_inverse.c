/*
 * How fast C_0 = A_0^{-1} is, against what the machine can do in the same run:
 *
 *     mpirun -n 2 bench_inverse --n 8192 --dtype both --repeats 3 --json inverse.jsonl
 *
 * GEMM: all ranks multiply square matrices at the same time; its rate is the machine's peak here. The inverse
 * counts n^3 flops. Seconds are medians; the rate of the fastest repeat stands beside. The residual
 * ||A X v - v|| / ||v|| of a random vector shows that what was timed is an inverse. --scalapack times
 * p?potrf and p?potri on the same matrix too.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/median.h"
#include "bench/options.h"
#include "linalg/factor.h"
#include "linalg/symmetric.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"

enum { DESCRIPTOR_SIZE = 9 };

typedef void cholesky_routine(const char *uplo, const int *n, void *a, const int *ia, const int *ja,
                              const int *desc, int *info);
cholesky_routine pdpotrf_, pdpotri_, pspotrf_, pspotri_;

typedef struct {
    int64_t n, block, width, gemm_size;
    int repeats;
    grid_size grid;
    dtype_pair dtypes;
    bool scalapack;
    const char *json;
} options;

/* The lower triangle of a random symmetric matrix with eigenvalues between 0.1 and 1.9. */
static void fill(rls_matrix *a)
{
    const double scale = 0.9 * sqrt(3.0 / (double)a->rows);
    for (int64_t jl = 0; jl < a->cols_local; jl++) {
        const int64_t j = rls_matrix_global_col(a, jl);
        for (int64_t il = rls_dim_below(a->part.rows, a->grid->row, j); il < a->rows_local; il++) {
            const int64_t i = rls_matrix_global_row(a, il);
            const double off = scale * (rls_random_uniform_at(7, i, j) - 0.5);
            rls_set(a->part.dtype, a->part.data, il + jl * a->part.ld, i == j ? 1.0 : off);
        }
    }
}

static void scalapack_invert(rls_matrix *a)
{
    const int n = (int)a->rows, block = (int)a->part.rows.block, one = 1;
    const int desc[DESCRIPTOR_SIZE] = {1, a->grid->blacs_context, n, n, block, block, 0, 0, (int)a->part.ld};
    const bool f64 = a->part.dtype == RLS_F64;
    int info = 0;
    (f64 ? pdpotrf_ : pspotrf_)("L", &n, a->part.data, &one, &one, desc, &info);
    if (info == 0)
        (f64 ? pdpotri_ : pspotri_)("L", &n, a->part.data, &one, &one, desc, &info);
    if (info != 0)
        MPI_Abort(MPI_COMM_WORLD, 4);
}

/* Vectors in and out of a symmetric product. */
typedef struct {
    rls_panel_map map;
    void *in_row, *in_col, *out_row, *out_col, *work;
} product;

static void *vector(const rls_panel_map *map, int64_t elements)
{
    return memory((double)elements * (double)rls_dtype_size(map->dtype));
}

/* ||v|| or ||x - v|| of a row panel x of one column, v the random vector. Collective. */
static double distance(const rls_panel_map *map, const void *x)
{
    double sum = 0.0;
    for (int64_t il = 0; il < map->row_local; il++) {
        const int64_t i = rls_dim_to_global(map->row, map->grid->row, il);
        const double d = (x != NULL ? rls_get(map->dtype, x, il) : 0.0) - rls_random_uniform_at(9, i, 0);
        sum += d * d;
    }
    PMPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, map->grid->col_comm);
    return sqrt(sum);
}

/* ||A X v - v|| / ||v||, the inverse X in `a`, which becomes A. Collective. */
static double residual(rls_context *ctx, rls_matrix *a)
{
    product x;
    check(ctx, rls_panel_map_init(&x.map, a->grid, a->rows, a->part.rows.block, a->part.dtype));
    x.in_row = vector(&x.map, x.map.row_local);
    x.out_row = vector(&x.map, x.map.row_local);
    x.in_col = vector(&x.map, x.map.col_local);
    x.out_col = vector(&x.map, x.map.col_local);
    x.work = vector(&x.map, rls_panel_map_elements(&x.map, 1));
    rls_panel_map_buffers(&x.map, 1, x.work);
    for (int64_t il = 0; il < x.map.row_local; il++)
        rls_set(x.map.dtype, x.in_row, il,
                rls_random_uniform_at(9, rls_dim_to_global(x.map.row, a->grid->row, il), 0));
    rls_panel_row_to_col(&x.map, 1, x.in_row, x.in_col);
    rls_symmetric_multiply(a, &x.map, 1, x.in_row, x.in_col, x.out_row, x.out_col);
    fill(a);
    rls_panel_row_to_col(&x.map, 1, x.out_row, x.in_col);
    rls_symmetric_multiply(a, &x.map, 1, x.out_row, x.in_col, x.in_row, x.out_col);
    const double result = distance(&x.map, x.in_row) / distance(&x.map, NULL);
    void *const made[] = {x.in_row, x.in_col, x.out_row, x.out_col, x.work};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        free(made[i]);
    rls_panel_map_free(&x.map);
    return result;
}

static void run(rls_context *ctx, rls_grid *grid, rls_dtype dtype, bool scalapack, double peak,
                const options *o, FILE *json)
{
    rls_matrix *a = NULL;
    double seconds[MOST_REPEATS], pivot = 0.0;
    int p = 0, q = 0;
    rls_grid_shape(grid, &p, &q, NULL, NULL);
    check(ctx, rls_matrix_create(grid, dtype, o->n, o->n, o->block, &a));
    for (int i = 0; i < o->repeats; i++) {
        fill(a);
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        if (scalapack)
            scalapack_invert(a);
        else
            check(ctx, rls_spd_invert_by(a, o->width, &pivot));
        seconds[i] = slowest(MPI_Wtime() - start);
    }
    const double error = residual(ctx, a), n = (double)o->n;
    const double middle = median(seconds, o->repeats), fastest = smallest(seconds, o->repeats);
    const double rate = 1e-9 * n * n * n / middle, best = 1e-9 * n * n * n / fastest;
    const char *method = scalapack ? "potrf + potri" : "inverse";
    rls_matrix_destroy(&a);
    if (rls_context_rank(ctx) != 0)
        return;
    printf("%s %-13s %9.3f s %8.1f Gflop/s of %.1f (GEMM): %.3f; best %.3f; ||A X v - v|| / ||v|| = %.1e\n",
           rls_dtype_name(dtype), method, middle, rate, peak, rate / peak, best / peak, error);
    (void)fflush(stdout);
    if (json == NULL)
        return;
    (void)fprintf(
        json,
        "{\"bench\": \"inverse\", \"method\": \"%s\", \"dtype\": \"%s\", \"n\": %lld, \"block\": "
        "%lld, \"ranks\": %d, \"grid\": [%d, %d], \"seconds\": %.6g, \"gflops\": %.5g, "
        "\"gemm_gflops\": %.5g, \"gemm_ratio\": %.4g, \"best_seconds\": %.6g, \"residual\": %.3g}\n",
        method, rls_dtype_name(dtype), (long long)o->n, (long long)o->block, rls_context_size(ctx), p, q,
        middle, rate, peak, rate / peak, fastest, error);
    (void)fflush(json);
}

static void bench(rls_context *ctx, rls_grid *grid, rls_dtype dtype, const options *o, FILE *json)
{
    const double peak = gemm_rate(dtype, 'N', o->gemm_size, o->gemm_size, o->gemm_size, 6);
    run(ctx, grid, dtype, false, peak, o, json);
    if (o->scalapack)
        run(ctx, grid, dtype, true, peak, o, json);
}

int main(int argc, char **argv)
{
    options o = {.n = 8192, .block = 64, .repeats = 3, .dtypes = {true, true}, .gemm_size = 3072};
    const bench_option table[] = {
        {"n", "N", "size of the matrix (8192)", OPTION_NUMBER, &o.n, 1},
        {"dtype", "TYPE", "float64, float32 or both (both)", OPTION_DTYPES, &o.dtypes, 0},
        {"repeats", "R", "inverses timed, of which the median counts (3)", OPTION_REPEATS, &o.repeats, 1},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"grid", "PxQ", "process grid (automatic)", OPTION_GRID, &o.grid, 0},
        {"width", "W", "columns of a step (0: as the library chooses)", OPTION_NUMBER, &o.width, 0},
        {"gemm", "SIZE", "size of the GEMM measurement (3072)", OPTION_NUMBER, &o.gemm_size, 1},
        {"scalapack", NULL, "also p?potrf and p?potri", OPTION_FLAG, &o.scalapack, 0},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    int provided = 0, p = 0, q = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    const int stop = options_read(argc, argv, "bench_inverse", table, OPTION_COUNT(table));
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    check(ctx, rls_grid_create(ctx, o.grid.p, o.grid.q, &grid));
    rls_grid_shape(grid, &p, &q, NULL, NULL);
    const bool first = rls_context_rank(ctx) == 0;
    FILE *json = o.json != NULL && first ? fopen(o.json, "w") : NULL;
    if (first)
        printf("n %lld, block %lld, %d ranks as %d x %d; n^3 flops counted\n", (long long)o.n,
               (long long)o.block, rls_context_size(ctx), p, q);
    if (o.dtypes.f64)
        bench(ctx, grid, RLS_F64, &o, json);
    if (o.dtypes.f32)
        bench(ctx, grid, RLS_F32, &o, json);
    if (json != NULL)
        (void)fclose(json);
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
