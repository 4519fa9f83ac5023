#include "run/source.h"

#include <stdlib.h>

#include "base/memory.h"

rls_status rls_source_create(const rls_source_kind *kind, rls_states *states, int64_t edits, size_t bytes,
                             size_t layer_bytes, rls_source **out, void **layers)
{
    rls_context *ctx = states->inputs->ctx;
    void *memory = NULL;
    *out = NULL;
    *layers = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, bytes, &memory);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, states->count, layer_bytes, layers);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        free(*layers);
        *layers = NULL;
        return status;
    }
    *out = memory;
    **out = (rls_source){.kind = kind, .states = states, .edits = edits};
    return RLS_OK;
}
