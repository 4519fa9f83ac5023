/* Fault injection, for tests of what happens when things go wrong. Compiled in always, off unless
 * RLSEDIT_FAULT says otherwise (base/fault_plan.h). */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/context.h"

/* Comes to a phase: RLS_OK, or what RLSEDIT_FAULT asks for here. Not collective: pass the status to the next
 * agreement. */
RLS_NODISCARD rls_status rls_fault(rls_context *ctx, rls_fault_phase phase);

#endif
