/* Recorded streams in steps of several batches: the widths that are chosen, and runs judged batch by batch.
 */
/* ctest: TIMEOUT 300 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/cut.h"
#include "store/stream.h"
#include "support/edit_judge.h"

/* --- how a stream is cut */

static int64_t step_of(int64_t n, int64_t batch, int64_t wanted, int64_t every)
{
    rls_layer_spec layers[2] = {{.n = 100000}, {.n = n}};
    const rls_config config = {
        .batch = batch, .state = {.step = wanted}, .checkpoint = {.every_edits = every}};
    const rls_inputs in = {.config = &config, .layer_count = 2, .layers = layers};
    return rls_cut_step(&in);
}

static void test_widths(void **state)
{
    (void)state;
    assert_int_equal(step_of(8192, 1, 0, 0), 256);
    assert_int_equal(step_of(8192, 1, 0, 1000), 250); /* checkpoints stay where they are */
    assert_int_equal(step_of(8192, 100, 0, 1000), 200);
    assert_int_equal(step_of(8192, 100, 0, 0), 200);
    assert_int_equal(step_of(8192, 60, 0, 1000), 240); /* no batch ends at 1000 */
    assert_int_equal(step_of(8192, 1, 0, 1009), 256);  /* a prime: 1 would be too little */
    assert_int_equal(step_of(8192, 1, 0, 40), 40);
    assert_int_equal(step_of(8192, 30, 0, 40), 30);
    assert_int_equal(step_of(28672, 1, 0, 0), 512);
    assert_int_equal(step_of(28672, 1000, 0, 0), 1000); /* never less than a batch */
    assert_int_equal(step_of(8192, 50, 20, 1000), 50);
    assert_int_equal(step_of(8192, 50, 149, 1000), 100);
    assert_int_equal(step_of(16, 1, 0, 1000), 1);
    assert_int_equal(step_of(16, 1, 2000, 1000), 2000);
}

static void test_boundaries(void **state)
{
    (void)state;
    const rls_config config = {.batch = 5};
    const rls_inputs in = {.config = &config, .edits = 47};
    int64_t at = 0, steps = 0;
    for (int64_t count = rls_cut_next(&in, 20, at); count > 0; count = rls_cut_next(&in, 20, at), steps++)
        at += count;
    assert_int_equal(at, 47);
    assert_int_equal(steps, 3);
    assert_int_equal(rls_cut_next(&in, 20, 15), 5);
    assert_int_equal(rls_cut_next(&in, 20, 40), 7);
    assert_int_equal(rls_cut_next(&in, 5, 13), 5); /* a batch is a batch from wherever it begins */
    assert_int_equal(rls_cut_next(&in, 20, 47), 0);
}

/* --- runs */

/* Layers of 320 keys: the automatic step is of 10 edits. */
static const edit_plan PLAIN = {.layer_count = 2,
                                .layer = {{3, 330, 21, RLS_F64}, {5, 320, 40, RLS_F32}},
                                .edits = 43,
                                .kind = RLS_TARGET,
                                .stream_dtype = RLS_F64,
                                .moments = true,
                                .lambda = 1.1,
                                .mu = 0.8,
                                .weight = 1.5};

/* Sizes for steps that are asked for. */
static edit_plan small(void)
{
    edit_plan plan = PLAIN;
    plan.layer[0].n = 96;
    plan.layer[1].n = 70;
    plan.edits = 67;
    return plan;
}

/* Segments in the run's journal, and the batch that they say they were recorded with. */
static void check_journal(rls_context *ctx, const char *dir, int64_t segments, int64_t batch)
{
    char path[RLS_TEST_PATH_MAX];
    rls_stream *journal = NULL;
    assert_all_ok(ctx, rls_stream_open(ctx, rls_test_path(path, dir, "stream"), RLS_STREAM_EDITS, &journal));
    assert_all_int_equal(rls_stream_segments(journal), segments);
    assert_all_int_equal(rls_stream_inquire(journal)->batch, batch);
    assert_all(rls_stream_inquire(journal)->kind == RLS_TARGET);
    rls_stream_close(&journal);
}

static void run_and_judge(rls_context *ctx, const edit_plan *plan, const edit_choice *choice,
                          int64_t segments)
{
    edit_data data;
    char dir[RLS_TEST_PATH_MAX];
    edit_data_make(ctx, plan, &data);
    edit_run_and_judge(ctx, &data, choice, "run");
    check_journal(ctx, rls_test_path(dir, data.dir, "run"), segments, choice->batch);
    edit_data_remove(&data);
}

static void test_automatic(void **state)
{
    const edit_choice choice = {.layers = 2, .batch = 1, .state = RLS_F64, .block = 16, .verify = true};
    run_and_judge(*state, &PLAIN, &choice, 5);
}

static void test_odd_batches(void **state)
{
    const edit_plan plan = small();
    const edit_choice choice = {.layers = 2, .batch = 3, .step = 29, .state = RLS_F64, .block = 16};
    run_and_judge(*state, &plan, &choice, 3);
}

static void test_everything_at_once(void **state)
{
    const edit_plan plan = small();
    const edit_choice choice = {.layers = 2, .batch = 2, .step = 1000, .state = RLS_F64, .block = 64};
    run_and_judge(*state, &plan, &choice, 1);
}

static void test_residuals(void **state)
{
    edit_plan plan = small();
    plan.kind = RLS_RESIDUAL;
    plan.segments = 3;
    plan.stream_dtype = RLS_F32;
    const edit_choice choice = {
        .layers = 2, .batch = 1, .step = 16, .state = RLS_F64, .block = 16, .verify = true};
    run_and_judge(*state, &plan, &choice, 5);
}

static void test_float32(void **state)
{
    edit_plan plan = small();
    for (int kind = 0; kind < 2; kind++) {
        plan.kind = kind == 0 ? RLS_TARGET : RLS_RESIDUAL;
        const edit_choice choice = {.layers = 2, .batch = 2, .step = 20, .state = RLS_F32, .block = 16};
        run_and_judge(*state, &plan, &choice, 4);
    }
}

/* lambda = 0: no bound of the drift. */
static void test_anchor_alone(void **state)
{
    edit_plan plan = small();
    plan.lambda = 0.0;
    plan.moments = false;
    plan.anchors = 290;
    plan.anchor_values = true;
    const edit_choice choice = {.layers = 2, .batch = 4, .step = 24, .state = RLS_F64, .block = 16};
    run_and_judge(*state, &plan, &choice, 3);
}

/* --- one cut against another */

static double number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

/* Every figure of two logs, line by line. */
static void compare_logs(const char *a, const char *b, int64_t batches)
{
    static const char *const NAMES[] = {"innovation_before", "innovation_after", "delta_norm",
                                        "delta_bound",       "objective",        "trace",
                                        "smallest_pivot"};
    char path[RLS_TEST_PATH_MAX], *rest[2] = {NULL, NULL};
    char *text[2] = {rls_test_read(rls_test_path(path, a, "log.jsonl"), NULL),
                     rls_test_read(rls_test_path(path, b, "log.jsonl"), NULL)};
    double clock = 0.0;
    for (int64_t i = 0; i < batches; i++) {
        json_t *line[2];
        for (int k = 0; k < 2; k++) {
            const char *one = strtok_r(i == 0 ? text[k] : NULL, "\n", &rest[k]);
            line[k] = one != NULL ? json_loads(one, JSON_REJECT_DUPLICATES, NULL) : NULL;
            assert_all(line[k] != NULL);
        }
        const json_t *x = json_object_get(line[0], "layers"), *y = json_object_get(line[1], "layers");
        assert_all(number(line[0], "batch") == (double)(i + 1) &&
                   number(line[1], "batch") == (double)(i + 1));
        assert_all(number(line[0], "edits") == number(line[1], "edits"));
        assert_all(number(line[0], "seconds") > clock); /* every batch has its share of its step's time */
        clock = number(line[0], "seconds");
        for (size_t l = 0; l < json_array_size(x); l++)
            for (size_t f = 0; f < sizeof NAMES / sizeof NAMES[0]; f++) {
                const double p = number(json_array_get(x, l), NAMES[f]),
                             q = number(json_array_get(y, l), NAMES[f]);
                assert_all_le(fabs(p - q), 1e-11 * fabs(q));
                assert_all(q > 0.0);
            }
        json_decref(line[0]);
        json_decref(line[1]);
    }
    assert_all(strtok_r(NULL, "\n", &rest[0]) == NULL && strtok_r(NULL, "\n", &rest[1]) == NULL);
    free(text[0]);
    free(text[1]);
}

/* The layer's float64 weight of a run's model, [m, n]. */
static double *weight(const edit_data *data, const char *dir, int layer)
{
    char path[RLS_TEST_PATH_MAX];
    const int64_t count = data->problem[layer].n * data->problem[layer].m;
    char *file = rls_test_read(rls_test_path(path, dir, "model/model.safetensors"), NULL);
    double *w = calloc((size_t)count + 1, sizeof *w);
    assert_non_null(w);
    memcpy(w, file + data->offset[layer], (size_t)count * sizeof *w);
    free(file);
    return w;
}

/* Batches of one, automatically recut and not: the same weights and the same log. */
static void compare_cuts(rls_context *ctx, rls_value_kind kind)
{
    edit_plan plan = PLAIN;
    plan.kind = kind;
    plan.layer[1].dtype = RLS_F64;
    plan.shards = 0;
    edit_data data;
    edit_data_make(ctx, &plan, &data);
    edit_choice choice = {.layers = 2, .batch = 1, .state = RLS_F64, .block = 16};
    char wide[RLS_TEST_PATH_MAX], narrow[RLS_TEST_PATH_MAX];
    assert_all_ok(ctx, edit_try(ctx, &data, &choice, "wide", wide));
    choice.step = 1;
    assert_all_ok(ctx, edit_try(ctx, &data, &choice, "narrow", narrow));
    check_journal(ctx, wide, 5, 1);
    check_journal(ctx, narrow, 43, 1);
    compare_logs(wide, narrow, 43);
    for (int i = 0; i < 2; i++) {
        double *a = weight(&data, wide, i), *b = weight(&data, narrow, i);
        assert_all_le(relative_difference(a, b, data.problem[i].n * data.problem[i].m), 1e-12);
        free(a);
        free(b);
    }
    edit_data_remove(&data);
}

static void test_cuts_agree(void **state)
{
    compare_cuts(*state, RLS_TARGET);
}

static void test_cuts_of_residuals_agree(void **state)
{
    compare_cuts(*state, RLS_RESIDUAL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_widths),
        context_test(test_boundaries),
        context_test(test_automatic),
        context_test(test_odd_batches),
        context_test(test_everything_at_once),
        context_test(test_residuals),
        context_test(test_float32),
        context_test(test_anchor_alone),
        context_test(test_cuts_agree),
        context_test(test_cuts_of_residuals_agree),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "run-recut");
}
