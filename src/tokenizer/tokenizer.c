#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/share.h"
#include "base/utf8.h"
#include "store/file_util.h"
#include "store/model_text.h"
#include "tokenizer/parse.h"

enum { FILE_BYTES_MAX = 256 << 20 };

void rls_ids_free(rls_ids *ids)
{
    free(ids->id);
    *ids = (rls_ids){0};
}

/* "truncation" and "padding" are not looked at: they are what a caller last asked the reference
 * implementation for (the file of GPT-2 cuts texts at 50 tokens), no part of the tokenizer. */
static rls_status read_all(rls_context *ctx, const char *name, const json_t *root, rls_tokenizer *out)
{
    rls_status status = rls_field_known(ctx, name, root,
                                        " version truncation padding added_tokens normalizer pre_tokenizer "
                                        "post_processor decoder model ");
    const json_t *version = json_object_get(root, "version");
    if (status == RLS_OK && version != NULL &&
        (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: version is not \"1.0\"", name);
    if (status == RLS_OK)
        status = rls_tokenizer_read_normal(ctx, name, root, out);
    if (status == RLS_OK)
        status = rls_tokenizer_read_steps(ctx, name, root, out);
    if (status == RLS_OK)
        status = rls_tokenizer_read_tokens(ctx, name, root, out);
    if (status == RLS_OK)
        status = rls_tokenizer_read_post(ctx, name, root, out);
    return status == RLS_OK ? rls_bpe_prepare(ctx, &out->bpe) : status;
}

rls_status rls_tokenizer_parse(rls_context *ctx, const char *name, const char *text, int64_t bytes,
                               rls_tokenizer **out)
{
    json_t *root = NULL;
    void *memory = NULL;
    *out = NULL;
    if (bytes > FILE_BYTES_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: more than %d bytes", name, FILE_BYTES_MAX);
    rls_status status = rls_json_object(ctx, name, text, bytes, &root);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    rls_tokenizer *tokenizer = memory;
    if (status == RLS_OK)
        status = read_all(ctx, name, root, tokenizer);
    json_decref(root);
    if (status != RLS_OK)
        rls_tokenizer_close(&tokenizer);
    *out = tokenizer;
    return status;
}

static rls_status read_on_root(rls_context *ctx, const char *file, char **text)
{
    int64_t bytes = 0;
    const rls_status status = rls_file_read_whole(ctx, file, FILE_BYTES_MAX, text, &bytes);
    if (status == RLS_OK && (int64_t)strlen(*text) != bytes)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: not a JSON object: byte %zu is NUL", file, strlen(*text));
    return status;
}

rls_status rls_tokenizer_open(rls_context *ctx, const char *path, rls_tokenizer **out)
{
    char *file = NULL, *text = NULL;
    *out = NULL;
    rls_status status = rls_asprintf(ctx, &file, "%s/tokenizer.json", path);
    if (status == RLS_OK && ctx->rank == 0)
        status = read_on_root(ctx, file, &text);
    status = rls_share_text(ctx, status, &text);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_tokenizer_parse(ctx, file, text, (int64_t)strlen(text), out));
    if (status != RLS_OK)
        rls_tokenizer_close(out);
    free(text);
    free(file);
    return status;
}

void rls_tokenizer_close(rls_tokenizer **tokenizer)
{
    rls_tokenizer *t = *tokenizer;
    if (t == NULL)
        return;
    for (int i = 0; i < RLS_STEPS_MAX; i++) {
        rls_text_free(&t->normal.step[i].from);
        rls_text_free(&t->normal.step[i].to);
        rls_regex_destroy(&t->split.step[i].regex);
        rls_text_free(&t->split.step[i].replacement);
        rls_text_free(&t->decode.step[i].from);
        rls_text_free(&t->decode.step[i].to);
    }
    rls_added_free(&t->raw);
    rls_added_free(&t->normalized);
    rls_bpe_free(&t->bpe);
    rls_ids_free(&t->before);
    rls_ids_free(&t->after);
    free(t);
    *tokenizer = NULL;
}

/* A text on its way to ids. */
typedef struct {
    rls_context *ctx;
    const rls_tokenizer *tokenizer;
    rls_regex_work *regex;
    rls_bpe_work bpe;
    rls_text normal; /* the normalized piece */
    bool first;      /* the piece is where the text begins */
    rls_ids *ids;
} encoding;

static rls_status encode_word(void *user, int32_t id, const char *word, int64_t bytes, int64_t at)
{
    encoding *e = user;
    (void)id;
    (void)at;
    return rls_bpe_word(e->ctx, &e->tokenizer->bpe, &e->bpe, word, bytes, e->ids);
}

static rls_status encode_normalized(void *user, int32_t id, const char *piece, int64_t bytes, int64_t at)
{
    encoding *e = user;
    if (id >= 0)
        return rls_ids_add(e->ctx, e->ids, id);
    return rls_split_words(e->ctx, &e->tokenizer->split, e->regex, piece, bytes, e->first && at == 0,
                           encode_word, e);
}

static rls_status encode_piece(void *user, int32_t id, const char *piece, int64_t bytes, int64_t at)
{
    encoding *e = user;
    if (id >= 0)
        return rls_ids_add(e->ctx, e->ids, id);
    e->first = at == 0;
    if (e->tokenizer->normal.count > 0) {
        const rls_status status = rls_normalize(e->ctx, &e->tokenizer->normal, piece, bytes, &e->normal);
        if (status != RLS_OK)
            return status;
        piece = e->normal.data;
        bytes = e->normal.count;
    }
    return rls_added_cut(&e->tokenizer->normalized, piece, bytes, encode_normalized, e);
}

static rls_status add_all(rls_context *ctx, rls_ids *ids, const rls_ids *more)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < more->count && status == RLS_OK; i++)
        status = rls_ids_add(ctx, ids, more->id[i]);
    return status;
}

rls_status rls_tokenizer_encode(rls_context *ctx, const rls_tokenizer *tokenizer, const char *text,
                                int64_t bytes, bool special, rls_ids *ids)
{
    const int64_t fault = rls_utf8_fault(text, bytes), count = ids->count;
    encoding e = {.ctx = ctx, .tokenizer = tokenizer, .ids = ids};
    if (fault >= 0)
        return rls_fail(ctx, RLS_ERR_DATA, "the text is not UTF-8 at byte %lld", (long long)fault);
    rls_status status = rls_regex_work_create(ctx, &e.regex);
    if (status == RLS_OK && special)
        status = add_all(ctx, ids, &tokenizer->before);
    if (status == RLS_OK)
        status = rls_added_cut(&tokenizer->raw, text, bytes, encode_piece, &e);
    if (status == RLS_OK && special)
        status = add_all(ctx, ids, &tokenizer->after);
    if (status != RLS_OK)
        ids->count = count;
    rls_regex_work_destroy(&e.regex);
    rls_bpe_work_free(&e.bpe);
    rls_text_free(&e.normal);
    return status;
}

/* Appends the text of a token. Of an added token that was looked for in normalized text it is what was found
 * there, as the reference implementation has it since 0.23; few tokens differ from their normal form. */
static rls_status add_piece(rls_context *ctx, const rls_tokenizer *tokenizer, int32_t id, rls_pieces *pieces)
{
    const rls_vocab *vocab = &tokenizer->bpe.vocab;
    for (int64_t i = 0; (vocab->kind[id] & RLS_TOKEN_RENAMED) && i < tokenizer->normalized.count; i++) {
        const rls_added *token = &tokenizer->normalized.token[i];
        if (token->id == id)
            return rls_pieces_add(ctx, pieces, token->pattern.data, token->pattern.count);
    }
    return rls_pieces_add(ctx, pieces, rls_vocab_content(vocab, id), vocab->bytes[id]);
}

rls_status rls_tokenizer_decode(rls_context *ctx, const rls_tokenizer *tokenizer, const int32_t *id,
                                int64_t count, bool skip_special, char **text, int64_t *bytes)
{
    const rls_vocab *vocab = &tokenizer->bpe.vocab;
    rls_pieces pieces = {0};
    *text = NULL;
    rls_status status = rls_text_add(ctx, &pieces.text, "", 0);
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        if (id[i] < 0)
            status = rls_fail(ctx, RLS_ERR_DATA, "the id %d at place %lld is negative", id[i], (long long)i);
        else if (id[i] >= vocab->size || vocab->kind[id[i]] == 0)
            continue; /* models have more embeddings than tokens, and may come to say so */
        else if (!skip_special || !(vocab->kind[id[i]] & RLS_TOKEN_SPECIAL)) {
            if (!tokenizer->decoder && pieces.count > 0)
                status = rls_text_add(ctx, &pieces.text, " ", 1);
            if (status == RLS_OK)
                status = add_piece(ctx, tokenizer, id[i], &pieces);
        }
    }
    if (status == RLS_OK)
        status = rls_decode_pieces(ctx, &tokenizer->decode, &pieces);
    if (status == RLS_OK)
        status = rls_text_add(ctx, &pieces.text, "", 0); /* there is a text, also of nothing */
    if (status == RLS_OK) {
        *text = pieces.text.data;
        if (bytes != NULL)
            *bytes = pieces.text.count;
        pieces.text = (rls_text){0};
    }
    rls_pieces_free(&pieces);
    return status;
}

int64_t rls_tokenizer_size(const rls_tokenizer *tokenizer)
{
    return tokenizer->bpe.vocab.size;
}

int32_t rls_tokenizer_id(const rls_tokenizer *tokenizer, const char *token)
{
    return rls_vocab_find(&tokenizer->bpe.vocab, token, (int64_t)strlen(token));
}
