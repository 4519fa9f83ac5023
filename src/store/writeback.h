/* Letting the disk work while the processors do: what was written goes there early, what will be read comes
 * early. */
#ifndef STORE_WRITEBACK_H
#define STORE_WRITEBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

/* Opens a file for rls_writeback; -1 when that cannot be done, which is no harm. Not collective. */
int rls_writeback_open(const char *path);
void rls_writeback_close(int file);

/* Asks the system to begin writing a range of the file to the disk, and does not wait. Not collective. A
 * hint: nothing is reported, and where the system has no such call nothing happens. */
void rls_writeback(int file, int64_t offset, int64_t bytes);

/* Asks the system to begin reading a range, in the same way. */
void rls_readahead(int file, int64_t offset, int64_t bytes);

/* For reading a large range once, from its beginning to its end, without filling memory with it: whether
 * memory (the page cache) holds most of it already, as far as one is told, and letting go of what was read.
 * Not collective; a hint as above: where it cannot be told, the answer is yes. */
bool rls_is_cached(int file, int64_t offset, int64_t bytes);
void rls_forget(int file, int64_t offset, int64_t bytes);

/* Puts files that the ranks wrote on the disk: every rank its part. Collective. Returns RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_files_sync(rls_context *ctx, const char *const *paths, int64_t count);

#endif
