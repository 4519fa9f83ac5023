/* ctest: NP 1 */
/* The processor's matrix unit, if there is one: products of float32 by three bfloat16 each, against sums in
 * float64. They have to be as exact as products of float32. */
#include "linalg/amx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "support/collective.h"
#include "support/random.h"

enum { LINES = RLS_AMX_LINES, BOTH = 2 * LINES };

static void *cache_lines(int64_t bytes)
{
    void *data = aligned_alloc(64, (size_t)((bytes + 63) / 64 * 64) + 64);
    if (data == NULL)
        abort();
    return data;
}

/* A matrix [lines, depth] with either index contiguous, of which `lines` count; NaN behind them. */
typedef struct {
    float *data;
    int64_t line, k, lines, depth;
} operand;

static operand make_operand(int64_t lines, int64_t depth, bool lines_contiguous, double scale, uint64_t seed)
{
    operand o = {.lines = lines, .depth = depth};
    o.line = lines_contiguous ? 1 : depth + 3;
    o.k = lines_contiguous ? lines + 5 : 1;
    const int64_t count = lines * o.line + depth * o.k + 64;
    o.data = cache_lines(count * (int64_t)sizeof(float));
    for (int64_t i = 0; i < count; i++)
        o.data[i] = NAN;
    for (int64_t l = 0; l < lines; l++)
        for (int64_t k = 0; k < depth; k++)
            o.data[l * o.line + k * o.k] = (float)(scale * rls_random_normal_at(seed, l, k));
    return o;
}

static char *pack(const rls_amx *amx, const operand *o, rls_amx_steps steps, float alpha, bool pairs)
{
    const int64_t bytes = rls_amx_bytes(steps);
    char *out = cache_lines(2 * bytes);
    for (int64_t l = 0; l < BOTH; l += LINES) {
        const int64_t left = o->lines - l;
        const rls_amx_panel panel = {o->data + l * o->line,
                                     o->line,
                                     o->k,
                                     left < 0 ? 0 : left < LINES ? left : LINES,
                                     o->depth,
                                     alpha};
        amx->pack(&panel, steps, pairs, out + l / LINES * bytes);
    }
    return out;
}

/* The largest error of C + alpha A^T B over eps and the terms' sizes; what does not count stays as it was. */
static double product_error(const operand *a, const operand *b, double alpha, const float *c, int64_t ldc)
{
    double worst = 0.0;
    for (int64_t l = 0; l < BOTH; l++)
        for (int64_t m = 0; m < ldc; m++) {
            double sum = (double)(float)rls_random_normal_at(3, l, m), size = fabs(sum);
            for (int64_t k = 0; k < a->depth && l < a->lines && m < b->lines; k++) {
                const double term =
                    alpha * (double)a->data[l * a->line + k * a->k] * (double)b->data[m * b->line + k * b->k];
                sum += term;
                size += fabs(term);
            }
            const double error = fabs((double)c[l * ldc + m] - sum) / (rls_dtype_eps(RLS_F32) * size);
            worst = error <= worst ? worst : error; /* NaN stays */
        }
    return worst;
}

/* One product: lines of either operand, which of their indices is contiguous, sizes of the numbers. */
static void check_product(const rls_amx *amx, int64_t row_lines, int64_t pair_lines, int64_t depth, int form,
                          double scale)
{
    const operand a = make_operand(row_lines, depth, (form & 1) != 0, scale, 1),
                  b = make_operand(pair_lines, depth, (form & 2) != 0, 1.0 / scale, 2);
    const rls_amx_steps steps = rls_amx_cut(depth, form == 3);
    const int64_t ldc = BOTH + 7;
    const float alpha = depth % 2 == 0 ? -1.0F : 0.5F;
    char *rows = pack(amx, &a, steps, alpha, false), *pairs = pack(amx, &b, steps, 1.0F, true);
    float *c = cache_lines(BOTH * ldc * (int64_t)sizeof *c);
    for (int64_t i = 0; i < BOTH * ldc; i++)
        c[i] = (float)rls_random_normal_at(3, i / ldc, i % ldc);
    const rls_amx_fetch fetch = {rows, 64, 128, 2};
    const rls_amx_operand left = rls_amx_packed(rows, rls_amx_bytes(steps)),
                          right = rls_amx_packed(pairs, rls_amx_bytes(steps));
    amx->multiply[row_lines > LINES][pair_lines > LINES](steps, &left, &right, c, ldc, &fetch);
    assert_all_le(product_error(&a, &b, (double)alpha, c, ldc), 4.0);
    free(a.data);
    free(b.data);
    free(rows);
    free(pairs);
    free(c);
}

/* The unit, set up for this thread. */
static const rls_amx *unit(void)
{
    const rls_amx *amx = rls_amx_get();
    assert_non_null(amx);
    amx->begin();
    return amx;
}

/* Every index is in a step, whole ones first, and extra ones are taken where they are fewer than
 * instructions. */
static void test_cut(void **state)
{
    (void)state;
    for (int64_t depth = 1; depth <= 300; depth++) {
        const rls_amx_steps plain = rls_amx_cut(depth, false), cut = rls_amx_cut(depth, true);
        const int64_t left = depth - cut.whole * RLS_AMX_DEPTH;
        assert_all_int_equal(plain.whole, (depth + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH);
        assert_all_int_equal(plain.extra, 0);
        assert_all(left <= 0 ? cut.extra == 0 : cut.extra * RLS_AMX_DEPTH >= RLS_AMX_TERMS * left);
        assert_all(RLS_AMX_TERMS * cut.whole + cut.extra <= RLS_AMX_TERMS * plain.whole);
        assert_all(cut.extra < RLS_AMX_TERMS);
        assert_all(rls_amx_bytes(cut) <= rls_amx_bytes(plain) + RLS_AMX_STEP_BYTES);
    }
}

static void test_products(void **state)
{
    (void)state;
    const rls_amx *amx = unit();
    const int64_t depths[] = {1, 4, 5, 6, 16, 26, 27, 31, 32, 33, 64, 100, 127, 128},
                  lines[] = {1, 15, 16, 17, 32};
    for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
        for (size_t r = 0; r < 5; r++)
            for (size_t p = 0; p < 5; p++)
                for (int form = 0; form < 4; form++)
                    check_product(amx, lines[r], lines[p], depths[d], form, 1.0);
    amx->end();
}

/* Numbers near the ends of what both types hold. */
static void test_sizes_of_numbers(void **state)
{
    (void)state;
    const rls_amx *amx = unit();
    check_product(amx, BOTH, BOTH, 100, 3, 1e15);
    check_product(amx, BOTH, BOTH, 100, 3, 1e-15);
    amx->end();
}

/* Both forms of a matrix at once are those of its panels. */
static void test_split(void **state)
{
    (void)state;
    enum { ROWS = 96, COLUMNS = 64, LD = 101, STRIDE = 5 * RLS_AMX_STEP_BYTES };
    const rls_amx *amx = unit();
    float *a = cache_lines(LD * COLUMNS * (int64_t)sizeof *a);
    char *pairs = cache_lines(ROWS / LINES * STRIDE), *rows = cache_lines(COLUMNS / LINES * STRIDE),
         *one = cache_lines(STRIDE);
    for (int64_t i = 0; i < LD * COLUMNS; i++)
        a[i] = (float)rls_random_normal_at(4, i, 0);
    amx->split(ROWS, COLUMNS, a, LD, STRIDE, pairs, rows);
    for (int64_t l = 0; l < ROWS / LINES; l++) {
        amx->pack(&(rls_amx_panel){a + l * LINES, 1, LD, LINES, COLUMNS, 1.0F}, rls_amx_cut(COLUMNS, false),
                  true, one);
        assert_memory_equal(one, pairs + l * STRIDE, (size_t)rls_amx_bytes(rls_amx_cut(COLUMNS, false)));
    }
    for (int64_t l = 0; l < COLUMNS / LINES; l++) {
        amx->pack(&(rls_amx_panel){a + l * LINES * LD, LD, 1, LINES, ROWS, 1.0F}, rls_amx_cut(ROWS, false),
                  false, one);
        assert_memory_equal(one, rows + l * STRIDE, (size_t)rls_amx_bytes(rls_amx_cut(ROWS, false)));
    }
    amx->end();
    free(a);
    free(pairs);
    free(rows);
    free(one);
}

/* One operand of bfloat16, where it lies (rows) or in pairs. */
static void check_plain(const rls_amx *amx, bool plain_rows, int64_t lines, int64_t others, int64_t depth)
{
    enum { ROW = RLS_AMX_TILE_BYTES / LINES };
    const rls_amx_steps steps = rls_amx_cut(depth, false);
    const int64_t ld = steps.whole * RLS_AMX_DEPTH, ldc = BOTH, tile_bytes = steps.whole * RLS_AMX_TILE_BYTES;
    operand a = make_operand(lines, depth, !plain_rows, 1.0, 1),
            b = make_operand(others, depth, false, 1.0, 2);
    uint16_t *halves = cache_lines(BOTH * ld * 2);
    char *pairs = cache_lines(2 * tile_bytes), *split = pack(amx, &b, steps, 1.0F, plain_rows);
    float *c = cache_lines(BOTH * ldc * (int64_t)sizeof *c);
    memset(halves, 0, (size_t)(BOTH * ld * 2));
    for (int64_t l = 0; l < lines; l++)
        for (int64_t k = 0; k < depth; k++) {
            float *const x = &a.data[l * a.line + k * a.k];
            uint16_t *const half = plain_rows ? &halves[l * ld + k] : &halves[l + k * BOTH];
            rls_convert(RLS_BF16, half, 1, RLS_F32, x, 1, 1);
            rls_convert(RLS_F32, x, 1, RLS_BF16, half, 1, 1);
        }
    for (int64_t l = 0; l < lines && !plain_rows; l += LINES)
        amx->pair(depth, lines - l < LINES ? lines - l : LINES, halves + l, BOTH,
                  pairs + l / LINES * tile_bytes);
    for (int64_t i = 0; i < BOTH * ldc; i++)
        c[i] = (float)rls_random_normal_at(3, i / ldc, i % ldc);
    const rls_amx_operand plain = plain_rows
                                      ? (rls_amx_operand){halves, ld * 2, RLS_AMX_DEPTH * 2, LINES * ld * 2}
                                      : (rls_amx_operand){pairs, ROW, RLS_AMX_TILE_BYTES, tile_bytes};
    const rls_amx_operand parts = rls_amx_packed(split, rls_amx_bytes(steps));
    const rls_amx_fetch nothing = {split, 0, 0, 0};
    if (plain_rows)
        amx->plain_rows[lines > LINES][others > LINES](steps, &plain, &parts, c, ldc, &nothing);
    else
        amx->plain_pairs[others > LINES][lines > LINES](steps, &parts, &plain, c, ldc, &nothing);
    assert_all_le(plain_rows ? product_error(&a, &b, 1.0, c, ldc) : product_error(&b, &a, 1.0, c, ldc), 4.0);
    free(a.data);
    free(b.data);
    free(halves);
    free(pairs);
    free(split);
    free(c);
}

static void test_plain(void **state)
{
    (void)state;
    const rls_amx *amx = unit();
    const int64_t depths[] = {1, 2, 31, 32, 33, 100}, lines[] = {1, 15, 16, 17, 32};
    for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
        for (size_t l = 0; l < 5; l++)
            for (size_t o = 0; o < 5; o++)
                for (int rows = 0; rows < 2; rows++)
                    check_plain(amx, rows == 1, lines[l], lines[o], depths[d]);
    amx->end();
}

/* Blocks turned and added; nothing else is written. */
static void test_turn(void **state)
{
    (void)state;
    enum { LD = BOTH + 5 };
    const rls_amx *amx = unit();
    float *a = cache_lines(BOTH * BOTH * (int64_t)sizeof *a), y[LD * (BOTH + 1)];
    for (int64_t i = 0; i < BOTH * BOTH; i++)
        a[i] = (float)rls_random_normal_at(5, i, 0);
    for (int64_t rows = 1; rows <= BOTH; rows += 3)
        for (int64_t columns = 1; columns <= BOTH; columns += 5)
            for (int i = 0; i < 2; i++) {
                const float beta = i == 0 ? 0.0F : 2.0F;
                for (int64_t e = 0; e < LD * (BOTH + 1); e++)
                    y[e] = beta == 0.0F && e % LD < rows && e / LD < columns ? NAN : (float)e;
                amx->turn(rows, columns, a, BOTH, beta, y, LD);
                for (int64_t e = 0; e < LD * (BOTH + 1); e++) {
                    const int64_t row = e % LD, column = e / LD;
                    const bool counts = row < rows && column < columns;
                    const float sum =
                        counts ? a[row * BOTH + column] + (beta == 0.0F ? 0.0F : beta * (float)e) : (float)e;
                    assert_true(fabsf(y[e] - sum) <= 1e-6F * fabsf(sum));
                }
            }
    amx->end();
    free(a);
}

int main(int argc, char **argv)
{
    /* The first one needs no unit. */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_sizes_of_numbers),
                                       cmocka_unit_test(test_split),
                                       cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_turn)};
    const bool there = rls_amx_get() != NULL;
    if (!there)
        printf("NOT RUN: this processor has no matrix unit; only how an index is cut is tested\n");
    return rls_test_main(&argc, &argv, tests, there ? RLS_TEST_COUNT(tests) : 1, "amx");
}
