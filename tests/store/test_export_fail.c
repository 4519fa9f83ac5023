/* Export that cannot be: the cause is named, nothing is left behind. And what a killed one left is no
 * hindrance. */
#include <signal.h>
#include <sys/resource.h>

#include "store/export_files.h"

static void expect_fails(const fixture *f, const char *to, const rls_export_tensor *edits, int64_t count,
                         rls_status expected, const char *text)
{
    assert_all_status(f->ctx, rls_model_export(f->model, to, edits, count, RLS_EXPORT_MODEL), expected);
    assert_all_message(f->ctx, text);
    check_nothing_left(f);
}

static void test_bad_places(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX], other[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(path, f.dir, "there"));
    expect_fails(&f, path, NULL, 0, RLS_ERR_USAGE, "there: exists already");
    assert_all_status(f.ctx, rls_model_export_check(f.ctx, path), RLS_ERR_USAGE);
    assert_all_int_equal(entries(path), 0);
    rls_test_write_text(f.dir, "file", "x");
    expect_fails(&f, rls_test_path(path, f.dir, "file"), NULL, 0, RLS_ERR_USAGE, "file: exists already");
    expect_fails(&f, rls_test_path(other, path, "below"), NULL, 0, RLS_ERR_USAGE, "file: is not a directory");
    make_link("nowhere", f.dir, "dangling");
    expect_fails(&f, rls_test_path(path, f.dir, "dangling"), NULL, 0, RLS_ERR_USAGE,
                 "dangling: exists already");
    expect_fails(&f, rls_test_path(path, f.dir, "missing/edited"), NULL, 0, RLS_ERR_USAGE,
                 "missing: is not a directory to put 'edited' in");
    assert_all_status(f.ctx, rls_model_export_check(f.ctx, path), RLS_ERR_USAGE);
    expect_fails(&f, "", NULL, 0, RLS_ERR_USAGE, "'' is not the name of a new directory");
    expect_fails(&f, f.from, NULL, 0, RLS_ERR_USAGE, "model: exists already");
    assert_all_int_equal(entries(f.dir), 4);
    end(&f);
}

static void test_bad_edits(void **state)
{
    fixture f;
    (void)state;
    begin(&f);
    rls_matrix *x = make_edit(f.grid, f.model, &weights[4], RLS_F64, 4);
    rls_matrix *y = make_edit(f.grid, f.model, &weights[0], RLS_F64, 4);
    rls_export_tensor edits[2] = {as_export(&weights[4], x), as_export(&weights[0], y)};
    edits[1].tensor = "layers.9.down.weight";
    expect_fails(&f, f.to, edits, 2, RLS_ERR_DATA, "no tensor 'layers.9.down.weight'");
    edits[1].tensor = "scales";
    expect_fails(&f, f.to, edits, 2, RLS_ERR_DATA, "tensor 'scales' is F8_E4M3");
    edits[1].tensor = "head";
    expect_fails(&f, f.to, edits, 2, RLS_ERR_DATA, "tensor 'head' is [9, 9], expected [13, 37]");
    edits[1] = edits[0];
    expect_fails(&f, f.to, edits, 2, RLS_ERR_USAGE, "tensor 'h.4.mlp.c_proj.weight' is given twice");
    edits[1] = as_export(&weights[0], y);

    /* One element, on one rank: too large for the file, then not a number. X (30, 16) of the Conv1D is [30,
     * 16] there. */
    int64_t rows = 0, cols = 0;
    (void)rls_matrix_local(x, &rows, &cols, NULL);
    const bool mine = rows > 0 && cols > 0 && rls_matrix_global_row(x, rows - 1) == 30 &&
                      rls_matrix_global_col(x, cols - 1) == 16;
    if (mine)
        set_local(x, rows - 1, cols - 1, -65520.0);
    expect_fails(&f, f.to, edits, 2, RLS_ERR_NUMERIC,
                 "tensor 'h.4.mlp.c_proj.weight': -65520 at [30, 16] is too large for float16: set "
                 "export.dtype: float32");
    if (mine)
        set_local(x, rows - 1, cols - 1, 65519.0);
    (void)rls_matrix_local(y, &rows, &cols, NULL);
    if (rows > 0 && cols > 0 && rls_matrix_global_row(y, 0) == 0 && rls_matrix_global_col(y, 0) == 0)
        set_local(y, 0, 0, (double)NAN);
    expect_fails(&f, f.to, edits, 2, RLS_ERR_NUMERIC, "tensor 'layers.0.down.weight' is nan at [0, 0]");
    assert_all_ok(f.ctx,
                  rls_model_export(f.model, f.to, edits, 1, RLS_EXPORT_MODEL)); /* 65519 rounds to 65504 */
    rls_matrix_destroy(&x);
    rls_matrix_destroy(&y);
    end(&f);
}

/* What a killed run left is removed, whatever it is; links in it are not followed. */
static void test_stale(void **state)
{
    fixture f;
    char stale[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(stale, f.dir, ".edited.partial"));
    rls_test_mkdir(rls_test_path(path, stale, "below"));
    rls_test_write_text(path, "half", "half a file");
    make_link("../../model", path, "elsewhere");
    rls_test_write_text(stale, FILE_A, "half a shard");
    rls_matrix *x = make_edit(f.grid, f.model, &weights[0], RLS_F64, 4);
    const rls_export_tensor edit = as_export(&weights[0], x);
    assert_all_ok(f.ctx, rls_model_export(f.model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    assert_all(!is_there(stale) && is_there(rls_test_path(path, f.from, FILE_A)));
    assert_all_int_equal(entries(f.to), entries(f.from));
    rls_matrix_destroy(&x);
    end(&f);
}

/* Writes fail on all ranks: files may not grow. Then the original changes under our hands. */
static void test_io_failure(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    struct rlimit limit, small;
    (void)state;
    begin(&f);
    rls_matrix *x = make_edit(f.grid, f.model, &weights[0], RLS_F64, 4);
    const rls_export_tensor edit = as_export(&weights[0], x);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    (void)fflush(NULL);
    assert_all(getrlimit(RLIMIT_FSIZE, &limit) == 0 && sigaction(SIGXFSZ, &ignore, &old) == 0);
    small = limit;
    small.rlim_cur = 1000; /* the shard's header is longer */
    assert_all(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const rls_status status = rls_model_export(f.model, f.to, &edit, 1, RLS_EXPORT_MODEL);
    const bool restored = setrlimit(RLIMIT_FSIZE, &limit) == 0 && sigaction(SIGXFSZ, &old, NULL) == 0;
    assert_all(restored);
    assert_all_status(f.ctx, status, RLS_ERR_IO);
    assert_all_message(f.ctx, FILE_A);
    check_nothing_left(&f);

    size_t size = 0;
    char *bytes = rls_test_read(rls_test_path(path, f.from, FILE_A), &size);
    rls_test_write(path, bytes, size - 8);
    expect_fails(&f, f.to, &edit, 1, RLS_ERR_DATA, "must not change while it is used");
    rls_test_write(path, bytes, size);
    assert_all_ok(f.ctx, rls_model_export(f.model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    free(bytes);
    rls_matrix_destroy(&x);
    end(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bad_places), cmocka_unit_test(test_bad_edits),
                                       cmocka_unit_test(test_stale), cmocka_unit_test(test_io_failure)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "export_fail");
}
