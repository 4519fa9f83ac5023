#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "grid/redistribute.h"
#include "store/stream_state.h"

/* A rank's part [begin, end) of the edits [first, first + count). */
typedef struct {
    int64_t begin, end;
} range;

static range share_of(const rls_context *ctx, int64_t first, int64_t count)
{
    const int64_t even = count / ctx->size, rest = count % ctx->size, rank = ctx->rank;
    const int64_t begin = first + rank * even + (rank < rest ? rank : rest);
    return (range){begin, begin + even + (rank < rest)};
}

static range cut(range a, int64_t begin, int64_t end)
{
    range both = {a.begin > begin ? a.begin : begin, a.end < end ? a.end : end};
    if (both.end < both.begin)
        both.end = both.begin;
    return both;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The segment that holds an edit. */
static int64_t segment_of(const rls_stream *stream, int64_t edit)
{
    int64_t low = 0, high = stream->segments - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (stream->starts[middle + 1] > edit)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static rls_status reserve(rls_context *ctx, int64_t bytes, void **buffer, int64_t *capacity)
{
    if (bytes <= *capacity)
        return RLS_OK;
    free(*buffer);
    *capacity = 0;
    const rls_status status = rls_alloc(ctx, bytes, 1, buffer);
    if (status == RLS_OK)
        *capacity = bytes;
    return status;
}

/* Collective: makes segment s the open one. */
static rls_status open_segment(rls_stream *stream, int64_t s)
{
    if (stream->open == s)
        return RLS_OK;
    if (stream->open >= 0)
        (void)ncmpi_close(stream->ncid);
    stream->open = -1;
    const rls_status status = rls_nc_open(stream->ctx, stream->paths[s], &stream->ncid);
    if (status == RLS_OK)
        stream->open = s;
    return status;
}

/* What one read needs; `per_round` rows a rank go to PnetCDF at a time. */
typedef struct {
    char variable[32];
    rls_dtype stored;
    int64_t per_round, most; /* most: the largest share of any rank */
} plan;

static rls_status check_range(rls_stream *stream, range whole)
{
    if (whole.begin >= 0 && whole.end >= whole.begin && whole.end <= stream->info.edits)
        return RLS_OK;
    return rls_fail(stream->ctx, RLS_ERR_USAGE,
                    "%s: edits %" PRId64 " to %" PRId64 " are outside the stream of %" PRId64, stream->path,
                    whole.begin, whole.end, stream->info.edits);
}

/* Local: checks the arguments and gets the memory. */
static rls_status plan_read(rls_stream *stream, int layer, rls_stream_part part, range whole, rls_dtype want,
                            rls_stream_share *share, plan *p)
{
    rls_context *ctx = stream->ctx;
    const rls_stream_layer *info = NULL;
    const range mine = share_of(ctx, whole.begin, whole.end - whole.begin);
    rls_status status = rls_stream_layer_info(stream, layer, &info);
    if (status != RLS_OK)
        return status;
    (void)snprintf(p->variable, sizeof p->variable, part == RLS_STREAM_KEYS ? "key_%d" : "value_%d", layer);
    p->stored = part == RLS_STREAM_KEYS ? info->key_dtype : info->value_dtype;
    share->length = part == RLS_STREAM_KEYS ? info->n : info->m;
    if (share->length == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s is missing", stream->path, p->variable);
    if ((status = check_range(stream, whole)) != RLS_OK)
        return status;
    const int64_t stored_bytes = share->length * (int64_t)rls_dtype_size(p->stored);
    p->most = (whole.end - whole.begin + ctx->size - 1) / ctx->size;
    p->per_round = RLS_ROUND_BYTES / stored_bytes > 0 ? RLS_ROUND_BYTES / stored_bytes : 1;
    share->first = mine.begin;
    share->vectors.count = mine.end - mine.begin;
    share->vectors.dtype = want;
    status = reserve(ctx, share->vectors.count * share->length * (int64_t)rls_dtype_size(want),
                     &share->buffer, &share->capacity);
    share->vectors.data = share->buffer;
    if (status == RLS_OK && p->stored != want)
        status = reserve(ctx, smaller(p->per_round, share->vectors.count) * stored_bytes, &stream->scratch,
                         &stream->scratch_bytes);
    return status;
}

/* Collective: this rank's rows of the open segment, which cover [begin, end) of the stream, in rounds. */
static rls_status read_segment(rls_stream *stream, const plan *p, int64_t begin, int64_t end,
                               rls_stream_share *share)
{
    const int64_t origin = stream->starts[stream->open];
    const range mine = cut((range){share->first, share->first + share->vectors.count}, begin, end);
    const int64_t rounds = (smaller(end - begin, p->most) + p->per_round - 1) / p->per_round;
    int varid = -1;
    int err = ncmpi_inq_varid(stream->ncid, p->variable, &varid);
    rls_status status = rls_agree(
        stream->ctx, rls_nc_check(stream->ctx, err, "read", stream->paths[stream->open], p->variable));
    if (status != RLS_OK)
        return status;
    for (int64_t round = 0; round < rounds; round++) {
        const range now =
            cut(mine, mine.begin + round * p->per_round, mine.begin + (round + 1) * p->per_round);
        const int64_t count = now.end - now.begin, at = (now.begin - share->first) * share->length;
        char *to =
            count > 0 ? (char *)share->buffer + (size_t)at * rls_dtype_size(share->vectors.dtype) : NULL;
        void *rows = p->stored != share->vectors.dtype ? stream->scratch : to;
        err = rls_nc_get_rows(stream->ncid, varid, p->stored, now.begin - origin, count, share->length, rows);
        if (status == RLS_OK) /* go on after a failure: the other ranks are in the same calls */
            status = rls_nc_check(stream->ctx, err, "read", stream->paths[stream->open], p->variable);
        if (status == RLS_OK && rows != to && count > 0)
            rls_convert(share->vectors.dtype, to, 1, p->stored, rows, 1, count * share->length);
    }
    return rls_agree(stream->ctx, status);
}

rls_status rls_stream_read(rls_stream *stream, int layer, rls_stream_part part, int64_t first, int64_t count,
                           rls_dtype want, rls_stream_share *share)
{
    plan p;
    const double start = rls_profile_start();
    const int64_t end = first + count;
    rls_status status =
        rls_agree(stream->ctx, plan_read(stream, layer, part, (range){first, end}, want, share, &p));
    for (int64_t at = first; status == RLS_OK && at < end;) {
        const int64_t s = segment_of(stream, at), stop = smaller(end, stream->starts[s + 1]);
        status = open_segment(stream, s);
        if (status == RLS_OK)
            status = read_segment(stream, &p, at, stop, share);
        at = stop;
    }
    if (status == RLS_OK)
        (void)rls_profile_add(stream->ctx, "stream read", start, 0.0,
                              (double)share->vectors.count * (double)share->length *
                                  (double)rls_dtype_size(p.stored));
    return status;
}

void rls_stream_share_free(rls_stream_share *share)
{
    free(share->buffer);
    *share = (rls_stream_share){0};
}

/* Collective: the ids of edits [begin, end) of the open segment, read by rank 0. */
static rls_status read_ids(rls_stream *stream, int64_t begin, int64_t end, int64_t *ids)
{
    enum { IDS = 4096 };
    rls_context *ctx = stream->ctx;
    const char *path = stream->paths[stream->open];
    long long some[IDS];
    int varid = -1;
    rls_status status = rls_agree(
        ctx, rls_nc_check(ctx, ncmpi_inq_varid(stream->ncid, "case_id", &varid), "read", path, "case_id"));
    if (status != RLS_OK)
        return status;
    for (int64_t at = begin; at < end; at += IDS) {
        const int64_t count = smaller(IDS, end - at);
        const MPI_Offset start = ctx->rank == 0 ? at - stream->starts[stream->open] : 0;
        const MPI_Offset mine = ctx->rank == 0 ? count : 0;
        const int err = ncmpi_get_vara_longlong_all(stream->ncid, varid, &start, &mine, some);
        if (status == RLS_OK)
            status = rls_nc_check(ctx, err, "read", path, "case_id");
        for (int64_t i = 0; i < mine; i++)
            ids[at - begin + i] = some[i];
        MPI_Bcast(ids + (at - begin), (int)count, MPI_INT64_T, 0, ctx->comm);
    }
    return rls_agree(ctx, status);
}

rls_status rls_stream_case_ids(rls_stream *stream, int64_t first, int64_t count, int64_t *ids)
{
    const int64_t end = first + count;
    rls_status status = rls_agree(stream->ctx, check_range(stream, (range){first, end}));
    for (int64_t at = first; status == RLS_OK && at < end;) {
        const int64_t s = segment_of(stream, at), stop = smaller(end, stream->starts[s + 1]);
        if (stream->info.has_case_ids) {
            status = open_segment(stream, s);
            if (status == RLS_OK)
                status = read_ids(stream, at, stop, ids + (at - first));
        }
        for (int64_t i = at; i < stop && !stream->info.has_case_ids; i++)
            ids[i - first] = -1;
        at = stop;
    }
    return status;
}
