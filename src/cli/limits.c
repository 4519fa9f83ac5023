#include "cli/limits.h"

#include <inttypes.h>
#include <string.h>

#include "base/context.h"

static rls_status check(rls_context *ctx, const char *command, const rls_cli_limit *l)
{
    if (l->value < l->least)
        return rls_fail(ctx, RLS_ERR_USAGE, "%s: --%s %" PRId64 ": must be at least %" PRId64, command,
                        l->option, l->value, l->least);
    if (l->value > l->most)
        return rls_fail(ctx, RLS_ERR_USAGE, "%s: --%s %" PRId64 ": must be at most %" PRId64, command,
                        l->option, l->value, l->most);
    return RLS_OK;
}

rls_status rls_cli_check_limits(rls_context *ctx, const char *command, const rls_cli_limit *limits, int count)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < count && status == RLS_OK; i++)
        status = check(ctx, command, &limits[i]);
    return rls_agree(ctx, status);
}

bool rls_cli_skips(const char *on_error)
{
    return on_error != NULL && strcmp(on_error, "skip") == 0;
}

rls_status rls_cli_check_on_error(rls_context *ctx, const char *command, const char *on_error)
{
    if (on_error == NULL || rls_cli_skips(on_error) || strcmp(on_error, "stop") == 0)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_USAGE, "%s: --on-error %.100s: must be stop or skip", command, on_error);
}
