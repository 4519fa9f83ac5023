/* The table of config fields: the one place that knows names, types, ranges, defaults and help lines. */
#ifndef BASE_CONFIG_SCHEMA_H
#define BASE_CONFIG_SCHEMA_H

#include <cyaml/cyaml.h>
#include <stdbool.h>

#include "base/config.h"

typedef enum {
    RLS_FIELD_TEXT,
    RLS_FIELD_PATH,    /* null, or made absolute */
    RLS_FIELD_CHOICE,  /* one of choices */
    RLS_FIELD_REAL,    /* least or more; above 0 when positive */
    RLS_FIELD_INTEGER, /* least to most */
    RLS_FIELD_INTEGERS /* a list of items_least to items_most integers, least to most each */
} rls_field_kind;

typedef struct {
    const char *section;         /* "" at the top level */
    uint32_t section_offset;     /* in rls_config */
    uint32_t section_size;       /* bytes */
    cyaml_schema_field_t schema; /* in the section's struct */
    rls_field_kind kind;
    bool positive;
    int64_t least, most;
    uint32_t items_least, items_most;
    const cyaml_strval_t *choices; /* ended by a NULL name */
    const char *initial;           /* the default as YAML; NULL: the field must be given */
    const char *help;
} rls_config_field;

enum { RLS_CONFIG_FIELDS = 28 };

/* The fields in the order of the resolved text; those of a section are neighbours. Not collective. */
extern const rls_config_field rls_config_fields[RLS_CONFIG_FIELDS];

/* The field section.key, or NULL. A section of NULL means that key is "section.key". Not collective. */
const rls_config_field *rls_config_find(const char *section, const char *key);

/* Whether there is such a section. Not collective. */
bool rls_config_is_section(const char *name);

/* The known name nearest to a mistyped one, as it is written within section ("" at the top level), or NULL
 * when none is near. A section of NULL looks for "section.key", which is written to name. Not collective. */
const char *rls_config_nearest(const char *section, const char *word, char name[64]);

/* "section.key", or "key" at the top level. Not collective. */
const char *rls_config_field_name(const rls_config_field *field, char name[64]);

/* What a field takes: "a number, 0 or more". Not collective. */
const char *rls_config_expects(const rls_config_field *field, char text[160]);

/* Loads text, which has every field, through libcyaml.
 * Not collective. name: for the message. Returns RLS_ERR_INTERNAL with libcyaml's words, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_config_load(rls_context *ctx, const char *name, const char *text, size_t len,
                                         rls_config **out);

/* Frees what rls_config_load made. Not collective. */
void rls_config_unload(rls_config *config);

#endif
