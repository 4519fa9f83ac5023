/*
 * How fast a step is, against what the machine can do in the same run:
 *
 *     mpirun -n 2 bench_step --n 8192 --m 2048 --dtype both --edits 1,16,100,256,1024 --json step.jsonl
 *
 * All ranks measure at the same time. GEMM: they multiply square matrices, once before each step, as a
 * processor's clock moves with what it does: medians of both are compared; gemm_best is the fastest before
 * all steps. Triad: STREAM's a = b + s c, 3 words an element. Read: sums of the same arrays, which are beyond
 * the caches. Caches are flushed between steps, as the other layers of a model would.
 *
 * gflops, gemm_ratio: a step of u edits counts 3 n^2 u + 4 n m u flops, what it does on C's lower triangle;
 * *_square counts the 4 n^2 u + 4 n m u that a square C would take. read_ratio: the time to read n^2 / 2 + n
 * m words once, which no step goes below, over the step's. triad_ratio: GB/s of a step in place, which reads
 * C's triangle and X, reads and writes both again (1.5 n^2 + 3 n m words), over the triad's; 1 and more is
 * only possible with less than that moved. Sent: what a rank gets out of collectives and sends by messages
 * (support/traffic.h); bench_comm has the formula.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/profile.h"
#include "bench/bench.h"
#include "bench/median.h"
#include "bench/options.h"
#include "bench/peak.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"
#include "support/traffic.h"

enum { MOST_RANKS = 4096, STAGES = 6 };

static const char *const stage_names[STAGES] = {"F = C K", "S = I + K^T F", "E = V - W K",
                                                "G, H",    "C -= G G^T",    "W += H G^T"};

typedef struct {
    int64_t n, m, block, gemm_size, triad_bytes, delay;
    int repeats;
    number_list edits;
    grid_size grid;
    dtype_pair dtypes;
    bool stages;
    const char *json;
} options;

typedef struct {
    int64_t u;
    double seconds, best, stage[STAGES]; /* median, the fastest, medians; with a step's share of applied */
    double applied;                      /* seconds a step of applying what was put off */
    double gemm;                         /* Gflop/s between the steps, median */
    double sent, calls;                  /* bytes of the rank with the most, its collectives and messages */
} timing;

/* Seconds that applying the updates of so many steps takes. */
static double time_applying(rls_context *ctx, rls_editor *ed, const options *o, const rls_batch *batch,
                            int64_t steps, triad *cache)
{
    double seconds[MOST_REPEATS];
    rls_step_report report;
    const int repeats = o->repeats < 3 ? o->repeats : 3;
    (void)rls_editor_weight(ed);
    for (int i = 0; i < repeats; i++) {
        for (int64_t s = 0; s < steps; s++)
            check(ctx, rls_editor_step(ed, batch, &report));
        triad_run(cache, 1.0);
        MPI_Barrier(rls_context_comm(ctx));
        const double start = MPI_Wtime();
        (void)rls_editor_weight(ed);
        seconds[i] = slowest(MPI_Wtime() - start);
    }
    return median(seconds, repeats);
}

static timing time_steps(rls_context *ctx, rls_editor *ed, const options *o, int64_t u,
                         const gemm_product *peak, triad *cache)
{
    rls_batch batch = {.keys = share(ctx, o->n, u, 1.0 / sqrt((double)o->n), 1),
                       .values = share(ctx, o->m, u, 1.0, 2),
                       .kind = RLS_TARGET};
    double seconds[MOST_REPEATS], products[MOST_REPEATS], stage[STAGES][MOST_REPEATS];
    rls_step_report report;
    timing t = {.u = u};
    check(ctx, rls_editor_step(ed, &batch, &report)); /* the workspace grows to its size */
    (void)rls_editor_weight(ed);
    /* Half of what is put off is what a step meets on average. */
    const int64_t steps = o->delay / u;
    for (int64_t i = 0; i < steps / 2 - o->repeats / 2; i++)
        check(ctx, rls_editor_step(ed, &batch, &report));
    for (int i = 0; i < o->repeats; i++) {
        products[i] = gemm_seconds(peak);
        triad_run(cache, 1.0);
        for (int s = 0; s < STAGES; s++)
            stage[s][i] = -rls_profile_seconds(ctx, stage_names[s]);
        MPI_Barrier(rls_context_comm(ctx));
        const traffic before = traffic_so_far;
        const double start = MPI_Wtime();
        check(ctx, rls_editor_step(ed, &batch, &report));
        const double mine = MPI_Wtime() - start;
        const traffic sent = traffic_since(before);
        t.sent = slowest(sent.bytes);
        t.calls = slowest((double)(sent.calls + sent.sends));
        seconds[i] = slowest(mine);
        for (int s = 0; s < STAGES; s++)
            stage[s][i] = slowest(stage[s][i] + rls_profile_seconds(ctx, stage_names[s]));
    }
    t.applied = steps > 1 ? time_applying(ctx, ed, o, &batch, steps, cache) / (double)steps : 0.0;
    t.gemm = gemm_speed(peak, median(products, o->repeats));
    t.seconds = median(seconds, o->repeats) + t.applied;
    t.best = smallest(seconds, o->repeats) + t.applied;
    for (int s = 0; s < STAGES; s++)
        t.stage[s] = median(stage[s], o->repeats);
    free((void *)batch.keys.data);
    free((void *)batch.values.data);
    return t;
}

/* What the step is compared with: Gflop/s, and GB/s of memory. */
typedef struct {
    rls_dtype dtype;
    int p, q;
    double gemm_best, triad, read;
} machine;

/* A timing's rates, and their ratios to the machine's. */
typedef struct {
    double gflops, gflops_square, moved, read_limit; /* Gflop/s, GB/s; seconds */
} rates;

static rates rates_of(const options *o, const machine *x, const timing *t)
{
    const double n = (double)o->n, m = (double)o->m, u = (double)t->u,
                 size = (double)rls_dtype_size(x->dtype);
    return (rates){.gflops = (3.0 * n * n + 4.0 * n * m) * u * 1e-9 / t->seconds,
                   .gflops_square = (4.0 * n * n + 4.0 * n * m) * u * 1e-9 / t->seconds,
                   .moved = (1.5 * n * n + 3.0 * n * m) * size * 1e-9 / t->seconds,
                   .read_limit = (0.5 * n * n + n * m) * size * 1e-9 / x->read};
}

static void print_heading(const options *o, const machine *x, int ranks)
{
    printf("\n%s, n = %lld, m = %lld, %d ranks as %d x %d, block %lld: GEMM at best %.1f Gflop/s, triad %.2f "
           "GB/s, "
           "read %.2f GB/s\n",
           rls_dtype_name(x->dtype), (long long)o->n, (long long)o->m, ranks, x->p, x->q, (long long)o->block,
           x->gemm_best, x->triad, x->read);
    printf("%6s %10s %10s | %9s %9s %6s %12s | %9s %6s %11s | %9s %6s\n", "u", "seconds", "fastest",
           "Gflop/s", "GEMM", "/GEMM", "square /GEMM", "GB/s", "/triad", "read limit/", "sent MB", "calls");
}

static void print_json(const options *o, const machine *x, int ranks, const timing *t, FILE *json)
{
    const rates r = rates_of(o, x, t);
    fprintf(
        json,
        "{\"bench\": \"step\", \"dtype\": \"%s\", \"n\": %lld, \"m\": %lld, \"block\": %lld, \"ranks\": %d, "
        "\"grid\": [%d, %d], \"u\": %lld, \"delay\": %lld, \"repeats\": %d, \"seconds\": %.6g, \"applied\": "
        "%.6g, \"seconds_min\": %.6g, "
        "\"gflops\": %.5g, \"gemm_gflops\": %.5g, \"gemm_best\": %.5g, \"gemm_ratio\": %.4g, "
        "\"gflops_square\": %.5g, "
        "\"gemm_ratio_square\": %.4g, \"triad_gbs\": %.4g, \"moved_gbs\": %.4g, \"triad_ratio\": %.4g, "
        "\"read_gbs\": %.4g, \"read_limit_seconds\": %.5g, \"read_ratio\": %.4g, \"sent_bytes\": %.0f, "
        "\"calls\": %.0f, \"stages\": {",
        rls_dtype_name(x->dtype), (long long)o->n, (long long)o->m, (long long)o->block, ranks, x->p, x->q,
        (long long)t->u, (long long)o->delay, o->repeats, t->seconds, t->applied, t->best, r.gflops, t->gemm,
        x->gemm_best, r.gflops / t->gemm, r.gflops_square, r.gflops_square / t->gemm, x->triad, r.moved,
        r.moved / x->triad, x->read, r.read_limit, r.read_limit / t->seconds, t->sent, t->calls);
    for (int s = 0; s < STAGES; s++)
        fprintf(json, "%s\"%s\": %.6g", s > 0 ? ", " : "", stage_names[s], t->stage[s]);
    fprintf(json, "}}\n");
    (void)fflush(json);
}

static void print_timing(const options *o, const machine *x, int ranks, const timing *t, FILE *json)
{
    const rates r = rates_of(o, x, t);
    printf("%6lld %10.5f %10.5f | %9.1f %9.1f %6.3f %12.3f | %9.2f %6.3f %11.3f | %9.3f %6.0f\n",
           (long long)t->u, t->seconds, t->best, r.gflops, t->gemm, r.gflops / t->gemm,
           r.gflops_square / t->gemm, r.moved, r.moved / x->triad, r.read_limit / t->seconds, t->sent * 1e-6,
           t->calls);
    if (o->stages) {
        printf("%17s", "");
        for (int s = 0; s < STAGES; s++)
            printf(" [%s: %.5f]", stage_names[s], t->stage[s]);
        if (t->applied > 0.0)
            printf(" [put off: %.5f]", t->applied);
        printf("\n");
    }
    (void)fflush(stdout);
    if (json != NULL)
        print_json(o, x, ranks, t, json);
}

/* The machine's rates; the products' arrays stay, and the triad's, to flush the caches with. */
static machine measure_machine(rls_grid *grid, const options *o, rls_dtype dtype, gemm_product *peak,
                               triad *t)
{
    machine x = {.dtype = dtype};
    rls_grid_shape(grid, &x.p, &x.q, NULL, NULL);
    *peak = gemm_make(dtype, 'N', o->gemm_size, o->gemm_size, o->gemm_size);
    for (int i = 0; i < 6; i++)
        x.gemm_best = fmax(x.gemm_best, gemm_speed(peak, gemm_seconds(peak)));
    *t = triad_make(o->triad_bytes);
    x.triad = triad_rate(t);
    x.read = read_rate(t);
    return x;
}

static void bench(rls_context *ctx, const options *o, rls_dtype dtype, FILE *json)
{
    rls_grid *grid = NULL;
    rls_editor *ed = NULL;
    gemm_product peak;
    triad t;
    const bool first = rls_context_rank(ctx) == 0;
    const int ranks = rls_context_size(ctx);
    check(ctx, rls_grid_create(ctx, o->grid.p, o->grid.q, &grid));
    const machine x = measure_machine(grid, o, dtype, &peak, &t);
    const rls_editor_options state = {.rule = "rls",
                                      .lambda = 1.0,
                                      .mu = 0.0,
                                      .dtype = dtype,
                                      .n = o->n,
                                      .m = o->m,
                                      .block = o->block,
                                      .delay = o->delay};
    check(ctx, rls_editor_create(grid, &state, &ed));
    check(ctx, rls_editor_start(ed, NULL));
    if (first)
        print_heading(o, &x, ranks);
    for (int i = 0; i < o->edits.count; i++) {
        const timing step = time_steps(ctx, ed, o, o->edits.value[i], &peak, &t);
        if (first)
            print_timing(o, &x, ranks, &step, json);
    }
    triad_free(&t);
    gemm_free(&peak);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    options o = {.n = 8192,
                 .m = 2048,
                 .block = 64,
                 .edits = {{1, 16, 100, 256, 1024}, 5},
                 .repeats = 5,
                 .dtypes = {true, true},
                 .gemm_size = 3072,
                 .triad_bytes = (int64_t)4 << 30};
    const bench_option table[] = {
        {"n", "N", "key size (8192)", OPTION_NUMBER, &o.n, 1},
        {"m", "M", "value size (2048)", OPTION_NUMBER, &o.m, 1},
        {"dtype", "TYPE", "float64, float32 or both (both)", OPTION_DTYPES, &o.dtypes, 0},
        {"edits", "U,U,...", "edits a step (1,16,100,256,1024)", OPTION_NUMBERS, &o.edits, 1},
        {"repeats", "R", "steps timed, of which the median counts (5)", OPTION_REPEATS, &o.repeats, 1},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"grid", "PxQ", "process grid (automatic)", OPTION_GRID, &o.grid, 0},
        {"gemm", "SIZE", "size of the GEMM measurement (3072)", OPTION_NUMBER, &o.gemm_size, 1},
        {"triad", "BYTES", "of the arrays of triad and read on all ranks (4294967296)", OPTION_NUMBER,
         &o.triad_bytes, INT64_C(24) * READ_LANES * MOST_RANKS},
        {"delay", "W", "edits whose updates may be put off (0); a step's seconds have their share",
         OPTION_NUMBER, &o.delay, 0},
        {"stages", NULL, "also the seconds of each stage", OPTION_FLAG, &o.stages, 0},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    const int stop = options_read(argc, argv, "bench_step", table, OPTION_COUNT(table));
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    FILE *json = o.json != NULL && rls_context_rank(ctx) == 0 ? fopen(o.json, "w") : NULL;
    if (o.dtypes.f64)
        bench(ctx, &o, RLS_F64, json);
    if (o.dtypes.f32)
        bench(ctx, &o, RLS_F32, json);
    if (json != NULL)
        (void)fclose(json);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
