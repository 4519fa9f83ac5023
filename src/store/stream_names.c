#include "store/stream_names.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/segment_names.h"

static rls_status names_add(rls_context *ctx, rls_stream_names *list, const char *dir, const char *file)
{
    const int64_t need = (int64_t)(strlen(dir) + strlen(file)) + 2;
    if (list->bytes + need > list->capacity) {
        void *grown = NULL;
        const int64_t capacity = 2 * list->capacity + need + 4096;
        const rls_status status = rls_alloc(ctx, capacity, 1, &grown);
        if (status != RLS_OK)
            return status;
        if (list->text != NULL)
            memcpy(grown, list->text, (size_t)list->bytes);
        free(list->text);
        list->text = grown;
        list->capacity = capacity;
    }
    const char *slash = dir[0] == '\0' || dir[strlen(dir) - 1] == '/' ? "" : "/";
    list->bytes += 1 + snprintf(list->text + list->bytes, (size_t)need, "%s%s%s", dir, slash, file);
    list->count++;
    return RLS_OK;
}

static bool is_segment_name(const char *name)
{
    const size_t length = strlen(name);
    return name[0] != '.' && length > 3 && strcmp(name + length - 3, ".nc") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rank 0: sorts the names in place (by bytes, whatever the locale). */
static rls_status names_sort(rls_context *ctx, rls_stream_names *list)
{
    void *array = NULL, *text = NULL;
    rls_status status = rls_alloc(ctx, list->count, sizeof(char *), &array);
    if (status == RLS_OK)
        status = rls_alloc(ctx, list->bytes, 1, &text);
    char **sorted = array;
    char *from = list->text, *to = text;
    if (status == RLS_OK && from != NULL && to != NULL) {
        for (int64_t i = 0; i < list->count; i++) {
            sorted[i] = from;
            from += strlen(from) + 1;
        }
        qsort(sorted, (size_t)list->count, sizeof *sorted, by_name);
        for (int64_t i = 0; i < list->count; i++) {
            const size_t bytes = strlen(sorted[i]) + 1;
            memcpy(to, sorted[i], bytes);
            to += bytes;
        }
        memcpy(list->text, text, (size_t)list->bytes);
    }
    free(array);
    free(text);
    return status;
}

static rls_status note_file(rls_context *ctx, const char *path, const char *name, void *user)
{
    return is_segment_name(name) ? names_add(ctx, user, path, name) : RLS_OK;
}

/* MPI broadcasts counts and bytes as int. */
static rls_status check_count(rls_context *ctx, const char *path, const rls_stream_names *list)
{
    if (list->bytes > INT_MAX || list->count >= INT_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: too many segments: %" PRId64, path, list->count);
    return RLS_OK;
}

/* A directory of files that are no journal: all of them, by name. */
static rls_status find_by_name(rls_context *ctx, const char *path, rls_stream_names *list)
{
    rls_status status = rls_dir_visit(ctx, path, note_file, list);
    if (status == RLS_OK && list->count == 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: the directory has no segment (*.nc)", path);
    if (status == RLS_OK)
        status = check_count(ctx, path, list);
    if (status == RLS_OK)
        status = names_sort(ctx, list);
    if (status == RLS_OK && list->count > 1)
        rls_log(ctx, RLS_LOG_INFO, "%s: %" PRId64 " files, in the order of their names", path, list->count);
    return status;
}

/* A run's journal: its segments by number, and nothing else. */
static rls_status find_journal(rls_context *ctx, const char *path, const rls_segment_names *found,
                               rls_stream_names *list)
{
    for (int64_t i = 0; i < found->count; i++)
        if (found->number[i] != i)
            return rls_fail(ctx, RLS_ERR_DATA,
                            "%s: segment-%06" PRId64
                            ".nc is missing, but there are later ones: give it back, or "
                            "take those away",
                            path, i);
    if (found->strays > 0)
        rls_log(ctx, RLS_LOG_WARNING,
                "%s: %" PRId64 " files that are no segments of this journal are not read, among them %s",
                path, found->strays, found->stray);
    return rls_stream_names_of_journal(ctx, path, found->count, list);
}

rls_status rls_stream_names_find(rls_context *ctx, const char *path, rls_stream_names *list)
{
    struct stat info;
    rls_segment_names found = {0};
    if (stat(path, &info) != 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return names_add(ctx, list, "", path);
    rls_status status = rls_segment_names_list(ctx, path, &found);
    if (status == RLS_OK)
        status = found.journal && found.count > 0 ? find_journal(ctx, path, &found, list)
                                                  : find_by_name(ctx, path, list);
    rls_segment_names_free(&found);
    return status;
}

rls_status rls_stream_names_of_journal(rls_context *ctx, const char *path, int64_t segments,
                                       rls_stream_names *list)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < segments && status == RLS_OK; i++) {
        char name[RLS_SEGMENT_NAME_MAX];
        status = names_add(ctx, list, path, rls_segment_name(i, "nc", name));
    }
    return status == RLS_OK ? check_count(ctx, path, list) : status;
}

void rls_stream_names_free(rls_stream_names *list)
{
    free(list->text);
    *list = (rls_stream_names){0};
}
