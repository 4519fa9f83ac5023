/* ctest: NP 1 */
/* The local kernels against plain loops, with the special cases that take other BLAS routines. */
#include "linalg/kernels.h"

#include <math.h>
#include <stdlib.h>

#include "support/collective.h"

enum { LARGEST = 40, PADDING = 3 };

static const rls_dtype dtypes[] = {RLS_F64, RLS_F32};

static void *elements_of(int64_t count, rls_dtype dtype)
{
    void *data = calloc((size_t)count + 1, rls_dtype_size(dtype));
    if (data == NULL)
        abort();
    return data;
}

static void *random_elements(int64_t count, rls_dtype dtype, uint64_t seed)
{
    void *data = elements_of(count, dtype);
    for (int64_t i = 0; i < count; i++)
        rls_set(dtype, data, i, rls_random_normal_at(seed, i, 0));
    return data;
}

static void test_elements(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        char *data = elements_of(9, dtypes[d]);
        rls_set(dtypes[d], data, 7, 2.5);
        assert_true(rls_get(dtypes[d], data, 7) == 2.5);
        assert_true(rls_get(dtypes[d], data, 6) == 0.0 && rls_get(dtypes[d], data, 8) == 0.0);
        assert_ptr_equal(rls_at(dtypes[d], data, 7), data + 7 * rls_dtype_size(dtypes[d]));
        free(data);
    }
}

typedef struct {
    rls_dtype dtype;
    char opa, opb;
    int64_t m, n, k;
    double alpha, beta;
} product;

/* C as it should be at (i, j), and the size of the terms summed. */
static double expected(const product *x, const void *a, int64_t lda, const void *b, int64_t ldb,
                       double before, int64_t i, int64_t j, double *size)
{
    double sum = 0.0;
    *size = x->beta != 0.0 ? fabs(x->beta * before) : 0.0;
    for (int64_t l = 0; l < x->k; l++) {
        const double term = rls_get(x->dtype, a, x->opa == 'N' ? i + l * lda : l + i * lda) *
                            rls_get(x->dtype, b, x->opb == 'N' ? l + j * ldb : j + l * ldb);
        sum += term;
        *size += fabs(x->alpha * term);
    }
    return x->alpha * sum + (x->beta != 0.0 ? x->beta * before : 0.0);
}

static void check_product(const product *x, uint64_t seed)
{
    const int64_t lda = (x->opa == 'N' ? x->m : x->k) + PADDING, cola = x->opa == 'N' ? x->k : x->m;
    const int64_t ldb = (x->opb == 'N' ? x->k : x->n) + PADDING, colb = x->opb == 'N' ? x->n : x->k;
    const int64_t ldc = x->m + PADDING;
    void *a = random_elements(lda * cola, x->dtype, seed),
         *b = random_elements(ldb * colb, x->dtype, seed + 1);
    void *c = random_elements(ldc * x->n, x->dtype, seed + 2),
         *before = random_elements(ldc * x->n, x->dtype, seed + 2);
    if (x->beta == 0.0) /* what was there must not count, whatever it is */
        for (int64_t j = 0; j < x->n; j++)
            for (int64_t i = 0; i < x->m; i++)
                rls_set(x->dtype, c, i + j * ldc, (i + j) % 2 != 0 ? (double)NAN : (double)INFINITY);
    rls_gemm(x->dtype, x->opa, x->opb, x->m, x->n, x->k, x->alpha, a, lda, b, ldb, x->beta, c, ldc);
    for (int64_t j = 0; j < x->n; j++)
        for (int64_t i = 0; i < ldc; i++) {
            const double was = rls_get(x->dtype, before, i + j * ldc), is = rls_get(x->dtype, c, i + j * ldc);
            double size = 0.0;
            if (i >= x->m) { /* padding */
                assert_true(is == was);
                continue;
            }
            const double should = expected(x, a, lda, b, ldb, was, i, j, &size);
            /* Each of k + 2 operations rounds once. */
            if (!(fabs(is - should) <= (double)(x->k + 2) * rls_dtype_eps(x->dtype) * size)) {
                print_error("%s %c%c m %d n %d k %d alpha %g beta %g: %g instead of %g\n",
                            rls_dtype_name(x->dtype), x->opa, x->opb, (int)x->m, (int)x->n, (int)x->k,
                            x->alpha, x->beta, is, should);
                fail();
            }
        }
    free(a);
    free(b);
    free(c);
    free(before);
}

static void test_gemm(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 2, 5, 33};
    const double factors[] = {0.0, 1.0, -1.0, 0.5};
    const char ops[] = {'N', 'T'};
    uint64_t seed = 1;
    for (int s = 0; s < 5 * 5 * 5; s++)
        for (int f = 0; f < 16; f++)
            for (int o = 0; o < 8; o++) {
                const product x = {dtypes[o / 4],    ops[o % 2],    ops[o / 2 % 2], sizes[s % 5],
                                   sizes[s / 5 % 5], sizes[s / 25], factors[f % 4], factors[f / 4]};
                check_product(&x, seed += 3);
            }
}

/* C += A B with a symmetric A, whose upper triangle is NaN: nothing may read it. */
static void test_symm(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 2, 7, 33, 64}, columns[] = {1, 2, 5, 40};
    for (int s = 0; s < 20; s++)
        for (int k = 0; k < 2; k++) {
            const rls_dtype d = dtypes[k];
            const int64_t m = sizes[s % 5], n = columns[s / 5], lda = m + 1, ldb = m + 2, ldc = m + PADDING;
            void *a = random_elements(lda * m, d, 91), *b = random_elements(ldb * n, d, 92);
            void *c = random_elements(ldc * n, d, 93), *before = random_elements(ldc * n, d, 93);
            for (int64_t j = 0; j < m; j++)
                for (int64_t i = 0; i < j; i++)
                    rls_set(d, a, i + j * lda, (double)NAN);
            rls_symm(d, m, n, a, lda, b, ldb, c, ldc);
            for (int64_t j = 0; j < n; j++)
                for (int64_t i = 0; i < ldc; i++) {
                    double sum = rls_get(d, before, i + j * ldc), size = fabs(sum);
                    for (int64_t l = 0; i < m && l < m; l++) {
                        const double term =
                            rls_get(d, a, i > l ? i + l * lda : l + i * lda) * rls_get(d, b, l + j * ldb);
                        sum += term;
                        size += fabs(term);
                    }
                    const double error = fabs(rls_get(d, c, i + j * ldc) - sum);
                    assert_true(error <= (i < m ? (double)(m + 2) * rls_dtype_eps(d) * size : 0.0));
                }
            free(a);
            free(b);
            free(c);
            free(before);
        }
}

/* Small integers: exact whatever the order, for every length that vectors leave a rest of. */
static void test_vectors(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++)
        for (int64_t n = 0; n <= LARGEST; n++) {
            void *x = elements_of(n + 1, dtypes[d]), *y = elements_of(n + 1, dtypes[d]);
            double sum = 0.0;
            for (int64_t i = 0; i <= n; i++) { /* the last one is beyond the end */
                rls_set(dtypes[d], x, i, (double)(i - 7));
                rls_set(dtypes[d], y, i, (double)(3 * i + 1));
                sum += i < n ? (double)((i - 7) * (3 * i + 1)) : 0.0;
            }
            assert_true(rls_dot(dtypes[d], n, x, y) == sum);
            rls_axpy(dtypes[d], n, -2.0, x, y);
            rls_scale(dtypes[d], n, 0.5, x);
            for (int64_t i = 0; i <= n; i++) {
                assert_true(rls_get(dtypes[d], x, i) == (i < n ? 0.5 : 1.0) * (double)(i - 7));
                assert_true(rls_get(dtypes[d], y, i) ==
                            (double)(3 * i + 1) - (i < n ? 2.0 : 0.0) * (double)(i - 7));
            }
            free(x);
            free(y);
        }
}

/* Empty parts of ranks without data: leading dimension 0 and no array. */
static void test_nothing(void **state)
{
    (void)state;
    double c[4] = {1.0, 2.0, 3.0, 4.0};
    for (int d = 0; d < 2; d++) {
        rls_gemm(dtypes[d], 'N', 'N', 0, 3, 2, 1.0, NULL, 0, c, 2, 1.0, NULL, 0);
        rls_gemm(dtypes[d], 'T', 'N', 3, 0, 2, 1.0, c, 2, NULL, 0, 0.0, NULL, 0);
        rls_symm(dtypes[d], 0, 3, NULL, 0, NULL, 0, NULL, 0);
        rls_symm(dtypes[d], 3, 0, c, 3, NULL, 0, NULL, 0);
        rls_gemm(dtypes[d], 'N', 'T', 2, 2, 0, 1.0, NULL, 2, NULL, 2, 1.0, c, 2);
        rls_solve_right(dtypes[d], 'T', 0, 1, c, 1, NULL, 0);
        rls_solve_right(dtypes[d], 'N', 1, 0, NULL, 0, c, 1);
        assert_int_equal(rls_cholesky(dtypes[d], 0, NULL, 0), 0);
        assert_true(rls_sum_squares(dtypes[d], 0, 5, NULL, 0) == 0.0);
        assert_true(rls_sum_squares(dtypes[d], 5, 0, NULL, 5) == 0.0);
    }
    assert_true(c[0] == 1.0 && c[1] == 2.0 && c[2] == 3.0 && c[3] == 4.0);
    rls_gemm(RLS_F64, 'T', 'N', 2, 2, 0, 1.0, NULL, 0, NULL, 0, 0.0, c, 2); /* an empty sum is 0 */
    assert_true(c[0] == 0.0 && c[1] == 0.0 && c[2] == 0.0 && c[3] == 0.0);
}

/* A well-conditioned lower triangle; above it NaN, which nothing may read. */
static void *random_triangle(rls_dtype dtype, int64_t u, int64_t ld)
{
    void *l = random_elements(ld * u, dtype, 77);
    for (int64_t j = 0; j < u; j++)
        for (int64_t i = 0; i <= j; i++)
            rls_set(dtype, l, i + j * ld, i < j ? (double)NAN : 2.0 + (double)(i % 3));
    for (int64_t j = 0; j < u; j++)
        for (int64_t i = j + 1; i < u; i++)
            rls_set(dtype, l, i + j * ld, rls_get(dtype, l, i + j * ld) / (double)u);
    return l;
}

static void test_solve_right(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 2, 7, 33};
    for (int s = 0; s < 16; s++)
        for (int k = 0; k < 4; k++) {
            const rls_dtype d = dtypes[k % 2];
            const char trans = k / 2 == 0 ? 'N' : 'T';
            const int64_t m = sizes[s % 4], u = sizes[s / 4], ldl = u + 1, ldb = m + 2;
            void *l = random_triangle(d, u, ldl), *b = random_elements(ldb * u, d, 88);
            void *x = random_elements(ldb * u, d, 88);
            rls_solve_right(d, trans, m, u, l, ldl, x, ldb);
            for (int64_t j = 0; j < u; j++)
                for (int64_t i = 0; i < m; i++) { /* (X op(L))(i, j) is B(i, j) again */
                    double sum = 0.0, size = 0.0;
                    for (int64_t c = 0; c < u; c++) {
                        const int64_t row = trans == 'N' ? c : j, col = trans == 'N' ? j : c;
                        if (row < col)
                            continue;
                        const double term = rls_get(d, x, i + c * ldb) * rls_get(d, l, row + col * ldl);
                        sum += term;
                        size += fabs(term);
                    }
                    const double error = fabs(sum - rls_get(d, b, i + j * ldb));
                    assert_true(error <= 4.0 * (double)u * rls_dtype_eps(d) * size);
                }
            free(l);
            free(b);
            free(x);
        }
}

static void test_cholesky(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 2, 7, LARGEST};
    for (int k = 0; k < 8; k++) {
        const rls_dtype d = dtypes[k % 2];
        const int64_t u = sizes[k / 2], ld = u + PADDING;
        void *l = random_triangle(d, u, ld), *s = elements_of(ld * u, d);
        for (int64_t j = 0; j < u; j++)
            for (int64_t i = 0; i < u; i++) {
                double sum = 0.0;
                for (int64_t c = 0; c <= j && c <= i; c++)
                    sum += rls_get(d, l, i + c * ld) * rls_get(d, l, j + c * ld);
                rls_set(d, s, i + j * ld, i < j ? (double)NAN : sum);
            }
        assert_int_equal(rls_cholesky(d, u, s, ld), 0);
        for (int64_t j = 0; j < u; j++)
            for (int64_t i = j; i < u; i++)
                assert_true(fabs(rls_get(d, s, i + j * ld) - rls_get(d, l, i + j * ld)) <=
                            50.0 * (double)u * rls_dtype_eps(d));
        /* The first minor that is not positive definite is told. */
        for (int64_t bad = 0; bad < u; bad++) {
            for (int64_t j = 0; j < u; j++)
                for (int64_t i = j; i < u; i++)
                    rls_set(d, s, i + j * ld, i != j ? 0.0 : i == bad ? -1.0 : 1.0);
            assert_int_equal(rls_cholesky(d, u, s, ld), bad + 1);
        }
        free(l);
        free(s);
    }
}

/* Squares of small integers sum exactly; a million float32 ones do not lose any. */
static void test_sum_squares(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++)
        for (int64_t m = 1; m <= LARGEST; m++)
            for (int64_t n = 1; n <= 3; n++) {
                const int64_t ld = m + PADDING;
                void *a = elements_of(ld * n, dtypes[d]);
                double sum = 0.0;
                for (int64_t j = 0; j < n; j++)
                    for (int64_t i = 0; i < ld; i++) {
                        rls_set(dtypes[d], a, i + j * ld, i < m ? (double)(i - 5 * j) : (double)NAN);
                        sum += i < m ? (double)((i - 5 * j) * (i - 5 * j)) : 0.0;
                    }
                assert_true(rls_sum_squares(dtypes[d], m, n, a, ld) == sum);
                free(a);
            }
    const int64_t many = 1000000;
    float *ones = elements_of(many, RLS_F32);
    for (int64_t i = 0; i < many; i++)
        ones[i] = 4097.0F; /* its square needs 25 bits */
    assert_true(rls_sum_squares(RLS_F32, many, 1, ones, many) == 1e6 * 4097.0 * 4097.0);
    ones[many - 1] = NAN;
    assert_true(isnan(rls_sum_squares(RLS_F32, many, 1, ones, many)));
    free(ones);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements), cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_symm),     cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_nothing),  cmocka_unit_test(test_solve_right),
        cmocka_unit_test(test_cholesky), cmocka_unit_test(test_sum_squares),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "kernels");
}
