/* The tokens of a tokenizer by content and by id, and tables of pairs of ids. None of these functions is
 * collective. */
#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include "tokenizer/text.h"

enum { RLS_TOKEN_OF_MODEL = 1, RLS_TOKEN_ADDED = 2, RLS_TOKEN_SPECIAL = 4, RLS_TOKEN_RENAMED = 8 };

typedef struct {
    rls_text contents; /* all tokens, one after another */
    int64_t *start;    /* [size], in contents */
    int32_t *bytes;    /* [size] */
    uint8_t *kind;     /* [size], RLS_TOKEN_*; 0: no token has this id */
    int64_t size;      /* one more than the largest id */
    int32_t *slot;     /* hash table of 1 + id; 0: empty */
    uint64_t slots;
} rls_vocab;

/* Makes an empty vocabulary for ids below size and at most count tokens. Returns RLS_ERR_MEMORY; free it in
 * any case. */
RLS_NODISCARD rls_status rls_vocab_create(rls_context *ctx, int64_t size, int64_t count, rls_vocab *vocab);
void rls_vocab_free(rls_vocab *vocab);

/* Adds a token whose id and content are both new. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_vocab_add(rls_context *ctx, rls_vocab *vocab, int32_t id, const char *content,
                                       int64_t bytes, uint8_t kind);

/* The id of a token, or -1; of any kind, or only of the model's own. */
int32_t rls_vocab_find(const rls_vocab *vocab, const char *content, int64_t bytes);
int32_t rls_vocab_find_own(const rls_vocab *vocab, const char *content, int64_t bytes);

/* The content of an id that there is. */
static inline const char *rls_vocab_content(const rls_vocab *vocab, int32_t id)
{
    return vocab->contents.data + vocab->start[id];
}

/* What is known of a pair of tokens. */
typedef struct {
    uint64_t key; /* left id and right id */
    int32_t rank, id;
} rls_pair;

/* Hash table of pairs. */
typedef struct {
    rls_pair *slot;
    int shift; /* of the hash, to the table's size */
    uint64_t mask;
    int64_t count;
} rls_pairs;

/* Makes an empty table for at most count pairs. Returns RLS_ERR_MEMORY. Free it in any case. */
RLS_NODISCARD rls_status rls_pairs_create(rls_context *ctx, int64_t count, rls_pairs *pairs);
void rls_pairs_free(rls_pairs *pairs);

/* Sets what is known of a pair. */
void rls_pairs_put(rls_pairs *pairs, int32_t left, int32_t right, int32_t rank, int32_t id);

/* The pair, or NULL. */
static inline const rls_pair *rls_pairs_find(const rls_pairs *pairs, int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t at = key * UINT64_C(0x9e3779b97f4a7c15) >> pairs->shift;
    while (pairs->slot[at].key != key) {
        if (pairs->slot[at].key == UINT64_MAX)
            return NULL;
        at = (at + 1) & pairs->mask;
    }
    return &pairs->slot[at];
}

#endif
