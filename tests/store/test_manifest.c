/* ctest: NP 1 */
/* Manifests and sealed lines: what was written is read; one bit that differs, anywhere, and it is not. */
#include "store/manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/problem.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

/* Numbers of all kinds, with exponents of both signs; texts with all that has to be escaped. */
static json_t *some(void)
{
    json_t *object =
        json_pack("{s:s, s:I, s:[f, f, f, f, f], s:s, s:n, s:b, s:{s:[], s:{}}}", "format", "test-thing",
                  "whole", (json_int_t)-9007199254740993, "real", 0.1, 1e300, -5e-324, 1.0, 123456789.25,
                  "text", "a\"b\\c\n\x01\xc3\xa9/", "null", "true", 1, "deep", "empty", "none");
    assert_non_null(object);
    return object;
}

static void test_round_trip(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    json_t *back = NULL, *expected = some();
    assert_all_ok(ctx, rls_manifest_write(ctx, in_scratch("m.json", path), some()));
    assert_all_ok(ctx, rls_manifest_read(ctx, path, "test-thing", &back));
    assert_true(rls_manifest_sealed(back));
    assert_int_equal(strlen(json_string_value(json_object_get(back, "checksum"))), 32);
    (void)json_object_del(back, "checksum");
    assert_true(json_equal(back, expected));
    json_decref(back);
    json_decref(expected);
    /* Written again, over the old one and over what a dead run left. */
    char partial[RLS_TEST_PATH_MAX];
    rls_test_write(in_scratch("m.json.partial", partial), "half", 4);
    assert_all_ok(ctx, rls_manifest_write(ctx, path, json_pack("{s:s}", "format", "other")));
    assert_false(rls_test_exists(partial));
    assert_all_status(ctx, rls_manifest_read(ctx, path, "test-thing", &back), RLS_ERR_DATA);
    assert_all_message(ctx, "is no test-thing but other");
    assert_null(back);
    assert_all_ok(ctx, rls_manifest_read(ctx, path, "other", &back));
    json_decref(back);
}

static void test_every_bit(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    size_t bytes = 0;
    json_t *back = NULL;
    assert_all_ok(ctx, rls_manifest_write(ctx, in_scratch("m.json", path), some()));
    char *good = rls_test_read(path, &bytes), *bad = malloc(bytes + 1);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        memcpy(bad, good, bytes);
        bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
        rls_test_write(path, bad, bytes);
        const rls_status status = rls_manifest_read(ctx, path, "test-thing", &back);
        if (status != RLS_ERR_DATA)
            print_message("bit %zu of byte %zu, '%c'\n", bit % 8, bit / 8, good[bit / 8]);
        assert_int_equal(status, RLS_ERR_DATA);
        assert_non_null(strstr(rls_context_message(ctx), path));
        rls_clear_failure(ctx);
    }
    for (size_t left = 0; left < bytes; left++) {
        rls_test_write(path, good, left);
        assert_int_equal(rls_manifest_read(ctx, path, "test-thing", &back), RLS_ERR_DATA);
        rls_clear_failure(ctx);
    }
    memcpy(bad, good, bytes);
    bad[bytes] = '\n'; /* even a newline more */
    rls_test_write(path, bad, bytes + 1);
    assert_int_equal(rls_manifest_read(ctx, path, "test-thing", &back), RLS_ERR_DATA);
    rls_clear_failure(ctx);
    free(good);
    free(bad);
}

/* The same for a line of a log. */
static void test_lines(void **state)
{
    (void)state;
    json_t *object = some();
    char *line = rls_manifest_to_line(object);
    assert_non_null(line);
    assert_null(strchr(line, '\n'));
    const size_t bytes = strlen(line);
    json_t *back = rls_manifest_from_line(line, bytes);
    assert_non_null(back);
    assert_true(json_equal(back, object));
    json_decref(back);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        line[bit / 8] = (char)(line[bit / 8] ^ 1 << bit % 8);
        assert_null(rls_manifest_from_line(line, bytes));
        line[bit / 8] = (char)(line[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t left = 0; left < bytes; left++)
        assert_null(rls_manifest_from_line(line, left));
    free(line);
    json_decref(object);
    assert_null(rls_manifest_to_line(NULL));
    assert_null(rls_manifest_from_line("{}", 2)); /* without a seal */
    assert_null(rls_manifest_from_line("[]", 2));
}

static void test_seal(void **state)
{
    (void)state;
    json_t *object = some();
    assert_false(rls_manifest_sealed(object));
    assert_true(rls_manifest_seal(object));
    assert_true(rls_manifest_sealed(object));
    assert_true(rls_manifest_seal(object)); /* the seal is not part of what is sealed */
    assert_true(rls_manifest_sealed(object));
    json_object_set_new(object, "whole", json_integer(-9007199254740992));
    assert_false(rls_manifest_sealed(object));
    json_decref(object);
}

static void test_bad_places(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], below[RLS_TEST_PATH_MAX];
    json_t *back = NULL;
    assert_all_status(ctx, rls_manifest_read(ctx, in_scratch("nowhere.json", path), "test-thing", &back),
                      RLS_ERR_DATA);
    rls_clear_failure(ctx);
    assert_all_status(ctx, rls_manifest_read(ctx, scratch_dir(), "test-thing", &back), RLS_ERR_DATA);
    rls_clear_failure(ctx);
    assert_all_status(ctx, rls_manifest_write(ctx, in_scratch("no/where.json", below), some()), RLS_ERR_IO);
    assert_all_message(ctx, below);
    rls_clear_failure(ctx);
    assert_all_status(ctx, rls_manifest_write(ctx, path, NULL), RLS_ERR_MEMORY);
    rls_clear_failure(ctx);
    assert_false(rls_test_exists(path));
    /* What cannot be replaced stays as it was. */
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(mkdir(in_scratch("nowhere.json/x", below), 0777), 0);
    assert_all_status(ctx, rls_manifest_write(ctx, path, some()), RLS_ERR_IO);
    rls_clear_failure(ctx);
    assert_true(rls_test_exists(below));
}

static void test_problems(void **state)
{
    rls_context *ctx = *state;
    json_t *problems = json_array(), *more = json_array();
    char text[256];
    assert_string_equal(rls_problem_first(problems, text, sizeof text), "");
    rls_problem_add(problems, "a\xff/b", "has %d", 7);
    assert_string_equal(rls_problem_first(problems, text, sizeof text), "a?/b: has 7");
    (void)rls_fail(ctx, RLS_ERR_DATA, "x/y: is damaged");
    rls_problem_take(ctx, more, "x/y");
    (void)rls_fail(ctx, RLS_ERR_DATA, "x/y:12: unexpected");
    rls_problem_take(ctx, more, "x/y");
    (void)rls_fail(ctx, RLS_ERR_DATA, "something else");
    rls_problem_take(ctx, more, "x/y");
    assert_all_ok(ctx, rls_agree(ctx, RLS_OK));
    rls_problems_join(problems, more);
    rls_problems_join(problems, NULL);
    static const char *const TEXTS[] = {"has 7", "is damaged", "line 12: unexpected", "something else"};
    assert_int_equal(json_array_size(problems), 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(problems, i), "problem")),
                            TEXTS[i]);
    assert_string_equal(rls_problem_first(more, text, 8), "x/y: is");
    json_decref(problems);
    json_decref(more);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {scratch_test(test_round_trip), scratch_test(test_every_bit),
                                       scratch_test(test_lines),      scratch_test(test_seal),
                                       scratch_test(test_bad_places), scratch_test(test_problems)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "manifest");
}
