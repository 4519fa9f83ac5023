#include "moments/texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    FILL_TEXTS_A_RANK = 1024, /* encoded at a time, at most */
    FILL_TOKENS = 16 << 20,   /* the same in tokens over all ranks, which every rank gets */
    LENGTH_GUESS = 64,        /* tokens of a text before any is known */
};

/* splitmix64's output function. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t rls_texts_order(uint64_t seed, int64_t count, int64_t i)
{
    int half = 1;
    while (half < 31 && (int64_t)1 << 2 * half < count)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t x = (uint64_t)i;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 1; round <= 6; round++) {
            const uint64_t next = left ^ (mix(right + mix(seed + round * 0x9e3779b97f4a7c15u)) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)count);
    return (int64_t)x;
}

void rls_texts_begin(rls_texts *texts, rls_context *ctx, const rls_tokenizer *tokenizer,
                     const rls_corpus *corpus, uint64_t seed, int64_t first, int64_t end, int64_t max_length)
{
    *texts = (rls_texts){.ctx = ctx,
                         .seed = seed,
                         .tokenizer = tokenizer,
                         .corpus = corpus,
                         .max_length = max_length,
                         .first = first,
                         .end = end};
}

void rls_texts_free(rls_texts *texts)
{
    free(texts->length);
    free(texts->token);
    *texts = (rls_texts){0};
}

static void drop(rls_texts *t, int64_t position)
{
    int64_t texts = position - t->first, tokens = 0;
    texts = texts < t->count ? texts : t->count;
    for (int64_t i = 0; i < texts; i++)
        tokens += t->length[i];
    if (texts == 0)
        return;
    t->first += texts;
    t->count -= texts;
    t->tokens -= tokens;
    memmove(t->length, t->length + texts, (size_t)t->count * sizeof *t->length);
    memmove(t->token, t->token + tokens, (size_t)t->tokens * sizeof *t->token);
}

/* Local: texts [first, end) of the corpus, cut to max_length each. */
static rls_status encode(const rls_texts *t, int64_t first, int64_t end, int64_t *lengths, rls_ids *ids)
{
    rls_status status = RLS_OK;
    for (int64_t i = first; i < end && status == RLS_OK; i++) {
        char *text = NULL;
        int64_t bytes = 0;
        const int64_t before = ids->count;
        const int64_t place = t->seed != 0 ? rls_texts_order(t->seed, rls_corpus_count(t->corpus), i) : i;
        status = rls_corpus_text(t->ctx, t->corpus, place, &text, &bytes);
        if (status == RLS_OK)
            status = rls_tokenizer_encode(t->ctx, t->tokenizer, text, bytes, true, ids);
        free(text);
        if (ids->count - before > t->max_length)
            ids->count = before + t->max_length;
        lengths[i - first] = ids->count - before;
    }
    return status;
}

/* An array with room for `more` beyond `count` elements. */
static rls_status extend(rls_context *ctx, void **array, int64_t count, int64_t more, size_t size)
{
    void *wider = NULL;
    const rls_status status = rls_alloc(ctx, count + more, size, &wider);
    if (status != RLS_OK)
        return status;
    if (count > 0)
        memcpy(wider, *array, (size_t)count * size);
    free(*array);
    *array = wider;
    return RLS_OK;
}

/* The counts of all ranks as MPI wants them; returns their sum. */
static int64_t gather_counts(rls_context *ctx, int64_t mine, int *counts, int *starts)
{
    const int count = (int)mine;
    int64_t sum = 0;
    MPI_Allgather(&count, 1, MPI_INT, counts, 1, MPI_INT, ctx->comm);
    for (int r = 0; r < ctx->size; r++) {
        starts[r] = (int)sum;
        sum += counts[r];
    }
    return sum;
}

/* Gives every rank all ranks' lengths and ids, behind what it knows already. Collective. */
static rls_status append(rls_texts *t, int64_t mine, const int64_t *lengths, const rls_ids *ids, int *ints)
{
    rls_context *ctx = t->ctx;
    int *text_counts = ints, *text_starts = ints + ctx->size, *id_counts = ints + 2 * (int64_t)ctx->size,
        *id_starts = ints + 3 * (int64_t)ctx->size;
    const int64_t texts = gather_counts(ctx, mine, text_counts, text_starts);
    const int64_t tokens = gather_counts(ctx, ids->count, id_counts, id_starts);
    void *length = t->length, *token = t->token;
    rls_status status = extend(ctx, &length, t->count, texts, sizeof *t->length);
    t->length = length;
    if (status == RLS_OK)
        status = extend(ctx, &token, t->tokens, tokens, sizeof *t->token);
    t->token = token;
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    MPI_Allgatherv(lengths, (int)mine, MPI_INT64_T, t->length + t->count, text_counts, text_starts,
                   MPI_INT64_T, ctx->comm);
    MPI_Allgatherv(ids->id, (int)ids->count, MPI_INT32_T, t->token + t->tokens, id_counts, id_starts,
                   MPI_INT32_T, ctx->comm);
    t->count += texts;
    t->tokens += tokens;
    t->seen += texts;
    t->seen_tokens += tokens;
    return RLS_OK;
}

/* Encodes the next texts. Collective. */
static rls_status encode_more(rls_texts *t, int64_t wanted)
{
    rls_context *ctx = t->ctx;
    const int64_t begin = t->first + t->count, left = t->end - begin, size = ctx->size;
    const int64_t length = t->seen > 0 ? t->seen_tokens / t->seen + 1 : LENGTH_GUESS;
    const int64_t most = FILL_TOKENS / t->max_length > 0 ? FILL_TOKENS / t->max_length : 1;
    int64_t texts = (wanted - t->tokens) / length + size;
    texts = texts < FILL_TEXTS_A_RANK * size ? texts : FILL_TEXTS_A_RANK * size;
    texts = texts < most ? texts : most;
    texts = texts < left ? texts : left;
    const int64_t first = begin + texts * ctx->rank / size, end = begin + texts * (ctx->rank + 1) / size;
    void *lengths = NULL, *ints = NULL;
    rls_ids ids = {0};
    rls_status status = rls_alloc(ctx, end - first, sizeof(int64_t), &lengths);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 4 * size, sizeof(int), &ints);
    if (status == RLS_OK)
        status = encode(t, first, end, lengths, &ids);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = append(t, end - first, lengths, &ids, ints);
    rls_ids_free(&ids);
    free(lengths);
    free(ints);
    return status;
}

rls_status rls_texts_fill(rls_texts *texts, int64_t position, int64_t wanted)
{
    rls_status status = RLS_OK;
    drop(texts, position);
    while (status == RLS_OK && texts->tokens < wanted && texts->first + texts->count < texts->end)
        status = encode_more(texts, wanted);
    return status;
}

/* The group with the fewest tokens so far. */
static int lightest(const int64_t *load, int groups)
{
    int best = 0;
    for (int g = 1; g < groups; g++)
        best = load[g] < load[best] ? g : best;
    return best;
}

rls_status rls_texts_deal(const rls_texts *t, int64_t stop, int64_t budget, int groups, int group,
                          rls_texts_round *out)
{
    void *load_memory = NULL, *length = NULL, *token = NULL;
    *out = (rls_texts_round){.end = t->first};
    const int64_t room = budget < t->tokens ? budget : t->tokens;
    rls_status status = rls_alloc_zero(t->ctx, groups, sizeof(int64_t), &load_memory);
    if (status == RLS_OK)
        status = rls_alloc(t->ctx, t->count, sizeof(int64_t), &length);
    if (status == RLS_OK)
        status = rls_alloc(t->ctx, room, sizeof(int32_t), &token);
    out->length = length;
    out->token = token;
    int64_t *load = load_memory, at = 0;
    for (int64_t i = 0; status == RLS_OK && i < t->count && t->first + i < stop; i++) {
        const int64_t tokens = t->length[i];
        const int to = lightest(load, groups);
        if (load[to] + tokens > budget)
            break;
        if (to == group && tokens > 0) { /* nothing is left of some texts */
            memcpy(out->token + out->tokens, t->token + at, (size_t)tokens * sizeof(int32_t));
            out->length[out->sequences++] = tokens;
            out->tokens += tokens;
        }
        load[to] += tokens;
        at += tokens;
        out->end++;
    }
    out->keys = at;
    free(load_memory);
    return status;
}

void rls_texts_round_free(rls_texts_round *round)
{
    free(round->length);
    free(round->token);
    *round = (rls_texts_round){0};
}
