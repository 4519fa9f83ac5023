#include <stdlib.h>

#include <utf8proc.h>

#include "tokenizer/steps.h"

rls_status rls_text_replace(rls_context *ctx, rls_text *out, const char *text, int64_t bytes,
                            const rls_text *from, const rls_text *to)
{
    rls_status status = RLS_OK;
    while (status == RLS_OK && bytes > 0) {
        const int64_t found = rls_text_find(text, bytes, from);
        const int64_t taken = found >= 0 ? found + from->count : bytes;
        status = rls_text_add(ctx, out, text, found >= 0 ? found : bytes);
        if (status == RLS_OK && found >= 0)
            status = rls_text_add(ctx, out, to->data, to->count);
        text += taken;
        bytes -= taken;
    }
    return status;
}

/* Appends the composed form of text. Below U+0300 nothing is composed or reordered. */
static rls_status compose(rls_context *ctx, rls_text *out, const char *text, int64_t bytes)
{
    bool composed = true;
    for (int64_t i = 0; i < bytes && composed; i++)
        composed = (uint8_t)text[i] < 0xcc;
    if (composed)
        return rls_text_add(ctx, out, text, bytes);
    utf8proc_uint8_t *mapped = NULL;
    const utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes,
                                                 &mapped, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (length < 0)
        return rls_fail(ctx, RLS_ERR_MEMORY, "a text of %lld bytes could not be normalized: %s",
                        (long long)bytes, utf8proc_errmsg(length));
    const rls_status status = rls_text_add(ctx, out, (const char *)mapped, length);
    free(mapped);
    return status;
}

static rls_status apply(rls_context *ctx, const rls_normal_step *step, const rls_text *in, rls_text *out)
{
    rls_status status = RLS_OK;
    switch (step->kind) {
    case RLS_NFC:
        return compose(ctx, out, in->data, in->count);
    case RLS_PREPEND:
        if (in->count > 0)
            status = rls_text_add(ctx, out, step->to.data, step->to.count);
        return status == RLS_OK ? rls_text_add(ctx, out, in->data, in->count) : status;
    case RLS_NORMAL_REPLACE:
        return rls_text_replace(ctx, out, in->data, in->count, &step->from, &step->to);
    }
    return status;
}

rls_status rls_normalize(rls_context *ctx, const rls_normal *normal, const char *text, int64_t bytes,
                         rls_text *out)
{
    rls_text other = {0};
    out->count = 0;
    rls_status status = rls_text_add(ctx, out, text, bytes);
    for (int i = 0; i < normal->count && status == RLS_OK; i++) {
        const rls_text in = *out;
        *out = other;
        out->count = 0;
        other = in;
        status = apply(ctx, &normal->step[i], &other, out);
    }
    rls_text_free(&other);
    return status;
}
