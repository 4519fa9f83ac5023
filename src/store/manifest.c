#include "store/manifest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "store/file_util.h"

enum { MANIFEST_BYTES_MAX = 1 << 30 };
static const size_t SEAL_FLAGS = JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17);
static const size_t FILE_FLAGS = JSON_INDENT(1) | JSON_REAL_PRECISION(17);
static const size_t LINE_FLAGS = JSON_COMPACT | JSON_REAL_PRECISION(17);

/* The checksum of an object without its member "checksum". */
static bool object_hash(const json_t *object, char text[RLS_HASH_TEXT])
{
    json_t *bare = json_copy((json_t *)object);
    (void)json_object_del(bare, "checksum");
    char *dump = json_dumps(bare, SEAL_FLAGS);
    if (dump != NULL)
        (void)rls_hash_text(rls_hash_bytes(dump, strlen(dump)), text);
    json_decref(bare);
    free(dump);
    return dump != NULL;
}

bool rls_manifest_seal(json_t *object)
{
    char text[RLS_HASH_TEXT];
    return object_hash(object, text) && json_object_set_new(object, "checksum", json_string(text)) == 0;
}

bool rls_manifest_sealed(const json_t *object)
{
    char text[RLS_HASH_TEXT];
    const char *have = json_string_value(json_object_get(object, "checksum"));
    return have != NULL && object_hash(object, text) && strcmp(have, text) == 0;
}

/* Whether the bytes are what the object would be written as: no bit is free, not one of white space or of
 * "1E5". */
static bool is_dump(const json_t *object, const char *text, size_t bytes, size_t flags)
{
    char *dump = json_dumps(object, flags);
    const bool same = dump != NULL && strlen(dump) == bytes && memcmp(dump, text, bytes) == 0;
    free(dump);
    return same;
}

char *rls_manifest_to_line(json_t *object)
{
    return object != NULL && rls_manifest_seal(object) ? json_dumps(object, LINE_FLAGS) : NULL;
}

json_t *rls_manifest_from_line(const char *text, size_t bytes)
{
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (object == NULL || (rls_manifest_sealed(object) && is_dump(object, text, bytes, LINE_FLAGS)))
        return object;
    json_decref(object);
    return NULL;
}

/* The directory part of a path, "." without one. */
static void directory_of(const char *path, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        (void)snprintf(out, PATH_MAX, ".");
    else
        slash[slash == out ? 1 : 0] = '\0';
}

rls_status rls_file_replace(rls_context *ctx, const char *path, const void *data, int64_t bytes)
{
    char directory[PATH_MAX];
    char *partial = NULL;
    directory_of(path, directory);
    rls_status status = rls_asprintf(ctx, &partial, "%s.partial", path);
    if (status == RLS_OK)
        status = rls_dir_remove(ctx, partial); /* left by a run that died */
    if (status == RLS_OK)
        status = rls_file_write_new(ctx, partial, data, bytes);
    if (status == RLS_OK && rename(partial, path) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, directory, false);
    free(partial);
    return status;
}

rls_status rls_manifest_write(rls_context *ctx, const char *path, json_t *object)
{
    char *text = object != NULL && rls_manifest_seal(object) ? json_dumps(object, FILE_FLAGS) : NULL;
    json_decref(object);
    if (text == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for its text", path);
    const rls_status status = rls_file_replace(ctx, path, text, (int64_t)strlen(text));
    free(text);
    return status;
}

rls_status rls_manifest_read(rls_context *ctx, const char *path, const char *format, json_t **out)
{
    char *text = NULL;
    int64_t bytes = 0;
    json_error_t error;
    *out = NULL;
    rls_status status = rls_file_read_whole(ctx, path, MANIFEST_BYTES_MAX, &text, &bytes);
    if (status != RLS_OK)
        return status;
    json_t *object = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    const char *found = json_string_value(json_object_get(object, "format"));
    if (object == NULL)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s:%d: damaged: %s", path, error.line, error.text);
    else if (!rls_manifest_sealed(object) || !is_dump(object, text, (size_t)bytes, FILE_FLAGS))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: damaged: its checksum does not hold", path);
    else if (found == NULL || strcmp(found, format) != 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: is no %s but %s", path, format,
                          found != NULL ? found : "something else");
    free(text);
    if (status == RLS_OK)
        *out = object;
    else
        json_decref(object);
    return status;
}

int64_t rls_manifest_count(const json_t *manifest, const char *key)
{
    enum { BITS = 53 };
    const json_t *value = json_object_get(manifest, key);
    const json_int_t count = json_integer_value(value);
    return value == NULL                                                           ? 0
           : json_is_integer(value) && count >= 0 && count < (json_int_t)1 << BITS ? (int64_t)count
                                                                                   : -1;
}
