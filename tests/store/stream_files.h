/* Streams of known numbers, for the tests of this room. */
#ifndef STORE_STREAM_FILES_H
#define STORE_STREAM_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/stream.h"
#include "store/stream_write.h"
#include "support/collective.h"
#include "support/state.h"

enum { LAYERS = 3 };

/* Layers of different shapes and types, as edits [0, edits) of a stream; *layers is the array it points to.
 */
static inline rls_stream_info some_info(rls_stream_layer layers[LAYERS], rls_value_kind kind, int64_t batch)
{
    layers[0] = (rls_stream_layer){.layer = 0, .n = 7, .m = 3, .key_dtype = RLS_F32, .value_dtype = RLS_F32};
    layers[1] = (rls_stream_layer){.layer = 4, .n = 5, .m = 11, .key_dtype = RLS_F64, .value_dtype = RLS_F64};
    layers[2] = (rls_stream_layer){.layer = 31, .n = 1, .m = 2, .key_dtype = RLS_F32, .value_dtype = RLS_F64};
    rls_stream_info info = {
        .batch = batch, .kind = kind, .has_case_ids = true, .layer_count = LAYERS, .layers = layers};
    (void)snprintf(info.module, sizeof info.module, "model.layers.{}.mlp.down_proj");
    return info;
}

/* Element j of edit e of a layer's keys or values, as the file's type holds it. */
static inline double expected(int layer, rls_stream_part part, rls_dtype stored, int64_t e, int64_t j)
{
    const double x = rls_random_normal_at((uint64_t)(2 * layer + (part == RLS_STREAM_VALUES)), e, j);
    return stored == RLS_F32 ? (double)(float)x : x;
}

static inline int64_t expected_id(int64_t e)
{
    return 1000000007 * e - 5;
}

/* This rank's `count` vectors from edit `first` on, in the given type; free(data). */
static inline rls_vectors make_vectors(int layer, rls_stream_part part, rls_dtype stored, rls_dtype dtype,
                                       int64_t first, int64_t count, int64_t length)
{
    void *data = malloc((size_t)(count * length + 1) * rls_dtype_size(dtype));
    for (int64_t i = 0; i < count * length; i++) {
        const double x = expected(layer, part, stored, first + i / length, i % length);
        if (dtype == RLS_F64)
            ((double *)data)[i] = x;
        else
            ((float *)data)[i] = (float)x;
    }
    return (rls_vectors){count, dtype, data};
}

/* Writes edits [first, first + edits), dealt out unevenly: rank r of s has a part that grows with r. */
static inline rls_status write_edits(rls_context *ctx, const char *path, const rls_stream_info *info,
                                     int64_t first, int64_t edits, rls_dtype dtype)
{
    const int64_t rank = rls_context_rank(ctx), size = rls_context_size(ctx), all = size * (size + 1) / 2;
    const int64_t begin = edits * (rank * (rank + 1) / 2) / all,
                  end = edits * ((rank + 1) * (rank + 2) / 2) / all;
    rls_vectors keys[LAYERS], values[LAYERS];
    int64_t *ids = malloc((size_t)(end - begin + 1) * sizeof *ids);
    for (int64_t e = begin; e < end; e++)
        ids[e - begin] = expected_id(first + e);
    for (int i = 0; i < info->layer_count; i++) {
        const rls_stream_layer *l = &info->layers[i];
        keys[i] =
            make_vectors(l->layer, RLS_STREAM_KEYS, l->key_dtype, dtype, first + begin, end - begin, l->n);
        values[i] = make_vectors(l->layer, RLS_STREAM_VALUES, l->value_dtype, dtype, first + begin,
                                 end - begin, l->m);
    }
    const rls_status status = rls_stream_write(ctx, path, info, ids, keys, values);
    for (int i = 0; i < info->layer_count; i++) {
        free((void *)keys[i].data);
        free((void *)values[i].data);
    }
    free(ids);
    return status;
}

/* A stream of `edits` edits in a file of a directory. */
static inline void write_some(rls_context *ctx, char path[RLS_TEST_PATH_MAX], const char *dir,
                              const char *name, int64_t edits)
{
    rls_stream_layer layers[LAYERS];
    const rls_stream_info info = some_info(layers, RLS_TARGET, 10);
    (void)snprintf(path, RLS_TEST_PATH_MAX, "%.900s/%s", dir, name);
    assert_all_ok(ctx, write_edits(ctx, path, &info, 0, edits, RLS_F64));
}

/* Copies a file with the first occurrence of `from` replaced by `to` (both of `bytes` bytes), or cut to
 * `bytes` when from is NULL. */
static inline void damage(const char *source, const char *path, const char *from, const char *to,
                          size_t bytes)
{
    size_t size = 0, at = 0;
    char *data = rls_test_read(source, &size);
    if (from == NULL) {
        size = bytes;
    } else {
        while (at + bytes <= size && memcmp(data + at, from, bytes) != 0)
            at++;
        assert_all(at + bytes <= size);
        memcpy(data + at, to, bytes);
    }
    rls_test_write(path, data, size);
    free(data);
}

#endif
