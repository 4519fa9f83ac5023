/* Handing what one rank has to all. */
#ifndef BASE_SHARE_H
#define BASE_SHARE_H

#include "base/context.h"

/* Gives every rank rank 0's text (any length; NULL stays NULL).
 * Collective. local: rank 0's status so far, RLS_OK elsewhere. *text: rank 0's, allocated with malloc on the
 * others; free with free(). Returns the agreement on local (*text is then freed and NULL on all ranks), or
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_share_text(rls_context *ctx, rls_status local, char **text);

#endif
