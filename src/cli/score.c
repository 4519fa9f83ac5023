/* rlsedit score: how probable a model finds texts. */
#include "llm/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/options.h"
#include "llm/architecture_accept.h"

struct choices {
    const char *model, *text, *field, *accept_config;
    int64_t samples, max_length, tensor_ranks;
    bool total, json, quiet;
};

static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the model",
     offsetof(struct choices, model), true, NULL},
    {"text", 't', RLS_OPTION_TEXT, "FILE",
     "texts, one a line (.jsonl, .json: an object each); - is the standard input",
     offsetof(struct choices, text), true, NULL},
    {"field", 0, RLS_OPTION_TEXT, "NAME",
     "the file holds JSON objects, and this field of each is the text (default \"text\")",
     offsetof(struct choices, field), false, NULL},
    {"samples", 0, RLS_OPTION_INTEGER, "N", "only the first N texts", offsetof(struct choices, samples),
     false, NULL},
    {"max-length", 0, RLS_OPTION_INTEGER, "N",
     "only the first N tokens of each text (default: all; a text longer than the model's context is an "
     "error)",
     offsetof(struct choices, max_length), false, NULL},
    {"tensor-ranks", 0, RLS_OPTION_INTEGER, "N",
     "ranks that share a copy of the model; copies read different texts (default: as few as have the memory)",
     offsetof(struct choices, tensor_ranks), false, NULL},
    RLS_OPTION_ACCEPT_CONFIG(struct choices),
    {"total", 0, RLS_OPTION_FLAG, NULL, "print the sum over all texts only", offsetof(struct choices, total),
     false, NULL},
    {"json", 'j', RLS_OPTION_FLAG, NULL,
     "print one JSON object: texts (line, tokens, nll, perplexity of each) and total",
     offsetof(struct choices, json), false, NULL},
    {"quiet", 'q', RLS_OPTION_FLAG, NULL, "show no progress", offsetof(struct choices, quiet), false, NULL},
};

static const rls_command command = {
    .name = "score",
    .purpose =
        "Says how probable the model finds each text and all of them: tokens that were predicted, negative "
        "log-likelihood (nll,\nnatural logarithm, summed over the tokens) and perplexity exp(nll / tokens). "
        "A text is read as the tokenizer begins it,\nfor most models with a token <s>; without one the first "
        "token of a text is not predicted.",
    .example = "  rlsedit score --model tests/data/atlas --text texts.txt\n"
               "  mpirun -n 4 rlsedit score -m run1/model --text facts.jsonl --field prompt --json",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static rls_status check(rls_context *ctx, const struct choices *c)
{
    /* what was not given is 0 */
    const rls_cli_limit limits[] = {
        {"samples", c->samples, 0, INT64_MAX},
        {"max-length", c->max_length, 0, INT64_MAX},
        {"tensor-ranks", c->tensor_ranks, 0, rls_context_size(ctx)},
    };
    return rls_cli_check_limits(ctx, "score", limits, sizeof limits / sizeof limits[0]);
}

static void print_number(const char *name, double x)
{
    if (isfinite(x))
        printf(", \"%s\": %.15g", name, x);
    else
        printf(", \"%s\": null", name);
}

static void print_score_json(const rls_continuation_score *score)
{
    printf(", \"tokens\": %" PRId64, score->tokens);
    print_number("nll", score->nll);
    print_number("perplexity", rls_perplexity(score));
    printf("}");
}

static void print_json(const rls_score_result *result, const rls_continuation_score *total, bool only_total)
{
    printf("{");
    for (int64_t i = 0; i < result->count && !only_total; i++) {
        printf("%s{\"line\": %" PRId64, i == 0 ? "\"texts\": [\n  " : ",\n  ", result->line[i]);
        print_score_json(&result->score[i]);
    }
    printf("%s\"total\": {\"texts\": %" PRId64, only_total ? "" : "],\n ", result->count);
    print_score_json(total);
    printf("}\n");
}

/* A perplexity, or "-" when no token was predicted. */
static const char *perplexity_text(const rls_continuation_score *score, char text[32])
{
    (void)snprintf(text, 32, score->tokens > 0 ? "%.6g" : "-", rls_perplexity(score));
    return text;
}

static void print_text(const rls_score_result *result, const rls_continuation_score *total, bool only_total)
{
    char perplexity[32];
    if (!only_total)
        printf("%8s %8s %14s %12s\n", "line", "tokens", "nll", "perplexity");
    for (int64_t i = 0; i < result->count && !only_total; i++)
        printf("%8" PRId64 " %8" PRId64 " %14.6f %12s\n", result->line[i], result->score[i].tokens,
               result->score[i].nll, perplexity_text(&result->score[i], perplexity));
    printf("%" PRId64 " text%s, %" PRId64 " token%s, nll %.6f, perplexity %s\n", result->count,
           result->count == 1 ? "" : "s", total->tokens, total->tokens == 1 ? "" : "s", total->nll,
           perplexity_text(total, perplexity));
}

rls_status rls_cli_score(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    struct choices choices = {0};
    rls_score_result result = {0};
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, NULL, &done);
    rls_options_quiet(ctx, choices.quiet);
    if (status == RLS_OK && !done)
        status = check(ctx, &choices);
    if (status == RLS_OK && !done)
        status = rls_agree(ctx, rls_architecture_accept(ctx, choices.accept_config));
    if (status == RLS_OK && !done) {
        const rls_score_request request = {.model = choices.model,
                                           .text = choices.text,
                                           .field = choices.field,
                                           .samples = choices.samples,
                                           .max_length = choices.max_length,
                                           .tensor_ranks = (int)choices.tensor_ranks,
                                           .progress = choices.quiet ? NULL : stderr};
        status = rls_score(ctx, &request, &result);
    }
    if (status == RLS_OK && !done && rls_context_rank(ctx) == 0) {
        const rls_continuation_score total = rls_score_total(&result);
        (choices.json ? print_json : print_text)(&result, &total, choices.total);
    }
    rls_score_free(&result);
    return status;
}
