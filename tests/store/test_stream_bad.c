/* Bad streams: each is refused with a message that says what is at fault, on any number of ranks. */
#include <math.h>
#include <pnetcdf.h>
#include <sys/stat.h>

#include "store/stream_files.h"

static void refused(rls_context *ctx, const char *path, const char *why)
{
    rls_stream *stream = NULL;
    assert_all_status(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream), RLS_ERR_DATA);
    assert_all(stream == NULL);
    assert_all_message(ctx, why);
}

typedef struct {
    const char *from, *to;
    size_t bytes; /* of each */
    const char *why;
} attack;

#define ATTACK(from, to, why)                                                                                \
    {                                                                                                        \
        from, to, sizeof(from) - 1, why                                                                      \
    }

/* A good file with one thing in its header changed. */
static void test_header(void **state)
{
    static const attack attacks[] = {
        ATTACK("CDF", "CDX", "bad.nc is not a netCDF file of a classic format"),
        ATTACK("rlsedit-stream", "rlsedit-scream",
               "the attribute format is \"rlsedit-scream\", not \"rlsedit-stream\""),
        ATTACK("format", "forman", "the global attribute format is missing"),
        ATTACK("version\0\0\0\0\x04\0\0\0\0\0\0\0\1\0\0\0\1", "version\0\0\0\0\x04\0\0\0\0\0\0\0\1\0\0\0\2",
               "version 2 of rlsedit-stream is not supported, only version 1"),
        ATTACK("version\0\0\0\0\x04", "version\0\0\0\0\x05",
               "the global attribute version is not one integer"),
        ATTACK("version", "verzion", "the global attribute version is missing"),
        ATTACK("value_kind", "value_kine", "the global attribute value_kind is missing"),
        ATTACK("target", "tarjet", "value_kind is \"tarjet\", neither \"target\" nor \"residual\""),
        ATTACK("module", "modula", "the global attribute module is missing"),
        ATTACK("case_id", "cas_eid", "variable case_id is missing"),
        ATTACK("key_31", "kez_31", "variable key_31 is missing (value_31 is there)"),
        ATTACK("value_4", "valve_4", "variable value_4 is missing (key_4 is there)"),
        ATTACK("key_31\0\0", "key_4\0\0\0", "is damaged: its header has a name with a NUL in it"),
        ATTACK("edit", "exit", "must have two dimensions, edit and its length"),
    };
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], good[RLS_TEST_PATH_MAX], bad[RLS_TEST_PATH_MAX + 16];
    rls_test_tmpdir(dir);
    write_some(ctx, good, dir, "good.nc", 20);
    (void)snprintf(bad, sizeof bad, "%s/bad.nc", dir);
    for (size_t i = 0; i < RLS_TEST_COUNT(attacks); i++) {
        damage(good, bad, attacks[i].from, attacks[i].to, attacks[i].bytes);
        refused(ctx, bad, attacks[i].why);
    }
    rls_test_rmtree(dir);
}

static void test_no_stream(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/none.nc", dir);
    refused(ctx, path, "none.nc: No such file");
    refused(ctx, dir, "has no segment (*.nc)");
    rls_test_write(path, "", 0);
    refused(ctx, path, "is not a netCDF file");
    rls_test_write(path, "CDF", 3);
    refused(ctx, path, "is not a netCDF file");
    rls_test_write(path, "CDF\x05", 4);
    refused(ctx, path, "ends within its header");
    rls_test_write(path, "\x89HDF\r\n\x1a\n........", 16);
    refused(ctx, path, "nccopy -k cdf5");
    refused(ctx, "/dev/null", "is not a regular file");
    rls_test_rmtree(dir);
}

/* A stream cut at any byte is refused: nothing is read as zeros. */
static void test_truncated(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], good[RLS_TEST_PATH_MAX], bad[RLS_TEST_PATH_MAX + 16];
    size_t size = 0;
    rls_test_tmpdir(dir);
    write_some(ctx, good, dir, "good.nc", 3);
    (void)snprintf(bad, sizeof bad, "%s/bad.nc", dir);
    free(rls_test_read(good, &size));
    for (size_t cut = 4; cut<size; cut += cut + 40> size ? 1 : 13) {
        damage(good, bad, NULL, NULL, cut);
        refused(ctx, bad, "bad.nc is truncated");
    }
    damage(good, bad, NULL, NULL, size - 1);
    refused(ctx, bad, "variable value_31 ends at byte");
    rls_test_rmtree(dir);
}

/* Files with random bytes of the header overwritten never crash or hang the program, and are refused, or read
 * and closed. */
static void test_random_damage(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], good[RLS_TEST_PATH_MAX], bad[RLS_TEST_PATH_MAX + 16];
    size_t size = 0;
    int64_t refusals = 0;
    rls_random random = rls_random_seed(17);
    rls_test_tmpdir(dir);
    write_some(ctx, good, dir, "good.nc", 3);
    (void)snprintf(bad, sizeof bad, "%s/bad.nc", dir);
    char *bytes = rls_test_read(good, &size), *copy = malloc(size);
    for (int trial = 0; trial < 400; trial++) {
        rls_stream *stream = NULL;
        memcpy(copy, bytes, size);
        for (int64_t k = rls_random_below(&random, 3); k >= 0; k--)
            copy[4 + rls_random_below(&random, 1000)] =
                (char)(rls_random_below(&random, 3) == 0 ? 0xff : rls_random_below(&random, 256));
        rls_test_write(bad, copy, size);
        rls_status status = rls_stream_open(ctx, bad, RLS_STREAM_EDITS, &stream);
        if (status == RLS_OK)
            status = rls_stream_scan(stream, NULL, 0, RLS_F64);
        assert_all(status == RLS_OK || status == RLS_ERR_DATA);
        refusals += status != RLS_OK;
        rls_stream_close(&stream);
    }
    assert_all(refusals > 100);
    free(bytes);
    free(copy);
    rls_test_rmtree(dir);
}

/* A file without records, and one whose only edits are in no segment. */
static void test_no_edits(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], good[RLS_TEST_PATH_MAX], empty[RLS_TEST_PATH_MAX + 16],
        why[RLS_TEST_PATH_MAX + 64];
    rls_stream *stream = NULL;
    rls_test_tmpdir(dir);
    write_some(ctx, good, dir, "b.nc", 3);
    (void)snprintf(empty, sizeof empty, "%s/a.nc", dir);
    damage(good, empty, "CDF\x05\0\0\0\0\0\0\0\x03", "CDF\x05\0\0\0\0\0\0\0\0", 12);
    refused(ctx, empty, "a.nc: the stream has no edits");
    /* as one segment of several it does no harm */
    assert_all_ok(ctx, rls_stream_open(ctx, dir, RLS_STREAM_EDITS, &stream));
    assert_all_int_equal(rls_stream_inquire(stream)->edits, 3);
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F64));
    rls_stream_close(&stream);
    (void)snprintf(why, sizeof why, "%s: the stream has no edits", dir);
    damage(good, good, "CDF\x05\0\0\0\0\0\0\0\x03", "CDF\x05\0\0\0\0\0\0\0\0", 12);
    refused(ctx, dir, why);
    rls_test_rmtree(dir);
}

/* The first segment that disagrees is the one that is named, with the first of all; a lower rank may have
 * found a later one. */
static void test_segments_disagree(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 32], why[3 * RLS_TEST_PATH_MAX];
    rls_stream_layer layers[LAYERS];
    enum { CASES = 7, SEGMENTS = 9 };
    static const char *const what[CASES] = {"the length or type of key_4",
                                            "the length or type of value_31",
                                            "the length or type of key_0",
                                            "the attribute module",
                                            "the attribute value_kind",
                                            "their layers",
                                            "their layers"};
    for (int c = 0; c < CASES; c++) {
        rls_test_tmpdir(dir);
        for (int s = 0; s < SEGMENTS; s++) {
            rls_stream_info info = some_info(layers, RLS_TARGET, 10);
            const bool odd = s == 5 || s == 8;
            layers[1].n += odd && c == 0;
            layers[2].value_dtype = odd && c == 1 ? RLS_F32 : RLS_F64;
            layers[0].n += odd && c == 2;
            info.module[0] = odd && c == 3 ? 'n' : 'm';
            info.kind = odd && c == 4 ? RLS_RESIDUAL : RLS_TARGET;
            info.layer_count -= odd && c == 5;
            layers[2].layer += odd && c == 6;
            (void)snprintf(path, sizeof path, "%s/segment-%02d.nc", dir, s);
            assert_all_ok(ctx, write_edits(ctx, path, &info, s, 1, RLS_F64));
        }
        (void)snprintf(why, sizeof why,
                       "%s/segment-00.nc and %s/segment-05.nc are segments of one stream but differ in %s",
                       dir, dir, what[c]);
        refused(ctx, dir, why);
        rls_test_rmtree(dir);
    }
}

/* Segments of other batches are one stream, of no batch in particular. */
static void test_batches_differ(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 32];
    rls_stream_layer layers[LAYERS];
    rls_stream *stream = NULL;
    rls_test_tmpdir(dir);
    for (int s = 0; s < 5; s++) {
        rls_stream_info info = some_info(layers, RLS_TARGET, s == 3 ? 7 : 10);
        (void)snprintf(path, sizeof path, "%s/segment-%02d.nc", dir, s);
        assert_all_ok(ctx, write_edits(ctx, path, &info, s, 1, RLS_F64));
    }
    assert_all_ok(ctx, rls_stream_open(ctx, dir, RLS_STREAM_EDITS, &stream));
    assert_all(rls_stream_inquire(stream)->edits == 5 && rls_stream_inquire(stream)->batch == 0);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

static void test_wrong_calls(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    rls_stream *stream = NULL;
    rls_stream_share share = {0};
    const rls_stream_layer *layer = NULL;
    const int asked[2] = {4, 5};
    int64_t id = 0;
    rls_test_tmpdir(dir);
    write_some(ctx, path, dir, "s.nc", 20);
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    assert_all_status(ctx, rls_stream_read(stream, 5, RLS_STREAM_KEYS, 0, 20, RLS_F64, &share), RLS_ERR_DATA);
    assert_all_message(ctx, "variable key_5 is missing: the stream's layers are 0, 4, 31");
    assert_all_status(ctx, rls_stream_scan(stream, asked, 2, RLS_F64), RLS_ERR_DATA);
    assert_all_message(ctx, "variable key_5 is missing");
    assert_all_status(ctx, rls_agree(ctx, rls_stream_layer_info(stream, 1, &layer)), RLS_ERR_DATA);
    assert_all_status(ctx, rls_stream_read(stream, 4, RLS_STREAM_KEYS, 15, 6, RLS_F64, &share),
                      RLS_ERR_USAGE);
    assert_all_message(ctx, "edits 15 to 21 are outside the stream of 20");
    assert_all_status(ctx, rls_stream_read(stream, 4, RLS_STREAM_KEYS, -1, 6, RLS_F64, &share),
                      RLS_ERR_USAGE);
    assert_all_status(ctx, rls_stream_case_ids(stream, 20, 1, &id), RLS_ERR_USAGE);
    assert_all_ok(ctx,
                  rls_stream_read(stream, 4, RLS_STREAM_KEYS, 15, 5, RLS_F64, &share)); /* still usable */
    rls_stream_share_free(&share);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* Writes `edits` edits of the layers with numbers put in: {edit, layer's place, part, index}. */
typedef struct {
    int64_t edit;
    int place;
    rls_stream_part part;
    int64_t index;
    double value;
} spot;

static void write_spots(rls_context *ctx, const char *path, int64_t edits, const spot *spots, size_t count)
{
    rls_stream_layer layers[LAYERS];
    const rls_stream_info info = some_info(layers, RLS_TARGET, 10);
    rls_vectors keys[LAYERS], values[LAYERS];
    int64_t *ids = malloc((size_t)edits * sizeof *ids);
    const int64_t mine = ctx->rank == ctx->size - 1 ? edits : 0;
    for (int64_t e = 0; e < edits; e++)
        ids[e] = expected_id(e);
    for (int i = 0; i < LAYERS; i++) {
        keys[i] = make_vectors(i, RLS_STREAM_KEYS, RLS_F64, RLS_F64, 0, mine, layers[i].n);
        values[i] = make_vectors(i, RLS_STREAM_VALUES, RLS_F64, RLS_F64, 0, mine, layers[i].m);
        for (size_t s = 0; s < count && mine > 0; s++) {
            double *data = (double *)(spots[s].part == RLS_STREAM_KEYS ? keys[i].data : values[i].data);
            const int64_t length = spots[s].part == RLS_STREAM_KEYS ? layers[i].n : layers[i].m;
            if (spots[s].place == i)
                data[spots[s].edit * length + spots[s].index] = spots[s].value;
        }
    }
    assert_all_ok(ctx, rls_stream_write(ctx, path, &info, ids, keys, values));
    for (int i = 0; i < LAYERS; i++) {
        free((void *)keys[i].data);
        free((void *)values[i].data);
    }
    free(ids);
}

/* The first in the order of edits, then layers, then keys before values is reported, whoever finds it. */
static void test_scan_order(void **state)
{
    static const spot spots[] = {{17, 0, RLS_STREAM_KEYS, 0, NAN},
                                 {12, 2, RLS_STREAM_KEYS, 0, NAN},
                                 {12, 1, RLS_STREAM_VALUES, 9, NAN},
                                 {12, 1, RLS_STREAM_VALUES, 7, INFINITY},
                                 {12, 1, RLS_STREAM_KEYS, 3, -INFINITY}};
    static const char *const why[] = {
        "s.nc: key_0 of edit 17 (case_id 17000000114) has the value nan at index 0",
        "s.nc: key_31 of edit 12 (case_id 12000000079) has the value nan at index 0",
        "s.nc: value_4 of edit 12 (case_id 12000000079) has the value nan at index 9",
        "s.nc: value_4 of edit 12 (case_id 12000000079) has the value inf at index 7",
        "s.nc: key_4 of edit 12 (case_id 12000000079) has the value -inf at index 3"};
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream *stream = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/s.nc", dir);
    for (size_t count = 0; count <= RLS_TEST_COUNT(spots); count++) {
        write_spots(ctx, path, 30, spots, count);
        assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
        const rls_status status = rls_stream_scan(stream, NULL, 0, RLS_F64);
        assert_all_status(ctx, status, count == 0 ? RLS_OK : RLS_ERR_DATA);
        if (count > 0)
            assert_all_message(ctx, why[count - 1]);
        rls_stream_close(&stream);
    }
    /* only the layers asked for, in the order asked for */
    const int last = 31, both[2] = {31, 4};
    assert_all_ok(ctx, rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream));
    assert_all_status(ctx, rls_stream_scan(stream, &last, 1, RLS_F64), RLS_ERR_DATA);
    assert_all_message(ctx, why[1]);
    assert_all_status(ctx, rls_stream_scan(stream, both, 2, RLS_F64), RLS_ERR_DATA);
    assert_all_message(ctx, why[1]);
    rls_stream_close(&stream);
    rls_test_rmtree(dir);
}

/* What is finite in float64 may not be in a float32 state; the segment that holds it is named, the edit
 * counts from the start. */
static void test_scan_range(void **state)
{
    static const spot fits = {1, 1, RLS_STREAM_KEYS, 2, 3.4028235e38},
                      beyond = {1, 1, RLS_STREAM_KEYS, 2, -3.5e38};
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    rls_stream *stream = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/a.nc", dir);
    write_spots(ctx, path, 4, &fits, 1);
    (void)snprintf(path, sizeof path, "%s/b.nc", dir);
    write_spots(ctx, path, 4, &beyond, 1);
    assert_all_ok(ctx, rls_stream_open(ctx, dir, RLS_STREAM_EDITS, &stream));
    assert_all_ok(ctx, rls_stream_scan(stream, NULL, 0, RLS_F64));
    assert_all_status(ctx, rls_stream_scan(stream, NULL, 0, RLS_F32), RLS_ERR_DATA);
    assert_all_message(
        ctx, "/b.nc: key_4 of edit 5 (case_id 1000000002) has the value -3.5e+38 at index 2, which is no "
             "finite float32");
    rls_stream_close(&stream);

    /* and cannot be written as float32 */
    rls_stream_layer layer = {.layer = 0, .n = 1, .m = 0, .key_dtype = RLS_F32};
    rls_stream_info info = {.module = "x.{}", .layer_count = 1, .layers = &layer};
    const double big = 1e39;
    const rls_vectors key = {1, RLS_F64, &big};
    assert_all_status(ctx, rls_stream_write(ctx, path, &info, NULL, &key, NULL), RLS_ERR_DATA);
    assert_all_message(ctx, "beyond the range");
    assert_all(!rls_test_exists(path));
    rls_test_rmtree(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_header),
        context_test(test_no_stream),
        context_test(test_truncated),
        context_test(test_no_edits),
        context_test(test_segments_disagree),
        context_test(test_batches_differ),
        context_test(test_random_damage),
        context_test(test_wrong_calls),
        context_test(test_scan_order),
        context_test(test_scan_range),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "stream_bad");
}
