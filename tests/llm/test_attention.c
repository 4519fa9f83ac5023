/* ctest: NP 1 */
/* Attention, forwards and backwards, against its definition in float64. */
#include <string.h>

#include "llm/arrays.h"
#include "llm/ops.h"

enum { SEQUENCES = 5, TOKENS = 1 + 2 + 65 + 300 + 128, WIDTH = 12 };
static const int64_t START[SEQUENCES + 1] = {0, 1, 3, 68, 368, TOKENS};

/* What a rank has of a model's heads. */
typedef struct {
    int64_t model_heads, model_kv, heads_first, heads, kv_first, kv_heads, window;
    bool scaled;
} shape;

static const shape SHAPES[] = {
    {4, 4, 0, 4, 0, 4, 0, true},   {4, 4, 1, 2, 1, 2, 0, false}, {8, 2, 3, 4, 0, 2, 0, true},
    {8, 2, 5, 1, 1, 1, 7, true},   {8, 2, 0, 3, 0, 2, 1, true}, /* a kv head that no query uses */
    {6, 1, 2, 3, 0, 1, 150, true}, {8, 2, 8, 0, 1, 1, 0, true}, /* no heads */
};

static rls_architecture arch_of(const shape *s)
{
    return (rls_architecture){.heads = s->model_heads,
                              .kv_heads = s->model_kv,
                              .head_dim = WIDTH,
                              .window = s->window,
                              .scale_attention = s->scaled};
}

static rls_attention attention_of(const shape *s, const rls_architecture *arch)
{
    return (rls_attention){.arch = arch,
                           .heads_first = s->heads_first,
                           .heads = s->heads,
                           .kv_first = s->kv_first,
                           .kv_heads = s->kv_heads,
                           .sequences = SEQUENCES,
                           .start = START};
}

static double dot(const double *x, const double *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < WIDTH; i++)
        sum += x[i] * y[i];
    return sum;
}

static int64_t kv_row(const shape *s, int64_t head)
{
    return ((s->heads_first + head) * s->model_kv / s->model_heads - s->kv_first) * WIDTH;
}

/* p over tokens `first` .. t of what token t's query head sees; returns the log of the sum. All arrays are
 * float64 with leading dimension ld. */
static double softmax(const shape *s, int64_t head, int64_t first, int64_t t, const double *q,
                      const double *k, int64_t ld, double *p)
{
    double top = -INFINITY, sum = 0.0;
    for (int64_t j = first; j <= t; j++) {
        p[j - first] = dot(q + t * ld + head * WIDTH, k + j * ld + kv_row(s, head)) /
                       (s->scaled ? sqrt((double)WIDTH) : 1.0);
        top = fmax(top, p[j - first]);
    }
    for (int64_t j = first; j <= t; j++)
        sum += exp(p[j - first] - top);
    for (int64_t j = first; j <= t; j++)
        p[j - first] = exp(p[j - first] - top) / sum;
    return top + log(sum);
}

static int64_t first_of(const shape *s, int64_t begin, int64_t t)
{
    return s->window > 0 && t - s->window + 1 > begin ? t - s->window + 1 : begin;
}

/* out and log_sum by the definition, and with dout the gradients. */
typedef struct {
    double *out, *log_sum, *dq, *dk, *dv;
} answer;

static void reference(const shape *s, const double *q, const double *k, const double *v, int64_t ld,
                      const double *dout, int64_t ldo, answer *a)
{
    double p[TOKENS], dp[TOKENS];
    for (int64_t n = 0; n < SEQUENCES; n++)
        for (int64_t t = START[n]; t < START[n + 1]; t++)
            for (int64_t h = 0; h < s->heads; h++) {
                const int64_t first = first_of(s, START[n], t), kv = kv_row(s, h);
                const double *d = dout + t * ldo + h * WIDTH;
                double mean = 0.0;
                a->log_sum[t * s->heads + h] = softmax(s, h, first, t, q, k, ld, p);
                for (int64_t j = first; j <= t; j++) {
                    dp[j - first] = dot(d, v + j * ld + kv);
                    mean += p[j - first] * dp[j - first];
                    for (int64_t i = 0; i < WIDTH; i++) {
                        a->out[t * ldo + h * WIDTH + i] += p[j - first] * v[j * ld + kv + i];
                        a->dv[j * ld + kv + i] += p[j - first] * d[i];
                    }
                }
                for (int64_t j = first; j <= t; j++) {
                    const double ds =
                        p[j - first] * (dp[j - first] - mean) / (s->scaled ? sqrt((double)WIDTH) : 1.0);
                    for (int64_t i = 0; i < WIDTH; i++) {
                        a->dq[t * ld + h * WIDTH + i] += ds * k[j * ld + kv + i];
                        a->dk[j * ld + kv + i] += ds * q[t * ld + h * WIDTH + i];
                    }
                }
            }
}

static answer answer_make(int64_t ld, int64_t ldo, int64_t heads)
{
    return (answer){zero_doubles(TOKENS * ldo), zero_doubles(TOKENS * heads), zero_doubles(TOKENS * ld),
                    zero_doubles(TOKENS * ld), zero_doubles(TOKENS * ld)};
}

static void answer_free(answer *a)
{
    free(a->out);
    free(a->log_sum);
    free(a->dq);
    free(a->dk);
    free(a->dv);
}

/* max |x - reference| / max |reference| over the first `rows` rows; the others must still hold -7. */
static double compare(int64_t rows, int64_t ld, const float *x, const double *expected)
{
    double worst = 0.0, scale = 1e-30;
    for (int64_t t = 0; t < TOKENS; t++)
        for (int64_t i = 0; i < ld; i++) {
            const double e = i < rows ? expected[t * ld + i] : -7.0;
            const double difference = fabs((double)x[t * ld + i] - e);
            worst = isfinite(difference) && (i < rows || difference == 0.0) ? fmax(worst, difference)
                                                                            : (double)INFINITY;
            scale = fmax(scale, fabs(e));
            if (!isfinite(worst))
                return worst;
        }
    return worst / scale;
}

static float *filled(int64_t n, float value)
{
    float *x = random_floats(0, n, 0.0);
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

/* NaN in the rows that are to be overwritten, -7 in those that are not. */
static float *poisoned(int64_t rows, int64_t ld)
{
    float *x = filled(TOKENS * ld, -7.0F);
    for (int64_t t = 0; t < TOKENS; t++)
        for (int64_t i = 0; i < rows; i++)
            x[t * ld + i] = NAN;
    return x;
}

static void check(const shape *s, double size)
{
    const rls_architecture arch = arch_of(s);
    const rls_attention a = attention_of(s, &arch);
    const int64_t q_rows = s->heads * WIDTH, kv_rows = s->kv_heads * WIDTH;
    const int64_t ld = q_rows + kv_rows + 3, ldo = q_rows + 2;
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    float *q = random_floats(1, TOKENS * ld, size), *k = random_floats(2, TOKENS * ld, size);
    float *v = random_floats(3, TOKENS * ld, 1.0), *dout = random_floats(4, TOKENS * ldo, 1.0);
    float *out = poisoned(q_rows, ldo), *dq = poisoned(q_rows, ld), *dk = poisoned(kv_rows, ld);
    float *dv = poisoned(kv_rows, ld), *log_sum = filled(TOKENS * s->heads + 1, -7.0F);
    double *q64 = widened(TOKENS * ld, q), *k64 = widened(TOKENS * ld, k), *v64 = widened(TOKENS * ld, v);
    double *dout64 = widened(TOKENS * ldo, dout);
    answer exact = answer_make(ld, ldo, s->heads);
    reference(s, q64, k64, v64, ld, dout64, ldo, &exact);
    assert_all_ok(ctx, rls_attend(ctx, &a, q, k, v, ld, out, ldo, log_sum));
    assert_all_ok(ctx, rls_attend_back(ctx, &a, q, k, v, ld, out, dout, ldo, log_sum, dq, dk, dv, ld));
    const double bound = 20.0 * (1.0 + size * size) * WIDTH * 0x1p-24; /* of a score, which p repeats */
    assert_all_le(compare(q_rows, ldo, out, exact.out), bound);
    assert_all_le(relative_difference(TOKENS * s->heads, log_sum, exact.log_sum), bound);
    assert_all(log_sum[TOKENS * s->heads] == -7.0F);
    assert_all_le(compare(q_rows, ld, dq, exact.dq), bound);
    assert_all_le(compare(kv_rows, ld, dk, exact.dk), bound);
    assert_all_le(compare(kv_rows, ld, dv, exact.dv), bound);
    assert_all_ok(ctx, rls_attend(ctx, &a, q, k, v, ld, out, ldo, NULL)); /* without log_sum */
    assert_all_le(compare(q_rows, ldo, out, exact.out), bound);
    answer_free(&exact);
    float *arrays[] = {q, k, v, dout, out, dq, dk, dv, log_sum};
    for (size_t i = 0; i < RLS_TEST_COUNT(arrays); i++)
        free(arrays[i]);
    double *wide[] = {q64, k64, v64, dout64};
    for (size_t i = 0; i < RLS_TEST_COUNT(wide); i++)
        free(wide[i]);
    rls_context_destroy(&ctx);
}

static void test_against_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < RLS_TEST_COUNT(SHAPES); i++)
        check(&SHAPES[i], 1.0);
    check(&SHAPES[2], 6.0); /* sharp: probabilities near 0 and 1 */
}

/* sum dout . out with the array that x points to moved along a direction. */
static double loss_moved(const shape *s, double *const qkv[3], int which, const double *direction,
                         double step, int64_t ld, const double *dout, int64_t ldo)
{
    answer a = answer_make(ld, ldo, s->heads);
    double *moved = zero_doubles(TOKENS * ld), sum = 0.0;
    for (int64_t i = 0; i < TOKENS * ld; i++)
        moved[i] = qkv[which][i] + step * direction[i];
    const double *use[3] = {qkv[0], qkv[1], qkv[2]};
    use[which] = moved;
    reference(s, use[0], use[1], use[2], ld, dout, ldo, &a);
    for (int64_t i = 0; i < TOKENS * ldo; i++)
        sum += dout[i] * a.out[i];
    free(moved);
    answer_free(&a);
    return sum;
}

/* The gradients are the slopes of the float64 definition along random directions. */
static void test_slopes(void **state)
{
    (void)state;
    const shape *s = &SHAPES[2];
    const rls_architecture arch = arch_of(s);
    const rls_attention a = attention_of(s, &arch);
    const int64_t ld = s->heads * WIDTH, ldo = ld, n = TOKENS * ld;
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    float *x[3], *dx[3], *dout = random_floats(4, n, 1.0), *out = filled(n, 0.0F);
    float *log_sum = filled(TOKENS * s->heads, 0.0F), *direction = random_floats(9, n, 1.0);
    double *wide[3], *dout64 = widened(n, dout), *direction64 = widened(n, direction);
    for (int i = 0; i < 3; i++) {
        x[i] = random_floats((uint64_t)i + 1, n, 1.0);
        dx[i] = filled(n, 0.0F);
        wide[i] = widened(n, x[i]);
    }
    assert_all_ok(ctx, rls_attend(ctx, &a, x[0], x[1], x[2], ld, out, ldo, log_sum));
    assert_all_ok(ctx, rls_attend_back(ctx, &a, x[0], x[1], x[2], ld, out, dout, ldo, log_sum, dx[0], dx[1],
                                       dx[2], ld));
    for (int i = 0; i < 3; i++) {
        const double h = 1e-5, up = loss_moved(s, wide, i, direction64, h, ld, dout64, ldo);
        const double slope = (up - loss_moved(s, wide, i, direction64, -h, ld, dout64, ldo)) / (2.0 * h);
        double along = 0.0, scale = 0.0;
        for (int64_t j = 0; j < n; j++) {
            along += (double)dx[i][j] * direction64[j];
            scale += (double)dx[i][j] * (double)dx[i][j];
        }
        assert_all_le(fabs(along - slope), 1e-5 * sqrt(scale)); /* along is about sqrt(scale) */
    }
    for (int i = 0; i < 3; i++) {
        free(x[i]);
        free(dx[i]);
        free(wide[i]);
    }
    free(dout);
    free(out);
    free(log_sum);
    free(direction);
    free(dout64);
    free(direction64);
    rls_context_destroy(&ctx);
}

/* One new token over a cache gives what the last token of its sequence got. */
static void test_cached(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t i = 0; i < RLS_TEST_COUNT(SHAPES); i++) {
        const shape *s = &SHAPES[i];
        const rls_architecture arch = arch_of(s);
        const rls_attention a = attention_of(s, &arch);
        const int64_t rows = s->heads * WIDTH, kv_rows = s->kv_heads * WIDTH;
        const int64_t ld = rows > kv_rows ? rows : kv_rows;
        float *q = random_floats(1, TOKENS * ld, 1.0), *k = random_floats(2, TOKENS * ld, 1.0);
        float *v = random_floats(3, TOKENS * ld, 1.0), *out = filled(TOKENS * ld, 0.0F);
        float *k_cache = filled(TOKENS * kv_rows, 0.0F), *v_cache = filled(TOKENS * kv_rows, 0.0F);
        float *one = filled(rows + 1, -7.0F), *scores = filled(TOKENS, 0.0F);
        for (int64_t t = 0; t < TOKENS; t++)
            for (int64_t r = 0; r < kv_rows; r++) {
                k_cache[t * kv_rows + r] = k[t * ld + r];
                v_cache[t * kv_rows + r] = v[t * ld + r];
            }
        assert_all_ok(ctx, rls_attend(ctx, &a, q, k, v, ld, out, ld, NULL));
        for (int64_t n = 0; n < SEQUENCES; n++) {
            const int64_t last = START[n + 1] - 1;
            double worst = 0.0;
            rls_attend_cached(&a, q + last * ld, k_cache + START[n] * kv_rows, v_cache + START[n] * kv_rows,
                              START[n + 1] - START[n], scores, one);
            for (int64_t r = 0; r < rows; r++)
                worst = fmax(worst, fabs((double)one[r] - (double)out[last * ld + r]));
            assert_all_le(worst, 1e-5);
            assert_all(one[rows] == -7.0F);
        }
        float *arrays[] = {q, k, v, out, k_cache, v_cache, one, scores};
        for (size_t j = 0; j < RLS_TEST_COUNT(arrays); j++)
            free(arrays[j]);
    }
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_definition),
                                       cmocka_unit_test(test_slopes), cmocka_unit_test(test_cached)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "attention");
}
