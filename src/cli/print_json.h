/* A JSON object on the standard output. */
#ifndef CLI_PRINT_JSON_H
#define CLI_PRINT_JSON_H

#include <jansson.h>

#include "rlsedit/context.h"

/* Prints an object, which may be NULL when there was no memory to make it, and a newline; the object stays
 * the caller's. Not collective. flags: json_dumpf's. what: it is, for the message. Returns RLS_ERR_MEMORY;
 * that stdout did not take all is for main to see (ferror). */
RLS_NODISCARD rls_status rls_cli_print_json(rls_context *ctx, const json_t *object, size_t flags,
                                            const char *what);

#endif
