/* ctest: NP 1 */
/* Activations, forwards and backwards, against their definitions in float64. */
#include <string.h>

#include "llm/arrays.h"
#include "llm/exponential.h"
#include "llm/ops.h"

static const int64_t INNER = 333, TOKENS = 7;
static const rls_activation ALL[] = {RLS_ACT_SILU, RLS_ACT_GELU, RLS_ACT_GELU_TANH};

static double act(rls_activation which, double x)
{
    switch (which) {
    case RLS_ACT_SILU:
        return x / (1.0 + exp(-x));
    case RLS_ACT_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case RLS_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    }
    return 0.0;
}

static double slope(rls_activation which, double x)
{
    const double c = sqrt(2.0 / 3.14159265358979323846), s = 1.0 / (1.0 + exp(-x));
    const double t = tanh(c * (x + 0.044715 * x * x * x));
    switch (which) {
    case RLS_ACT_SILU:
        return s * (1.0 + x * (1.0 - s));
    case RLS_ACT_GELU:
        return 0.5 * (1.0 + erf(x / sqrt(2.0))) + x * exp(-x * x / 2.0) * c / 2.0;
    case RLS_ACT_GELU_TANH:
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x);
    }
    return 0.0;
}

/* Numbers of every size, zero and both ends among them. */
static float *inputs(uint64_t seed, int64_t n)
{
    float *x = random_floats(seed, n, 3.0);
    for (int64_t i = 0; i < n; i += 5)
        x[i] *= (float)ldexp(1.0, (int)(i % 11) - 7);
    x[0] = 0.0F;
    x[1] = 100.0F;
    x[2] = -100.0F;
    x[3] = -1e30F;
    return x;
}

static void check(rls_activation which, bool gated)
{
    const int64_t n = INNER * TOKENS, parts = gated ? 2 : 1;
    float *x = inputs(1, n * parts), *dy = random_floats(2, n, 1.0);
    float *y = random_floats(3, n, 1.0), *dx = random_floats(4, n * parts, 1.0);
    rls_activate(which, gated, INNER, TOKENS, x, y);
    rls_activate_back(which, gated, INNER, TOKENS, x, dy, dx);
    double worst = 0.0, worst_back = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i / INNER * INNER * parts + i % INNER;
        const double g = (double)x[at], up = gated ? (double)x[at + INNER] : 1.0, d = (double)dy[i];
        const double scale = fmin(fabs(g), 1e20) * fabs(up) + 1e-30, dscale = fabs(up * d) + 1e-30;
        worst = fmax(worst, fabs((double)y[i] - act(which, g) * up) / scale);
        worst_back = fmax(worst_back, fabs((double)dx[at] - slope(which, g) * up * d) / dscale);
        if (gated)
            worst_back =
                fmax(worst_back, fabs((double)dx[at + INNER] - act(which, g) * d) / (fabs(g * d) + 1e-30));
    }
    assert_all_le(worst, 6.0 * 0x1p-24);
    assert_all_le(worst_back, 40.0 * 0x1p-24); /* tanh GELU: errors of 2u count up to 5 times */
    rls_activate_back(which, gated, INNER, TOKENS, x, dy, x); /* in place: the same numbers */
    assert_all(memcmp(x, dx, (size_t)(n * parts) * sizeof *x) == 0);
    free(x);
    free(dy);
    free(y);
    free(dx);
}

static void test_against_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < RLS_TEST_COUNT(ALL); i++) {
        check(ALL[i], false);
        check(ALL[i], true);
    }
}

/* The slopes are those of the definitions, by central differences. */
static void test_slopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < RLS_TEST_COUNT(ALL); i++)
        for (int k = -60; k <= 60; k++) {
            const float x = (float)k / 7.0F, one = 1.0F;
            float dx = 0.0F;
            rls_activate_back(ALL[i], false, 1, 1, &x, &one, &dx);
            const double h = 1e-5;
            const double difference = (act(ALL[i], (double)x + h) - act(ALL[i], (double)x - h)) / (2.0 * h);
            assert_all_le(fabs((double)dx - difference), 2e-6);
        }
}

static void test_exponential(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int64_t i = -870000; i <= 870000; i++) {
        const float x = (float)i * 1e-4F;
        const double exact = exp((double)x);
        worst = fmax(worst, fabs((double)rls_exp32(x) - exact) / exact);
    }
    assert_all_le(worst, 2.0 * 0x1p-23);
    assert_all(rls_exp32(0.0F) == 1.0F && isnan(rls_exp32(NAN)));
    assert_all_le((double)rls_exp32(-INFINITY), 1e-37);
    assert_all(isfinite(rls_exp32(INFINITY)) && rls_exp32(INFINITY) > 1e37F);
}

/* NaN stays where it is. */
static void test_nan(void **state)
{
    (void)state;
    for (size_t i = 0; i < RLS_TEST_COUNT(ALL); i++) {
        const float x[3] = {1.0F, NAN, 2.0F};
        float y[3];
        rls_activate(ALL[i], false, 3, 1, x, y);
        assert_all(isfinite(y[0]) && isnan(y[1]) && isfinite(y[2]));
        rls_activate(ALL[i], true, 3, 0, x, y); /* no tokens */
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_definition),
                                       cmocka_unit_test(test_slopes), cmocka_unit_test(test_exponential),
                                       cmocka_unit_test(test_nan)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "activation");
}
