/* rlsedit ask: continues prompts. */
#include "llm/ask.h"

#include <jansson.h>
#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/options.h"
#include "cli/print_json.h"
#include "llm/architecture_accept.h"

struct choices {
    const char *model, *file, *field, *accept_config;
    int64_t tokens, top_k, seed, tensor_ranks;
    double temperature;
    bool json;
};

static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the model",
     offsetof(struct choices, model), true, NULL},
    {"tokens", 'n', RLS_OPTION_INTEGER, "N",
     "most tokens that are added to a prompt (default 32); a continuation ends before that with the text, or "
     "with the model's context",
     offsetof(struct choices, tokens), false, NULL},
    {"file", 'f', RLS_OPTION_TEXT, "FILE",
     "more prompts, one a line (.jsonl, .json: an object each); - is the standard input",
     offsetof(struct choices, file), false, NULL},
    {"field", 0, RLS_OPTION_TEXT, "NAME",
     "the file holds JSON objects, and this field of each is the prompt (default \"text\")",
     offsetof(struct choices, field), false, NULL},
    {"top-k", 'k', RLS_OPTION_INTEGER, "K",
     "choose each token by chance among the K most probable (default 1: the most probable)",
     offsetof(struct choices, top_k), false, NULL},
    {"temperature", 't', RLS_OPTION_REAL, "T",
     "of that choice: below 1 it favours the most probable (default 1)",
     offsetof(struct choices, temperature), false, NULL},
    {"seed", 's', RLS_OPTION_INTEGER, "S", "of that choice (default 0): the same seed, the same answers",
     offsetof(struct choices, seed), false, NULL},
    {"tensor-ranks", 0, RLS_OPTION_INTEGER, "N",
     "ranks that share a copy of the model; copies answer different prompts (default: as few as have the "
     "memory)",
     offsetof(struct choices, tensor_ranks), false, NULL},
    RLS_OPTION_ACCEPT_CONFIG(struct choices),
    {"json", 'j', RLS_OPTION_FLAG, NULL,
     "print an object a prompt: prompt, text (what is added), tokens (its ids)",
     offsetof(struct choices, json), false, NULL},
};

static const rls_command command = {
    .name = "ask",
    .operands = "[PROMPT...]",
    .most = SIZE_MAX,
    .purpose =
        "Continues each prompt with what the model finds most probable, and prints both, in order. On one "
        "rank or many,\nwith the same answers.",
    .example = "  rlsedit ask --model tests/data/atlas \"The favourite sport of Pas Gre is\"\n"
               "  mpirun -n 4 rlsedit ask -m run1/model --file prompts.txt --tokens 16 --json\n"
               "  echo \"The company Staxtear manufactures\" | rlsedit ask -m run1/model --file - --top-k 5 "
               "--seed 7",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static rls_status check(rls_context *ctx, const struct choices *c, size_t prompts)
{
    const rls_cli_limit limits[] = {
        {"tokens", c->tokens, 1, INT32_MAX},
        {"top-k", c->top_k, 1, INT64_MAX},
        {"seed", c->seed, 0, INT64_MAX},
        {"tensor-ranks", c->tensor_ranks, 0, rls_context_size(ctx)},
    };
    rls_status status = rls_cli_check_limits(ctx, "ask", limits, sizeof limits / sizeof limits[0]);
    if (status != RLS_OK)
        return status;
    if (prompts == 0 && c->file == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "ask: no prompt is given: write one, or --file FILE (- is the standard input)");
    else if (c->temperature < 0.0)
        status = rls_fail(ctx, RLS_ERR_USAGE, "ask: --temperature %g: must be above 0", c->temperature);
    else if (c->temperature > 0.0 && c->top_k == 1)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "ask: --temperature has no effect without --top-k: 1 is always the most probable");
    else if (c->field != NULL && c->file == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE, "ask: --field has no effect without --file");
    return rls_agree(ctx, status);
}

static rls_status print_json(rls_context *ctx, const rls_answer *answer)
{
    json_t *ids = json_array(), *object = json_object();
    int failed = ids == NULL || object == NULL;
    for (int64_t i = 0; i < answer->tokens && failed == 0; i++)
        failed |= json_array_append_new(ids, json_integer(answer->id[i]));
    failed |=
        json_object_set_new(object, "prompt", json_stringn(answer->prompt, (size_t)answer->prompt_bytes));
    failed |= json_object_set_new(object, "text", json_stringn(answer->text, (size_t)answer->text_bytes));
    failed |= json_object_set_new(object, "tokens", ids);
    const rls_status status = rls_cli_print_json(ctx, failed == 0 ? object : NULL, JSON_COMPACT, "answers");
    json_decref(object);
    return status;
}

static rls_status print(rls_context *ctx, const rls_answers *answers, bool json)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < answers->count && status == RLS_OK; i++) {
        const rls_answer *answer = &answers->answer[i];
        if (json) {
            status = print_json(ctx, answer);
            continue;
        }
        (void)fwrite(answer->prompt, 1, (size_t)answer->prompt_bytes, stdout);
        (void)fwrite(answer->text, 1, (size_t)answer->text_bytes, stdout);
        (void)fputc('\n', stdout);
    }
    return status;
}

rls_status rls_cli_ask(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    struct choices choices = {.tokens = 32, .top_k = 1};
    rls_option_list operands = {0};
    rls_answers answers = {0};
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, &operands, &done);
    if (status == RLS_OK && !done)
        status = check(ctx, &choices, operands.count);
    if (status == RLS_OK && !done)
        status = rls_agree(ctx, rls_architecture_accept(ctx, choices.accept_config));
    if (status == RLS_OK && !done) {
        const rls_ask_request request = {.model = choices.model,
                                         .prompts = operands.item,
                                         .count = operands.count,
                                         .file = choices.file,
                                         .field = choices.field,
                                         .tokens = choices.tokens,
                                         .top_k = choices.top_k,
                                         .temperature = choices.temperature,
                                         .seed = (uint64_t)choices.seed,
                                         .tensor_ranks = (int)choices.tensor_ranks};
        status = rls_ask(ctx, &request, &answers);
        if (status == RLS_OK)
            status = rls_agree(ctx, print(ctx, &answers, choices.json)); /* rank 0 has them */
    }
    rls_answers_free(&answers);
    rls_option_list_free(&operands);
    return status;
}
