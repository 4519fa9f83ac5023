/* ctest: NP 1 2 4 */
/* What rlsedit inspect says of every kind of thing, good, odd and damaged. The description is rank 0's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "session/edit.h"
#include "session/inspect.h"
#include "store/manifest.h"
#include "store/moments.h"
#include "store/stream_files.h"
#include "support/collective.h"
#include "support/edit_judge.h"
#include "support/state.h"

static char dir[RLS_TEST_PATH_MAX]; /* of the running test */

/* The path of something in the test's directory. */
static const char *in(const char *name, char path[RLS_TEST_PATH_MAX])
{
    (void)snprintf(path, RLS_TEST_PATH_MAX, "%.400s/%.500s", dir, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    char path[RLS_TEST_PATH_MAX];
    rls_test_write(in(name, path), text, strlen(text));
}

static void make_dir(const char *name)
{
    char path[RLS_TEST_PATH_MAX];
    MPI_Barrier(MPI_COMM_WORLD);
    (void)mkdir(in(name, path), 0777);
    MPI_Barrier(MPI_COMM_WORLD);
}

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
    rls_test_write(in(name, path), file, 8 + length + data);
    free(file);
}

/* Whether rank 0's description has all that the expected object has; the others have none. */
static bool has(const rls_context *ctx, const json_t *description, const char *expected)
{
    if (rls_context_rank(ctx) != 0)
        return description == NULL;
    json_t *all = json_loads(expected, 0, NULL);
    const char *key = NULL;
    json_t *value = NULL;
    bool same = json_object_size(all) > 0;
    json_object_foreach(all, key, value)
    {
        const bool equal = json_equal(json_object_get(description, key), value) != 0;
        if (!equal) {
            char *found = json_dumps(json_object_get(description, key), JSON_ENCODE_ANY);
            print_message("%s is %s\n", key, found != NULL ? found : "not there");
            free(found);
        }
        same = same && equal;
    }
    json_decref(all);
    return same;
}

/* The description is valid JSON: what is written reads back the same. */
static bool is_json(const json_t *description)
{
    if (description == NULL)
        return true;
    char *text = json_dumps(description, JSON_INDENT(2));
    json_t *again = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const bool same = again != NULL && json_equal(description, again) != 0;
    json_decref(again);
    free(text);
    return same;
}

static void assert_described(rls_context *ctx, const char *path, const char *expected)
{
    json_t *description = NULL;
    assert_all_ok(ctx, rls_session_inspect(ctx, path, false, &description));
    assert_all(has(ctx, description, expected));
    assert_all(is_json(description));
    assert_all(description == NULL ||
               strcmp(json_string_value(json_object_get(description, "path")), path) == 0);
    json_decref(description);
}

static void assert_refused(rls_context *ctx, const char *path, const char *message)
{
    json_t *description = NULL;
    assert_all_status(ctx, rls_session_inspect(ctx, path, false, &description), RLS_ERR_DATA);
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
    assert_all_ok(ctx, rls_session_inspect(ctx, path, false, &description));
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
    make_dir("gpt2");
    write_text("gpt2/config.json", "{\"model_type\": \"gpt2\"}");
    write_safetensors(
        "gpt2/model.safetensors",
        "{\"h.0.mlp.c_proj.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
        "\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]}}",
        32);
    assert_described(ctx, in("gpt2", path),
                     "{\"kind\": \"model\", \"model_type\": \"gpt2\", \"layout\": \"conv1d\", "
                     "\"parameters\": 7, \"dtypes\": {\"F32\": 1, \"I64\": 1}, \"tensors\": ["
                     "{\"name\": \"h.0.mlp.c_proj.weight\", \"dtype\": \"F32\", \"shape\": [3, 2], "
                     "\"shard\": \"model.safetensors\"}, {\"name\": \"s\", \"dtype\": \"I64\", \"shape\": [],"
                     " \"shard\": \"model.safetensors\"}]}");
    assert_described(ctx, in("gpt2/", path), "{\"kind\": \"model\"}");
    /* The file by itself says nothing of its model; content decides where the name doesn't tell. */
    assert_described(ctx, in("gpt2/model.safetensors", path),
                     "{\"kind\": \"safetensors\", \"parameters\": 7}");
    write_safetensors("blob", "{}", 0);
    assert_described(ctx, in("blob", path),
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
    assert_all_ok(ctx, rls_session_inspect(ctx, in("names.safetensors", path), false, &description));
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
    assert_all_ok(ctx, rls_session_inspect(ctx, in("\xff.safetensors", path), false, &description));
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
    make_dir("segments");
    (void)in("segments", path);
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
    assert_all_ok(ctx, write_edits(ctx, in("k0.nc", path), &info, 0, 9, RLS_F64));
    assert_described(ctx, path,
                     "{\"kind\": \"stream\", \"use\": \"anchor\", \"value_kind\": null, \"edits\": 9, "
                     "\"batch\": null, \"case_ids\": false, \"layers\": [{\"layer\": 2, \"n\": 5, \"m\": 0, "
                     "\"key_dtype\": \"float64\", \"value_dtype\": null}]}");
    json_t *description = NULL;
    assert_all_ok(ctx, rls_session_inspect(ctx, path, false, &description));
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
    assert_all_ok(ctx, rls_moments_write(ctx, in("moments.nc", path), "h.{}", 2, layers, matrices, counts));
    for (int i = 0; i < 2; i++)
        rls_matrix_destroy(&matrices[i]);
    rls_grid_destroy(&grid);
    assert_described(ctx, path,
                     "{\"kind\": \"moments\", \"module\": \"h.{}\", \"layers\": [{\"layer\": 3, \"n\": 9, "
                     "\"count\": 5000000000, \"dtype\": \"float64\"}, {\"layer\": 7, \"n\": 6, \"count\": "
                     "48422, \"dtype\": \"float32\"}]}");
}

#define LINE "{\"batch\": 3, \"edits\": 30, \"layers\": []}"

/* A file with its seal, as the run directory has them. */
static void write_sealed(rls_context *ctx, const char *name, const char *text)
{
    char path[RLS_TEST_PATH_MAX];
    rls_status status = RLS_OK;
    if (rls_context_rank(ctx) == 0)
        status = rls_manifest_write(ctx, in(name, path), json_loads(text, 0, NULL));
    assert_all_ok(ctx, status);
}

/* From the first moment of a run to its end. */
static void test_run(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    make_dir("run");
    write_text("run/config.yaml", "batch: 10\n");
    write_text("run/log.jsonl", "");
    (void)in("run", path);
    assert_described(
        ctx, path,
        "{\"kind\": \"run\", \"bytes\": 10, \"state\": \"stopped\", \"edits\": 0, "
        "\"batches\": 0, \"last_batch\": null, \"model\": null, \"summary\": null, \"running\": "
        "null, \"checkpoints\": [], \"set_aside\": [], \"resume\": {\"step\": null, \"replay\": "
        "0}, \"journal\": {\"segments\": 0, \"sound\": 0, \"edits\": 0, \"bytes\": 0}, \"disk\": "
        "{\"stream\": 0, \"checkpoints\": 0, \"model\": 0, \"report\": 0, \"other\": 10}}");
    write_text("run/log.jsonl", "{\"batch\": 1, \"ed");
    assert_described(ctx, path, "{\"edits\": 0, \"last_batch\": null}");
    write_text("run/log.jsonl", "{\"batch\": 2, \"edits\": 20}\n" LINE "\n{\"batch\": 4, \"edi");
    assert_described(ctx, path,
                     "{\"state\": \"stopped\", \"edits\": 30, \"batches\": 3, \"last_batch\": " LINE "}");
    make_dir("run/model");
    write_text("run/model/config.json", "{}");
    write_text("run/log.jsonl", LINE "\n");
    write_sealed(ctx, "run/summary.json",
                 "{\"format\": \"rlsedit-summary\", \"edits\": 31, \"batches\": 4, \"seconds\": 1.5}");
    assert_described(ctx, path,
                     "{\"state\": \"finished\", \"edits\": 31, \"batches\": 4, \"resume\": null, \"disk\": "
                     "{\"stream\": 0, \"checkpoints\": 0, \"model\": 2, \"report\": 0, \"other\": 177}, "
                     "\"last_batch\": " LINE "}");
    json_t *description = NULL;
    char model[RLS_TEST_PATH_MAX];
    assert_all_ok(ctx, rls_session_inspect(ctx, path, false, &description));
    assert_all(description == NULL ||
               strcmp(json_string_value(json_object_get(description, "model")), in("run/model", model)) == 0);
    assert_all(description == NULL ||
               json_integer_value(json_object_get(json_object_get(description, "summary"), "edits")) == 31);
    json_decref(description);
}

/* Lines longer than what is read of the end at first. */
static void test_long_lines(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], *log = malloc(1000000);
    make_dir("long");
    write_text("long/config.yaml", "\n");
    for (size_t length = 65534; length <= 65540; length++) { /* around 64 KiB */
        (void)snprintf(log, 1000000, "{}\n{\"edits\": 7, \"x\": \"%0*d\"}\n", (int)length - 21, 1);
        assert_all_int_equal(strlen(log), 3 + length + 1);
        write_text("long/log.jsonl", log);
        assert_described(ctx, in("long", path), "{\"edits\": 7}");
        write_text("long/log.jsonl", log + 3); /* it is the first one */
        assert_described(ctx, in("long", path), "{\"edits\": 7}");
    }
    (void)snprintf(log, 1000000, "{\"edits\": 8}\n%0*d", 400000, 1); /* behind a long torn one */
    write_text("long/log.jsonl", log);
    assert_described(ctx, in("long", path), "{\"edits\": 8}");
    free(log);
}

/* What is wrong with a run or a checkpoint, as "path: problem" with paths in it; the rest is described all
 * the same. */
static void assert_problems(rls_context *ctx, const char *name, bool verify, size_t count,
                            const char *const *expected)
{
    char path[RLS_TEST_PATH_MAX], text[2048];
    json_t *description = NULL;
    assert_all_ok(ctx, rls_session_inspect(ctx, in(name, path), verify, &description));
    const json_t *problems = json_object_get(description, "problems");
    bool same = description == NULL || json_array_size(problems) == count;
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *one = json_array_get(problems, i);
        (void)snprintf(text, sizeof text, "%s: %s", json_string_value(json_object_get(one, "path")),
                       json_string_value(json_object_get(one, "problem")));
        const size_t skipped = strlen(dir) + 1;
        const bool right = i < count && strlen(text) > skipped && strcmp(text + skipped, expected[i]) == 0;
        if (!right)
            print_message("problem %zu: %s\n", i, text);
        same = same && right;
    }
    assert_all(same);
    assert_all(is_json(description));
    assert_all(description == NULL ||
               json_is_true(json_object_get(description, "verified")) == (verify && count == 0));
    json_decref(description);
}

static void test_damaged_run(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    make_dir("bad-run");
    write_text("bad-run/config.yaml", "\n");
    write_text("bad-run/log.jsonl", LINE "\nnonsense\n");
    write_sealed(ctx, "bad-run/run.json", "{\"format\": \"rlsedit-run\", \"config\": \"6f\"}");
    assert_problems(
        ctx, "bad-run", false, 2,
        (const char *const[]){"bad-run/config.yaml: is damaged or edited: its checksum in run.json differs",
                              "bad-run/log.jsonl: its last line (at byte 40) is no JSON object"});
    assert_problems(
        ctx, "bad-run", true, 4,
        (const char *const[]){"bad-run/config.yaml: is damaged or edited: its checksum in run.json differs",
                              "bad-run/log.jsonl: line 1 is damaged: its checksum does not hold",
                              "bad-run/log.jsonl: line 2 is damaged: its checksum does not hold",
                              "bad-run/log.jsonl: has 2 whole lines, but the journal 0 segments"});
    write_text("bad-run/log.jsonl", "");
    write_text("bad-run/run.json", "{");
    write_text("bad-run/summary.json", "{\"edits\":\n 3");
    assert_problems(
        ctx, "bad-run", false, 2,
        (const char *const[]){"bad-run/summary.json: line 2: damaged: '}' expected near end of file",
                              "bad-run/run.json: line 1: damaged: string or '}' expected near end of file"});
    assert_described(ctx, in("bad-run", path), "{\"state\": \"stopped\", \"summary\": null}");
    write_text("bad-run/summary.json", "[1]");
    write_sealed(ctx, "bad-run/run.json", "{\"format\": \"rlsedit-walk\"}");
    assert_problems(ctx, "bad-run", true, 2,
                    (const char *const[]){"bad-run/summary.json: damaged: its checksum does not hold",
                                          "bad-run/run.json: is no rlsedit-run but rlsedit-walk"});
}

/* Six batches with a checkpoint after each second one, but at the end. Returns what the session does. */
static rls_status make_run(rls_context *ctx, edit_data *data, char run[RLS_TEST_PATH_MAX])
{
    static const char CONFIG[] = "model: {module: 'h.{}.mlp', layers: [0, 3]}\nbatch: 5\n"
                                 "grid: {block: 8}\ncheckpoint: {every_edits: 10, keep: 5}\n";
    const edit_plan plan = {.layer_count = 2,
                            .layer = {{0, 24, 17, RLS_F32}, {3, 16, 24, RLS_BF16}},
                            .shards = 2,
                            .edits = 30,
                            .kind = RLS_TARGET,
                            .stream_dtype = RLS_F32,
                            .lambda = 1.0,
                            .mu = 1.0};
    char config[RLS_TEST_PATH_MAX], module[128];
    edit_data_make(ctx, &plan, data);
    rls_test_write(edit_path(config, data->dir, "config.yaml"), CONFIG, sizeof CONFIG - 1);
    (void)snprintf(module, sizeof module, "model.module=%s", data->module);
    const char *const sets[] = {module};
    const rls_edit_request request = {.config = config,
                                      .sets = sets,
                                      .nsets = 1,
                                      .model = data->model,
                                      .stream = data->stream,
                                      .run = edit_path(run, data->dir, "run")};
    return rls_session_edit(ctx, &request);
}

/* A problem of just that file is among them. */
static bool names(const json_t *description, const char *path)
{
    const json_t *problem = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(description, "problems"), i, problem)
    {
        if (strcmp(json_string_value(json_object_get(problem, "path")), path) == 0)
            return true;
    }
    return false;
}

static void assert_named(rls_context *ctx, const char *run, const char *path, const char *how, size_t at)
{
    json_t *description = NULL;
    assert_all_ok(ctx, rls_session_inspect(ctx, run, true, &description));
    const bool named = description == NULL ||
                       (names(description, path) && json_is_false(json_object_get(description, "verified")));
    if (!named)
        print_message("%s, %s at %zu: not named\n", path, how, at);
    assert_all(named);
    json_decref(description);
    /* Without verify nothing of it fails. */
    assert_all_ok(ctx, rls_session_inspect(ctx, run, false, &description));
    json_decref(description);
}

/* One bit of any file, a part of it or all of it gone: verify names the file. */
static void test_any_damage(void **state)
{
    rls_context *ctx = *state;
    char run[RLS_TEST_PATH_MAX];
    edit_data data;
    edit_kept files = {0};
    rls_random random = rls_random_seed(18);
    assert_all_ok(ctx, make_run(ctx, &data, run));
    MPI_Barrier(MPI_COMM_WORLD);
    assert_described(ctx, run,
                     "{\"state\": \"finished\", \"edits\": 30, \"batches\": 6, \"resume\": null, "
                     "\"set_aside\": [], \"problems\": [], \"verified\": false}");
    json_t *description = NULL;
    assert_all_ok(ctx, rls_session_inspect(ctx, run, true, &description));
    assert_all(has(ctx, description, "{\"problems\": [], \"verified\": true}"));
    json_decref(description);
    edit_keep(&files, run);
    assert_all(files.count > 20);
    for (int i = 0; i < files.count; i++) {
        const char *path = files.file[i].path;
        const size_t bytes = files.file[i].bytes;
        if (strstr(path, "/.lock") != NULL)
            continue;
        char *changed = malloc(bytes);
        for (int k = 0; k < 4; k++) {
            const size_t at = k == 0 ? bytes - 1 : (size_t)rls_random_below(&random, (int64_t)bytes);
            memcpy(changed, files.file[i].data, bytes);
            changed[at] = (char)(changed[at] ^ 1 << rls_random_below(&random, 8));
            rls_test_write(path, changed, bytes);
            assert_named(ctx, run, path, "a bit", at);
        }
        for (int k = 0; k < 2; k++) {
            const size_t left = k == 0 ? 0 : (size_t)rls_random_below(&random, (int64_t)bytes);
            rls_test_write(path, files.file[i].data, left);
            assert_named(ctx, run, path, "cut", left);
        }
        rls_test_write(path, files.file[i].data, bytes);
        free(changed);
    }
    edit_check_kept(&files);
    edit_data_remove(&data);
}

static const json_t *checkpoint_at(const json_t *description, size_t i)
{
    return json_array_get(json_object_get(description, "checkpoints"), i);
}

/* A run that broke off: what resuming would do, with sound and with damaged checkpoints. */
static void test_interrupted(void **state)
{
    rls_context *ctx = *state;
    char run[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    edit_data data;
    json_t *description = NULL;
    ctx->fault = (rls_fault_plan){RLS_FAULT_segment_done, RLS_FAULT_ERROR, 0, 5};
    assert_all_status(ctx, make_run(ctx, &data, run), RLS_ERR_IO);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_described(ctx, run,
                     "{\"state\": \"interrupted\", \"edits\": 25, \"batches\": 5, \"resume\": {\"step\": 20, "
                     "\"replay\": 1}, \"problems\": [], \"running\": null, \"summary\": null}");
    assert_all_ok(ctx, rls_session_inspect(ctx, run, true, &description));
    assert_all(
        has(ctx, description, "{\"verified\": true}")); /* a line of the log less than segments is fine */
    assert_all(description == NULL ||
               (json_integer_value(json_object_get(checkpoint_at(description, 0), "step")) == 20 &&
                json_integer_value(json_object_get(checkpoint_at(description, 0), "segments")) == 4 &&
                json_integer_value(json_object_get(checkpoint_at(description, 1), "edits")) == 10));
    json_decref(description);
    /* By itself, and the files beside one that is damaged. */
    assert_all_ok(ctx, rls_session_inspect(ctx, edit_path(path, run, "checkpoints/step-000000020/"), true,
                                           &description));
    assert_all(has(
        ctx, description,
        "{\"kind\": \"checkpoint\", \"step\": 20, \"edits\": 20, \"batches\": 4, \"segments\": 4, "
        "\"dtype\": \"float64\", \"committed\": true, \"sound\": true, \"why\": null, \"verified\": true}"));
    json_decref(description);
    (void)edit_path(path, run, "checkpoints/step-000000020/manifest.json");
    rls_test_write(path, "", 0);
    assert_described(ctx, run, "{\"state\": \"interrupted\", \"resume\": {\"step\": 10, \"replay\": 3}}");
    assert_all_ok(ctx, rls_session_inspect(ctx, edit_path(path, run, "checkpoints/step-000000020"), false,
                                           &description));
    assert_all(has(ctx, description,
                   "{\"step\": null, \"committed\": true, \"sound\": false, \"verified\": false}"));
    json_decref(description);
    /* Without a manifest there is no checkpoint, and nothing wrong with the run. */
    MPI_Barrier(MPI_COMM_WORLD);
    (void)unlink(edit_path(path, run, "checkpoints/step-000000010/manifest.json"));
    (void)unlink(edit_path(path, run, "checkpoints/step-000000020/manifest.json"));
    MPI_Barrier(MPI_COMM_WORLD);
    assert_described(ctx, run, "{\"resume\": {\"step\": null, \"replay\": 5}, \"problems\": []}");
    edit_data_remove(&data);
}

static void test_unknown(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    assert_refused(ctx, in("nothing-here", path), "No such file or directory; looked for a model directory");
    make_dir("empty");
    assert_refused(ctx, in("empty", path), "nothing known in this directory; looked for a model directory");
    write_text("empty/config.yaml", "\n"); /* half a run */
    assert_refused(ctx, in("empty", path), "run directory (config.yaml and log.jsonl)");
    json_t *description = NULL;
    rls_test_data(path, "atlas");
    assert_all_status(ctx, rls_session_inspect(ctx, path, true, &description), RLS_ERR_USAGE);
    assert_all_message(ctx, "no checksums to verify");
    write_text("text", "once upon a time");
    assert_refused(ctx, in("text", path), "not a file of a known kind; looked for a model directory");
    write_text("nothing", "");
    assert_refused(ctx, in("nothing", path), "not a file of a known kind");
    assert_refused(ctx, "/dev/null", "is not a regular file");
    assert_refused(ctx, in("text/below", path), "Not a directory");
}

/* Damaged things are reported by who reads them. */
static void test_damaged(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], source[RLS_TEST_PATH_MAX];
    write_text("short.safetensors", "abc");
    assert_refused(ctx, in("short.safetensors", path), "3 bytes are too few");
    write_safetensors("cut.safetensors", "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                      4);
    assert_refused(ctx, in("cut.safetensors", path), "go beyond the file's 4 bytes");
    make_dir("no-shard");
    write_text("no-shard/config.json", "{\"model_type\": \"llama\"}");
    assert_refused(ctx, in("no-shard", path), "no safetensors file in this directory");
    write_text("no-shard/model.safetensors.index.json", "{\"weight_map\": {\"w\": \"a.safetensors\"}}");
    assert_refused(ctx, in("no-shard", path), "shard 'a.safetensors'");
    rls_test_data(source, "atlas-stream.nc");
    damage(source, in("cut.nc", path), NULL, NULL, 100000);
    assert_refused(ctx, path, "truncated");
    damage(source, in("foreign.nc", path), "rlsedit-stream", "rlsedit-dreams", 14);
    assert_refused(ctx, path, "format is \"rlsedit-dreams\", neither");
    damage(source, in("kind.nc", path), "target", "torget", 6);
    assert_refused(ctx, path, "value_kind is \"torget\"");
    write_text("text.nc", "once upon a time");
    assert_refused(ctx, in("text.nc", path), "is not a netCDF file");
}

static int setup(void **state)
{
    rls_test_tmpdir(dir);
    return context_setup(state);
}

static int teardown(void **state)
{
    rls_test_rmtree(dir);
    return context_teardown(state);
}

#define described(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        described(test_model),       described(test_conv1d),      described(test_names),
        described(test_stream),      described(test_anchor_keys), described(test_moments),
        described(test_run),         described(test_long_lines),  described(test_damaged_run),
        described(test_unknown),     described(test_damaged),     described(test_any_damage),
        described(test_interrupted),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "inspect");
}
