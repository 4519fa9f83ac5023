#include "rlsedit/status.h"

const char *rls_status_text(rls_status status)
{
    switch (status) {
#define RLS_STATUS_CASE(name, exit_code, text)                                                               \
    case name:                                                                                               \
        return text;
        RLS_STATUS_LIST(RLS_STATUS_CASE)
#undef RLS_STATUS_CASE
    case RLS_STATUS_COUNT:
        break;
    }
    return "unknown status";
}

int rls_status_exit_code(rls_status status)
{
    switch (status) {
#define RLS_STATUS_CASE(name, exit_code, text)                                                               \
    case name:                                                                                               \
        return exit_code;
        RLS_STATUS_LIST(RLS_STATUS_CASE)
#undef RLS_STATUS_CASE
    case RLS_STATUS_COUNT:
        break;
    }
    return 70;
}
