/* ctest: NP 1 */
/* Checksums: XXH3's 128 bits, as text and of many parts. */
#include "base/hash.h"

#include <string.h>

#include "support/collective.h"

/* The library's own command line, xxhsum -H2, gives these. */
static void test_known(void **state)
{
    (void)state;
    char text[RLS_HASH_TEXT];
    assert_string_equal(rls_hash_text(rls_hash_bytes("", 0), text), "99aa06d3014798d86001c324468d497f");
    assert_string_equal(rls_hash_text(rls_hash_bytes("a", 1), text), "a96faf705af16834e6c632b61e964e1f");
    assert_string_equal(rls_hash_text(rls_hash_bytes("abc", 3), text), "06b05ab6733a618578af5f94892f3950");
}

static void test_text(void **state)
{
    (void)state;
    rls_random random = rls_random_seed(1);
    char text[RLS_HASH_TEXT];
    for (int i = 0; i < 1000; i++) {
        const rls_hash hash = {rls_random_bits(&random) >> i % 64, rls_random_bits(&random) >> i / 16 % 64};
        rls_hash back = {0, 0};
        assert_int_equal(strlen(rls_hash_text(hash, text)), 32);
        assert_true(rls_hash_parse(text, &back));
        assert_true(rls_hash_equal(hash, back));
    }
    static const char *const BAD[] = {"",
                                      "0",
                                      "0123456789abcdef0123456789abcde",
                                      "0123456789abcdef0123456789abcdef0",
                                      "0123456789ABCDEF0123456789abcdef",
                                      "0123456789abcdeg0123456789abcdef",
                                      "0x23456789abcdef0123456789abcdef",
                                      " 123456789abcdef0123456789abcdef",
                                      "-123456789abcdef0123456789abcdef"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        rls_hash hash = {7, 8};
        assert_false(rls_hash_parse(BAD[i], &hash));
        assert_true(rls_hash_equal(hash, (rls_hash){7, 8})); /* left as it was */
    }
    rls_hash hash;
    assert_false(rls_hash_parse(NULL, &hash));
}

/* Every bit counts, of the data and in the comparison. */
static void test_bits(void **state)
{
    (void)state;
    char data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 37);
    const rls_hash hash = rls_hash_bytes(data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        assert_false(rls_hash_equal(rls_hash_bytes(data, sizeof data), hash));
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(rls_hash_equal(rls_hash_bytes(data, sizeof data), hash));
    assert_false(rls_hash_equal(rls_hash_bytes(data, sizeof data - 1), hash));
    for (int bit = 0; bit < 64; bit++) {
        assert_false(rls_hash_equal(hash, (rls_hash){hash.high ^ (uint64_t)1 << bit, hash.low}));
        assert_false(rls_hash_equal(hash, (rls_hash){hash.high, hash.low ^ (uint64_t)1 << bit}));
    }
}

static void test_combine(void **state)
{
    (void)state;
    rls_hash parts[3] = {{1, 2}, {3, 4}, {5, 6}};
    const rls_hash all = rls_hash_combine(parts, 3), two = rls_hash_combine(parts, 2);
    assert_false(rls_hash_equal(all, two));
    const rls_hash swapped[3] = {{3, 4}, {1, 2}, {5, 6}};
    assert_false(rls_hash_equal(all, rls_hash_combine(swapped, 3)));
    parts[2].low ^= 1;
    assert_false(rls_hash_equal(all, rls_hash_combine(parts, 3)));
    assert_true(rls_hash_equal(two, rls_hash_combine(parts, 2)));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_bits), cmocka_unit_test(test_combine)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "hash");
}
