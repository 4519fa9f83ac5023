/* Copying ranges between files: every byte where it belongs, none elsewhere, and the checksums of what is
 * there.
 */
#include "store/shared_copy.h"

#include <inttypes.h>

#include "store/file_util.h"
#include "store/writeback.h"
#include "support/collective.h"
#include "support/files.h"
#include "support/random.h"

static const int64_t SLAB = RLS_DIGEST_SLAB, BYTES = (int64_t)5 * RLS_DIGEST_SLAB + 12345;

/* A range: from a place in the old file to one in the new. */
typedef struct {
    int64_t from, to, bytes;
} range;

static char byte_at(int64_t i)
{
    return (char)(unsigned char)((uint64_t)i * 0x9e3779b97f4a7c15U >> 56U);
}

static void write_old(rls_context *ctx, const char *path)
{
    char *data = malloc((size_t)BYTES);
    assert_all(data != NULL);
    for (int64_t i = 0; data != NULL && i < BYTES; i++)
        data[i] = byte_at(i);
    assert_all_ok(ctx, rls_context_rank(ctx) == 0 ? rls_file_write_new(ctx, path, data, BYTES) : RLS_OK);
    free(data);
}

/* The new file's bytes: of the last range that holds them, or zero. */
static int64_t count_wrong(const char *path, const range *ranges, int count, int64_t bytes)
{
    size_t size = 0;
    int64_t wrong = 0;
    char *data = rls_test_read(path, &size);
    char *expected = calloc((size_t)bytes, 1);
    for (int r = 0; r < count && expected != NULL; r++)
        for (int64_t i = 0; i < ranges[r].bytes; i++)
            expected[ranges[r].to + i] = byte_at(ranges[r].from + i);
    if ((int64_t)size != bytes || expected == NULL)
        wrong = -1;
    for (int64_t i = 0; i < bytes && wrong >= 0; i++)
        wrong += data[i] != expected[i] ? 1 : 0;
    free(data);
    free(expected);
    return wrong;
}

static void copy(const range *ranges, int count)
{
    rls_context *ctx = NULL;
    char dir[RLS_TEST_PATH_MAX], old[RLS_TEST_PATH_MAX], new[RLS_TEST_PATH_MAX];
    rls_shared_file from = {.handle = MPI_FILE_NULL}, to = {.handle = MPI_FILE_NULL};
    rls_digest_writer *writer = NULL;
    rls_digest *taken = NULL, *read = NULL;
    int64_t end = 0;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    rls_test_tmpdir(dir);
    write_old(ctx, rls_test_path(old, dir, "old"));
    const char *const path = rls_test_path(new, dir, "new");
    assert_all_ok(ctx, rls_shared_open(ctx, old, BYTES, &from));
    assert_all_ok(ctx, rls_shared_create(ctx, new, &to));
    assert_all_ok(ctx, rls_digest_begin(ctx, new, &writer));
    for (int r = 0; r < count; r++) {
        assert_all_ok(ctx,
                      rls_shared_copy(&from, ranges[r].from, &to, ranges[r].to, ranges[r].bytes, writer));
        end = ranges[r].to + ranges[r].bytes > end ? ranges[r].to + ranges[r].bytes : end;
    }
    assert_all_ok(ctx, rls_shared_close(&from));
    assert_all_ok(ctx, rls_shared_close(&to));
    assert_all_ok(ctx, rls_digest_end(&writer, &taken));
    assert_all_ok(ctx, rls_files_sync(ctx, &path, 1));
    assert_all_int_equal(count_wrong(new, ranges, count, end), 0);
    assert_all_ok(ctx, rls_digest_files(ctx, &path, 1, &read));
    assert_all_int_equal(taken->bytes, end);
    assert_all_int_equal(read->slabs, taken->slabs);
    for (int64_t s = 0; s < read->slabs; s++)
        assert_all(rls_hash_equal(read->slab[s], taken->slab[s]));
    rls_digests_free(&taken);
    rls_digests_free(&read);
    rls_test_rmtree(dir);
    rls_context_destroy(&ctx);
}

/* A whole file, of some slabs and a rest. */
static void test_whole(void **state)
{
    (void)state;
    copy(&(range){0, 0, BYTES}, 1);
}

/* The same places in both files, as in an export that changes no type: ends anywhere, inside a block, at its
 * borders; ranges of less than a block and of none; what is between them stays as it is. */
static void test_in_place(void **state)
{
    (void)state;
    const range ranges[] = {{0, 0, 1000},
                            {1001, 1001, SLAB + 5000},
                            {2 * SLAB - 1, 2 * SLAB - 1, 2},
                            {2 * SLAB + 4096, 2 * SLAB + 4096, 4096},
                            {2 * SLAB + 9000, 2 * SLAB + 9000, 0},
                            {3 * SLAB, 3 * SLAB, SLAB},
                            {4 * SLAB + 7, 4 * SLAB + 7, BYTES - (4 * SLAB + 7)}};
    copy(ranges, RLS_TEST_COUNT(ranges));
}

/* Other places: by whole blocks, and by a few bytes in both directions. */
static void test_moved(void **state)
{
    (void)state;
    const range ranges[] = {{13, 0, SLAB + 1},
                            {4096, SLAB + 1 + 8192, 4095},
                            {SLAB, 2 * SLAB - 8192, 2 * SLAB + 100},
                            {100, 4 * SLAB, SLAB}};
    copy(ranges, RLS_TEST_COUNT(ranges));
}

/* The old file is shorter than it should be. */
static void test_short(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    char dir[RLS_TEST_PATH_MAX], old[RLS_TEST_PATH_MAX], new[RLS_TEST_PATH_MAX];
    rls_shared_file from = {.handle = MPI_FILE_NULL}, to = {.handle = MPI_FILE_NULL};
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    rls_test_tmpdir(dir);
    write_old(ctx, rls_test_path(old, dir, "old"));
    assert_all_ok(ctx, rls_shared_open(ctx, old, BYTES, &from));
    assert_all_ok(ctx, rls_shared_create(ctx, rls_test_path(new, dir, "new"), &to));
    assert_all_status(ctx, rls_shared_copy(&from, SLAB, &to, 0, BYTES, NULL), RLS_ERR_DATA);
    assert_all_message(ctx, "truncated?");
    rls_shared_abandon(&from);
    rls_shared_abandon(&to);
    rls_test_rmtree(dir);
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_in_place),
                                       cmocka_unit_test(test_moved), cmocka_unit_test(test_short)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "shared_copy");
}
