/* ctest: NP 1 */
/* Rotary positions: the table against float64 and against values of transformers 5, rotations against their
 * definition. */
#include <string.h>

#include "llm/arrays.h"
#include "llm/ops.h"

static const rls_architecture PLAIN = {
    .head_dim = 64, .rotary_dim = 64, .context = 4096, .rope_theta = 10000.0};
static const rls_architecture LINEAR = {.head_dim = 64,
                                        .rotary_dim = 64,
                                        .context = 4096,
                                        .rope_theta = 10000.0,
                                        .rope_scaling = RLS_ROPE_LINEAR,
                                        .rope_factor = 4.0};
static const rls_architecture LLAMA3 = {.head_dim = 128,
                                        .rotary_dim = 128,
                                        .context = 8192,
                                        .rope_theta = 500000.0,
                                        .rope_scaling = RLS_ROPE_LLAMA3,
                                        .rope_factor = 8.0,
                                        .rope_low_freq = 1.0,
                                        .rope_high_freq = 4.0,
                                        .rope_original_context = 8192.0};

static float *table_of(const rls_architecture *arch)
{
    rls_context *ctx = NULL;
    float *table = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    assert_all_ok(ctx, rls_rotary_table(ctx, arch, &table));
    rls_context_destroy(&ctx);
    return table;
}

static double frequency(const rls_architecture *arch, int64_t i)
{
    const double f = pow(arch->rope_theta, -2.0 * (double)i / (double)arch->rotary_dim);
    if (arch->rope_scaling == RLS_ROPE_LINEAR)
        return f / arch->rope_factor;
    if (arch->rope_scaling == RLS_ROPE_PLAIN)
        return f;
    const double turns = arch->rope_original_context * f / (2.0 * 3.14159265358979323846);
    const double smooth =
        fmin(fmax((turns - arch->rope_low_freq) / (arch->rope_high_freq - arch->rope_low_freq), 0.0), 1.0);
    return f * (smooth + (1.0 - smooth) / arch->rope_factor);
}

/* cos and sin of angles that carry a few roundings of float32. */
static void check_table(const rls_architecture *arch)
{
    const int64_t pairs = arch->rotary_dim / 2;
    float *table = table_of(arch);
    double worst = 0.0;
    for (int64_t position = 0; position < arch->context; position++)
        for (int64_t i = 0; i < pairs; i++) {
            const double angle = (double)position * frequency(arch, i),
                         slack = 0x1p-24 * (1.0 + 12.0 * angle);
            const float *entry = table + (position * pairs + i) * 2;
            worst = fmax(worst, fabs((double)entry[0] - cos(angle)) / slack);
            worst = fmax(worst, fabs((double)entry[1] - sin(angle)) / slack);
        }
    assert_all_le(worst, 1.0);
    free(table);
}

static void test_table(void **state)
{
    (void)state;
    check_table(&PLAIN);
    check_table(&LINEAR);
    check_table(&LLAMA3);
    const rls_architecture none = {.head_dim = 64, .context = 100};
    assert_all(table_of(&none) == NULL);
}

/* At far positions only the reference models' own roundings give their numbers. */
static void test_reference_models(void **state)
{
    (void)state;
    static const struct {
        const rls_architecture *arch;
        int64_t position, pair;
        double cos, sin;
    } known[] = {
        {&PLAIN, 1, 5, 0.9720144271850586, 0.23492106795310974},
        {&PLAIN, 4095, 5, -0.9475278258323669, -0.3196733295917511},
        {&PLAIN, 4095, 20, 0.9274889826774597, 0.3738505244255066},
        {&LINEAR, 4095, 5, -0.6473115086555481, -0.7622255682945251},
        {&LINEAR, 4095, 17, 0.17601780593395233, 0.9843869805335999},
        {&LLAMA3, 777, 29, -0.11239112913608551, 0.993664026260376},
        {&LLAMA3, 8191, 5, -0.5650983452796936, -0.8250235319137573},
        {&LLAMA3, 8191, 29, 0.4507633149623871, -0.8926435112953186},
        {&LLAMA3, 8191, 31, 0.7421888709068298, 0.6701907515525818},
        {&LLAMA3, 8191, 33, -0.8362877368927002, 0.5482907891273499},
        {&LLAMA3, 8191, 63, 0.9999968409538269, 0.0025137546472251415},
    };
    for (size_t i = 0; i < RLS_TEST_COUNT(known); i++) {
        float *table = table_of(known[i].arch);
        const float *entry =
            table + (known[i].position * (known[i].arch->rotary_dim / 2) + known[i].pair) * 2;
        assert_all_le(fabs((double)entry[0] - known[i].cos), 0x1p-23);
        assert_all_le(fabs((double)entry[1] - known[i].sin), 0x1p-23);
        free(table);
    }
}

enum { TOKENS = 5 };
static const int64_t HEADS = 3, LD = 70;

/* A part of each head turns, neighbours or halves paired; back undoes it; nothing else changes. */
static void check_rotation(int64_t rotary, bool interleaved)
{
    const rls_architecture arch = {.head_dim = 20,
                                   .rotary_dim = rotary,
                                   .rotary_interleaved = interleaved,
                                   .context = 50,
                                   .rope_theta = 100.0};
    const int32_t position[TOKENS] = {0, 49, 7, 7, 1};
    float *table = table_of(&arch), *x = random_floats(1, TOKENS * LD, 1.0);
    float *y = random_floats(1, TOKENS * LD, 1.0);
    double worst = 0.0;
    rls_rotate(&arch, table, HEADS, TOKENS, position, false, y, LD);
    for (int64_t t = 0; t < TOKENS; t++)
        for (int64_t r = 0; r < LD; r++) {
            const int64_t h = r / 20, d = r % 20, half = rotary / 2;
            double expected = (double)x[t * LD + r];
            if (h < HEADS && d < rotary) {
                const int64_t pair = interleaved ? d / 2 : d % half;
                const bool second = interleaved ? d % 2 == 1 : d >= half;
                const int64_t other = interleaved ? (second ? r - 1 : r + 1) : (second ? r - half : r + half);
                const double angle = (double)position[t] * frequency(&arch, pair);
                expected =
                    expected * cos(angle) + (second ? 1.0 : -1.0) * (double)x[t * LD + other] * sin(angle);
                worst = fmax(worst, fabs((double)y[t * LD + r] - expected));
            } else {
                assert_all(y[t * LD + r] == x[t * LD + r]);
            }
        }
    assert_all_le(worst, 4e-5); /* angles up to 49 in float32, numbers up to 4 */
    rls_rotate(&arch, table, HEADS, TOKENS, position, true, y, LD);
    worst = 0.0;
    for (int64_t i = 0; i < TOKENS * LD; i++)
        worst = fmax(worst, fabs((double)y[i] - (double)x[i]));
    assert_all_le(worst, 2e-6);
    free(table);
    free(x);
    free(y);
}

static void test_rotation(void **state)
{
    (void)state;
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        check_rotation(20, interleaved != 0);
        check_rotation(8, interleaved != 0);
        check_rotation(2, interleaved != 0);
        check_rotation(0, interleaved != 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_reference_models),
                                       cmocka_unit_test(test_rotation)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "rotary");
}
