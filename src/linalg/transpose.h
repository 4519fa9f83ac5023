/* Transposing on one rank. */
#ifndef LINALG_TRANSPOSE_H
#define LINALG_TRANSPOSE_H

#include <stdint.h>

#include "rlsedit/dtype.h"

/* out[j + i ldout] = in[i + j ldin] for an m x n block in float64 or float32. Not collective. */
void rls_transpose(rls_dtype dtype, int64_t m, int64_t n, const void *in, int64_t ldin, void *out,
                   int64_t ldout);

#endif
