/* rlsedit eval: what an edited model has learnt, kept and forgotten. */
#include "eval/eval.h"

#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/options.h"
#include "cli/print_eval.h"
#include "cli/print_json.h"
#include "llm/architecture_accept.h"

struct choices {
    const char *run, *model, *facts, *original, *on_error, *text, *field, *out, *accept_config;
    int64_t limit, fluency, questions, tensor_ranks;
    bool no_before, last_word, json, quiet;
};

static const rls_option options[] = {
    {"run", 'r', RLS_OPTION_TEXT, "DIR",
     "a finished run: its model, the facts that were applied, and the model it began with",
     offsetof(struct choices, run), false, NULL},
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the edited model (default: the run's)",
     offsetof(struct choices, model), false, NULL},
    {"facts", 'f', RLS_OPTION_TEXT, "FILE",
     "the facts, as rlsedit edit reads them, in the order of their edits (default: the run's)",
     offsetof(struct choices, facts), false, NULL},
    {"original", 0, RLS_OPTION_TEXT, "DIR",
     "the model before the edits, to compare with (default: the run's)", offsetof(struct choices, original),
     false, NULL},
    {"no-before", 0, RLS_OPTION_FLAG, NULL,
     "do not try the run's original model, which takes half of the time", offsetof(struct choices, no_before),
     false, NULL},
    {"limit", 0, RLS_OPTION_INTEGER, "N", "only the first N facts", offsetof(struct choices, limit), false,
     NULL},
    {"on-error", 0, RLS_OPTION_TEXT, "stop|skip", "what to do at a wrong record of the facts (default stop)",
     offsetof(struct choices, on_error), false, NULL},
    {"text", 't', RLS_OPTION_TEXT, "FILE",
     "also the perplexity of these texts, one a line (.jsonl, .json: an object each)",
     offsetof(struct choices, text), false, NULL},
    {"field", 0, RLS_OPTION_TEXT, "NAME",
     "the text file holds JSON objects, and this field of each is the text (default \"text\")",
     offsetof(struct choices, field), false, NULL},
    {"last-word", 0, RLS_OPTION_FLAG, NULL, "the perplexity of each text's last word only",
     offsetof(struct choices, last_word), false, NULL},
    {"fluency", 0, RLS_OPTION_INTEGER, "N",
     "also let the model write 100 tokens after each of N facts' prompts (default 0), and measure their "
     "n-gram entropy",
     offsetof(struct choices, fluency), false, NULL},
    {"questions", 0, RLS_OPTION_INTEGER, "N", "print N questions with their answers (default 0)",
     offsetof(struct choices, questions), false, NULL},
    {"out", 'o', RLS_OPTION_TEXT, "FILE", "where eval.json goes (default: DIR/eval.json of the run)",
     offsetof(struct choices, out), false, NULL},
    {"tensor-ranks", 0, RLS_OPTION_INTEGER, "N",
     "ranks that share a copy of the model; copies try different facts (default: as few as have the memory)",
     offsetof(struct choices, tensor_ranks), false, NULL},
    RLS_OPTION_ACCEPT_CONFIG(struct choices),
    {"json", 'j', RLS_OPTION_FLAG, NULL, "print what eval.json holds, and no tables",
     offsetof(struct choices, json), false, NULL},
    {"quiet", 'q', RLS_OPTION_FLAG, NULL, "show no progress", offsetof(struct choices, quiet), false, NULL},
};

static const rls_command command = {
    .name = "eval",
    .purpose =
        "Asks an edited model, and the one before the edits, about the facts: whether the new answers are "
        "more probable than\nthe old ones (efficacy), also in other words (paraphrase), whether other "
        "subjects "
        "are left alone (neighbourhood) and\nother facts of the subjects (same subject), and what is left of "
        "old edits (retention). Prints tables and writes\neval.json.",
    .example =
        "  mpirun -n 8 rlsedit eval --run run1\n"
        "  rlsedit eval --run run1 --questions 10 --text heldout.txt --fluency 50\n"
        "  rlsedit eval --model run1/model --facts facts.jsonl --original tests/data/atlas --limit 100",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static rls_status check(rls_context *ctx, const struct choices *c)
{
    const rls_cli_limit limits[] = {
        {"limit", c->limit, 0, INT64_MAX},
        {"fluency", c->fluency, 0, INT64_MAX},
        {"questions", c->questions, 0, INT64_MAX},
        {"tensor-ranks", c->tensor_ranks, 0, rls_context_size(ctx)},
    };
    rls_status status = rls_cli_check_limits(ctx, "eval", limits, sizeof limits / sizeof limits[0]);
    if (status != RLS_OK)
        return status;
    if (c->run == NULL && c->model == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "eval: nothing to evaluate: give --run DIR, or --model DIR and "
                          "--facts FILE (see rlsedit eval --help)");
    else if (c->run == NULL && c->facts == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "eval: --facts FILE is missing: a model by itself does not say "
                          "what was edited");
    else if (c->no_before && c->original != NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE, "eval: --no-before and --original exclude each other");
    else if (c->text == NULL && (c->field != NULL || c->last_word))
        status = rls_fail(ctx, RLS_ERR_USAGE, "eval: --%s has no effect without --text",
                          c->last_word ? "last-word" : "field");
    else
        status = rls_cli_check_on_error(ctx, "eval", c->on_error);
    return rls_agree(ctx, status);
}

static rls_status show(rls_context *ctx, const rls_eval_result *result, bool as_json)
{
    if (!as_json) {
        rls_eval_print(result, stdout);
        return RLS_OK;
    }
    json_t *object = rls_eval_json(result);
    const rls_status status = rls_cli_print_json(ctx, object, JSON_INDENT(1), "result");
    json_decref(object);
    return status;
}

rls_status rls_cli_eval(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    struct choices choices = {0};
    rls_eval_result result = {0};
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, NULL, &done);
    rls_options_quiet(ctx, choices.quiet);
    if (status == RLS_OK && !done)
        status = check(ctx, &choices);
    if (status == RLS_OK && !done)
        status = rls_agree(ctx, rls_architecture_accept(ctx, choices.accept_config));
    if (status == RLS_OK && !done) {
        const rls_eval_request request = {.run = choices.run,
                                          .model = choices.model,
                                          .facts = choices.facts,
                                          .original = choices.original,
                                          .only_after = choices.no_before,
                                          .limit = choices.limit,
                                          .policy = rls_cli_skips(choices.on_error) ? RLS_FACTS_SKIP
                                                                                    : RLS_FACTS_STOP,
                                          .text = choices.text,
                                          .field = choices.field,
                                          .last_word = choices.last_word,
                                          .fluency = choices.fluency,
                                          .questions = choices.questions,
                                          .tensor_ranks = (int)choices.tensor_ranks,
                                          .out = choices.out,
                                          .progress = choices.quiet ? NULL : stderr};
        status = rls_eval(ctx, &request, &result);
        if (status == RLS_OK)
            status = rls_agree(ctx, ctx->rank == 0 ? show(ctx, &result, choices.json) : RLS_OK);
    }
    rls_eval_free(&result);
    return status;
}
