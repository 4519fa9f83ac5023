/* Keys of config.json that the user says change nothing. They are kept with the context, as every opening of a
 * model asks for them. */
#ifndef LLM_ARCHITECTURE_ACCEPT_H
#define LLM_ARCHITECTURE_ACCEPT_H

#include <stdbool.h>

#include "base/context.h"

/* From here on, keys that are not known here are taken as changing nothing when `keys` names them: "key,key"; NULL and ""
 * add nothing. They come to those accepted before. Not collective; the same on all ranks. Returns RLS_ERR_USAGE for
 * an empty name, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_architecture_accept(rls_context *ctx, const char *keys);

/* What has been accepted, "key,key"; NULL: nothing. And whether `key` has. Not collective. */
const char *rls_architecture_accepted(const rls_context *ctx);
bool rls_architecture_accepts(const rls_context *ctx, const char *key);

#endif
