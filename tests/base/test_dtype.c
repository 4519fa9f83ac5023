/* ctest: NP 1 */
/* Conversion between element types, exhaustive over the 16-bit ones. */
#include "base/dtype.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/collective.h"

enum { PATTERNS = 65536 };

/* The 16-bit formats by their definition, independent of the implementation. */
typedef struct {
    rls_dtype dtype;
    int fraction_bits, bias;
} format;

static const format formats[] = {{RLS_F16, 10, 15}, {RLS_BF16, 7, 127}};

static int exponent_field(const format *f, uint16_t bits)
{
    return (bits & 0x7fff) >> f->fraction_bits;
}

static int fraction_field(const format *f, uint16_t bits)
{
    return bits & ((1 << f->fraction_bits) - 1);
}

static bool is_top(const format *f, uint16_t bits) /* Inf or NaN */
{
    return exponent_field(f, bits) == 2 * f->bias + 1;
}

static double value_of(const format *f, uint16_t bits)
{
    const int exponent = exponent_field(f, bits), fraction = fraction_field(f, bits);
    double value = 0.0;
    if (is_top(f, bits))
        value = fraction != 0 ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - f->bias - f->fraction_bits);
    else
        value = ldexp((double)fraction + ldexp(1.0, f->fraction_bits), exponent - f->bias - f->fraction_bits);
    return (bits & 0x8000) != 0 ? -value : value;
}

static uint16_t infinity_of(const format *f)
{
    return (uint16_t)((2 * f->bias + 1) << f->fraction_bits);
}

static uint16_t from_double(const format *f, double value)
{
    uint16_t bits = 0;
    rls_convert(f->dtype, &bits, 1, RLS_F64, &value, 1, 1);
    return bits;
}

static uint16_t from_float(const format *f, float value)
{
    uint16_t bits = 0;
    rls_convert(f->dtype, &bits, 1, RLS_F32, &value, 1, 1);
    return bits;
}

static void test_properties(void **state)
{
    (void)state;
    const struct {
        rls_dtype dtype;
        size_t size;
        const char *name;
        double eps;
    } expected[] = {{RLS_F64, 8, "float64", DBL_EPSILON},
                    {RLS_F32, 4, "float32", (double)FLT_EPSILON},
                    {RLS_F16, 2, "float16", 1.0 / 1024.0},
                    {RLS_BF16, 2, "bfloat16", 1.0 / 128.0}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rls_dtype_size(expected[i].dtype), expected[i].size);
        assert_string_equal(rls_dtype_name(expected[i].dtype), expected[i].name);
        assert_true(rls_dtype_eps(expected[i].dtype) == expected[i].eps);
    }
    for (int i = 0; i < 2; i++) { /* eps is the distance from 1 to the next number */
        const uint16_t one = from_double(&formats[i], 1.0);
        assert_true(value_of(&formats[i], (uint16_t)(one + 1)) - 1.0 == rls_dtype_eps(formats[i].dtype));
    }
}

/* Every pattern has the value its bits say, in float64 and float32, and comes back as itself; a NaN as a NaN
 * of its sign. */
static void test_every_pattern(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const format *f = &formats[i];
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            const uint16_t bits = (uint16_t)pattern;
            const double value = value_of(f, bits);
            double wide = 0.0;
            float narrow = 0.0F;
            rls_convert(RLS_F64, &wide, 1, f->dtype, &bits, 1, 1);
            rls_convert(RLS_F32, &narrow, 1, f->dtype, &bits, 1, 1);
            if (isnan(value)) {
                assert_true(isnan(wide) && isnan(narrow));
                const uint16_t back[2] = {from_double(f, wide), from_float(f, narrow)};
                for (int k = 0; k < 2; k++) {
                    assert_true(isnan(value_of(f, back[k])));
                    assert_int_equal(back[k] & 0x8000, bits & 0x8000);
                }
                continue;
            }
            assert_true(wide == value && (double)narrow == value);
            assert_true(!signbit(wide) == !signbit(value) && !signbit(narrow) == !signbit(value));
            assert_int_equal(from_double(f, wide), bits);
            assert_int_equal(from_float(f, narrow), bits);
        }
    }
}

static void check_both_signs(const format *f, double value, uint16_t expected)
{
    assert_int_equal(from_double(f, value), expected);
    assert_int_equal(from_double(f, -value), expected | 0x8000);
}

/* Between every two neighbours: the tie goes to the even one, and the float64 numbers beside the tie to the
 * nearer one. By way of float32 those would become ties first: two roundings are seen here. The last
 * neighbour is the infinity. */
static void test_every_tie(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const format *f = &formats[i];
        for (uint16_t low = 0; !is_top(f, low); low++) {
            const uint16_t high = (uint16_t)(low + 1), even = (low & 1) != 0 ? high : low;
            const double below = value_of(f, low);
            /* The distance to the number that would follow, also after the largest finite one. */
            const int exponent = exponent_field(f, low);
            const double step = ldexp(1.0, (exponent > 0 ? exponent : 1) - f->bias - f->fraction_bits);
            const double tie = below + step / 2.0;
            check_both_signs(f, tie, even);
            check_both_signs(f, nextafter(tie, 0.0), low);
            check_both_signs(f, nextafter(tie, (double)INFINITY), high);
            check_both_signs(f, below + step * 0.25, low);
            check_both_signs(f, below + step * 0.75, high);
            assert_int_equal(from_float(f, (float)tie), even); /* ties are float32 numbers too */
            assert_int_equal(from_float(f, nextafterf((float)tie, 0.0F)), low);
            assert_int_equal(from_float(f, nextafterf((float)tie, INFINITY)), high);
        }
    }
}

static void test_extremes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const format *f = &formats[i];
        const uint16_t infinity = infinity_of(f);
        check_both_signs(f, (double)INFINITY, infinity);
        check_both_signs(f, DBL_MAX, infinity);
        check_both_signs(f, 0.0, 0);
        check_both_signs(f, DBL_MIN, 0);
        check_both_signs(f, nextafter(0.0, 1.0), 0);
        check_both_signs(f, value_of(f, 1), 1);
        check_both_signs(f, value_of(f, (uint16_t)(infinity - 1)), (uint16_t)(infinity - 1));
        assert_true(isnan(value_of(f, from_double(f, (double)NAN))));
        /* A NaN whose payload lies below the 16-bit fraction must not become an infinity. */
        const uint64_t low_payload = UINT64_C(0x7ff0000000000001);
        double nan = 0.0;
        memcpy(&nan, &low_payload, sizeof nan);
        assert_true(isnan(value_of(f, from_double(f, nan))));
    }
    assert_int_equal(from_double(&formats[0], 65504.0), 0x7bff);
    assert_int_equal(from_double(&formats[0], 65520.0), 0x7c00);
    assert_int_equal(from_double(&formats[1], 1.0), 0x3f80);
}

/* Random float64 and float32 numbers of all sizes round to the nearest: no other number is nearer. */
static void test_random_numbers(void **state)
{
    (void)state;
    rls_random random = rls_random_seed(5);
    for (int k = 0; k < 400000; k++) {
        const format *f = &formats[k % 2];
        const int range = k % 2 == 0 ? 28 : 140;
        const double x = ldexp(1.0 + rls_random_uniform(&random),
                               (int)rls_random_below(&random, 2 * (int64_t)range) - range);
        const uint16_t bits = from_double(f, x);
        if (bits == infinity_of(f))
            continue; /* test_every_tie has the border */
        const double error = fabs(value_of(f, bits) - x);
        assert_true(is_top(f, (uint16_t)(bits + 1)) || error <= fabs(value_of(f, (uint16_t)(bits + 1)) - x));
        assert_true(bits == 0 || error <= fabs(value_of(f, (uint16_t)(bits - 1)) - x));
    }
}

static void test_float_double(void **state)
{
    (void)state;
    const double wide[] = {0.1,    -0.0,  1.0 + 0x1p-24, 1.0 + 0x1p-24 + 0x1p-40, 1e300,
                           -1e300, 1e-46, 1e-40,         (double)INFINITY};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        float narrow = 0.0F;
        double back = 0.0;
        rls_convert(RLS_F32, &narrow, 1, RLS_F64, &wide[i], 1, 1);
        const float expected = (float)wide[i];
        assert_memory_equal(&narrow, &expected, sizeof narrow);
        rls_convert(RLS_F64, &back, 1, RLS_F32, &narrow, 1, 1);
        assert_true(back == (double)expected);
    }
}

/* Equal types are copied bit by bit, NaN payloads included, strided or not. */
static void test_copies(void **state)
{
    (void)state;
    enum { COUNT = 9 };
    const rls_dtype all[] = {RLS_F64, RLS_F32, RLS_F16, RLS_BF16};
    for (int d = 0; d < 4; d++) {
        const size_t size = rls_dtype_size(all[d]);
        unsigned char from[COUNT * 2 * 8], to[COUNT * 3 * 8];
        rls_random random = rls_random_seed((uint64_t)d);
        for (size_t i = 0; i < sizeof from; i++)
            from[i] = (unsigned char)rls_random_bits(&random);
        if (all[d] == RLS_F16 ||
            all[d] == RLS_BF16) { /* signalling NaNs: floats may not be copied through registers */
            const uint16_t nan = (uint16_t)(infinity_of(&formats[all[d] == RLS_F16 ? 0 : 1]) | 1U);
            memcpy(from, &nan, sizeof nan);
        }
        memset(to, 0xab, sizeof to);
        rls_convert(all[d], to, 1, all[d], from, 1, COUNT);
        assert_memory_equal(to, from, COUNT * size);
        assert_int_equal(to[COUNT * size], 0xab);
        memset(to, 0xab, sizeof to);
        rls_convert(all[d], to, 3, all[d], from, 2, COUNT);
        for (size_t i = 0; i < COUNT; i++)
            assert_memory_equal(to + 3 * i * size, from + 2 * i * size, size);
    }
}

/* Every pair of types, strided: element i goes to element i, the gaps stay. */
static void test_strides(void **state)
{
    (void)state;
    enum { COUNT = 11, ROOM = 33 }; /* for strides up to 3 */
    const rls_dtype all[] = {RLS_F64, RLS_F32, RLS_F16, RLS_BF16};
    for (int d = 0; d < 4; d++)
        for (int s = 0; s < 4; s++)
            for (int64_t ds = 1; ds <= 3; ds++)
                for (int64_t ss = 1; ss <= 3; ss++) {
                    double plain[ROOM], back[ROOM];
                    unsigned char from[ROOM * 8], to[ROOM * 8];
                    for (int i = 0; i < ROOM; i++)
                        plain[i] = i - 16; /* exact in every type */
                    rls_convert(all[s], from, 1, RLS_F64, plain, 1, ROOM);
                    rls_convert(all[d], to, 1, RLS_F64, plain, 1, ROOM);
                    rls_convert(all[d], to, ds, all[s], from, ss, COUNT);
                    rls_convert(RLS_F64, back, 1, all[d], to, 1, ROOM);
                    for (int64_t i = 0; i < ROOM; i++)
                        assert_true(back[i] == plain[i % ds == 0 && i / ds < COUNT ? i / ds * ss : i]);
                }
    rls_convert(RLS_F32, NULL, 1, RLS_F64, NULL, 1, 0);
}

/* From one 16-bit type to the other is what the exact value rounds to. */
static void test_small_to_small(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            const uint16_t bits = (uint16_t)pattern;
            const double value = value_of(&formats[i], bits);
            uint16_t other = 0;
            rls_convert(formats[1 - i].dtype, &other, 1, formats[i].dtype, &bits, 1, 1);
            if (isnan(value))
                assert_true(isnan(value_of(&formats[1 - i], other)));
            else
                assert_int_equal(other, from_double(&formats[1 - i], value));
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),     cmocka_unit_test(test_every_pattern),
        cmocka_unit_test(test_every_tie),      cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_random_numbers), cmocka_unit_test(test_float_double),
        cmocka_unit_test(test_copies),         cmocka_unit_test(test_strides),
        cmocka_unit_test(test_small_to_small),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "dtype");
}
