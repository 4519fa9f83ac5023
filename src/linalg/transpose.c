#include "linalg/transpose.h"

enum { TILE = 16 };

/* In tiles that stay in the nearest cache. */
#define TRANSPOSE(type)                                                                                      \
    do {                                                                                                     \
        const type *restrict from =                                                                          \
            in;                  /* NOLINT(bugprone-macro-parentheses): a type cannot stand in them */       \
        type *restrict to = out; /* NOLINT(bugprone-macro-parentheses) */                                    \
        for (int64_t jt = 0; jt < n; jt += TILE)                                                             \
            for (int64_t i = 0; i < m; i++)                                                                  \
                for (int64_t j = jt; j < jt + TILE && j < n; j++)                                            \
                    to[j + i * ldout] = from[i + j * ldin];                                                  \
    } while (0)

void rls_transpose(rls_dtype dtype, int64_t m, int64_t n, const void *in, int64_t ldin, void *out,
                   int64_t ldout)
{
    if (dtype == RLS_F64)
        TRANSPOSE(double);
    else
        TRANSPOSE(float);
}
