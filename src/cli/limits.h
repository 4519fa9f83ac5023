/* What options may be: numbers between two others, one of two words. */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "rlsedit/context.h"

typedef struct {
    const char *option;
    int64_t value, least, most; /* INT64_MAX: any */
} rls_cli_limit;

/* Fails for the first that does not, naming the command and the option. Collective. Returns RLS_ERR_USAGE. */
RLS_NODISCARD rls_status rls_cli_check_limits(rls_context *ctx, const char *command,
                                              const rls_cli_limit *limits, int count);

/* Whether --on-error, NULL when it was not given, says that wrong records are left out. Not collective. */
bool rls_cli_skips(const char *on_error);

/* Checks that --on-error is stop, skip or not given. Not collective. Returns RLS_ERR_USAGE, naming the
 * command.
 */
RLS_NODISCARD rls_status rls_cli_check_on_error(rls_context *ctx, const char *command, const char *on_error);

#endif
