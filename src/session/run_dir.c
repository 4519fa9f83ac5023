#include "session/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

struct rls_run_dir {
    rls_context *ctx;
    char *path;
    FILE *log; /* rank 0 */
};

/* Whether a directory holds nothing; errno tells when it cannot be read (-1). */
static int is_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    int empty = 1;
    for (const struct dirent *entry = readdir(dir); entry != NULL && empty == 1; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = 0;
    closedir(dir);
    return empty;
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

static rls_status create_on_root(rls_run_dir *run, const char *config_text)
{
    rls_context *ctx = run->ctx;
    char *config = NULL, *log = NULL;
    rls_status status = check_on_root(ctx, run->path);
    if (status == RLS_OK && mkdir(run->path, 0777) != 0 && errno != EEXIST)
        status =
            rls_fail(ctx, RLS_ERR_IO, "%s: cannot make the run directory: %s", run->path, strerror(errno));
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "config.yaml", &config);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "log.jsonl", &log);
    if (status == RLS_OK)
        status = rls_file_write_new(ctx, config, config_text, (int64_t)strlen(config_text));
    if (status == RLS_OK && (run->log = fopen(log, "w")) == NULL)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be opened: %s", log, strerror(errno));
    free(config);
    free(log);
    return status;
}

rls_status rls_run_dir_create(rls_context *ctx, const char *path, const char *config_text, rls_run_dir **out)
{
    void *memory = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_run_dir), &memory);
    rls_run_dir *run = memory;
    if (status == RLS_OK) {
        run->ctx = ctx;
        status = rls_strdup(ctx, path, &run->path);
    }
    if (status == RLS_OK && ctx->rank == 0)
        status = create_on_root(run, config_text);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_run_dir_close(&run);
    *out = run;
    return status;
}

void rls_run_dir_close(rls_run_dir **run)
{
    if (*run == NULL)
        return;
    if ((*run)->log != NULL)
        fclose((*run)->log);
    free((*run)->path);
    free(*run);
    *run = NULL;
}

rls_status rls_run_dir_path(rls_context *ctx, const rls_run_dir *run, const char *name, char **out)
{
    return rls_asprintf(ctx, out, "%s/%s", run->path, name);
}

json_t *rls_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

rls_status rls_run_dir_log(rls_run_dir *run, json_t *line)
{
    char *text = line != NULL ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
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
    rls_context *ctx = run->ctx;
    char *partial = NULL, *final = NULL;
    char *text = summary != NULL ? json_dumps(summary, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(summary);
    rls_status status = RLS_OK;
    if (text == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for summary.json");
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, ".summary.json.partial", &partial);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run, "summary.json", &final);
    if (status == RLS_OK)
        status = rls_file_write_new(ctx, partial, text, (int64_t)strlen(text));
    if (status == RLS_OK && rename(partial, final) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be written: %s", final, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, run->path, false);
    free(partial);
    free(final);
    free(text);
    return status;
}

rls_status rls_run_dir_summary(rls_run_dir *run, json_t *summary)
{
    return rls_agree(run->ctx, run->ctx->rank == 0 ? summary_on_root(run, summary) : RLS_OK);
}
