#include "store/export_tree.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "grid/redistribute.h"
#include "store/file_util.h"

enum { DIR_MODE = 0777 };

/* Where symbolic links may lead: absolute paths; blobs "" when the directory is in no hub's cache. */
typedef struct {
    char home[PATH_MAX], blobs[PATH_MAX];
} bounds;

/* A directory being visited: at `below` ("" or "sub/") of the tree. */
typedef struct {
    rls_export_tree *tree;
    const bounds *bounds;
    const char *below;
} visit;

/* Names at the top of a model directory under which other forms of its weights are published. */
static const char *const OTHER_WEIGHTS[] = {
    "pytorch_model*",     "consolidated*", "original", "tf_model*", "flax_model*", "rust_model*",
    "model*.safetensors", "*.gguf",        "*.ggml",   "*.onnx",    "onnx",        "*.pth"};

/* Side files that are read, and so checked, as the model itself: links of theirs are followed wherever they lead. */
static const char *const MODEL_FILES[] = {"config.json", "generation_config.json", "tokenizer.json"};

static bool is_inside(const char *path, const char *directory)
{
    const size_t length = strlen(directory);
    return length > 0 && strncmp(path, directory, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

/* The hub's cache has models--NAME/snapshots/REVISION full of links to ../../blobs/HASH. */
static rls_status find_bounds(rls_context *ctx, const char *from, bounds *out)
{
    static const char SNAPSHOTS[] = "/snapshots", BLOBS[] = "/blobs";
    *out = (bounds){.blobs = ""};
    if (realpath(from, out->home) == NULL)
        return rls_fail(ctx, rls_input_status(errno), "%s: %s", from, strerror(errno));
    char parent[PATH_MAX];
    memcpy(parent, out->home, sizeof parent);
    *strrchr(parent, '/') = '\0';
    const size_t length = strlen(parent), tail = sizeof SNAPSHOTS - 1;
    if (length > tail && strcmp(parent + length - tail, SNAPSHOTS) == 0 &&
        length - tail + sizeof BLOBS <= sizeof out->blobs) {
        memcpy(out->blobs, parent, length - tail);
        memcpy(out->blobs + length - tail, BLOBS, sizeof BLOBS);
    }
    return RLS_OK;
}

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

/* A weight file without edits: *taken is false when it has to be copied. */
static rls_status link_shard(rls_context *ctx, const rls_export_tree *tree, const char *from, const char *to,
                             bool *taken)
{
    *taken = false;
    switch (tree->link) {
    case RLS_EXPORT_HARD:
        return rls_file_link(ctx, from, to, taken);
    case RLS_EXPORT_REFLINK: {
        const rls_status status = rls_file_clone(ctx, from, to, taken);
        if (status == RLS_OK && !*taken)
            rls_log(ctx, RLS_LOG_WARNING,
                    "%s: this file system cannot share blocks (export.link: reflink): copied", from);
        return status;
    }
    case RLS_EXPORT_COPY:
        break;
    }
    return RLS_OK;
}

static rls_status take_file(rls_context *ctx, rls_export_tree *tree, const char *name, bool shard,
                            const char *from, const char *to, int64_t bytes)
{
    bool taken = false;
    const rls_status status = shard ? link_shard(ctx, tree, from, to, &taken) : RLS_OK;
    if (status != RLS_OK || taken)
        return status;
    return bytes > RLS_ROUND_BYTES ? list_copy(ctx, tree, name) : rls_file_copy(ctx, from, to);
}

static rls_status take_dir(rls_context *ctx, const visit *here, const char *name, const char *from,
                           const char *to);

static bool is_among(const char *name, const char *const *list, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(name, list[i]) == 0)
            return true;
    }
    return false;
}

static bool is_other_weights(const char *name)
{
    for (size_t i = 0; i < sizeof OTHER_WEIGHTS / sizeof OTHER_WEIGHTS[0]; i++) {
        if (fnmatch(OTHER_WEIGHTS[i], name, 0) == 0)
            return true;
    }
    return false;
}

/* Why an entry is not taken over; NULL: it is. link: of the entry itself, target: of what it leads to, if that is a
 * regular file. */
static const char *refusal(const visit *here, const char *entry, const char *from, const struct stat *link,
                           const struct stat *target)
{
    const bool top = here->below[0] == '\0';
    const bool shard = top && is_among(entry, here->tree->shard, here->tree->shards);
    char place[PATH_MAX];
    if (top && !shard && is_other_weights(entry))
        return "the weights in it are those before the edits";
    if (S_ISDIR(link->st_mode))
        return NULL;
    if (target == NULL)
        return "neither a file nor a directory of its own";
    if (!S_ISLNK(link->st_mode) || shard ||
        (top && is_among(entry, MODEL_FILES, sizeof MODEL_FILES / sizeof MODEL_FILES[0])))
        return NULL;
    if (realpath(from, place) != NULL &&
        (is_inside(place, here->bounds->home) || is_inside(place, here->bounds->blobs)))
        return NULL;
    return "a link that leads out of the model's directory";
}

static rls_status take_entry(rls_context *ctx, const char *path, const char *entry, void *user)
{
    const visit *here = user;
    const bool top = here->below[0] == '\0';
    struct stat link, target;
    char *name = NULL, *from = NULL, *to = NULL;
    (void)path;
    /* .git: the history of the original, not of the edited model */
    if (strcmp(entry, ".git") == 0 || (top && is_among(entry, here->tree->skip, here->tree->skips)))
        return RLS_OK;
    rls_status status = rls_asprintf(ctx, &name, "%s%s", here->below, entry);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &from, "%s/%s", here->tree->from, name);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &to, "%s/%s", here->tree->to, name);
    if (status == RLS_OK && lstat(from, &link) != 0)
        status = rls_fail(ctx, rls_input_status(errno), "%s: %s", from, strerror(errno));
    if (status == RLS_OK) {
        const bool file = stat(from, &target) == 0 && S_ISREG(target.st_mode);
        const char *why = refusal(here, entry, from, &link, file ? &target : NULL);
        if (why != NULL)
            rls_log(ctx, RLS_LOG_WARNING, "%s: not taken over: %s", from, why);
        else if (S_ISDIR(link.st_mode))
            status = take_dir(ctx, here, name, from, to);
        else
            status = take_file(ctx, here->tree, name,
                               top && is_among(entry, here->tree->shard, here->tree->shards), from, to,
                               (int64_t)target.st_size);
    }
    free(name);
    free(from);
    free(to);
    return status;
}

static rls_status take_dir(rls_context *ctx, const visit *here, const char *name, const char *from,
                           const char *to)
{
    char *below = NULL;
    if (mkdir(to, DIR_MODE) != 0)
        return rls_fail(ctx, RLS_ERR_IO, "%s: cannot make this directory: %s", to, strerror(errno));
    rls_status status = rls_asprintf(ctx, &below, "%s/", name);
    if (status == RLS_OK)
        status = rls_dir_visit(ctx, from, take_entry, &(visit){here->tree, here->bounds, below});
    free(below);
    return status;
}

rls_status rls_export_tree_stage(rls_context *ctx, rls_export_tree *tree)
{
    bounds where;
    tree->copies = NULL;
    tree->copies_bytes = 0;
    const rls_status status = find_bounds(ctx, tree->from, &where);
    return status == RLS_OK ? rls_dir_visit(ctx, tree->from, take_entry, &(visit){tree, &where, ""}) : status;
}
