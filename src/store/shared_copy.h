/* Copying between files that all ranks have open. */
#ifndef STORE_SHARED_COPY_H
#define STORE_SHARED_COPY_H

#include "store/digest.h"
#include "store/shared_file.h"

/* Copies bytes [from_offset, from_offset + bytes) of one file to another.
 * Collective; equal arguments on all ranks. Every rank copies an even share, in slabs of RLS_DIGEST_SLAB
 * bytes of the new file: from memory (the page cache) what is there, and past it otherwise, as far as the
 * file system allows, so that a model's size does not push out what is of use there. Where a file system lets
 * files share their blocks, nothing is written. digest: gets the slabs that lie wholly in the range; NULL:
 * none wanted. Returns the errors of reading and writing (RLS_ERR_DATA, RLS_ERR_IO: also, before anything is
 * written, when the disk has no room), RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_shared_copy(const rls_shared_file *from, int64_t from_offset,
                                         const rls_shared_file *to, int64_t to_offset, int64_t bytes,
                                         rls_digest_writer *digest);

#endif
