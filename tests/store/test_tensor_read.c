/* Pieces of tensors that take several rounds: whole rows, parts of rows, transposed, converted. */
/* ctest: NP 1 2 */
#include "store/model_files.h"
#include "store/tensor_read.h"

enum { ROWS = 600, COLS = 20000 }; /* 48 MB in float32, of which a round has 32 MiB */

static void read_and_compare(rls_context *ctx, const rls_model_dir *dir, const char *name, rls_tensor_piece p)
{
    const rls_model_tensor *tensor = rls_model_dir_find(dir, name);
    rls_tensor_reader *reader = NULL;
    rls_dtype dtype = RLS_F32;
    const int64_t padding = 3;
    int64_t bad = 0;
    assert_all(tensor != NULL && rls_tensor_type_dtype(tensor->info->type, &dtype));
    p.ld = (p.transpose ? p.rows : p.cols) + (p.cols < COLS ? padding : 0);
    p.to = malloc((size_t)(p.ld * (p.transpose ? p.cols : p.rows)) * rls_dtype_size(p.dtype));
    assert_all_ok(ctx, rls_tensor_reader_create(ctx, dir, &reader));
    assert_all_ok(ctx, rls_agree(ctx, rls_tensor_read(reader, tensor, &p)));
    for (int64_t i = 0; i < p.rows; i++) {
        for (int64_t j = 0; j < p.cols; j += 1 + j / 7) { /* not all: the numbers take time to make */
            const double expected = rounded(sample_value(name, p.row + i, p.col + j), dtype);
            const int64_t at = p.transpose ? j * p.ld + i : i * p.ld + j;
            bad += get_number(p.dtype, (const char *)p.to + at * (int64_t)rls_dtype_size(p.dtype)) !=
                   rounded(expected, p.dtype);
        }
    }
    assert_all_int_equal(bad, 0);
    rls_tensor_reader_destroy(&reader);
    free(p.to);
}

static void test_rounds(void **state)
{
    static const sample tensors[] = {{"wide", RLS_TENSOR_F32, ROWS, COLS}, {"half", RLS_TENSOR_BF16, 40, 70}};
    char dir[RLS_TEST_PATH_MAX];
    rls_context *ctx = NULL;
    rls_model_dir *model = NULL;
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    rls_test_tmpdir(dir);
    write_shard(dir, "model.safetensors", tensors, 2, 0);
    assert_all_ok(ctx, rls_model_dir_open(ctx, dir, &model));
    const rls_tensor_piece pieces[] = {{.rows = ROWS, .cols = COLS},
                                       {.row = 7, .rows = ROWS - 7, .cols = COLS, .transpose = true},
                                       {.rows = ROWS, .col = 11, .cols = 100}, /* short: with their rows */
                                       {.rows = ROWS, .col = 19000, .cols = 1000, .transpose = true},
                                       {.rows = ROWS, .col = 3, .cols = 15003}, /* wide: the same */
                                       {.row = 100, .rows = 300, .col = 5000, .cols = 5000}}; /* alone */
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        rls_tensor_piece p = pieces[i];
        p.dtype = i % 2 == 0 ? RLS_F32 : RLS_F64;
        read_and_compare(ctx, model, "wide", p);
    }
    const rls_tensor_piece small = {.row = 3, .rows = 36, .col = 1, .cols = 69, .dtype = RLS_BF16};
    read_and_compare(ctx, model, "half", small);
    rls_model_dir_close(&model);
    rls_test_rmtree(dir);
    rls_context_destroy(&ctx);
}

/* The file is shorter than its header said; a piece beyond its tensor. */
static void test_refused(void **state)
{
    static const sample tensors[] = {{"a", RLS_TENSOR_F32, 10, 10}};
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    rls_context *ctx = NULL;
    rls_model_dir *model = NULL;
    rls_tensor_reader *reader = NULL;
    float to[100];
    rls_tensor_piece p = {.rows = 10, .cols = 10, .dtype = RLS_F32, .to = to, .ld = 10};
    size_t bytes = 0;
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    rls_test_tmpdir(dir);
    write_shard(dir, "model.safetensors", tensors, 1, 0);
    assert_all_ok(ctx, rls_model_dir_open(ctx, dir, &model));
    assert_all_ok(ctx, rls_tensor_reader_create(ctx, model, &reader));
    char *data = rls_test_read(rls_test_path(path, dir, "model.safetensors"), &bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, data, bytes - 4);
    free(data);
    const rls_model_tensor *tensor = rls_model_dir_find(model, "a");
    assert_all_status(ctx, rls_agree(ctx, rls_tensor_read(reader, tensor, &p)), RLS_ERR_DATA);
    assert_all_message(ctx, "it was longer when it was opened");
    p.rows = 9;
    assert_all_ok(ctx, rls_agree(ctx, rls_tensor_read(reader, tensor, &p)));
    p.row = 2;
    assert_all_status(ctx, rls_agree(ctx, rls_tensor_read(reader, tensor, &p)), RLS_ERR_INTERNAL);
    rls_tensor_reader_destroy(&reader);
    rls_model_dir_close(&model);
    rls_test_rmtree(dir);
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounds), cmocka_unit_test(test_refused)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "tensor_read");
}
