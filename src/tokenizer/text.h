/* Characters and growing texts, as the tokenizer needs them. Texts are UTF-8 that was checked, unless said
 * otherwise. */
#ifndef TOKENIZER_TEXT_H
#define TOKENIZER_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { RLS_CHAR_MAX = 4 }; /* bytes of a character */

/* A text that grows: start with {0}, free with rls_text_free. */
typedef struct {
    char *data;
    int64_t count, capacity;
} rls_text;

/* Appends bytes, which may not lie in the text itself; a NUL follows the last. Not collective. Returns
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_text_add(rls_context *ctx, rls_text *text, const char *data, int64_t bytes);

/* Frees it and makes it {0}. Not collective. */
void rls_text_free(rls_text *text);

/* Where a part (not empty) first is in text, or -1. Not collective. */
int64_t rls_text_find(const char *text, int64_t bytes, const rls_text *part);

/* Room for `need` elements of `size` bytes in a growing array of *capacity. Not collective. Returns
 * RLS_ERR_MEMORY; the array is then as it was. */
RLS_NODISCARD rls_status rls_grow(rls_context *ctx, void **array, int64_t *capacity, int64_t need,
                                  size_t size);

/* The bytes of the character at text. Not collective. */
int rls_char_bytes(const char *text);

/* The code point of the character at text. Not collective. */
uint32_t rls_char_get(const char *text);

/* Writes a code point's UTF-8; returns its bytes. Not collective. */
int rls_char_put(uint32_t code, char out[RLS_CHAR_MAX]);

/* Where the character before `at` > 0 begins. Not collective. */
int64_t rls_char_before(const char *text, int64_t at);

/* Unicode's White_Space. Not collective. */
bool rls_char_is_space(uint32_t code);

/* \w of Unicode's regular expressions (UTS 18): alphabetic, marks, decimal digits, connectors, joiners. Not
 * collective. */
bool rls_char_is_word(uint32_t code);

/* The printable character that stands for a byte in byte-level vocabularies, and back (-1 for a character
 * that stands for none). Not collective. */
uint32_t rls_byte_char(uint8_t byte);
int rls_char_byte(uint32_t code);

#endif
