/*
 * What an edit of a recorded stream of single edits takes, cut into steps of different widths, as `rlsedit
 * edit` steps them: the step with the figures of each edit, and the drift of W with those of each edit. Width
 * 1 is the stream stepped edit by edit.
 *
 *     mpirun -n 2 bench_recorded --n 8192 --m 2048 --dtype float32 --widths 1,64,256,512 --json
 * recorded.jsonl
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "editor/drift.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"

enum { MOST_WIDTHS = 16 };

typedef struct {
    int64_t n, m, block, widths[MOST_WIDTHS];
    int width_count, repeats;
    bool f64, f32;
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
    for (int i = 0; i < o->width_count; i++) {
        double s[2];
        const double u = (double)o->widths[i];
        time_width(ctx, ed, drift, o, o->widths[i], s);
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

static void parse_widths(options *o, const char *text)
{
    o->width_count = 0;
    while (*text != '\0' && o->width_count < MOST_WIDTHS) {
        char *end = NULL;
        o->widths[o->width_count++] = strtoll(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
}

static bool parse(int argc, char **argv, options *o)
{
    static const struct option table[] = {
        {"n", 1, NULL, 'n'},       {"m", 1, NULL, 'm'},     {"dtype", 1, NULL, 'd'}, {"widths", 1, NULL, 'w'},
        {"repeats", 1, NULL, 'r'}, {"block", 1, NULL, 'b'}, {"json", 1, NULL, 'j'},  {NULL, 0, NULL, 0}};
    for (int c = 0; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        int64_t *number = c == 'n' ? &o->n : c == 'm' ? &o->m : c == 'b' ? &o->block : NULL;
        if (number != NULL)
            *number = strtoll(optarg, NULL, 10);
        else if (c == 'r')
            o->repeats = (int)strtol(optarg, NULL, 10);
        else if (c == 'w')
            parse_widths(o, optarg);
        else if (c == 'j')
            o->json = optarg;
        else if (c == 'd') {
            o->f64 = strcmp(optarg, "float32") != 0;
            o->f32 = strcmp(optarg, "float64") != 0;
        } else {
            return false;
        }
    }
    for (int i = 0; i < o->width_count; i++)
        if (o->widths[i] < 1)
            return false;
    return o->n >= 1 && o->m >= 1 && o->block >= 1 && o->repeats >= 1 && o->width_count >= 1;
}

int main(int argc, char **argv)
{
    int provided = 0, rank = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    options o = {.n = 8192,
                 .m = 2048,
                 .block = 64,
                 .widths = {1, 64, 256, 512},
                 .width_count = 4,
                 .repeats = 3,
                 .f64 = true,
                 .f32 = true};
    rls_context *ctx = NULL;
    if (!parse(argc, argv, &o)) {
        if (rank == 0)
            fprintf(stderr,
                    "Usage: mpirun -n RANKS bench_recorded [--n N] [--m M] [--dtype float64|float32|both] "
                    "[--widths U,...] [--repeats R] [--block B] [--json FILE]\n");
        MPI_Finalize();
        return 2;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    FILE *json = o.json != NULL && rank == 0 ? fopen(o.json, "w") : NULL;
    if (o.f64)
        bench(ctx, &o, RLS_F64, json);
    if (o.f32)
        bench(ctx, &o, RLS_F32, json);
    if (json != NULL)
        (void)fclose(json);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
