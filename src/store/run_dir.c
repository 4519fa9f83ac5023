#include "store/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/share.h"
#include "store/file_util.h"
#include "store/leftover.h"
#include "store/manifest.h"
#include "store/problem.h"
#include "store/run_log.h"
#include "store/tree.h"

struct rls_run_dir {
    rls_context *ctx;
    char *path;
    char token[32];
    int lock;  /* rank 0: the file .lock, held; -1 */
    FILE *log; /* rank 0 */
};

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* Whether a name is of what a run that died before it had a run.json leaves behind. */
static bool is_unborn(const char *name)
{
    static const char *const NAMES[] = {
        ".", "..", ".lock", "config.yaml", "config.yaml.partial", "log.jsonl", "run.json.partial"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    return false;
}

/* Whether a directory holds nothing, or only what an unborn run left in it (its lock among it); errno tells
 * when it cannot be read (-1). */
static int is_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    int entries = 0;
    bool unborn = true, lock = false;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        entries++;
        unborn = unborn && is_unborn(entry->d_name);
        lock = lock || strcmp(entry->d_name, ".lock") == 0;
    }
    closedir(dir);
    return entries == 2 || (unborn && lock);
}

static rls_status check_on_root(rls_context *ctx, const char *path)
{
    struct stat info;
    if (path[0] == '\0')
        return rls_fail(ctx, RLS_ERR_USAGE, "--run: the run directory's name is empty");
    if (stat(path, &info) == 0) {
        if (!S_ISDIR(info.st_mode))
            return rls_fail(ctx, RLS_ERR_USAGE, "%s: exists and is not a directory: give --run another name",
                            path);
        const int empty = is_empty(path);
        if (empty == 0)
            return rls_fail(ctx, RLS_ERR_USAGE, "%s: exists with something in it: give --run a new directory",
                            path);
        if (empty < 0 || access(path, W_OK | X_OK) != 0)
            return rls_fail(ctx, RLS_ERR_IO, "%s: cannot use the directory: %s", path, strerror(errno));
        return RLS_OK;
    }
    if (errno != ENOENT)
        return rls_fail(ctx, RLS_ERR_IO, "%s: cannot make the run directory: %s", path, strerror(errno));
    if (lstat(path, &info) == 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "%s: is a symbolic link to nothing: give --run another name",
                        path);
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *end = parent + strlen(parent);
    while (end > parent + 1 && end[-1] == '/')
        *--end = '\0';
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        (void)snprintf(parent, sizeof parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    if (access(parent, W_OK | X_OK) != 0)
        return rls_fail(ctx, RLS_ERR_IO, "%s: cannot make the run directory in %s: %s", path, parent,
                        strerror(errno));
    return RLS_OK;
}

rls_status rls_run_dir_check(rls_context *ctx, const char *path)
{
    return rls_agree(ctx, ctx->rank == 0 ? check_on_root(ctx, path) : RLS_OK);
}

/* Rank 0: takes the lock. POSIX locks also hold between nodes on shared file systems, and die with the
 * process. */
static rls_status take_lock(rls_run_dir *run)
{
    rls_context *ctx = run->ctx;
    char *path = NULL, owner[128] = "";
    rls_status status = rls_run_dir_path(ctx, run, ".lock", &path);
    if (status != RLS_OK)
        return status;
    run->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (run->lock < 0) {
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    } else if (fcntl(run->lock, F_SETLK, &lock) != 0) {
        const int reason = errno;
        const ssize_t got = pread(run->lock, owner, sizeof owner - 1, 0);
        owner[got > 0 ? got : 0] = '\0';
        status = reason == EACCES || reason == EAGAIN
                     ? rls_fail(ctx, RLS_ERR_USAGE,
                                "%s: another run is at work in this directory (%s): wait for it, or stop it",
                                run->path, owner)
                     : rls_fail(ctx, RLS_ERR_IO, "%s: cannot be locked: %s", path, strerror(reason));
    } else {
        char host[64] = "";
        (void)gethostname(host, sizeof host - 1);
        const int len = snprintf(owner, sizeof owner, "process %ld on %s", (long)getpid(), host);
        if (ftruncate(run->lock, 0) != 0 ||
            pwrite(run->lock, owner, (size_t)len, 0) != len) /* only a courtesy to whoever is refused */
            rls_log(ctx, RLS_LOG_DEBUG, "%s: cannot be written", path);
    }
    free(path);
    return status;
}

/* A handle for path; the token is rank 0's for all. Collective. */
static rls_status new_handle(rls_context *ctx, const char *path, rls_run_dir **out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_run_dir), &memory);
    rls_run_dir *run = memory;
    if (status == RLS_OK) {
        run->ctx = ctx;
        run->lock = -1;
        status = rls_strdup(ctx, path, &run->path);
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        (void)snprintf(run->token, sizeof run->token, "%" PRIx64 "-%lx", (uint64_t)time(NULL),
                       (unsigned long)getpid());
        MPI_Bcast(run->token, (int)sizeof run->token, MPI_CHAR, 0, ctx->comm);
    } else {
        rls_run_dir_close(&run);
    }
    *out = run;
    return status;
}

static rls_status open_log(rls_run_dir *run, const char *mode)
{
    char *path = NULL;
    rls_status status = rls_run_dir_path(run->ctx, run, "log.jsonl", &path);
    if (status == RLS_OK && (run->log = fopen(path, mode)) == NULL)
        status = rls_fail(run->ctx, RLS_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    free(path);
    return status;
}

static void add_config_hash(json_t *identity, const char *config_text)
{
    char text[RLS_HASH_TEXT];
    const rls_hash hash = rls_hash_bytes(config_text, strlen(config_text));
    (void)json_object_set_new(identity, "format", json_string(RLS_RUN_FORMAT));
    (void)json_object_set_new(identity, "version", json_integer(1));
    (void)json_object_set_new(identity, "config", json_string(rls_hash_text(hash, text)));
}

static rls_status create_on_root(rls_run_dir *run, const char *config_text, json_t *identity)
{
    rls_context *ctx = run->ctx;
    char *config = NULL, *about = NULL;
    rls_status status = check_on_root(ctx, run->path);
    if (status == RLS_OK)
        status = rls_dir_make(ctx, run->path);
    if (status == RLS_OK)
        status = take_lock(run);
    if (status == RLS_OK) /* another run may have come and gone meanwhile */
        status = check_on_root(ctx, run->path);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "config.yaml", &config);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "run.json", &about);
    if (status == RLS_OK)
        status = rls_file_replace(ctx, config, config_text, (int64_t)strlen(config_text));
    if (status == RLS_OK)
        status = open_log(run, "w");
    if (status == RLS_OK) { /* last: a directory with run.json is whole */
        add_config_hash(identity, config_text);
        status = rls_manifest_write(ctx, about, json_incref(identity));
    }
    free(config);
    free(about);
    return status;
}

rls_status rls_run_dir_create(rls_context *ctx, const char *path, const char *config_text, json_t *identity,
                              rls_run_dir **out)
{
    *out = NULL;
    rls_run_dir *run = NULL;
    rls_status status = new_handle(ctx, path, &run);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? create_on_root(run, config_text, identity) : RLS_OK);
    json_decref(identity);
    if (status != RLS_OK)
        rls_run_dir_close(&run);
    *out = run;
    return status;
}

rls_status rls_run_dir_exists(rls_context *ctx, const char *path, bool *exists)
{
    int there = 0;
    if (ctx->rank == 0) {
        char file[PATH_MAX];
        const int len = snprintf(file, sizeof file, "%s/run.json", path);
        there = len > 0 && (size_t)len < sizeof file && access(file, F_OK) == 0;
    }
    MPI_Bcast(&there, 1, MPI_INT, 0, ctx->comm);
    *exists = there != 0;
    return RLS_OK;
}

/* Rank 0: run.json and the config.yaml that it vouches for, as texts. */
static rls_status read_on_root(rls_run_dir *run, char **config_text, char **identity_text)
{
    rls_context *ctx = run->ctx;
    char *config = NULL, *about = NULL, text[RLS_HASH_TEXT];
    json_t *identity = NULL;
    int64_t bytes = 0;
    rls_status status = take_lock(run);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_resume_open);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "config.yaml", &config);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "run.json", &about);
    if (status == RLS_OK)
        status = rls_manifest_read(ctx, about, RLS_RUN_FORMAT, &identity);
    if (status == RLS_OK)
        status = rls_file_read_whole(ctx, config, CONFIG_BYTES_MAX, config_text, &bytes);
    if (status == RLS_OK) {
        const char *expected = json_string_value(json_object_get(identity, "config"));
        if (expected == NULL ||
            strcmp(expected, rls_hash_text(rls_hash_bytes(*config_text, (size_t)bytes), text)) != 0)
            status = rls_fail(ctx, RLS_ERR_DATA,
                              "%s: damaged or edited: its checksum in run.json differs; change a resumed "
                              "run's config by --set",
                              config);
    }
    if (status == RLS_OK &&
        (*identity_text = json_dumps(identity, JSON_COMPACT | JSON_REAL_PRECISION(17))) == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for it", about);
    json_decref(identity);
    free(config);
    free(about);
    return status;
}

rls_status rls_run_dir_open(rls_context *ctx, const char *path, char **config_text, json_t **identity,
                            rls_run_dir **out)
{
    char *about = NULL;
    rls_run_dir *run = NULL;
    *config_text = NULL;
    *identity = NULL;
    rls_status status = new_handle(ctx, path, &run);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? read_on_root(run, config_text, &about) : RLS_OK);
    if (status == RLS_OK)
        status = rls_share_text(ctx, RLS_OK, config_text);
    if (status == RLS_OK)
        status = rls_share_text(ctx, RLS_OK, &about);
    if (status == RLS_OK) {
        *identity = json_loads(about, 0, NULL);
        status = rls_agree(ctx, *identity != NULL ? RLS_OK
                                                  : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for run.json"));
    }
    if (status != RLS_OK) {
        free(*config_text);
        *config_text = NULL;
        json_decref(*identity);
        *identity = NULL;
        rls_run_dir_close(&run);
    }
    free(about);
    *out = run;
    return status;
}

void rls_run_dir_close(rls_run_dir **run)
{
    if (*run == NULL)
        return;
    if ((*run)->log != NULL)
        fclose((*run)->log);
    if ((*run)->lock >= 0)
        close((*run)->lock);
    free((*run)->path);
    free(*run);
    *run = NULL;
}

rls_status rls_run_dir_path(rls_context *ctx, const rls_run_dir *run, const char *name, char **out)
{
    return rls_asprintf(ctx, out, "%s/%s", run->path, name);
}

const char *rls_run_dir_token(const rls_run_dir *run)
{
    return run->token;
}

json_t *rls_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static rls_status rewind_on_root(rls_run_dir *run, const int64_t *ends, int64_t batches, int64_t saved,
                                 int64_t *kept)
{
    rls_context *ctx = run->ctx;
    char *path = NULL, *text = NULL;
    rls_run_log log = {0};
    int64_t bytes = 0;
    rls_status status = rls_run_dir_path(ctx, run, "log.jsonl", &path);
    const bool there = status == RLS_OK && access(path, F_OK) == 0;
    if (there)
        status = rls_file_read_whole(ctx, path, INT64_MAX / 2, &text, &bytes);
    if (status == RLS_OK)
        status = rls_run_log_compose(ctx, text, ends, batches, saved, &log);
    if (status == RLS_OK && (log.damaged || log.lost > 0)) {
        rls_log(ctx, RLS_LOG_WARNING, "%s: damaged: %" PRId64 " of its lines are lost", path, log.lost);
        status = there ? rls_keep_copy(ctx, path) : RLS_OK;
    }
    if (status == RLS_OK && (!there || (int64_t)log.bytes != bytes || memcmp(log.text, text, log.bytes) != 0))
        status = rls_file_replace(ctx, path, log.text, (int64_t)log.bytes);
    if (status == RLS_OK)
        status = open_log(run, "a");
    *kept = log.lines;
    free(log.text);
    free(path);
    free(text);
    return status;
}

rls_status rls_run_dir_rewind_log(rls_run_dir *run, const int64_t *ends, int64_t batches, int64_t saved,
                                  int64_t *kept)
{
    *kept = 0;
    const rls_status status =
        rls_agree(run->ctx, run->ctx->rank == 0 ? rewind_on_root(run, ends, batches, saved, kept) : RLS_OK);
    if (status == RLS_OK)
        MPI_Bcast(kept, 1, MPI_INT64_T, 0, run->ctx->comm);
    return status;
}

rls_status rls_run_dir_sync_log(rls_run_dir *run)
{
    if (run->ctx->rank == 0 && fsync(fileno(run->log)) != 0)
        return rls_fail(run->ctx, RLS_ERR_IO, "%s/log.jsonl: cannot be put on the disk: %s", run->path,
                        strerror(errno));
    return RLS_OK;
}

rls_status rls_run_dir_log(rls_run_dir *run, json_t *line)
{
    char *text = rls_manifest_to_line(line);
    json_decref(line);
    if (text == NULL)
        return rls_fail(run->ctx, RLS_ERR_MEMORY, "no memory for a line of log.jsonl");
    /* A whole line at once, flushed: who follows the file never sees half of one. */
    const bool written = fprintf(run->log, "%s\n", text) > 0 && fflush(run->log) == 0;
    free(text);
    if (!written)
        return rls_fail(run->ctx, RLS_ERR_IO, "%s/log.jsonl: cannot be written: %s", run->path,
                        strerror(errno));
    return RLS_OK;
}

static rls_status summary_on_root(rls_run_dir *run, json_t *summary)
{
    char *path = NULL;
    rls_status status = rls_fault(run->ctx, RLS_FAULT_summary_write);
    if (status == RLS_OK)
        status = rls_run_dir_path(run->ctx, run, "summary.json", &path);
    if (status == RLS_OK) {
        if (summary != NULL)
            (void)json_object_set_new(summary, "format", json_string(RLS_SUMMARY_FORMAT));
        status = rls_manifest_write(run->ctx, path, json_incref(summary));
    }
    json_decref(summary);
    free(path);
    return status;
}

rls_status rls_run_dir_summary(rls_run_dir *run, json_t *summary)
{
    return rls_agree(run->ctx, run->ctx->rank == 0 ? summary_on_root(run, summary) : RLS_OK);
}

/* Rank 0: the summary; NULL when there is none yet. A damaged one is set aside, to be written anew. */
static rls_status read_summary(const rls_run_dir *run, json_t **summary)
{
    rls_context *ctx = run->ctx;
    char *path = NULL;
    *summary = NULL;
    rls_status status = rls_run_dir_path(ctx, run, "summary.json", &path);
    if (status == RLS_OK && access(path, F_OK) == 0 &&
        rls_manifest_read(ctx, path, RLS_SUMMARY_FORMAT, summary) != RLS_OK) {
        rls_log(ctx, RLS_LOG_WARNING, "%s: the run's end is done again", rls_context_message(ctx));
        rls_clear_failure(ctx);
        status = rls_set_aside(ctx, path);
    }
    free(path);
    return status;
}

/* Rank 0: what is wrong with the model, which is set aside then. */
static rls_status judge_model(rls_context *ctx, const char *model, const json_t *problems)
{
    char why[768];
    if (json_array_size(problems) == 0)
        return RLS_OK;
    rls_log(ctx, RLS_LOG_WARNING, "%s: it is set aside and written again",
            rls_problem_first(problems, why, sizeof why));
    return rls_set_aside(ctx, model);
}

rls_status rls_run_dir_finished(const rls_run_dir *run, bool *finished)
{
    rls_context *ctx = run->ctx;
    json_t *summary = NULL, *problems = NULL;
    char *model = NULL;
    int sound = 0;
    *finished = false;
    rls_status status = rls_run_dir_path(ctx, run, "model", &model);
    if (status == RLS_OK && ctx->rank == 0)
        status = read_summary(run, &summary);
    if (status == RLS_OK && ctx->rank == 0 && (problems = json_array()) == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the model's problems");
    status = rls_agree(ctx, status);
    sound = summary != NULL;
    MPI_Bcast(&sound, 1, MPI_INT, 0, ctx->comm);
    if (status == RLS_OK && sound != 0) {
        status = rls_tree_examine(ctx, model, json_object_get(summary, "model_files"), problems);
        sound = json_array_size(problems) == 0;
        MPI_Bcast(&sound, 1, MPI_INT, 0, ctx->comm);
        if (status == RLS_OK)
            status = rls_agree(ctx, ctx->rank == 0 ? judge_model(ctx, model, problems) : RLS_OK);
    }
    json_decref(summary);
    json_decref(problems);
    free(model);
    *finished = status == RLS_OK && sound != 0;
    return status;
}
