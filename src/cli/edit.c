/* rlsedit edit: a config, a model and a stream of edits in; a run directory with the edited model out. */
#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/options.h"
#include "cli/print.h"
#include "inspect/inspect.h"
#include "llm/architecture_accept.h"
#include "run/edit.h"

struct choices {
    const char *model, *stream, *facts, *on_error, *hparams, *run, *resume, *walltime, *accept_config;
    int64_t limit, tensor_ranks, token_budget;
    bool verify, quiet;
    rls_option_list sets;
};

static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the model to edit; it is only read",
     offsetof(struct choices, model), false, NULL},
    {"stream", 's', RLS_OPTION_TEXT, "PATH", "recorded edits: a stream file, or a directory of segments",
     offsetof(struct choices, stream), false, NULL},
    {"facts", 'f', RLS_OPTION_TEXT, "FILE",
     "facts to edit instead of a stream, as JSONL or a JSON array: the fields of CounterFact, ZsRE or "
     "EasyEdit, "
     "or prompt, subject, target",
     offsetof(struct choices, facts), false, NULL},
    {"limit", 0, RLS_OPTION_INTEGER, "N", "edit only the first N facts", offsetof(struct choices, limit),
     false, NULL},
    {"on-error", 0, RLS_OPTION_TEXT, "stop|skip",
     "what to do when a fact is malformed: stop (the default), or leave it out and count it",
     offsetof(struct choices, on_error), false, NULL},
    {"hparams", 0, RLS_OPTION_TEXT, "FILE",
     "hyperparameters of AlphaEdit or MEMIT (JSON) or EasyEdit (YAML), taken as they are; they come before "
     "the "
     "config's, and CONFIG may be left out",
     offsetof(struct choices, hparams), false, NULL},
    {"tensor-ranks", 0, RLS_OPTION_INTEGER, "N",
     "ranks that share a copy of the model; copies work on different facts (default: as few as have the "
     "memory)",
     offsetof(struct choices, tensor_ranks), false, NULL},
    RLS_OPTION_ACCEPT_CONFIG(struct choices),
    {"token-budget", 0, RLS_OPTION_INTEGER, "N",
     "most tokens that go through the model together, which bounds the memory for it (default 4096)",
     offsetof(struct choices, token_budget), false, NULL},
    {"run", 'r', RLS_OPTION_TEXT, "DIR", "run directory to make: config, log, summary and the edited model",
     offsetof(struct choices, run), true, NULL},
    {"resume", 0, RLS_OPTION_TEXT, "auto|never|STEP",
     "go on with the run in DIR, from its newest sound checkpoint (or a step's) and journal; nothing else "
     "need be given. auto, which "
     "--resume alone means: a new run when there is none yet",
     offsetof(struct choices, resume), false, "auto"},
    {"walltime", 0, RLS_OPTION_TEXT, "HH:MM:SS",
     "end in good order before this time is over (in a Slurm job its end is known)",
     offsetof(struct choices, walltime), false, NULL},
    {"set", 0, RLS_OPTION_LIST, "KEY=VALUE",
     "override a field of the config (see rlsedit help config); may be repeated",
     offsetof(struct choices, sets), false, NULL},
    {"verify", 0, RLS_OPTION_FLAG, NULL,
     "prove the result: recompute the objective's gradient and identity from the data (takes three more "
     "matrices of each weight's size)",
     offsetof(struct choices, verify), false, NULL},
    {"quiet", 'q', RLS_OPTION_FLAG, NULL, "say nothing but warnings and errors",
     offsetof(struct choices, quiet), false, NULL},
};

static const rls_command command = {
    .name = "edit",
    .operands = "[CONFIG]",
    .least = 0,
    .most = 1,
    .purpose =
        "Applies every batch of a stream of edits, or of facts, to a model, as rank-k "
        "recursive-least-squares "
        "updates of the weights that the "
        "config names, and writes a complete edited model to RUN/model. Each step is committed to a "
        "journal before its edits count: a run that is stopped or killed is gone on with by --resume, on "
        "any number of ranks. SIGUSR1, SIGTERM, "
        "or a file STOP in the run directory stop it with exit code 85.",
    .example = "  mpirun -n 4 rlsedit edit configs/atlas.yaml --model tests/data/atlas "
               "--stream tests/data/atlas-stream.nc --run run1\n"
               "  mpirun -n 4 rlsedit edit configs/atlas.yaml -m tests/data/atlas -s "
               "tests/data/atlas-stream.nc -r run2 "
               "--set batch=10 --set editor.lambda=3 --verify\n"
               "  mpirun -n 2 rlsedit edit --run run2 --resume\n"
               "  mpirun -n 2 rlsedit edit configs/atlas.yaml -m tests/data/atlas --facts "
               "tests/data/world/facts.jsonl -r run3",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static rls_status check(rls_context *ctx, const struct choices *c)
{
    const rls_cli_limit limits[] = {
        {"limit", c->limit, 0, INT64_MAX},
        {"tensor-ranks", c->tensor_ranks, 0, rls_context_size(ctx)},
        {"token-budget", c->token_budget, 0, INT32_MAX},
    };
    const rls_status status = rls_agree(ctx, rls_cli_check_on_error(ctx, "edit", c->on_error));
    if (status != RLS_OK)
        return status;
    return rls_cli_check_limits(ctx, "edit", limits, sizeof limits / sizeof limits[0]);
}

static rls_status show(rls_context *ctx, const char *run)
{
    json_t *description = NULL;
    const rls_status status = rls_inspect(ctx, run, false, &description);
    if (status == RLS_OK && rls_context_rank(ctx) == 0)
        rls_inspect_print(description, stdout);
    json_decref(description);
    return status;
}

rls_status rls_cli_edit(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    struct choices choices = {0};
    rls_option_list operands = {0};
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, &operands, &done);
    rls_options_quiet(ctx, choices.quiet);
    if (status == RLS_OK && !done)
        status = check(ctx, &choices);
    if (status == RLS_OK && !done)
        status = rls_agree(ctx, rls_architecture_accept(ctx, choices.accept_config));
    if (status == RLS_OK && !done) {
        const rls_edit_request request = {.config = operands.count > 0 ? operands.item[0] : NULL,
                                          .sets = choices.sets.item,
                                          .nsets = choices.sets.count,
                                          .model = choices.model,
                                          .stream = choices.stream,
                                          .facts = choices.facts,
                                          .skip_bad_facts = rls_cli_skips(choices.on_error),
                                          .limit = choices.limit,
                                          .hparams = choices.hparams,
                                          .tensor_ranks = (int)choices.tensor_ranks,
                                          .token_budget = choices.token_budget,
                                          .run = choices.run,
                                          .resume = choices.resume,
                                          .walltime = choices.walltime,
                                          .stop_signal = stop,
                                          .verify = choices.verify,
                                          .progress = choices.quiet ? NULL : stderr};
        status = rls_edit(ctx, &request);
        if (status == RLS_OK && !choices.quiet)
            status = show(ctx, choices.run);
    }
    rls_option_list_free(&choices.sets);
    rls_option_list_free(&operands);
    return status;
}
