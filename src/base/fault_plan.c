#include "base/fault_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *when;
} PHASES[RLS_FAULT_COUNT] = {
#define RLS_FAULT_ROW(id, name, when) [RLS_FAULT_##id] = {name, when},
    RLS_FAULT_LIST(RLS_FAULT_ROW)
#undef RLS_FAULT_ROW
};

static const char *const ACTIONS[] = {[RLS_FAULT_NONE] = "",
                                      [RLS_FAULT_ERROR] = "error",
                                      [RLS_FAULT_KILL] = "kill",
                                      [RLS_FAULT_STALL] = "stall"};

const char *rls_fault_name(rls_fault_phase phase)
{
    return PHASES[phase].name;
}

const char *rls_fault_when(rls_fault_phase phase)
{
    return PHASES[phase].when;
}

/* A number >= least that takes the whole field; false otherwise. */
static bool field_number(const char *text, long least, long *out)
{
    char *end = NULL;
    *out = strtol(text, &end, 10);
    return end != text && *end == '\0' && *out >= least;
}

static bool parse_fields(char *text, rls_fault_plan *plan)
{
    char *field[4] = {text, NULL, NULL, NULL};
    int fields = 1;
    for (char *c = text; *c != '\0'; c++)
        if (*c == ':') {
            *c = '\0';
            if (fields == 4)
                return false;
            field[fields++] = c + 1;
        }
    *plan = (rls_fault_plan){.phase = RLS_FAULT_COUNT, .rank = 0, .occurrence = 1};
    for (int i = 0; i < RLS_FAULT_COUNT; i++)
        if (strcmp(PHASES[i].name, field[0]) == 0)
            plan->phase = (rls_fault_phase)i;
    for (int i = RLS_FAULT_ERROR; fields > 1 && i <= RLS_FAULT_STALL; i++)
        if (strcmp(ACTIONS[i], field[1]) == 0)
            plan->action = (rls_fault_action)i;
    if (fields > 2 && strcmp(field[2], "*") == 0)
        plan->rank = -1;
    else if (fields > 2 && !field_number(field[2], 0, &plan->rank))
        return false;
    if (fields > 3 && !field_number(field[3], 1, &plan->occurrence))
        return false;
    return plan->phase != RLS_FAULT_COUNT && plan->action != RLS_FAULT_NONE;
}

bool rls_fault_plan_parse(const char *wanted, rls_fault_plan *plan)
{
    *plan = (rls_fault_plan){.phase = RLS_FAULT_COUNT};
    if (wanted == NULL || wanted[0] == '\0')
        return true;
    char text[256];
    (void)snprintf(text, sizeof text, "%s", wanted);
    if (strlen(wanted) < sizeof text && parse_fields(text, plan))
        return true;
    *plan = (rls_fault_plan){.phase = RLS_FAULT_COUNT};
    return false;
}
