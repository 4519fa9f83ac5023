#include "store/segment_names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

const char *rls_segment_name(int64_t number, const char *ending, char name[RLS_SEGMENT_NAME_MAX])
{
    (void)snprintf(name, RLS_SEGMENT_NAME_MAX, "segment-%06" PRId64 ".%.8s", number, ending);
    return name;
}

int64_t rls_segment_number(const char *name, const char *ending)
{
    char again[RLS_SEGMENT_NAME_MAX];
    if (strncmp(name, "segment-", 8) != 0)
        return -1;
    errno = 0;
    const long long number = strtoll(name + 8, NULL, 10);
    if (errno != 0 || number < 0)
        return -1;
    return strcmp(rls_segment_name((int64_t)number, ending, again), name) == 0 ? (int64_t)number : -1;
}

static rls_status add(rls_context *ctx, rls_segment_names *names, int64_t number)
{
    if (names->count == names->capacity) {
        const int64_t capacity = 2 * names->capacity + 256;
        int64_t *larger = realloc(names->number, (size_t)capacity * sizeof *larger);
        if (larger == NULL)
            return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of segments");
        names->number = larger;
        names->capacity = capacity;
    }
    names->number[names->count++] = number;
    return RLS_OK;
}

static bool ends_with(const char *name, const char *ending)
{
    const size_t length = strlen(name), tail = strlen(ending);
    return length >= tail && strcmp(name + length - tail, ending) == 0;
}

/* Whether a name that is no segment's could be taken for one. */
static bool is_stray(const char *name)
{
    if (name[0] == '.' || strstr(name, ".damaged") != NULL || ends_with(name, ".partial"))
        return false;
    return ends_with(name, ".nc") || strncmp(name, "segment-", 8) == 0;
}

static rls_status note(rls_context *ctx, const char *path, const char *name, void *user)
{
    (void)path;
    rls_segment_names *names = user;
    const int64_t number = rls_segment_number(name, "nc");
    if (number >= 0)
        return add(ctx, names, number);
    const int64_t manifest =
        rls_segment_number(name, "json"); /* alone: of a segment that was never committed */
    names->journal = names->journal || manifest == 0;
    if (manifest >= 0 || !is_stray(name))
        return RLS_OK;
    if (names->strays++ == 0 || strcmp(name, names->stray) < 0)
        (void)snprintf(names->stray, sizeof names->stray, "%s", name);
    return RLS_OK;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

rls_status rls_segment_names_list(rls_context *ctx, const char *path, rls_segment_names *out)
{
    *out = (rls_segment_names){0};
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return RLS_OK;
    const rls_status status = rls_dir_visit(ctx, path, note, out);
    if (out->count > 0)
        qsort(out->number, (size_t)out->count, sizeof *out->number, ascending);
    return status;
}

void rls_segment_names_free(rls_segment_names *names)
{
    free(names->number);
    *names = (rls_segment_names){0};
}
