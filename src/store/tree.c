#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/share.h"
#include "store/digest.h"
#include "store/problem.h"

/* Rank 0: adds the names of all regular files below path/prefix. */
static rls_status collect(rls_context *ctx, const char *path, const char *prefix, json_t *names)
{
    char *directory = NULL;
    rls_status status = rls_asprintf(ctx, &directory, "%s/%s", path, prefix);
    DIR *dir = status == RLS_OK ? opendir(directory) : NULL;
    if (status == RLS_OK && dir == NULL)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read: %s", directory, strerror(errno));
    for (const struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL && status == RLS_OK;
         e = readdir(dir)) {
        char *name = NULL, *file = NULL;
        struct stat info;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        status = rls_asprintf(ctx, &name, "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "", e->d_name);
        if (status == RLS_OK)
            status = rls_asprintf(ctx, &file, "%s/%s", path, name);
        if (status == RLS_OK && lstat(file, &info) == 0 && S_ISDIR(info.st_mode))
            status = collect(ctx, path, name, names);
        else if (status == RLS_OK && S_ISREG(info.st_mode))
            (void)json_object_set_new(names, name, json_true()); /* names that are no UTF-8 are left out */
        free(name);
        free(file);
    }
    if (dir != NULL)
        closedir(dir);
    free(directory);
    return status;
}

/* The digests of files below `path`; names: equal on all ranks. Collective. */
static rls_status digest_below(rls_context *ctx, const char *path, const char *const *names, int64_t count,
                               rls_digest **out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = rls_asprintf(ctx, &paths[i], "%s/%s", path, names[i]);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)paths, count, out);
    for (int64_t i = 0; paths != NULL && i < count; i++)
        free(paths[i]);
    free(memory);
    return status;
}

/* The digest of a file that is known; NULL when it has to be taken. */
static json_t *find_known(const json_t *known, const char *name)
{
    json_t *digest = json_object_get(known, name);
    return json_is_object(digest) ? digest : NULL;
}

static rls_status digest_names(rls_context *ctx, const char *path, json_t *names, const json_t *known,
                               json_t *out)
{
    const int64_t count = (int64_t)json_object_size(names);
    void *memory = NULL;
    rls_digest *digests = NULL;
    const char *name = NULL;
    json_t *value = NULL;
    int64_t i = 0;
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, count, sizeof(char *), &memory));
    if (status != RLS_OK)
        return status;
    const char **list = memory;
    json_object_foreach(names, name, value)
    {
        if (find_known(known, name) == NULL)
            list[i++] = name;
    }
    status = digest_below(ctx, path, list, i, &digests);
    i = 0;
    json_object_foreach(names, name, value)
    {
        if (status != RLS_OK)
            break;
        json_t *digest = json_incref(find_known(known, name));
        json_array_append_new(out, digest != NULL ? digest : rls_digest_json(&digests[i++], name));
    }
    rls_digests_free(&digests);
    free(memory);
    return status;
}

rls_status rls_tree_digests(rls_context *ctx, const char *path, json_t **out)
{
    return rls_tree_digests_known(ctx, path, NULL, out);
}

rls_status rls_tree_digests_known(rls_context *ctx, const char *path, const json_t *known, json_t **out)
{
    char *text = NULL;
    rls_status status = RLS_OK;
    *out = NULL;
    if (ctx->rank == 0) {
        json_t *names = json_object();
        status = collect(ctx, path, "", names);
        text = json_dumps(names, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(names);
        if (status == RLS_OK && text == NULL)
            status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of files");
    }
    status = rls_share_text(ctx, status, &text);
    if (status != RLS_OK)
        return status;
    json_t *names = json_loads(text, 0, NULL);
    free(text);
    *out = json_array();
    status = rls_agree(ctx, names != NULL && *out != NULL
                                ? RLS_OK
                                : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of files"));
    if (status == RLS_OK)
        status = digest_names(ctx, path, names, known, *out);
    json_decref(names);
    if (status != RLS_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

/* What of the files differs, once their names are known everywhere. Collective. */
static rls_status compare(rls_context *ctx, const char *path, const json_t *files, json_t *problems)
{
    const int64_t count = (int64_t)json_array_size(files);
    void *memory = NULL;
    rls_digest *digests = NULL;
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, count, sizeof(char *), &memory));
    if (status != RLS_OK)
        return status;
    const char **names = memory;
    for (int64_t i = 0; i < count; i++) {
        names[i] = json_string_value(json_object_get(json_array_get(files, (size_t)i), "file"));
        names[i] = names[i] != NULL ? names[i] : "";
    }
    status = digest_below(ctx, path, names, count, &digests);
    for (int64_t i = 0; i < count && status == RLS_OK && problems != NULL; i++) {
        char file[PATH_MAX], why[128];
        (void)snprintf(file, sizeof file, "%s/%s", path, names[i]);
        if (!rls_digest_matches(&digests[i], json_array_get(files, (size_t)i), why))
            rls_problem_add(problems, file, "%s", why);
    }
    rls_digests_free(&digests);
    free(memory);
    return status;
}

rls_status rls_tree_examine(rls_context *ctx, const char *path, const json_t *files, json_t *problems)
{
    char *text = NULL;
    rls_status status = RLS_OK;
    if (ctx->rank == 0 && (text = files != NULL ? json_dumps(files, JSON_COMPACT) : strdup("[]")) == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of files");
    status = rls_share_text(ctx, status, &text);
    if (status != RLS_OK)
        return status;
    json_t *shared = json_loads(text, 0, NULL);
    free(text);
    status = rls_agree(ctx, shared != NULL ? RLS_OK
                                           : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of files"));
    if (status == RLS_OK)
        status = compare(ctx, path, shared, problems);
    json_decref(shared);
    return status;
}
