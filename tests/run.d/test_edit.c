/* A whole editing run called as a library: random models of all types, layouts and layer shapes, every kind
 * of stream and anchor, on any grid. */
/* ctest: TIMEOUT 300 */
#include <stdio.h>
#include <stdlib.h>

#include "support/edit_judge.h"

static void make_run_and_judge(rls_context *ctx, const edit_plan *plan, const edit_choice *choice)
{
    edit_data data;
    edit_data_make(ctx, plan, &data);
    edit_run_and_judge(ctx, &data, choice, "run");
    edit_data_remove(&data);
}

/* Sizes that no block divides, types of every kind, layers in no order. */
static const edit_plan PLAIN = {.layer_count = 3,
                                .layer = {{7, 96, 40, RLS_F64}, {0, 70, 33, RLS_F32}, {12, 49, 90, RLS_BF16}},
                                .edits = 60,
                                .kind = RLS_TARGET,
                                .stream_dtype = RLS_F32,
                                .lambda = 1.0,
                                .mu = 1.0,
                                .weight = 1.0};

static void test_targets(void **state)
{
    const edit_choice choice = {.layers = 3, .batch = 7, .state = RLS_F64, .block = 8, .verify = true};
    make_run_and_judge(*state, &PLAIN, &choice);
}

/* Only some of the layers that the stream holds: the others' weights are not touched. */
static void test_one_layer_of_three(void **state)
{
    edit_plan plan = PLAIN;
    plan.shards = 2;
    plan.segments = 4;
    plan.stream_dtype = RLS_F64;
    const edit_choice choice = {.layers = 1, .batch = 1000, .state = RLS_F64, .block = 64};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_residuals_and_moments(void **state)
{
    edit_plan plan = PLAIN;
    plan.layer[1].dtype = RLS_F16;
    plan.kind = RLS_RESIDUAL;
    plan.shards = 3;
    plan.segments = 3;
    plan.moments = true;
    plan.lambda = 1.3;
    plan.mu = 0.7;
    plan.weight = 2.5;
    const edit_choice choice = {.layers = 3, .batch = 7, .state = RLS_F64, .block = 32, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_moments_and_keys(void **state)
{
    edit_plan plan = PLAIN;
    plan.shards = 5; /* two of them without an edited tensor */
    plan.moments = true;
    plan.anchors = 300; /* more than are taken at a time */
    plan.mu = 0.5;
    const edit_choice choice = {.layers = 3, .batch = 60, .state = RLS_F64, .block = 16, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_anchor_values_batch_of_one(void **state)
{
    edit_plan plan = PLAIN;
    plan.kind = RLS_RESIDUAL;
    plan.stream_dtype = RLS_F64;
    plan.moments = true;
    plan.anchors = 19;
    plan.anchor_values = true;
    plan.edits = 25;
    const edit_choice choice = {.layers = 2, .batch = 1, .state = RLS_F64, .block = 8, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_conv1d(void **state)
{
    edit_plan plan = PLAIN;
    plan.conv1d = true;
    plan.shards = 2;
    plan.moments = true;
    plan.segments = 2;
    const edit_choice choice = {.layers = 3, .batch = 13, .state = RLS_F64, .block = 8, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_float32_state(void **state)
{
    edit_plan plan = PLAIN;
    plan.moments = true;
    const edit_choice choice = {.layers = 3, .batch = 7, .state = RLS_F32, .block = 8, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_float32_state_residuals(void **state)
{
    edit_plan plan = PLAIN;
    plan.kind = RLS_RESIDUAL;
    plan.stream_dtype = RLS_F64;
    plan.anchors = 30;
    plan.anchor_values = true;
    plan.conv1d = true;
    const edit_choice choice = {.layers = 3, .batch = 11, .state = RLS_F32, .block = 64};
    make_run_and_judge(*state, &plan, &choice);
}

static void test_float32_export(void **state)
{
    for (int shards = 0; shards <= 4; shards += 4) {
        edit_plan plan = PLAIN;
        plan.layer[1].dtype = RLS_F16;
        plan.shards = shards;
        const edit_choice choice = {.layers = 3, .batch = 20, .state = RLS_F64, .block = 8, .float32 = true};
        make_run_and_judge(*state, &plan, &choice);
    }
}

/* lambda = 0: the anchor alone holds the weights. */
static void test_anchor_alone(void **state)
{
    edit_plan plan = PLAIN;
    plan.lambda = 0.0;
    plan.anchors = 290;
    plan.anchor_values = true;
    const edit_choice choice = {.layers = 3, .batch = 9, .state = RLS_F64, .block = 8, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

/* mu = 0: an anchor that is given has no effect. */
static void test_no_anchor(void **state)
{
    edit_plan plan = PLAIN;
    plan.mu = 0.0;
    plan.lambda = 0.6;
    plan.moments = true;
    plan.anchors = 30;
    plan.anchor_values = true;
    const edit_choice choice = {.layers = 3, .batch = 9, .state = RLS_F64, .block = 8, .verify = true};
    make_run_and_judge(*state, &plan, &choice);
}

/* Every grid of the ranks, with blocks that divide nothing; the same grid twice gives the same bytes. */
static void test_grids(void **state)
{
    rls_context *ctx = *state;
    edit_plan plan = PLAIN;
    edit_data data;
    const int size = rls_context_size(ctx);
    plan.moments = true;
    plan.kind = RLS_RESIDUAL;
    edit_data_make(ctx, &plan, &data);
    for (int p = 1; p <= size; p++) {
        if (size % p != 0)
            continue;
        const edit_choice choice = {
            .layers = 3, .batch = 17, .state = RLS_F64, .block = p % 2 == 1 ? 8 : 13, .p = p, .q = size / p};
        char name[32], file[64], again[32], dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
        size_t bytes = 0;
        (void)snprintf(name, sizeof name, "run-%d", p);
        (void)snprintf(file, sizeof file, "run-%d/model/model.safetensors", p);
        (void)snprintf(again, sizeof again, "again-%d", p);
        edit_run_and_judge(ctx, &data, &choice, name);
        assert_all_ok(ctx, edit_try(ctx, &data, &choice, again, dir));
        char *first = rls_test_read(rls_test_path(path, data.dir, file), &bytes);
        assert_all(edit_same_bytes(rls_test_path(path, dir, "model/model.safetensors"), first, bytes));
        free(first);
        rls_test_rmtree(dir);
        rls_test_rmtree(rls_test_path(path, data.dir, name));
    }
    edit_data_remove(&data);
}

/* Weights that the model's type cannot hold are told, and no model appears; float32 holds them. */
static void test_overflow(void **state)
{
    rls_context *ctx = *state;
    edit_plan plan = PLAIN;
    plan.layer[1].dtype = RLS_F16;
    plan.value_scale = 0x1p24;
    edit_choice choice = {.layers = 3, .batch = 30, .state = RLS_F64, .block = 8};
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    edit_data data;
    edit_data_make(ctx, &plan, &data);
    assert_all_status(ctx, edit_try(ctx, &data, &choice, "run", dir), RLS_ERR_NUMERIC);
    assert_all_message(ctx, data.tensor[1]);
    assert_all_message(ctx, "export.dtype: float32");
    assert_all(!rls_test_exists(rls_test_path(path, dir, "model")));
    assert_all(!rls_test_exists(rls_test_path(path, dir, "summary.json")));
    choice.float32 = true;
    edit_run_and_judge(ctx, &data, &choice, "float32");
    edit_data_remove(&data);
}

/* What is in the run directory's place is refused before anything happens. */
static void test_taken(void **state)
{
    rls_context *ctx = *state;
    const edit_choice choice = {.layers = 2, .batch = 30, .state = RLS_F64, .block = 8};
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    edit_data data;
    edit_kept before = {0};
    edit_plan plan = PLAIN;
    plan.shards = 1;
    edit_data_make(ctx, &plan, &data);
    edit_keep(&before, data.dir);
    assert_all_status(ctx, edit_try(ctx, &data, &choice, "model", dir), RLS_ERR_USAGE);
    assert_all_message(ctx, dir);
    assert_all_status(ctx, edit_try(ctx, &data, &choice, "stream.nc", dir), RLS_ERR_USAGE);
    assert_all_message(ctx, dir);
    edit_check_kept(&before);
    assert_all(!rls_test_exists(rls_test_path(path, data.model, "summary.json")));
    edit_data_remove(&data);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_targets),
        context_test(test_one_layer_of_three),
        context_test(test_residuals_and_moments),
        context_test(test_moments_and_keys),
        context_test(test_anchor_values_batch_of_one),
        context_test(test_conv1d),
        context_test(test_float32_state),
        context_test(test_float32_state_residuals),
        context_test(test_float32_export),
        context_test(test_anchor_alone),
        context_test(test_no_anchor),
        context_test(test_grids),
        context_test(test_overflow),
        context_test(test_taken),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "run-edit");
}
