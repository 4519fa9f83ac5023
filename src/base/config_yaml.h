/* From YAML text to checked field values, each with the place it came from. */
#ifndef BASE_CONFIG_YAML_H
#define BASE_CONFIG_YAML_H

#include "base/config_schema.h"

/* Where a value was given: a --set, or a line of the file, or neither (a default). */
typedef struct {
    const char *set;
    size_t line;
} rls_config_place;

/* A field's value as YAML that fits on a line, NULL while not given. */
typedef struct {
    char *text;
    rls_config_place place;
} rls_config_item;

/* Takes the fields that a file gives into items, one for each of rls_config_fields, over what they hold.
 * Not collective. As rls_config_parse, except that nothing is required. */
RLS_NODISCARD rls_status rls_config_take_file(rls_context *ctx, const char *name, const char *bytes,
                                              size_t len, rls_config_item *items);

/* Takes one "section.key=value". Not collective. set must live as long as items. */
RLS_NODISCARD rls_status rls_config_take_set(rls_context *ctx, const char *set, rls_config_item *items);

/* Takes the defaults. Not collective. */
RLS_NODISCARD rls_status rls_config_take_defaults(rls_context *ctx, rls_config_item *items);

/* Fails with RLS_ERR_CONFIG and a message that begins with the place in the file called name. Not collective.
 */
RLS_PRINTF(4, 5)
rls_status rls_config_complain(rls_context *ctx, const char *name, rls_config_place place, const char *fmt,
                               ...);

#endif
