#include "base/stop.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* "1-02:03:04" as sbatch --time writes it: days, then up to three numbers. Returns -1 when it is something
 * else. */
static double parse_walltime(const char *text)
{
    double days = 0.0, fields[3] = {0.0, 0.0, 0.0};
    int count = 0;
    const char *dash = strchr(text, '-');
    char *end = NULL;
    if (dash != NULL) {
        days = (double)strtoul(text, &end, 10);
        if (end != dash || !isdigit((unsigned char)text[0]))
            return -1.0;
        text = dash + 1;
    }
    for (;;) {
        if (count == 3 || !isdigit((unsigned char)text[0]))
            return -1.0;
        fields[count++] = (double)strtoul(text, &end, 10);
        if (*end == '\0')
            break;
        if (*end != ':')
            return -1.0;
        text = end + 1;
    }
    double seconds = 0.0;
    if (dash != NULL) /* days are followed by hours first, however many fields there are */
        seconds = fields[0] * 3600.0 + fields[1] * 60.0 + fields[2];
    else
        for (int i = 0; i < count; i++)
            seconds = seconds * 60.0 + fields[i];
    return days * 86400.0 + seconds;
}

rls_status rls_stop_seconds_left(rls_context *ctx, const char *walltime, double *seconds)
{
    *seconds = INFINITY;
    if (walltime != NULL) {
        *seconds = parse_walltime(walltime);
        if (!(*seconds > 0.0))
            return rls_fail(ctx, RLS_ERR_USAGE,
                            "--walltime %s: not a time like 05:30:00, 90:00 or 1-12:00:00", walltime);
    }
    const char *slurm = getenv("SLURM_JOB_END_TIME");
    char *end = NULL;
    const double at = slurm != NULL ? strtod(slurm, &end) : 0.0;
    if (slurm != NULL && end != slurm && *end == '\0' && at > 0.0)
        *seconds = fmin(*seconds, at - (double)time(NULL));
    return RLS_OK;
}

rls_status rls_stop_check(rls_context *ctx, const rls_stop *stop, double batch_seconds, int64_t done)
{
    const char *unit = stop->unit != NULL ? stop->unit : "edits";
    if (stop->signal != NULL && *stop->signal != 0) {
        const int number = (int)*stop->signal;
        return rls_fail(ctx, RLS_STOPPED, "stopped by signal %d (%s) after %" PRId64 " %s", number,
                        strsignal(number), done, unit);
    }
    if (stop->file != NULL && access(stop->file, F_OK) == 0)
        return rls_fail(ctx, RLS_STOPPED,
                        "stopped by the file %s after %" PRId64 " %s: remove it before going on", stop->file,
                        done, unit);
    const double left = stop->deadline - MPI_Wtime();
    if (left < batch_seconds + stop->reserve)
        return rls_fail(ctx, RLS_STOPPED,
                        "stopped for the walltime after %" PRId64
                        " %s: %.0f s are left, a batch takes %.1f s and ending in good order "
                        "%.1f s",
                        done, unit, fmax(left, 0.0), batch_seconds, stop->reserve);
    return RLS_OK;
}
