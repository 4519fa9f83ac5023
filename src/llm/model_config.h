/* What a model's config.json says, as far as editing needs it. */
#ifndef LLM_MODEL_CONFIG_H
#define LLM_MODEL_CONFIG_H

#include <stdbool.h>

#include "base/context.h"

typedef struct {
    char model_type[64]; /* "llama", "gpt2", ...; "" when there is no config.json */
    bool conv1d;         /* Linear weights are stored transposed, [in, out] (Conv1D of the GPT-2 family) */
} rls_model_config;

/* Reads config.json of the model directory at path (rank 0) and gives all ranks the same.
 * Collective. No config.json: model_type is "" and Linear's layout is assumed.
 * Returns RLS_ERR_DATA (file, line, field) when it is not a JSON object or model_type is not a text,
 * RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_model_config_read(rls_context *ctx, const char *path, rls_model_config *out);

#endif
