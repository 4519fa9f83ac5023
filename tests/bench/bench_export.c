/*
 * How fast a model is loaded and exported, against what the same disk does in the same run:
 *
 *     mpirun -n 2 bench_export --dir /scratch --json export.jsonl
 *
 * The model: four shards of 1 GiB, two layers each, made once; both down_proj weights of the second shard are
 * the edited ones. Plain: all ranks together write as many bytes as the export does from memory, in pieces of
 * 8 MiB, and put them on the disk (fsync); they read a shard. Load: rls_tensor_load of the edited weights.
 * Export: rls_model_export alone. Whole: what a run of rlsedit does with the model: open and validate,
 * fingerprint, load, export and the checksums of all files of the new model. Each begins with a cold page
 * cache: all of it dropped when this is root, the files' otherwise. Disks vary: plain and ours take turns,
 * and medians are compared. A ratio is the plain time for the same bytes over our time, each byte that has to
 * be read or written counted once: load, the edited weights; export, the other tensors of their shard and the
 * new shard; whole, both, and the three linked shards, of which there are checksums.
 */
#define _GNU_SOURCE /* mount */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/export_model.h"
#include "bench/median.h"
#include "bench/options.h"
#include "rlsedit/rlsedit.h"
#include "store/export.h"
#include "store/file_util.h"
#include "store/fingerprint.h"
#include "store/tensor_io.h"

enum {
    EDITED = 1 /* the shard */
};

typedef struct {
    int repeats;
    int64_t block;
    bool keep, copy;
    rls_dtype dtype, state;
    const char *dir, *to, *json;
} options;

/* Where things are, and how many bytes. */
typedef struct {
    rls_context *ctx;
    rls_grid *grid;
    char dir[PATH_BYTES], model[PATH_BYTES], to[PATH_BYTES], plain[PATH_BYTES];
    int64_t edited, shard, linked; /* bytes: the edited tensors, their shard, the other shards */
    char *data;                    /* random, two pieces long */
} place;

/* Seconds of each round. */
typedef struct {
    double write[MOST_REPEATS], read[MOST_REPEATS], fingerprint[MOST_REPEATS], load[MOST_REPEATS];
    double finish[MOST_REPEATS], whole[MOST_REPEATS], export[MOST_REPEATS];
} rounds;

/* Waits for the other ranks asleep, not to take the processor from the one at work. */
static void wait_asleep(void)
{
    MPI_Request request;
    int done = 0;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    for (MPI_Test(&request, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&request, &done, MPI_STATUS_IGNORE))
        (void)usleep(500);
}

static double begin(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Wtime();
}

static double since(double start)
{
    return slowest(MPI_Wtime() - start);
}

/* Nothing is on its way to the disk any more, and memory holds nothing of it. */
static void cool(const place *at)
{
    char path[PATH_BYTES + 64];
    if (rls_context_rank(at->ctx) == 0) {
        sync();
        const int drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
        if (drop < 0 || write(drop, "1", 1) != 1)
            for (int s = 0; s < SHARDS; s++) {
                const int fd = open(rls_bench_shard(at->model, s, path), O_RDONLY);
                (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                (void)close(fd);
            }
        if (drop >= 0)
            (void)close(drop);
    }
    wait_asleep();
}

/* This rank's part of `bytes` in whole pieces. */
static int64_t part(const place *at, int64_t bytes, int rank)
{
    const int64_t pieces = (bytes + PIECE - 1) / PIECE,
                  end = pieces * rank / rls_context_size(at->ctx) * PIECE;
    return end < bytes ? end : bytes;
}

static double plain_write(const place *at, int64_t bytes)
{
    const int rank = rls_context_rank(at->ctx);
    if (rank == 0)
        (void)unlink(at->plain);
    cool(at);
    const double start = begin();
    const int fd = open(at->plain, O_WRONLY | O_CREAT, 0600);
    const int64_t end = part(at, bytes, rank + 1);
    for (int64_t done = part(at, bytes, rank); done < end; done += PIECE) {
        const size_t piece = (size_t)(end - done < PIECE ? end - done : PIECE);
        if (pwrite(fd, at->data + 64 * (done / PIECE % (PIECE / 64)), piece, (off_t)done) != (ssize_t)piece)
            rls_bench_stop(at->plain);
    }
    if (fsync(fd) != 0 || close(fd) != 0)
        rls_bench_stop(at->plain);
    const double seconds = since(start);
    if (rank == 0)
        (void)unlink(at->plain);
    return seconds;
}

/* The edited shard, as the ranks read it without thinking of it. */
static double plain_read(const place *at)
{
    char path[PATH_BYTES + 64];
    char *buffer = memory(PIECE);
    memset(buffer, 1, PIECE);
    cool(at);
    const double start = begin();
    const int fd = open(rls_bench_shard(at->model, EDITED, path), O_RDONLY);
    const int64_t end = part(at, at->shard, rls_context_rank(at->ctx) + 1);
    for (int64_t done = part(at, at->shard, rls_context_rank(at->ctx)); done < end; done += PIECE) {
        const size_t piece = (size_t)(end - done < PIECE ? end - done : PIECE);
        if (pread(fd, buffer, piece, (off_t)done) != (ssize_t)piece)
            rls_bench_stop(path);
    }
    const double seconds = since(start);
    (void)close(fd);
    free(buffer);
    return seconds;
}

static void remove_export(const place *at)
{
    if (rls_context_rank(at->ctx) == 0)
        check(at->ctx, rls_dir_remove(at->ctx, at->to));
    wait_asleep();
}

/* Everything a run does with the model, and the export once more by itself. */
static void measure(const place *at, const options *o, int i, rounds *r)
{
    rls_context *ctx = at->ctx;
    rls_model_dir *model = NULL;
    rls_matrix *x[LAYERS];
    rls_export_tensor edits[LAYERS];
    rls_hash hash;
    json_t *files = NULL;
    char name[LAYERS][64];
    for (int l = 0; l < LAYERS; l++) {
        (void)snprintf(name[l], sizeof name[l], "model.layers.%d.mlp.down_proj.weight", EDITED * LAYERS + l);
        check(ctx, rls_matrix_create(at->grid, o->state, INNER, HIDDEN, o->block, &x[l]));
        edits[l] = (rls_export_tensor){name[l], RLS_LINES_ARE_COLUMNS, x[l]};
    }
    cool(at);
    const double start = begin();
    check(ctx, rls_model_dir_open(ctx, at->model, &model));
    check(ctx, rls_fingerprint_model(ctx, model, &hash));
    r->fingerprint[i] = since(start);
    const double loading = begin();
    for (int l = 0; l < LAYERS; l++)
        check(ctx, rls_tensor_load(model, name[l], RLS_LINES_ARE_COLUMNS, x[l]));
    r->load[i] = since(loading);
    const double finishing = begin();
    check(ctx,
          rls_model_export_digests(model, at->to, edits, LAYERS, &(struct rls_config_export){0}, &files));
    r->finish[i] = since(finishing);
    r->whole[i] = since(start);
    json_decref(files);
    remove_export(at);
    cool(at);
    const double exporting = begin();
    check(ctx, rls_model_export(model, at->to, edits, LAYERS, RLS_EXPORT_MODEL));
    r->export[i] = since(exporting);
    remove_export(at);
    for (int l = 0; l < LAYERS; l++)
        rls_matrix_destroy(&x[l]);
    rls_model_dir_close(&model);
}

static void report(const place *at, const options *o, const rounds *r, FILE *json)
{
    const double read = median(r->read, o->repeats) / (double)at->shard; /* seconds a byte */
    const double written = (double)(at->shard + (o->copy ? at->linked : 0));
    const double write = median(r->write, o->repeats) / written;
    const double load = median(r->load, o->repeats), export = median(r->export, o->repeats);
    const double whole = median(r->whole, o->repeats), finish = median(r->finish, o->repeats);
    const double others = (double)(at->shard - at->edited), linked = (double)at->linked;
    const double export_reads = others + (o->copy ? linked : 0.0);
    const double load_ratio = (double)at->edited * read / load;
    const double export_ratio = (export_reads * read + written * write) / export;
    const double finish_ratio = ((others + linked) * read + written * write) / finish;
    const double whole_ratio = (((double)at->shard + linked) * read + written * write) / whole;
    printf("\n%d ranks, model %s, state %s, %s the other shards, medians of %d\n", rls_context_size(at->ctx),
           rls_dtype_name(o->dtype), rls_dtype_name(o->state), o->copy ? "copying" : "linking", o->repeats);
    printf("plain: reading %.3f GB/s, writing %.3f GB/s\n", 1e-9 / read, 1e-9 / write);
    printf("%-28s %9s %9s %8s %8s\n", "", "read GB", "write GB", "seconds", "ratio");
    printf("%-28s %9s %9s %8.3f\n", "open, fingerprint", "", "", median(r->fingerprint, o->repeats));
    printf("%-28s %9.3f %9.3f %8.3f %8.3f\n", "load", 1e-9 * (double)at->edited, 0.0, load, load_ratio);
    printf("%-28s %9.3f %9.3f %8.3f %8.3f\n", "export", 1e-9 * export_reads, 1e-9 * written, export,
           export_ratio);
    printf("%-28s %9.3f %9.3f %8.3f %8.3f\n", "export and checksums", 1e-9 * (others + linked),
           1e-9 * written, finish, finish_ratio);
    printf("%-28s %9.3f %9.3f %8.3f %8.3f\n", "whole", 1e-9 * ((double)at->shard + linked), 1e-9 * written,
           whole, whole_ratio);
    if (json == NULL)
        return;
    fprintf(
        json,
        "{\"bench\": \"export\", \"ranks\": %d, \"dtype\": \"%s\", \"state\": \"%s\", \"copied\": %s, "
        "\"repeats\": %d, \"model_bytes\": %lld, \"shard_bytes\": %lld, \"edited_bytes\": %lld, "
        "\"plain_read_gbs\": %.4g, \"plain_write_gbs\": %.4g, \"load_seconds\": %.4g, \"load_ratio\": %.4g, "
        "\"export_seconds\": %.4g, \"export_ratio\": %.4g, \"export_checksums_seconds\": %.4g, "
        "\"export_checksums_ratio\": %.4g, \"seconds\": %.4g, \"whole_ratio\": %.4g}\n",
        rls_context_size(at->ctx), rls_dtype_name(o->dtype), rls_dtype_name(o->state),
        o->copy ? "true" : "false", o->repeats, (long long)at->shard + (long long)at->linked,
        (long long)at->shard, (long long)at->edited, 1e-9 / read, 1e-9 / write, load, load_ratio, export,
        export_ratio, finish, finish_ratio, whole, whole_ratio);
}

static void print_round(const rounds *r, int i)
{
    printf("round %d: plain write %.3f, read %.3f; fingerprint %.3f, load %.3f, export and checksums %.3f, "
           "whole %.3f; export %.3f s\n",
           i + 1, r->write[i], r->read[i], r->fingerprint[i], r->load[i], r->finish[i], r->whole[i],
           r->export[i]);
    (void)fflush(stdout);
}

static void size_up(place *at)
{
    rls_model_dir *model = NULL;
    check(at->ctx, rls_model_dir_open(at->ctx, at->model, &model));
    at->shard = rls_model_dir_shard(model, EDITED)->bytes;
    at->linked = rls_model_dir_bytes(model) - at->shard;
    for (int l = 0; l < LAYERS; l++) {
        char name[64];
        (void)snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", EDITED * LAYERS + l);
        const rls_model_tensor *tensor = rls_model_dir_find(model, name);
        if (tensor != NULL)
            at->edited += tensor->info->end - tensor->info->begin;
    }
    rls_model_dir_close(&model);
}

static void bench(place *at, const options *o, FILE *json)
{
    rounds r = {0};
    check(at->ctx, rls_grid_create(at->ctx, 0, 0, &at->grid));
    size_up(at);
    for (int i = 0; i < o->repeats; i++) {
        for (int turn = 0; turn < 2; turn++) {
            if (turn == i % 2) {
                r.write[i] = plain_write(at, at->shard + (o->copy ? at->linked : 0));
                r.read[i] = plain_read(at);
            } else {
                measure(at, o, i, &r);
            }
        }
        if (rls_context_rank(at->ctx) == 0)
            print_round(&r, i);
    }
    if (rls_context_rank(at->ctx) == 0)
        report(at, o, &r, json);
    rls_grid_destroy(&at->grid);
}

/* Where all is; mounted: a directory for exports under another mount. */
static void name_places(place *at, const options *o, char mounted[PATH_BYTES])
{
    const char *to = o->to != NULL ? o->to : o->dir;
    if (snprintf(at->dir, sizeof at->dir, "%s/bench_export.d", o->dir) > PATH_BYTES / 2 ||
        snprintf(at->to, sizeof at->to, "%s", to) > PATH_BYTES / 2)
        rls_bench_stop("a path that is too long");
    (void)snprintf(at->model, sizeof at->model, "%s/bench_export.d/%s", o->dir, rls_dtype_name(o->dtype));
    (void)snprintf(mounted, PATH_BYTES, "%s/bench_export.d/mounted", o->dir);
    to = o->copy ? mounted : to;
    (void)snprintf(at->plain, sizeof at->plain, "%.1000s/bench_export.plain", to);
    (void)snprintf(at->to, sizeof at->to, "%.1000s/bench_export.edited", to);
}

/* Directories and model, then the rounds. */
static void run(rls_context *ctx, options *o)
{
    place at = {.ctx = ctx, .data = memory(2 * PIECE)};
    const bool first = rls_context_rank(ctx) == 0, bind = o->copy;
    char mounted[PATH_BYTES];
    FILE *json = first && o->json != NULL ? fopen(o->json, "a") : NULL;
    name_places(&at, o, mounted);
    o->copy = o->copy || o->to != NULL;
    rls_bench_randomize(at.data, (int64_t)2 * PIECE, o->dtype);
    if (first) {
        (void)mkdir(at.dir, 0700);
        rls_bench_model(at.model, o->dtype, at.data);
        /* The same file system under another mount: all is as ever, but for links across. */
        if (bind && ((mkdir(mounted, 0700) != 0 && errno != EEXIST) ||
                     mount(mounted, mounted, NULL, MS_BIND, NULL) != 0))
            rls_bench_stop("--copy-shards");
    }
    wait_asleep();
    bench(&at, o, json);
    if (first && bind && umount(mounted) != 0)
        rls_bench_stop(mounted);
    if (first && !o->keep)
        check(ctx, rls_dir_remove(ctx, at.dir));
    if (json != NULL)
        (void)fclose(json);
    free(at.data);
}

int main(int argc, char **argv)
{
    options o = {.repeats = 5, .block = 64, .dtype = RLS_BF16, .state = RLS_F64, .dir = "."};
    const bench_option table[] = {
        {"dir", "DIR", "where to write, 6 GB of room; bench_export.d is made in it (.)", OPTION_TEXT, &o.dir,
         0},
        {"keep", NULL, "keep bench_export.d with the model for the next time", OPTION_FLAG, &o.keep, 0},
        {"to", "DIR", "export to this directory, of another file system (that of --dir)", OPTION_TEXT, &o.to,
         0},
        {"copy-shards", NULL, "with a file system for which links are impossible: needs root", OPTION_FLAG,
         &o.copy, 0},
        {"repeats", "R", "rounds, of which the medians count (5)", OPTION_REPEATS, &o.repeats, 1},
        {"dtype", "TYPE", "of the model: bfloat16, float16, float32 (bfloat16)", OPTION_DTYPE, &o.dtype, 2},
        {"state", "TYPE", "of the edited weights: float64, float32 (float64)", OPTION_DTYPE, &o.state, 4},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    int provided = 0;
    (void)setenv("OMPI_MCA_io", "^ompio", 0);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    int stop = options_read(argc, argv, "bench_export", table, OPTION_COUNT(table));
    if (stop < 0 && o.dtype == RLS_F64) {
        (void)fprintf(stderr, "bench_export: --dtype cannot be float64\n");
        stop = 2;
    }
    if (stop >= 0) {
        MPI_Finalize();
        return stop;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    run(ctx, &o);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
