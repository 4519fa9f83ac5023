#include "store/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/stream_names.h"
#include "store/stream_state.h"

/* Collective: every rank learns the segments' paths: of a journal its first `segments`, else (-1) what is there. */
static rls_status share_names(rls_stream *stream, const char *path, int64_t segments)
{
    rls_context *ctx = stream->ctx;
    rls_stream_names list = {0};
    void *array = NULL, *text = NULL, *starts = NULL, *bytes = NULL;
    rls_status status = RLS_OK;
    if (ctx->rank == 0)
        status = segments >= 0 ? rls_stream_names_of_journal(ctx, path, segments, &list)
                               : rls_stream_names_find(ctx, path, &list);
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        int64_t sizes[2] = {list.count, list.bytes};
        MPI_Bcast(sizes, 2, MPI_INT64_T, 0, ctx->comm);
        list.count = sizes[0];
        list.bytes = sizes[1];
        status = rls_alloc(ctx, list.bytes, 1, &text);
        if (status == RLS_OK)
            status = rls_alloc(ctx, list.count, sizeof(char *), &array);
        if (status == RLS_OK)
            status = rls_alloc_zero(ctx, list.count + 1, sizeof(int64_t), &starts);
        if (status == RLS_OK)
            status = rls_alloc_zero(ctx, list.count, sizeof(int64_t), &bytes);
        stream->names = text;
        stream->paths = array;
        stream->starts = starts;
        stream->sizes = bytes;
        stream->segments = list.count;
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK) {
        if (list.text != NULL) /* rank 0 */
            memcpy(stream->names, list.text, (size_t)list.bytes);
        MPI_Bcast(stream->names, (int)list.bytes, MPI_CHAR, 0, ctx->comm);
        char *name = stream->names;
        for (int64_t s = 0; s < list.count; s++) {
            stream->paths[s] = name;
            name += strlen(name) + 1;
        }
    }
    rls_stream_names_free(&list);
    return status;
}

/* Collective: the first segment's header, read by rank 0, on all ranks. */
static rls_status share_header(rls_stream *stream, rls_stream_use use)
{
    rls_context *ctx = stream->ctx;
    rls_stream_info *info = &stream->info;
    const rls_status read =
        ctx->rank == 0 ? rls_stream_header_read(ctx, stream->paths[0], use, info) : RLS_OK;
    void *layers = info->layers;
    const rls_status status =
        rls_nc_share_header(ctx, read, info, sizeof *info, &info->layer_count, sizeof *info->layers, &layers);
    info->layers = layers;
    return status;
}

/* Collective: keeps only the failure at the smallest position, so that what is reported does not depend on
 * the ranks. */
static rls_status agree_on_first(rls_context *ctx, rls_status local, int64_t position)
{
    int64_t first = local != RLS_OK ? position : INT64_MAX;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT64_T, MPI_MIN, ctx->comm);
    if (local != RLS_OK && position != first) {
        rls_clear_failure(ctx);
        local = RLS_OK;
    }
    return rls_agree(ctx, local);
}

/* Collective: reads the headers of all segments, each on one rank, and where each one's edits begin. */
static rls_status check_segments(rls_stream *stream, rls_stream_use use)
{
    rls_context *ctx = stream->ctx;
    rls_status status = RLS_OK;
    int64_t s = ctx->rank;
    int batches_differ = 0;
    for (; s < stream->segments; s += ctx->size) {
        rls_stream_info info;
        status = rls_stream_header_read(ctx, stream->paths[s], use, &info);
        if (status == RLS_OK)
            status = rls_stream_header_match(ctx, stream->paths[0], &stream->info, stream->paths[s], &info);
        stream->starts[s + 1] = info.edits;
        stream->sizes[s] = info.bytes;
        batches_differ |= info.batch != stream->info.batch;
        rls_stream_info_free(&info);
        if (status != RLS_OK)
            break; /* this rank's later segments cannot be the first at fault */
    }
    if ((status = agree_on_first(ctx, status, s)) != RLS_OK)
        return status;
    MPI_Allreduce(MPI_IN_PLACE, stream->starts, (int)stream->segments + 1, MPI_INT64_T, MPI_SUM, ctx->comm);
    MPI_Allreduce(MPI_IN_PLACE, stream->sizes, (int)stream->segments, MPI_INT64_T, MPI_SUM, ctx->comm);
    MPI_Allreduce(MPI_IN_PLACE, &batches_differ, 1, MPI_INT, MPI_MAX, ctx->comm);
    if (batches_differ != 0) /* a run may go on in other batches */
        stream->info.batch = 0;
    stream->info.bytes = 0;
    for (int64_t i = 0; i < stream->segments; i++) {
        stream->starts[i + 1] += stream->starts[i];
        stream->info.bytes += stream->sizes[i];
    }
    stream->info.edits = stream->starts[stream->segments];
    return RLS_OK;
}

/* Collective: rls_stream_open, or of a journal's first `segments`. */
static rls_status open_segments(rls_context *ctx, const char *path, int64_t segments, rls_stream_use use,
                                rls_stream **out)
{
    void *object = NULL;
    *out = NULL;
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, 1, sizeof(rls_stream), &object));
    rls_stream *stream = object;
    if (stream != NULL)
        *stream = (rls_stream){.ctx = ctx, .open = -1};
    if (stream == NULL || status != RLS_OK)
        goto fail;
    if ((status = rls_agree(ctx, rls_strdup(ctx, path, &stream->path))) != RLS_OK)
        goto fail;
    if ((status = share_names(stream, path, segments)) != RLS_OK ||
        (status = share_header(stream, use)) != RLS_OK || (status = check_segments(stream, use)) != RLS_OK)
        goto fail;
    if (stream->info.edits == 0)
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA, "%s: the stream has no edits", path));
    if (status != RLS_OK)
        goto fail;
    *out = stream;
    return RLS_OK;
fail:
    rls_stream_close(&stream);
    return status;
}

rls_status rls_stream_open(rls_context *ctx, const char *path, rls_stream_use use, rls_stream **out)
{
    return open_segments(ctx, path, -1, use, out);
}

rls_status rls_stream_open_journal(rls_context *ctx, const char *path, int64_t segments, const int64_t *ends,
                                   rls_stream **out)
{
    rls_status status = open_segments(ctx, path, segments, RLS_STREAM_EDITS, out);
    for (int64_t s = 0; s < segments && ends != NULL && status == RLS_OK; s++)
        if ((*out)->starts[s + 1] != ends[s]) /* equal on all ranks */
            status =
                rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA,
                                        "%s: ends with edit %" PRId64 ", where its manifest says %" PRId64,
                                        (*out)->paths[s], (*out)->starts[s + 1], ends[s]));
    if (status != RLS_OK)
        rls_stream_close(out);
    return status;
}

void rls_stream_close(rls_stream **stream)
{
    rls_stream *s = *stream;
    if (s == NULL)
        return;
    if (s->open >= 0)
        (void)ncmpi_close(s->ncid); /* nothing was written: nothing can be lost */
    rls_stream_info_free(&s->info);
    free(s->path);
    free(s->names);
    free(s->paths);
    free(s->starts);
    free(s->sizes);
    free(s->scratch);
    free(s);
    *stream = NULL;
}

const rls_stream_info *rls_stream_inquire(const rls_stream *stream)
{
    return &stream->info;
}

rls_status rls_stream_layer_info(rls_stream *stream, int layer, const rls_stream_layer **out)
{
    const rls_stream_info *info = &stream->info;
    char text[256];
    *out = rls_layer_find(info->layers, info->layer_count, sizeof *info->layers, layer);
    if (*out != NULL)
        return RLS_OK;
    return rls_fail(stream->ctx, RLS_ERR_DATA, "%s: variable key_%d is missing: the stream's layers are %s",
                    stream->path, layer,
                    rls_layers_text(info->layers, info->layer_count, sizeof *info->layers, text));
}

int64_t rls_stream_segments(const rls_stream *stream)
{
    return stream->segments;
}

const char *rls_stream_segment(const rls_stream *stream, int64_t index, int64_t *first, int64_t *edits,
                               int64_t *bytes)
{
    if (first != NULL)
        *first = stream->starts[index];
    if (edits != NULL)
        *edits = stream->starts[index + 1] - stream->starts[index];
    if (bytes != NULL)
        *bytes = stream->sizes[index];
    return stream->paths[index];
}
