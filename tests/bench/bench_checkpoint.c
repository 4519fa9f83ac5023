/*
 * How fast a layer's state goes to the disk and comes back, against what the same disk does in the same run:
 *
 *     mpirun -n 2 bench_checkpoint --n 12288 --m 2048 --dir /scratch --json checkpoint.jsonl
 *
 * Plain: rank 0 alone writes as many bytes as the checkpoint has from memory in pieces of 8 MiB and puts them
 * on the disk (fsync), and reads them again. Checkpoint: rls_checkpoint_write (which ends on the disk, with
 * its checksums taken), and rls_checkpoint_load_checked (which takes the checksums as it reads); for
 * comparison rls_checkpoint_verify with all checksums followed by rls_checkpoint_load. Before
 * every reading the page cache is dropped: all of it when this is root, the file's otherwise. Disks vary:
 * plain and checkpoint take turns, and the medians of both are compared. Then a stream of batches of u edits
 * for --stream seconds, each batch committed to the journal and checkpoints written when the default policy
 * says so: what journal and checkpoints take of its time.
 */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "bench/bench.h"
#include "bench/median.h"
#include "bench/options.h"
#include "linalg/symmetric.h"
#include "rlsedit/rlsedit.h"
#include "run/checkpoint_policy.h"
#include "store/checkpoint.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/journal.h"
#include "support/random.h"

enum { PIECE = 8 << 20, PATH_BYTES = 1024 };

typedef struct {
    int64_t n, m, block, edits;
    int64_t stream; /* seconds */
    int repeats;
    grid_size grid;
    rls_dtype dtype;
    const char *dir, *json;
} options;

/* Seconds of each round. */
typedef struct {
    double plain_write[MOST_REPEATS], write[MOST_REPEATS], mirror[MOST_REPEATS], digest[MOST_REPEATS];
    double plain_read[MOST_REPEATS], read[MOST_REPEATS], verify[MOST_REPEATS], verify_then_load[MOST_REPEATS];
    int64_t bytes;
} rounds;

static void stop(const char *what)
{
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Waits for the other ranks asleep, not to take the processor from the one at work. */
static void wait_asleep(rls_context *ctx)
{
    MPI_Request request;
    int done = 0;
    MPI_Ibarrier(rls_context_comm(ctx), &request);
    for (MPI_Test(&request, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&request, &done, MPI_STATUS_IGNORE))
        (void)usleep(500);
}

/* Seconds since start on the slowest rank. */
static double since(rls_context *ctx, double start)
{
    double seconds = MPI_Wtime() - start;
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, rls_context_comm(ctx));
    return seconds;
}

static double begin(rls_context *ctx)
{
    MPI_Barrier(rls_context_comm(ctx));
    return MPI_Wtime();
}

/* Forgets what memory holds of the disk. */
static void drop_cache(rls_context *ctx, const char *file)
{
    if (rls_context_rank(ctx) == 0) {
        sync();
        const int drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
        const int fd = open(file, O_RDONLY);
        if ((drop < 0 || write(drop, "1", 1) != 1) && fd >= 0)
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (drop >= 0)
            (void)close(drop);
        if (fd >= 0)
            (void)close(fd);
    }
    wait_asleep(ctx);
}

/* A clean start for a measurement of writing: nothing else is on its way to the disk. */
static void settle(rls_context *ctx)
{
    if (rls_context_rank(ctx) == 0)
        sync();
    wait_asleep(ctx);
}

static double plain_write(rls_context *ctx, const char *file, const char *data, int64_t have, int64_t bytes)
{
    settle(ctx);
    const double start = begin(ctx);
    if (rls_context_rank(ctx) == 0) {
        const int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0)
            stop(file);
        for (int64_t at = 0; at < bytes; at += PIECE) {
            const size_t piece = (size_t)(bytes - at < PIECE ? bytes - at : PIECE);
            if (write(fd, data + at % (have - PIECE), piece) != (ssize_t)piece)
                stop(file);
        }
        if (fsync(fd) != 0 || close(fd) != 0)
            stop(file);
    }
    wait_asleep(ctx);
    return since(ctx, start);
}

static double plain_read(rls_context *ctx, const char *file, char *buffer)
{
    drop_cache(ctx, file);
    const double start = begin(ctx);
    if (rls_context_rank(ctx) == 0) {
        const int fd = open(file, O_RDONLY);
        if (fd < 0)
            stop(file);
        for (ssize_t got = 1; got > 0;)
            if ((got = read(fd, buffer, PIECE)) < 0)
                stop(file);
        (void)close(fd);
    }
    wait_asleep(ctx);
    return since(ctx, start);
}

static void fill(rls_matrix *matrix, double scale, uint64_t seed)
{
    const int64_t count = matrix->part.ld * matrix->cols_local;
    rls_random random = rls_random_seed(seed + (uint64_t)matrix->grid->ctx->rank);
    for (int64_t i = 0; i < count; i++) {
        const double x = scale * rls_random_uniform(&random);
        if (matrix->part.dtype == RLS_F64)
            ((double *)matrix->part.data)[i] = x;
        else
            ((float *)matrix->part.data)[i] = (float)x;
    }
}

static json_t *manifest(rls_context *ctx)
{
    return rls_context_rank(ctx) == 0 ? json_pack("{s:s}", "by", "bench_checkpoint") : NULL;
}

/* One round: plain and checkpoint take turns to be the first. */
static void measure(rls_context *ctx, const options *o, const rls_checkpoint_layer *layer, int i, rounds *r)
{
    char plain[PATH_BYTES], dir[PATH_BYTES], file[PATH_BYTES + 64], why[768];
    json_t *found = NULL;
    int64_t verified = 0;
    char *data = layer->inv_cov->part.data;
    const int64_t have = layer->inv_cov->part.ld * layer->inv_cov->cols_local *
                         (int64_t)rls_dtype_size(layer->inv_cov->part.dtype);
    (void)snprintf(plain, sizeof plain, "%s/plain", o->dir);
    (void)snprintf(dir, sizeof dir, "%s/checkpoints", o->dir);
    (void)snprintf(file, sizeof file, "%s/step-%09d/layer-%02d.nc", dir, i, layer->number);
    void *buffer = NULL;
    if (posix_memalign(&buffer, 64, PIECE) != 0)
        stop("memory");
    for (int turn = 0; turn < 2; turn++) {
        if (turn == i % 2) {
            r->plain_write[i] = plain_write(ctx, plain, data, have, r->bytes);
            continue;
        }
        settle(ctx);
        const double start = begin(ctx);
        check(ctx, rls_checkpoint_write(ctx, dir, i, "bench", layer, 1, manifest(ctx)));
        r->write[i] = since(ctx, start);
    }
    for (int turn = 0; turn < 2; turn++) {
        if (turn == i % 2) {
            r->plain_read[i] = plain_read(ctx, plain, buffer);
            continue;
        }
        drop_cache(ctx, file);
        const double start = begin(ctx);
        check(ctx, rls_checkpoint_verify(ctx, dir, i, false, &found, &verified, why));
        if (found == NULL) {
            fprintf(stderr, "bench_checkpoint: not sound: %s\n", why);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        check(ctx, rls_checkpoint_load_checked(ctx, dir, i, found, layer));
        r->read[i] = since(ctx, start);
        json_decref(found);
        drop_cache(ctx, file);
        const double twice = begin(ctx);
        check(ctx, rls_checkpoint_verify(ctx, dir, i, true, &found, &verified, why));
        r->verify[i] = since(ctx, twice);
        json_decref(found);
        check(ctx, rls_checkpoint_load(ctx, dir, i, layer));
        r->verify_then_load[i] = since(ctx, twice);
    }
    /* Two of the write's parts by themselves, the file in memory. */
    rls_digest *digests = NULL;
    const char *const path = file;
    double start = begin(ctx);
    check(ctx, rls_digest_files(ctx, &path, 1, &digests));
    r->digest[i] = since(ctx, start);
    rls_digests_free(&digests);
    start = begin(ctx);
    check(ctx, rls_symmetric_mirror(layer->inv_cov));
    r->mirror[i] = since(ctx, start);
    check(ctx, rls_checkpoint_prune(ctx, dir, 1, 0));
    free(buffer);
}

/* What a stream's time went to. */
typedef struct {
    double seconds, step, journal, checkpoint; /* sums; the stream's has all three */
    int64_t batches, checkpoints;
} stream_times;

/* The default policy, as a user's configuration has it. */
static struct rls_config_checkpoint default_policy(rls_context *ctx)
{
    static const char text[] = "model: {module: \"bench.{}\", layers: [0]}\n";
    rls_config *config = NULL;
    check(ctx, rls_config_parse(ctx, "bench", text, sizeof text - 1, NULL, 0, &config));
    const struct rls_config_checkpoint policy = config->checkpoint;
    rls_config_destroy(&config);
    return policy;
}

/* Edits for o->stream seconds; keys and values are float32, as recorded streams are. */
static void measure_stream(rls_context *ctx, const options *o, rls_editor *editor, stream_times *t)
{
    const struct rls_config_checkpoint policy = default_policy(ctx);
    const rls_checkpoint_layer saved = {7, rls_editor_inv_cov(editor), rls_editor_weight(editor)};
    const rls_batch batch = {.keys = share(ctx, o->n, o->edits, 1.0 / sqrt((double)o->n), 1),
                             .values = share(ctx, o->m, o->edits, 1.0, 2),
                             .kind = RLS_TARGET};
    rls_stream_layer layer = {.layer = 0, .n = o->n, .m = o->m, .key_dtype = RLS_F32, .value_dtype = RLS_F32};
    rls_stream_info info = {.kind = RLS_TARGET, .layer_count = 1, .layers = &layer};
    char path[PATH_BYTES], dir[PATH_BYTES];
    rls_journal *journal = NULL;
    rls_step_report report;
    (void)snprintf(info.module, sizeof info.module, "bench.{}");
    (void)snprintf(path, sizeof path, "%s/stream", o->dir);
    (void)snprintf(dir, sizeof dir, "%s/stream-checkpoints", o->dir);
    check(ctx, rls_journal_open(ctx, path, "bench", &info, 0, 0, 0, &journal));
    check(ctx, rls_editor_step(editor, &batch, &report)); /* the workspace grows to its size */
    settle(ctx);
    const double begun = begin(ctx);
    double saved_at = begun, save_seconds = 0.0;
    int64_t unsaved = 0;
    while ((t->seconds = since(ctx, begun)) < (double)o->stream) {
        double start = begin(ctx);
        check(ctx, rls_editor_step(editor, &batch, &report));
        t->step += since(ctx, start);
        start = begin(ctx);
        check(ctx, rls_journal_commit(journal, NULL, &batch.keys, &batch.values));
        t->journal += since(ctx, start);
        t->batches++;
        unsaved += o->edits;
        int due = rls_checkpoint_due(&policy, unsaved, MPI_Wtime() - saved_at, save_seconds);
        MPI_Bcast(&due, 1, MPI_INT, 0, rls_context_comm(ctx));
        if (!due)
            continue;
        start = begin(ctx);
        check(ctx, rls_checkpoint_write(ctx, dir, t->batches, "bench", &saved, 1, manifest(ctx)));
        check(ctx, rls_checkpoint_prune(ctx, dir, policy.keep, policy.keep_every));
        t->checkpoint += save_seconds = since(ctx, start);
        t->checkpoints++;
        unsaved = 0;
        saved_at = MPI_Wtime();
    }
    rls_journal_close(&journal);
    free((void *)(uintptr_t)batch.keys.data);
    free((void *)(uintptr_t)batch.values.data);
}

static double gbs(const rounds *r, double seconds)
{
    return 1e-9 * (double)r->bytes / seconds;
}

static void print_rates(const options *o, int ranks, const rounds *r, FILE *json)
{
    const double plain_write = median(r->plain_write, o->repeats), wrote = median(r->write, o->repeats);
    const double plain_read = median(r->plain_read, o->repeats), got = median(r->read, o->repeats);
    const double mirror = median(r->mirror, o->repeats), digest = median(r->digest, o->repeats);
    const double verify = median(r->verify, o->repeats), both = median(r->verify_then_load, o->repeats);
    printf("\n%s, n = %lld, m = %lld, %d ranks, %.3f GB, medians of %d\n", rls_dtype_name(o->dtype),
           (long long)o->n, (long long)o->m, ranks, 1e-9 * (double)r->bytes, o->repeats);
    printf("%8s %12s %8s %12s %8s %7s\n", "", "plain s", "GB/s", "checkpoint s", "GB/s", "ratio");
    printf("%8s %12.3f %8.3f %12.3f %8.3f %7.3f   (of it mirror %.3f s, checksums in memory %.3f s)\n",
           "write", plain_write, gbs(r, plain_write), wrote, gbs(r, wrote), plain_write / wrote, mirror,
           digest);
    printf("%8s %12.3f %8.3f %12.3f %8.3f %7.3f   (verify, then load: %.3f + %.3f s)\n", "read", plain_read,
           gbs(r, plain_read), got, gbs(r, got), plain_read / got, verify, both - verify);
    if (json != NULL)
        fprintf(
            json,
            "{\"bench\": \"checkpoint\", \"dtype\": \"%s\", \"n\": %lld, \"m\": %lld, \"ranks\": %d, "
            "\"bytes\": %lld, \"repeats\": %d, \"plain_write_seconds\": %.5g, \"write_seconds\": %.5g, "
            "\"write_ratio\": %.4g, \"plain_read_seconds\": %.5g, \"read_seconds\": %.5g, \"read_ratio\": "
            "%.4g, \"mirror_seconds\": %.5g, \"digest_seconds\": %.5g, \"verify_seconds\": %.5g, "
            "\"verify_then_load_seconds\": %.5g}\n",
            rls_dtype_name(o->dtype), (long long)o->n, (long long)o->m, ranks, (long long)r->bytes,
            o->repeats, plain_write, wrote, plain_write / wrote, plain_read, got, plain_read / got, mirror,
            digest, verify, both);
}

static void print_stream(const options *o, const stream_times *t, FILE *json)
{
    const double journal = t->journal / t->seconds, saving = t->checkpoint / t->seconds;
    printf("\na stream of %.0f s: %lld batches of %lld, a step %.3f s, a segment %.4f s; %lld checkpoints, "
           "%.3f s "
           "each\n",
           t->seconds, (long long)t->batches, (long long)o->edits, t->step / (double)t->batches,
           t->journal / (double)t->batches, (long long)t->checkpoints,
           t->checkpoint / fmax(1.0, (double)t->checkpoints));
    printf("of its time: journal %.2f %%, checkpoints %.2f %%, both %.2f %%\n", 100.0 * journal,
           100.0 * saving, 100.0 * (journal + saving));
    if (json != NULL)
        fprintf(json,
                "{\"bench\": \"durability share\", \"dtype\": \"%s\", \"n\": %lld, \"m\": %lld, \"u\": %lld, "
                "\"seconds\": %.5g, \"batches\": %lld, \"step_seconds\": %.5g, \"journal_seconds\": %.5g, "
                "\"checkpoints\": %lld, \"checkpoint_seconds\": %.5g, \"journal_share\": %.4g, "
                "\"checkpoint_share\": %.4g}\n",
                rls_dtype_name(o->dtype), (long long)o->n, (long long)o->m, (long long)o->edits, t->seconds,
                (long long)t->batches, t->step, t->journal, (long long)t->checkpoints, t->checkpoint, journal,
                saving);
}

static void bench(rls_context *ctx, const options *o, FILE *json)
{
    rls_grid *grid = NULL;
    rls_editor *editor = NULL;
    rounds r = {0};
    stream_times times = {0};
    const rls_editor_options state = {
        .rule = "rls", .lambda = 1.0, .mu = 0.0, .dtype = o->dtype, .n = o->n, .m = o->m, .block = o->block};
    check(ctx, rls_grid_create(ctx, o->grid.p, o->grid.q, &grid));
    check(ctx, rls_editor_create(grid, &state, &editor));
    check(ctx, rls_editor_start(editor, NULL));
    if (o->stream > 0)
        measure_stream(ctx, o, editor, &times);
    const rls_checkpoint_layer layer = {7, rls_editor_inv_cov(editor), rls_editor_weight(editor)};
    fill(layer.inv_cov, 1.0, 1);
    fill(layer.weight, 1.0, 1000);
    r.bytes = (o->n + o->m) * o->n * (int64_t)rls_dtype_size(o->dtype);
    for (int i = 0; i < o->repeats; i++)
        measure(ctx, o, &layer, i, &r);
    if (rls_context_rank(ctx) == 0) {
        print_rates(o, rls_context_size(ctx), &r, json);
        if (times.batches > 0)
            print_stream(o, &times, json);
    }
    rls_editor_destroy(&editor);
    rls_grid_destroy(&grid);
}

/* In a directory of its own in o.dir. */
static void run(rls_context *ctx, options o)
{
    char dir[PATH_BYTES / 2];
    const bool first = rls_context_rank(ctx) == 0;
    FILE *json = first && o.json != NULL ? fopen(o.json, "a") : NULL;
    if (snprintf(dir, sizeof dir, "%s/bench_checkpoint.d", o.dir) >= (int)sizeof dir ||
        (first && mkdir(dir, 0700) != 0))
        stop(dir);
    MPI_Barrier(MPI_COMM_WORLD); /* the directory is there */
    o.dir = dir;
    bench(ctx, &o, json);
    if (first)
        check(ctx, rls_dir_remove(ctx, dir));
    if (json != NULL)
        (void)fclose(json);
}

int main(int argc, char **argv)
{
    options o = {.n = 12288,
                 .m = 2048,
                 .block = 64,
                 .edits = 100,
                 .repeats = 5,
                 .stream = 300,
                 .dtype = RLS_F64,
                 .dir = "."};
    const bench_option table[] = {
        {"n", "N", "key size (12288)", OPTION_NUMBER, &o.n, 1},
        {"m", "M", "value size (2048)", OPTION_NUMBER, &o.m, 1},
        {"dtype", "TYPE", "float64 or float32 (float64)", OPTION_DTYPE, &o.dtype, 4},
        {"edits", "U", "edits a batch (100)", OPTION_NUMBER, &o.edits, 1},
        {"repeats", "R", "rounds, of which the medians count (5)", OPTION_REPEATS, &o.repeats, 1},
        {"stream", "SECONDS", "length of the stream; 0: none (300)", OPTION_NUMBER, &o.stream, 0},
        {"block", "B", "block size (64)", OPTION_NUMBER, &o.block, 1},
        {"grid", "PxQ", "process grid (automatic)", OPTION_GRID, &o.grid, 0},
        {"dir", "DIR", "where to write; a directory is made in it and removed (.)", OPTION_TEXT, &o.dir, 0},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    int provided = 0;
    (void)setenv("OMPI_MCA_io", "^ompio", 0);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    const int asked = options_read(argc, argv, "bench_checkpoint", table, OPTION_COUNT(table));
    if (asked >= 0) {
        MPI_Finalize();
        return asked;
    }
    if (rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    run(ctx, o);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return 0;
}
