/* The smaller and the larger of two sizes. */
#ifndef BASE_LEAST_H
#define BASE_LEAST_H

#include <stdint.h>

static inline int64_t rls_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t rls_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
