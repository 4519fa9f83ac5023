/* UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdint.h>

/* The bytes of the character at text, 1 to 4, of at most `bytes` >= 1; 0 when it is not UTF-8. Not
 * collective. */
int rls_utf8_length(const char *text, int64_t bytes);

/* The offset of the first byte that does not begin a whole character, or -1 when all of text is UTF-8. Not
 * collective. */
int64_t rls_utf8_fault(const char *text, int64_t bytes);

#endif
