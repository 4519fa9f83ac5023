#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

static bool continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

int rls_utf8_length(const char *text, int64_t bytes)
{
    unsigned char b[4] = {0}; /* a character that is cut off ends in zeros, which continue nothing */
    memcpy(b, text, bytes < 4 ? (size_t)bytes : 4);
    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4 || !continues(b[1]))
        return 0;
    if (b[0] < 0xe0)
        return 2;
    if (!continues(b[2]))
        return 0;
    if (b[0] < 0xf0) /* overlong below U+0800, and the surrogates */
        return (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] >= 0xa0) ? 0 : 3;
    if (!continues(b[3]) || (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] >= 0x90))
        return 0;
    return 4;
}

int64_t rls_utf8_fault(const char *text, int64_t bytes)
{
    int64_t i = 0;
    while (i < bytes) {
        uint64_t word = 0;
        if (bytes - i >= (int64_t)sizeof word) { /* most text is ASCII */
            memcpy(&word, text + i, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += (int64_t)sizeof word;
                continue;
            }
        }
        const int length = rls_utf8_length(text + i, bytes - i);
        if (length == 0)
            return i;
        i += length;
    }
    return -1;
}
