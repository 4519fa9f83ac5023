#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    ALIGNMENT = 64,      /* a cache line, and the widest vector register */
    HUGE_PAGE = 2 << 20, /* where the system has large pages */
    HUGE_ARRAY =
        16 << 20 /* what is worth them: matrices, read across columns, wait for page tables otherwise */
};

/* posix_memalign, on large pages when the array is large. */
static int aligned_array(size_t bytes, void **out)
{
    if (bytes < HUGE_ARRAY)
        return posix_memalign(out, ALIGNMENT, bytes);
    const int failed = posix_memalign(out, HUGE_PAGE, bytes);
#ifdef MADV_HUGEPAGE
    if (failed == 0)
        (void)madvise(*out, bytes, MADV_HUGEPAGE); /* a wish: without it the array is as good */
#endif
    return failed;
}

rls_status rls_alloc(rls_context *ctx, int64_t count, size_t size, void **out)
{
    *out = NULL;
    if (count == 0)
        return RLS_OK;
    if (count < 0 || (uint64_t)count > (SIZE_MAX - HUGE_PAGE) / size)
        return rls_fail(ctx, RLS_ERR_MEMORY, "an array of %" PRId64 " elements of %zu bytes is impossible",
                        count, size);
    if (aligned_array((size_t)count * size, out) != 0) {
        char text[32];
        *out = NULL;
        return rls_fail(ctx, RLS_ERR_MEMORY,
                        "no memory for %s more on a rank: use more nodes or fewer ranks a node",
                        rls_bytes_text((double)count * (double)size, text));
    }
    return RLS_OK;
}

rls_status rls_alloc_zero(rls_context *ctx, int64_t count, size_t size, void **out)
{
    const rls_status status = rls_alloc(ctx, count, size, out);
    if (status == RLS_OK && *out != NULL)
        memset(*out, 0, (size_t)count * size);
    return status;
}

rls_status rls_strdup(rls_context *ctx, const char *text, char **out)
{
    void *copy = NULL;
    const size_t size = strlen(text) + 1;
    const rls_status status = rls_alloc(ctx, (int64_t)size, 1, &copy);
    if (status == RLS_OK)
        memcpy(copy, text, size);
    *out = copy;
    return status;
}

rls_status rls_asprintf(rls_context *ctx, char **out, const char *fmt, ...)
{
    void *text = NULL;
    va_list args;
    va_start(args, fmt);
    const int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    const rls_status status = rls_alloc(ctx, (int64_t)len + 1, 1, &text);
    if (status == RLS_OK && text != NULL) {
        va_start(args, fmt);
        (void)vsnprintf(text, (size_t)len + 1, fmt, args);
        va_end(args);
    }
    *out = text;
    return status;
}

/* The number behind key in a file of "key: number" lines (key "" = the file is one number); INFINITY when
 * there is none. */
static double number_in_file(const char *path, const char *key)
{
    double value = INFINITY;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return value;
    char line[256];
    const size_t len = strlen(key);
    while (fgets(line, (int)sizeof line, file) != NULL) {
        char *end = NULL;
        if (strncmp(line, key, len) != 0)
            continue;
        const double number = strtod(line + len, &end);
        if (end != line + len)
            value = number;
        break;
    }
    fclose(file);
    return value;
}

/* What a cgroup (a batch system's memory limit) leaves; INFINITY without a limit. */
static double cgroup_left(void)
{
    const double v2 =
        number_in_file("/sys/fs/cgroup/memory.max", "") - number_in_file("/sys/fs/cgroup/memory.current", "");
    const double v1 = number_in_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "") -
                      number_in_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "");
    double left = INFINITY;
    if (isfinite(v2))
        left = v2;
    if (isfinite(v1) && v1 < left)
        left = v1;
    return left;
}

rls_status rls_memory_available(rls_context *ctx, double *bytes)
{
    MPI_Comm node;
    int on_node = 1;
    MPI_Comm_split_type(ctx->comm, MPI_COMM_TYPE_SHARED, ctx->rank, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &on_node);
    MPI_Comm_free(&node);
    double left = number_in_file("/proc/meminfo", "MemAvailable:") * 1024.0;
    const double cgroup = cgroup_left();
    left = (cgroup < left ? cgroup : left) / on_node;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        const double own = (double)limit.rlim_cur - number_in_file("/proc/self/status", "VmSize:") * 1024.0;
        left = own < left ? own : left;
    }
    /* The poorest rank decides: all hold equal shares. */
    MPI_Allreduce(&left, bytes, 1, MPI_DOUBLE, MPI_MIN, ctx->comm);
    return RLS_OK;
}

double rls_memory_peak(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0.0;
    return (double)usage.ru_maxrss * 1024.0;
}

const char *rls_bytes_text(double bytes, char text[32])
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t i = 0;
    while (bytes >= 1024.0 && i + 1 < sizeof unit / sizeof unit[0]) {
        bytes /= 1024.0;
        i++;
    }
    (void)snprintf(text, 32, i == 0 ? "%.0f %s" : "%.1f %s", bytes, unit[i]);
    return text;
}
