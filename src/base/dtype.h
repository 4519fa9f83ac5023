/* Conversion between element types, strided. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "rlsedit/dtype.h"

/* dst[i * dst_stride] = round(src[i * src_stride]), i < count; strides in elements. Round to nearest even,
 * straight from the source (float64 to BF16 rounds once). Overflow gives Inf, NaN stays NaN. Equal types are
 * copied. Not collective. */
void rls_convert(rls_dtype dst_dtype, void *dst, int64_t dst_stride, rls_dtype src_dtype, const void *src,
                 int64_t src_stride, int64_t count);

/* Whether x^2 and 1 / x^2 are normal numbers of the type (float64, float32), so that products with them keep
 * their digits. Not collective. */
bool rls_dtype_holds_square(rls_dtype dtype, double x);

#endif
