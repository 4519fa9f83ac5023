/* Checked allocation, and what memory this machine and process have. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/* Allocates count x size bytes aligned to 64, contents undefined; *out = NULL for 0 bytes.
 * Not collective. Returns RLS_ERR_MEMORY (with the size in the message) when there is none or the product
 * overflows. Free with free(). */
RLS_NODISCARD rls_status rls_alloc(rls_context *ctx, int64_t count, size_t size, void **out);

/* The same, zeroed. */
RLS_NODISCARD rls_status rls_alloc_zero(rls_context *ctx, int64_t count, size_t size, void **out);

/* strdup with the same errors. */
RLS_NODISCARD rls_status rls_strdup(rls_context *ctx, const char *text, char **out);

/* printf into a fresh string, with the same errors. */
RLS_PRINTF(3, 4) RLS_NODISCARD rls_status rls_asprintf(rls_context *ctx, char **out, const char *fmt, ...);

/* Bytes this rank may still take: what the machine (MemAvailable, cgroup limit) offers shared by the
 * context's ranks on this node, and RLIMIT_AS. Collective (asks which ranks share the node). */
RLS_NODISCARD rls_status rls_memory_available(rls_context *ctx, double *bytes);

/* Peak resident bytes of this process so far. Not collective. */
double rls_memory_peak(void);

/* "1.5 GiB" into text. Not collective. */
const char *rls_bytes_text(double bytes, char text[32]);

#endif
