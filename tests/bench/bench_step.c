/*
 * How fast a step is, against what the machine can do in the same run:
 *
 *     mpirun -n 2 bench_step --n 8192 --m 2048 --dtype both --edits 1,16,100,256,1024 --json step.jsonl
 *
 * GEMM: all ranks multiply square matrices at the same time; its rate is the machine's peak here.
 * Triad: all ranks run STREAM's a = b + s c at the same time, 3 words an element, on arrays beyond the
 * caches. A step of u edits counts 4 n^2 u + 4 n m u flops as an unsymmetric C would need, or 3 n^2 u + 4 n m
 * u as are done. Few edits are bound by memory: three passes over C and W (read; read and write) are counted,
 * and what a triangle of C moves. Caches are flushed between steps, as the other layers of a model would.
 * Payload: what a rank gets out of each collective, counted at the MPI calls; beside it the formula for a
 * step on panels, (n/p + n/q + m/q) u + u^2 elements. With p > 1, working on one triangle of C and making
 * column panels of keys from row panels add 2 n/q u. Dealt: the batch itself.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/profile.h"
#include "bench/bench.h"
#include "rlsedit/rlsedit.h"
#include "support/random.h"

enum { MOST_EDITS = 16, MOST_REPEATS = 100, STAGES = 6 };

static const char *const stage_names[STAGES] = {"F = C K", "S = I + K^T F", "E = V - W K",
                                                "G, H",    "C -= G G^T",    "W += H G^T"};

typedef struct {
    int64_t n, m, block, edits[MOST_EDITS];
    int edit_counts, repeats, p, q;
    bool f64, f32, stages;
    int64_t gemm_size, triad_bytes;
    const char *json;
} options;

/* The bytes that collectives bring this rank; the wrappers below add to them. */
static struct {
    double step, dealing;
} payload;

static double type_bytes(MPI_Datatype type)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    return (double)size;
}

static double total(const int *counts, MPI_Comm comm)
{
    int size = 0;
    double sum = 0.0;
    PMPI_Comm_size(comm, &size);
    for (int r = 0; r < size; r++)
        sum += counts[r];
    return sum;
}

int MPI_Allreduce(const void *send, void *recv, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    payload.step += count * type_bytes(type);
    return PMPI_Allreduce(send, recv, count, type, op, comm);
}

int MPI_Reduce_scatter(const void *send, void *recv, const int counts[], MPI_Datatype type, MPI_Op op,
                       MPI_Comm comm)
{
    payload.step += total(counts, comm) * type_bytes(type);
    return PMPI_Reduce_scatter(send, recv, counts, type, op, comm);
}

int MPI_Allgatherv(const void *send, int count, MPI_Datatype send_type, void *recv, const int counts[],
                   const int starts[], MPI_Datatype type, MPI_Comm comm)
{
    payload.step += total(counts, comm) * type_bytes(type);
    return PMPI_Allgatherv(send, count, send_type, recv, counts, starts, type, comm);
}

int MPI_Allgather(const void *send, int count, MPI_Datatype send_type, void *recv, int recv_count,
                  MPI_Datatype type, MPI_Comm comm)
{
    int size = 0;
    PMPI_Comm_size(comm, &size);
    payload.step += (double)recv_count * size * type_bytes(type);
    return PMPI_Allgather(send, count, send_type, recv, recv_count, type, comm);
}

int MPI_Alltoallv(const void *send, const int send_counts[], const int send_starts[], MPI_Datatype send_type,
                  void *recv, const int counts[], const int starts[], MPI_Datatype type, MPI_Comm comm)
{
    payload.dealing += total(counts, comm) * type_bytes(type);
    return PMPI_Alltoallv(send, send_counts, send_starts, send_type, recv, counts, starts, type, comm);
}

typedef struct {
    int64_t count;
    double *a, *b, *c;
} triad;

static triad triad_make(rls_context *ctx, int64_t bytes)
{
    triad t = {.count = bytes / 24 / rls_context_size(ctx)};
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

static void triad_free(triad *t)
{
    free(t->a);
    free(t->b);
    free(t->c);
}

static void triad_run(triad *t, double scale)
{
    double *restrict a = t->a;
    const double *restrict b = t->b;
    const double *restrict c = t->c;
#pragma omp parallel for
    for (int64_t i = 0; i < t->count; i++)
        a[i] = b[i] + scale * c[i];
}

/* GB/s of all ranks together: best of several, as STREAM has it. */
static double triad_rate(rls_context *ctx, triad *t)
{
    double best = INFINITY;
    for (int i = 0; i < 8; i++) {
        MPI_Barrier(rls_context_comm(ctx));
        const double start = MPI_Wtime();
        triad_run(t, 1.0 + 0.5 * i);
        best = fmin(best, slowest(MPI_Wtime() - start));
    }
    return 24e-9 * (double)t->count * rls_context_size(ctx) / best;
}

typedef struct {
    int64_t u;
    double seconds, stage[STAGES], step_bytes, dealing_bytes;
} timing;

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return count % 2 != 0 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

static void check(rls_context *ctx, rls_status status)
{
    if (status == RLS_OK)
        return;
    if (rls_context_rank(ctx) == 0)
        fprintf(stderr, "bench_step: %s\n", rls_context_message(ctx));
    MPI_Abort(MPI_COMM_WORLD, rls_status_exit_code(status));
}

/* This rank's even share of u random vectors. */
static rls_vectors share(rls_context *ctx, int64_t length, int64_t u, double scale, uint64_t seed)
{
    const int64_t size = rls_context_size(ctx), rank = rls_context_rank(ctx);
    const int64_t first = u * rank / size, count = u * (rank + 1) / size - first;
    float *data = memory((double)(length * count) * sizeof *data);
    rls_random random = rls_random_seed(seed + (uint64_t)first);
    for (int64_t i = 0; i < length * count; i++)
        data[i] = (float)(scale * rls_random_normal(&random));
    return (rls_vectors){count, RLS_F32, data};
}

static timing time_steps(rls_context *ctx, rls_editor *ed, const options *o, int64_t u, triad *cache)
{
    rls_batch batch = {.keys = share(ctx, o->n, u, 1.0 / sqrt((double)o->n), 1),
                       .values = share(ctx, o->m, u, 1.0, 2),
                       .kind = RLS_TARGET};
    double seconds[MOST_REPEATS], stage[STAGES][MOST_REPEATS];
    rls_step_report report;
    timing t = {.u = u};
    check(ctx, rls_editor_step(ed, &batch, &report)); /* the workspace grows to its size */
    for (int i = 0; i < o->repeats; i++) {
        triad_run(cache, 1.0);
        for (int s = 0; s < STAGES; s++)
            stage[s][i] = -rls_profile_seconds(ctx, stage_names[s]);
        payload.step = payload.dealing = 0.0;
        MPI_Barrier(rls_context_comm(ctx));
        const double start = MPI_Wtime();
        check(ctx, rls_editor_step(ed, &batch, &report));
        const double mine = MPI_Wtime() - start;
        t.step_bytes = payload.step;
        t.dealing_bytes = payload.dealing;
        seconds[i] = slowest(mine);
        for (int s = 0; s < STAGES; s++)
            stage[s][i] = slowest(stage[s][i] + rls_profile_seconds(ctx, stage_names[s]));
    }
    t.seconds = median(seconds, o->repeats);
    for (int s = 0; s < STAGES; s++)
        t.stage[s] = median(stage[s], o->repeats);
    free((void *)batch.keys.data);
    free((void *)batch.values.data);
    return t;
}

typedef struct {
    rls_dtype dtype;
    int p, q;
    double gemm, triad;
} machine;

static void print_heading(const options *o, const machine *x, int ranks)
{
    printf("\n%s, n = %lld, m = %lld, %d ranks as %d x %d, block %lld: GEMM %.1f Gflop/s, triad %.2f GB/s\n",
           rls_dtype_name(x->dtype), (long long)o->n, (long long)o->m, ranks, x->p, x->q, (long long)o->block,
           x->gemm, x->triad);
    printf("%6s %10s | %9s %6s %9s %6s | %9s %6s %9s %6s | %9s %10s %9s\n", "u", "seconds", "4nnu Gf/s",
           "/GEMM", "3nnu Gf/s", "/GEMM", "3 pass C", "/triad", "moved", "/triad", "sent MB", "formula MB",
           "dealt MB");
}

static void print_timing(const options *o, const machine *x, int ranks, const timing *t, FILE *json)
{
    const double n = (double)o->n, m = (double)o->m, u = (double)t->u,
                 size = (double)rls_dtype_size(x->dtype);
    const double four = (4.0 * n * n + 4.0 * n * m) * u * 1e-9 / t->seconds;
    const double three = (3.0 * n * n + 4.0 * n * m) * u * 1e-9 / t->seconds;
    /* The stages that pass over C, and what they move of it: the lower triangle. */
    const double c_seconds = t->stage[0] + t->stage[4];
    const double passes = 3.0 * n * n * size * 1e-9 / c_seconds, moved = 0.5 * passes;
    const double whole = 3.0 * (n * n + n * m) * size * 1e-9 / t->seconds;
    const double formula = ((n / x->p + n / x->q + m / x->q) * u + u * u) * size;
    printf("%6lld %10.5f | %9.1f %6.3f %9.1f %6.3f | %9.2f %6.3f %9.2f %6.3f | %9.3f %10.3f %9.3f\n",
           (long long)t->u, t->seconds, four, four / x->gemm, three, three / x->gemm, passes,
           passes / x->triad, moved, moved / x->triad, t->step_bytes * 1e-6, formula * 1e-6,
           t->dealing_bytes * 1e-6);
    if (o->stages) {
        printf("%17s", "");
        for (int s = 0; s < STAGES; s++)
            printf(" [%s: %.5f]", stage_names[s], t->stage[s]);
        printf("\n");
    }
    (void)fflush(stdout);
    if (json == NULL)
        return;
    fprintf(
        json,
        "{\"bench\": \"step\", \"dtype\": \"%s\", \"n\": %lld, \"m\": %lld, \"block\": %lld, \"ranks\": %d, "
        "\"grid\": [%d, %d], \"u\": %lld, \"seconds\": %.6g, \"gflops_4nnu\": %.5g, \"gflops_3nnu\": %.5g, "
        "\"gemm_gflops\": %.5g, \"gemm_ratio\": %.4g, \"gemm_ratio_3nnu\": %.4g, \"triad_gbs\": %.4g, "
        "\"three_pass_gbs\": %.4g, \"triad_ratio\": %.4g, \"moved_gbs\": %.4g, \"whole_step_gbs\": %.4g, "
        "\"sent_bytes\": %.0f, \"formula_bytes\": %.0f, \"dealt_bytes\": %.0f}\n",
        rls_dtype_name(x->dtype), (long long)o->n, (long long)o->m, (long long)o->block, ranks, x->p, x->q,
        (long long)t->u, t->seconds, four, three, x->gemm, four / x->gemm, three / x->gemm, x->triad, passes,
        passes / x->triad, moved, whole, t->step_bytes, formula, t->dealing_bytes);
    (void)fflush(json);
}

static void bench(rls_context *ctx, const options *o, rls_dtype dtype, FILE *json)
{
    rls_grid *grid = NULL;
    rls_editor *ed = NULL;
    const bool first = rls_context_rank(ctx) == 0;
    const int ranks = rls_context_size(ctx);
    machine x = {.dtype = dtype};
    check(ctx, rls_grid_create(ctx, o->p, o->q, &grid));
    rls_grid_shape(grid, &x.p, &x.q, NULL, NULL);
    x.gemm = gemm_rate(dtype, 'N', o->gemm_size, o->gemm_size, o->gemm_size, 6);
    triad t = triad_make(ctx, o->triad_bytes);
    x.triad = triad_rate(ctx, &t);
    const rls_editor_options state = {
        .rule = "rls", .lambda = 1.0, .mu = 0.0, .dtype = dtype, .n = o->n, .m = o->m, .block = o->block};
    check(ctx, rls_editor_create(grid, &state, &ed));
    check(ctx, rls_editor_start(ed, NULL));
    if (first)
        print_heading(o, &x, ranks);
    for (int i = 0; i < o->edit_counts; i++) {
        const timing step = time_steps(ctx, ed, o, o->edits[i], &t);
        if (first)
            print_timing(o, &x, ranks, &step, json);
    }
    triad_free(&t);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: mpirun -n RANKS bench_step [options]\n\n"
                 "  --n N --m M         key and value size (8192, 2048)\n"
                 "  --dtype TYPE        float64, float32 or both (both)\n"
                 "  --edits U,U,...     edits a step (1,16,100,256,1024)\n"
                 "  --repeats R         steps timed, of which the median counts (5)\n"
                 "  --block B           block size (64)\n"
                 "  --grid PxQ          process grid (automatic)\n"
                 "  --gemm SIZE         size of the GEMM measurement (3072)\n"
                 "  --triad BYTES       bytes of the triad's arrays on all ranks (4294967296)\n"
                 "  --stages            also the seconds of each stage\n"
                 "  --json FILE         also one JSON object a line\n");
}

static void parse_edits(options *o, const char *text)
{
    o->edit_counts = 0;
    while (*text != '\0' && o->edit_counts < MOST_EDITS) {
        char *end = NULL;
        o->edits[o->edit_counts++] = strtoll(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
}

/* Returns 0 to go on, or what to exit with plus 1. */
static int parse(int argc, char **argv, options *o)
{
    static const struct option table[] = {
        {"n", 1, NULL, 'n'},       {"m", 1, NULL, 'm'},      {"dtype", 1, NULL, 'd'}, {"edits", 1, NULL, 'u'},
        {"repeats", 1, NULL, 'r'}, {"block", 1, NULL, 'b'},  {"gemm", 1, NULL, 'g'},  {"triad", 1, NULL, 't'},
        {"grid", 1, NULL, 'p'},    {"stages", 0, NULL, 's'}, {"json", 1, NULL, 'j'},  {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    for (int c = 0; (c = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (c) {
        case 'n':
            o->n = strtoll(optarg, NULL, 10);
            break;
        case 'm':
            o->m = strtoll(optarg, NULL, 10);
            break;
        case 'd':
            o->f64 = strcmp(optarg, "float32") != 0;
            o->f32 = strcmp(optarg, "float64") != 0;
            break;
        case 'u':
            parse_edits(o, optarg);
            break;
        case 'r':
            o->repeats = (int)strtol(optarg, NULL, 10);
            break;
        case 'b':
            o->block = strtoll(optarg, NULL, 10);
            break;
        case 'g':
            o->gemm_size = strtoll(optarg, NULL, 10);
            break;
        case 't':
            o->triad_bytes = strtoll(optarg, NULL, 10);
            break;
        case 'p': {
            char *end = NULL;
            o->p = (int)strtol(optarg, &end, 10);
            o->q = *end == 'x' ? (int)strtol(end + 1, NULL, 10) : 0;
            break;
        }
        case 's':
            o->stages = true;
            break;
        case 'j':
            o->json = optarg;
            break;
        default:
            return c == 'h' ? 1 : 3;
        }
    return o->n < 1 || o->m < 1 || o->repeats < 1 || o->repeats > MOST_REPEATS || o->gemm_size < 1 ? 3 : 0;
}

int main(int argc, char **argv)
{
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    options o = {.n = 8192,
                 .m = 2048,
                 .block = 64,
                 .edits = {1, 16, 100, 256, 1024},
                 .edit_counts = 5,
                 .repeats = 5,
                 .f64 = true,
                 .f32 = true,
                 .gemm_size = 3072,
                 .triad_bytes = (int64_t)4 << 30};
    rls_context *ctx = NULL;
    const int stop = parse(argc, argv, &o);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (stop != 0) {
        if (rank == 0)
            usage(stop == 1 ? stdout : stderr);
        MPI_Finalize();
        return stop - 1;
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
