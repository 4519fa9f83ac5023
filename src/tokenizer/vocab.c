#include "tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

/* The power of two that leaves a third of a table of count entries empty. */
static int table_bits(int64_t count)
{
    int bits = 4;
    while ((INT64_C(1) << bits) < count + count / 2)
        bits++;
    return bits;
}

rls_status rls_vocab_create(rls_context *ctx, int64_t size, int64_t count, rls_vocab *vocab)
{
    *vocab = (rls_vocab){.size = size, .slots = UINT64_C(1) << table_bits(count)};
    void *start = NULL, *bytes = NULL, *kind = NULL, *slot = NULL;
    rls_status status = rls_alloc_zero(ctx, size, sizeof *vocab->start, &start);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, size, sizeof *vocab->bytes, &bytes);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, size, sizeof *vocab->kind, &kind);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, (int64_t)vocab->slots, sizeof *vocab->slot, &slot);
    vocab->start = start;
    vocab->bytes = bytes;
    vocab->kind = kind;
    vocab->slot = slot;
    return status;
}

void rls_vocab_free(rls_vocab *vocab)
{
    rls_text_free(&vocab->contents);
    free(vocab->start);
    free(vocab->bytes);
    free(vocab->kind);
    free(vocab->slot);
    *vocab = (rls_vocab){0};
}

/* The slot of a content: its own, or the empty one where it belongs. */
static uint64_t slot_of(const rls_vocab *vocab, const char *content, int64_t bytes)
{
    uint64_t at = rls_hash_bytes(content, (size_t)bytes).low & (vocab->slots - 1);
    while (vocab->slot[at] != 0) {
        const int32_t id = vocab->slot[at] - 1;
        if (vocab->bytes[id] == bytes && memcmp(rls_vocab_content(vocab, id), content, (size_t)bytes) == 0)
            break;
        at = (at + 1) & (vocab->slots - 1);
    }
    return at;
}

rls_status rls_vocab_add(rls_context *ctx, rls_vocab *vocab, int32_t id, const char *content, int64_t bytes,
                         uint8_t kind)
{
    const int64_t start = vocab->contents.count;
    const rls_status status = rls_text_add(ctx, &vocab->contents, content, bytes);
    if (status != RLS_OK)
        return status;
    vocab->start[id] = start;
    vocab->bytes[id] = (int32_t)bytes;
    vocab->kind[id] = kind;
    vocab->slot[slot_of(vocab, content, bytes)] = id + 1;
    return RLS_OK;
}

int32_t rls_vocab_find(const rls_vocab *vocab, const char *content, int64_t bytes)
{
    return vocab->slot[slot_of(vocab, content, bytes)] - 1;
}

int32_t rls_vocab_find_own(const rls_vocab *vocab, const char *content, int64_t bytes)
{
    const int32_t id = rls_vocab_find(vocab, content, bytes);
    return id >= 0 && (vocab->kind[id] & RLS_TOKEN_OF_MODEL) ? id : -1;
}

rls_status rls_pairs_create(rls_context *ctx, int64_t count, rls_pairs *pairs)
{
    const int bits = table_bits(count);
    *pairs = (rls_pairs){.shift = 64 - bits, .mask = (UINT64_C(1) << bits) - 1};
    void *slot = NULL;
    const rls_status status = rls_alloc(ctx, INT64_C(1) << bits, sizeof *pairs->slot, &slot);
    pairs->slot = slot;
    for (uint64_t i = 0; status == RLS_OK && i <= pairs->mask; i++)
        pairs->slot[i].key = UINT64_MAX;
    return status;
}

void rls_pairs_free(rls_pairs *pairs)
{
    free(pairs->slot);
    *pairs = (rls_pairs){0};
}

void rls_pairs_put(rls_pairs *pairs, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t at = key * UINT64_C(0x9e3779b97f4a7c15) >> pairs->shift;
    while (pairs->slot[at].key != key && pairs->slot[at].key != UINT64_MAX)
        at = (at + 1) & pairs->mask;
    pairs->count += pairs->slot[at].key == UINT64_MAX;
    pairs->slot[at] = (rls_pair){key, rank, id};
}
