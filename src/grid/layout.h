/*
 * Block-cyclic index arithmetic for one dimension: n indices in blocks, block b on process b mod procs.
 * ig: global index, il: local index, ib: block. None of these functions is collective.
 */
#ifndef GRID_LAYOUT_H
#define GRID_LAYOUT_H

#include <stdint.h>

typedef struct {
    int64_t n;     /* global size */
    int64_t block; /* block size */
    int procs;     /* processes it is dealt to */
} rls_dim;

/* The process that owns global index ig. */
static inline int rls_dim_owner(rls_dim d, int64_t ig)
{
    return (int)((ig / d.block) % d.procs);
}

/* The local index of global index ig on its owner. */
static inline int64_t rls_dim_to_local(rls_dim d, int64_t ig)
{
    return (ig / d.block / d.procs) * d.block + ig % d.block;
}

/* The global index of local index il on process proc. */
static inline int64_t rls_dim_to_global(rls_dim d, int proc, int64_t il)
{
    return ((il / d.block) * d.procs + proc) * d.block + il % d.block;
}

/* How many of the global indices below ig lie on process proc (the local index where ig is or would be). */
static inline int64_t rls_dim_below(rls_dim d, int proc, int64_t ig)
{
    const int64_t ib = ig / d.block;
    const int64_t full = ib / d.procs;
    const int64_t rest = ib % d.procs;
    if (rest > proc)
        return (full + 1) * d.block;
    return full * d.block + (rest == proc ? ig % d.block : 0);
}

/* How many indices process proc owns. */
static inline int64_t rls_dim_count(rls_dim d, int proc)
{
    return rls_dim_below(d, proc, d.n);
}

/* From local index il: how many further local indices are contiguous globally (to the end of the block, cut
 * at count). */
static inline int64_t rls_dim_run(rls_dim d, int64_t il, int64_t count)
{
    const int64_t end = (il / d.block + 1) * d.block;
    return (end < count ? end : count) - il;
}

#endif
