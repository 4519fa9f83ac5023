#include "moments/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "store/file_util.h"
#include "store/moments.h"

static rls_status parent_of(rls_context *ctx, const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return rls_strdup(ctx, ".", out);
    return rls_asprintf(ctx, out, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Rank 0. */
static rls_status look(rls_context *ctx, const char *out, bool overwrite)
{
    char *parent = NULL;
    rls_status status = parent_of(ctx, out, &parent);
    if (status == RLS_OK && !overwrite && access(out, F_OK) == 0)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%s: is there already: choose another --out, or replace it with --overwrite", out);
    if (status == RLS_OK && access(parent, W_OK | X_OK) != 0)
        status = rls_fail(ctx, errno == ENOENT || errno == ENOTDIR ? RLS_ERR_USAGE : RLS_ERR_IO,
                          "%s: cannot be written: %s: %s", out, parent, strerror(errno));
    free(parent);
    return status;
}

/* Rank 0. POSIX locks also hold between nodes on shared file systems, and die with the process. */
static rls_status take_lock(rls_context *ctx, const char *out, int *lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat info;
    char *path = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s" RLS_MOMENTS_PARTIAL ".lock", out);
    if (status != RLS_OK)
        return status;
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*lock < 0)
        status = rls_fail(ctx, errno == ENOENT || errno == ENOTDIR ? RLS_ERR_USAGE : RLS_ERR_IO,
                          "%s: cannot be written: %s", out, strerror(errno));
    else if (fcntl(*lock, F_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN))
        status =
            rls_fail(ctx, RLS_ERR_USAGE, "%s: another run is at work for this file (it holds %s)", out, path);
    else if (fstat(*lock, &info) == 0 && info.st_nlink == 0) /* one that ended just now has removed it */
        status = rls_fail(ctx, RLS_ERR_USAGE, "%s: another run for this file has just ended: try again", out);
    if (status != RLS_OK && *lock >= 0) {
        (void)close(*lock);
        *lock = -1;
    }
    free(path);
    return status;
}

rls_status rls_moments_claim(rls_context *ctx, const char *out, bool overwrite, int *lock)
{
    *lock = -1;
    rls_status status = ctx->rank == 0 ? take_lock(ctx, out, lock) : RLS_OK;
    if (status == RLS_OK && ctx->rank == 0)
        status = look(ctx, out, overwrite);
    return rls_agree(ctx, status);
}

void rls_moments_release(const char *out, int *lock)
{
    const size_t size = strlen(out) + sizeof RLS_MOMENTS_PARTIAL ".lock";
    char *path = *lock >= 0 ? malloc(size) : NULL;
    if (path != NULL) {
        (void)snprintf(path, size, "%s" RLS_MOMENTS_PARTIAL ".lock", out);
        (void)unlink(path);
    }
    free(path);
    if (*lock >= 0)
        (void)close(*lock);
    *lock = -1;
}

typedef struct {
    const char *prefix;
    const char *const *keep;
} clearing;

static rls_status clear_entry(rls_context *ctx, const char *path, const char *name, void *user)
{
    const clearing *c = user;
    const size_t length = strlen(c->prefix);
    char *child = NULL;
    if (strncmp(name, c->prefix, length) != 0 || (name[length] != '-' && name[length] != '.'))
        return RLS_OK;
    if (strcmp(name + length, ".lock") == 0 || (c->keep[0] != NULL && strcmp(name + length, ".json") == 0))
        return RLS_OK;
    for (int i = 0; c->keep[i] != NULL; i++)
        if (strcmp(name, c->keep[i]) == 0)
            return RLS_OK;
    rls_status status = rls_asprintf(ctx, &child, "%s/%s", path, name);
    if (status == RLS_OK && unlink(child) != 0 && errno != ENOENT)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be removed: %s", child, strerror(errno));
    free(child);
    return status;
}

rls_status rls_moments_clear(rls_context *ctx, const char *out, const char *const *keep)
{
    const char *slash = strrchr(out, '/');
    char *parent = NULL, *prefix = NULL, *manifest = NULL;
    rls_status status = parent_of(ctx, out, &parent);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &prefix, "%s" RLS_MOMENTS_PARTIAL, slash != NULL ? slash + 1 : out);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &manifest, "%s" RLS_MOMENTS_PARTIAL ".json", out);
    if (status == RLS_OK && keep[0] == NULL)
        (void)unlink(manifest); /* first: it may not stand for files that are gone */
    clearing c = {prefix, keep};
    if (status == RLS_OK)
        status = rls_dir_visit(ctx, parent, clear_entry, &c);
    free(parent);
    free(prefix);
    free(manifest);
    return status;
}

/* Rank 0: the final name, for good. The manifest goes with the rest. */
static rls_status rename_final(rls_context *ctx, const char *fresh, const char *out)
{
    static const char *const nothing[] = {NULL};
    char *parent = NULL;
    rls_status status = parent_of(ctx, out, &parent);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_moments_rename);
    if (status == RLS_OK && rename(fresh, out) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be renamed to %s: %s", fresh, out, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, parent, false);
    if (status == RLS_OK)
        status = rls_moments_clear(ctx, out, nothing);
    free(parent);
    return status;
}

rls_status rls_moments_commit(rls_context *ctx, const char *out, const char *module, int count,
                              const int *layers, rls_matrix *const *means, const int64_t *keys,
                              rls_moments_check *check, void *user)
{
    char *fresh = NULL;
    bool written = false;
    rls_status status = rls_agree(ctx, rls_asprintf(ctx, &fresh, "%s" RLS_MOMENTS_PARTIAL ".new", out));
    if (status == RLS_OK) {
        status = rls_moments_write(ctx, fresh, module, count, layers, means, keys);
        written = status == RLS_OK;
    }
    if (status == RLS_OK && check != NULL)
        status = check(user, fresh);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? rename_final(ctx, fresh, out) : RLS_OK);
    else if (written && ctx->rank == 0)
        (void)unlink(fresh);
    free(fresh);
    return status;
}
