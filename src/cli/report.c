/* rlsedit report: one page that shows how a run went. */
#include <stdio.h>
#include <stdlib.h>

#include "base/context.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "report/report.h"

struct choices {
    const char *run;
};

static const rls_option options[] = {
    {"run", 'r', RLS_OPTION_TEXT, "DIR", "run directory, of a finished run or not",
     offsetof(struct choices, run), true, NULL},
};

static const rls_command command = {
    .name = "report",
    .purpose =
        "Writes DIR/report/index.html, a page that shows whether a run went well: its figures, what "
        "deserves a look,\nand pictures of norms, fit, time and, after `rlsedit eval`, of metrics before "
        "and after and by the edits' age.\nThe page needs nothing but itself. The pictures are drawn by "
        "gnuplot, which must be installed.",
    .example = "  rlsedit report --run run1",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

rls_status rls_cli_report(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    (void)stop;
    struct choices choices = {0};
    char *page = NULL;
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &choices, NULL, &done);
    if (status == RLS_OK && !done)
        status = rls_report(ctx, choices.run, &page);
    if (page != NULL)
        printf("%s\n", page);
    free(page);
    return status;
}
