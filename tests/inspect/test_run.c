/* ctest: NP 1 2 4 */
/* What rlsedit inspect says of runs and checkpoints: as they grow, damaged anywhere, and broken off. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "inspect/inspect_checks.h"
#include "run/edit.h"
#include "store/manifest.h"
#include "support/edit_judge.h"

#define LINE "{\"batch\": 3, \"edits\": 30, \"layers\": []}"

/* A file with its seal, as the run directory has them. */
static void write_sealed(rls_context *ctx, const char *name, const char *text)
{
    char path[RLS_TEST_PATH_MAX];
    rls_status status = RLS_OK;
    if (rls_context_rank(ctx) == 0)
        status = rls_manifest_write(ctx, in_scratch(name, path), json_loads(text, 0, NULL));
    assert_all_ok(ctx, status);
}

/* From the first moment of a run to its end. */
static void test_run(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    scratch_mkdir("run");
    scratch_text("run/config.yaml", "batch: 10\n");
    scratch_text("run/log.jsonl", "");
    (void)in_scratch("run", path);
    assert_described(ctx, path,
                     "{\"kind\": \"run\", \"bytes\": 10, \"state\": \"stopped\", \"edits\": 0, "
                     "\"batches\": 0, \"last_batch\": null, \"model\": null, \"summary\": null, \"running\": "
                     "null, \"checkpoints\": [], \"set_aside\": [], \"resume\": {\"step\": null, \"replay\": "
                     "0}, \"journal\": {\"segments\": 0, \"sound\": 0, \"edits\": 0, \"bytes\": 0, "
                     "\"strays\": 0, \"stray\": null}, \"disk\": "
                     "{\"stream\": 0, \"checkpoints\": 0, \"model\": 0, \"report\": 0, \"other\": 10}}");
    scratch_text("run/log.jsonl", "{\"batch\": 1, \"ed");
    assert_described(ctx, path, "{\"edits\": 0, \"last_batch\": null}");
    scratch_text("run/log.jsonl", "{\"batch\": 2, \"edits\": 20}\n" LINE "\n{\"batch\": 4, \"edi");
    assert_described(ctx, path,
                     "{\"state\": \"stopped\", \"edits\": 30, \"batches\": 3, \"last_batch\": " LINE "}");
    scratch_mkdir("run/model");
    scratch_text("run/model/config.json", "{}");
    scratch_text("run/log.jsonl", LINE "\n");
    write_sealed(ctx, "run/summary.json",
                 "{\"format\": \"rlsedit-summary\", \"edits\": 31, \"batches\": 4, \"seconds\": 1.5}");
    assert_described(ctx, path,
                     "{\"state\": \"finished\", \"edits\": 31, \"batches\": 4, \"resume\": null, \"disk\": "
                     "{\"stream\": 0, \"checkpoints\": 0, \"model\": 2, \"report\": 0, \"other\": 177}, "
                     "\"last_batch\": " LINE "}");
    json_t *description = NULL;
    char model[RLS_TEST_PATH_MAX];
    assert_all_ok(ctx, rls_inspect(ctx, path, false, &description));
    assert_all(description == NULL || strcmp(json_string_value(json_object_get(description, "model")),
                                             in_scratch("run/model", model)) == 0);
    assert_all(description == NULL ||
               json_integer_value(json_object_get(json_object_get(description, "summary"), "edits")) == 31);
    json_decref(description);
}

/* Lines longer than what is read of the end at first. */
static void test_long_lines(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], *log = malloc(1000000);
    scratch_mkdir("long");
    scratch_text("long/config.yaml", "\n");
    for (size_t length = 65534; length <= 65540; length++) { /* around 64 KiB */
        (void)snprintf(log, 1000000, "{}\n{\"edits\": 7, \"x\": \"%0*d\"}\n", (int)length - 21, 1);
        assert_all_int_equal(strlen(log), 3 + length + 1);
        scratch_text("long/log.jsonl", log);
        assert_described(ctx, in_scratch("long", path), "{\"edits\": 7}");
        scratch_text("long/log.jsonl", log + 3); /* it is the first one */
        assert_described(ctx, in_scratch("long", path), "{\"edits\": 7}");
    }
    (void)snprintf(log, 1000000, "{\"edits\": 8}\n%0*d", 400000, 1); /* behind a long torn one */
    scratch_text("long/log.jsonl", log);
    assert_described(ctx, in_scratch("long", path), "{\"edits\": 8}");
    free(log);
}

/* What is wrong with a run or a checkpoint, as "path: problem" with paths in it; the rest is described all
 * the same. */
static void assert_problems(rls_context *ctx, const char *name, bool verify, size_t count,
                            const char *const *expected)
{
    char path[RLS_TEST_PATH_MAX], text[2048];
    json_t *description = NULL;
    assert_all_ok(ctx, rls_inspect(ctx, in_scratch(name, path), verify, &description));
    const json_t *problems = json_object_get(description, "problems");
    bool same = description == NULL || json_array_size(problems) == count;
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *one = json_array_get(problems, i);
        (void)snprintf(text, sizeof text, "%s: %s", json_string_value(json_object_get(one, "path")),
                       json_string_value(json_object_get(one, "problem")));
        const size_t skipped = strlen(scratch_dir()) + 1;
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
    scratch_mkdir("bad-run");
    scratch_text("bad-run/config.yaml", "\n");
    scratch_text("bad-run/log.jsonl", LINE "\nnonsense\n");
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
                              "bad-run/log.jsonl: has 2 whole lines, but the journal 0 batches"});
    scratch_text("bad-run/log.jsonl", "");
    scratch_text("bad-run/run.json", "{");
    scratch_text("bad-run/summary.json", "{\"edits\":\n 3");
    assert_problems(
        ctx, "bad-run", false, 2,
        (const char *const[]){"bad-run/summary.json: line 2: damaged: '}' expected near end of file",
                              "bad-run/run.json: line 1: damaged: string or '}' expected near end of file"});
    assert_described(ctx, in_scratch("bad-run", path), "{\"state\": \"stopped\", \"summary\": null}");
    scratch_text("bad-run/summary.json", "[1]");
    write_sealed(ctx, "bad-run/run.json", "{\"format\": \"rlsedit-walk\"}");
    assert_problems(ctx, "bad-run", true, 2,
                    (const char *const[]){"bad-run/summary.json: damaged: its checksum does not hold",
                                          "bad-run/run.json: is no rlsedit-run but rlsedit-walk"});
}

/* Six batches with a checkpoint after each second one, but at the end. Returns what the run does. */
static rls_status make_run(rls_context *ctx, edit_data *data, char run[RLS_TEST_PATH_MAX])
{
    static const char CONFIG[] = "model: {module: 'h.{}.mlp', layers: [0, 3]}\nbatch: 5\n"
                                 "grid: {block: 8}\ncheckpoint: {every_edits: 10, max_share: 0, keep: 5}\n";
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
    rls_test_write(rls_test_path(config, data->dir, "config.yaml"), CONFIG, sizeof CONFIG - 1);
    (void)snprintf(module, sizeof module, "model.module=%s", data->module);
    const char *const sets[] = {module};
    const rls_edit_request request = {.config = config,
                                      .sets = sets,
                                      .nsets = 1,
                                      .model = data->model,
                                      .stream = data->stream,
                                      .run = rls_test_path(run, data->dir, "run")};
    return rls_edit(ctx, &request);
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
    assert_all_ok(ctx, rls_inspect(ctx, run, true, &description));
    const bool named = description == NULL ||
                       (names(description, path) && json_is_false(json_object_get(description, "verified")));
    if (!named)
        print_message("%s, %s at %zu: not named\n", path, how, at);
    assert_all(named);
    json_decref(description);
    /* Without verify nothing of it fails. */
    assert_all_ok(ctx, rls_inspect(ctx, run, false, &description));
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
    assert_all_ok(ctx, rls_inspect(ctx, run, true, &description));
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
    assert_all_ok(ctx, rls_inspect(ctx, run, true, &description));
    assert_all(
        has(ctx, description, "{\"verified\": true}")); /* a line of the log less than segments is fine */
    assert_all(description == NULL ||
               (json_integer_value(json_object_get(checkpoint_at(description, 0), "step")) == 20 &&
                json_integer_value(json_object_get(checkpoint_at(description, 0), "segments")) == 4 &&
                json_integer_value(json_object_get(checkpoint_at(description, 1), "edits")) == 10));
    json_decref(description);
    /* By itself, and the files beside one that is damaged. */
    assert_all_ok(
        ctx, rls_inspect(ctx, rls_test_path(path, run, "checkpoints/step-000000020/"), true, &description));
    assert_all(has(
        ctx, description,
        "{\"kind\": \"checkpoint\", \"step\": 20, \"edits\": 20, \"batches\": 4, \"segments\": 4, "
        "\"dtype\": \"float64\", \"committed\": true, \"sound\": true, \"why\": null, \"verified\": true}"));
    json_decref(description);
    (void)rls_test_path(path, run, "checkpoints/step-000000020/manifest.json");
    rls_test_write(path, "", 0);
    assert_described(ctx, run, "{\"state\": \"interrupted\", \"resume\": {\"step\": 10, \"replay\": 3}}");
    assert_all_ok(
        ctx, rls_inspect(ctx, rls_test_path(path, run, "checkpoints/step-000000020"), false, &description));
    assert_all(has(ctx, description,
                   "{\"step\": null, \"committed\": true, \"sound\": false, \"verified\": false}"));
    json_decref(description);
    /* Without a manifest there is no checkpoint, and nothing wrong with the run. */
    MPI_Barrier(MPI_COMM_WORLD);
    (void)unlink(rls_test_path(path, run, "checkpoints/step-000000010/manifest.json"));
    (void)unlink(rls_test_path(path, run, "checkpoints/step-000000020/manifest.json"));
    MPI_Barrier(MPI_COMM_WORLD);
    assert_described(ctx, run, "{\"resume\": {\"step\": null, \"replay\": 5}, \"problems\": []}");
    edit_data_remove(&data);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {scratch_test(test_run), scratch_test(test_long_lines),
                                       scratch_test(test_damaged_run), scratch_test(test_any_damage),
                                       scratch_test(test_interrupted)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "inspect-run");
}
