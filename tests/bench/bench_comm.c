/*
 * What a step sends, against the formula:
 *
 *     mpirun -n 64 --oversubscribe bench_comm --n 8192 --m 2048 --edits 100 --json comm.jsonl
 *
 * Payload and calls are counted where the library calls MPI (tests/support/traffic.h says how), on the rank
 * that has most. The messages that collectives are made of are MPI's choice, and counted by Open MPI's
 * monitoring layer: it writes its sums when the program ends, so that tests/bench/comm runs this program with
 * one and with two steps and takes the difference. Nothing is timed: ranks may share cores.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/options.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"
#include "support/traffic.h"

typedef struct {
    int64_t n, m, block, edits;
    int steps;
    grid_size grid;
    rls_dtype dtype;
    const char *json;
} options;

/* Runs the steps; returns what the last one sent, each figure of the rank that has most of it. */
static traffic run_steps(rls_context *ctx, rls_grid *grid, const options *o)
{
    rls_editor *ed = NULL;
    const rls_editor_options state = {
        .rule = "rls", .lambda = 1.0, .mu = 0.0, .dtype = o->dtype, .n = o->n, .m = o->m, .block = o->block};
    check(ctx, rls_editor_create(grid, &state, &ed));
    check(ctx, rls_editor_start(ed, NULL));
    rls_batch batch = {.keys = share(ctx, o->n, o->edits, 1.0 / sqrt((double)o->n), 1),
                       .values = share(ctx, o->m, o->edits, 1.0, 2),
                       .kind = RLS_TARGET};
    traffic sent = {0};
    for (int i = 0; i < o->steps; i++) {
        const traffic before = traffic_so_far;
        rls_step_report report;
        check(ctx, rls_editor_step(ed, &batch, &report));
        sent = traffic_since(before);
    }
    double most[4] = {sent.bytes, (double)sent.calls, (double)sent.small, (double)sent.sends};
    PMPI_Allreduce(MPI_IN_PLACE, most, 4, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    free((void *)batch.keys.data);
    free((void *)batch.values.data);
    rls_editor_destroy(&ed);
    return (traffic){most[0], (int64_t)most[1], (int64_t)most[2], (int64_t)most[3]};
}

static void print_result(const options *o, int p, int q, traffic sent)
{
    const traffic_formula f =
        traffic_of_step((double)o->n, (double)o->m, (double)o->edits, p, q, (double)rls_dtype_size(o->dtype));
    printf("%d ranks as %d x %d, n = %lld, m = %lld, u = %lld, %s: %.0f bytes a rank and step, formula %.0f; "
           "%lld "
           "collectives (%lld of them small), formula %d; %lld messages between two ranks, formula %d\n",
           p * q, p, q, (long long)o->n, (long long)o->m, (long long)o->edits, rls_dtype_name(o->dtype),
           sent.bytes, f.bytes, (long long)sent.calls, (long long)sent.small, f.calls, (long long)sent.sends,
           f.sends);
    FILE *json = o->json != NULL ? fopen(o->json, "w") : NULL;
    if (json == NULL)
        return;
    (void)fprintf(json,
                  "{\"bench\": \"comm\", \"ranks\": %d, \"grid\": [%d, %d], \"n\": %lld, \"m\": %lld, \"u\": "
                  "%lld, \"dtype\": \"%s\", \"bytes_measured\": %.0f, \"bytes_formula\": %.0f, "
                  "\"calls_measured\": %lld, \"calls_formula\": %d, \"calls_small\": %lld, "
                  "\"sends_measured\": %lld, \"sends_formula\": %d, \"sent_bytes_formula\": %.0f}\n",
                  p * q, p, q, (long long)o->n, (long long)o->m, (long long)o->edits,
                  rls_dtype_name(o->dtype), sent.bytes, f.bytes, (long long)sent.calls, f.calls,
                  (long long)sent.small, (long long)sent.sends, f.sends, f.sent);
    (void)fclose(json);
}

int main(int argc, char **argv)
{
    options o = {.n = 8192, .m = 2048, .block = 64, .edits = 100, .steps = 1, .dtype = RLS_F32};
    const bench_option table[] = {
        {"n", "N", "key size (8192)", OPTION_NUMBER, &o.n, 1},
        {"m", "M", "value size (2048)", OPTION_NUMBER, &o.m, 1},
        {"edits", "U", "edits a step (100)", OPTION_NUMBER, &o.edits, 1},
        {"dtype", "TYPE", "float64 or float32 (float32)", OPTION_DTYPE, &o.dtype, 4},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"grid", "PxQ", "process grid (automatic)", OPTION_GRID, &o.grid, 0},
        {"steps", "S", "steps, of which the last one counts (1)", OPTION_REPEATS, &o.steps, 1},
        {"json", "FILE", "also a JSON object", OPTION_TEXT, &o.json, 0}};
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    const int stop = options_read(argc, argv, "bench_comm", table, OPTION_COUNT(table));
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    check(ctx, rls_grid_create(ctx, o.grid.p, o.grid.q, &grid));
    rls_grid_shape(grid, &o.grid.p, &o.grid.q, NULL, NULL);
    const traffic sent = run_steps(ctx, grid, &o);
    if (rls_context_rank(ctx) == 0)
        print_result(&o, o.grid.p, o.grid.q, sent);
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
