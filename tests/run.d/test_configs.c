/* ctest: NP 1 2 */
/* Every file in configs/ is accepted, and says what its model has. */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "support/collective.h"
#include "support/state.h"

/* What is published, or scaled as the file says. */
static const struct {
    const char *name, *module;
    int64_t layers[8], count, steps;
    double lr, weight;
} models[] = {
    {"llama3-8b", "model.layers.{}.mlp.down_proj", {4, 5, 6, 7, 8}, 5, 25, 0.1, 15000},
    {"qwen2.5-7b", "model.layers.{}.mlp.down_proj", {7, 8, 9, 10, 11}, 5, 25, 0.1, 15000},
    {"gpt2-xl", "transformer.h.{}.mlp.c_proj", {13, 14, 15, 16, 17}, 5, 20, 0.5, 20000},
    {"gpt-j-6b", "transformer.h.{}.mlp.fc_out", {3, 4, 5, 6, 7, 8}, 6, 25, 0.5, 15000},
    {"llama3.1-70b", "model.layers.{}.mlp.down_proj", {13, 14, 15, 16, 17}, 5, 25, 0.1, 15000},
    {"qwen2.5-72b", "model.layers.{}.mlp.down_proj", {24, 25, 26, 27, 28}, 5, 25, 0.1, 15000},
};

static void directory(char path[RLS_TEST_PATH_MAX])
{
    rls_test_data(path, "");
    char *tests = strstr(path, "/tests/data");
    assert_non_null(tests);
    (void)snprintf(tests, sizeof "/configs", "/configs");
}

static void test_models(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 64];
    directory(dir);
    for (size_t i = 0; i < RLS_TEST_COUNT(models); i++) {
        rls_config *c = NULL;
        (void)snprintf(path, sizeof path, "%s/%s.yaml", dir, models[i].name);
        assert_all_ok(ctx, rls_config_read(ctx, path, NULL, 0, &c));
        assert_all_string_equal(c->model.module, models[i].module);
        assert_all_int_equal(c->model.layers_count, models[i].count);
        for (int64_t l = 0; l < models[i].count; l++)
            assert_all_int_equal(c->model.layers[l], models[i].layers[l]);
        assert_all(c->value.steps == models[i].steps && c->value.lr == models[i].lr);
        assert_all(c->value.clamp_norm_factor == 0.75 && c->value.kl_factor == 0.0625);
        assert_all(c->value.weight_decay == 0.5 && c->value.stop_loss == 0.05);
        assert_all(c->anchor.weight == models[i].weight && c->batch == 100);
        assert_all(c->editor.lambda == 1 && c->editor.mu == 1);
        rls_config_destroy(&c);
    }
}

static void test_all(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], pattern[RLS_TEST_PATH_MAX + 64];
    glob_t found;
    directory(dir);
    (void)snprintf(pattern, sizeof pattern, "%s/*.yaml", dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= RLS_TEST_COUNT(models));
    for (size_t i = 0; i < found.gl_pathc; i++) {
        rls_config *c = NULL;
        assert_all_ok(ctx, rls_config_read(ctx, found.gl_pathv[i], NULL, 0, &c));
        rls_config_destroy(&c);
    }
    globfree(&found);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_models), context_test(test_all)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "configs");
}
