#include "base/profile.h"

#include <string.h>

#include "base/context.h"

double rls_profile_start(void)
{
    return MPI_Wtime();
}

/* The stage's index; a full table shares its last line rather than failing a run over a statistic. */
static int stage_index(const rls_profile *profile, const char *name)
{
    int i = 0;
    while (i < profile->count && strcmp(profile->stage[i].name, name) != 0)
        i++;
    return i < RLS_PROFILE_MAX ? i : RLS_PROFILE_MAX - 1;
}

double rls_profile_add(rls_context *ctx, const char *name, double start, double flops, double bytes)
{
    const double seconds = MPI_Wtime() - start;
    const int i = stage_index(&ctx->profile, name);
    rls_stage *stage = &ctx->profile.stage[i];
    if (i == ctx->profile.count) {
        *stage = (rls_stage){.name = name};
        ctx->profile.count++;
    }
    stage->calls++;
    stage->seconds += seconds;
    stage->flops += flops;
    stage->bytes += bytes;
    return seconds;
}

double rls_profile_seconds(const rls_context *ctx, const char *name)
{
    const int i = stage_index(&ctx->profile, name);
    return i < ctx->profile.count ? ctx->profile.stage[i].seconds : 0.0;
}

static void print_line(FILE *out, const rls_stage *stage, double slowest, double fastest,
                       const double work[2])
{
    char ratio[16] = "-", flops[16] = "-", moved[16] = "-", rate[16] = "-";
    if (fastest > 0.0)
        (void)snprintf(ratio, sizeof ratio, "%.2f", slowest / fastest);
    if (work[0] > 0.0 && slowest > 0.0)
        (void)snprintf(flops, sizeof flops, "%.2f", work[0] / slowest * 1e-9);
    if (work[1] > 0.0) {
        (void)snprintf(moved, sizeof moved, "%.3f", work[1] * 1e-9);
        if (slowest > 0.0)
            (void)snprintf(rate, sizeof rate, "%.2f", work[1] / slowest * 1e-9);
    }
    fprintf(out, "%-22s %8ld %11.4f %8s %10s %10s %8s\n", stage->name, stage->calls, slowest, ratio, flops,
            moved, rate);
}

rls_status rls_profile_print(rls_context *ctx, FILE *out)
{
    char name[64];
    int count = ctx->profile.count;
    MPI_Bcast(&count, 1, MPI_INT, 0, ctx->comm);
    if (ctx->rank == 0)
        fprintf(out, "%-22s %8s %11s %8s %10s %10s %8s\n", "stage", "calls", "max s", "max/min", "Gflop/s",
                "GB", "GB/s");
    for (int k = 0; k < count; k++) {
        if (ctx->rank == 0)
            (void)snprintf(name, sizeof name, "%s", ctx->profile.stage[k].name);
        MPI_Bcast(name, (int)sizeof name, MPI_CHAR, 0, ctx->comm);
        const int i = stage_index(&ctx->profile, name);
        const rls_stage mine = i < ctx->profile.count ? ctx->profile.stage[i] : (rls_stage){.name = name};
        double slowest = 0.0, fastest = 0.0;
        double work[2] = {mine.flops, mine.bytes};
        MPI_Reduce(&mine.seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, ctx->comm);
        MPI_Reduce(&mine.seconds, &fastest, 1, MPI_DOUBLE, MPI_MIN, 0, ctx->comm);
        MPI_Allreduce(MPI_IN_PLACE, work, 2, MPI_DOUBLE, MPI_SUM, ctx->comm);
        if (ctx->rank == 0)
            print_line(out, &mine, slowest, fastest, work);
    }
    return RLS_OK;
}
