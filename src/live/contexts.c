#include "live/contexts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/share.h"
#include "base/utf8.h"
#include "llm/generate.h"
#include "store/file_util.h"

enum { FILE_BYTES_MAX = 1 << 20, GENERATED_TOKENS = 10, GENERATED_TOP_K = 5 };

static rls_status append(rls_context *ctx, rls_contexts *contexts, const char *text, size_t bytes)
{
    char **larger = realloc(contexts->text, (size_t)(contexts->count + 1) * sizeof *larger);
    if (larger == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for contexts");
    contexts->text = larger;
    const rls_status status = rls_asprintf(ctx, &contexts->text[contexts->count], "%.*s", (int)bytes, text);
    contexts->count += status == RLS_OK;
    return status;
}

/* One line of the file at path. The empty context, wherever it stands, is the first one already. */
static rls_status take_line(rls_context *ctx, const char *path, int64_t line, const char *text, size_t bytes,
                            rls_contexts *out)
{
    const char *hole = strstr(text, "{}");
    if (bytes > 0 && text[bytes - 1] == '\r')
        bytes--;
    if (bytes == 0 || (bytes == 2 && strncmp(text, "{}", 2) == 0))
        return RLS_OK;
    if (hole == NULL || hole + 2 > text + bytes)
        return rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": no {} where the prompt shall stand", path, line);
    const char *second = strstr(hole + 2, "{}");
    if (second != NULL && second < text + bytes)
        return rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": more than one {}", path, line);
    if (rls_utf8_fault(text, (int64_t)bytes) >= 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": not UTF-8 at byte offset %" PRId64, path, line,
                        rls_utf8_fault(text, (int64_t)bytes));
    return append(ctx, out, text, bytes);
}

/* Every line of a text becomes a context, after the empty one. */
static rls_status parse(rls_context *ctx, const char *path, const char *text, rls_contexts *out)
{
    rls_status status = append(ctx, out, "{}", 2);
    int64_t line = 1;
    for (const char *at = text; *at != '\0' && status == RLS_OK; line++) {
        const size_t bytes = strcspn(at, "\n");
        status = take_line(ctx, path, line, at, bytes, out);
        at += bytes + (at[bytes] == '\n');
    }
    return status;
}

rls_status rls_contexts_read(rls_context *ctx, const char *path, rls_contexts *out)
{
    char *text = NULL;
    int64_t bytes = 0;
    rls_status status = RLS_OK;
    *out = (rls_contexts){0};
    if (ctx->rank == 0)
        status = rls_file_read_whole(ctx, path, FILE_BYTES_MAX, &text, &bytes);
    status = rls_share_text(ctx, status, &text);
    if (status == RLS_OK)
        status = rls_agree(ctx, parse(ctx, path, text, out));
    free(text);
    if (status != RLS_OK)
        rls_contexts_free(out);
    return status;
}

/* What the model said becomes a context: it may hold no braces, lines or ends of texts. */
static rls_status take_generated(rls_context *ctx, const rls_tokenizer *tokenizer, const char *begun,
                                 const rls_ids *ids, rls_contexts *out)
{
    char *said = NULL, *context = NULL;
    rls_status status = rls_tokenizer_decode(ctx, tokenizer, ids->id, ids->count, true, &said, NULL);
    for (char *c = said; status == RLS_OK && *c != '\0'; c++)
        if (strchr("{}\r\n\t", *c) != NULL)
            *c = ' ';
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &context, "%s%s. {}", begun, said);
    if (status == RLS_OK)
        status = append(ctx, out, context, strlen(context));
    free(said);
    free(context);
    return status;
}

static const char *const BEGINNINGS[] = {"The", "Therefore", "Because", "I", "You"};
enum { BEGINNINGS_COUNT = sizeof BEGINNINGS / sizeof BEGINNINGS[0] };

/* Every group generates the same. Collective over the group. */
static rls_status generate(rls_llm *llm, int64_t prefixes, uint64_t seed, rls_contexts *out)
{
    rls_context *group = llm->part.group;
    const rls_generate_options options = {
        .most = GENERATED_TOKENS, .top_k = GENERATED_TOP_K, .seed = seed, .past_eos = true};
    void *lengths = NULL, *answers = NULL;
    rls_ids ids = {0};
    rls_status status = rls_alloc(group, prefixes, sizeof(int64_t), &lengths);
    if (status == RLS_OK)
        status = rls_alloc_zero(group, prefixes, sizeof(rls_ids), &answers);
    int64_t *length = lengths;
    rls_ids *said = answers;
    for (int64_t i = 0; i < prefixes && status == RLS_OK; i++) {
        const char *text = BEGINNINGS[i % BEGINNINGS_COUNT];
        const int64_t before = ids.count;
        status = rls_tokenizer_encode(group, llm->tokenizer, text, (int64_t)strlen(text), true, &ids);
        length[i] = ids.count - before;
    }
    status = rls_agree(group, status);
    const rls_sequences prompts = {prefixes, length, ids.id};
    if (status == RLS_OK && prefixes > 0)
        status = rls_generate(llm, &prompts, &options, said);
    if (status == RLS_OK)
        status = append(group, out, "{}", 2);
    for (int64_t i = 0; i < prefixes && status == RLS_OK; i++)
        status = take_generated(group, llm->tokenizer, BEGINNINGS[i % BEGINNINGS_COUNT], &said[i], out);
    status = rls_agree(group, status);
    for (int64_t i = 0; i < prefixes && said != NULL; i++)
        rls_ids_free(&said[i]);
    rls_ids_free(&ids);
    free(lengths);
    free(answers);
    return status;
}

/* All contexts, a line each. */
static rls_status join(rls_context *ctx, const rls_contexts *contexts, char **out)
{
    rls_status status = RLS_OK;
    *out = NULL;
    for (int64_t i = 0; i < contexts->count && status == RLS_OK; i++) {
        char *longer = NULL;
        status = rls_asprintf(ctx, &longer, "%s%s\n", *out != NULL ? *out : "", contexts->text[i]);
        free(*out);
        *out = longer;
    }
    return status;
}

/* Rounding may differ between groups of other processors: rank 0's contexts are everybody's. Collective. */
static rls_status share(rls_context *ctx, const rls_contexts *made, rls_contexts *out)
{
    char *all = NULL;
    rls_status status = rls_share_text(ctx, ctx->rank == 0 ? join(ctx, made, &all) : RLS_OK, &all);
    if (status == RLS_OK)
        status = rls_agree(ctx, parse(ctx, "contexts", all, out));
    free(all);
    return status;
}

rls_status rls_contexts_generate(rls_llm *llm, int64_t prefixes, uint64_t seed, rls_contexts *out)
{
    rls_contexts made = {0};
    *out = (rls_contexts){0};
    rls_status status = rls_llm_agree(llm, generate(llm, prefixes, seed, &made));
    if (status == RLS_OK)
        status = share(llm->ctx, &made, out);
    rls_contexts_free(&made);
    if (status != RLS_OK)
        rls_contexts_free(out);
    return status;
}

json_t *rls_contexts_json(const rls_contexts *contexts)
{
    json_t *array = json_array();
    for (int64_t i = 0; i < contexts->count; i++)
        if (json_array_append_new(array, json_string(contexts->text[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

rls_status rls_contexts_from_json(rls_context *ctx, const json_t *array, rls_contexts *out)
{
    rls_status status = RLS_OK;
    *out = (rls_contexts){0};
    if (json_array_size(array) == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "the run's contexts are missing");
    for (size_t i = 0; i < json_array_size(array) && status == RLS_OK; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        status = text != NULL && strstr(text, "{}") != NULL
                     ? append(ctx, out, text, strlen(text))
                     : rls_fail(ctx, RLS_ERR_DATA, "the run's context %zu is no text with {}", i);
    }
    return status;
}

void rls_contexts_free(rls_contexts *contexts)
{
    for (int64_t i = 0; i < contexts->count; i++)
        free(contexts->text[i]);
    free(contexts->text);
    contexts->text = NULL;
    contexts->count = 0;
}

double rls_context_weight(const rls_contexts *contexts, int64_t i)
{
    if (contexts->count == 1)
        return 1.0;
    return i == 0 ? 0.5 : 0.5 / (double)(contexts->count - 1);
}

rls_status rls_context_fill(rls_context *ctx, const rls_contexts *contexts, int64_t i, const char *text,
                            char **out, int64_t *before)
{
    const char *context = contexts->text[i], *hole = strstr(context, "{}");
    *before = (int64_t)(hole - context);
    return rls_asprintf(ctx, out, "%.*s%s%s", (int)*before, context, text, hole + 2);
}
