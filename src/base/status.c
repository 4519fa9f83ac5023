#include "rlsedit/status.h"

static const struct {
    int exit_code;
    const char *text;
} TABLE[RLS_STATUS_COUNT] = {
#define RLS_STATUS_ROW(name, exit_code, text) [name] = {exit_code, text},
    RLS_STATUS_LIST(RLS_STATUS_ROW)
#undef RLS_STATUS_ROW
};

const char *rls_status_text(rls_status status)
{
    return status < RLS_STATUS_COUNT ? TABLE[status].text : "unknown status";
}

int rls_status_exit_code(rls_status status)
{
    return status < RLS_STATUS_COUNT ? TABLE[status].exit_code : TABLE[RLS_ERR_INTERNAL].exit_code;
}
