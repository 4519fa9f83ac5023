#include "cli/print_json.h"

#include <stdio.h>

#include "base/context.h"

rls_status rls_cli_print_json(rls_context *ctx, const json_t *object, size_t flags, const char *what)
{
    if (object == NULL || (json_dumpf(object, stdout, flags) != 0 && !ferror(stdout)))
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory to print the %s", what);
    (void)fputc('\n', stdout);
    return RLS_OK;
}
