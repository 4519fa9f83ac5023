/*
 * What an edit of a recorded stream of single edits takes, cut into steps of different widths, as `rlsedit
 * edit` steps them: the step with the figures of each edit, and the drift of W with those of each edit. Width
 * 1 is the stream stepped edit by edit.
 *
 *     mpirun -n 2 bench_recorded --n 8192 --m 2048 --dtype float32 --widths 1,64,256,512 --json
 * recorded.jsonl
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/options.h"
#include "editor/drift.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"

typedef struct {
    int64_t n, m, block;
    number_list widths;
    int repeats;
    dtype_pair dtypes;
    const char *json;
} options;

/* Seconds a step of u edits in batches of one, the fastest: of the step, and of the drift. */
static void time_width(rls_context *ctx, rls_editor *ed, rls_drift *drift, const options *o, int64_t u,
                       double seconds[2])
{
    const rls_batch batch = {.keys = share(ctx, o->n, u, 1.0 / sqrt((double)o->n), 1),
                             .values = share(ctx, o->m, u, 1.0, 2),
                             .kind = RLS_TARGET,
                             .each = 1};
    rls_step_report *steps = memory((double)u * sizeof *steps);
    rls_drift_report *drifts = memory((double)u * sizeof *drifts);
    seconds[0] = seconds[1] = INFINITY;
    for (int i = 0; i <= o->repeats; i++) { /* the first one grows the workspace */
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        check(ctx, rls_editor_step(ed, &batch, steps));
        const double step = slowest(MPI_Wtime() - start);
        start = MPI_Wtime();
        check(ctx, rls_drift_update(drift, u, 1, drifts));
        const double moved = slowest(MPI_Wtime() - start);
        if (i > 0 && step + moved < seconds[0] + seconds[1]) {
            seconds[0] = step;
            seconds[1] = moved;
        }
    }
    free((void *)batch.keys.data);
    free((void *)batch.values.data);
    free(steps);
    free(drifts);
}

static void bench(rls_context *ctx, const options *o, rls_dtype dtype, FILE *json)
{
    const bool first = rls_context_rank(ctx) == 0;
    const rls_editor_options state = {
        .rule = "rls", .lambda = 1.0, .mu = 0.0, .dtype = dtype, .n = o->n, .m = o->m, .block = o->block};
    rls_grid *grid = NULL;
    rls_editor *ed = NULL;
    rls_drift *drift = NULL;
    check(ctx, rls_grid_create(ctx, 0, 0, &grid));
    check(ctx, rls_editor_create(grid, &state, &ed));
    check(ctx, rls_drift_create(ed, RLS_BF16, &drift));
    check(ctx, rls_editor_start(ed, NULL));
    if (first)
        printf("\n%s, n = %lld, m = %lld, %d ranks\n%6s %12s %12s %12s\n", rls_dtype_name(dtype),
               (long long)o->n, (long long)o->m, rls_context_size(ctx), "width", "s an edit", "step",
               "drift");
    for (int i = 0; i < o->widths.count; i++) {
        double s[2];
        const double u = (double)o->widths.value[i];
        time_width(ctx, ed, drift, o, o->widths.value[i], s);
        if (first)
            printf("%6.0f %12.6f %12.6f %12.6f\n", u, (s[0] + s[1]) / u, s[0] / u, s[1] / u);
        if (json != NULL)
            fprintf(json,
                    "{\"bench\": \"recorded\", \"dtype\": \"%s\", \"n\": %lld, \"m\": %lld, \"ranks\": %d, "
                    "\"width\": %.0f, \"seconds_per_edit\": %.6g, \"step_per_edit\": %.6g, "
                    "\"drift_per_edit\": %.6g}\n",
                    rls_dtype_name(dtype), (long long)o->n, (long long)o->m, rls_context_size(ctx), u,
                    (s[0] + s[1]) / u, s[0] / u, s[1] / u);
    }
    rls_drift_destroy(&drift);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    options o = {.n = 8192,
                 .m = 2048,
                 .block = 64,
                 .widths = {{1, 64, 256, 512}, 4},
                 .repeats = 3,
                 .dtypes = {true, true}};
    const bench_option table[] = {
        {"n", "N", "key size (8192)", OPTION_NUMBER, &o.n, 1},
        {"m", "M", "value size (2048)", OPTION_NUMBER, &o.m, 1},
        {"dtype", "TYPE", "float64, float32 or both (both)", OPTION_DTYPES, &o.dtypes, 0},
        {"widths", "U,U,...", "edits of a step (1,64,256,512)", OPTION_NUMBERS, &o.widths, 1},
        {"repeats", "R", "steps timed, of which the fastest counts (3)", OPTION_REPEATS, &o.repeats, 1},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    const int stop = options_read(argc, argv, "bench_recorded", table, OPTION_COUNT(table));
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
