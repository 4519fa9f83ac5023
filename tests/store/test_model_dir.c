/* Model directories: what is found, what is refused and why, and weights read into matrices of any
 * distribution. */
#include "store/model_files.h"

#include <float.h>

#include "store/finite.h"

typedef struct {
    rls_context *ctx;
    char dir[RLS_TEST_PATH_MAX];
} fixture;

static void begin(fixture *f)
{
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &f->ctx));
    rls_test_tmpdir(f->dir);
}

static void end(fixture *f)
{
    rls_test_rmtree(f->dir);
    rls_context_destroy(&f->ctx);
}

/* Opening fails with RLS_ERR_DATA and a message that contains the text. */
static void expect_refused(const fixture *f, const char *path, const char *text)
{
    rls_model_dir *dir = NULL;
    assert_all_status(f->ctx, rls_model_dir_open(f->ctx, path, &dir), RLS_ERR_DATA);
    assert_all_message(f->ctx, text);
    assert_all(dir == NULL);
}

static void test_atlas(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    rls_model_dir *dir = NULL;
    (void)state;
    begin(&f);
    rls_test_data(path, "atlas/");
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, path, &dir));
    assert_all(rls_model_dir_has_index(dir));
    assert_all_int_equal(rls_model_dir_shards(dir), 2);
    assert_all_int_equal(rls_model_dir_parameters(dir), 6262016 / 2);
    assert_all_int_equal(rls_model_dir_bytes(dir), 3133912 + 3134200);
    assert_all_string_equal(rls_model_dir_shard(dir, 0)->name, "model-00001-of-00002.safetensors");
    int64_t bytes = 0;
    for (int64_t i = 0; i < rls_model_dir_tensors(dir); i++) {
        const rls_model_tensor *t = rls_model_dir_tensor(dir, i);
        bytes += t->info->end - t->info->begin;
        assert_all(rls_model_dir_find(dir, t->info->name) == t);
    }
    assert_all_int_equal(bytes, 6262016);
    const rls_model_tensor *down = rls_model_dir_find(dir, "model.layers.0.mlp.down_proj.weight");
    assert_all(down != NULL && down->info->dims == 2 && down->info->type == RLS_TENSOR_BF16);
    assert_all(rls_model_dir_find(dir, "model.layers.0.mlp.down_proj") == NULL);
    rls_model_dir_close(&dir);
    assert_all(dir == NULL);
    end(&f);
}

/* Every weight of the sample model equals what was written, whatever grid, block and type it is in. */
static void check_weights(rls_model_dir *dir, rls_grid *grid, int64_t block, rls_dtype dtype, MPI_Comm comm)
{
    rls_context *ctx = rls_model_dir_context(dir);
    for (int k = 0; k < SAMPLE_EDITS; k++) {
        const weight *w = &weights[k];
        rls_matrix *x = NULL;
        int64_t rows = 0, cols = 0, wrong = 0;
        assert_all_status(ctx, rls_matrix_create(grid, dtype, w->n, w->m, block, &x), RLS_OK);
        assert_all_status(ctx, rls_tensor_load(dir, w->name, w->lines, x), RLS_OK);
        (void)rls_matrix_local(x, &rows, &cols, NULL);
        for (int64_t jl = 0; jl < cols; jl++)
            for (int64_t il = 0; il < rows; il++)
                wrong += local_value(x, il, jl) !=
                         weight_value(w, rls_matrix_global_row(x, il), rls_matrix_global_col(x, jl), dtype);
        assert_all_int_equal_on(comm, wrong, 0);
        rls_matrix_destroy(&x);
    }
}

static void test_load(void **state)
{
    static const int64_t block[] = {1, 4, 64};
    fixture f;
    rls_model_dir *dir = NULL;
    (void)state;
    begin(&f);
    write_model(f.dir);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.dir, &dir));
    assert_all_int_equal(rls_model_dir_shards(dir), 3);
    assert_all_int_equal(rls_model_dir_tensors(dir), SHARD_A + SHARD_B + SHARD_C);
    const int size = rls_context_size(f.ctx);
    for (int p = 1; p <= size; p++) {
        rls_grid *grid = NULL;
        if (size % p != 0)
            continue;
        assert_all_ok(f.ctx, rls_grid_create(f.ctx, p, size / p, &grid));
        for (size_t b = 0; b < sizeof block / sizeof block[0]; b++) {
            check_weights(dir, grid, block[b], RLS_F64, MPI_COMM_WORLD);
            check_weights(dir, grid, block[b], RLS_F32, MPI_COMM_WORLD);
        }
        rls_grid_destroy(&grid);
    }
    rls_model_dir_close(&dir);
    end(&f);
}

/* Two groups of ranks read at the same time, each its own way. A colon in the path means nothing. */
static void test_groups(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    MPI_Comm half;
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    rls_model_dir *dir = NULL;
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(path, f.dir, "atlas:1b"));
    write_model(path);
    const int rank = rls_context_rank(f.ctx);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    assert_all(rls_context_create(half, &ctx) == RLS_OK);
    assert_all(rls_grid_create(ctx, 0, 0, &grid) == RLS_OK);
    for (int i = 0; i <= rank % 2; i++) { /* the odd ranks do it twice */
        if (rls_model_dir_open(ctx, path, &dir) != RLS_OK)
            break;
        check_weights(dir, grid, 4, RLS_F64, half);
        rls_model_dir_close(&dir);
    }
    assert_all_string_equal(rls_context_message(ctx), "");
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    MPI_Comm_free(&half);
    end(&f);
}

static void test_no_model(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    expect_refused(&f, rls_test_path(path, f.dir, "nowhere"), "nowhere: no model directory");
    expect_refused(&f, f.dir, "no safetensors file");
    rls_test_write_text(f.dir, "config.json", "{}");
    expect_refused(&f, rls_test_path(path, f.dir, "config.json"), "config.json: not a directory");
    write_shard(f.dir, "one.safetensors", shard_c, SHARD_C, 0);
    rls_model_dir *dir = NULL;
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.dir, &dir)); /* the only one is the model */
    assert_all(!rls_model_dir_has_index(dir));
    assert_all_string_equal(rls_model_dir_shard(dir, 0)->name, "one.safetensors");
    rls_model_dir_close(&dir);
    write_shard(f.dir, "two.safetensors", shard_b, SHARD_B, 0);
    expect_refused(&f, f.dir, "several safetensors files");
    write_shard(f.dir, "model.safetensors", shard_a, SHARD_A, 0);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.dir, &dir));
    assert_all_string_equal(rls_model_dir_shard(dir, 0)->name, "model.safetensors");
    rls_model_dir_close(&dir);
    rls_test_write_text(f.dir, RLS_MODEL_INDEX, "{\"weight_map\": {\"head\": \"one.safetensors\"}}");
    expect_refused(&f, f.dir, "holds model.safetensors and also " RLS_MODEL_INDEX);
    rls_test_write_text(f.dir, RLS_MODEL_INDEX,
                        "{\"weight_map\": {\"embed.weight\": \"model.safetensors\"}}");
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.dir, &dir));
    rls_model_dir_close(&dir);
    end(&f);
}

static void test_bad_index(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", RLS_MODEL_INDEX ":1: not valid JSON"},
        {"{\"weight_map\": ", "not valid JSON"},
        {"[1]", "'weight_map' is missing"},
        {"{\"weight_map\": [\"head\"]}", "'weight_map' is missing or not an object"},
        {"{\"weight_map\": {}}", "weight_map names no tensor"},
        {"{\"weight_map\": {\"head\": 1}}", "weight_map 'head' is not the name of a file"},
        {"{\"weight_map\": {\"head\": \"a\", \"head\": \"a\"}}", "duplicate object key"},
        {"{\"weight_map\": {\"head\": \"../" FILE_C "\"}}",
         "weight_map 'head': '../" FILE_C "' is not a file of this directory"},
        {"{\"weight_map\": {\"head\": \"/etc/passwd\"}}", "weight_map 'head': '/etc/passwd' is not"},
        {"{\"weight_map\": {\"head\": \"..\"}}", "weight_map 'head': '..' is not"},
        {"{\"weight_map\": {\"head\": \"\"}}", "weight_map 'head': '' is not"},
        {"{\"weight_map\": {\"head\": \"lost.safetensors\"}}",
         "shard 'lost.safetensors', which " RLS_MODEL_INDEX " names, is missing"},
        {"{\"weight_map\": {\"head\": \"" FILE_C "\", \"tail\": \"" FILE_C "\"}}",
         "tensor 'tail' is not in " FILE_C},
        {"{\"weight_map\": {\"head\": \"" FILE_A "\", \"empty\": \"" FILE_C "\"}}",
         "tensor 'head' is not in " FILE_A " but in " FILE_C},
        {"{\"weight_map\": {\"head\": \"" FILE_C "\", \"empty\": \"twice.safetensors\"}}",
         "is in two shards: " FILE_C " and twice.safetensors"},
        {"{\"weight_map\": {\"head\": \"below\"}}", "below: is not a regular file"},
    };
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    write_model(f.dir);
    write_shard(f.dir, "twice.safetensors", shard_c, SHARD_C, 0);
    rls_test_mkdir(rls_test_path(path, f.dir, "below"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rls_test_write_text(f.dir, RLS_MODEL_INDEX, bad[i].text);
        expect_refused(&f, f.dir, bad[i].message);
    }
    end(&f);
}

/* A shard cut anywhere is refused, and named. */
static void test_truncated(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    size_t size = 0;
    (void)state;
    begin(&f);
    write_model(f.dir);
    char *bytes = rls_test_read(rls_test_path(path, f.dir, FILE_B), &size);
    for (size_t cut = 0; cut < size; cut = cut < 16 ? cut + 3 : cut * 2) {
        rls_test_write(path, bytes, cut);
        expect_refused(&f, f.dir, FILE_B);
    }
    rls_test_write(path, bytes, size - 1);
    expect_refused(&f, f.dir, "truncated");
    rls_test_write(path, bytes, size + 1); /* rls_test_read's '\0' */
    expect_refused(&f, f.dir, "but its tensors end at");
    free(bytes);
    end(&f);
}

/* Overwrites one element of a tensor's file (world rank 0). */
static void poke(const rls_model_dir *dir, const char *tensor, int64_t at, double value)
{
    const rls_model_tensor *t = rls_model_dir_find(dir, tensor);
    rls_dtype dtype = RLS_F64;
    char path[RLS_TEST_PATH_MAX];
    size_t size = 0;
    (void)rls_tensor_type_dtype(t->info->type, &dtype);
    (void)snprintf(path, sizeof path, "%s", rls_model_dir_shard(dir, t->shard)->path);
    MPI_Barrier(MPI_COMM_WORLD);
    char *bytes = rls_test_read(path, &size);
    put_number(dtype, bytes + (size_t)t->offset + (size_t)at * rls_dtype_size(dtype), value);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, bytes, size);
    free(bytes);
}

static void expect_load(const rls_model_dir *dir, const weight *w, rls_matrix *x, rls_status expected,
                        const char *text)
{
    rls_context *ctx = rls_model_dir_context(dir);
    assert_all_status(ctx, rls_tensor_load(dir, w->name, w->lines, x), expected);
    assert_all_message(ctx, text);
}

static void test_bad_weights(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    rls_model_dir *dir = NULL;
    rls_grid *grid = NULL;
    rls_matrix *x = NULL, *narrow = NULL;
    (void)state;
    begin(&f);
    write_model(f.dir);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.dir, &dir));
    assert_all_ok(f.ctx, rls_grid_create(f.ctx, 0, 0, &grid));
    assert_all_ok(f.ctx, rls_matrix_create(grid, RLS_F64, 37, 13, 4, &x));
    weight w = weights[0];
    w.name = "layers.0.dwon.weight";
    expect_load(dir, &w, x, RLS_ERR_DATA,
                "no tensor 'layers.0.dwon.weight' among its 12: did you mean 'layers.0.down.weight'?");
    w = weights[0];
    w.lines = RLS_LINES_ARE_ROWS;
    expect_load(dir, &w, x, RLS_ERR_DATA, "tensor 'layers.0.down.weight' is [13, 37], expected [37, 13]");
    expect_load(dir, &weights[4], x, RLS_ERR_DATA, "is [31, 17], expected [37, 13]");
    w.name = "layers.0.norm";
    expect_load(dir, &w, x, RLS_ERR_DATA, "tensor 'layers.0.norm' is [13], expected [37, 13]");
    w.name = "scales";
    expect_load(dir, &w, x, RLS_ERR_DATA, "tensor 'scales' is F8_E4M3: only F64, F32, F16 and BF16");

    poke(dir, weights[0].name, 12 * 37 + 5, (double)NAN);
    expect_load(dir, &weights[0], x, RLS_ERR_DATA, "tensor 'layers.0.down.weight' holds nan at [12, 5]");
    poke(dir, weights[1].name, 7 * 37 + 36, (double)-INFINITY);
    expect_load(dir, &weights[1], x, RLS_ERR_DATA, "tensor 'layers.1.down.weight' holds -inf at [7, 36]");
    rls_matrix_destroy(&x);
    assert_all_ok(f.ctx, rls_matrix_create(grid, RLS_F64, 23, 5, 4, &x));
    assert_all_ok(f.ctx, rls_matrix_create(grid, RLS_F32, 23, 5, 4, &narrow));
    poke(dir, weights[2].name, 3 * 23 + 1, 1e300);
    assert_all_ok(f.ctx, rls_tensor_load(dir, weights[2].name, weights[2].lines, x));
    expect_load(dir, &weights[2], narrow, RLS_ERR_DATA, "holds 1e+300 at [3, 1]: not a weight in float32");

    /* The file must be what its header said when it was opened. */
    size_t size = 0;
    char *bytes = rls_test_read(rls_test_path(path, f.dir, FILE_B), &size);
    rls_test_write(path, bytes, size - 100);
    expect_load(dir, &weights[2], x, RLS_ERR_DATA, "it must not change while it is used");
    free(bytes);
    rls_matrix_destroy(&x);
    rls_matrix_destroy(&narrow);
    rls_grid_destroy(&grid);
    rls_model_dir_close(&dir);
    end(&f);
}

/* The last number that still rounds to a finite one, and the first that doesn't. */
static void test_limits(void **state)
{
    static const struct {
        rls_dtype as;
        double below, above;
    } limit[] = {{RLS_F16, 65519.999, 65520.0},
                 {RLS_BF16, 0x1.fefffep127, 0x1.ffp127},
                 {RLS_F32, 0x1.fffffefp127, 0x1.ffffffp127}};
    (void)state;
    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++) {
        double data[5000] = {0.0};
        data[4999] = limit[i].below;
        assert_all_int_equal(rls_first_nonfinite(RLS_F64, data, 5000, limit[i].as), -1);
        assert_all(isfinite(rounded(data[4999], limit[i].as)));
        data[4999] = -limit[i].above;
        assert_all_int_equal(rls_first_nonfinite(RLS_F64, data, 5000, limit[i].as), 4999);
        assert_all(!isfinite(rounded(data[4999], limit[i].as)));
        assert_all_int_equal(rls_first_nonfinite(RLS_F64, data, 5000, RLS_F64), -1);
        data[17] = (double)NAN;
        assert_all_int_equal(rls_first_nonfinite(RLS_F64, data, 5000, RLS_F64), 17);
        assert_all_int_equal(rls_first_nonfinite(RLS_F64, data, 17, RLS_F64), -1);
    }
    for (size_t i = 0; i < 2; i++) { /* float32 numbers are all finite as float32 */
        float data[5000] = {0.0F};
        data[4998] = -nextafterf((float)limit[i].above, 0.0F);
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, limit[i].as), -1);
        data[4999] = (float)limit[i].above;
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, limit[i].as), 4999);
        data[4999] = -FLT_MAX;
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, RLS_F32), -1);
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, RLS_F64), -1);
        data[4100] = i == 0 ? INFINITY : NAN;
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, RLS_F32), 4100);
        assert_all_int_equal(rls_first_nonfinite(RLS_F32, data, 5000, RLS_F64), 4100);
    }
    const uint16_t half[] = {0x7bff, 0x0001, 0x7c00}, brain[] = {0x7f7f, 0xff7f, 0x7fc0};
    assert_all_int_equal(rls_first_nonfinite(RLS_F16, half, 3, RLS_F32), 2);
    assert_all_int_equal(rls_first_nonfinite(RLS_BF16, brain, 3, RLS_F64), 2);
    assert_all_int_equal(rls_first_nonfinite(RLS_BF16, brain, 2, RLS_F32), -1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_atlas),       cmocka_unit_test(test_load),
                                       cmocka_unit_test(test_groups),      cmocka_unit_test(test_no_model),
                                       cmocka_unit_test(test_bad_index),   cmocka_unit_test(test_truncated),
                                       cmocka_unit_test(test_bad_weights), cmocka_unit_test(test_limits)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "model_dir");
}
