/* rlsedit edit: a config, a model and a stream of edits in; a run directory with the edited model out. */
#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "session/edit.h"
#include "session/inspect.h"

struct choices {
    const char *model, *stream, *run, *resume, *walltime;
    bool verify, quiet;
    rls_option_list sets;
};

static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the model to edit; it is only read",
     offsetof(struct choices, model), false, NULL},
    {"stream", 's', RLS_OPTION_TEXT, "PATH", "recorded edits: a stream file, or a directory of segments",
     offsetof(struct choices, stream), false, NULL},
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
    .purpose = "Applies every batch of a stream of edits to a model, as rank-k recursive-least-squares "
               "updates of the weights that the "
               "config names, and writes a complete edited model to RUN/model. Each batch is committed to a "
               "journal before it counts: a run that is stopped or killed is gone on with by --resume, on "
               "any number of ranks. SIGUSR1, SIGTERM, "
               "or a file STOP in the run directory stop it with exit code 85.",
    .example = "  mpirun -n 4 rlsedit edit configs/atlas.yaml --model tests/data/atlas "
               "--stream tests/data/atlas-stream.nc --run run1\n"
               "  mpirun -n 4 rlsedit edit configs/atlas.yaml -m tests/data/atlas -s "
               "tests/data/atlas-stream.nc -r run2 "
               "--set batch=10 --set editor.lambda=3 --verify\n"
               "  mpirun -n 2 rlsedit edit --run run2 --resume",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static rls_status show(rls_context *ctx, const char *run)
{
    json_t *description = NULL;
    const rls_status status = rls_session_inspect(ctx, run, false, &description);
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
    if (choices.quiet && ctx->most == RLS_LOG_INFO)
        ctx->most = RLS_LOG_WARNING;
    if (status == RLS_OK && !done) {
        const rls_edit_request request = {.config = operands.count > 0 ? operands.item[0] : NULL,
                                          .sets = choices.sets.item,
                                          .nsets = choices.sets.count,
                                          .model = choices.model,
                                          .stream = choices.stream,
                                          .run = choices.run,
                                          .resume = choices.resume,
                                          .walltime = choices.walltime,
                                          .stop_signal = stop,
                                          .verify = choices.verify,
                                          .progress = choices.quiet ? NULL : stderr};
        status = rls_session_edit(ctx, &request);
        if (status == RLS_OK && !choices.quiet)
            status = show(ctx, choices.run);
    }
    rls_option_list_free(&choices.sets);
    rls_option_list_free(&operands);
    return status;
}
