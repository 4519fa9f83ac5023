#include "eval/examples.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/questions.h"
#include "llm/ask.h"

enum { TOKENS = 12 }; /* of an answer, before it is cut to its first words */
static const char WHITE[] = " \t\r\n", ENDS[] = ".,;:!?";

rls_status rls_eval_examples_make(rls_context *ctx, const rls_facts *facts, int64_t count,
                                  rls_eval_result *result)
{
    void *memory = NULL;
    int64_t subject_end = 0;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(rls_eval_example), &memory);
    result->example = memory;
    result->examples = status == RLS_OK ? count : 0;
    for (int64_t i = 0; i < result->examples && status == RLS_OK; i++) {
        rls_eval_example *example = &result->example[i];
        const rls_fact *fact = rls_eval_spread(facts, i, count);
        example->line = fact->line;
        example->case_id = fact->case_id;
        status = rls_fact_text(ctx, fact, &example->prompt, &subject_end);
        if (status == RLS_OK)
            status = rls_strdup(ctx, fact->target, &example->wanted);
    }
    return rls_agree(ctx, status);
}

static int64_t count_words(const char *text)
{
    int64_t words = 0;
    for (text += strspn(text, WHITE); *text != '\0'; text += strspn(text, WHITE)) {
        text += strcspn(text, WHITE);
        words++;
    }
    return words;
}

rls_status rls_first_words(rls_context *ctx, const char *text, const char *wanted, char **out)
{
    int64_t words = count_words(wanted);
    char *end = NULL;
    rls_status status = rls_strdup(ctx, text, out);
    if (status != RLS_OK)
        return status;
    for (end = *out; words > 0 && *(text += strspn(text, WHITE)) != '\0'; words--) {
        const size_t bytes = strcspn(text, WHITE);
        if (end > *out)
            *end++ = ' ';
        memcpy(end, text, bytes);
        end += bytes;
        text += bytes;
    }
    while (end > *out && strchr(ENDS, end[-1]) != NULL)
        end--;
    *end = '\0';
    return RLS_OK;
}

rls_status rls_eval_examples_answer(rls_llm *llm, bool before, rls_eval_result *result)
{
    rls_context *ctx = llm->ctx;
    rls_answers answers = {0};
    void *memory = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, result->examples, sizeof(char *), &memory));
    const char **prompts = memory;
    for (int64_t i = 0; i < result->examples && status == RLS_OK; i++)
        prompts[i] = result->example[i].prompt;
    if (status == RLS_OK) {
        const rls_ask_request request = {
            .prompts = prompts, .count = (size_t)result->examples, .tokens = TOKENS, .top_k = 1};
        status = rls_ask_model(llm, &request, &answers);
    }
    if (status == RLS_OK) { /* the answers are rank 0's */
        for (int64_t i = 0; i < answers.count && status == RLS_OK; i++) {
            rls_eval_example *example = &result->example[i];
            status = rls_first_words(ctx, answers.answer[i].text, example->wanted,
                                     before ? &example->before : &example->after);
        }
        status = rls_agree(ctx, status);
    }
    rls_answers_free(&answers);
    free(memory);
    return status;
}
