/* ctest: NP 1 */
/* Norms, forwards and backwards, against their definitions in float64. */
#include <string.h>

#include "llm/arrays.h"
#include "llm/ops.h"

enum { TOKENS = 3 };
static const int64_t WIDTHS[] = {1, 2, 15, 16, 17, 64, 1000};
static const double EPS = 1e-5;

/* y of one token. bias NULL: RMSNorm. */
static void reference(int64_t d, const float *gain, const float *bias, const double *x, double *y)
{
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < d && bias != NULL; i++)
        mean += x[i] / (double)d;
    for (int64_t i = 0; i < d; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)d;
    for (int64_t i = 0; i < d; i++)
        y[i] = (double)gain[i] * (x[i] - mean) / sqrt(square + EPS) + (bias != NULL ? (double)bias[i] : 0.0);
}

/* sum dy . y(x + step * direction) of one token, direction along axis i. */
static double loss(int64_t d, const float *gain, const float *bias, const float *x, const float *dy,
                   int64_t axis, double step)
{
    double *moved = widened(d, x), *y = zero_doubles(d), sum = 0.0;
    moved[axis] += step;
    reference(d, gain, bias, moved, y);
    for (int64_t i = 0; i < d; i++)
        sum += (double)dy[i] * y[i];
    free(moved);
    free(y);
    return sum;
}

/* The float64 gradient from the definition: J^T dy with J_ij = g_i r ([i = j] - c - z_i z_j / d), c = 1 / d
 * for LayerNorm. */
static void reference_back(int64_t d, const float *gain, const float *bias, const float *x, const float *dy,
                           double *dx)
{
    double *wide = widened(d, x), *y = zero_doubles(d), mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < d && bias != NULL; i++)
        mean += wide[i] / (double)d;
    for (int64_t i = 0; i < d; i++)
        square += (wide[i] - mean) * (wide[i] - mean) / (double)d;
    const double r = 1.0 / sqrt(square + EPS);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            const double zi = (wide[i] - mean) * r, zj = (wide[j] - mean) * r;
            const double slope =
                (i == j ? 1.0 : 0.0) - (bias != NULL ? 1.0 / (double)d : 0.0) - zi * zj / (double)d;
            dx[j] += (double)dy[i] * (double)gain[i] * r * slope;
        }
    free(wide);
    free(y);
}

static void check(int64_t d, bool layer)
{
    const int64_t n = d * TOKENS;
    float *gain = random_floats(1, d, 1.0), *bias = random_floats(2, d, 1.0), *x = random_floats(3, n, 2.0);
    float *dy = random_floats(4, n, 1.0), *y = random_floats(5, n, 1.0), *dx = random_floats(6, n, 1.0);
    const float *shift = layer ? bias : NULL;
    double *wide = widened(n, x), *y64 = zero_doubles(n), *dx64 = widened(n, dx);
    for (int64_t t = 0; t < TOKENS; t++) {
        for (int64_t i = 0; i < d && layer; i++) { /* far from 0: no cancellation may show */
            x[t * d + i] += 50.0F;
            wide[t * d + i] = (double)x[t * d + i];
        }
        reference(d, gain, shift, wide + t * d, y64 + t * d);
        reference_back(d, gain, shift, x + t * d, dy + t * d, dx64 + t * d);
    }
    if (layer)
        rls_layer_norm_back(d, TOKENS, EPS, gain, x, dy, dx);
    else
        rls_rms_norm_back(d, TOKENS, EPS, gain, x, dy, dx);
    if (layer)
        rls_layer_norm(d, TOKENS, EPS, gain, bias, x, y);
    else
        rls_rms_norm(d, TOKENS, EPS, gain, x, y);
    const double bound = (layer ? 400.0 : 8.0) * 0x1p-24; /* rounding of x - mean: |mean| / deviation ulps */
    if (d > 2 || !layer) {                                /* of one or two nearly equal numbers is noise */
        assert_all_le(relative_difference(n, y, y64), bound);
        assert_all_le(relative_difference(n, dx, dx64), 4.0 * bound);
    }
    if (!layer) {
        rls_rms_norm(d, TOKENS, EPS, gain, x, x); /* in place: the same numbers */
        assert_all(memcmp(x, y, (size_t)n * sizeof *x) == 0);
    } else {
        rls_layer_norm(d, TOKENS, EPS, gain, bias, x, x);
        assert_all(memcmp(x, y, (size_t)n * sizeof *x) == 0);
    }
    float *arrays[] = {gain, bias, x, dy, y, dx};
    for (size_t i = 0; i < RLS_TEST_COUNT(arrays); i++)
        free(arrays[i]);
    free(wide);
    free(y64);
    free(dx64);
}

static void test_against_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < RLS_TEST_COUNT(WIDTHS); i++) {
        check(WIDTHS[i], false);
        check(WIDTHS[i], true);
    }
}

/* The gradient is the slope of the float64 definition. */
static void test_slopes(void **state)
{
    (void)state;
    const int64_t d = 40;
    float *gain = random_floats(1, d, 1.0), *bias = random_floats(2, d, 1.0), *x = random_floats(3, d, 1.0);
    float *dy = random_floats(4, d, 1.0);
    for (int layer = 0; layer < 2; layer++) {
        const float *shift = layer != 0 ? bias : NULL;
        float dx[40] = {0.0F};
        if (layer != 0)
            rls_layer_norm_back(d, 1, EPS, gain, x, dy, dx);
        else
            rls_rms_norm_back(d, 1, EPS, gain, x, dy, dx);
        for (int64_t i = 0; i < d; i++) {
            const double slope =
                (loss(d, gain, shift, x, dy, i, 1e-5) - loss(d, gain, shift, x, dy, i, -1e-5)) / 2e-5;
            assert_all_le(fabs((double)dx[i] - slope), 1e-5);
        }
    }
    free(gain);
    free(bias);
    free(x);
    free(dy);
}

/* Zeros give zeros or the bias, and NaN stays in its token. */
static void test_special(void **state)
{
    (void)state;
    const float gain[4] = {1.0F, 2.0F, 3.0F, 4.0F}, bias[4] = {5.0F, 6.0F, 7.0F, 8.0F};
    float x[8] = {0.0F, 0.0F, 0.0F, 0.0F, 1.0F, NAN, 2.0F, 3.0F}, y[8];
    rls_rms_norm(4, 2, EPS, gain, x, y);
    assert_all(y[0] == 0.0F && y[3] == 0.0F && isnan(y[4]) && isnan(y[7]));
    rls_layer_norm(4, 2, EPS, gain, bias, x, y);
    assert_all(y[0] == 5.0F && y[3] == 8.0F && isnan(y[4]));
    rls_rms_norm(4, 0, EPS, gain, x, y); /* no tokens */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_definition),
                                       cmocka_unit_test(test_slopes), cmocka_unit_test(test_special)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "norm");
}
