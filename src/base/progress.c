#include "base/progress.h"

#include <inttypes.h>
#include <mpi.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.2, FIRST_LINE_SECONDS = 10.0, LINE_SECONDS = 60.0;

void rls_progress_begin(rls_progress *progress, FILE *out, int64_t before, int64_t total)
{
    *progress = (rls_progress){.out = out, .before = before, .total = total, .unit = "edits"};
    progress->started = progress->shown = MPI_Wtime();
    progress->terminal = out != NULL && isatty(fileno(out)) == 1;
    progress->pause = progress->terminal ? REDRAW_SECONDS : FIRST_LINE_SECONDS;
}

static void time_left(double seconds, char text[32])
{
    const int64_t s = seconds < 3.6e8 ? (int64_t)(seconds + 0.5) : 0;
    if (s >= 3600)
        (void)snprintf(text, 32, "%" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(text, 32, "%" PRId64 ":%02" PRId64, s / 60, s % 60);
}

void rls_progress_within(rls_progress *progress, double done, const char *what)
{
    const double now = MPI_Wtime();
    if (progress->out == NULL || now - progress->shown < progress->pause)
        return;
    progress->shown = now;
    if (!progress->terminal)
        progress->pause = 2.0 * progress->pause < LINE_SECONDS ? 2.0 * progress->pause : LINE_SECONDS;
    const double rate = (done - (double)progress->before) / (now - progress->started);
    char left[32] = "?";
    if (rate > 0.0)
        time_left(((double)progress->total - done) / rate, left);
    fprintf(progress->out, "%s%" PRId64 " of %" PRId64 " %s (%.0f %%), %.3g %s/s, %s left%s%s%s",
            progress->terminal ? "\r" : "", (int64_t)done, progress->total, progress->unit,
            100.0 * done / (double)progress->total, rate, progress->unit, left, what != NULL ? "; " : "",
            what != NULL ? what : "", progress->terminal ? "\033[K" : "\n");
    (void)fflush(progress->out);
    progress->drawn = progress->terminal;
}

void rls_progress_update(rls_progress *progress, int64_t done)
{
    rls_progress_within(progress, (double)done, NULL);
}

void rls_progress_end(rls_progress *progress)
{
    if (progress->drawn) {
        fprintf(progress->out, "\r\033[K");
        (void)fflush(progress->out);
    }
}
