#include "tokenizer/bpe.h"

#include <stdio.h>
#include <stdlib.h>

rls_status rls_ids_add(rls_context *ctx, rls_ids *ids, int32_t id)
{
    if (ids->count == ids->capacity) {
        void *grown = ids->id;
        const rls_status status = rls_grow(ctx, &grown, &ids->capacity, ids->count + 1, sizeof *ids->id);
        ids->id = grown;
        if (status != RLS_OK)
            return status;
    }
    ids->id[ids->count++] = id;
    return RLS_OK;
}

void rls_bpe_work_free(rls_bpe_work *work)
{
    free(work->symbol);
    free(work->heap);
    rls_text_free(&work->chars);
    *work = (rls_bpe_work){0};
}

/* Lower ranks come first, then places further left. */
static bool comes_before(const rls_bpe_merge *a, const rls_bpe_merge *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(rls_bpe_work *work, rls_bpe_merge merge)
{
    int64_t i = work->heap_count++;
    while (i > 0 && comes_before(&merge, &work->heap[(i - 1) / 2])) {
        work->heap[i] = work->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    work->heap[i] = merge;
}

static rls_bpe_merge pop(rls_bpe_work *work)
{
    const rls_bpe_merge top = work->heap[0], last = work->heap[--work->heap_count];
    int64_t i = 0;
    for (int64_t child = 1; child < work->heap_count; child = 2 * i + 1) {
        if (child + 1 < work->heap_count && comes_before(&work->heap[child + 1], &work->heap[child]))
            child++;
        if (!comes_before(&work->heap[child], &last))
            break;
        work->heap[i] = work->heap[child];
        i = child;
    }
    work->heap[i] = last;
    return top;
}

/* Puts the merge of the symbol at and the one after it on the heap, when there is one. */
static void offer(const rls_bpe *bpe, rls_bpe_work *work, int64_t at)
{
    const int64_t after = at < 0 ? -1 : work->symbol[at].after;
    if (after < 0)
        return;
    const rls_pair *pair = rls_pairs_find(&bpe->merges, work->symbol[at].id, work->symbol[after].id);
    if (pair != NULL)
        push(work, (rls_bpe_merge){at, pair->rank, pair->id});
}

/* Does a merge from the heap; one that its symbols have outlived does nothing. */
static void merge(const rls_bpe *bpe, rls_bpe_work *work, const rls_bpe_merge *top)
{
    rls_bpe_symbol *left = &work->symbol[top->at];
    if (left->id < 0 || left->after < 0)
        return;
    rls_bpe_symbol *right = &work->symbol[left->after];
    const rls_pair *pair = rls_pairs_find(&bpe->merges, left->id, right->id);
    if (pair == NULL || pair->id != top->id)
        return;
    left->id = top->id;
    right->id = -1;
    left->after = right->after;
    if (left->after >= 0)
        work->symbol[left->after].before = top->at;
    offer(bpe, work, left->before);
    offer(bpe, work, top->at);
}

/* Merges the symbols gathered so far, appends their ids and forgets them. */
static rls_status flush(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, rls_ids *ids)
{
    const int64_t n = work->count;
    rls_status status = RLS_OK;
    work->count = 0;
    if (n > 1) { /* n - 1 pairs, and a merge puts at most two where it took one */
        void *grown = work->heap;
        status = rls_grow(ctx, &grown, &work->heap_capacity, 2 * n, sizeof *work->heap);
        work->heap = grown;
        if (status != RLS_OK)
            return status;
        work->symbol[n - 1].after = -1;
        work->heap_count = 0;
        for (int64_t i = 0; i < n - 1; i++)
            offer(bpe, work, i);
        while (work->heap_count > 0) {
            const rls_bpe_merge top = pop(work);
            merge(bpe, work, &top);
        }
    }
    for (int64_t i = 0; i < n && status == RLS_OK; i++)
        if (work->symbol[i].id >= 0)
            status = rls_ids_add(ctx, ids, work->symbol[i].id);
    return status;
}

/* Adds a first symbol. Where no merge reaches over the place before it, what is left of it is done: merges
 * on either side then know nothing of each other, and long texts stay in the cache. */
static rls_status add_symbol(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, int32_t id,
                             rls_ids *ids)
{
    rls_status status = RLS_OK;
    if (work->count > 0 && rls_pairs_find(&bpe->joints, work->symbol[work->count - 1].id, id) == NULL)
        status = flush(ctx, bpe, work, ids);
    if (status == RLS_OK && work->count == work->symbol_capacity) {
        void *grown = work->symbol;
        status = rls_grow(ctx, &grown, &work->symbol_capacity, work->count + 1, sizeof *work->symbol);
        work->symbol = grown;
    }
    if (status == RLS_OK) {
        work->symbol[work->count] = (rls_bpe_symbol){id, work->count - 1, work->count + 1};
        work->count++;
    }
    return status;
}

/* Adds the tokens of a character's bytes; *done = false when there is not one for each. */
static rls_status add_bytes(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, const char *text,
                            int bytes, rls_ids *ids, bool *done)
{
    rls_status status = RLS_OK;
    *done = true;
    for (int i = 0; i < bytes; i++)
        *done = *done && bpe->byte_token[(uint8_t)text[i]] >= 0;
    for (int i = 0; i < bytes && *done && status == RLS_OK; i++)
        status = add_symbol(ctx, bpe, work, bpe->byte_token[(uint8_t)text[i]], ids);
    return status;
}

/* Adds one character. *unknown: characters that are known to have no token wait here to be one unknown token;
 * that bytes of a later character may overtake it, and that without an unknown token they vanish, is how the
 * reference implementation does it. */
static rls_status add_char(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, const char *text,
                           int bytes, bool *unknown, rls_ids *ids)
{
    rls_status status = RLS_OK;
    const int32_t id = rls_vocab_find_own(&bpe->vocab, text, bytes);
    if (id < 0 && bpe->byte_fallback) {
        bool done = false;
        status = add_bytes(ctx, bpe, work, text, bytes, ids, &done);
        if (status != RLS_OK || done)
            return status;
    }
    if (id < 0 && bpe->unknown < 0)
        return RLS_OK;
    if (*unknown && (id >= 0 || !bpe->fuse_unknown))
        status = add_symbol(ctx, bpe, work, bpe->unknown, ids);
    *unknown = id < 0;
    if (status == RLS_OK && id >= 0)
        status = add_symbol(ctx, bpe, work, id, ids);
    return status;
}

/* The id of a word that is a token, or -1. */
static rls_status find_whole(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, const char *word,
                             int64_t bytes, int32_t *id)
{
    if (!bpe->byte_level) {
        *id = rls_vocab_find_own(&bpe->vocab, word, bytes);
        return RLS_OK;
    }
    rls_status status = RLS_OK;
    work->chars.count = 0;
    for (int64_t i = 0; i < bytes && status == RLS_OK; i++) {
        char out[RLS_CHAR_MAX];
        status = rls_text_add(ctx, &work->chars, out, rls_char_put(rls_byte_char((uint8_t)word[i]), out));
    }
    *id = status == RLS_OK ? rls_vocab_find_own(&bpe->vocab, work->chars.data, work->chars.count) : -1;
    return status;
}

rls_status rls_bpe_word(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work, const char *word,
                        int64_t bytes, rls_ids *ids)
{
    rls_status status = RLS_OK;
    if (bytes == 0)
        return status;
    if (bpe->ignore_merges) {
        int32_t id = -1;
        status = find_whole(ctx, bpe, work, word, bytes, &id);
        if (status != RLS_OK || id >= 0)
            return status != RLS_OK ? status : rls_ids_add(ctx, ids, id);
    }
    bool unknown = false;
    work->count = 0;
    for (int64_t i = 0; i < bytes && status == RLS_OK;) {
        char out[RLS_CHAR_MAX];
        const uint8_t byte = (uint8_t)word[i];
        const int length = bpe->byte_level ? 1 : rls_char_bytes(word + i);
        if (!bpe->byte_level)
            status = add_char(ctx, bpe, work, word + i, length, &unknown, ids);
        else if (bpe->byte_char[byte] >= 0 && !unknown)
            status = add_symbol(ctx, bpe, work, bpe->byte_char[byte], ids);
        else
            status = add_char(ctx, bpe, work, out, rls_char_put(rls_byte_char(byte), out), &unknown, ids);
        i += length;
    }
    if (status == RLS_OK && unknown)
        status = add_symbol(ctx, bpe, work, bpe->unknown, ids);
    return status == RLS_OK ? flush(ctx, bpe, work, ids) : status;
}

/* The symbol that a token may begin or end with before any merge: its first or last character, or itself when
 * that is no token. */
static int32_t outer_char(const rls_vocab *vocab, int32_t id, bool last)
{
    const char *content = rls_vocab_content(vocab, id);
    if (vocab->bytes[id] == 0)
        return id;
    const int64_t at = last ? rls_char_before(content, vocab->bytes[id]) : 0;
    const int32_t found = rls_vocab_find_own(vocab, content + at, rls_char_bytes(content + at));
    return found >= 0 ? found : id;
}

/* A token can also stand in a text before any merge (one byte, or the unknown token): its pair counts too. */
static void put_joints(rls_bpe *bpe, int32_t left, int32_t right)
{
    const int32_t lefts[2] = {left, outer_char(&bpe->vocab, left, true)};
    const int32_t rights[2] = {right, outer_char(&bpe->vocab, right, false)};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            rls_pairs_put(&bpe->joints, lefts[i], rights[j], 0, 0);
}

rls_status rls_bpe_prepare(rls_context *ctx, rls_bpe *bpe)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        bpe->byte_char[byte] =
            rls_vocab_find_own(&bpe->vocab, text, rls_char_put(rls_byte_char((uint8_t)byte), text));
        (void)snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        bpe->byte_token[byte] = rls_vocab_find_own(&bpe->vocab, text, 6);
    }
    const rls_status status = rls_pairs_create(ctx, 4 * bpe->merges.count, &bpe->joints);
    if (status != RLS_OK)
        return status;
    for (uint64_t i = 0; i <= bpe->merges.mask; i++) {
        const uint64_t key = bpe->merges.slot[i].key;
        if (key != UINT64_MAX)
            put_joints(bpe, (int32_t)(key >> 32), (int32_t)(key & UINT32_MAX));
    }
    return RLS_OK;
}

void rls_bpe_free(rls_bpe *bpe)
{
    rls_vocab_free(&bpe->vocab);
    rls_pairs_free(&bpe->merges);
    rls_pairs_free(&bpe->joints);
}
