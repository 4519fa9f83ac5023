#include "report/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "inspect/inspect.h"
#include "report/gnuplot.h"
#include "report/html.h"
#include "report/verdict.h"
#include "store/file_util.h"
#include "store/manifest.h"

/* The page as text. */
static rls_status compose(rls_context *ctx, const rls_page *page, char **text, size_t *bytes)
{
    FILE *out = open_memstream(text, bytes);
    if (out != NULL)
        rls_page_write(page, out);
    const bool failed = out == NULL || ferror(out) != 0;
    if ((out != NULL && fclose(out) != 0) || failed)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the report's page");
    return RLS_OK;
}

/* Puts the page at its place; who has the old one open keeps it. */
static rls_status publish(rls_context *ctx, const char *run, const char *text, size_t bytes, char **path)
{
    char *directory = NULL;
    rls_status status = rls_asprintf(ctx, &directory, "%s/report", run);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, path, "%s/index.html", directory);
    if (status == RLS_OK)
        status = rls_dir_make(ctx, directory);
    if (status == RLS_OK)
        status = rls_file_replace(ctx, *path, text, (int64_t)bytes);
    free(directory);
    return status;
}

/* Rank 0: reads, judges, draws, writes. */
static rls_status report_on_root(rls_context *ctx, const char *run, json_t *about, char **path)
{
    rls_report_data data = {0};
    json_t *verdict = NULL;
    rls_picture *pictures = NULL;
    int count = 0;
    char made[64] = "", *text = NULL;
    size_t bytes = 0;
    const time_t now = time(NULL);
    struct tm local;
    const char *kind = json_string_value(json_object_get(about, "kind"));
    if (kind == NULL || strcmp(kind, "run") != 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: is no run directory (rlsedit inspect calls it: %s)", run,
                        kind != NULL ? kind : "?");
    if (localtime_r(&now, &local) != NULL)
        (void)strftime(made, sizeof made, "%Y-%m-%d %H:%M", &local);
    rls_status status = rls_gnuplot_check(ctx);
    if (status == RLS_OK)
        status = rls_report_read(ctx, run, about, &data);
    if (status == RLS_OK)
        status = rls_report_judge(ctx, &data, &verdict);
    if (status == RLS_OK)
        status = rls_pictures_draw(ctx, &data, &pictures, &count);
    const rls_page page = {.run = run,
                           .made = made,
                           .data = &data,
                           .verdict = verdict,
                           .pictures = pictures,
                           .picture_count = count};
    if (status == RLS_OK)
        status = compose(ctx, &page, &text, &bytes);
    if (status == RLS_OK)
        status = publish(ctx, run, text, bytes, path);
    rls_pictures_free(&pictures, count);
    json_decref(verdict);
    rls_report_data_free(&data);
    free(text);
    return status;
}

rls_status rls_report(rls_context *ctx, const char *run, char **page)
{
    json_t *about = NULL;
    *page = NULL;
    rls_status status = rls_inspect(ctx, run, false, &about);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? report_on_root(ctx, run, about, page) : RLS_OK);
    if (status != RLS_OK) {
        free(*page);
        *page = NULL;
    }
    json_decref(about);
    return status;
}
