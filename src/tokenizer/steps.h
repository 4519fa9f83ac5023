/* The steps of a tokenizer around byte-pair encoding: normalizing, cutting out added tokens, cutting into
 * words, and decoding. None of these functions is collective. */
#ifndef TOKENIZER_STEPS_H
#define TOKENIZER_STEPS_H

#include "tokenizer/bpe.h"
#include "tokenizer/regex.h"

enum { RLS_STEPS_MAX = 32 }; /* of one kind */

/* Normalizers. */
typedef enum { RLS_NFC, RLS_PREPEND, RLS_NORMAL_REPLACE } rls_normal_kind;
typedef struct {
    rls_normal_kind kind;
    rls_text from, to; /* RLS_PREPEND: to */
} rls_normal_step;
typedef struct {
    rls_normal_step step[RLS_STEPS_MAX];
    int count;
} rls_normal;

/* A text after all steps. *out: started with {0}, overwritten. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_normalize(rls_context *ctx, const rls_normal *normal, const char *text,
                                       int64_t bytes, rls_text *out);

/* Appends text with every `from` (not empty) replaced. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_text_replace(rls_context *ctx, rls_text *out, const char *text, int64_t bytes,
                                          const rls_text *from, const rls_text *to);

/* An added token; pattern is its content, normalized when it is looked for in normalized text. */
typedef struct {
    rls_text pattern;
    int32_t id;
    bool normalized, single_word, left_strip, right_strip;
} rls_added;

/* Those looked for in one pass, in the order of their patterns. */
typedef struct {
    rls_added *token;
    int64_t count;
    bool first[256]; /* whether a pattern begins with the byte */
} rls_added_set;

/* Sorts the tokens of a set. */
void rls_added_prepare(rls_added_set *set);
void rls_added_free(rls_added_set *set);

/* Takes a piece of a text: an added token (id >= 0), or text between. at: its offset. */
typedef rls_status rls_piece_sink(void *user, int32_t id, const char *piece, int64_t bytes, int64_t at);

/* Cuts the set's tokens out of a text, the leftmost and of those the longest, and gives the pieces to sink.
 * Returns what sink does. */
RLS_NODISCARD rls_status rls_added_cut(const rls_added_set *set, const char *text, int64_t bytes,
                                       rls_piece_sink *sink, void *user);

/* Pre-tokenizers. */
typedef enum { RLS_SPLIT, RLS_BYTE_LEVEL, RLS_METASPACE } rls_split_kind;
typedef enum { RLS_PREPEND_ALWAYS, RLS_PREPEND_FIRST, RLS_PREPEND_NEVER } rls_prepend;
typedef struct {
    rls_split_kind kind;
    rls_regex *regex; /* RLS_SPLIT, RLS_BYTE_LEVEL (NULL: no cutting) */
    bool removed;     /* RLS_SPLIT: matches (invert: the rest) are dropped, else kept as pieces */
    bool invert;
    bool prefix_space;    /* RLS_BYTE_LEVEL */
    rls_text replacement; /* RLS_METASPACE: one character */
    rls_prepend prepend;  /* RLS_METASPACE */
    bool split;           /* RLS_METASPACE: at each replacement */
} rls_split_step;
typedef struct {
    rls_split_step step[RLS_STEPS_MAX];
    int count;
} rls_split;

/* Cuts a piece into words and gives each (not empty) to sink, with the id -1. first: the piece is where the
 * text begins. Returns what sink does, RLS_ERR_MEMORY, RLS_ERR_DATA of matching. */
RLS_NODISCARD rls_status rls_split_words(rls_context *ctx, const rls_split *split, rls_regex_work *work,
                                         const char *text, int64_t bytes, bool first, rls_piece_sink *sink,
                                         void *user);

/* Decoders. */
typedef enum {
    RLS_DECODE_BYTE_LEVEL,
    RLS_DECODE_REPLACE,
    RLS_DECODE_BYTE_FALLBACK,
    RLS_DECODE_FUSE,
    RLS_DECODE_STRIP,
    RLS_DECODE_METASPACE
} rls_decode_kind;
typedef struct {
    rls_decode_kind kind;
    rls_text from, to;   /* RLS_DECODE_REPLACE; STRIP, METASPACE: from, one character */
    int64_t start, stop; /* RLS_DECODE_STRIP: most characters cut off a token's ends */
    bool drop_first;     /* RLS_DECODE_METASPACE: the first token's are dropped, not made spaces */
} rls_decode_step;
typedef struct {
    rls_decode_step step[RLS_STEPS_MAX];
    int count;
} rls_decode;

/* Texts of tokens, one after another: start with {0}, free with rls_pieces_free. */
typedef struct {
    rls_text text;
    int64_t *end; /* of each piece in text */
    int64_t count, capacity;
} rls_pieces;
void rls_pieces_free(rls_pieces *pieces);

/* Appends a piece. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pieces_add(rls_context *ctx, rls_pieces *pieces, const char *text,
                                        int64_t bytes);

/* Ends a piece: what was appended to the text since the last end. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pieces_end(rls_context *ctx, rls_pieces *pieces);

/* Applies the steps to the pieces. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_decode_pieces(rls_context *ctx, const rls_decode *decode, rls_pieces *pieces);

#endif
