/* Digests of files: equal on any number of ranks, of files that grow too; whatever changes is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/digest.h"
#include "store/tree.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

enum { SLAB = RLS_DIGEST_SLAB, FILES = 6 };

/* Sizes about a slab's bounds. */
static const size_t SIZES[FILES] = {0, 1, SLAB - 1, SLAB, SLAB + 1, 3 * (size_t)SLAB + 7};
static char *contents[FILES];
static char path_of[FILES][RLS_TEST_PATH_MAX];
static const char *paths[FILES];

static void make_files(void)
{
    for (int f = 0; f < FILES; f++) {
        char name[32];
        rls_random random = rls_random_seed((uint64_t)f);
        contents[f] = malloc(SIZES[f] + 8);
        for (size_t i = 0; i < SIZES[f]; i += 8) {
            const uint64_t bits = rls_random_bits(&random);
            memcpy(contents[f] + i, &bits, 8);
        }
        (void)snprintf(name, sizeof name, "file-%d", f);
        paths[f] = in_scratch(name, path_of[f]);
        rls_test_write(paths[f], contents[f], SIZES[f]);
    }
}

static int setup(void **state)
{
    const int failed = scratch_setup(state);
    make_files();
    return failed;
}

static int teardown(void **state)
{
    for (int f = 0; f < FILES; f++)
        free(contents[f]);
    return scratch_teardown(state);
}

/* The digest is what it is said to be: a hash of each slab. */
static bool is_of(const rls_digest *digest, const char *data, size_t bytes)
{
    bool same = digest->bytes == (int64_t)bytes && digest->slabs == (int64_t)((bytes + SLAB - 1) / SLAB);
    for (int64_t s = 0; same && s < digest->slabs; s++) {
        const size_t at = (size_t)s * SLAB, length = bytes - at < SLAB ? bytes - at : SLAB;
        same = rls_hash_equal(digest->slab[s], rls_hash_bytes(data + at, length));
    }
    return same;
}

static void test_files(void **state)
{
    rls_context *ctx = *state;
    rls_digest *digests = NULL, *again = NULL;
    assert_all_ok(ctx, rls_digest_files(ctx, paths, FILES, &digests));
    for (int f = 0; f < FILES; f++)
        assert_all(is_of(&digests[f], contents[f], SIZES[f]));
    assert_all_ok(ctx, rls_digest_files(ctx, paths + 2, 3, &again));
    assert_all(rls_hash_equal(rls_digest_hash(digests + 2, 3), rls_digest_hash(again, 3)));
    assert_all(!rls_hash_equal(rls_digest_hash(digests + 2, 3), rls_digest_hash(again, 2)));
    assert_all(!rls_hash_equal(rls_digest_hash(digests, 3), rls_digest_hash(again, 3)));
    rls_digests_free(&again);
    rls_digests_free(&digests);
    assert_null(digests);
    rls_digests_free(&digests);
    assert_all_ok(ctx, rls_digest_files(ctx, NULL, 0, &digests)); /* of nothing */
    rls_digests_free(&digests);
}

/* A file that cannot be read does not hide the others. */
static void test_unreadable(void **state)
{
    rls_context *ctx = *state;
    char missing[RLS_TEST_PATH_MAX];
    const char *const some[4] = {paths[5], in_scratch("missing", missing), scratch_dir(), paths[4]};
    rls_digest *digests = NULL;
    assert_all_ok(ctx, rls_digest_files(ctx, some, 4, &digests));
    assert_all(is_of(&digests[0], contents[5], SIZES[5]));
    assert_all_int_equal(digests[1].bytes, -1);
    assert_all_int_equal(digests[2].bytes, -1);
    assert_all(is_of(&digests[3], contents[4], SIZES[4]));
    rls_digests_free(&digests);
}

static void assert_why(const rls_digest *digest, const json_t *expected, const char *part)
{
    char why[128];
    assert_all(!rls_digest_matches(digest, expected, why));
    if (strstr(why, part) == NULL)
        print_message("\"%s\" without \"%s\"\n", why, part);
    assert_all(strstr(why, part) != NULL);
}

static void test_json(void **state)
{
    rls_context *ctx = *state;
    rls_digest *digests = NULL;
    char why[128];
    assert_all_ok(ctx, rls_digest_files(ctx, paths, FILES, &digests));
    for (int f = 0; f < FILES; f++) {
        json_t *json = rls_digest_json(&digests[f], "name");
        char *text = json_dumps(json, 0);
        json_t *back = json_loads(text, 0, NULL);
        assert_all_string_equal(json_string_value(json_object_get(back, "file")), "name");
        for (int g = 0; g < FILES; g++)
            assert_all(rls_digest_matches(&digests[g], back, why) == (f == g));
        free(text);
        json_decref(back);
        json_decref(json);
    }
    json_t *json = rls_digest_json(&digests[5], "name");
    const rls_digest gone = {.bytes = -1};
    assert_why(&gone, json, "is missing or cannot be read");
    assert_why(&digests[4], json, "bytes, not");
    digests[5].slab[3].low ^= 1;
    assert_why(&digests[5], json, "is damaged: the checksum of bytes 25165824 to 25165830 differs");
    digests[5].slab[3].low ^= 1;
    assert_all(rls_digest_matches(&digests[5], json, why));
    json_object_set_new(json, "slab", json_integer(1 << 20));
    assert_why(&digests[5], json, "checksums of another kind");
    assert_why(&digests[5], NULL, "bytes, not");
    json_decref(json);
    rls_digests_free(&digests);
}

/* Taken while the file grows, in steps of any size, it is the digest of the whole. */
static void test_growing(void **state)
{
    rls_context *ctx = *state;
    for (int f = 0; f < FILES; f++)
        for (int64_t step = 1 << 20; step <= 64 << 20; step *= 4) {
            rls_digest_writer *writer = NULL;
            rls_digest *digest = NULL;
            assert_all_ok(ctx, rls_digest_begin(ctx, paths[f], &writer));
            for (int64_t ready = 0; ready <= (int64_t)SIZES[f]; ready += step)
                rls_digest_advance(writer, ready);
            assert_all_ok(ctx, rls_digest_end(&writer, &digest));
            assert_null(writer);
            assert_all(is_of(digest, contents[f], SIZES[f]));
            rls_digests_free(&digest);
        }
    /* The file need not be there at first; what was hashed is not looked at again. */
    char path[RLS_TEST_PATH_MAX];
    rls_digest_writer *writer = NULL;
    rls_digest *digest = NULL;
    assert_all_ok(ctx, rls_digest_begin(ctx, in_scratch("later", path), &writer));
    rls_digest_advance(writer, 0);
    rls_test_write(path, contents[5], SIZES[5]);
    rls_digest_advance(writer, 2 * (int64_t)SLAB);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, contents[5] + 8, SIZES[5]); /* what no writer does */
    assert_all_ok(ctx, rls_digest_end(&writer, &digest));
    assert_all(rls_hash_equal(digest->slab[1], rls_hash_bytes(contents[5] + SLAB, SLAB)));
    assert_all(rls_hash_equal(digest->slab[2], rls_hash_bytes(contents[5] + 2 * (size_t)SLAB + 8, SLAB)));
    rls_digests_free(&digest);
}

static void test_growing_fails(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    rls_digest_writer *writer = NULL;
    rls_digest *digest = NULL;
    assert_all_ok(ctx, rls_digest_begin(ctx, in_scratch("never", path), &writer));
    rls_digest_advance(writer, 5 * (int64_t)SLAB);
    assert_all_status(ctx, rls_digest_end(&writer, &digest), RLS_ERR_IO);
    assert_all_message(ctx, "never: cannot be read again");
    assert_null(digest);
    assert_null(writer);
    assert_all_ok(ctx, rls_digest_begin(ctx, paths[4], &writer)); /* shorter than was said */
    rls_digest_advance(writer, 5 * (int64_t)SLAB);
    assert_all_status(ctx, rls_digest_end(&writer, &digest), RLS_ERR_IO);
    rls_digest_abandon(&writer);
    assert_all_ok(ctx, rls_digest_begin(ctx, paths[4], &writer));
    rls_digest_abandon(&writer);
    assert_null(writer);
}

/* All files below a directory, in the order of their names; links and directories are none. */
static void test_tree(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    json_t *files = NULL, *problems = json_array();
    MPI_Barrier(MPI_COMM_WORLD);
    (void)mkdir(in_scratch("sub", path), 0777);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(in_scratch("sub/x", path), "abc", 3);
    assert_all_ok(ctx, rls_tree_digests(ctx, scratch_dir(), &files));
    assert_all_int_equal(json_array_size(files), FILES + 1);
    assert_all_string_equal(json_string_value(json_object_get(json_array_get(files, FILES), "file")),
                            "sub/x");
    json_t *mine = ctx->rank == 0 ? files : NULL, *found = ctx->rank == 0 ? problems : NULL;
    assert_all_ok(ctx, rls_tree_examine(ctx, scratch_dir(), mine, found));
    assert_all_int_equal(json_array_size(problems), 0);
    rls_test_write(path, "abd", 3);
    rls_test_write(paths[2], contents[2], SIZES[2] - 1);
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(remove(paths[3]), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_ok(ctx, rls_tree_examine(ctx, scratch_dir(), mine, found));
    assert_all_int_equal(json_array_size(problems), ctx->rank == 0 ? 3 : 0);
    json_decref(problems);
    json_decref(files);
    assert_all_status(ctx, rls_tree_digests(ctx, in_scratch("nowhere", path), &files), RLS_ERR_IO);
    assert_null(files);
}

#define with_files(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {with_files(test_files),         with_files(test_unreadable),
                                       with_files(test_json),          with_files(test_growing),
                                       with_files(test_growing_fails), with_files(test_tree)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "digest");
}
