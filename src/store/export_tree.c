#include "store/export_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "grid/redistribute.h"
#include "store/file_util.h"

enum { DIR_MODE = 0777 };

/* A directory being visited: at `below` ("" or "sub/") of the tree. */
typedef struct {
    rls_export_tree *tree;
    const char *below;
} visit;

static rls_status list_copy(rls_context *ctx, rls_export_tree *tree, const char *name)
{
    const size_t size = strlen(name) + 1;
    char *longer = realloc(tree->copies, (size_t)tree->copies_bytes + size);
    if (longer == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the list of files to copy");
    memcpy(longer + tree->copies_bytes, name, size);
    tree->copies = longer;
    tree->copies_bytes += (int64_t)size;
    return RLS_OK;
}

static rls_status take_file(rls_context *ctx, rls_export_tree *tree, const char *name, const char *from,
                            const char *to, int64_t bytes)
{
    bool linked = false;
    const rls_status status = rls_file_link(ctx, from, to, &linked);
    if (status != RLS_OK || linked)
        return status;
    return bytes > RLS_ROUND_BYTES ? list_copy(ctx, tree, name) : rls_file_copy(ctx, from, to);
}

static rls_status take_dir(rls_context *ctx, rls_export_tree *tree, const char *name, const char *from,
                           const char *to);

static bool is_skipped(const visit *here, const char *name)
{
    if (strcmp(name, ".git") == 0) /* the history of the original, not of the edited model */
        return true;
    for (int64_t i = 0; here->below[0] == '\0' && i < here->tree->skips; i++) {
        if (strcmp(name, here->tree->skip[i]) == 0)
            return true;
    }
    return false;
}

static rls_status take_entry(rls_context *ctx, const char *path, const char *entry, void *user)
{
    const visit *here = user;
    struct stat link, target;
    char *name = NULL, *from = NULL, *to = NULL;
    (void)path;
    if (is_skipped(here, entry))
        return RLS_OK;
    rls_status status = rls_asprintf(ctx, &name, "%s%s", here->below, entry);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &from, "%s/%s", here->tree->from, name);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &to, "%s/%s", here->tree->to, name);
    if (status == RLS_OK && lstat(from, &link) != 0)
        status = rls_fail(ctx, rls_input_status(errno), "%s: %s", from, strerror(errno));
    if (status == RLS_OK) {
        if (S_ISDIR(link.st_mode))
            status = take_dir(ctx, here->tree, name, from, to);
        else if (stat(from, &target) == 0 && S_ISREG(target.st_mode))
            status = take_file(ctx, here->tree, name, from, to, (int64_t)target.st_size);
        else
            rls_log(ctx, RLS_LOG_WARNING, "%s: not taken over: neither a file nor a directory of its own",
                    from);
    }
    free(name);
    free(from);
    free(to);
    return status;
}

static rls_status take_dir(rls_context *ctx, rls_export_tree *tree, const char *name, const char *from,
                           const char *to)
{
    char *below = NULL;
    if (mkdir(to, DIR_MODE) != 0)
        return rls_fail(ctx, RLS_ERR_IO, "%s: cannot make this directory: %s", to, strerror(errno));
    rls_status status = rls_asprintf(ctx, &below, "%s/", name);
    if (status == RLS_OK)
        status = rls_dir_visit(ctx, from, take_entry, &(visit){tree, below});
    free(below);
    return status;
}

rls_status rls_export_tree_stage(rls_context *ctx, rls_export_tree *tree)
{
    tree->copies = NULL;
    tree->copies_bytes = 0;
    return rls_dir_visit(ctx, tree->from, take_entry, &(visit){tree, ""});
}
