#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tokenizer/parse.h"

/* Larger than any vocabulary there is; what is made by id stays small enough for a file that lies. */
enum { ID_MAX = (1 << 22) - 1 };

/* The largest id of the vocabulary and the added tokens. */
static rls_status measure(rls_context *ctx, const char *where, const json_t *vocab, const json_t *added,
                          int64_t *largest)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;
    *largest = -1;
    json_object_foreach((json_t *)vocab, key, value)
    {
        const json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id > ID_MAX)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: the id of \"%.64s\" is not an integer from 0 to %d",
                            where, key, ID_MAX);
        *largest = id > *largest ? id : *largest;
    }
    json_array_foreach(added, i, value)
    {
        const json_int_t id = json_integer_value(json_object_get(value, "id"));
        *largest = id > *largest && id <= ID_MAX ? id : *largest; /* read_added refuses the others */
    }
    return RLS_OK;
}

static rls_status read_vocab(rls_context *ctx, const char *where, const json_t *vocab, rls_vocab *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    rls_status status = RLS_OK;
    json_object_foreach((json_t *)vocab, key, value)
    {
        const int32_t id = (int32_t)json_integer_value(value);
        if (out->kind[id] != 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: \"%.64s\" and another token both have the id %d", where,
                            key, id);
        status = rls_vocab_add(ctx, out, id, key, (int64_t)strlen(key), RLS_TOKEN_OF_MODEL);
        if (status != RLS_OK)
            break;
    }
    return status;
}

/* The two sides of a merge: "a b", or ["a", "b"]. */
static bool merge_sides(const json_t *merge, const char *side[2], int64_t bytes[2])
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge), *space = strchr(text, ' ');
        if (space == NULL || strchr(space + 1, ' ') != NULL)
            return false;
        side[0] = text;
        bytes[0] = space - text;
        side[1] = space + 1;
    } else {
        side[0] = json_string_value(json_array_get(merge, 0));
        side[1] = json_string_value(json_array_get(merge, 1));
        if (json_array_size(merge) != 2 || side[0] == NULL || side[1] == NULL)
            return false;
        bytes[0] = (int64_t)strlen(side[0]);
    }
    bytes[1] = (int64_t)strlen(side[1]);
    return true;
}

static rls_status read_merge(rls_context *ctx, const char *where, const json_t *merge, int32_t rank,
                             rls_text *whole, rls_bpe *bpe)
{
    const char *side[2] = {NULL, NULL};
    int64_t bytes[2] = {0, 0};
    int32_t id[3];
    if (!merge_sides(merge, side, bytes))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: merges[%d] is not a pair of tokens", where, rank);
    whole->count = 0;
    rls_status status = RLS_OK;
    for (int i = 0; i < 2 && status == RLS_OK; i++) {
        id[i] = rls_vocab_find_own(&bpe->vocab, side[i], bytes[i]);
        if (id[i] < 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: merges[%d]: \"%.*s\" is not in the vocabulary", where,
                            rank, (int)(bytes[i] < 64 ? bytes[i] : 64), side[i]);
        status = rls_text_add(ctx, whole, side[i], bytes[i]);
    }
    if (status != RLS_OK)
        return status;
    id[2] = rls_vocab_find_own(&bpe->vocab, whole->data, whole->count);
    if (id[2] < 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: merges[%d]: \"%.64s\" is not in the vocabulary", where, rank,
                        whole->data);
    rls_pairs_put(&bpe->merges, id[0], id[1], rank, id[2]); /* of two that are the same, the last counts */
    return RLS_OK;
}

static rls_status read_merges(rls_context *ctx, const char *where, const json_t *merges, rls_bpe *bpe)
{
    rls_text whole = {0};
    const size_t count = json_array_size(merges);
    rls_status status = count > INT32_MAX / 8 ? rls_fail(ctx, RLS_ERR_DATA, "%s: too many merges", where)
                                              : rls_pairs_create(ctx, (int64_t)count, &bpe->merges);
    for (size_t i = 0; i < count && status == RLS_OK; i++)
        status = read_merge(ctx, where, json_array_get(merges, i), (int32_t)i, &whole, bpe);
    rls_text_free(&whole);
    return status;
}

/* Options of BPE that are there but may not be used. */
static rls_status check_unused(rls_context *ctx, const char *where, const json_t *model)
{
    static const char *const AFFIXES[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *dropout = json_object_get(model, "dropout");
    const char *type = NULL;
    for (size_t i = 0; i < sizeof AFFIXES / sizeof AFFIXES[0]; i++) {
        const json_t *affix = json_object_get(model, AFFIXES[i]);
        const bool empty = json_is_string(affix) && json_string_length(affix) == 0;
        if (affix != NULL && !json_is_null(affix) && !empty)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not supported", where, AFFIXES[i]);
    }
    if (dropout != NULL && !json_is_null(dropout) &&
        !(json_is_number(dropout) && !(json_number_value(dropout) > 0 || json_number_value(dropout) < 0)))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: dropout is not supported", where);
    const rls_status status = rls_field_text(ctx, where, model, "type", "BPE", &type);
    if (status == RLS_OK && strcmp(type, "BPE") != 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: the type \"%.64s\" is not supported, only BPE is", where,
                        type);
    return status;
}

static rls_status read_flags(rls_context *ctx, const char *where, const json_t *model, rls_bpe *bpe)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    const char *token = NULL;
    rls_status status = rls_field_bool(ctx, where, model, "fuse_unk", 0, &bpe->fuse_unknown);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, model, "byte_fallback", 0, &bpe->byte_fallback);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, model, "ignore_merges", 0, &bpe->ignore_merges);
    bpe->unknown = -1;
    if (status != RLS_OK || unknown == NULL || json_is_null(unknown))
        return status;
    status = rls_field_text(ctx, where, model, "unk_token", NULL, &token);
    if (status == RLS_OK)
        bpe->unknown = rls_vocab_find_own(&bpe->vocab, token, (int64_t)strlen(token));
    if (status == RLS_OK && bpe->unknown < 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: unk_token \"%.64s\" is not in the vocabulary", where, token);
    return status;
}

/* Puts an added token among the tokens; the model may have it already. */
static rls_status add_token(rls_context *ctx, const char *where, const char *content, int32_t id,
                            bool special, rls_vocab *vocab)
{
    const uint8_t kind = (uint8_t)(RLS_TOKEN_ADDED | (special ? RLS_TOKEN_SPECIAL : 0));
    const int64_t bytes = (int64_t)strlen(content);
    const int32_t known = rls_vocab_find(vocab, content, bytes);
    if (bytes == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: content is empty", where);
    if (known >= 0 && known != id)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: \"%.64s\" has the id %d, and elsewhere %d", where, content,
                        id, known);
    if (known < 0 && vocab->kind[id] != 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: \"%.64s\" and another token both have the id %d", where,
                        content, id);
    if (known >= 0 && (vocab->kind[id] & RLS_TOKEN_ADDED))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: \"%.64s\" is added twice", where, content);
    if (known >= 0)
        vocab->kind[id] |= kind;
    return known >= 0 ? RLS_OK : rls_vocab_add(ctx, vocab, id, content, bytes, kind);
}

static rls_status read_added(rls_context *ctx, const char *where, const json_t *object, rls_tokenizer *out)
{
    rls_added token = {0};
    const char *content = NULL;
    int64_t id = 0;
    bool special = false;
    rls_status status =
        rls_field_known(ctx, where, object, " id content single_word lstrip rstrip normalized special ");
    if (status == RLS_OK)
        status = rls_field_count(ctx, where, object, "id", ID_MAX, &id);
    if (status == RLS_OK)
        status = rls_field_text(ctx, where, object, "content", NULL, &content);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, object, "single_word", -1, &token.single_word);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, object, "lstrip", -1, &token.left_strip);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, object, "rstrip", -1, &token.right_strip);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, object, "normalized", -1, &token.normalized);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, object, "special", -1, &special);
    token.id = (int32_t)id;
    if (status == RLS_OK)
        status = add_token(ctx, where, content, token.id, special, &out->bpe.vocab);
    static const rls_normal AS_IT_IS = {.count = 0};
    if (status == RLS_OK)
        status = rls_normalize(ctx, token.normalized ? &out->normal : &AS_IT_IS, content,
                               (int64_t)strlen(content), &token.pattern);
    if (status == RLS_OK && token.pattern.count == 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: nothing is left of the token when it is normalized", where);
    if (status != RLS_OK) {
        rls_text_free(&token.pattern);
        return status;
    }
    if (rls_vocab_find(&out->bpe.vocab, token.pattern.data, token.pattern.count) != token.id)
        out->bpe.vocab.kind[token.id] |= RLS_TOKEN_RENAMED;
    rls_added_set *set = token.normalized ? &out->normalized : &out->raw;
    set->token[set->count++] = token;
    return RLS_OK;
}

static rls_status read_all_added(rls_context *ctx, const char *file, const json_t *added, rls_tokenizer *out)
{
    void *raw = NULL, *normalized = NULL;
    const int64_t count = (int64_t)json_array_size(added);
    rls_status status = rls_alloc(ctx, count, sizeof(rls_added), &raw);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof(rls_added), &normalized);
    out->raw.token = raw;
    out->normalized.token = normalized;
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        char where[RLS_WHERE_MAX];
        (void)snprintf(where, sizeof where, "%s: added_tokens[%lld]", file, (long long)i);
        status = read_added(ctx, where, json_array_get(added, (size_t)i), out);
    }
    rls_added_prepare(&out->raw);
    rls_added_prepare(&out->normalized);
    return status;
}

rls_status rls_tokenizer_read_tokens(rls_context *ctx, const char *file, const json_t *root,
                                     rls_tokenizer *out)
{
    char where[RLS_WHERE_MAX];
    const json_t *model = NULL, *vocab = NULL, *merges = NULL, *added = json_object_get(root, "added_tokens");
    int64_t largest = -1;
    (void)snprintf(where, sizeof where, "%s: model", file);
    rls_status status = rls_field_items(ctx, file, root, "model", true, &model);
    if (status == RLS_OK && added != NULL && !json_is_null(added) && !json_is_array(added))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: added_tokens is not a list", file);
    if (status == RLS_OK)
        status = check_unused(ctx, where, model);
    if (status == RLS_OK)
        status = rls_field_known(ctx, where, model,
                                 " type dropout unk_token continuing_subword_prefix end_of_word_suffix "
                                 "fuse_unk byte_fallback ignore_merges vocab merges ");
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, model, "vocab", true, &vocab);
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, model, "merges", false, &merges);
    if (status == RLS_OK)
        status = measure(ctx, where, vocab, added, &largest);
    if (status == RLS_OK && largest < 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: vocab is empty", where);
    if (status == RLS_OK)
        status = rls_vocab_create(
            ctx, largest + 1, (int64_t)(json_object_size(vocab) + json_array_size(added)), &out->bpe.vocab);
    if (status == RLS_OK)
        status = read_vocab(ctx, where, vocab, &out->bpe.vocab);
    if (status == RLS_OK)
        status = read_merges(ctx, where, merges, &out->bpe);
    if (status == RLS_OK)
        status = read_flags(ctx, where, model, &out->bpe);
    return status == RLS_OK ? read_all_added(ctx, file, added, out) : status;
}
