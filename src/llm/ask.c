#include "llm/ask.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "corpus/corpus.h"
#include "llm/generate.h"
#include "llm/sequences.h"

/* The prompts: the request's, then the file's. */
typedef struct {
    const rls_ask_request *request;
    rls_corpus *corpus; /* NULL: no file */
    const rls_tokenizer *tokenizer;
    int64_t count;
    int32_t *length;
} prompt_list;

static int64_t given_prompts(const prompt_list *p)
{
    return (int64_t)p->request->count;
}

/* What to call prompt i: "prompt 2", "FILE:3". */
static const char *prompt_name(const prompt_list *p, int64_t i, char text[512])
{
    const int64_t given = given_prompts(p);
    if (i < given)
        (void)snprintf(text, 512, "prompt %" PRId64, i + 1);
    else
        (void)snprintf(text, 512, "%.400s:%" PRId64, rls_corpus_path(p->corpus),
                       rls_corpus_line(p->corpus, i - given));
    return text;
}

/* The text of prompt i; free with free(). Not collective. */
static rls_status prompt_text(rls_context *ctx, const prompt_list *p, int64_t i, char **text, int64_t *bytes)
{
    if (i >= given_prompts(p))
        return rls_corpus_text(ctx, p->corpus, i - given_prompts(p), text, bytes);
    *bytes = (int64_t)strlen(p->request->prompts[i]);
    return rls_strdup(ctx, p->request->prompts[i], text);
}

static rls_status make_prompt(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given)
{
    const prompt_list *p = user;
    char *text = NULL;
    int64_t bytes = 0;
    const int64_t before = ids->count;
    rls_status status = prompt_text(ctx, p, i, &text, &bytes);
    if (status == RLS_OK)
        status = rls_tokenizer_encode(ctx, p->tokenizer, text, bytes, true, ids);
    *given = ids->count - before;
    free(text);
    return status;
}

/* The prompts of the command line, before anything is read. Not collective. */
static rls_status check_given(rls_context *ctx, const rls_ask_request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        const char *text = request->prompts[i];
        const int64_t fault = rls_utf8_fault(text, (int64_t)strlen(text));
        if (text[0] == '\0')
            return rls_fail(ctx, RLS_ERR_DATA, "prompt %zu is empty", i + 1);
        if (fault >= 0)
            return rls_fail(ctx, RLS_ERR_DATA, "prompt %zu: not UTF-8 at byte offset %" PRId64 " (0x%02x)",
                            i + 1, fault, (unsigned)(unsigned char)text[fault]);
    }
    return RLS_OK;
}

/* Collective. */
static rls_status open_prompts(rls_context *ctx, const rls_ask_request *request, prompt_list *p)
{
    void *memory = NULL;
    *p = (prompt_list){.request = request};
    rls_status status = rls_agree(ctx, check_given(ctx, request));
    if (status == RLS_OK && request->file != NULL)
        status = rls_corpus_open(ctx, request->file, request->field, &p->corpus);
    if (status != RLS_OK)
        return status;
    p->count = given_prompts(p) + (p->corpus != NULL ? rls_corpus_count(p->corpus) : 0);
    if (p->count == 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: holds no prompt",
                          p->corpus != NULL ? rls_corpus_path(p->corpus) : "the request");
    else
        status = rls_alloc(ctx, p->count, sizeof *p->length, &memory);
    p->length = memory;
    return rls_agree(ctx, status);
}

static void close_prompts(prompt_list *p)
{
    rls_corpus_close(&p->corpus);
    free(p->length);
}

/* Counts every prompt's tokens, which must leave room in the context. Collective. */
static rls_status measure(rls_context *ctx, const rls_architecture *arch, prompt_list *p)
{
    const int64_t given = given_prompts(p);
    char name[512];
    for (int64_t i = 0; i < p->count; i++)
        p->length[i] = i < given ? (int32_t)strlen(p->request->prompts[i])
                                 : (int32_t)rls_corpus_bytes(p->corpus, i - given);
    rls_status status = rls_sequences_measure(ctx, p->count, make_prompt, p, p->length);
    if (status != RLS_OK)
        return status;
    for (int64_t i = 0; i < p->count && status == RLS_OK; i++) {
        if (p->length[i] == 0)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: has no tokens", prompt_name(p, i, name));
        else if (p->length[i] >= arch->context)
            status = rls_fail(ctx, RLS_ERR_DATA,
                              "%s: %" PRId32 " tokens leave no room in the model's context of %" PRId64,
                              prompt_name(p, i, name), p->length[i], arch->context);
    }
    return rls_agree(ctx, status);
}

/* Before the weights are read, which may take long. Collective. */
static rls_status check(rls_context *ctx, prompt_list *p)
{
    rls_architecture arch;
    rls_tokenizer *tokenizer = NULL;
    rls_status status = rls_architecture_read(ctx, p->request->model, &arch);
    if (status == RLS_OK)
        status = rls_tokenizer_open(ctx, p->request->model, &tokenizer);
    p->tokenizer = tokenizer;
    if (status == RLS_OK)
        status = measure(ctx, &arch, p);
    p->tokenizer = NULL;
    rls_tokenizer_close(&tokenizer);
    return status;
}

/* The prompts of this group's share, one after another; length [count]: of each. Not collective. */
static rls_status make_share(rls_context *ctx, prompt_list *p, const rls_share *mine, rls_ids *tokens,
                             int64_t *length)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < mine->count && status == RLS_OK; i++)
        status = make_prompt(ctx, p, mine->first + i, tokens, &length[i]);
    return status;
}

/* ids [mine->count]: the new tokens of the group's prompts. Collective over the group. */
static rls_status generate(rls_llm *llm, prompt_list *p, const rls_share *mine, rls_ids *ids)
{
    const rls_ask_request *request = p->request;
    const rls_generate_options options = {.most = request->tokens,
                                          .top_k = request->top_k,
                                          .temperature = request->temperature,
                                          .seed = request->seed,
                                          .first_index = mine->first,
                                          .past_eos = request->past_eos};
    rls_context *group = llm->part.group;
    void *memory = NULL;
    rls_ids tokens = {0};
    rls_status status = rls_alloc(group, mine->count, sizeof(int64_t), &memory);
    int64_t *length = memory;
    if (status == RLS_OK)
        status = make_share(group, p, mine, &tokens, length);
    status = rls_agree(group, status);
    if (status == RLS_OK && mine->count > 0) {
        const rls_sequences prompts = {.count = mine->count, .length = length, .token = tokens.id};
        status = rls_generate(llm, &prompts, &options, ids);
    }
    rls_ids_free(&tokens);
    free(length);
    return status;
}

/* What was generated, on every rank: new tokens of prompt i at id[start[i]]. */
typedef struct {
    int64_t *start; /* count + 1 */
    int32_t *id;
} outcome;

/* Brings the groups' tokens together. made: of the group's share; what the group's other ranks have is the
 * same. Collective. */
static rls_status join(rls_llm *llm, const rls_share *mine, const rls_ids *made, int64_t count, outcome *all)
{
    rls_context *ctx = llm->ctx;
    const bool speaks = llm->part.tensor == 0;
    void *starts = NULL, *lengths = NULL, *ids = NULL;
    rls_status status = rls_alloc_zero(ctx, count + 1, sizeof *all->start, &starts);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, count, sizeof(int32_t), &lengths);
    status = rls_agree(ctx, status);
    int32_t *length = lengths;
    all->start = starts;
    if (status == RLS_OK) {
        for (int64_t i = 0; i < mine->count && speaks; i++)
            length[mine->first + i] = (int32_t)made[i].count;
        rls_join_ints(ctx, count, length);
        for (int64_t i = 0; i < count; i++)
            all->start[i + 1] = all->start[i] + length[i];
        status = rls_agree(ctx, rls_alloc_zero(ctx, all->start[count] + 1, sizeof *all->id, &ids));
        all->id = ids;
    }
    if (status == RLS_OK) {
        for (int64_t i = 0; i < mine->count && speaks; i++)
            if (made[i].count > 0)
                memcpy(all->id + all->start[mine->first + i], made[i].id,
                       (size_t)made[i].count * sizeof *all->id);
        rls_join_ints(ctx, all->start[count], all->id);
    }
    free(lengths);
    return status;
}

/* What the new tokens add to the text: decoded behind the prompt's, as the first of them may depend on it.
 * The texts may differ from where a character of the prompt's last token is completed. */
static rls_status added_text(rls_context *ctx, prompt_list *p, int64_t i, rls_answer *answer)
{
    rls_ids ids = {0};
    char *before = NULL, *whole = NULL;
    int64_t given = 0, before_bytes = 0, whole_bytes = 0, common = 0;
    void *memory = NULL;
    rls_status status = make_prompt(ctx, p, i, &ids, &given);
    if (status == RLS_OK)
        status = rls_tokenizer_decode(ctx, p->tokenizer, ids.id, ids.count, true, &before, &before_bytes);
    if (status == RLS_OK)
        status = rls_alloc(ctx, ids.count + answer->tokens, sizeof *ids.id, &memory);
    if (status == RLS_OK) {
        int32_t *id = memory;
        memcpy(id, ids.id, (size_t)ids.count * sizeof *id);
        memcpy(id + ids.count, answer->id, (size_t)answer->tokens * sizeof *id);
        status = rls_tokenizer_decode(ctx, p->tokenizer, id, ids.count + answer->tokens, true, &whole,
                                      &whole_bytes);
    }
    if (status == RLS_OK) {
        while (common < before_bytes && common < whole_bytes && before[common] == whole[common])
            common++;
        while (common > 0 && common < whole_bytes && ((unsigned char)whole[common] & 0xc0) == 0x80)
            common--;
        answer->text_bytes = whole_bytes - common;
        memmove(whole, whole + common, (size_t)answer->text_bytes + 1);
        answer->text = whole;
        whole = NULL;
    }
    free(memory);
    free(before);
    free(whole);
    rls_ids_free(&ids);
    return status;
}

/* Rank 0: the answers as texts. Not collective. */
static rls_status tell(rls_context *ctx, prompt_list *p, const outcome *all, rls_answers *out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, p->count, sizeof *out->answer, &memory);
    out->answer = memory;
    out->count = status == RLS_OK ? p->count : 0;
    for (int64_t i = 0; i < out->count && status == RLS_OK; i++) {
        rls_answer *answer = &out->answer[i];
        void *ids = NULL;
        answer->tokens = all->start[i + 1] - all->start[i];
        status = rls_alloc(ctx, answer->tokens + 1, sizeof *answer->id, &ids);
        answer->id = ids;
        if (status == RLS_OK) {
            memcpy(answer->id, all->id + all->start[i], (size_t)answer->tokens * sizeof *answer->id);
            status = prompt_text(ctx, p, i, &answer->prompt, &answer->prompt_bytes);
        }
        if (status == RLS_OK)
            status = added_text(ctx, p, i, answer);
    }
    return status;
}

/* Collective. */
static rls_status answer_all(rls_llm *llm, prompt_list *p, rls_answers *out)
{
    const rls_share mine = rls_sequences_deal(p->count, p->length, llm->part.data, llm->part.data_groups);
    rls_context *group = llm->part.group;
    outcome all = {0};
    void *memory = NULL;
    rls_status status = rls_agree(group, rls_alloc_zero(group, mine.count, sizeof(rls_ids), &memory));
    rls_ids *made = memory;
    if (status == RLS_OK)
        status = generate(llm, p, &mine, made);
    status = rls_llm_agree(llm, status);
    if (status == RLS_OK)
        status = join(llm, &mine, made, p->count, &all);
    if (status == RLS_OK)
        status = rls_agree(llm->ctx, llm->ctx->rank == 0 ? tell(llm->ctx, p, &all, out) : RLS_OK);
    for (int64_t i = 0; i < mine.count && made != NULL; i++)
        rls_ids_free(&made[i]);
    free(made);
    free(all.start);
    free(all.id);
    return status;
}

rls_status rls_ask(rls_context *ctx, const rls_ask_request *request, rls_answers *out)
{
    prompt_list prompts;
    rls_llm *llm = NULL;
    *out = (rls_answers){0};
    rls_status status = open_prompts(ctx, request, &prompts);
    if (status == RLS_OK)
        status = check(ctx, &prompts);
    if (status == RLS_OK) {
        const rls_llm_options options = {
            .tensor_ranks = request->tensor_ranks,
            .token_budget = rls_sequences_longest(prompts.count, prompts.length, RLS_TOKEN_BUDGET)};
        status = rls_llm_open(ctx, request->model, &options, &llm);
    }
    if (status == RLS_OK) {
        prompts.tokenizer = llm->tokenizer;
        status = answer_all(llm, &prompts, out);
    }
    rls_llm_close(&llm);
    close_prompts(&prompts);
    return status;
}

rls_status rls_ask_model(rls_llm *llm, const rls_ask_request *request, rls_answers *out)
{
    prompt_list prompts;
    *out = (rls_answers){0};
    rls_status status = open_prompts(llm->ctx, request, &prompts);
    prompts.tokenizer = llm->tokenizer;
    if (status == RLS_OK)
        status = measure(llm->ctx, &llm->arch, &prompts);
    if (status == RLS_OK)
        status = answer_all(llm, &prompts, out);
    close_prompts(&prompts);
    return status;
}

void rls_answers_free(rls_answers *answers)
{
    for (int64_t i = 0; i < answers->count; i++) {
        free(answers->answer[i].prompt);
        free(answers->answer[i].text);
        free(answers->answer[i].id);
    }
    free(answers->answer);
    *answers = (rls_answers){0};
}
