/* Statistics files: every layout that NumPy writes is read to the last bit; what is wrong is refused and
 * named. */
#include "store/npz.h"

#include <math.h>

#include "linalg/kernels.h"
#include "store/npz_files.h"
#include "store/zip.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static const char STATS[] = "mom2.mom2.npy", COUNT[] = "mom2.count.npy";

static char path[RLS_TEST_PATH_MAX];

/* Not symmetric, so that rows and columns are told apart. */
static double element(int64_t i, int64_t j)
{
    return (double)((i * 131 + j * 17) % 1009) - 500.0;
}

typedef struct {
    int64_t n;
    int version, fortran, deflated, zip64;
    rls_dtype dtype;
    const char *count_type; /* "<i8" */
    double count;
} layout;

static void add_elements(bytes *b, const layout *l)
{
    for (int64_t line = 0; line < l->n; line++)
        for (int64_t at = 0; at < l->n; at++) {
            const double x = l->fortran != 0 ? element(at, line) : element(line, at);
            const float x32 = (float)x;
            add_bytes(b, l->dtype == RLS_F64 ? (const void *)&x : &x32, rls_dtype_size(l->dtype));
        }
}

static void add_sum(bytes *b, const layout *l)
{
    char text[128];
    (void)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': (%lld, %lld), }",
                   l->dtype == RLS_F64 ? "<f8" : "<f4", l->fortran != 0 ? "True" : "False", (long long)l->n,
                   (long long)l->n);
    add_npy_header(b, l->version, text);
    add_elements(b, l);
}

static void add_count(bytes *b, const char *type, double count)
{
    char text[128];
    (void)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (), }", type);
    add_npy_header(b, 1, text);
    if (type[1] == 'f' && type[2] == '8')
        add_bytes(b, &count, sizeof count);
    else
        add_number(b, (uint64_t)(int64_t)count, type[2] - '0');
}

/* Writes a statistics file with one more array, as MEMIT's have. */
static void write_file(const layout *l)
{
    bytes sum = {0}, count = {0}, other = {0}, zip = {0};
    add_sum(&sum, l);
    add_count(&count, l->count_type, l->count);
    add_npy_header(&other, 1, "{'descr': '<U39', 'fortran_order': False, 'shape': (), }");
    const zip_member members[] = {{"mom2.constructor.npy", &other, l->deflated, l->zip64, 0, 0, 0},
                                  {COUNT, &count, l->deflated, l->zip64, 0, 0, 0},
                                  {STATS, &sum, l->deflated, l->zip64, 0, 0, 0}};
    make_zip(&zip, members, 3);
    rls_test_write(path, zip.data, zip.size);
    free(sum.data);
    free(count.data);
    free(other.data);
    free(zip.data);
}

static void read_on(rls_grid *grid, void *user)
{
    const layout *l = user;
    rls_context *ctx = rls_grid_context(grid);
    rls_npz_moment moment;
    for (int t = 0; t < 2; t++) {
        rls_matrix *matrix = NULL;
        int64_t wrong = 0;
        assert_all_ok(ctx, rls_npz_moment_read(ctx, path, &moment));
        assert_all_int_equal(moment.n, l->n);
        assert_all_int_equal(moment.count, (int64_t)l->count);
        assert_all_int_equal(moment.dtype, l->dtype);
        assert_all_ok(ctx, rls_matrix_create(grid, t == 0 ? RLS_F64 : RLS_F32, l->n, l->n, 16, &matrix));
        assert_all_ok(ctx, rls_npz_moment_load(ctx, path, &moment, matrix));
        for (int64_t jl = 0; jl < matrix->cols_local; jl++)
            for (int64_t il = 0; il < matrix->rows_local; il++) {
                const int64_t i = rls_matrix_global_row(matrix, il), j = rls_matrix_global_col(matrix, jl);
                /* row by row: transposed, which is the same for what is symmetric */
                const double expected = l->fortran != 0 ? element(i, j) : element(j, i);
                wrong +=
                    rls_get(matrix->part.dtype, matrix->part.data, il + jl * matrix->part.ld) != expected;
            }
        assert_all_int_equal(wrong, 0);
        rls_matrix_destroy(&matrix);
    }
}

static void test_layouts(void **state)
{
    static const layout LAYOUTS[] = {
        {37, 1, 0, 0, 0, RLS_F32, "<i8", 66019200}, {37, 1, 1, 0, 1, RLS_F64, "<i4", 7},
        {20, 2, 0, 1, 0, RLS_F32, "<f8", 1e12},     {20, 3, 1, 1, 1, RLS_F64, "<u4", 4294967295.0},
        {1, 1, 0, 0, 0, RLS_F32, "|u1", 1},         {3, 1, 0, 1, 1, RLS_F64, "<u8", 9e15},
    };
    for (size_t i = 0; i < sizeof LAYOUTS / sizeof LAYOUTS[0]; i++) {
        layout l = LAYOUTS[i];
        write_file(&l);
        each_grid(*state, read_on, &l);
    }
}

/* More than one round. */
static void test_rounds(void **state)
{
    rls_grid *grid = NULL;
    assert_all_ok(*state, rls_grid_create(*state, 0, 0, &grid));
    for (int deflated = 0; deflated < 2; deflated++) {
        layout l = {2100, 1, 0, deflated, 0, RLS_F64, "<i8", 5};
        assert_all(l.n * l.n * 8 > RLS_ROUND_BYTES);
        write_file(&l);
        read_on(grid, &l);
    }
    rls_grid_destroy(&grid);
}

/* Reads the file at path up to the matrix. */
static rls_status read_all(rls_context *ctx)
{
    rls_npz_moment moment;
    rls_grid *grid = NULL;
    rls_matrix *matrix = NULL;
    rls_status status = rls_npz_moment_read(ctx, path, &moment);
    if (status == RLS_OK)
        status = rls_grid_create(ctx, 0, 0, &grid);
    if (status == RLS_OK)
        status = rls_matrix_create(grid, moment.dtype, moment.n, moment.n, 4, &matrix);
    if (status == RLS_OK)
        status = rls_npz_moment_load(ctx, path, &moment, matrix);
    rls_matrix_destroy(&matrix);
    rls_grid_destroy(&grid);
    return status;
}

static void refuse(rls_context *ctx, const char *message)
{
    assert_all_status(ctx, read_all(ctx), RLS_ERR_DATA);
    assert_all_message(ctx, message);
    assert_all_message(ctx, ".npz");
}

/* A 3 x 3 file whose arrays' headers, types and elements may be anything. */
typedef struct {
    const char *sum_header, *sum_name, *count_type, *message;
    double count;
    int nan_at, deflated;
    uint32_t crc_flip;
    uint64_t flags, method;
    size_t cut; /* bytes less of the elements */
} wrong_file;

#define GOOD "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3), }"

static void write_wrong(const wrong_file *w)
{
    bytes sum = {0}, count = {0}, zip = {0};
    add_npy_header(&sum, 1, w->sum_header);
    for (int i = 0; i < 9; i++) {
        const double x = i == w->nan_at ? (double)NAN : 1.0;
        add_bytes(&sum, &x, sizeof x);
    }
    sum.size -= w->cut;
    add_count(&count, w->count_type, w->count);
    const zip_member members[] = {
        {COUNT, &count, 0, 0, 0, 0, 0},
        {w->sum_name, &sum, w->deflated, 0, w->crc_flip, w->flags, w->method},
    };
    make_zip(&zip, members, 2);
    rls_test_write(path, zip.data, zip.size);
    free(sum.data);
    free(count.data);
    free(zip.data);
}

static void test_bad_files(void **state)
{
    static const wrong_file WRONG[] = {
        {GOOD, "mom1.npy", "<i8", "there is no mom2.mom2.npy in it", 5, -1, 0, 0, 0, 0, 0},
        {"{'descr': '>f8', 'fortran_order': False, 'shape': (3, 3), }", STATS, "<i8", ">f8", 5, -1, 0, 0, 0,
         0, 0},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (3, 12), }", STATS, "<i8", "<f2", 5, -1, 0, 0, 0,
         0, 0},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 3), }", STATS, "<i8", "structured",
         5, -1, 0, 0, 0, 0, 0},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (9, 1), }", STATS, "<i8", "not a square matrix",
         5, -1, 0, 0, 0, 0, 0},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 4), }", STATS, "<i8", "its shape makes 128",
         5, -1, 0, 0, 0, 0, 0},
        {"{'descr': '<f8', 'shape': (3, 3), }", STATS, "<i8", "not that of a NumPy array", 5, -1, 0, 0, 0, 0,
         0},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 99999999999999999999)}", STATS, "<i8",
         "not that of a NumPy array", 5, -1, 0, 0, 0, 0, 0},
        {GOOD, STATS, "<i8", "72", 5, -1, 0, 0, 0, 0, 8},
        {GOOD, STATS, "<i8", "0, not a number of keys", 0, -1, 0, 0, 0, 0, 0},
        {GOOD, STATS, "<i4", "-1, not a number of keys", -1, -1, 0, 0, 0, 0, 0},
        {GOOD, STATS, "<f8", "2.5, not a number of keys", 2.5, -1, 0, 0, 0, 0, 0},
        {GOOD, STATS, "<i8", "mom2.mom2[2, 1] is nan", 5, 7, 0, 0, 0, 0, 0},
        {GOOD, STATS, "<i8", "its checksum is wrong", 5, -1, 0, 1, 0, 0, 0},
        {GOOD, STATS, "<i8", "its checksum is wrong", 5, -1, 1, 1, 0, 0, 0},
        {GOOD, STATS, "<i8", "encrypted", 5, -1, 0, 0, 1, 0, 0},
        {GOOD, STATS, "<i8", "packed in an unknown way", 5, -1, 0, 0, 0, 12, 0},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        write_wrong(&WRONG[i]);
        refuse(*state, WRONG[i].message);
    }
}

/* Two members of one name: which of them counts is anybody's guess. */
static void test_twice(void **state)
{
    bytes sum = {0}, count = {0}, zip = {0};
    add_npy_header(&sum, 1, GOOD);
    const double ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    add_bytes(&sum, ones, sizeof ones);
    add_count(&count, "<i8", 5);
    const zip_member members[] = {
        {COUNT, &count, 0, 0, 0, 0, 0}, {STATS, &sum, 0, 0, 0, 0, 0}, {STATS, &sum, 1, 0, 0, 0, 0}};
    make_zip(&zip, members, 3);
    rls_test_write(path, zip.data, zip.size);
    refuse(*state, "mom2.mom2.npy: is in it twice");
    free(sum.data);
    free(count.data);
    free(zip.data);
}

/* Cut anywhere, or of other bytes altogether: never read beyond, never taken. */
static void test_truncated_files(void **state)
{
    const layout l = {3, 1, 0, 0, 1, RLS_F32, "<i8", 5};
    size_t size = 0;
    write_file(&l);
    char *whole = rls_test_read(path, &size);
    for (size_t left = 0; left < size; left += 7) {
        rls_test_write(path, whole, left);
        refuse(*state, "");
    }
    for (size_t i = 0; i < size; i++)
        whole[i] = (char)(i * 37);
    rls_test_write(path, whole, size);
    refuse(*state, "table of contents");
    free(whole);
    assert_all_status(*state, rls_npz_moment_read(*state, "/nonexistent.npz", &(rls_npz_moment){0}),
                      RLS_ERR_DATA);
}

/* A deflated array whose packed bytes are not what zlib made. */
static void test_damaged_deflate(void **state)
{
    const layout l = {9, 1, 0, 1, 0, RLS_F32, "<i8", 5};
    size_t size = 0;
    rls_zip zip;
    int64_t offset = 0;
    write_file(&l);
    char *whole = rls_test_read(path, &size);
    assert_all_ok(*state, rls_zip_open(*state, path, &zip));
    const rls_zip_entry *entry = rls_zip_find(&zip, STATS);
    assert_all(entry != NULL);
    assert_all_ok(*state, rls_zip_data(*state, &zip, entry, &offset));
    for (int64_t i = 0; i + 1 < entry->packed; i += 11) {
        whole[offset + i] ^= 0x55;
        rls_test_write(path, whole, size);
        refuse(*state, "");
        whole[offset + i] ^= 0x55;
    }
    rls_zip_close(&zip);
    free(whole);
}

/* A context, and a directory for the file. */
static int setup(void **state)
{
    const int failed = scratch_setup(state);
    (void)in_scratch("file.npz", path);
    return failed;
}

#define file_test(function) cmocka_unit_test_setup_teardown(function, setup, scratch_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {file_test(test_layouts),         file_test(test_rounds),
                                       file_test(test_bad_files),       file_test(test_truncated_files),
                                       file_test(test_damaged_deflate), file_test(test_twice)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "npz");
}
