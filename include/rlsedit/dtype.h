/* Element types of states (float64, float32) and of model files (these and F16, BF16). */
#ifndef RLSEDIT_DTYPE_H
#define RLSEDIT_DTYPE_H

#include <stddef.h>

typedef enum { RLS_F64, RLS_F32, RLS_F16, RLS_BF16 } rls_dtype;

/* Bytes of one element. Not collective. */
size_t rls_dtype_size(rls_dtype dtype);

/* "float64", "float32", "float16", "bfloat16". Not collective. */
const char *rls_dtype_name(rls_dtype dtype);

/* The distance from 1 to the next number: 2^-52, 2^-23, 2^-10, 2^-7. Not collective. */
double rls_dtype_eps(rls_dtype dtype);

#endif
