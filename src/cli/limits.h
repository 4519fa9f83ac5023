/* Numbers of options that must lie between two others. */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H

#include <stdint.h>

#include "rlsedit/context.h"

typedef struct {
    const char *option;
    int64_t value, least, most; /* INT64_MAX: any */
} rls_cli_limit;

/* Fails for the first that does not, naming the command and the option. Collective. Returns RLS_ERR_USAGE. */
RLS_NODISCARD rls_status rls_cli_check_limits(rls_context *ctx, const char *command,
                                              const rls_cli_limit *limits, int count);

#endif
