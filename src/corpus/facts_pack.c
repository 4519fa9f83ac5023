#include "corpus/facts_pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/share.h"

enum { FIRST_ROOM = 1024 };

/* Room for `more` elements behind the `used` ones. */
static rls_status grow(rls_context *ctx, void **data, int64_t *room, int64_t used, int64_t more, size_t size)
{
    if (used + more <= *room)
        return RLS_OK;
    const int64_t wanted = used + more + (used + more) / 2 + FIRST_ROOM;
    void *grown = realloc(*data, (size_t)wanted * size);
    if (grown == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for %lld bytes of facts",
                        (long long)wanted * (long long)size);
    *data = grown;
    *room = wanted;
    return RLS_OK;
}

rls_status rls_pack_text(rls_context *ctx, rls_fact_pack *pack, const char *text, size_t len, int64_t *offset)
{
    void *data = pack->text;
    const rls_status status = grow(ctx, &data, &pack->room[0], pack->bytes, (int64_t)len + 1, 1);
    pack->text = data;
    if (status != RLS_OK || pack->text == NULL)
        return status;
    *offset = pack->bytes;
    memcpy(pack->text + pack->bytes, text, len);
    pack->text[pack->bytes + (int64_t)len] = '\0';
    pack->bytes += (int64_t)len + 1;
    return RLS_OK;
}

rls_status rls_pack_prompt(rls_context *ctx, rls_fact_pack *pack, rls_packed_prompt prompt)
{
    void *data = pack->prompt;
    const rls_status status = grow(ctx, &data, &pack->room[1], pack->prompts, 1, sizeof prompt);
    pack->prompt = data;
    if (status == RLS_OK && pack->prompt != NULL)
        pack->prompt[pack->prompts++] = prompt;
    return status;
}

rls_status rls_pack_fact(rls_context *ctx, rls_fact_pack *pack, const rls_packed_fact *fact)
{
    void *data = pack->fact;
    const rls_status status = grow(ctx, &data, &pack->room[2], pack->facts, 1, sizeof *fact);
    pack->fact = data;
    if (status == RLS_OK && pack->fact != NULL)
        pack->fact[pack->facts++] = *fact;
    return status;
}

void rls_pack_free(rls_fact_pack *pack)
{
    free(pack->text);
    free(pack->prompt);
    free(pack->fact);
    *pack = (rls_fact_pack){0};
}

rls_status rls_pack_share(rls_context *ctx, rls_fact_pack *pack)
{
    int64_t head[4] = {pack->bytes, pack->prompts, pack->facts, pack->skipped};
    void *text = pack->text, *prompt = pack->prompt, *fact = pack->fact;
    rls_status status = RLS_OK;
    MPI_Bcast(head, 4, MPI_INT64_T, 0, ctx->comm);
    if (ctx->rank != 0) {
        pack->bytes = head[0];
        pack->prompts = head[1];
        pack->facts = head[2];
        pack->skipped = head[3];
        status = rls_alloc(ctx, pack->bytes, 1, &text);
        if (status == RLS_OK)
            status = rls_alloc(ctx, pack->prompts, sizeof *pack->prompt, &prompt);
        if (status == RLS_OK)
            status = rls_alloc(ctx, pack->facts, sizeof *pack->fact, &fact);
        pack->text = text;
        pack->prompt = prompt;
        pack->fact = fact;
    }
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    rls_share_bytes(ctx, text, pack->bytes);
    rls_share_bytes(ctx, prompt, pack->prompts * (int64_t)sizeof *pack->prompt);
    rls_share_bytes(ctx, fact, pack->facts * (int64_t)sizeof *pack->fact);
    return RLS_OK;
}
