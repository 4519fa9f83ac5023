#include "support/edit_judge.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/config.h"
#include "base/dtype.h"
#include "run/edit.h"
#include "store/model_dir.h"

/* Relative errors allowed, for each state type: of D, and of all figures (the log has 12 digits). */
static const double BOUND[] = {[RLS_F64] = 1e-10, [RLS_F32] = 2e-4};
static const double PROOF_BOUND = 1e-10;

enum { TEXT_MAX = 2048 };

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double relative(double value, double truth)
{
    return fabs(value - truth) / (fabs(truth) + 1e-6);
}

static json_t *read_json(const char *dir, const char *name)
{
    char path[RLS_TEST_PATH_MAX];
    char *text = rls_test_read(rls_test_path(path, dir, name), NULL);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_all(json_is_object(json));
    return json;
}

/* Remembers the files of a directory, and of those below it. */
void edit_keep(edit_kept *all, const char *dir)
{
    DIR *entries = opendir(dir);
    assert_non_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        struct stat info;
        char path[RLS_TEST_PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_int_equal(stat(rls_test_path(path, dir, entry->d_name), &info), 0);
        if (S_ISDIR(info.st_mode)) {
            edit_keep(all, path);
            continue;
        }
        assert_in_range(all->count, 0, EDIT_FILES_MAX - 1);
        const int i = all->count++;
        (void)snprintf(all->file[i].path, sizeof all->file[i].path, "%s", path);
        all->file[i].data = rls_test_read(path, &all->file[i].bytes);
    }
    (void)closedir(entries);
}

bool edit_same_bytes(const char *path, const char *data, size_t bytes)
{
    size_t found = 0;
    char *now = rls_test_read(path, &found);
    const bool same = found == bytes && memcmp(now, data, bytes) == 0;
    free(now);
    return same;
}

/* The inputs are as they were. */
void edit_check_kept(edit_kept *all)
{
    for (int i = 0; i < all->count; i++) {
        assert_all(edit_same_bytes(all->file[i].path, all->file[i].data, all->file[i].bytes));
        free(all->file[i].data);
    }
    all->count = 0;
}

/* The config file of a choice: <name>.yaml beside the data. */
static void write_config(const edit_data *data, const edit_choice *choice, const char *name,
                         char path[RLS_TEST_PATH_MAX])
{
    char text[TEXT_MAX], layers[128] = "", file[64];
    for (int i = 0; i < choice->layers; i++) {
        const size_t at = strlen(layers);
        (void)snprintf(layers + at, sizeof layers - at, "%s%d", i > 0 ? ", " : "",
                       data->plan.layer[i].number);
    }
    (void)snprintf(text, sizeof text,
                   "model: {module: \"%s\", layers: [%s]}\n"
                   "editor: {lambda: %.17g, mu: %.17g}\n"
                   "anchor: {moments: %s, weight: %.17g, keys: %s}\n"
                   "batch: %" PRId64 "\nstate: {dtype: %s, step: %" PRId64 "}\ngrid: {block: %" PRId64
                   ", shape: [%d, %d]}\n"
                   "export: {dtype: %s}\n",
                   data->module, layers, data->plan.lambda, data->plan.mu,
                   data->plan.moments ? "moments.nc" : "null", data->plan.weight,
                   data->plan.anchors > 0 ? "k0.nc" : "null", choice->batch, rls_dtype_name(choice->state),
                   choice->step, choice->block, choice->p, choice->q, choice->float32 ? "float32" : "model");
    (void)snprintf(file, sizeof file, "%s.yaml", name);
    rls_test_write(rls_test_path(path, data->dir, file), text, strlen(text));
}

/* config.yaml in the run's directory is what was used, to run again. Collective. */
static void check_config(rls_context *ctx, const char *config, const char *dir)
{
    char path[RLS_TEST_PATH_MAX];
    rls_config *used = NULL;
    assert_all_ok(ctx, rls_config_read(ctx, config, NULL, 0, &used));
    const char *text = rls_config_text(used);
    assert_all(edit_same_bytes(rls_test_path(path, dir, "config.yaml"), text, strlen(text)));
    rls_config_destroy(&used);
}

rls_status edit_try(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *name,
                    char dir[RLS_TEST_PATH_MAX])
{
    char config[RLS_TEST_PATH_MAX];
    write_config(data, choice, name, config);
    const rls_edit_request request = {.config = config,
                                      .model = data->model,
                                      .stream = data->stream,
                                      .run = rls_test_path(dir, data->dir, name),
                                      .verify = choice->verify};
    const rls_status status = rls_edit(ctx, &request);
    if (status == RLS_OK)
        check_config(ctx, config, dir);
    MPI_Barrier(MPI_COMM_WORLD);
    return status;
}

/* A tensor's bytes in a model directory; free(). */
static char *tensor_bytes(rls_context *ctx, const rls_model_dir *model, const char *name, rls_tensor *info)
{
    const rls_model_tensor *tensor = NULL;
    assert_all_ok(ctx, rls_model_dir_require(model, name, &tensor));
    char *file = rls_test_read(rls_model_dir_shard(model, tensor->shard)->path, NULL);
    *info = *tensor->info;
    const size_t bytes = (size_t)(info->end - info->begin);
    char *data = malloc(bytes + 1);
    assert_non_null(data);
    memcpy(data, file + tensor->offset, bytes);
    free(file);
    return data;
}

/* Half a unit in the last place of x in a type. */
static double rounding(rls_dtype dtype, double x)
{
    const double least =
        dtype == RLS_F16 ? 0x1p-25 : 0.0; /* below the normal numbers, which others never reach */
    return fmax(0.5 * rls_dtype_eps(dtype) * fabs(x), least);
}

/* The exported weight is the dense W_t, rounded once to its type. */
static void check_weight(rls_context *ctx, const edit_data *data, const edit_choice *choice,
                         const rls_model_dir *model, int i, const edit_truth *truth)
{
    const dense_problem *p = &data->problem[i];
    const rls_dtype dtype = choice->float32 ? RLS_F32 : data->plan.layer[i].dtype;
    rls_tensor info;
    rls_dtype found = RLS_F64;
    char *bytes = tensor_bytes(ctx, model, data->tensor[i], &info);
    assert_all(rls_tensor_type_dtype(info.type, &found) && found == dtype);
    assert_all(info.dims == 2 && info.shape[0] == (data->plan.conv1d ? p->n : p->m));
    assert_all_int_equal(info.elements, p->n * p->m);
    double *w = malloc((size_t)(p->n * p->m) * sizeof *w);
    assert_non_null(w);
    rls_convert(RLS_F64, w, 1, dtype, bytes, 1, p->n * p->m);
    const double slack = BOUND[choice->state] * truth->batch[truth->batches - 1].delta_norm;
    double error2 = 0.0, delta2 = 0.0, excess = 0.0;
    for (int64_t j = 0; j < p->m; j++)
        for (int64_t k = 0; k < p->n; k++) {
            const double delta = truth->delta[k + j * p->n], want = p->x0[k + j * p->n] + delta;
            const double got = w[data->plan.conv1d ? j + k * p->m : k + j * p->n];
            error2 += (got - want) * (got - want);
            delta2 += delta * delta;
            excess = fmax(excess, fabs(got - want) - rounding(dtype, want) * (1.0 + 1e-6) - slack);
            if (isnan(got))
                excess = INFINITY;
        }
    if (dtype == RLS_F64)
        assert_all_le(sqrt(error2), BOUND[choice->state] * sqrt(delta2));
    assert_all_le(excess, 0.0);
    free(w);
    free(bytes);
}

static bool is_edited(const edit_data *data, const edit_choice *choice, int shard)
{
    for (int i = 0; i < choice->layers; i++)
        if (data->shard[i] == shard)
            return true;
    return false;
}

static bool is_edited_byte(const edit_data *data, const edit_choice *choice, int shard, size_t at)
{
    for (int i = 0; i < choice->layers; i++) {
        const edit_layer *layer = &data->plan.layer[i];
        const size_t bytes = (size_t)(layer->n * layer->m) * rls_dtype_size(layer->dtype);
        if (data->shard[i] == shard && at >= data->offset[i] && at < data->offset[i] + bytes)
            return true;
    }
    return false;
}

/* One file under two names. */
static bool linked(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void check_linked(const edit_data *data, const char *model, const char *name)
{
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    assert_all(linked(rls_test_path(a, data->model, name), rls_test_path(b, model, name)));
}

/* A file of its own with the same bytes, so that what is done to it does not reach the original. */
static void check_copied(const edit_data *data, const char *model, const char *name)
{
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    size_t before = 0, after = 0;
    char *old = rls_test_read(rls_test_path(a, data->model, name), &before);
    char *new = rls_test_read(rls_test_path(b, model, name), &after);
    assert_all(!linked(a, b) && after == before && memcmp(old, new, before) == 0);
    free(old);
    free(new);
}

/* Nothing but the edited tensors differs: files without one are the originals, in the others every other byte
 * is. */
static void check_rest(const edit_data *data, const edit_choice *choice, const char *model)
{
    const int shards = data->plan.shards > 0 ? data->plan.shards : 1;
    for (int s = 0; s < shards; s++) {
        char name[64], path[RLS_TEST_PATH_MAX];
        size_t before = 0, after = 0, changed = 0;
        edit_data_shard_name(data, s, name);
        if (!is_edited(data, choice, s)) {
            check_linked(data, model, name);
            continue;
        }
        if (choice->float32)
            continue; /* the tensors have moved */
        char *old = rls_test_read(rls_test_path(path, data->model, name), &before);
        char *new = rls_test_read(rls_test_path(path, model, name), &after);
        assert_all_int_equal(after, before);
        for (size_t i = 0; i < before; i++)
            changed += old[i] != new[i] && !is_edited_byte(data, choice, s, i);
        assert_all_int_equal(changed, 0);
        free(old);
        free(new);
    }
    check_copied(data, model, "config.json");
    check_copied(data, model, "tokenizer.json");
    check_copied(data, model, "docs/notes.txt");
    if (data->plan.shards > 0 && !choice->float32)
        check_copied(data, model, RLS_MODEL_INDEX);
}

/* By tensor, which holds with float32 export too. */
static void check_other_tensors(rls_context *ctx, const edit_data *data, const edit_choice *choice,
                                const rls_model_dir *old, const rls_model_dir *new)
{
    assert_all_int_equal(rls_model_dir_tensors(new), rls_model_dir_tensors(old));
    for (int64_t t = 0; t < rls_model_dir_tensors(old); t++) {
        const char *name = rls_model_dir_tensor(old, t)->info->name;
        rls_tensor a, b;
        bool edited = false;
        for (int i = 0; i < choice->layers; i++)
            edited = edited || strcmp(name, data->tensor[i]) == 0;
        if (edited)
            continue;
        char *x = tensor_bytes(ctx, old, name, &a), *y = tensor_bytes(ctx, new, name, &b);
        assert_all(a.type == b.type && a.elements == b.elements &&
                   memcmp(x, y, (size_t)(a.end - a.begin)) == 0);
        free(x);
        free(y);
    }
}

/* The index's total_size grew with the tensors. */
static void check_index(const edit_data *data, const char *model, int64_t growth)
{
    if (data->plan.shards == 0)
        return;
    json_t *old = read_json(data->model, RLS_MODEL_INDEX), *new = read_json(model, RLS_MODEL_INDEX);
    assert_all(json_equal(json_object_get(old, "weight_map"), json_object_get(new, "weight_map")));
    assert_all_le(fabs(number(json_object_get(new, "metadata"), "total_size") -
                       number(json_object_get(old, "metadata"), "total_size") - (double)growth),
                  0.0);
    json_decref(old);
    json_decref(new);
}

static void check_model(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *dir,
                        const edit_truth *truth)
{
    char model[RLS_TEST_PATH_MAX];
    rls_model_dir *old = NULL, *new = NULL;
    int64_t growth = 0;
    rls_test_path(model, dir, "model");
    assert_all_ok(ctx, rls_model_dir_open(ctx, data->model, &old));
    assert_all_ok(ctx, rls_model_dir_open(ctx, model, &new));
    for (int i = 0; i < choice->layers; i++) {
        const edit_layer *layer = &data->plan.layer[i];
        check_weight(ctx, data, choice, new, i, &truth[i]);
        if (choice->float32)
            growth += layer->n * layer->m *
                      ((int64_t)rls_dtype_size(RLS_F32) - (int64_t)rls_dtype_size(layer->dtype));
    }
    check_rest(data, choice, model);
    check_other_tensors(ctx, data, choice, old, new);
    check_index(data, model, growth);
    rls_model_dir_close(&old);
    rls_model_dir_close(&new);
}

/* delta_bound is null where lambda = 0 bounds nothing. */
static void check_bound(const json_t *layer, double lambda, double truth, double tolerance)
{
    if (lambda > 0.0)
        assert_all_le(relative(number(layer, "delta_bound"), truth), tolerance);
    else
        assert_all(json_is_null(json_object_get(layer, "delta_bound")));
    if (lambda > 0.0)
        assert_all_le(number(layer, "delta_norm"), number(layer, "delta_bound"));
}

static void check_summary_layer(const edit_data *data, const edit_choice *choice, int i, const json_t *layer,
                                const edit_truth *truth)
{
    const edit_truth_batch *last = &truth->batch[truth->batches - 1];
    const double bound = BOUND[choice->state];
    assert_all_le(fabs(number(layer, "layer") - (double)data->plan.layer[i].number), 0.0);
    assert_all_le(fabs(number(layer, "n") - (double)data->plan.layer[i].n), 0.0);
    assert_all_le(fabs(number(layer, "m") - (double)data->plan.layer[i].m), 0.0);
    assert_all_string_equal(json_string_value(json_object_get(layer, "tensor")), data->tensor[i]);
    assert_all_le(relative(number(layer, "delta_norm"), last->delta_norm), bound);
    assert_all_le(relative(number(layer, "weight_norm"), truth->weight_norm), bound);
    assert_all_le(relative(number(layer, "objective"), last->objective), bound);
    assert_all_le(relative(number(layer, "fit_error"), truth->fit_error), bound);
    check_bound(layer, data->plan.lambda, last->delta_bound, bound);
    if (choice->verify && choice->state == RLS_F64) {
        assert_all_le(number(layer, "identity_error"), PROOF_BOUND);
        assert_all_le(number(layer, "stationarity"), PROOF_BOUND);
        assert_all(number(layer, "identity_error") >= 0.0 && number(layer, "stationarity") >= 0.0);
    }
    if (!choice->verify)
        assert_all(json_object_get(layer, "identity_error") == NULL);
}

static void check_summary(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *dir,
                          const edit_truth *truth)
{
    json_t *summary = read_json(dir, "summary.json");
    const json_t *grid = json_object_get(summary, "grid"), *layers = json_object_get(summary, "layers");
    const int64_t p = json_integer_value(json_array_get(grid, 0)),
                  q = json_integer_value(json_array_get(grid, 1));
    assert_all_int_equal(json_integer_value(json_object_get(summary, "edits")), data->plan.edits);
    assert_all_int_equal(json_integer_value(json_object_get(summary, "batches")), truth[0].batches);
    assert_all_int_equal(json_integer_value(json_object_get(summary, "ranks")), rls_context_size(ctx));
    assert_all_int_equal(json_integer_value(json_object_get(summary, "block")), choice->block);
    assert_all_int_equal(p * q, rls_context_size(ctx));
    assert_all(choice->p == 0 || (choice->p == p && choice->q == q));
    assert_all_string_equal(json_string_value(json_object_get(summary, "dtype")),
                            rls_dtype_name(choice->state));
    assert_all(number(summary, "seconds") > 0.0);
    assert_all_int_equal(json_array_size(layers), choice->layers);
    for (int i = 0; i < choice->layers; i++)
        check_summary_layer(data, choice, i, json_array_get(layers, (size_t)i), &truth[i]);
    json_decref(summary);
}

static void check_log_layer(const edit_data *data, const edit_choice *choice, int i, const json_t *layer,
                            const edit_truth_batch *truth)
{
    static const char *const stage[] = {"read", "step", "drift"};
    const double bound = BOUND[choice->state];
    const json_t *seconds = json_object_get(layer, "seconds");
    assert_all_le(fabs(number(layer, "layer") - (double)data->plan.layer[i].number), 0.0);
    assert_all_le(relative(number(layer, "innovation_before"), truth->innovation_before), bound);
    assert_all_le(relative(number(layer, "innovation_after"), truth->innovation_after), bound);
    assert_all_le(relative(number(layer, "delta_norm"), truth->delta_norm), bound);
    assert_all_le(relative(number(layer, "objective"), truth->objective), bound);
    assert_all_le(1.0 - bound, number(layer, "smallest_pivot"));
    check_bound(layer, data->plan.lambda, truth->delta_bound, bound);
    for (size_t s = 0; s < sizeof stage / sizeof stage[0]; s++)
        assert_all(number(seconds, stage[s]) >= 0.0);
}

/* A line a batch, edits adding up, every figure the truth's, the trace falling to tr(A_t^{-1}). */
static void check_log(const edit_data *data, const edit_choice *choice, const char *dir,
                      const edit_truth *truth)
{
    char path[RLS_TEST_PATH_MAX];
    char *text = rls_test_read(rls_test_path(path, dir, "log.jsonl"), NULL), *rest = NULL;
    double trace[EDIT_LAYERS_MAX] = {INFINITY, INFINITY, INFINITY};
    int64_t lines = 0, edits = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        const json_t *layers = json_object_get(json, "layers");
        assert_all(lines < truth[0].batches);
        edits += json_integer_value(json_object_get(json, "batch_edits"));
        assert_all_int_equal(json_integer_value(json_object_get(json, "batch")), lines + 1);
        assert_all_int_equal(json_integer_value(json_object_get(json, "edits")), edits);
        assert_all_int_equal(edits, truth[0].batch[lines].edits);
        assert_all(number(json, "seconds") > 0.0);
        assert_all_int_equal(json_array_size(layers), choice->layers);
        for (int i = 0; i < choice->layers; i++) {
            const json_t *layer = json_array_get(layers, (size_t)i);
            check_log_layer(data, choice, i, layer, &truth[i].batch[lines]);
            assert_all_le(number(layer, "trace"), trace[i]);
            trace[i] = number(layer, "trace");
        }
        json_decref(json);
        lines++;
    }
    assert_all_int_equal(lines, truth[0].batches);
    for (int i = 0; i < choice->layers; i++)
        assert_all_le(relative(trace[i], truth[i].trace), BOUND[choice->state]);
    free(text);
}

/* The run directory holds these, and nothing half-written. */
static void check_run_dir(const char *dir)
{
    static const char *const name[] = {"config.yaml", "log.jsonl", "summary.json", "model"};
    char path[RLS_TEST_PATH_MAX];
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        assert_all(rls_test_exists(rls_test_path(path, dir, name[i])));
    DIR *entries = opendir(dir);
    assert_non_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
        assert_null(strstr(entry->d_name, "partial"));
    (void)closedir(entries);
}

/* Runs, and judges all that came of it. */
void edit_run_and_judge(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *name)
{
    char dir[RLS_TEST_PATH_MAX];
    edit_truth truth[EDIT_LAYERS_MAX] = {{0}};
    edit_kept inputs = {0};
    for (int i = 0; i < choice->layers; i++)
        edit_truth_make(&data->problem[i], data->plan.kind, choice->batch, &truth[i]);
    edit_keep(&inputs, data->dir);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_ok(ctx, edit_try(ctx, data, choice, name, dir));
    edit_check_kept(&inputs);
    check_run_dir(dir);
    check_model(ctx, data, choice, dir, truth);
    check_summary(ctx, data, choice, dir, truth);
    check_log(data, choice, dir, truth);
    for (int i = 0; i < choice->layers; i++)
        edit_truth_free(&truth[i]);
}
