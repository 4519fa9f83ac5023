#include "base/fault.h"

#include <signal.h>
#include <unistd.h>

rls_status rls_fault(rls_context *ctx, rls_fault_phase phase)
{
    rls_fault_plan *plan = &ctx->fault;
    if (plan->phase != phase || (plan->rank >= 0 && plan->rank != ctx->rank) || --plan->occurrence != 0)
        return RLS_OK;
    switch (plan->action) {
    case RLS_FAULT_KILL:
        (void)kill(getpid(), SIGKILL);
        break;
    case RLS_FAULT_STALL:
        for (;;)
            (void)sleep(60);
    case RLS_FAULT_ERROR:
    case RLS_FAULT_NONE:
        break;
    }
    return rls_fail(ctx, RLS_ERR_IO, "injected fault at %s", rls_fault_name(phase));
}
