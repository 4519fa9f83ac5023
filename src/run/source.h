/*
 * Where batches come from. The loop sees only this: a recorded stream, or facts edited on the live model
 * (run/live_source.h). A source gives each layer's share of a batch when the layer's turn comes, so that its
 * keys can depend on the layers edited before.
 */
#ifndef RUN_SOURCE_H
#define RUN_SOURCE_H

#include <jansson.h>

#include "run/states.h"

typedef struct rls_source rls_source;

/* What a kind of source does: a table of functions in its own file. */
typedef struct {
    const char *name; /* of what `describe` says in a line of the log */
    rls_status (*get)(rls_source *source, int layer, int64_t first, int64_t count, rls_batch *out);
    rls_status (*stepped)(rls_source *source);     /* NULL: nothing to do */
    json_t *(*describe)(const rls_source *source); /* NULL: there is nothing to say */
    void (*destroy)(rls_source *source);
} rls_source_kind;

/* Base of every source. */
struct rls_source {
    const rls_source_kind *kind;
    rls_states *states;
    int64_t edits;           /* how many there are */
    const int64_t *case_ids; /* see rls_source_case_ids */
};

/* Allocates a source of `bytes` bytes, beginning with its base, and an array of layer_bytes a layer, all zero
 * but the base. Collective. Its kind's destroy frees both. Returns RLS_ERR_MEMORY; then both are NULL. */
RLS_NODISCARD rls_status rls_source_create(const rls_source_kind *kind, rls_states *states, int64_t edits,
                                           size_t bytes, size_t layer_bytes, rls_source **out, void **layers);

/* Edits [first, first + count) for a layer (its index): this rank's share, as targets, or as residuals with
 * room for the targets that the step makes of them. Collective. Layer by layer, each right before its step.
 * The vectors stay the source's and hold until layer 0 is asked for again, so that the batch can be put into
 * the journal when all layers have been stepped. */
static inline rls_status rls_source_get(rls_source *source, int layer, int64_t first, int64_t count,
                                        rls_batch *out)
{
    return source->kind->get(source, layer, first, count, out);
}

/* All layers have taken the batch given last. Collective. */
RLS_NODISCARD static inline rls_status rls_source_stepped(rls_source *source)
{
    return source->kind->stepped != NULL ? source->kind->stepped(source) : RLS_OK;
}

/* Frees the source and sets *source to NULL. Collective. NULL is accepted. */
static inline void rls_source_destroy(rls_source **source)
{
    if (*source != NULL)
        (*source)->kind->destroy(*source);
    *source = NULL;
}

/* This rank's share of the case_ids of the batch given last; NULL when there are none. Not collective. */
static inline const int64_t *rls_source_case_ids(const rls_source *source)
{
    return source->case_ids;
}

/* What the source says of the batch given last, for its line in the log: {kind's name: ...}; nothing for a
 * source, or NULL, that has nothing to say. Not collective. */
static inline void rls_source_describe(const rls_source *source, json_t *line)
{
    if (source != NULL && source->kind->describe != NULL && line != NULL)
        (void)json_object_set_new(line, source->kind->name, source->kind->describe(source));
}

/* A recorded stream (open as long as the source is used), read for the states' layers. Collective.
 * Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_recorded_source(rls_states *states, rls_stream *stream, rls_source **out);

#endif
