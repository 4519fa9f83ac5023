/* Status codes: one list of name, exit code and text. */
#ifndef RLSEDIT_STATUS_H
#define RLSEDIT_STATUS_H

/* Ordered by severity: an agreement over ranks keeps the largest. */
#define RLS_STATUS_LIST(X)                                                                                   \
    X(RLS_OK, 0, "success")                                                                                  \
    X(RLS_STOPPED, 85, "stopped early on request")                                                           \
    X(RLS_ERR_USAGE, 2, "usage error")                                                                       \
    X(RLS_ERR_CONFIG, 2, "configuration error")                                                              \
    X(RLS_ERR_MEMORY, 2, "not enough memory")                                                                \
    X(RLS_ERR_DATA, 3, "bad input data")                                                                     \
    X(RLS_ERR_NUMERIC, 4, "numerical breakdown")                                                             \
    X(RLS_ERR_IO, 5, "input/output error")                                                                   \
    X(RLS_ERR_INTERNAL, 70, "internal error")

typedef enum {
#define RLS_STATUS_ENUM(name, exit_code, text) name,
    RLS_STATUS_LIST(RLS_STATUS_ENUM)
#undef RLS_STATUS_ENUM
        RLS_STATUS_COUNT
} rls_status_code;

#if defined(__GNUC__)
#define RLS_NODISCARD __attribute__((warn_unused_result))
#define RLS_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define RLS_NODISCARD
#define RLS_PRINTF(fmt, first)
#endif

typedef rls_status_code rls_status;

/* The text of a status. Not collective. Never NULL. */
const char *rls_status_text(rls_status status);

/* The process exit code a program should end with for a status. Not collective. */
int rls_status_exit_code(rls_status status);

#endif
