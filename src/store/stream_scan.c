#include <inttypes.h>
#include <stdio.h>

#include "grid/redistribute.h"
#include "store/finite.h"
#include "store/stream_state.h"

/* The first number at fault, by its place in the stream. */
typedef struct {
    int64_t edit;
    int order; /* within the edit: 2 x place in the list of layers, + 1 for values */
    int64_t component;
    double value;
} finding;

typedef struct {
    rls_stream *stream;
    const int *layers; /* NULL: all */
    int layer_count;
    rls_dtype as;
    finding first;
} scan;

static int layer_at(const scan *sc, int i)
{
    return sc->layers != NULL ? sc->layers[i] : sc->stream->info.layers[i].layer;
}

/* Looks through this rank's vectors; `order` as in finding. */
static void look(scan *sc, const rls_stream_share *share, int order)
{
    const rls_vectors *v = &share->vectors;
    const int64_t at = rls_first_nonfinite(v->dtype, v->data, v->count * share->length, sc->as);
    if (at < 0)
        return;
    const int64_t edit = share->first + at / share->length;
    if (edit < sc->first.edit) /* of one edit the first look counts: they come in the order to be reported */
        sc->first = (finding){edit, order, at % share->length, rls_element_value(v->dtype, v->data, at)};
}

/* The layers' names are right and their vectors' bytes; edits a rank may take at a time. */
static rls_status plan(scan *sc, int64_t *edits)
{
    int64_t line = 1;
    for (int i = 0; i < sc->layer_count; i++) {
        const rls_stream_layer *layer = NULL;
        const rls_status status = rls_stream_layer_info(sc->stream, layer_at(sc, i), &layer);
        if (status != RLS_OK)
            return status;
        const int64_t key = layer->n * (int64_t)rls_dtype_size(layer->key_dtype);
        const int64_t value = layer->m * (int64_t)rls_dtype_size(layer->value_dtype);
        line = key > line ? key : line;
        line = value > line ? value : line;
    }
    *edits = RLS_ROUND_BYTES / line > 0 ? RLS_ROUND_BYTES / line : 1;
    return RLS_OK;
}

/* Collective: reads and looks through all layers of some edits. */
static rls_status look_at(scan *sc, int64_t first, int64_t count, rls_stream_share *share)
{
    rls_status status = RLS_OK;
    for (int order = 0; order < 2 * sc->layer_count && status == RLS_OK; order++) {
        const rls_stream_layer *layer = NULL;
        const rls_stream_part part = order % 2 == 0 ? RLS_STREAM_KEYS : RLS_STREAM_VALUES;
        status = rls_stream_layer_info(sc->stream, layer_at(sc, order / 2), &layer);
        if (status != RLS_OK || (part == RLS_STREAM_VALUES && layer->m == 0))
            continue;
        const rls_dtype stored = part == RLS_STREAM_KEYS ? layer->key_dtype : layer->value_dtype;
        status = rls_stream_read(sc->stream, layer->layer, part, first, count, stored, share);
        if (status == RLS_OK)
            look(sc, share, order);
    }
    return status;
}

/* Collective: the message about the finding, which lies in segment s; the same on all ranks. */
static rls_status report(scan *sc, int64_t s)
{
    const finding *f = &sc->first;
    int64_t id = -1;
    char who[48] = "";
    const rls_status status = rls_stream_case_ids(sc->stream, f->edit, 1, &id);
    if (status != RLS_OK)
        return status;
    if (sc->stream->info.has_case_ids)
        (void)snprintf(who, sizeof who, " (case_id %" PRId64 ")", id);
    return rls_agree(sc->stream->ctx,
                     rls_fail(sc->stream->ctx, RLS_ERR_DATA,
                              "%s: %s_%d of edit %" PRId64 "%s has the value %g at index %" PRId64
                              "%s: remove this edit",
                              sc->stream->paths[s], f->order % 2 == 0 ? "key" : "value",
                              layer_at(sc, f->order / 2), f->edit, who, f->value, f->component,
                              sc->as == RLS_F32 ? ", which is no finite float32" : ""));
}

/* Collective: the earliest finding of all ranks. Ranks hold different edits, so the edit decides. */
static void find_first(scan *sc)
{
    struct {
        long edit;
        int rank;
    } mine = {(long)sc->first.edit, sc->stream->ctx->rank}, least;
    MPI_Allreduce(&mine, &least, 1, MPI_LONG_INT, MPI_MINLOC, sc->stream->ctx->comm);
    MPI_Bcast(&sc->first, (int)sizeof sc->first, MPI_BYTE, least.rank, sc->stream->ctx->comm);
}

rls_status rls_stream_scan(rls_stream *stream, const int *layers, int layer_count, rls_dtype as)
{
    scan sc = {.stream = stream, .layers = layers, .as = as, .first = {.edit = INT64_MAX}};
    rls_stream_share share = {0};
    int64_t each = 1;
    sc.layer_count = layers != NULL ? layer_count : stream->info.layer_count;
    rls_status status = rls_agree(stream->ctx, plan(&sc, &each));
    for (int64_t s = 0; s < stream->segments && status == RLS_OK; s++) {
        int64_t count = 0;
        for (int64_t at = stream->starts[s]; at < stream->starts[s + 1] && status == RLS_OK; at += count) {
            const int64_t left = stream->starts[s + 1] - at;
            count = left / stream->ctx->size < each ? left : each * stream->ctx->size;
            status = look_at(&sc, at, count, &share);
            if (status != RLS_OK)
                break;
            find_first(&sc);
            if (sc.first.edit != INT64_MAX)
                status = report(&sc, s);
        }
    }
    rls_stream_share_free(&share);
    return status;
}
