/* ctest: NP 1 NAME small ARGS 600 40 */
/* ctest: NP 1 TIMEOUT 1800 LABELS large ARGS 17408 1024 */
/*
 * A local block of more than 2 GiB on one rank, end to end: model, second moments and stream from files, 200
 * edits, the edited model on the disk, and the proof from the data. Arguments: n and m. The large one needs 6
 * GB of memory and 2 GB of disk.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/dtype.h"
#include "linalg/matrix.h"
#include "run/edit.h"
#include "store/moments.h"
#include "store/stream_write.h"
#include "support/collective.h"
#include "support/state.h"

enum { EDITS = 200, TEXT_MAX = 2048 };

static int64_t n = 600, m = 40;

/* One BF16 tensor [m, n] of small random numbers. */
static void write_model(const char *dir)
{
    char path[RLS_TEST_PATH_MAX], header[256];
    uint64_t length = (uint64_t)snprintf(
        header, sizeof header,
        "{\"model.layers.3.mlp.down_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[%lld,%lld],"
        "\"data_offsets\":[0,%lld]}}",
        (long long)m, (long long)n, (long long)(2 * n * m));
    uint16_t *row = malloc((size_t)n * sizeof *row);
    FILE *file = fopen(rls_test_path(path, dir, "model.safetensors"), "wb");
    assert_true(row != NULL && file != NULL);
    assert_int_equal(fwrite(&length, sizeof length, 1, file), 1);
    assert_int_equal(fwrite(header, 1, length, file), length);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            const double value = 0.05 * rls_random_normal_at(1, i, j);
            rls_convert(RLS_BF16, &row[j], 1, RLS_F64, &value, 1, 1);
        }
        assert_int_equal(fwrite(row, sizeof *row, (size_t)n, file), n);
    }
    assert_int_equal(fclose(file), 0);
    free(row);
}

/* A diagonal and eight directions: symmetric, positive definite, condition about 1e3. */
static void write_moments(rls_context *ctx, const char *path)
{
    rls_grid *grid = NULL;
    rls_matrix *moment = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F32, n, n, 64, &moment));
    int64_t ld = 0;
    float *data = rls_matrix_local(moment, NULL, NULL, &ld); /* one rank has all of it */
    double *directions = malloc((size_t)(8 * n) * sizeof *directions);
    assert_non_null(directions);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < 8; k++)
            directions[8 * i + k] = rls_random_normal_at(2, i, k) * pow(0.5, (double)k);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < n; i++) {
            double value = i == j ? 0.01 + (double)(i % 7) : 0.0;
            for (int64_t k = 0; k < 8; k++)
                value += directions[8 * i + k] * directions[8 * j + k];
            data[i + j * ld] = (float)value;
        }
    free(directions);
    const int layer = 3;
    const int64_t count = 1000;
    assert_all_ok(ctx,
                  rls_moments_write(ctx, path, "model.layers.{}.mlp.down_proj", 1, &layer, &moment, &count));
    rls_matrix_destroy(&moment);
    rls_grid_destroy(&grid);
}

static void write_stream(rls_context *ctx, const char *path)
{
    rls_stream_layer layer = {.layer = 3, .n = n, .m = m, .key_dtype = RLS_F32, .value_dtype = RLS_F32};
    rls_stream_info info = {.kind = RLS_TARGET,
                            .has_case_ids = true,
                            .module = "model.layers.{}.mlp.down_proj",
                            .layer_count = 1,
                            .layers = &layer};
    int64_t ids[EDITS];
    float *keys = malloc((size_t)(EDITS * n) * sizeof *keys),
          *values = malloc((size_t)(EDITS * m) * sizeof *values);
    assert_true(keys != NULL && values != NULL);
    for (int64_t e = 0; e < EDITS; e++) {
        ids[e] = 100 + e;
        for (int64_t i = 0; i < n; i++)
            keys[e * n + i] = (float)rls_random_normal_at(3, e, i);
        for (int64_t i = 0; i < m; i++)
            values[e * m + i] = (float)rls_random_normal_at(4, e, i);
    }
    const rls_vectors k = {EDITS, RLS_F32, keys}, v = {EDITS, RLS_F32, values};
    assert_all_ok(ctx, rls_stream_write(ctx, path, &info, ids, &k, &v));
    free(keys);
    free(values);
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_end_to_end(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], model[RLS_TEST_PATH_MAX], moments[RLS_TEST_PATH_MAX],
        stream[RLS_TEST_PATH_MAX];
    char config[RLS_TEST_PATH_MAX], run[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX], text[TEXT_MAX];
    rls_test_tmpdir(dir);
    assert_int_equal(mkdir(rls_test_path(model, dir, "model"), 0777), 0);
    write_model(model);
    write_moments(ctx, rls_test_path(moments, dir, "moments.nc"));
    write_stream(ctx, rls_test_path(stream, dir, "stream.nc"));
    (void)snprintf(text, sizeof text,
                   "model: {module: \"model.layers.{}.mlp.down_proj\", layers: [3]}\n"
                   "anchor: {moments: moments.nc, weight: 10}\nbatch: 100\n");
    rls_test_write(rls_test_path(config, dir, "config.yaml"), text, strlen(text));
    const rls_edit_request request = {.config = config,
                                      .model = model,
                                      .stream = stream,
                                      .run = rls_test_path(run, dir, "run"),
                                      .verify = true};
    assert_all_ok(ctx, rls_edit(ctx, &request));

    json_t *summary = json_load_file(rls_test_path(path, run, "summary.json"), 0, NULL);
    const json_t *layer = json_array_get(json_object_get(summary, "layers"), 0);
    const double bytes = (double)n * (double)(n + m) * 8.0;
    printf("seconds %.1f, peak %.0f MB, C + X %.0f MB, stationarity %.2e, identity error %.2e\n",
           number(summary, "seconds"), number(summary, "peak_bytes") * 1e-6, bytes * 1e-6,
           number(summary, "stationarity"), number(summary, "identity_error"));
    assert_all_int_equal(number(summary, "edits"), EDITS);
    assert_all_le(number(summary, "stationarity"), 1e-10);
    assert_all_le(number(summary, "identity_error"), 1e-10);
    assert_all_le(number(summary, "peak_bytes"), 1.15 * bytes + 256e6);
    assert_all_le(number(layer, "delta_norm"), number(layer, "delta_bound"));
    assert_all_le(1e-3, number(layer, "delta_norm"));
    struct stat before, after;
    assert_int_equal(stat(rls_test_path(path, model, "model.safetensors"), &before), 0);
    assert_int_equal(stat(rls_test_path(path, run, "model/model.safetensors"), &after), 0);
    assert_all_int_equal(before.st_size, after.st_size);
    json_decref(summary);
    rls_test_rmtree(dir);
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        n = atoll(argv[1]);
        m = atoll(argv[2]);
    }
    const struct CMUnitTest tests[] = {context_test(test_end_to_end)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), n > 10000 ? "large-run" : "small-run");
}
