/* rlsedit inspect: says what a path holds, as text or JSON. */
#include <stdio.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/print_json.h"
#include "inspect/inspect.h"
#include "store/problem.h"

struct choices {
    bool json, verify;
};

static const rls_option options[] = {
    {"json", 'j', RLS_OPTION_FLAG, NULL, "print everything, as one JSON object",
     offsetof(struct choices, json), false, NULL},
    {"verify", 0, RLS_OPTION_FLAG, NULL,
     "recompute every checksum of a run or a checkpoint, on all ranks together, and list all that is damaged "
     "(exit code 3 when something is)",
     offsetof(struct choices, verify), false, NULL},
};

static const rls_command command = {
    .name = "inspect",
    .operands = "PATH",
    .least = 1,
    .most = 1,
    .purpose =
        "Says what PATH is: a model directory or one .safetensors file, a stream of edits (a file, or "
        "a directory of\nsegments), a second-moment file, a run directory, or one of its checkpoints. Reads "
        "and checks headers only,\non one rank as well; with --verify everything.",
    .example = "  rlsedit inspect tests/data/atlas\n"
               "  rlsedit inspect run1 --json\n"
               "  mpirun -n 8 rlsedit inspect run1 --verify",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

/* The first problem as the error, after all were shown. Rank 0. */
static rls_status judge(rls_context *ctx, const json_t *description)
{
    const json_t *problems = json_object_get(description, "problems");
    const size_t count = json_array_size(problems);
    char first[RLS_MESSAGE_MAX], more[64] = "";
    if (count == 0)
        return RLS_OK;
    if (count > 1)
        (void)snprintf(more, sizeof more, " (and %zu more problem%s)", count - 1, count == 2 ? "" : "s");
    return rls_fail(ctx, RLS_ERR_DATA, "%s%s", rls_problem_first(problems, first, sizeof first), more);
}

static rls_status show(rls_context *ctx, const json_t *description, bool json)
{
    if (!json) {
        rls_inspect_print(description, stdout);
        return RLS_OK;
    }
    /* 15 digits give back every number as the files had it */
    return rls_cli_print_json(ctx, description, JSON_INDENT(2) | JSON_REAL_PRECISION(15), "description");
}

static rls_status show_and_judge(rls_context *ctx, const json_t *description, const struct choices *choices)
{
    const rls_status status = show(ctx, description, choices->json);
    return status == RLS_OK && choices->verify ? judge(ctx, description) : status;
}

rls_status rls_cli_inspect(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    struct choices choices = {0};
    rls_option_list operands = {0};
    json_t *description = NULL;
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, &operands, &done);
    if (status == RLS_OK && !done) {
        status = rls_inspect(ctx, operands.item[0], choices.verify, &description);
        if (status == RLS_OK)
            status =
                rls_agree(ctx, description != NULL ? show_and_judge(ctx, description, &choices) : RLS_OK);
    }
    json_decref(description);
    rls_option_list_free(&operands);
    return status;
}
