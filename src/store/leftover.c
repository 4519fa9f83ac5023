#include "store/leftover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "store/file_util.h"

static rls_status remove_if_partial(rls_context *ctx, const char *path, const char *name, void *user)
{
    (void)user;
    const size_t len = strlen(name);
    char *file = NULL;
    if (len < 9 || strcmp(name + len - 8, ".partial") != 0)
        return RLS_OK;
    rls_status status = rls_asprintf(ctx, &file, "%s/%s", path, name);
    if (status == RLS_OK)
        status = rls_dir_remove(ctx, file);
    free(file);
    return status;
}

rls_status rls_partial_remove(rls_context *ctx, const char *path)
{
    return rls_dir_visit(ctx, path, remove_if_partial, NULL);
}

/* The first name for the damaged thing at path that is free. */
static rls_status free_name(rls_context *ctx, const char *path, char **out)
{
    enum { NAMES = 100000 };
    struct stat info;
    rls_status status = rls_asprintf(ctx, out, "%s.damaged", path);
    for (int k = 2; status == RLS_OK && lstat(*out, &info) == 0; k++) {
        free(*out);
        *out = NULL;
        status = k < NAMES ? rls_asprintf(ctx, out, "%s.damaged-%d", path, k)
                           : rls_fail(ctx, RLS_ERR_IO, "%s.damaged: no name left", path);
    }
    return status;
}

rls_status rls_set_aside(rls_context *ctx, const char *path)
{
    char *to = NULL;
    rls_status status = free_name(ctx, path, &to);
    if (status == RLS_OK && rename(path, to) != 0 && errno != ENOENT)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be set aside: %s", path, strerror(errno));
    free(to);
    return status;
}

rls_status rls_keep_copy(rls_context *ctx, const char *path)
{
    char *to = NULL;
    bool linked = false;
    rls_status status = free_name(ctx, path, &to);
    if (status == RLS_OK)
        status = rls_file_link(ctx, path, to, &linked);
    if (status == RLS_OK && !linked)
        status = rls_file_copy(ctx, path, to);
    free(to);
    return status;
}
