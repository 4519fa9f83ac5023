/* Are these numbers, and will they still be numbers in another type? */
#ifndef STORE_FINITE_H
#define STORE_FINITE_H

#include <stdint.h>

#include "rlsedit/dtype.h"

/* The first of count elements that is Inf or NaN, or becomes Inf when rounded to `as`; -1 when there is none.
 * Not collective. as: any type for float64 and float32 data; float32 or float64 for 16-bit data. */
int64_t rls_first_nonfinite(rls_dtype dtype, const void *data, int64_t count, rls_dtype as);

/* Element i as float64, for messages. Not collective. */
double rls_element_value(rls_dtype dtype, const void *data, int64_t i);

#endif
