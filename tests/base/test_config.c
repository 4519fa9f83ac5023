/* ctest: NP 1 2 3 */
/* The configuration: defaults, overrides, paths, every refusal with its place, and the reading on all ranks.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/context.h"
#include "base/suggest.h"
#include "support/collective.h"

#define MODEL "model: {module: \"h.{}.mlp\", layers: [3, 1]}\n"

static rls_context *ctx;

/* Parses on each rank by itself. */
static rls_status parse(const char *name, const char *text, const char *set, rls_config **out)
{
    rls_clear_failure(ctx);
    return rls_config_parse(ctx, name, text, strlen(text), &set, set ? 1 : 0, out);
}

static void test_defaults(void **state)
{
    (void)state;
    rls_config *c = NULL;
    assert_all_ok(ctx, parse("a.yaml", MODEL, NULL, &c));
    assert_all_string_equal(c->model.module, "h.{}.mlp");
    assert_all_int_equal(c->model.layers_count, 2);
    assert_all(c->model.layers[0] == 3 && c->model.layers[1] == 1);
    assert_all_string_equal(c->editor.name, "rls");
    assert_all(c->editor.lambda == 1 && c->editor.mu == 1);
    assert_all(!c->anchor.moments && c->anchor.weight == 15000 && !c->anchor.keys);
    assert_all_int_equal(c->batch, 100);
    assert_all(c->state.dtype == RLS_F64 && c->state.step == 0);
    assert_all(c->grid.block == 64 && c->grid.shape[0] == 0 && c->grid.shape[1] == 0);
    assert_all(c->value.steps == 25 && c->value.lr == 0.1 && c->value.clamp_norm_factor == 0.75);
    assert_all(c->value.kl_factor == 0.0625 && c->value.weight_decay == 0.5 && c->value.stop_loss == 0.05);
    assert_all(c->value.prefixes == 5 && !c->value.contexts);
    assert_all(c->checkpoint.every_edits == 1000 && c->checkpoint.every_minutes == 30 &&
               c->checkpoint.max_share == 0.01 && c->checkpoint.keep == 3 && c->checkpoint.keep_every == 0);
    assert_all(c->export.dtype == RLS_EXPORT_MODEL);
    rls_config_destroy(&c);
    assert_all(c == NULL);
    rls_config_destroy(&c); /* NULL is accepted */
}

static const char everything[] = "model:\n"
                                 "  module: \"model.layers.{}.mlp.down_proj\"\n"
                                 "  layers: [4, 5]\n"
                                 "editor:\n"
                                 "  name: rls\n"
                                 "  lambda: 0\n"
                                 "  mu: 2.50e-1\n"
                                 "anchor:\n"
                                 "  moments: /data/moments.nc\n"
                                 "  weight: 15000\n"
                                 "  keys: \"/data/a b\\\\ \\\"\\x07\\u2028\xc3\xa9.nc\"\n"
                                 "batch: 7\n"
                                 "state:\n"
                                 "  dtype: float32\n"
                                 "  step: 300\n"
                                 "grid:\n"
                                 "  block: 1024\n"
                                 "  shape: [4, 8]\n"
                                 "value:\n"
                                 "  steps: 1\n"
                                 "  lr: 0.5\n"
                                 "  clamp_norm_factor: 1.5\n"
                                 "  kl_factor: 0\n"
                                 "  weight_decay: 0.3\n"
                                 "  stop_loss: 0\n"
                                 "  prefixes: 0\n"
                                 "  contexts: /data/contexts.txt\n"
                                 "checkpoint:\n"
                                 "  every_edits: 0\n"
                                 "  every_minutes: 0.5\n"
                                 "  max_share: 0.1\n"
                                 "  keep: 1\n"
                                 "  keep_every: 5000\n"
                                 "export:\n"
                                 "  dtype: float32\n"
                                 "  link: reflink\n";

/* A text with every field, as the resolved text writes it, is its own resolved text. */
static void test_round_trip(void **state)
{
    (void)state;
    rls_config *c = NULL;
    assert_all_ok(ctx, parse("a.yaml", everything, NULL, &c));
    assert_all_string_equal(rls_config_text(c), everything);
    assert_all(c->editor.lambda == 0 && c->editor.mu == 0.25);
    assert_all_string_equal(c->anchor.keys, "/data/a b\\ \"\a\xe2\x80\xa8\xc3\xa9.nc");
    assert_all(c->state.dtype == RLS_F32 && c->export.dtype == RLS_EXPORT_FLOAT32);
    assert_all_int_equal(c->state.step, 300);
    assert_all(c->grid.shape[0] == 4 && c->grid.shape[1] == 8);
    rls_config_destroy(&c);
}

static void test_json(void **state)
{
    (void)state;
    rls_config *c = NULL;
    assert_all_ok(ctx, parse("a.json",
                             "{\"model\": {\"module\": \"h.{}.c\", \"layers\": [0, 11]},\n"
                             " \"editor\": {\"lambda\": 1E1}, \"anchor\": {\"keys\": null}, \"batch\": 5}\n",
                             NULL, &c));
    assert_all_string_equal(c->model.module, "h.{}.c");
    assert_all(c->model.layers_count == 2 && c->model.layers[1] == 11);
    assert_all(c->editor.lambda == 10 && c->batch == 5 && !c->anchor.keys);
    rls_config_destroy(&c);
}

/* Byte order mark, CRLF, UTF-16, tags, anchors without use, an empty section: all YAML. */
static void test_other_spellings(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\xef\xbb\xbf" MODEL,
        "model:\r\n  module: h.{}.mlp\r\n  layers:\r\n  - 3\r\n  - 1\r\n",
        "%YAML 1.1\n---\nmodel: {module: !!str 'h.{}.mlp', layers: &l [!!int 3, 1]}\n...\n",
        "# all by default\nvalue:\n#  lr: 1\n" MODEL "editor: ~\n",
    };
    rls_config *c = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_all_ok(ctx, parse("a.yaml", texts[i], NULL, &c));
        assert_all_string_equal(c->model.module, "h.{}.mlp");
        assert_all(c->model.layers_count == 2 && c->model.layers[0] == 3);
        rls_config_destroy(&c);
    }
}

static void test_sets(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.layers=[7]",    "batch=1",      "editor.lambda=0",
                                       "editor.mu=4",         "editor.mu=5",  "grid.shape=[2, 3]",
                                       "state.dtype=float32", "anchor.keys=", "model.module=x.{}.y=z"};
    rls_config *c = NULL;
    const char *text = MODEL "anchor: {keys: k.nc}\nbatch: 9\n";
    rls_clear_failure(ctx);
    assert_all_ok(ctx, rls_config_parse(ctx, "a.yaml", text, strlen(text), sets, RLS_TEST_COUNT(sets), &c));
    assert_all(c->model.layers_count == 1 && c->model.layers[0] == 7);
    assert_all(c->batch == 1 && c->editor.lambda == 0 && c->editor.mu == 5);
    assert_all(c->grid.shape[0] == 2 && c->grid.shape[1] == 3 && c->state.dtype == RLS_F32);
    assert_all(!c->anchor.keys);
    assert_all_string_equal(c->model.module, "x.{}.y=z");
    rls_config_destroy(&c);
}

static void check_path(const char *name, const char *given, const char *set, const char *expected)
{
    rls_config *c = NULL;
    char text[256];
    snprintf(text, sizeof text, MODEL "anchor: {moments: %s}\n", given);
    assert_all_ok(ctx, parse(name, text, set, &c));
    assert_all_string_equal(c->anchor.moments, expected);
    rls_config_destroy(&c);
}

/* Relative paths in a file start from its directory; those of --set from the current one. */
static void test_paths(void **state)
{
    (void)state;
    char cwd[PATH_MAX], expected[PATH_MAX + 32];
    assert_all(getcwd(cwd, sizeof cwd) != NULL);
    check_path("/etc/r/a.yaml", "m.nc", NULL, "/etc/r/m.nc");
    check_path("/a.yaml", "./m.nc", NULL, "/m.nc");
    check_path("/etc/r/a.yaml", "../m.nc", NULL, "/etc/r/../m.nc");
    check_path("/etc/r/a.yaml", "/m.nc", NULL, "/m.nc");
    check_path("/etc/r/a.yaml", "\"null\"", NULL, "/etc/r/null");
    check_path("/etc/r/a.yaml", "null", NULL, NULL);
    check_path("/etc/r/a.yaml", "\"\"", NULL, NULL);
    snprintf(expected, sizeof expected, "%s/m.nc", cwd);
    check_path("a.yaml", "m.nc", NULL, expected);
    check_path("./a.yaml", "./m.nc", NULL, expected);
    check_path("/etc/r/a.yaml", "x.nc", "anchor.moments=m.nc", expected);
    snprintf(expected, sizeof expected, "%s/r/m.nc", cwd);
    check_path("r/a.yaml", "m.nc", NULL, expected);
}

typedef struct {
    const char *text, *set, *message;
} refusal;

/* All in a.yaml; what follows MODEL begins on line 2. */
static const refusal refusals[] = {
    /* keys */
    {MODEL "editor:\n  lamda: 1\n", NULL, "a.yaml:3: unknown key \"lamda\" in editor; did you mean lambda?"},
    {MODEL "\nedtior: {mu: 1}\n", NULL, "a.yaml:3: unknown key \"edtior\"; did you mean editor?"},
    {MODEL "lambda: 1\n", NULL, "a.yaml:2: unknown key \"lambda\"; did you mean editor.lambda?"},
    {MODEL "zzzzzz: 1\n", NULL, "a.yaml:2: unknown key \"zzzzzz\""},
    {MODEL "\"b\\ae\": 1\n", NULL, "a.yaml:2: unknown key \"b\\x07e\""},
    {MODEL "batch: 1\nbatch: 2\n", NULL, "a.yaml:3: batch is given twice, first on line 2"},
    {MODEL "grid: {block: 1, \"block\": 2}\n", NULL, "a.yaml:2: grid.block is given twice, first on line 2"},
    {MODEL "editor: {mu: 1}\n\neditor: {lambda: 1}\n", NULL,
     "a.yaml:4: editor is given twice, first on line 2"},
    {MODEL "[a, b]: 1\n", NULL, "a.yaml:2: expected a key, found a list"},
    {MODEL "editor:\n  ? {a: b}\n  : 1\n", NULL, "a.yaml:3: expected a key in editor, found a section"},
    /* structure */
    {"", NULL, "a.yaml: model.module is missing"},
    {"model: {module: \"a.{}\"}", NULL, "a.yaml: model.layers is missing"},
    {"- a\n", NULL, "a.yaml:1: expected sections such as \"model:\", found a list"},
    {"model\n", NULL, "a.yaml:1: expected sections such as \"model:\", found \"model\""},
    {MODEL "editor: 1\n", NULL, "a.yaml:2: editor: expected a section of \"key: value\" lines, found \"1\""},
    {MODEL "editor: [1]\n", NULL, "a.yaml:2: editor: expected a section"},
    {MODEL "---\nbatch: 1\n", NULL, "a.yaml:2: a second YAML document"},
    {MODEL "batch: *x\n", NULL, "a.yaml:2: aliases such as *x are not allowed"},
    {MODEL "editor:\n  <<: *x\n", NULL, "a.yaml:3: unknown key \"<<\" in editor"},
    {MODEL "editor:\n\tmu: 1\n", NULL, "a.yaml:3: not valid YAML: "},
    {MODEL "grid: {block: 1\n", NULL, "not valid YAML: while parsing a flow mapping"},
    {MODEL "batch: \xff\n", NULL, "a.yaml:2: not valid YAML: invalid leading UTF-8 octet"},
    /* types */
    {MODEL "editor:\n  name: rls\n  lambda: x\n", NULL,
     "a.yaml:4: editor.lambda: expected a number, 0 or more, found \"x\""},
    {MODEL "editor: {lambda: \"1\"}\n", NULL,
     "a.yaml:2: editor.lambda: expected a number, 0 or more, found \"1\""},
    {MODEL "editor: {lambda: [1]}\n", NULL,
     "a.yaml:2: editor.lambda: expected a number, 0 or more, found a list"},
    {MODEL "editor: {lambda: {a: 1}}\n", NULL,
     "editor.lambda: expected a number, 0 or more, found a section"},
    {MODEL "editor: {lambda: }\n", NULL,
     "a.yaml:2: editor.lambda: expected a number, 0 or more, found nothing"},
    {MODEL "editor: {lambda: 1x}\n", NULL, "editor.lambda: expected a number, 0 or more, found \"1x\""},
    {MODEL "editor: {lambda: 0x1p3}\n", NULL, "editor.lambda: expected a number"},
    {MODEL "editor: {lambda: .nan}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "editor: {lambda: nan}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "editor: {lambda: .inf}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "editor: {lambda: inf}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "editor: {lambda: 1e999}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "editor: {lambda: 1e-999}\n", NULL, "a.yaml:2: editor.lambda: expected a number"},
    {MODEL "batch: 1.5\n", NULL, "a.yaml:2: batch: expected an integer, 1 or more, found \"1.5\""},
    {MODEL "batch: 010\n", NULL, "a.yaml:2: batch: expected an integer"},
    {MODEL "batch: 7x\n", NULL, "a.yaml:2: batch: expected an integer"},
    {MODEL "batch: 99999999999999999999\n", NULL, "a.yaml:2: batch: expected an integer"},
    {MODEL "batch: 2147483648\n", NULL, "a.yaml:2: batch: expected an integer"},
    {MODEL "batch: [1]\n", NULL, "a.yaml:2: batch: expected an integer, 1 or more, found a list"},
    {MODEL "state:\n  dtype: float16\n", NULL,
     "a.yaml:3: state.dtype: expected float64 or float32, found \"float16\""},
    {MODEL "export: {dtype: float64}\n", NULL, "a.yaml:2: export.dtype: expected model or float32"},
    {MODEL "editor: {name: memit}\n", NULL, "a.yaml:2: editor.name: expected rls, found \"memit\""},
    {MODEL "anchor: {keys: [a]}\n", NULL, "a.yaml:2: anchor.keys: expected a path or null, found a list"},
    {MODEL "anchor: {keys: \"a\\0b\"}\n", NULL, "a.yaml:2: anchor.keys: holds a NUL character"},
    {"model: {module: null, layers: [0]}\n", NULL, "a.yaml:1: model.module: expected text, found \"null\""},
    {"model:\n  module: a.{}\n  layers: 3\n", NULL,
     "a.yaml:3: model.layers: expected a list of 1 to 1024 integers, 0 or more, found \"3\""},
    {"model:\n  module: a.{}\n  layers:\n  - 1\n  - x\n", NULL, "a.yaml:5: model.layers: expected a list"},
    {"model:\n  module: a.{}\n  layers: [[1]]\n", NULL, "a.yaml:3: model.layers: expected a list"},
    /* ranges */
    {MODEL "editor: {lambda: -1}\n", NULL,
     "a.yaml:2: editor.lambda: expected a number, 0 or more, found \"-1\""},
    {MODEL "editor: {mu: -1e-9}\n", NULL, "a.yaml:2: editor.mu: expected a number, 0 or more"},
    {MODEL "editor:\n  lambda: 0\n  mu: 0.0\n", NULL, "a.yaml:4: editor.lambda and editor.mu are both 0"},
    {MODEL "editor:\n  lambda: 1e160\n", NULL,
     "a.yaml:3: editor.lambda: 1e+160 is squared, which float64 cannot"},
    {MODEL "editor: {mu: 1e-160}\n", NULL, "a.yaml:2: editor.mu: 1e-160 is squared"},
    {MODEL "editor: {lambda: 1e20}\nstate: {dtype: float32}\n", NULL,
     "editor.lambda: 1e+20 is squared, which float32"},
    {MODEL "anchor: {weight: -1}\n", NULL, "a.yaml:2: anchor.weight: expected a number, 0 or more"},
    {MODEL "batch: 0\n", NULL, "a.yaml:2: batch: expected an integer, 1 or more, found \"0\""},
    {MODEL "state:\n  step: -1\n", NULL,
     "a.yaml:3: state.step: expected an integer, 0 or more, found \"-1\""},
    {MODEL "grid:\n  block: 0\n", NULL,
     "a.yaml:3: grid.block: expected an integer from 1 to 1024, found \"0\""},
    {MODEL "grid:\n  block: 1025\n", NULL, "a.yaml:3: grid.block: expected an integer from 1 to 1024"},
    {MODEL "grid:\n  shape: [2]\n", NULL, "a.yaml:3: grid.shape: expected a list of 2 integers"},
    {MODEL "grid:\n  shape: [2, 2, 2]\n", NULL, "a.yaml:3: grid.shape: expected a list of 2 integers"},
    {MODEL "grid:\n  shape: [0, 2]\n", NULL, "a.yaml:3: grid.shape: expected two numbers above 0"},
    {MODEL "grid:\n  shape: [-1, 2]\n", NULL, "a.yaml:3: grid.shape: expected a list of 2 integers"},
    {MODEL "value: {lr: 0}\n", NULL, "a.yaml:2: value.lr: expected a number above 0, found \"0\""},
    {MODEL "value: {clamp_norm_factor: -0.0}\n", NULL,
     "a.yaml:2: value.clamp_norm_factor: expected a number above 0"},
    {MODEL "value: {steps: 0}\n", NULL, "a.yaml:2: value.steps: expected an integer, 1 or more"},
    {MODEL "checkpoint: {keep: 0}\n", NULL, "a.yaml:2: checkpoint.keep: expected an integer, 1 or more"},
    {"model:\n  module: a.{}\n  layers: []\n", NULL, "a.yaml:3: model.layers: expected a list of 1 to 1024"},
    {"model:\n  module: a.{}\n  layers: [-1]\n", NULL,
     "a.yaml:3: model.layers: expected a list of 1 to 1024"},
    {"model:\n  module: a.{}\n  layers: [1, 2, 1]\n", NULL, "a.yaml:3: model.layers: layer 1 is given twice"},
    {"model:\n  module: a\n  layers: [1]\n", NULL, "a.yaml:2: model.module: expected {} once"},
    {"model:\n  module: \"a.{}.{}\"\n  layers: [1]\n", NULL, "a.yaml:2: model.module: expected {} once"},
    /* sets */
    {MODEL, "batch", "--set batch: expected section.key=value"},
    {MODEL, "batch=0", "--set batch=0: batch: expected an integer, 1 or more, found \"0\""},
    {MODEL, "batch=", "--set batch=: batch: expected an integer"},
    {MODEL, "lambda=1", "--set lambda=1: unknown key \"lambda\"; did you mean editor.lambda?"},
    {MODEL, "editor.lamda=1",
     "--set editor.lamda=1: unknown key \"editor.lamda\"; did you mean editor.lambda?"},
    {MODEL, "editor={mu: 1}", "--set editor={mu: 1}: editor is a section: set one of its keys"},
    {MODEL, "model.layers=[1", "--set model.layers=[1: not valid YAML"},
    {MODEL, "model.layers=[1,1]", "--set model.layers=[1,1]: model.layers: layer 1 is given twice"},
    {MODEL, "model.module=a", "--set model.module=a: model.module: expected {} once"},
    {MODEL "editor: {lambda: 0}\n", "editor.mu=0",
     "--set editor.mu=0: editor.lambda and editor.mu are both 0"},
    {MODEL "editor: {mu: 0}\n", "editor.lambda=0", "--set editor.lambda=0: editor.lambda and"},
    {MODEL, "grid.shape=[0,1]", "--set grid.shape=[0,1]: grid.shape: expected two numbers"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        rls_config *c = NULL;
        assert_all_status(ctx, parse("a.yaml", refusals[i].text, refusals[i].set, &c), RLS_ERR_CONFIG);
        assert_all_message(ctx, refusals[i].message);
        assert_all(c == NULL);
    }
}

/* Aliases that double at each level, nesting without end and files without end are refused at once. */
static void test_bombs(void **state)
{
    (void)state;
    enum { SIZE = RLS_CONFIG_BYTES_MAX };
    char *text = malloc(SIZE + 2);
    rls_config *c = NULL;
    assert_non_null(text);
    memset(text, '[', SIZE);
    text[SIZE] = '\0';
    assert_all_status(ctx, parse("a.yaml", text, NULL, &c), RLS_ERR_CONFIG);
    memset(text, '#', SIZE + 1);
    text[SIZE + 1] = '\0';
    assert_all_status(ctx, parse("a.yaml", text, NULL, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "a.yaml: longer than 65536 bytes");
    /* the resolved text must be readable, too */
    memset(text, '/', SIZE);
    memcpy(text, "anchor.keys=", strlen("anchor.keys="));
    text[SIZE] = '\0';
    assert_all_status(ctx, parse("a.yaml", MODEL, text, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "a.yaml: longer than 65536 bytes with --set");
    free(text);
    assert_all_status(
        ctx, parse("a.yaml", "model: {module: &a [x, x], layers: [*a, *a]}\nbatch: [*b, *b]\n", NULL, &c),
        RLS_ERR_CONFIG);
}

/* All ranks get rank 0's file, or its message. */
static void test_read(void **state)
{
    (void)state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16], expected[RLS_TEST_PATH_MAX + 64];
    const char *const sets[] = {"batch=3", "value.contexts=/c.txt"}, *const bad[] = {"batch=x"};
    rls_config *c = NULL;
    rls_test_tmpdir(dir);
    snprintf(path, sizeof path, "%s/a.yaml", dir);

    assert_all_status(ctx, rls_config_read(ctx, path, NULL, 0, &c), RLS_ERR_CONFIG);
    snprintf(expected, sizeof expected, "%s: cannot be opened: No such file", path);
    assert_all_message(ctx, expected);
    assert_all_status(ctx, rls_config_read(ctx, dir, NULL, 0, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "Is a directory");
    assert_all_status(ctx, rls_config_read(ctx, "/dev/zero", NULL, 0, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "/dev/zero: longer than");

    rls_test_write(path, MODEL "anchor: {keys: k.nc}\n", strlen(MODEL "anchor: {keys: k.nc}\n"));
    assert_all_ok(ctx, rls_config_read(ctx, path, sets, RLS_TEST_COUNT(sets), &c));
    snprintf(expected, sizeof expected, "%s/k.nc", dir);
    assert_all_string_equal(c->anchor.keys, expected);
    assert_all_string_equal(c->value.contexts, "/c.txt");
    assert_all(c->batch == 3 && c->model.layers_count == 2 && c->model.layers[0] == 3);
    size_t length = strlen(rls_config_text(c));
    rls_test_write(path, rls_config_text(c), length);
    rls_config *again = NULL;
    assert_all_ok(ctx, rls_config_read(ctx, path, NULL, 0, &again));
    assert_all_string_equal(rls_config_text(again), rls_config_text(c));
    rls_config_destroy(&again);
    rls_config_destroy(&c);

    assert_all_status(ctx, rls_config_read(ctx, path, bad, 1, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "--set batch=x: batch: expected an integer");
    rls_test_write(path, MODEL "batch: no\n", strlen(MODEL "batch: no\n"));
    assert_all_status(ctx, rls_config_read(ctx, path, NULL, 0, &c), RLS_ERR_CONFIG);
    assert_all_message(ctx, "a.yaml:2: batch: expected an integer, 1 or more, found \"no\"");
    assert_all(c == NULL);
    rls_test_rmtree(dir);
}

/* The shipped config holds, and the reference in configs/README.md is what the program prints. */
static void test_shipped(void **state)
{
    (void)state;
    rls_config *c = NULL;
    char *help = NULL;
    size_t size = 0;
    assert_all_ok(ctx, rls_config_read(ctx, RLS_TEST_SOURCE "/configs/atlas.yaml", NULL, 0, &c));
    assert_all_string_equal(c->model.module, "model.layers.{}.mlp.down_proj");
    assert_all(c->model.layers_count == 2 && c->model.layers[0] == 0 && c->model.layers[1] == 1);
    assert_all(c->anchor.weight == 100 && c->batch == 50 && c->value.lr == 0.5);
    rls_config_destroy(&c);

    FILE *to = open_memstream(&help, &size);
    assert_non_null(to);
    rls_config_help(to);
    assert_int_equal(fclose(to), 0);
    char *readme = rls_test_read(RLS_TEST_SOURCE "/configs/README.md", NULL);
    assert_all(strstr(readme, help) != NULL);
    free(readme);
    free(help);
}

static void test_suggest(void **state)
{
    (void)state;
    size_t best = SIZE_MAX;
    assert_all_int_equal(rls_edit_distance("", ""), 0);
    assert_all_int_equal(rls_edit_distance("kitten", "sitting"), 3);
    assert_all_int_equal(rls_edit_distance("edti", "edit"), 1);
    assert_all_int_equal(rls_edit_distance("", "abc"), 3);
    assert_all(rls_closer("inspekt", "inspect", &best) && best == 1);
    assert_all(!rls_closer("inspekt", "inspects", &best) && best == 1);
    best = SIZE_MAX;
    assert_all(!rls_closer("frobnicate", "edit", &best) && best == SIZE_MAX);
}

static int set_up(void **state)
{
    (void)state;
    return rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    rls_context_destroy(&ctx);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults), TEST(test_round_trip), TEST(test_json),     TEST(test_other_spellings),
        TEST(test_sets),     TEST(test_paths),      TEST(test_refusals), TEST(test_bombs),
        TEST(test_read),     TEST(test_shipped),    TEST(test_suggest),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "config");
}
