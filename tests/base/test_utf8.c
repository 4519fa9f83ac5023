/* ctest: NP 1 */
/* UTF-8: every string of up to three bytes, and every character, against the definition. */
#include <string.h>

#include "base/utf8.h"
#include "support/collective.h"

/* The definition: the shortest form of a code point that is no surrogate. Returns its bytes. */
static int encode(uint32_t point, char out[4])
{
    const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    const int length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(lead[length] | point);
    return length;
}

static void test_every_character(void **state)
{
    (void)state;
    int64_t wrong = 0;
    for (uint32_t point = 0; point < 0x110000; point++) {
        char text[5] = "", cut[4];
        const bool surrogate = point >= 0xd800 && point < 0xe000;
        const int length = encode(point, text);
        wrong += rls_utf8_length(text, 5) != (surrogate ? 0 : length);
        for (int bytes = 1; bytes < length; bytes++) {
            memcpy(cut, text, (size_t)bytes);
            wrong += rls_utf8_length(cut, bytes) != 0;
        }
    }
    assert_all_int_equal(wrong, 0);
}

/* Strings of three bytes: each that is UTF-8 is characters of the definition one after another. */
static void test_every_string_of_three(void **state)
{
    (void)state;
    static bool three[1 << 24]; /* those that are one character */
    int64_t wrong = 0;
    for (uint32_t point = 0x800; point < 0x10000; point++) {
        char text[4];
        (void)encode(point, text);
        if (point < 0xd800 || point >= 0xe000)
            three[(uint32_t)(unsigned char)text[0] << 16 | (uint32_t)(unsigned char)text[1] << 8 |
                  (unsigned char)text[2]] = true;
    }
    for (uint32_t word = 0; word < 1 << 24; word++) {
        const unsigned char b[3] = {(unsigned char)(word >> 16), (unsigned char)(word >> 8),
                                    (unsigned char)word};
        const bool two01 = b[0] >= 0xc2 && b[0] < 0xe0 && (b[1] >> 6) == 2;
        const bool two12 = b[1] >= 0xc2 && b[1] < 0xe0 && (b[2] >> 6) == 2;
        int64_t fault = -1;
        if (b[0] < 0x80 && b[1] < 0x80)
            fault = b[2] < 0x80 ? -1 : 2;
        else if (b[0] < 0x80)
            fault = two12 ? -1 : 1;
        else if (two01)
            fault = b[2] < 0x80 ? -1 : 2;
        else if (!three[word])
            fault = 0;
        wrong += rls_utf8_fault((const char *)b, 3) != fault;
    }
    assert_all_int_equal(wrong, 0);
}

static void test_offsets(void **state)
{
    (void)state;
    char text[64];
    for (int i = 0; i < 64; i++) {
        memset(text, 'a', sizeof text);
        text[i] = (char)0xff;
        assert_all_int_equal(rls_utf8_fault(text, 64), i);
        assert_all_int_equal(rls_utf8_fault(text, i), -1);
    }
    assert_all_int_equal(rls_utf8_fault("abcdefg\xe2\x82\xac", 10), -1);
    assert_all_int_equal(rls_utf8_fault("abcdefg\xe2\x82\xac", 9), 7);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_string_of_three),
        cmocka_unit_test(test_offsets),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "utf8");
}
