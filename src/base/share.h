/* Handing what one rank has to all. */
#ifndef BASE_SHARE_H
#define BASE_SHARE_H

#include <stdint.h>

#include "base/context.h"

/* Fills data on every rank with rank 0's bytes, any number of them.
 * Collective. bytes: the same on all ranks, each of which has room for them. */
void rls_share_bytes(rls_context *ctx, void *data, int64_t bytes);

/* Gives all ranks rank 0's bytes, whose number only it knows.
 * Collective. local: rank 0's status so far, RLS_OK elsewhere. In: rank 0's *data and *bytes, others'
 * ignored. Out: on the others a fresh array; free with free(). Returns the agreement on local, or
 * RLS_ERR_MEMORY; rank 0's array stays its own in any case. */
RLS_NODISCARD rls_status rls_share_array(rls_context *ctx, rls_status local, char **data, int64_t *bytes);

/* Gives every rank rank 0's text (any length; NULL stays NULL).
 * Collective. local: rank 0's status so far, RLS_OK elsewhere. *text: rank 0's, allocated with malloc on the
 * others; free with free(). Returns the agreement on local (*text is then freed and NULL on all ranks), or
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_share_text(rls_context *ctx, rls_status local, char **text);

#endif
