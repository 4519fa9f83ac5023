/* ctest: NP 1 */
/* The innermost kernels of every instruction set that this processor has, against plain sums. */
#include "linalg/micro.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/kernels.h"
#include "support/collective.h"

enum { TILE = RLS_TILE };

static void *numbers(rls_dtype d, int64_t count, uint64_t seed)
{
    void *data = calloc((size_t)count + 64, rls_dtype_size(d));
    if (data == NULL)
        abort();
    for (int64_t i = 0; i < count; i++)
        rls_set(d, data, i, rls_random_normal_at(seed, i, 0));
    return data;
}

static void check_multiply(const rls_micro *micro, rls_dtype d, int columns, int64_t k)
{
    const int64_t rows = micro->rows, lda = rows + 16, ldc = rows + 3;
    void *a = numbers(d, lda * k, 1), *b = numbers(d, k * columns, 2), *c = numbers(d, ldc * columns, 3),
         *before = numbers(d, ldc * columns, 3);
    const rls_fetch fetch = {a, (int64_t)rls_dtype_size(d) * lda, k, 2};
    double worst = 0.0;
    micro->multiply[columns - 1](k, a, lda, b, c, ldc, &fetch);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < ldc; i++) {
            double sum = rls_get(d, before, i + j * ldc), size = fabs(sum);
            for (int64_t p = 0; p < k && i < rows; p++) {
                const double term = rls_get(d, a, i + p * lda) * rls_get(d, b, p * columns + j);
                sum += term;
                size += fabs(term);
            }
            worst = fmax(worst, fabs(rls_get(d, c, i + j * ldc) - sum) / (rls_dtype_eps(d) * size));
        }
    assert_all_le(worst, 4.0 + 2.0 * sqrt((double)k));
    free(a);
    free(b);
    free(c);
    free(before);
}

/* A matrix packed strip by strip, its transpose from both forms, and strips added back. */
static void check_tiles(const rls_micro *micro, rls_dtype d)
{
    const int64_t lda = TILE + 16, strip = micro->rows;
    const size_t size = rls_dtype_size(d);
    void *a = numbers(d, lda * TILE, 4), *packed = numbers(d, TILE * TILE, 5),
         *turned = numbers(d, TILE * TILE, 6), *again = numbers(d, TILE * TILE, 7),
         *straight = numbers(d, TILE * TILE, 8), *sum = numbers(d, lda * TILE, 4);
    assert_int_equal(TILE % strip, 0);
    for (int64_t i = 0; i < TILE; i += strip)
        micro->pack(TILE, rls_at(d, a, i), lda, rls_at(d, packed, i * TILE));
    micro->transpose(&(rls_tile){packed, strip, strip * TILE}, TILE, TILE, turned, NULL);
    micro->transpose(&(rls_tile){a, lda, strip}, TILE, TILE, again, straight);
    assert_memory_equal(turned, again, TILE * TILE * size);
    assert_memory_equal(packed, straight, TILE * TILE * size);
    for (int64_t i = 0; i < TILE; i += strip)
        micro->add(TILE, rls_at(d, packed, i * TILE), rls_at(d, sum, i), lda);
    for (int64_t j = 0; j < TILE; j++)
        for (int64_t i = 0; i < TILE; i++) {
            const double value = rls_get(d, a, i + j * lda);
            assert_true(rls_get(d, packed, (i / strip * TILE + j) * strip + i % strip) == value);
            assert_true(rls_get(d, turned, (j / strip * TILE + i) * strip + j % strip) == value);
            assert_true(rls_get(d, sum, i + j * lda) == 2.0 * value);
        }
    free(a);
    free(packed);
    free(turned);
    free(again);
    free(straight);
    free(sum);
}

/* The two ways that panels are packed. `over`: elements behind a block that may be overwritten. */
static void check_packing(const rls_micro *micro, rls_dtype d, int64_t rows, int64_t columns)
{
    const int64_t lda = rows + 3, over = 64 / (int64_t)rls_dtype_size(d);
    void *a = numbers(d, lda * columns, 13), *block = numbers(d, rows * columns + over, 14),
         *blocks = numbers(d, rows * columns, 15);
    const double behind = rls_get(d, block, rows * columns + over);
    const double end = rls_get(d, blocks, rows * columns);
    if (columns <= RLS_MICRO_COLUMNS)
        micro->weave(rows, columns, 2.0, a, lda, block);
    micro->cut(RLS_MICRO_COLUMNS, rows, columns, 2.0, a, lda, blocks);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) {
            const double value = 2.0 * rls_get(d, a, i + j * lda);
            const int64_t first = i / RLS_MICRO_COLUMNS * RLS_MICRO_COLUMNS;
            const int64_t width = rows - first < RLS_MICRO_COLUMNS ? rows - first : RLS_MICRO_COLUMNS;
            assert_true(rls_get(d, blocks, first * columns + j * width + i - first) == value);
            if (columns <= RLS_MICRO_COLUMNS)
                assert_true(rls_get(d, block, i * columns + j) == value);
        }
    assert_true(rls_get(d, block, rows * columns + over) == behind);
    assert_true(rls_get(d, blocks, rows * columns) == end);
    free(a);
    free(block);
    free(blocks);
}

static void check_eight_columns(const rls_micro *micro, rls_dtype d, int64_t n)
{
    const int64_t lda = n + 5;
    void *a = numbers(d, lda * 8, 8), *x = numbers(d, 8, 9), *y = numbers(d, n, 10), *z = numbers(d, n, 11),
         *before = numbers(d, n, 10), *s = numbers(d, 8, 12);
    double worst = 0.0;
    micro->eight_columns(n, a, lda, x, y, z, s, a);
    for (int64_t i = 0; i < n; i++) {
        double sum = rls_get(d, before, i), size = fabs(sum);
        for (int64_t j = 0; j < 8; j++) {
            sum += rls_get(d, a, i + j * lda) * rls_get(d, x, j);
            size += fabs(rls_get(d, a, i + j * lda) * rls_get(d, x, j));
        }
        worst = fmax(worst, fabs(rls_get(d, y, i) - sum) / (rls_dtype_eps(d) * size));
    }
    for (int64_t j = 0; j < 8; j++) {
        double sum = 0.0, size = 1e-30;
        for (int64_t i = 0; i < n; i++) {
            sum += rls_get(d, a, i + j * lda) * rls_get(d, z, i);
            size += fabs(rls_get(d, a, i + j * lda) * rls_get(d, z, i));
        }
        worst = fmax(worst, fabs(rls_get(d, s, j) - sum) / (rls_dtype_eps(d) * size));
    }
    assert_all_le(worst, 4.0 + 2.0 * sqrt((double)n));
    double again[8]; /* without y: the same */
    micro->eight_columns(n, a, lda, NULL, NULL, z, again, a);
    assert_memory_equal(again, s, 8 * rls_dtype_size(d));
    free(a);
    free(x);
    free(y);
    free(z);
    free(before);
    free(s);
}

/* Four columns times few vectors, and their transpose. */
static void check_four(const rls_micro *micro, rls_dtype d, int64_t columns, int64_t vectors)
{
    const int64_t lanes = micro->lanes, n = vectors * lanes, lda = n + 7, most = 64;
    void *a = numbers(d, lda * 4, 16), *k = numbers(d, n * columns, 17), *f = numbers(d, n * columns, 18),
         *before = numbers(d, n * columns, 18), *b = numbers(d, 4 * columns, 19), *s = numbers(d, most, 20),
         *start = numbers(d, most, 20), *again = numbers(d, most, 20);
    const rls_fetch fetch = {a, lda, 2, 1};
    double worst = 0.0;
    micro->both[columns - 1](vectors, a, lda, k, f, b, s, &fetch);
    micro->dots[columns - 1](vectors, a, lda, k, f, b, again, &fetch);
    assert_memory_equal(s, again, (size_t)(4 * columns) * rls_dtype_size(d));
    for (int64_t c = 0; c < columns; c++)
        for (int64_t j = 0; j < 4; j++) {
            double sum = rls_get(d, start, 4 * c + j), size = fabs(sum);
            for (int64_t i = 0; i < n; i++) {
                const double term =
                    rls_get(d, a, i + j * lda) * rls_get(d, k, (i / lanes * columns + c) * lanes + i % lanes);
                sum += term;
                size += fabs(term);
            }
            worst = fmax(worst, fabs(rls_get(d, s, 4 * c + j) - sum) / (rls_dtype_eps(d) * size));
        }
    for (int64_t at = 0; at < n * columns; at++) {
        const int64_t i = at / (columns * lanes) * lanes + at % lanes, c = at / lanes % columns;
        double sum = rls_get(d, before, at), size = fabs(sum);
        for (int64_t j = 0; j < 4; j++) {
            const double term = rls_get(d, a, i + j * lda) * rls_get(d, b, 4 * c + j);
            sum += term;
            size += fabs(term);
        }
        worst = fmax(worst, fabs(rls_get(d, f, at) - sum) / (rls_dtype_eps(d) * size));
    }
    assert_all_le(worst, 4.0 + 2.0 * sqrt((double)n));
    for (int64_t at = (4 * columns + lanes - 1) / lanes * lanes; at < most; at++)
        assert_true(rls_get(d, s, at) == rls_get(d, start, at));
    free(a);
    free(k);
    free(f);
    free(before);
    free(b);
    free(s);
    free(start);
    free(again);
}

static void check_sets(rls_dtype d)
{
    int sets = 0;
    for (const rls_micro *micro; (micro = rls_micro_at(d, sets)) != NULL; sets++) {
        print_message("%s, %s: strips of %d\n", rls_dtype_name(d), micro->name, (int)micro->rows);
        for (int columns = 1; columns <= RLS_MICRO_COLUMNS; columns++) {
            for (int64_t k = 0; k < 200; k += k < 3 ? 1 : 61)
                check_multiply(micro, d, columns, k);
            for (int64_t vectors = 0; vectors < 9; vectors++)
                check_four(micro, d, columns, vectors);
        }
        check_tiles(micro, d);
        for (int64_t rows = 0; rows < 60; rows += rows < 20 ? 1 : 13)
            for (int64_t columns = 1; columns < 70; columns += columns < 7 ? 1 : 12)
                check_packing(micro, d, rows, columns);
        for (int64_t n = 0; n < 150; n += n < 3 ? 1 : 29)
            check_eight_columns(micro, d, n);
    }
    assert_true(sets >= 1);
    assert_true(rls_micro_best(d) == rls_micro_at(d, 0));
}

static void test_sets(void **state)
{
    (void)state;
    check_sets(RLS_F64);
    check_sets(RLS_F32);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sets)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "micro");
}
