#include <stdlib.h>
#include <string.h>

#include "tokenizer/steps.h"

static int compare(const rls_text *a, const rls_text *b)
{
    const int64_t shared = a->count < b->count ? a->count : b->count;
    const int order = memcmp(a->data, b->data, (size_t)shared);
    return order != 0 ? order : (a->count > b->count) - (a->count < b->count);
}

static int compare_tokens(const void *a, const void *b)
{
    return compare(&((const rls_added *)a)->pattern, &((const rls_added *)b)->pattern);
}

void rls_added_prepare(rls_added_set *set)
{
    if (set->count > 0)
        qsort(set->token, (size_t)set->count, sizeof *set->token, compare_tokens);
    for (int64_t i = 0; i < set->count; i++)
        set->first[(uint8_t)set->token[i].pattern.data[0]] = true;
}

void rls_added_free(rls_added_set *set)
{
    for (int64_t i = 0; i < set->count; i++)
        rls_text_free(&set->token[i].pattern);
    free(set->token);
    *set = (rls_added_set){0};
}

/* The first token of [low, high), which share their first `depth` bytes, whose next byte is at least
 * `byte`; those that end before count as less. */
static int64_t lower_bound(const rls_added_set *set, int64_t low, int64_t high, int64_t depth, int byte)
{
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const rls_text *pattern = &set->token[middle].pattern;
        if (pattern->count <= depth || (uint8_t)pattern->data[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that text begins with, or NULL. */
static const rls_added *longest(const rls_added_set *set, const char *text, int64_t bytes)
{
    const rls_added *found = NULL;
    int64_t low = 0, high = set->count;
    for (int64_t depth = 0; depth < bytes && low < high; depth++) {
        const int byte = (uint8_t)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
        if (low < high && set->token[low].pattern.count == depth + 1)
            found = &set->token[low];
    }
    return found;
}

static bool is_single_word(const char *text, int64_t bytes, int64_t start, int64_t end)
{
    return (start == 0 || !rls_char_is_word(rls_char_get(text + rls_char_before(text, start)))) &&
           (end == bytes || !rls_char_is_word(rls_char_get(text + end)));
}

rls_status rls_added_cut(const rls_added_set *set, const char *text, int64_t bytes, rls_piece_sink *sink,
                         void *user)
{
    rls_status status = RLS_OK;
    int64_t done = 0, at = 0;
    while (at < bytes && set->count > 0 && status == RLS_OK) {
        const rls_added *token = set->first[(uint8_t)text[at]] ? longest(set, text + at, bytes - at) : NULL;
        if (token == NULL) {
            at++;
            continue;
        }
        int64_t start = at, end = at + token->pattern.count;
        at = end; /* also when it is not taken */
        if (token->single_word && !is_single_word(text, bytes, start, end))
            continue;
        /* Spaces that an earlier token took are not taken again. But what it took to its right is still
         * looked through for tokens: so does the reference implementation. */
        while (token->left_strip && start > done &&
               rls_char_is_space(rls_char_get(text + rls_char_before(text, start))))
            start = rls_char_before(text, start);
        while (token->right_strip && end < bytes && rls_char_is_space(rls_char_get(text + end)))
            end += rls_char_bytes(text + end);
        if (done < start)
            status = sink(user, -1, text + done, start - done, done);
        if (status == RLS_OK)
            status = sink(user, token->id, text + start, end - start, start);
        done = end;
    }
    return status == RLS_OK && done < bytes ? sink(user, -1, text + done, bytes - done, done) : status;
}
