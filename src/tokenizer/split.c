#include <string.h>

#include "tokenizer/steps.h"

/* A piece on its way through the steps. */
typedef struct {
    rls_context *ctx;
    const rls_split *split;
    rls_regex_work *work;
    rls_piece_sink *sink;
    void *user;
} cutting;

static rls_status cut(const cutting *c, int step, const char *text, int64_t bytes, bool first);

/* Cuts at the matches of the step's pattern. */
static rls_status cut_by_pattern(const cutting *c, int step, const char *text, int64_t bytes, bool first)
{
    const rls_split_step *s = &c->split->step[step];
    rls_status status = RLS_OK;
    int64_t done = 0;
    while (done < bytes && status == RLS_OK) {
        int64_t start = -1, end = -1;
        status = rls_regex_find(c->ctx, s->regex, c->work, text, bytes, done, &start, &end);
        if (status != RLS_OK)
            return status;
        if (start < 0)
            start = end = bytes;
        if (start > done && !(s->removed && s->invert))
            status = cut(c, step + 1, text + done, start - done, first && done == 0);
        if (status == RLS_OK && end > start && !(s->removed && !s->invert))
            status = cut(c, step + 1, text + start, end - start, first && start == 0);
        done = end;
    }
    return status;
}

static rls_status byte_level(const cutting *c, int step, const char *text, int64_t bytes, bool first)
{
    const rls_split_step *s = &c->split->step[step];
    rls_text prefixed = {0};
    rls_status status = RLS_OK;
    if (s->prefix_space && *text != ' ') {
        status = rls_text_add(c->ctx, &prefixed, " ", 1);
        if (status == RLS_OK)
            status = rls_text_add(c->ctx, &prefixed, text, bytes);
        text = prefixed.data;
        bytes = prefixed.count;
    }
    if (status == RLS_OK)
        status = s->regex != NULL ? cut_by_pattern(c, step, text, bytes, first)
                                  : cut(c, step + 1, text, bytes, first);
    rls_text_free(&prefixed);
    return status;
}

/* Every replacement begins a piece. */
static rls_status cut_before(const cutting *c, int step, const rls_text *text, bool first)
{
    const rls_text *mark = &c->split->step[step].replacement;
    rls_status status = RLS_OK;
    int64_t done = 0;
    while (done < text->count && status == RLS_OK) {
        const char *from = text->data + done;
        const int64_t left = text->count - done, next = rls_text_find(from + 1, left - 1, mark);
        const int64_t bytes = next < 0 ? left : next + 1;
        status = cut(c, step + 1, from, bytes, first && done == 0);
        done += bytes;
    }
    return status;
}

static rls_status metaspace(const cutting *c, int step, const char *text, int64_t bytes, bool first)
{
    const rls_split_step *s = &c->split->step[step];
    char space[] = " ";
    const rls_text from = {space, 1, 1}, *mark = &s->replacement;
    rls_text replaced = {0};
    const bool begins =
        *text == ' ' || (bytes >= mark->count && memcmp(text, mark->data, (size_t)mark->count) == 0);
    rls_status status = RLS_OK;
    if (!begins && (s->prepend == RLS_PREPEND_ALWAYS || (s->prepend == RLS_PREPEND_FIRST && first)))
        status = rls_text_add(c->ctx, &replaced, mark->data, mark->count);
    if (status == RLS_OK)
        status = rls_text_replace(c->ctx, &replaced, text, bytes, &from, mark);
    if (status == RLS_OK)
        status = s->split ? cut_before(c, step, &replaced, first)
                          : cut(c, step + 1, replaced.data, replaced.count, first);
    rls_text_free(&replaced);
    return status;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as there are steps */
static rls_status cut(const cutting *c, int step, const char *text, int64_t bytes, bool first)
{
    if (bytes == 0)
        return RLS_OK;
    if (step == c->split->count)
        return c->sink(c->user, -1, text, bytes, 0);
    switch (c->split->step[step].kind) {
    case RLS_SPLIT:
        return cut_by_pattern(c, step, text, bytes, first);
    case RLS_BYTE_LEVEL:
        return byte_level(c, step, text, bytes, first);
    case RLS_METASPACE:
        return metaspace(c, step, text, bytes, first);
    }
    return RLS_OK;
}

rls_status rls_split_words(rls_context *ctx, const rls_split *split, rls_regex_work *work, const char *text,
                           int64_t bytes, bool first, rls_piece_sink *sink, void *user)
{
    const cutting c = {ctx, split, work, sink, user};
    return cut(&c, 0, text, bytes, first);
}
