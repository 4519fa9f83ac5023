/* Checksums: XXH3, 128 bits. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t high, low;
} rls_hash;

enum { RLS_HASH_TEXT = 33 }; /* 32 hexadecimal digits and the NUL */

/* The XXH3-128 of bytes. Not collective. */
rls_hash rls_hash_bytes(const void *data, size_t bytes);

/* The hash of a sequence of hashes, as one number for many parts. Not collective. */
rls_hash rls_hash_combine(const rls_hash *parts, size_t count);

/* Whether two are equal. Not collective. */
bool rls_hash_equal(rls_hash a, rls_hash b);

/* 32 hexadecimal digits into text, and back; parsing returns false for anything else. Not collective. */
const char *rls_hash_text(rls_hash hash, char text[RLS_HASH_TEXT]);
bool rls_hash_parse(const char *text, rls_hash *out);

#endif
