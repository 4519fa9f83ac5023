#include "eval/questions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/prompt.h"

/* Answers that are scored together, for each data group: a few passes' worth. */
enum { PIECE = 2048 };

/* An answer to a question. */
typedef struct {
    int64_t fact, question;
    bool other; /* the one that shall be less probable; it follows the wanted one */
} answer;

typedef struct {
    const char *path;
    const rls_facts *facts;
    const rls_tokenizer *tokenizer;
    int64_t context;
    answer *item;
    int64_t count;
} piece;

int64_t rls_eval_question_count(const rls_fact *fact)
{
    return 1 + fact->paraphrases.count + fact->neighborhood.count + fact->same_subject.count;
}

bool rls_eval_question_get(const rls_fact *fact, int64_t i, rls_eval_question *out)
{
    const rls_fact_prompts lists[] = {
        {1, &(rls_fact_prompt){NULL, NULL}}, fact->paraphrases, fact->neighborhood, fact->same_subject};
    int kind = 0;
    for (; i >= lists[kind].count; kind++)
        i -= lists[kind].count;
    const rls_fact_prompt *p = &lists[kind].item[i];
    *out = (rls_eval_question){.kind = (rls_eval_kind)kind, .prompt = p->prompt, .wanted = p->target};
    if (out->wanted != NULL)
        return true;
    const bool edited = kind == RLS_EVAL_EFFICACY || kind == RLS_EVAL_PARAPHRASE;
    out->wanted = edited ? fact->target : fact->target_true;
    if (edited)
        out->other = fact->target_true;
    else if (kind == RLS_EVAL_NEIGHBORHOOD)
        out->other = fact->target;
    return out->wanted != NULL;
}

/* "its neighborhood prompt 2", for messages. */
static const char *question_name(const rls_fact *fact, int64_t i, rls_eval_kind kind, char text[64])
{
    const int64_t before[RLS_EVAL_KINDS] = {0, 1, 1 + fact->paraphrases.count,
                                            1 + fact->paraphrases.count + fact->neighborhood.count};
    static const char *const LISTS[RLS_EVAL_KINDS] = {"", "paraphrase", "neighborhood", "same-subject"};
    if (kind == RLS_EVAL_EFFICACY)
        (void)snprintf(text, 64, "its prompt");
    else
        (void)snprintf(text, 64, "its %s prompt %" PRId64, LISTS[kind], i - before[kind] + 1);
    return text;
}

/* The tokens of a question with one of its answers. Not collective. */
static rls_status make_tokens(rls_context *ctx, const piece *p, const answer *a, rls_ids *ids, int64_t *given)
{
    const rls_fact *fact = rls_facts_get(p->facts, a->fact);
    rls_eval_question question = {0};
    char *text = NULL, *target = NULL, name[64];
    const int64_t before = ids->count;
    int64_t subject_end = 0;
    rls_status status = RLS_OK;
    (void)rls_eval_question_get(fact, a->question, &question);
    if (question.prompt == NULL)
        status = rls_fact_text(ctx, fact, &text, &subject_end);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &target, " %s", a->other ? question.other : question.wanted);
    if (status == RLS_OK)
        status = rls_prompt_encode(ctx, p->tokenizer, question.prompt != NULL ? question.prompt : text,
                                   target, ids, given);
    const int64_t tokens = ids->count - before;
    if (status == RLS_OK && tokens <= *given)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": the answer to %s has no tokens", p->path,
                          fact->line, question_name(fact, a->question, question.kind, name));
    if (status == RLS_OK && tokens > p->context)
        status = rls_fail(ctx, RLS_ERR_DATA,
                          "%s:%" PRId64 ": %s has %" PRId64
                          " tokens with its answer, beyond the model's context of %" PRId64,
                          p->path, fact->line, question_name(fact, a->question, question.kind, name), tokens,
                          p->context);
    free(text);
    free(target);
    return status;
}

static rls_status make_answer(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given)
{
    const piece *p = user;
    return make_tokens(ctx, p, &p->item[i], ids, given);
}

/* About how many bytes, and so at most how many tokens, a question has with an answer. */
static int64_t bytes_of(const rls_fact *fact, const rls_eval_question *question, const char *target)
{
    const size_t prompt =
        question->prompt != NULL ? strlen(question->prompt) : strlen(fact->prompt) + strlen(fact->subject);
    return (int64_t)(prompt + strlen(target)) + 3; /* a space, and what begins and ends a text */
}

/* A text is encoded only when its bytes leave a doubt. */
static rls_status check_fact(rls_context *ctx, const piece *p, int64_t f, int64_t *longest)
{
    const rls_fact *fact = rls_facts_get(p->facts, f);
    const int64_t harmless = p->context < RLS_TOKEN_BUDGET ? p->context : RLS_TOKEN_BUDGET;
    rls_status status = RLS_OK;
    rls_ids ids = {0};
    for (int64_t i = 0; i < rls_eval_question_count(fact) && status == RLS_OK; i++) {
        rls_eval_question question;
        if (!rls_eval_question_get(fact, i, &question))
            continue;
        for (int other = 0; other < 2 && status == RLS_OK; other++) {
            const char *target = other != 0 ? question.other : question.wanted;
            int64_t given = 0;
            if (target == NULL || bytes_of(fact, &question, target) <= harmless)
                continue;
            ids.count = 0;
            status = make_tokens(ctx, p, &(answer){f, i, other != 0}, &ids, &given);
            *longest = ids.count > *longest ? ids.count : *longest;
        }
    }
    rls_ids_free(&ids);
    return status;
}

rls_status rls_eval_check(rls_context *ctx, const char *path, const rls_facts *facts,
                          const rls_tokenizer *tokenizer, int64_t context, int64_t *longest)
{
    const piece p = {.path = path, .facts = facts, .tokenizer = tokenizer, .context = context};
    const rls_share mine = rls_share_of(rls_facts_count(facts), ctx->rank, ctx->size);
    rls_status status = RLS_OK;
    *longest = RLS_TOKEN_BUDGET;
    for (int64_t i = 0; i < mine.count && status == RLS_OK; i++)
        status = check_fact(ctx, &p, mine.first + i, longest);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        MPI_Allreduce(MPI_IN_PLACE, longest, 1, MPI_INT64_T, MPI_MAX, ctx->comm);
    return status;
}

/* Notes the answers of facts first ... end - 1 in p->item (NULL: only counts them), and how long each is. */
static void list_answers(piece *p, int64_t first, int64_t end, int32_t *length)
{
    p->count = 0;
    for (int64_t f = first; f < end; f++) {
        const rls_fact *fact = rls_facts_get(p->facts, f);
        for (int64_t i = 0; i < rls_eval_question_count(fact); i++) {
            rls_eval_question question;
            if (!rls_eval_question_get(fact, i, &question))
                continue;
            for (int other = 0; other < (question.other != NULL ? 2 : 1); other++, p->count++) {
                if (p->item == NULL)
                    continue;
                p->item[p->count] = (answer){f, i, other != 0};
                length[p->count] =
                    (int32_t)bytes_of(fact, &question, other != 0 ? question.other : question.wanted);
            }
        }
    }
}

static void count_answers(const piece *p, const rls_continuation_score *scores, rls_eval_fact *results)
{
    for (int64_t i = 0; i < p->count; i++) {
        const answer *a = &p->item[i];
        const bool compared = i + 1 < p->count && p->item[i + 1].other;
        rls_eval_question question;
        if (a->other || !rls_eval_question_get(rls_facts_get(p->facts, a->fact), a->question, &question))
            continue;
        rls_eval_count(&results[a->fact].kind[question.kind], &scores[i], compared ? &scores[i + 1] : NULL);
    }
}

/* Facts first ... end - 1. Collective. */
static rls_status ask_piece(rls_llm *llm, piece *p, int64_t first, int64_t end, rls_eval_fact *results)
{
    rls_context *ctx = llm->ctx;
    void *items = NULL, *lengths = NULL, *scores = NULL;
    p->item = NULL;
    list_answers(p, first, end, NULL);
    rls_status status = rls_alloc(ctx, p->count, sizeof *p->item, &items);
    if (status == RLS_OK)
        status = rls_alloc(ctx, p->count, sizeof(int32_t), &lengths);
    if (status == RLS_OK)
        status = rls_alloc(ctx, p->count, sizeof(rls_continuation_score), &scores);
    status = rls_agree(ctx, status);
    p->item = items;
    if (status == RLS_OK) {
        list_answers(p, first, end, lengths);
        status = rls_sequences_measure(ctx, p->count, make_answer, p, lengths);
    }
    if (status == RLS_OK)
        status = rls_score_sequences(llm, p->count, lengths, make_answer, p, NULL, scores);
    if (status == RLS_OK)
        count_answers(p, scores, results);
    free(items);
    free(lengths);
    free(scores);
    return status;
}

rls_status rls_eval_ask(rls_llm *llm, const char *path, const rls_facts *facts, rls_progress *progress,
                        int64_t before, rls_eval_fact *results)
{
    piece p = {.path = path, .facts = facts, .tokenizer = llm->tokenizer, .context = llm->arch.context};
    const int64_t count = rls_facts_count(facts), most = (int64_t)PIECE * llm->part.data_groups;
    rls_status status = RLS_OK;
    memset(results, 0, (size_t)count * sizeof *results);
    for (int64_t first = 0, end = 0; first < count && status == RLS_OK; first = end) {
        for (int64_t answers = 0; end < count && (end == first || answers < most); end++)
            answers += 2 * rls_eval_question_count(rls_facts_get(facts, end));
        status = ask_piece(llm, &p, first, end, results);
        rls_progress_update(progress, before + end);
    }
    return status;
}

const rls_fact *rls_eval_spread(const rls_facts *facts, int64_t i, int64_t count)
{
    const int64_t last = rls_facts_count(facts) - 1;
    return rls_facts_get(facts, count > 1 ? last * i / (count - 1) : 0);
}
