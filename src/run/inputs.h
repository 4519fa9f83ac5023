/* Everything a run reads, opened and checked against each other before any expensive work. */
#ifndef RUN_INPUTS_H
#define RUN_INPUTS_H

#include <jansson.h>

#include "base/config.h"
#include "corpus/facts.h"
#include "grid/redistribute.h"
#include "llm/model_config.h"
#include "store/model_dir.h"
#include "store/moments.h"
#include "store/stream.h"

/* One edited layer: its weight's tensor and sizes. */
typedef struct {
    int number;
    int64_t n, m;    /* key size, value size */
    char *tensor;    /* "model.layers.4.mlp.down_proj.weight" */
    rls_dtype dtype; /* of the tensor in the file */
} rls_layer_spec;

typedef struct {
    rls_context *ctx;
    const rls_config *config;
    rls_model_config family;
    rls_model_dir *model;
    rls_stream *stream;   /* recorded edits; NULL: facts are edited */
    rls_facts *facts;     /* NULL: a recorded stream is edited */
    rls_moments *moments; /* NULL: no second moments (or mu = 0, which makes them nothing) */
    rls_stream *anchor;   /* NULL: no explicit anchor keys (or mu = 0) */
    bool anchor_values;   /* the anchor keys come with values for every layer */
    rls_lines lines;      /* how the model stores its weights */
    int64_t edits;
    int layer_count;
    rls_layer_spec *layers; /* in the config's order */
} rls_inputs;

/* What a run is made from: paths, and of stream and facts one. */
typedef struct {
    char *model, *stream, *facts;
    rls_facts_policy policy; /* for wrong facts */
    int64_t limit;           /* of facts; 0: all */
} rls_input_paths;

/* Opens the model, the stream or the facts, and the anchor, checks that all layers are there with fitting
 * shapes, and scans keys and values for numbers that are not finite. Collective. config must outlive the
 * inputs. Returns RLS_ERR_CONFIG, RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY; on failure *out is NULL. */
RLS_NODISCARD rls_status rls_inputs_open(rls_context *ctx, const rls_config *config,
                                         const rls_input_paths *paths, rls_inputs **out);

/* The fingerprint of all of it: rls_fingerprint_take. Collective. */
RLS_NODISCARD rls_status rls_inputs_fingerprint(const rls_inputs *inputs, json_t **out);

/* Whether the edits' targets do not depend on the weights at the time. Not collective. */
bool rls_inputs_give_targets(const rls_inputs *inputs);

/* The case_ids of edits [first, first + count), all on every rank; -1 each where the stream has none.
 * Collective. ids: room for count. Errors as rls_stream_case_ids. */
RLS_NODISCARD rls_status rls_inputs_case_ids(const rls_inputs *inputs, int64_t first, int64_t count,
                                             int64_t *ids);

/* Closes everything and sets *inputs to NULL. Collective. NULL is accepted. */
void rls_inputs_close(rls_inputs **inputs);

#endif
