/* A model and what an export of it must be, for the tests of exporting. */
#ifndef STORE_EXPORT_FILES_H
#define STORE_EXPORT_FILES_H

#include <dirent.h>
#include <sys/stat.h>

#include "store/export.h"
#include "store/model_files.h"

/* A model in dir/model, opened, and room beside it for what is exported. */
typedef struct {
    rls_context *ctx;
    rls_grid *grid;
    rls_model_dir *model;
    char dir[RLS_TEST_PATH_MAX], from[RLS_TEST_PATH_MAX], to[RLS_TEST_PATH_MAX];
} fixture;

static inline void begin(fixture *f)
{
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &f->ctx));
    assert_all_ok(f->ctx, rls_grid_create(f->ctx, 0, 0, &f->grid));
    rls_test_tmpdir(f->dir);
    (void)rls_test_path(f->to, f->dir, "edited");
    rls_test_mkdir(rls_test_path(f->from, f->dir, "model"));
    write_model(f->from);
    assert_all_ok(f->ctx, rls_model_dir_open(f->ctx, f->from, &f->model));
}

static inline void end(fixture *f)
{
    rls_model_dir_close(&f->model);
    rls_grid_destroy(&f->grid);
    rls_test_rmtree(f->dir);
    rls_context_destroy(&f->ctx);
}

/* Is anything at path, a dangling link too? */
static inline bool is_there(const char *path)
{
    struct stat info;
    MPI_Barrier(MPI_COMM_WORLD);
    return lstat(path, &info) == 0;
}

/* Neither the export nor its beginnings. */
static inline void check_nothing_left(const fixture *f)
{
    char path[RLS_TEST_PATH_MAX];
    assert_all(!is_there(f->to));
    assert_all(!is_there(rls_test_path(path, f->dir, ".edited.partial")));
}

/* Entries of a directory. */
static inline int entries(const char *path)
{
    int count = -2; /* "." and ".." */
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static inline bool same_inode(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static inline bool same_bytes(const char *a, const char *b)
{
    size_t x_size = 0, y_size = 0;
    char *x = rls_test_read(a, &x_size), *y = rls_test_read(b, &y_size);
    const bool same = x_size == y_size && memcmp(x, y, x_size) == 0;
    free(x);
    free(y);
    return same;
}

/* The same file in both directories: another name of one file, or a file of its own with the same or other
 * bytes. */
static inline void check_linked(const fixture *f, const char *name)
{
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    struct stat info;
    assert_all(same_inode(rls_test_path(a, f->from, name), rls_test_path(b, f->to, name)));
    assert_all(lstat(b, &info) == 0 &&
               S_ISREG(info.st_mode)); /* the file, not a link that may lead nowhere one day */
}

static inline void check_own(const fixture *f, const char *name)
{
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    assert_all(is_there(rls_test_path(b, f->to, name)) && !same_inode(rls_test_path(a, f->from, name), b));
}

static inline void check_copied(const fixture *f, const char *name)
{
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    check_own(f, name);
    assert_all(same_bytes(rls_test_path(a, f->from, name), rls_test_path(b, f->to, name)));
}

/* The edit of an element: large against the rounding of every type. */
static inline double edited_value(const weight *w, int64_t i, int64_t j, rls_dtype state)
{
    return rounded(weight_value(w, i, j, state) + 3.0 * rls_random_normal_at(99, i, j), state);
}

/* Loads a weight, adds the edit. */
static inline rls_matrix *make_edit(rls_grid *grid, const rls_model_dir *model, const weight *w,
                                    rls_dtype state, int64_t block)
{
    rls_matrix *x = NULL;
    int64_t rows = 0, cols = 0;
    rls_context *ctx = rls_model_dir_context(model);
    assert_all_ok(ctx, rls_matrix_create(grid, state, w->n, w->m, block, &x));
    assert_all_ok(ctx, rls_tensor_load(model, w->name, w->lines, x));
    (void)rls_matrix_local(x, &rows, &cols, NULL);
    for (int64_t jl = 0; jl < cols; jl++)
        for (int64_t il = 0; il < rows; il++)
            set_local(x, il, jl,
                      edited_value(w, rls_matrix_global_row(x, il), rls_matrix_global_col(x, jl), state));
    return x;
}

/* A tensor of the export holds the edited numbers, rounded once from the state to its type. */
static inline void check_edited(const rls_model_dir *edited, const weight *w, rls_dtype state,
                                rls_dtype stored)
{
    const rls_model_tensor *t = rls_model_dir_find(edited, w->name);
    rls_dtype dtype = RLS_F64;
    int64_t wrong = 0;
    const bool columns = w->lines == RLS_LINES_ARE_COLUMNS;
    assert_all(t != NULL && rls_tensor_type_dtype(t->info->type, &dtype) && dtype == stored);
    char *bytes = rls_test_read(rls_model_dir_shard(edited, t->shard)->path, NULL);
    for (int64_t j = 0; j < w->m; j++)
        for (int64_t i = 0; i < w->n; i++) {
            const int64_t at = columns ? j * w->n + i : i * w->m + j;
            const double found = get_number(stored, bytes + t->offset + at * (int64_t)rls_dtype_size(stored));
            wrong += found != rounded(edited_value(w, i, j, state), stored);
        }
    free(bytes);
    assert_all_int_equal(wrong, 0);
}

/* Every tensor that is not in the list has its type, shape and bytes. */
static inline void check_untouched(const rls_model_dir *model, const rls_model_dir *edited,
                                   const rls_export_tensor *edits, int count)
{
    assert_all_int_equal(rls_model_dir_tensors(model), rls_model_dir_tensors(edited));
    for (int64_t i = 0; i < rls_model_dir_tensors(model); i++) {
        const rls_model_tensor *a = rls_model_dir_tensor(model, i),
                               *b = rls_model_dir_find(edited, a->info->name);
        bool skip_it = false;
        for (int e = 0; e < count; e++)
            skip_it = skip_it || strcmp(edits[e].tensor, a->info->name) == 0;
        assert_all(b != NULL);
        if (b == NULL)
            return;
        assert_all(a->info->dims == b->info->dims && a->shard == b->shard);
        for (int d = 0; d < a->info->dims; d++)
            assert_all_int_equal(a->info->shape[d], b->info->shape[d]);
        if (skip_it)
            continue;
        assert_all(a->info->type == b->info->type);
        char *x = rls_test_read(rls_model_dir_shard(model, a->shard)->path, NULL);
        char *y = rls_test_read(rls_model_dir_shard(edited, b->shard)->path, NULL);
        assert_all(memcmp(x + a->offset, y + b->offset, (size_t)(a->info->end - a->info->begin)) == 0);
        free(x);
        free(y);
    }
}

static inline rls_export_tensor as_export(const weight *w, const rls_matrix *x)
{
    return (rls_export_tensor){w->name, w->lines, x};
}

#endif
