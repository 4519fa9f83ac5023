/* Byte-pair encoding of one word. None of these functions is collective. */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

typedef struct {
    rls_vocab vocab;
    rls_pairs merges; /* rank, and the id that the two become */
    rls_pairs joints; /* first symbols between which some merge may happen; a word falls apart elsewhere */
    bool byte_level;  /* a word's bytes are characters of the vocabulary (rls_byte_char) */
    bool ignore_merges, byte_fallback, fuse_unknown;
    int32_t unknown;         /* id, or -1 */
    int32_t byte_char[256];  /* ids of the bytes' characters, or -1 */
    int32_t byte_token[256]; /* ids of <0x00> to <0xFF>, or -1 */
} rls_bpe;

typedef struct {
    int32_t id; /* -1: merged into another */
    int64_t before, after;
} rls_bpe_symbol;

typedef struct {
    int64_t at;
    int32_t rank, id;
} rls_bpe_merge;

/* Scratch memory of one thread: start with {0}. */
typedef struct {
    rls_bpe_symbol *symbol;
    int64_t count, symbol_capacity;
    rls_bpe_merge *heap;
    int64_t heap_count, heap_capacity;
    rls_text chars;
} rls_bpe_work;
void rls_bpe_work_free(rls_bpe_work *work);

/* Fills the tables of bytes and joints from the vocabulary, the merges and the flags. Returns
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_bpe_prepare(rls_context *ctx, rls_bpe *bpe);
void rls_bpe_free(rls_bpe *bpe);

/* Appends the ids of a word: of all neighbours that can be merged, those with the lowest rank are, the
 * leftmost first, until there are none. O(n log n). Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_bpe_word(rls_context *ctx, const rls_bpe *bpe, rls_bpe_work *work,
                                      const char *word, int64_t bytes, rls_ids *ids);

/* Appends an id. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_ids_add(rls_context *ctx, rls_ids *ids, int32_t id);

#endif
