#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

rls_hash rls_hash_bytes(const void *data, size_t bytes)
{
    const XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (rls_hash){hash.high64, hash.low64};
}

rls_hash rls_hash_combine(const rls_hash *parts, size_t count)
{
    return rls_hash_bytes(parts, count * sizeof *parts);
}

bool rls_hash_equal(rls_hash a, rls_hash b)
{
    return a.high == b.high && a.low == b.low;
}

const char *rls_hash_text(rls_hash hash, char text[RLS_HASH_TEXT])
{
    (void)snprintf(text, RLS_HASH_TEXT, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
    return text;
}

bool rls_hash_parse(const char *text, rls_hash *out)
{
    uint64_t part[2] = {0, 0};
    if (text == NULL || strlen(text) != RLS_HASH_TEXT - 1)
        return false;
    for (int i = 0; i < RLS_HASH_TEXT - 1; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, text[i]);
        if (at == NULL)
            return false;
        part[i / 16] = part[i / 16] << 4 | (uint64_t)(at - digits);
    }
    *out = (rls_hash){part[0], part[1]};
    return true;
}
