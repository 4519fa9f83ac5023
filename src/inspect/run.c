/* Run directories. One may be looked at while its run goes on: files appear, grow and get their final names.
 * So what is written last is read first: the summary, then the log, then the journal. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"
#include "inspect/journal.h"
#include "inspect/kinds.h"
#include "inspect/log.h"
#include "store/checkpoint.h"
#include "store/file_util.h"
#include "store/manifest.h"
#include "store/problem.h"
#include "store/run_dir.h"
#include "store/tree.h"

enum { CONFIG_MAX = 1 << 20 };

/* The parts of a run directory that disk use is told of; anything else is "other". */
static const char *const PARTS[] = {"stream", "checkpoints", "model", "report", "other"};
enum { PART_COUNT = sizeof PARTS / sizeof PARTS[0] };

typedef struct {
    rls_context *ctx;
    const char *path; /* without a slash at its end */
    bool verify;
    /* rank 0's */
    json_t *problems, *summary, *checkpoints, *set_aside;
    rls_log_view log;
    bool log_there, running;
    char owner[128]; /* of the lock */
    int64_t bytes[PART_COUNT];
    rls_journal_view journal;
} run_view;

static rls_status path_in(const run_view *run, const char *name, char **out)
{
    return rls_asprintf(run->ctx, out, "%s/%s", run->path, name);
}

/* Adds up the sizes of all files below a directory. */
static rls_status add_bytes(rls_context *ctx, const char *path, const char *name, void *user)
{
    char *entry = NULL;
    struct stat info;
    rls_status status = rls_asprintf(ctx, &entry, "%s/%s", path, name);
    if (status == RLS_OK && lstat(entry, &info) == 0) {
        if (S_ISREG(info.st_mode))
            *(int64_t *)user += (int64_t)info.st_size;
        else if (S_ISDIR(info.st_mode) && rls_dir_visit(ctx, entry, add_bytes, user) != RLS_OK)
            rls_clear_failure(ctx); /* it was renamed or removed meanwhile */
    }
    free(entry);
    return status;
}

/* Notes what a resumed run set aside: *.damaged and *.damaged-2, in the run and the directory `user` of it.
 */
typedef struct {
    json_t *list;
    const char *below;
} aside_list;

static rls_status note_aside(rls_context *ctx, const char *path, const char *name, void *user)
{
    const aside_list *aside = user;
    (void)path;
    if (strstr(name, ".damaged") == NULL)
        return RLS_OK;
    char *entry = NULL;
    const rls_status status = rls_asprintf(ctx, &entry, "%s%s", aside->below, name);
    if (status == RLS_OK)
        (void)json_array_append_new(aside->list, rls_json_text(entry));
    free(entry);
    return status;
}

/* Disk use of an entry of the run directory. */
static rls_status weigh(rls_context *ctx, const char *path, const char *name, void *user)
{
    run_view *run = user;
    int part = 0;
    while (part < PART_COUNT - 1 && strcmp(PARTS[part], name) != 0)
        part++;
    rls_status status = add_bytes(ctx, path, name, &run->bytes[part]);
    if (status == RLS_OK && part < 2) { /* what is set aside is in the journal and among the checkpoints */
        char *below = NULL;
        aside_list aside = {run->set_aside, part == 0 ? "stream/" : "checkpoints/"};
        status = path_in(run, name, &below);
        if (status == RLS_OK && rls_dir_visit(ctx, below, note_aside, &aside) == RLS_ERR_MEMORY)
            status = RLS_ERR_MEMORY;
        else
            rls_clear_failure(ctx);
        free(below);
    } else if (status == RLS_OK) {
        aside_list aside = {run->set_aside, ""};
        status = note_aside(ctx, path, name, &aside);
    }
    return status;
}

/* Whether a run is at work here: its lock is held. */
static void see_lock(run_view *run, const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    if (fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        const ssize_t got = pread(file, run->owner, sizeof run->owner - 1, 0);
        run->owner[got > 0 ? got : 0] = '\0';
        run->running = true;
    }
    (void)close(file);
}

/* The summary; a damaged one is a problem, and the run not finished. */
static void read_summary(run_view *run, const char *path)
{
    if (access(path, F_OK) == 0 &&
        rls_manifest_read(run->ctx, path, RLS_SUMMARY_FORMAT, &run->summary) != RLS_OK)
        rls_problem_take(run->ctx, run->problems, path);
}

/* run.json, and config.yaml by the checksum that run.json has of it. */
static void read_identity(run_view *run, const char *about, const char *config)
{
    json_t *identity = NULL;
    char *text = NULL, hash[RLS_HASH_TEXT];
    int64_t bytes = 0;
    if (rls_manifest_read(run->ctx, about, RLS_RUN_FORMAT, &identity) != RLS_OK)
        rls_problem_take(run->ctx, run->problems, about);
    const char *expected = json_string_value(json_object_get(identity, "config"));
    if (rls_file_read_whole(run->ctx, config, CONFIG_MAX, &text, &bytes) != RLS_OK)
        rls_problem_take(run->ctx, run->problems, config);
    else if (expected != NULL &&
             strcmp(expected, rls_hash_text(rls_hash_bytes(text, (size_t)bytes), hash)) != 0)
        rls_problem_add(run->problems, config, "is damaged or edited: its checksum in run.json differs");
    free(text);
    json_decref(identity);
}

/* Rank 0: all that is small. */
static rls_status read_small(run_view *run)
{
    static const char *const NAMES[] = {"summary.json", ".lock", "run.json", "config.yaml", "log.jsonl"};
    enum { SUMMARY, LOCK, ABOUT, CONFIG, LOG, COUNT };
    char *path[COUNT] = {NULL};
    rls_status status = RLS_OK;
    run->problems = json_array();
    run->checkpoints = json_array();
    run->set_aside = json_array();
    if (run->problems == NULL || run->checkpoints == NULL || run->set_aside == NULL)
        status = rls_inspect_made(run->ctx, run->path, -1);
    for (int i = 0; i < COUNT && status == RLS_OK; i++)
        status = path_in(run, NAMES[i], &path[i]);
    if (status == RLS_OK) {
        read_summary(run, path[SUMMARY]);
        see_lock(run, path[LOCK]);
        read_identity(run, path[ABOUT], path[CONFIG]);
        status = rls_inspect_log(run->ctx, path[LOG], run->verify, run->problems, &run->log);
    }
    if (status == RLS_OK)
        status = rls_dir_visit(run->ctx, run->path, weigh, run);
    for (int i = 0; i < COUNT; i++)
        free(path[i]);
    return status;
}

/* The journal; with verify, every byte of it. Collective. */
static rls_status see_journal(run_view *run)
{
    rls_context *ctx = run->ctx;
    char *path = NULL;
    rls_status status = rls_agree(ctx, path_in(run, "stream", &path));
    if (status == RLS_OK)
        status = rls_inspect_journal(ctx, path, run->verify, run->problems, &run->journal);
    free(path);
    return status;
}

/* One checkpoint of the list. What a run at work has deleted meanwhile is left out. Collective. */
static rls_status see_checkpoint(run_view *run, const char *dir, int64_t step)
{
    rls_context *ctx = run->ctx;
    char *path = NULL;
    json_t *about = NULL, *problems = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s/step-%09" PRId64, dir, step);
    if (status == RLS_OK && ctx->rank == 0) {
        about = json_object();
        problems = json_array();
        status = rls_inspect_made(ctx, path, json_object_set_new(about, "path", rls_json_text(path)));
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_describe_checkpoint(ctx, path, run->verify, problems, about);
    if (status == RLS_OK && ctx->rank == 0 && (!run->running || access(path, F_OK) == 0)) {
        (void)json_object_set_new(about, "step", json_integer(step));
        (void)json_array_append(run->checkpoints, about);
        rls_problems_join(run->problems, problems);
    }
    json_decref(problems);
    json_decref(about);
    free(path);
    return status;
}

static rls_status see_checkpoints(run_view *run)
{
    rls_context *ctx = run->ctx;
    int64_t *steps = NULL, count = 0;
    char *dir = NULL;
    rls_status status = rls_agree(ctx, path_in(run, "checkpoints", &dir));
    if (status == RLS_OK) {
        status = rls_checkpoint_list(ctx, dir, &steps, &count);
        if (status == RLS_ERR_IO || status == RLS_ERR_DATA) {
            if (ctx->rank == 0)
                rls_problem_take(ctx, run->problems, dir);
            rls_clear_failure(ctx);
            status = RLS_OK;
        }
    }
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = see_checkpoint(run, dir, steps[i]);
    free(steps);
    free(dir);
    return status;
}

/* The log has a line for every batch of the journal. Rank 0. */
static void compare_log(run_view *run)
{
    const bool finished = run->summary != NULL;
    char *path = NULL;
    if (!run->verify || run->running || path_in(run, "log.jsonl", &path) != RLS_OK)
        return;
    if (!rls_journal_fits_log(&run->journal, run->log.lines, finished, json_array_size(run->set_aside) > 0))
        rls_problem_add(run->problems, path,
                        "has %" PRId64 " whole lines, but the journal %" PRId64 " batches", run->log.lines,
                        run->journal.batches);
    else if (finished && run->log.torn)
        rls_problem_add(run->problems, path, "ends within a line");
    free(path);
}

/* The edited model against the summary's checksums of its files. Collective. */
static rls_status verify_model(run_view *run)
{
    rls_context *ctx = run->ctx;
    char *dir = NULL;
    rls_status status = rls_agree(ctx, path_in(run, "model", &dir));
    if (status == RLS_OK)
        status = rls_tree_examine(ctx, dir, json_object_get(run->summary, "model_files"), run->problems);
    free(dir);
    return status;
}

/* The newest checkpoint that a resumed run would take; NULL: it would begin from the model. */
static const json_t *resume_from(const run_view *run)
{
    const json_t *checkpoint = NULL;
    size_t i = 0;
    json_array_foreach(run->checkpoints, i, checkpoint)
    {
        if (json_is_true(json_object_get(checkpoint, "sound")) &&
            json_integer_value(json_object_get(checkpoint, "segments")) <= run->journal.sound)
            return checkpoint;
    }
    return NULL;
}

/* "finished", "running", "stopped": all edits that were applied are in a checkpoint, or there are none;
 * "interrupted": resuming applies `replay` batches of the journal again, and what is not sound of it anew. */
static int add_state(const run_view *run, json_t *out)
{
    const json_t *from = resume_from(run);
    const int64_t replay =
        run->journal.batches - (int64_t)json_integer_value(json_object_get(from, "batches"));
    const char *state = run->running                                               ? "running"
                        : run->summary != NULL                                     ? "finished"
                        : replay > 0 || run->journal.sound < run->journal.segments ? "interrupted"
                                                                                   : "stopped";
    int failed = json_object_set_new(out, "state", json_string(state));
    failed |= json_object_set_new(out, "running", run->running ? rls_json_text(run->owner) : json_null());
    if (run->summary != NULL)
        return failed | json_object_set_new(out, "resume", json_null());
    return failed | json_object_set_new(out, "resume",
                                        json_pack("{s:O?, s:I}", "step", json_object_get(from, "step"),
                                                  "replay", (json_int_t)replay));
}

/* The path when a directory is there, else null. */
static json_t *directory_or_null(const run_view *run, const char *name)
{
    struct stat info;
    char *path = NULL;
    json_t *text = NULL;
    if (path_in(run, name, &path) == RLS_OK && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        text = rls_json_text(path);
    free(path);
    return text != NULL ? text : json_null();
}

static json_t *object_or_null(json_t *object)
{
    return object != NULL ? json_incref(object) : json_null();
}

/* The summary's count, else the journal's, else the last line's of the log; 0 with none. */
static json_t *count_of(const run_view *run, const char *key, int64_t journal, const char *last_key)
{
    const json_t *count = json_object_get(run->summary, key);
    if (count == NULL && journal > 0)
        return json_integer(journal);
    return json_integer(json_integer_value(count != NULL ? count : json_object_get(run->log.last, last_key)));
}

static rls_status describe(run_view *run, json_t *out)
{
    int64_t bytes = 0;
    json_t *disk = json_object();
    int failed = 0;
    for (int i = 0; i < PART_COUNT; i++) {
        bytes += run->bytes[i];
        failed |= json_object_set_new(disk, PARTS[i], json_integer(run->bytes[i]));
    }
    failed |= json_object_set_new(out, "bytes", json_integer(bytes));
    failed |= add_state(run, out);
    failed |= json_object_set_new(out, "edits", count_of(run, "edits", run->journal.edits, "edits"));
    failed |= json_object_set_new(out, "batches", count_of(run, "batches", run->journal.batches, "batch"));
    failed |= json_object_set_new(out, "last_batch", object_or_null(run->log.last));
    failed |= json_object_set_new(out, "model", directory_or_null(run, "model"));
    failed |= json_object_set_new(out, "summary", object_or_null(run->summary));
    failed |= json_object_set_new(
        out, "journal",
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "segments", (json_int_t)run->journal.segments, "sound",
                  (json_int_t)run->journal.sound, "edits", (json_int_t)run->journal.edits, "bytes",
                  (json_int_t)run->journal.bytes, "strays", (json_int_t)run->journal.strays, "stray",
                  run->journal.strays > 0 ? rls_json_text(run->journal.stray) : json_null()));
    failed |= json_object_set(out, "checkpoints", run->checkpoints);
    failed |= json_object_set_new(out, "disk", disk);
    failed |= json_object_set(out, "set_aside", run->set_aside);
    failed |= json_object_set(out, "problems", run->problems);
    return rls_inspect_made(run->ctx, run->path, failed);
}

static rls_status see_all(run_view *run, json_t *out)
{
    rls_context *ctx = run->ctx;
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? read_small(run) : RLS_OK);
    if (status != RLS_OK)
        return status;
    int running = run->running;
    MPI_Bcast(&running, 1, MPI_INT, 0, ctx->comm);
    run->running = running != 0;
    status = see_journal(run);
    if (status == RLS_OK)
        status = see_checkpoints(run);
    if (status == RLS_OK && run->verify)
        status = verify_model(run);
    if (status == RLS_OK && ctx->rank == 0) {
        compare_log(run);
        status = describe(run, out);
    }
    return rls_agree(ctx, status);
}

rls_status rls_inspect_run(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    run_view run = {.ctx = ctx, .verify = verify};
    char *clean = NULL;
    rls_status status = rls_strdup(ctx, path, &clean);
    for (size_t length = status == RLS_OK ? strlen(clean) : 0; length > 1 && clean[length - 1] == '/';)
        clean[--length] = '\0';
    run.path = clean;
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = see_all(&run, out);
    json_decref(run.problems);
    json_decref(run.summary);
    json_decref(run.checkpoints);
    json_decref(run.set_aside);
    json_decref(run.log.last);
    free(clean);
    return status;
}
