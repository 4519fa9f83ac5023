/* rope_scaling, as transformers up to version 4 writes it, and rope_parameters, as version 5 does. */
#ifndef LLM_ARCHITECTURE_ROPE_H
#define LLM_ARCHITECTURE_ROPE_H

#include "llm/architecture_place.h"

/* Reads rope_scaling or rope_parameters. Not collective. Returns RLS_ERR_DATA naming file, line and
 * key. */
RLS_NODISCARD rls_status rls_arch_rope_read(rls_arch_parse *p, const char *name, const json_t *value);

#endif
