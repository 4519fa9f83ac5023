#include "base/progress.h"

#include <inttypes.h>
#include <mpi.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.2, LINE_SECONDS = 60.0;

void rls_progress_begin(rls_progress *progress, FILE *out, int64_t before, int64_t total)
{
    *progress = (rls_progress){.out = out, .before = before, .total = total, .unit = "edits"};
    progress->started = progress->shown = MPI_Wtime();
    progress->terminal = out != NULL && isatty(fileno(out)) == 1;
}

static void time_left(double seconds, char text[32])
{
    const int64_t s = seconds < 3.6e8 ? (int64_t)(seconds + 0.5) : 0;
    if (s >= 3600)
        (void)snprintf(text, 32, "%" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(text, 32, "%" PRId64 ":%02" PRId64, s / 60, s % 60);
}

void rls_progress_update(rls_progress *progress, int64_t done)
{
    const double now = MPI_Wtime();
    if (progress->out == NULL || now - progress->shown < (progress->terminal ? REDRAW_SECONDS : LINE_SECONDS))
        return;
    progress->shown = now;
    const double rate = (double)(done - progress->before) / (now - progress->started);
    char left[32] = "?";
    if (rate > 0.0)
        time_left((double)(progress->total - done) / rate, left);
    fprintf(progress->out, "%s%" PRId64 " of %" PRId64 " %s (%.0f %%), %.3g %s/s, %s left%s",
            progress->terminal ? "\r" : "", done, progress->total, progress->unit,
            100.0 * (double)done / (double)progress->total, rate, progress->unit, left,
            progress->terminal ? "\033[K" : "\n");
    (void)fflush(progress->out);
    progress->drawn = progress->terminal;
}

void rls_progress_end(rls_progress *progress)
{
    if (progress->drawn) {
        fprintf(progress->out, "\r\033[K");
        (void)fflush(progress->out);
    }
}
