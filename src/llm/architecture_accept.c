#include "llm/architecture_accept.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The length of the name at the beginning of "key,key". */
static size_t name_length(const char *keys)
{
    return strcspn(keys, ",");
}

bool rls_architecture_accepts(const rls_context *ctx, const char *key)
{
    const char *keys = ctx->accepted_config;
    while (keys != NULL && *keys != '\0') {
        const size_t length = name_length(keys);
        if (length == strlen(key) && strncmp(keys, key, length) == 0)
            return true;
        keys += length + (keys[length] == ',' ? 1 : 0);
    }
    return false;
}

const char *rls_architecture_accepted(const rls_context *ctx)
{
    return ctx->accepted_config;
}

static rls_status add(rls_context *ctx, const char *key)
{
    char *joined = NULL;
    if (rls_architecture_accepts(ctx, key))
        return RLS_OK;
    const bool first = ctx->accepted_config == NULL;
    const rls_status status =
        rls_asprintf(ctx, &joined, "%s%s%s", first ? "" : ctx->accepted_config, first ? "" : ",", key);
    if (status != RLS_OK)
        return status;
    free(ctx->accepted_config);
    ctx->accepted_config = joined;
    return RLS_OK;
}

rls_status rls_architecture_accept(rls_context *ctx, const char *keys)
{
    rls_status status = RLS_OK;
    if (keys == NULL || *keys == '\0')
        return RLS_OK;
    for (const char *at = keys; status == RLS_OK;) {
        char *key = NULL;
        const size_t length = name_length(at);
        if (length == 0)
            return rls_fail(ctx, RLS_ERR_USAGE,
                            "--accept-config %.200s: expected names with commas between them", keys);
        status = rls_asprintf(ctx, &key, "%.*s", (int)length, at);
        if (status == RLS_OK)
            status = add(ctx, key);
        free(key);
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    return status;
}
