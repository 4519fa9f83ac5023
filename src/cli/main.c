/* The program: starts and ends MPI, finds the subcommand, and turns its status into a message and an exit
 * code. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/context.h"
#include "base/fault.h"
#include "base/suggest.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "rlsedit/version.h"

typedef struct {
    const char *name, *summary;
    rls_cli_run *run;
    bool saves; /* looks at the stop signals, and saves what there is */
} subcommand;

static rls_cli_run run_help;

static const subcommand subcommands[] = {
    {"edit", "apply a stream of edits to a model", rls_cli_edit, true},
    {"eval", "say what an edited model has learnt, kept and forgotten", rls_cli_eval, false},
    {"report", "make a page that shows whether a run went well", rls_cli_report, false},
    {"inspect", "say what a model, a stream, a second-moment file or a run is", rls_cli_inspect, false},
    {"ask", "continue prompts with a model", rls_cli_ask, false},
    {"score", "say how probable a model finds texts", rls_cli_score, false},
    {"moments", "take the second moments of keys that edits shall keep", rls_cli_moments, true},
    {"help", "explain a command, or the fields of a configuration", run_help, false},
};
enum { SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

struct choices {
    bool version;
};
static const rls_option options[] = {
    {"version", 'V', RLS_OPTION_FLAG, NULL, "print the version and exit", offsetof(struct choices, version),
     false, NULL},
};
static const rls_command program = {
    .operands = "COMMAND [argument...]",
    .most = SIZE_MAX,
    .leading = true,
    .purpose = "Edits language models for a lifetime: distributed recursive least squares on MPI.",
    .options = options,
    .count = 1,
    .example = "  mpirun -n 4 rlsedit edit configs/atlas.yaml --model tests/data/atlas "
               "--stream tests/data/atlas-stream.nc --run run1\n"
               "  rlsedit inspect run1\n"
               "  rlsedit help edit",
};

static void print_commands(FILE *out)
{
    fprintf(out, "\ncommands:\n");
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
}

/* Fails on every rank, as all have the same argv. */
static rls_status find(rls_context *ctx, const char *name, const subcommand **out)
{
    size_t best = SIZE_MAX;
    const char *meant = NULL;
    *out = NULL;
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (!strcmp(subcommands[i].name, name)) {
            *out = &subcommands[i];
            return RLS_OK;
        }
        if (rls_closer(name, subcommands[i].name, &best))
            meant = subcommands[i].name;
    }
    return rls_fail(ctx, RLS_ERR_USAGE, "unknown command %.200s%s%s%s (see rlsedit --help)", name,
                    meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

static rls_status help_on(rls_context *ctx, const char *topic)
{
    if (!strcmp(topic, "faults")) {
        for (int i = 0; i < RLS_FAULT_COUNT && rls_context_rank(ctx) == 0; i++)
            printf("%-20s %s\n", rls_fault_name((rls_fault_phase)i), rls_fault_when((rls_fault_phase)i));
        return RLS_OK;
    }
    if (!strcmp(topic, "config")) {
        if (rls_context_rank(ctx) == 0)
            rls_config_help(stdout);
        return RLS_OK;
    }
    const subcommand *found;
    rls_status status = rls_agree(ctx, find(ctx, topic, &found));
    if (status || !found)
        return status;
    char name[16], option[] = "--help";
    snprintf(name, sizeof name, "%s", found->name);
    return found->run(ctx, 2, (char *[]){name, option, NULL}, NULL);
}

static rls_status run_help(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    static const rls_command command = {
        .name = "help",
        .operands = "[COMMAND | config | faults]",
        .most = 1,
        .purpose = "Explains a command; \"config\" lists every field of a configuration file, \"faults\" the "
                   "phases of RLSEDIT_FAULT.",
        .example = "  rlsedit help config",
    };
    rls_option_list topics;
    bool done;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, NULL, &topics, &done);
    if (!status && !done && topics.count) {
        status = help_on(ctx, topics.item[0]);
    } else if (!status && !done && rls_context_rank(ctx) == 0) {
        rls_options_help(&program, stdout);
        print_commands(stdout);
    }
    rls_option_list_free(&topics);
    return status;
}

/* The number of the signal that asks to stop. A handler can reach nothing but such an object. */
static volatile sig_atomic_t stop_signal;

static void note_stop(int number)
{
    stop_signal = number;
}

/* For commands with something to save; all others end at once. SIGUSR1 is what batch systems send ahead of the end,
 * SIGTERM what they send at it, SIGINT what Ctrl-C is. A second one has its usual effect. */
static void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = note_stop, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGUSR1, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static rls_status run(rls_context *ctx, int argc, char **argv)
{
    struct choices choices = {false};
    rls_option_list words;
    const subcommand *found = NULL;
    bool done, root = rls_context_rank(ctx) == 0;
    rls_status status = rls_options_parse(ctx, &program, argc, argv, &choices, &words, &done);
    if (!status && done && root)
        print_commands(stdout);
    if (!status && !done && choices.version && root)
        printf("rlsedit %s\n", RLSEDIT_VERSION);
    if (!status && !done && !choices.version) {
        status = words.count ? find(ctx, words.item[0], &found)
                             : rls_fail(ctx, RLS_ERR_USAGE, "no command is given (see rlsedit --help)");
        status = rls_agree(ctx, status);
        if (!status && found && found->saves)
            catch_stop_signals();
        if (!status && found)
            status = found->run(ctx, (int)words.count, argv + (argc - (int)words.count), &stop_signal);
    }
    rls_option_list_free(&words);
    return status;
}

static void print_log(void *user, rls_log_level level, const char *line)
{
    (void)user;
    fprintf(stderr, "rlsedit: %s%s\n",
            level == RLS_LOG_ERROR     ? "error: "
            : level == RLS_LOG_WARNING ? "warning: "
                                       : "",
            line);
}

/* Says on rank 0 how it ended. ctx may be NULL. */
static void report(const rls_context *ctx, rls_status status)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank != 0 || status == RLS_OK)
        return;
    const char *message =
        ctx && *rls_context_message(ctx) ? rls_context_message(ctx) : rls_status_text(status);
    fprintf(stderr, "rlsedit: %s%s\n", status == RLS_STOPPED ? "" : "error: ", message);
    if (ctx && ctx->most == RLS_LOG_DEBUG)
        fprintf(stderr, "rlsedit: noticed at %s\n", rls_context_origin(ctx));
}

int main(int argc, char **argv)
{
    int provided;
    rls_context *ctx = NULL;
    (void)setenv("OMPI_MCA_io", "^ompio", 0); /* PnetCDF needs ROMIO; others ignore the variable */
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    rls_status status = rls_context_create(MPI_COMM_WORLD, &ctx);
    if (!status) {
        rls_context_set_log(ctx, print_log, NULL, RLS_LOG_INFO);
        (void)signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is an error like a full disk */
        status = run(ctx, argc, argv);
    }
    /* a full disk behind stdout must not look like success */
    if ((fflush(stdout) || ferror(stdout)) && !status) {
        (void)fprintf(stderr, "rlsedit: error: standard output cannot be written\n");
        status = RLS_ERR_IO;
    } else {
        report(ctx, status);
    }
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return rls_status_exit_code(status);
}
