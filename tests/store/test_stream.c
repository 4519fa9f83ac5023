/* Streams: what is written is read, by any number of ranks, in any range and type, across segments. */
#include <math.h>
#include <pnetcdf.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "store/finite.h"
#include "store/stream_files.h"

/* Reads a range and compares every number, and that the ranks' shares make up the range. */
static void check_read(rls_context *ctx, rls_stream *stream, const rls_stream_layer *l, rls_stream_part part,
                       int64_t first, int64_t count, rls_dtype want, rls_stream_share *share)
{
    const rls_dtype stored = part == RLS_STREAM_KEYS ? l->key_dtype : l->value_dtype;
    const int64_t length = part == RLS_STREAM_KEYS ? l->n : l->m;
    assert_all_ok(ctx, rls_stream_read(stream, l->layer, part, first, count, want, share));
    int64_t wrong = 0, before = 0, total = 0;
    const int64_t mine = share->vectors.count;
    for (int64_t i = 0; i < mine * length; i++) {
        const double x = expected(l->layer, part, stored, share->first + i / length, i % length);
        wrong += rls_element_value(want, share->vectors.data, i) != (want == RLS_F32 ? (double)(float)x : x);
    }
    assert_all_int_equal(wrong, 0);
    MPI_Exscan(&mine, &before, 1, MPI_INT64_T, MPI_SUM, ctx->comm);
    MPI_Allreduce(&mine, &total, 1, MPI_INT64_T, MPI_SUM, ctx->comm);
    assert_all_int_equal(share->first, first + (ctx->rank == 0 ? 0 : before));
    assert_all_int_equal(total, count);
    assert_all_int_equal(share->length, length);
    assert_all(share->vectors.dtype == want);
    assert_all(mine <= (count + ctx->size - 1) / ctx->size);
}

static void check_ids(rls_context *ctx, rls_stream *stream, int64_t first, int64_t count)
{
    int64_t *ids = calloc((size_t)count + 1, sizeof *ids), wrong = 0;
    assert_all_ok(ctx, rls_stream_case_ids(stream, first, count, ids));
    for (int64_t i = 0; i < count; i++)
        wrong += ids[i] != expected_id(first + i);
    assert_all_int_equal(wrong, 0);
    free(ids);
}

/* Reads the ranges a user of this stream may ask for. */
static void check_ranges(rls_context *ctx, rls_stream *stream)
{
    const rls_stream_info *info = rls_stream_inquire(stream);
    const int64_t all = info->edits;
    const int64_t ranges[][2] = {{0, all},           {0, 1}, {all - 1, 1}, {all / 2, 0}, {all, 0},
                                 {all / 3, all / 2}, {1, 2}};
    rls_stream_share share = {0};
    for (size_t r = 0; r < RLS_TEST_COUNT(ranges); r++) {
        const int64_t first = ranges[r][0], count = ranges[r][1];
        for (int i = 0; i < info->layer_count; i++) {
            check_read(ctx, stream, &info->layers[i], RLS_STREAM_KEYS, first, count, RLS_F64, &share);
            check_read(ctx, stream, &info->layers[i], RLS_STREAM_VALUES, first, count, RLS_F32, &share);
            check_read(ctx, stream, &info->layers[i], RLS_STREAM_VALUES, first, count, RLS_F64, &share);
        }
        check_ids(ctx, stream, first, count);
    }
    rls_stream_share_free(&share);
}

static void check_info(const rls_stream_info *a, const rls_stream_info *b, int64_t edits)
{
    assert_all_int_equal(a->edits, edits);
    assert_all_int_equal(a->batch, b->batch);
    assert_all(a->kind == b->kind && a->has_case_ids == b->has_case_ids);
    assert_all_string_equal(a->module, b->module);
    assert_all_int_equal(a->layer_count, b->layer_count);
    for (int i = 0; i < a->layer_count; i++) {
        const rls_stream_layer *x = &a->layers[i], *y = &b->layers[i];
        assert_all(x->layer == y->layer && x->n == y->n && x->m == y->m);
        assert_all(x->key_dtype == y->key_dtype && x->value_dtype == y->value_dtype);
    }
}

static void test_round_trip(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream_layer layers[LAYERS];
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    const int64_t edits[] = {1, 2, 23, 100};
    for (size_t i = 0; i < RLS_TEST_COUNT(edits); i++) {
        rls_stream *stream = NULL;
        const rls_stream_info info = some_info(layers, i % 2 == 0 ? RLS_TARGET : RLS_RESIDUAL, (int64_t)i);
        /* the same file is replaced each time, from float64 and from float32 in memory */
        assert_all_ok(ctx, write_edits(ctx, path, &info, 0, edits[i], RLS_F64));
        assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
        check_info(rls_stream_inquire(stream), &info, edits[i]);
        if (edits[i] > 2)
            check_ranges(ctx, stream);
        assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F64));
        rls_stream_close(&stream);
        assert_all(stream == NULL);
    }
    rls_test_rmtree(dir);
}

/* The caller's buffers are as before: PnetCDF is kept from swapping bytes in them (it swaps large ones). */
static void test_write_leaves_buffers(void **state)
{
    rls_context *ctx = *state;
    enum { EDITS = 2, N = 5000 };
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    double *keys = malloc((size_t)EDITS * N * sizeof *keys);
    float *values = malloc((size_t)EDITS * N * sizeof *values);
    int64_t ids[EDITS] = {258, 772}, wrong = 0;
    rls_stream_layer layer = {.layer = 2, .n = N, .m = N, .key_dtype = RLS_F64, .value_dtype = RLS_F32};
    rls_stream_info info = {.has_case_ids = true, .module = "x.{}", .layer_count = 1, .layers = &layer};
    const rls_vectors wide = {EDITS, RLS_F64, keys}, narrow = {EDITS, RLS_F32, values};
    for (int i = 0; i < EDITS * N; i++) {
        keys[i] = i;
        values[i] = (float)i;
    }
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    assert_all_ok(ctx, rls_stream_write(ctx, path, &info, ids, &wide, &narrow));
    for (int i = 0; i < EDITS * N; i++)
        wrong += keys[i] != i || values[i] != (float)i;
    assert_all_int_equal(wrong, 0);
    assert_all(ids[0] == 258 && ids[1] == 772);
    free(keys);
    free(values);
    rls_test_rmtree(dir);
}

/* Segments of very different sizes, among files that are none; every range crosses some of them. */
static void test_segments(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 32];
    rls_stream_layer layers[LAYERS];
    const rls_stream_info info = some_info(layers, RLS_RESIDUAL, 10);
    const int64_t sizes[] = {10, 1, 30, 2, 1, 1, 7};
    int64_t first = 0;
    rls_stream *stream = NULL;
    rls_test_tmpdir(dir);
    for (size_t s = 0; s < RLS_TEST_COUNT(sizes); s++) {
        (void)snprintf(path, sizeof path, "%s/segment-%06zu.nc", dir, s);
        assert_all_ok(ctx, write_edits(ctx, path, &info, first, sizes[s], RLS_F64));
        first += sizes[s];
    }
    const char *others[] = {"segment-000001.nc.tmp", "readme.txt", ".hidden.nc", ".nc"};
    for (size_t i = 0; i < RLS_TEST_COUNT(others); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, others[i]);
        rls_test_write(path, "no stream", 9);
    }
    assert_all_ok(ctx, rls_stream_open(ctx, dir, RLS_STREAM_EDITS, &stream));
    check_info(rls_stream_inquire(stream), &info, first);
    assert_all_int_equal(rls_stream_segments(stream), RLS_TEST_COUNT(sizes));
    int64_t at = 0, bytes = 0, sum = 0;
    for (size_t s = 0; s < RLS_TEST_COUNT(sizes); s++) {
        int64_t begin = 0, edits = 0;
        const char *name = rls_stream_segment(stream, (int64_t)s, &begin, &edits, &bytes);
        (void)snprintf(path, sizeof path, "%s/segment-%06zu.nc", dir, s);
        assert_all_string_equal(name, path);
        assert_all(begin == at && edits == sizes[s] && bytes > 0);
        at += edits;
        sum += bytes;
    }
    assert_all_int_equal(rls_stream_inquire(stream)->bytes, sum);
    check_ranges(ctx, stream);
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F32));
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* float32 in memory to float64 in the file is exact; the ranges above are all checked for a stream written
 * so. */
static void test_written_from_float32(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream_layer layers[LAYERS];
    rls_stream_info info = some_info(layers, RLS_TARGET, 0);
    rls_stream *stream = NULL;
    rls_stream_share share = {0};
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    assert_all_ok(ctx, write_edits(ctx, path, &info, 0, 9, RLS_F32));
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    assert_all_ok(ctx, rls_stream_read(stream, 4, RLS_STREAM_KEYS, 0, 9, RLS_F64, &share));
    int64_t wrong = 0;
    for (int64_t i = 0; i < share.vectors.count * 5; i++)
        wrong += ((const double *)share.vectors.data)[i] !=
                 (double)(float)expected(4, RLS_STREAM_KEYS, RLS_F64, share.first + i / 5, i % 5);
    assert_all_int_equal(wrong, 0);
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* A file by another tool: CDF-2, fixed edit dimension, 32-bit ids, dimensions of other names, further
 * variables. */
static void test_foreign_writer(void **state)
{
    rls_context *ctx = *state;
    enum { EDITS = 5, N = 4 };
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    int ncid = 0, dims[2], id_var = 0, key = 0, value = 0, note = 0, ids[EDITS], wrong = 0;
    float keys[EDITS * N], values[EDITS];
    const short version = 1;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    for (int i = 0; i < EDITS * N; i++) {
        keys[i] = (float)expected(7, RLS_STREAM_KEYS, RLS_F32, i / N, i % N);
        values[i / N] = (float)expected(7, RLS_STREAM_VALUES, RLS_F32, i / N, 0);
        ids[i / N] = 100 + i / N;
    }
    wrong += ncmpi_create(ctx->comm, path, NC_CLOBBER | NC_64BIT_OFFSET, MPI_INFO_NULL, &ncid);
    wrong += ncmpi_def_dim(ncid, "edit", EDITS, &dims[0]);
    wrong += ncmpi_def_dim(ncid, "keysize", N, &dims[1]);
    wrong += ncmpi_def_var(ncid, "key_7", NC_FLOAT, 2, dims, &key);
    wrong += ncmpi_def_dim(ncid, "one", 1, &dims[1]);
    wrong += ncmpi_def_var(ncid, "value_7", NC_FLOAT, 2, dims, &value);
    wrong += ncmpi_def_var(ncid, "key_07", NC_BYTE, 1, dims, &note);
    wrong += ncmpi_put_att_text(ncid, note, "unit", 3, "abc");
    wrong += ncmpi_def_var(ncid, "case_id", NC_INT, 1, dims, &id_var);
    wrong += ncmpi_put_att_text(ncid, NC_GLOBAL, "format", 14, "rlsedit-stream");
    wrong += ncmpi_put_att_short(ncid, NC_GLOBAL, "version", NC_SHORT, 1, &version);
    wrong += ncmpi_put_att_text(ncid, NC_GLOBAL, "value_kind", 8, "residual");
    wrong += ncmpi_put_att_text(ncid, NC_GLOBAL, "module", 4, "h.{}");
    wrong += ncmpi_enddef(ncid);
    wrong += ncmpi_put_var_float_all(ncid, key, keys);
    wrong += ncmpi_put_var_float_all(ncid, value, values);
    wrong += ncmpi_put_var_int_all(ncid, id_var, ids);
    wrong += ncmpi_close(ncid);
    assert_all_int_equal(wrong, 0);

    rls_stream *stream = NULL;
    rls_stream_share share = {0};
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    const rls_stream_info *info = rls_stream_inquire(stream);
    assert_all(info->kind == RLS_RESIDUAL && info->batch == 0 && info->edits == EDITS &&
               info->layer_count == 1);
    assert_all_int_equal(info->layers[0].n, N);
    check_read(ctx, stream, &info->layers[0], RLS_STREAM_KEYS, 1, 4, RLS_F64, &share);
    check_read(ctx, stream, &info->layers[0], RLS_STREAM_VALUES, 0, 5, RLS_F32, &share);
    int64_t got[EDITS] = {0};
    assert_all_ok(ctx, rls_stream_case_ids(stream, 2, 3, got));
    assert_all(got[0] == 102 && got[2] == 104);
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* Anchor keys: no case ids, no kind, values for one layer of two. */
static void test_anchor_keys(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16], bare[RLS_TEST_PATH_MAX + 16];
    rls_stream_layer layers[LAYERS];
    rls_stream_info info = some_info(layers, RLS_TARGET, 0);
    rls_stream *stream = NULL;
    rls_stream_share share = {0};
    info.has_case_ids = false;
    layers[1].m = 0;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/with-kind.nc", dir);
    (void)snprintf(bare, sizeof bare, "%s/k0.nc", dir);
    assert_all_ok(ctx, write_edits(ctx, path, &info, 0, 12, RLS_F64));
    damage(path, bare, "value_kind", "value_kink", 10);
    assert_all_status(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream), RLS_ERR_DATA);
    assert_all_message(ctx, "variable value_4 is missing");
    assert_all(stream == NULL);
    assert_all_ok(ctx, rls_stream_open(ctx, bare, RLS_STREAM_ANCHOR, &stream));
    layers[1].value_dtype = RLS_F64;
    check_info(rls_stream_inquire(stream), &info, 12);
    check_read(ctx, stream, &layers[1], RLS_STREAM_KEYS, 0, 12, RLS_F64, &share);
    check_read(ctx, stream, &layers[2], RLS_STREAM_VALUES, 0, 12, RLS_F64, &share);
    assert_all_status(ctx, rls_stream_read(stream, 4, RLS_STREAM_VALUES, 0, 12, RLS_F64, &share),
                      RLS_ERR_DATA);
    assert_all_message(ctx, "variable value_4 is missing");
    int64_t ids[2] = {0, 0};
    assert_all_ok(ctx, rls_stream_case_ids(stream, 3, 2, ids));
    assert_all(ids[0] == -1 && ids[1] == -1);
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F64));
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* A float32 in the file's bytes: big-endian. */
static float big_endian(const char *bytes)
{
    unsigned char swapped[4];
    float x = 0.0f;
    for (int i = 0; i < 4; i++)
        swapped[3 - i] = (unsigned char)bytes[i];
    memcpy(&x, swapped, sizeof x);
    return x;
}

/* The recorded stream, against its bytes at the offsets that ncmpidump's sister ncoffsets shows. */
static void test_atlas(void **state)
{
    rls_context *ctx = *state;
    enum { KEY_1 = 0x14cc, VALUE_0 = 0x12cc, RECORD = 8 + 2 * 4 * (1024 + 128) };
    char path[RLS_TEST_PATH_MAX];
    rls_stream *stream = NULL, *alone = NULL;
    rls_stream_share share = {0}, own = {0};
    rls_context *self = NULL;
    rls_test_data(path, "atlas-stream.nc");
    char *bytes = rls_test_read(path, NULL);
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    const rls_stream_info *info = rls_stream_inquire(stream);
    assert_all(info->edits == 300 && info->batch == 50 && info->layer_count == 2 && info->kind == RLS_TARGET);
    assert_all_string_equal(info->module, "model.layers.{}.mlp.down_proj");
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F32));
    int64_t wrong = 0;
    assert_all_ok(ctx, rls_stream_read(stream, 1, RLS_STREAM_KEYS, 40, 110, RLS_F32, &share));
    for (int64_t i = 0; i < share.vectors.count * 1024; i++)
        wrong += ((const float *)share.vectors.data)[i] !=
                 big_endian(bytes + KEY_1 + (share.first + i / 1024) * RECORD + 4 * (i % 1024));
    assert_all_ok(ctx, rls_stream_read(stream, 0, RLS_STREAM_VALUES, 0, 300, RLS_F64, &share));
    for (int64_t i = 0; i < share.vectors.count * 128; i++)
        wrong += ((const double *)share.vectors.data)[i] !=
                 (double)big_endian(bytes + VALUE_0 + (share.first + i / 128) * RECORD + 4 * (i % 128));
    assert_all_int_equal(wrong, 0);

    /* each rank by itself reads what it got with the others */
    const rls_status status = rls_context_create(MPI_COMM_SELF, &self);
    assert_all_ok(NULL, status);
    assert_all_ok(NULL, rls_stream_open(self, path, RLS_STREAM_EDITS, &alone));
    assert_all_ok(
        NULL, rls_stream_read(alone, 0, RLS_STREAM_VALUES, share.first, share.vectors.count, RLS_F64, &own));
    assert_all(own.vectors.count == share.vectors.count);
    assert_all(own.vectors.count == 0 || memcmp(own.vectors.data, share.vectors.data,
                                                (size_t)own.vectors.count * 128 * sizeof(double)) == 0);
    rls_stream_close(&alone);
    rls_context_destroy(&self);
    rls_stream_share_free(&own);
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    free(bytes);
}

/* Vectors so long that a rank's share takes several rounds, in writing, reading and converting. */
static void test_rounds(void **state)
{
    rls_context *ctx = *state;
    enum { N = 2 << 20, EDITS = 20 };
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream_layer layer = {.layer = 9, .n = N, .m = 1, .key_dtype = RLS_F32, .value_dtype = RLS_F32};
    rls_stream_info info = {.has_case_ids = true, .module = "x.{}", .layer_count = 1, .layers = &layer};
    rls_stream *stream = NULL;
    rls_stream_share share = {0};
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    const int64_t begin = EDITS * ctx->rank / ctx->size, end = EDITS * (ctx->rank + 1) / ctx->size;
    float *keys = calloc((size_t)(end - begin) * N + 1, sizeof *keys);
    int64_t ids[EDITS];
    for (int64_t i = 0; i < (end - begin) * N; i++)
        keys[i] = (float)((begin * N + i) % 8191);
    for (int64_t e = begin; e < end; e++)
        ids[e - begin] = e;
    const rls_vectors vectors = {end - begin, RLS_F32, keys};
    assert_all_ok(ctx, rls_stream_write(ctx, path, &info, ids, &vectors, &vectors));
    free(keys);
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F64));
    for (int d = 0; d < 2; d++) {
        const rls_dtype want = d == 0 ? RLS_F32 : RLS_F64;
        int64_t wrong = 0;
        assert_all_ok(ctx, rls_stream_read(stream, 9, RLS_STREAM_KEYS, 0, EDITS, want, &share));
        for (int64_t i = 0; i < share.vectors.count * N; i++)
            wrong += rls_element_value(want, share.vectors.data, i) != (double)((share.first * N + i) % 8191);
        assert_all_int_equal(wrong, 0);
    }
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* A disk that is full, a directory that is not there: an error on all ranks, and no file. */
static void test_write_fails(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream_layer layers[LAYERS];
    rls_stream_info info = some_info(layers, RLS_TARGET, 0);
    struct rlimit limit, small;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/no/s.nc", dir);
    assert_all_status(ctx, write_edits(ctx, path, &info, 0, 9, RLS_F64), RLS_ERR_IO);
    assert_all_message(ctx, path);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_all(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    small = limit;
    small.rlim_cur = 100000;
    MPI_Barrier(MPI_COMM_WORLD);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const rls_status status = write_edits(ctx, path, &info, 0, 2000, RLS_F64);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_all_status(ctx, status, RLS_ERR_IO);
    assert_all_message(ctx, path);
    assert_all(!rls_test_exists(path));
    assert_all_status(ctx, write_edits(ctx, path, &info, 0, 0, RLS_F64), RLS_ERR_USAGE);
    assert_all_message(ctx, "without edits");
    assert_all(!rls_test_exists(path));
    rls_test_rmtree(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_round_trip),
        context_test(test_write_leaves_buffers),
        context_test(test_segments),
        context_test(test_anchor_keys),
        context_test(test_written_from_float32),
        context_test(test_atlas),
        context_test(test_foreign_writer),
        context_test(test_write_fails),
        context_test(test_rounds),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "stream");
}
