/* Reading one key of config.json into the architecture. */
#ifndef LLM_ARCHITECTURE_PARSE_H
#define LLM_ARCHITECTURE_PARSE_H

#include "llm/architecture_place.h"

/* Reads a value as what the key is. Not collective. Returns RLS_ERR_DATA naming file, line and key. */
RLS_NODISCARD rls_status rls_arch_key_read(rls_arch_parse *p, const char *name, const rls_arch_key *key,
                                           const json_t *value);

/* Adds the value of an eos_token_id: an id, a list of them, or null. Errors as above. */
RLS_NODISCARD rls_status rls_arch_eos_read(rls_arch_parse *p, const char *name, const json_t *value);

#endif
