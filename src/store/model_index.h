/* Which safetensors files make up a model directory: those of the index, or the only one. Rank 0's work. */
#ifndef STORE_MODEL_INDEX_H
#define STORE_MODEL_INDEX_H

#include <jansson.h>
#include <stdint.h>

#include "base/context.h"

/* What rank 0 found. Names are within the directory. */
typedef struct {
    json_t *index;      /* the parsed index, NULL when there is none */
    json_t *weight_map; /* borrowed from it: tensor -> shard */
    const char **shard; /* in name order; each points into names or the index */
    int64_t shards;
    char *names;
} rls_model_index;

/* Reads the index at path and checks its form: weight_map maps text to text.
 * Not collective. *weight_map is borrowed from *root; free with json_decref(*root). Returns RLS_ERR_DATA,
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_model_index_read(rls_context *ctx, const char *path, json_t **root,
                                              json_t **weight_map);

/* Finds the safetensors files of the directory at path.
 * Not collective. Free with rls_model_index_free, also on failure. Returns RLS_ERR_DATA, RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_model_index_find(rls_context *ctx, const char *path, rls_model_index *out);

/* Frees what it holds. Not collective. */
void rls_model_index_free(rls_model_index *index);

#endif
