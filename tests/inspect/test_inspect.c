/* ctest: NP 1 2 4 */
/* What rlsedit inspect says of every kind of file, good, odd and damaged, and of what it does not know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/inspect_checks.h"
#include "store/moments.h"
#include "store/stream_files.h"

/* A safetensors file of a header and `data` zero bytes. */
static void write_safetensors(const char *name, const char *header, size_t data)
{
    char path[RLS_TEST_PATH_MAX];
    const size_t length = strlen(header);
    char *file = calloc(8 + length + data, 1);
    for (size_t i = 0; i < 8; i++)
        file[i] = (char)(length >> 8 * i & 0xffU);
    for (size_t i = 0; i < length; i++)
        file[8 + i] = header[i];
    rls_test_write(in_scratch(name, path), file, 8 + length + data);
    free(file);
}

static void assert_refused(rls_context *ctx, const char *path, const char *message)
{
    json_t *description = NULL;
    assert_all_status(ctx, rls_inspect(ctx, path, false, &description), RLS_ERR_DATA);
    assert_all_message(ctx, message);
    assert_all_message(ctx, path);
    assert_all(description == NULL);
}

static void test_model(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    json_t *description = NULL;
    rls_test_data(path, "atlas");
    assert_described(ctx, path,
                     "{\"kind\": \"model\", \"bytes\": 6268112, \"model_type\": \"llama\", \"layout\": "
                     "\"linear\", \"parameters\": 3131008, \"dtypes\": {\"BF16\": 57}, \"shards\": ["
                     "{\"name\": \"model-00001-of-00002.safetensors\", \"bytes\": 3133912, \"tensors\": 28},"
                     "{\"name\": \"model-00002-of-00002.safetensors\", \"bytes\": 3134200, \"tensors\": "
                     "29}]}");
    assert_all_ok(ctx, rls_inspect(ctx, path, false, &description));
    if (description != NULL) {
        json_t *tensors = json_object_get(description, "tensors");
        json_t *first = json_loads("{\"name\": \"model.embed_tokens.weight\", \"dtype\": \"BF16\", \"shape\":"
                                   " [2048, 128], \"shard\": \"model-00001-of-00002.safetensors\"}",
                                   0, NULL);
        assert_int_equal(json_array_size(tensors), 57);
        assert_true(json_equal(json_array_get(tensors, 0), first));
        json_decref(first);
    }
    json_decref(description);
}

static void test_conv1d(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    scratch_mkdir("gpt2");
    scratch_text("gpt2/config.json", "{\"model_type\": \"gpt2\"}");
    write_safetensors(
        "gpt2/model.safetensors",
        "{\"h.0.mlp.c_proj.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
        "\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]}}",
        32);
    assert_described(ctx, in_scratch("gpt2", path),
                     "{\"kind\": \"model\", \"model_type\": \"gpt2\", \"layout\": \"conv1d\", "
                     "\"parameters\": 7, \"dtypes\": {\"F32\": 1, \"I64\": 1}, \"tensors\": ["
                     "{\"name\": \"h.0.mlp.c_proj.weight\", \"dtype\": \"F32\", \"shape\": [3, 2], "
                     "\"shard\": \"model.safetensors\"}, {\"name\": \"s\", \"dtype\": \"I64\", \"shape\": [],"
                     " \"shard\": \"model.safetensors\"}]}");
    assert_described(ctx, in_scratch("gpt2/", path), "{\"kind\": \"model\"}");
    /* The file by itself says nothing of its model; content decides where the name doesn't tell. */
    assert_described(ctx, in_scratch("gpt2/model.safetensors", path),
                     "{\"kind\": \"safetensors\", \"parameters\": 7}");
    write_safetensors("blob", "{}", 0);
    assert_described(ctx, in_scratch("blob", path),
                     "{\"kind\": \"safetensors\", \"bytes\": 10, \"parameters\": 0, \"dtypes\": {}, "
                     "\"tensors\": [], \"shards\": [{\"name\": \"blob\", \"bytes\": 10, \"tensors\": 0}]}");
}

/* Names are any text. */
static void test_names(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    write_safetensors(
        "names.safetensors",
        "{\"a \\\"quoted\\\" \\\\ \\n\\u0001\\u001b[2J\":{\"dtype\":\"U8\",\"shape\":[0],"
        "\"data_offsets\":[0,0]},\"\xc3\xa9\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[0,1]},\"\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[1,2]}}",
        2);
    json_t *description = NULL;
    assert_all_ok(ctx, rls_inspect(ctx, in_scratch("names.safetensors", path), false, &description));
    assert_all(has(ctx, description, "{\"parameters\": 2, \"dtypes\": {\"U8\": 3}}"));
    assert_all(is_json(description));
    if (description != NULL) {
        int found = 0;
        const json_t *tensor = NULL;
        size_t i = 0;
        json_array_foreach(json_object_get(description, "tensors"), i, tensor)
        {
            const char *name = json_string_value(json_object_get(tensor, "name"));
            found += strcmp(name, "a \"quoted\" \\ \n\x01\x1b[2J") == 0 ||
                     strcmp(name, "\xc3\xa9\xf0\x9f\x98\x80") == 0 || name[0] == '\0';
        }
        assert_int_equal(found, 3);
    }
    json_decref(description);
    /* A path that is not UTF-8 cannot be a JSON string as it is. */
    write_safetensors("\xff.safetensors", "{}", 0);
    assert_all_ok(ctx, rls_inspect(ctx, in_scratch("\xff.safetensors", path), false, &description));
    assert_all(has(ctx, description,
                   "{\"shards\": [{\"name\": \"?.safetensors\", \"bytes\": 10, \"tensors\": 0}]}"));
    assert_all(is_json(description));
    json_decref(description);
}

static void test_stream(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], segment[RLS_TEST_PATH_MAX];
    rls_test_data(path, "atlas-stream.nc");
    assert_described(ctx, path,
                     "{\"kind\": \"stream\", \"bytes\": 2767908, \"module\": "
                     "\"model.layers.{}.mlp.down_proj\", \"use\": \"edits\", \"note\": null, \"value_kind\": "
                     "\"target\", \"edits\": 300, \"batch\": 50, \"segments\": 1, \"case_ids\": true, "
                     "\"layers\": [{\"layer\": 0, \"n\": 1024, \"m\": 128, \"key_dtype\": \"float32\", "
                     "\"value_dtype\": \"float32\"}, {\"layer\": 1, \"n\": 1024, \"m\": 128, \"key_dtype\": "
                     "\"float32\", \"value_dtype\": \"float32\"}]}");
    scratch_mkdir("segments");
    (void)in_scratch("segments", path);
    write_some(ctx, segment, path, "segment-000000.nc", 17);
    write_some(ctx, segment, path, "segment-000001.nc", 6);
    assert_described(ctx, path,
                     "{\"kind\": \"stream\", \"edits\": 23, \"batch\": 10, \"segments\": 2, \"layers\": ["
                     "{\"layer\": 0, \"n\": 7, \"m\": 3, \"key_dtype\": \"float32\", \"value_dtype\": "
                     "\"float32\"}, {\"layer\": 4, \"n\": 5, \"m\": 11, \"key_dtype\": \"float64\", "
                     "\"value_dtype\": \"float64\"}, {\"layer\": 31, \"n\": 1, \"m\": 2, \"key_dtype\": "
                     "\"float32\", \"value_dtype\": \"float64\"}]}");
}

static void test_anchor_keys(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    rls_stream_layer layer = {.layer = 2, .n = 5, .m = 0, .key_dtype = RLS_F64};
    rls_stream_info info = {.layer_count = 1, .layers = &layer, .kind = RLS_TARGET};
    (void)snprintf(info.module, sizeof info.module, "h.{}.mlp");
    assert_all_ok(ctx, write_edits(ctx, in_scratch("k0.nc", path), &info, 0, 9, RLS_F64));
    assert_described(ctx, path,
                     "{\"kind\": \"stream\", \"use\": \"anchor\", \"value_kind\": null, \"edits\": 9, "
                     "\"batch\": null, \"case_ids\": false, \"layers\": [{\"layer\": 2, \"n\": 5, \"m\": 0, "
                     "\"key_dtype\": \"float64\", \"value_dtype\": null}]}");
    json_t *description = NULL;
    assert_all_ok(ctx, rls_inspect(ctx, path, false, &description));
    const char *note = json_string_value(json_object_get(description, "note"));
    assert_all(rls_context_rank(ctx) != 0 || (note != NULL && strstr(note, "is missing") != NULL));
    json_decref(description);
}

static void test_moments(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    const int layers[2] = {7, 3};
    const int64_t counts[2] = {48422, 5000000000}, sizes[2] = {6, 9};
    rls_grid *grid = NULL;
    rls_matrix *matrices[2] = {NULL, NULL};
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    for (int i = 0; i < 2; i++)
        assert_all_ok(
            ctx, rls_matrix_create(grid, i == 0 ? RLS_F32 : RLS_F64, sizes[i], sizes[i], 2, &matrices[i]));
    assert_all_ok(
        ctx, rls_moments_write(ctx, in_scratch("moments.nc", path), "h.{}", 2, layers, matrices, counts));
    for (int i = 0; i < 2; i++)
        rls_matrix_destroy(&matrices[i]);
    rls_grid_destroy(&grid);
    assert_described(ctx, path,
                     "{\"kind\": \"moments\", \"module\": \"h.{}\", \"layers\": [{\"layer\": 3, \"n\": 9, "
                     "\"count\": 5000000000, \"dtype\": \"float64\"}, {\"layer\": 7, \"n\": 6, \"count\": "
                     "48422, \"dtype\": \"float32\"}]}");
}

static void test_unknown(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    assert_refused(ctx, in_scratch("nothing-here", path),
                   "No such file or directory; looked for a model directory");
    scratch_mkdir("empty");
    assert_refused(ctx, in_scratch("empty", path),
                   "nothing known in this directory; looked for a model directory");
    scratch_text("empty/config.yaml", "\n"); /* half a run */
    assert_refused(ctx, in_scratch("empty", path), "run directory (config.yaml and log.jsonl)");
    json_t *description = NULL;
    rls_test_data(path, "atlas");
    assert_all_status(ctx, rls_inspect(ctx, path, true, &description), RLS_ERR_USAGE);
    assert_all_message(ctx, "no checksums to verify");
    scratch_text("text", "once upon a time");
    assert_refused(ctx, in_scratch("text", path), "not a file of a known kind; looked for a model directory");
    scratch_text("nothing", "");
    assert_refused(ctx, in_scratch("nothing", path), "not a file of a known kind");
    assert_refused(ctx, "/dev/null", "is not a regular file");
    assert_refused(ctx, in_scratch("text/below", path), "Not a directory");
}

/* Damaged things are reported by who reads them. */
static void test_damaged(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], source[RLS_TEST_PATH_MAX];
    scratch_text("short.safetensors", "abc");
    assert_refused(ctx, in_scratch("short.safetensors", path), "3 bytes are too few");
    write_safetensors("cut.safetensors", "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                      4);
    assert_refused(ctx, in_scratch("cut.safetensors", path), "go beyond the file's 4 bytes");
    scratch_mkdir("no-shard");
    scratch_text("no-shard/config.json", "{\"model_type\": \"llama\"}");
    assert_refused(ctx, in_scratch("no-shard", path), "no safetensors file in this directory");
    scratch_text("no-shard/model.safetensors.index.json", "{\"weight_map\": {\"w\": \"a.safetensors\"}}");
    assert_refused(ctx, in_scratch("no-shard", path), "shard 'a.safetensors'");
    rls_test_data(source, "atlas-stream.nc");
    damage(source, in_scratch("cut.nc", path), NULL, NULL, 100000);
    assert_refused(ctx, path, "truncated");
    damage(source, in_scratch("foreign.nc", path), "rlsedit-stream", "rlsedit-dreams", 14);
    assert_refused(ctx, path, "format is \"rlsedit-dreams\", neither");
    damage(source, in_scratch("kind.nc", path), "target", "torget", 6);
    assert_refused(ctx, path, "value_kind is \"torget\"");
    scratch_text("text.nc", "once upon a time");
    assert_refused(ctx, in_scratch("text.nc", path), "is not a netCDF file");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {scratch_test(test_model),       scratch_test(test_conv1d),
                                       scratch_test(test_names),       scratch_test(test_stream),
                                       scratch_test(test_anchor_keys), scratch_test(test_moments),
                                       scratch_test(test_unknown),     scratch_test(test_damaged)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "inspect");
}
