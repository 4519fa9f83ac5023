/* What each key of config.json is to each family: read, required to have the only value that is supported,
 * or known to change nothing. A key that is in no table is refused. */
#ifndef LLM_ARCHITECTURE_KEYS_H
#define LLM_ARCHITECTURE_KEYS_H

#include "llm/architecture.h"

typedef enum {
    RLS_KEY_INERT, /* changes no result */
    RLS_KEY_COUNT, /* an integer of 1 or more; null: 0 */
    RLS_KEY_REAL,  /* a number of 0 or more */
    RLS_KEY_BOOL,
    RLS_KEY_FALSE, /* only false, null or nothing at all is supported */
    RLS_KEY_TRUE,  /* only true (or null) */
    RLS_KEY_ONE,   /* only 1 (or null) */
    RLS_KEY_NONE,  /* only null, {} or [] */
    RLS_KEY_ACTIVATION,
    RLS_KEY_ROPE,        /* rope_scaling, rope_parameters */
    RLS_KEY_TOKEN,       /* an id or null */
    RLS_KEY_TOKENS,      /* an id, a list of them, or null */
    RLS_KEY_LAYER_TYPES, /* a list of "full_attention" */
    RLS_KEY_SAME_CONTEXT /* n_ctx: what n_positions is */
} rls_key_kind;

typedef struct {
    const char *name;
    unsigned families; /* bit 1 << rls_family */
    rls_key_kind kind;
    size_t to; /* offset in rls_architecture */
} rls_arch_key;

/* The key's meaning in the family, or NULL. Not collective. */
const rls_arch_key *rls_arch_key_find(rls_family family, const char *name);

#endif
