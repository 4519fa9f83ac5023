/* ctest: NP 1 2 3 */
/* Files of hyperparameters: what their keys become, and every refusal with its place. */
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/context.h"
#include "run/hparams.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static char path[RLS_TEST_PATH_MAX];

/* As AlphaEdit and MEMIT write them. */
static const char llama[] =
    "{\n"
    "    \"model_name\": \"Llama3-8B\",\n"
    "    \"layers\": [4, 5, 6, 7, 8],\n"
    "    \"clamp_norm_factor\": 0.75, \"layer_selection\": \"all\",\n"
    "    \"fact_token\": \"subject_last\",\n"
    "    \"v_num_grad_steps\": 25,\n"
    "    \"v_lr\": 1e-1,\n"
    "    \"v_loss_layer\": 31,\n"
    "    \"v_weight_decay\": 0.5,\n"
    "    \"kl_factor\": 0.0625,\n"
    "    \"mom2_adjustment\": true,\n"
    "    \"mom2_update_weight\": 15000,\n"
    "    \"rewrite_module_tmp\": \"model.layers.{}.mlp.down_proj\",\n"
    "    \"layer_module_tmp\": \"model.layers.{}\", \"ln_f_module\": \"model.norm\",\n"
    "    \"mom2_dataset\": \"wikipedia\", \"mom2_n_samples\": 100000,\n"
    "    \"nullspace_threshold\":2e-2,\n"
    "    \"L2\":10\n"
    "}";

/* As EasyEdit writes them, with RLSEdit's two. */
static const char gpt2[] = "alg_name: \"MEMIT\"\n"
                           "model_name: \"./hugging_cache/gpt2-xl\" # where it is\n"
                           "device: 0\n"
                           "layers:\n"
                           "- 13\n"
                           "- 14\n"
                           "v_num_grad_steps: 20\n"
                           "v_lr: 5e-1\n"
                           "rewrite_module_tmp: transformer.h.{}.mlp.c_proj\n"
                           "batch_size: 10\n"
                           "lambda_reg: 0\n"
                           "mu_reg: 1.5\n"
                           "model_parallel: False";

typedef struct {
    char text[4096];
} log_text;

static void keep(void *user, rls_log_level level, const char *line)
{
    log_text *log = user;
    const size_t used = strlen(log->text);
    (void)level;
    (void)snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
}

/* Reads text as hyperparameters, and these over a small configuration. */
static rls_config *read_over(rls_context *ctx, const char *text, int64_t *loss_layer)
{
    static const char config[] =
        "model: {module: \"h.{}.x\", layers: [0]}\nvalue: {steps: 3, stop_loss: 0.5}\n";
    char **sets = NULL;
    size_t nsets = 0;
    rls_config *out = NULL;
    scratch_write("h.json", text, strlen(text), path);
    assert_all_ok(ctx, rls_hparams_read(ctx, path, &sets, &nsets, loss_layer));
    assert_all_ok(ctx, rls_config_parse(ctx, "c.yaml", config, sizeof config - 1, (const char *const *)sets,
                                        nsets, &out));
    rls_hparams_free(&sets, nsets);
    assert_all(sets == NULL);
    return out;
}

static void test_alphaedit(void **state)
{
    rls_context *ctx = *state;
    int64_t loss_layer = 0;
    log_text log = {""};
    rls_context_set_log(ctx, keep, &log, RLS_LOG_INFO);
    rls_config *c = read_over(ctx, llama, &loss_layer);
    assert_all_int_equal(loss_layer, 31);
    assert_all_string_equal(c->model.module, "model.layers.{}.mlp.down_proj");
    assert_all(c->model.layers_count == 5 && c->model.layers[0] == 4 && c->model.layers[4] == 8);
    assert_all(c->value.steps == 25 && c->value.lr == 0.1 && c->value.clamp_norm_factor == 0.75);
    assert_all(c->value.weight_decay == 0.5 && c->value.kl_factor == 0.0625 && c->anchor.weight == 15000);
    assert_all(c->value.stop_loss == 0.5 && c->batch == 100); /* not told: the configuration's, the default */
    rls_config_destroy(&c);
    assert_all(rls_context_rank(ctx) != 0 ||
               strstr(log.text, "not read: nullspace_threshold, L2 (AlphaEdit's projection") != NULL);
    rls_context_set_log(ctx, NULL, NULL, RLS_LOG_INFO);
}

static void test_easyedit(void **state)
{
    rls_context *ctx = *state;
    int64_t loss_layer = 0;
    rls_config *c = read_over(ctx, gpt2, &loss_layer);
    assert_all_int_equal(loss_layer, -1);
    assert_all_string_equal(c->model.module, "transformer.h.{}.mlp.c_proj");
    assert_all(c->model.layers_count == 2 && c->model.layers[0] == 13 && c->model.layers[1] == 14);
    assert_all(c->value.steps == 20 && c->value.lr == 0.5 && c->batch == 10);
    assert_all(c->editor.lambda == 0 && c->editor.mu == 1.5);
    rls_config_destroy(&c);
    c = read_over(ctx, "{}", &loss_layer); /* nothing is told */
    assert_all(c->value.steps == 3 && loss_layer == -1);
    rls_config_destroy(&c);
}

static void test_bad(void **state)
{
    rls_context *ctx = *state;
    static const char *const cases[][2] = {
        {"", "h.json:1: expected hyperparameters"},
        {"[1]", "h.json:1: expected hyperparameters"},
        {"v_lr: 0.1\nlayers: [1\n", "h.json:3: not valid YAML or JSON"},
        {"v_lr: \"\xff\"", "not valid YAML or JSON"},
        {"{\"v_lr\": 0.1} {\"v_lr\": 0.1}", "h.json:1: "},
        {"v_lr: 0.1\n---\nv_lr: 0.1\n", "something follows the hyperparameters"},
        {"v_lr: 0.1\n\nv_lrs: 0.1\n", "h.json:3: unknown key \"v_lrs\"; did you mean v_lr?"},
        {"norm_constraint: 5e-4", "h.json:1: unknown key \"norm_constraint\""},
        {"v_lr: 0.1\nkl_factor: 1\nv_lr: 0.1\n", "h.json:3: v_lr is given twice, first on line 1"},
        {"[1]: 2", "h.json:1: expected a key"},
        {"\nv_lr: fast", "h.json:2: value.lr: expected a number above 0, found \"fast\""},
        {"\nv_lr: 0", "h.json:2: value.lr: expected a number above 0, found \"0\""},
        {"v_lr: {a: 1}", "h.json:1: value.lr: expected a number above 0"},
        {"\n\nlayers: 4", "h.json:3: model.layers: expected a list"},
        {"layers: [4, [5]]", "h.json:1: model.layers: expected a list"},
        {"layers: [\"4\"]", "h.json:1: model.layers: expected a list"},
        {"v_num_grad_steps: 2.5", "h.json:1: value.steps: expected an integer"},
        {"batch_size: 0", "h.json:1: batch: expected an integer"},
        {"rewrite_module_tmp: h.mlp", "h.json:1: rewrite_module_tmp: expected {} once"},
        {"rewrite_module_tmp: \"h.{}.{}\"", "h.json:1: rewrite_module_tmp: expected {} once"},
        {"rewrite_module_tmp: \"h.{}\\0\"", "h.json:1: model.module: holds a NUL"},
        {"v_lr: 1\nfact_token: last",
         "h.json:2: fact_token: only \"subject_last\" is done here, found \"last\""},
        {"layer_selection: random", "h.json:1: layer_selection: only \"all\""},
        {"v_loss_layer: -1", "h.json:1: v_loss_layer: expected the number of a layer"},
        {"v_loss_layer: []", "h.json:1: v_loss_layer: expected the number of a layer"},
    };
    char **sets = NULL;
    size_t nsets = 0;
    int64_t loss_layer = 0;
    for (size_t i = 0; i < RLS_TEST_COUNT(cases); i++) {
        scratch_write("h.json", cases[i][0], strlen(cases[i][0]), path);
        rls_clear_failure(ctx);
        assert_all_status(ctx, rls_hparams_read(ctx, path, &sets, &nsets, &loss_layer), RLS_ERR_CONFIG);
        assert_all_message(ctx, cases[i][1]);
        assert_all(sets == NULL && nsets == 0);
    }
    (void)in_scratch("none.json", path);
    assert_all_status(ctx, rls_hparams_read(ctx, path, &sets, &nsets, &loss_layer), RLS_ERR_CONFIG);
    assert_all_message(ctx, "none.json");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {scratch_test(test_alphaedit), scratch_test(test_easyedit),
                                       scratch_test(test_bad)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "hparams");
}
