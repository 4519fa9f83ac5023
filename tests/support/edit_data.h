/* Everything an editing run reads, made of random numbers that every rank knows: a model directory (by a
 * plain safetensors writer of its own), a stream, second moments and anchor keys (by the project's writers).
 */
#ifndef SUPPORT_EDIT_DATA_H
#define SUPPORT_EDIT_DATA_H

#include "support/collective.h"
#include "support/dense.h"
#include "support/state.h"

enum { EDIT_LAYERS_MAX = 3 };

/* An edited layer and the type of its tensor in the model. */
typedef struct {
    int number;
    int64_t n, m;
    rls_dtype dtype;
} edit_layer;

/* What to make. */
typedef struct {
    int layer_count;
    edit_layer layer[EDIT_LAYERS_MAX]; /* in the order of model.layers */
    int shards;                        /* 0: one model.safetensors without an index */
    bool conv1d;                       /* a model of the GPT-2 family, weights [n, m] */
    int64_t edits;
    rls_value_kind kind;
    double value_scale; /* of the values; 0: 1 */
    rls_dtype stream_dtype;
    int segments; /* 0: one stream file; else a directory of so many */
    bool moments;
    int64_t anchors; /* explicit anchor keys */
    bool anchor_values;
    double lambda, mu, weight;
} edit_plan;

/* What was made. The problem of a layer has, for a stream of residuals, these in place of values. */
typedef struct {
    edit_plan plan;
    char dir[RLS_TEST_PATH_MAX]; /* holds all of the below, and nothing else */
    char model[RLS_TEST_PATH_MAX], stream[RLS_TEST_PATH_MAX];
    char module[64];
    dense_problem problem[EDIT_LAYERS_MAX];
    int shard[EDIT_LAYERS_MAX];     /* that holds the layer's tensor */
    size_t offset[EDIT_LAYERS_MAX]; /* of the tensor's first byte in the shard's file */
    char tensor[EDIT_LAYERS_MAX][96];
} edit_data;

/* Makes it all in a fresh directory. Collective. */
void edit_data_make(rls_context *ctx, const edit_plan *plan, edit_data *out);

/* Removes the directory and frees the problems. Collective. */
void edit_data_remove(edit_data *data);

/* The name of a shard's file. Not collective. */
const char *edit_data_shard_name(const edit_data *data, int shard, char name[64]);

#endif
