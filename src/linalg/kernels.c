#include "linalg/kernels.h"

#include "base/simd.h"
#include "linalg/blas.h"

void *rls_at(rls_dtype dtype, const void *a, int64_t i)
{
    return (char *)a + i * (int64_t)rls_dtype_size(dtype);
}

double rls_get(rls_dtype dtype, const void *a, int64_t i)
{
    return dtype == RLS_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

void rls_set(rls_dtype dtype, void *a, int64_t i, double value)
{
    if (dtype == RLS_F64)
        ((double *)a)[i] = value;
    else
        ((float *)a)[i] = (float)value;
}

static int leading(int64_t ld)
{
    return ld > 1 ? (int)ld : 1; /* BLAS wants 1 or more, also for empty arrays */
}

/* One column times or onto a matrix: memory-bound, and far faster by gemv and ger than by a packed gemm.
 * Returns whether it was such. */
static int rank_one_case(rls_dtype dtype, char opa, char opb, int m, int n, int k, double alpha,
                         const void *a, int lda, const void *b, int ldb, double beta, void *c, int ldc)
{
    const int one = 1;
    const float alpha32 = (float)alpha, beta32 = (float)beta;
    if (n == 1) { /* c = alpha op(A) b + beta c */
        const int rows = opa == 'N' ? m : k, cols = opa == 'N' ? k : m;
        const int incb = opb == 'N' ? 1 : ldb;
        if (dtype == RLS_F64)
            dgemv_(&opa, &rows, &cols, &alpha, a, &lda, b, &incb, &beta, c, &one);
        else
            sgemv_(&opa, &rows, &cols, &alpha32, a, &lda, b, &incb, &beta32, c, &one);
        return 1;
    }
    if (k == 1 && beta == 1.0) { /* C += alpha a b^T */
        const int inca = opa == 'N' ? 1 : lda, incb = opb == 'T' ? 1 : ldb;
        if (dtype == RLS_F64)
            dger_(&m, &n, &alpha, a, &inca, b, &incb, c, &ldc);
        else
            sger_(&m, &n, &alpha32, a, &inca, b, &incb, c, &ldc);
        return 1;
    }
    return 0;
}

void rls_gemm(rls_dtype dtype, char opa, char opb, int64_t m, int64_t n, int64_t k, double alpha,
              const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
    if (m == 0 || n == 0 || (k == 0 && beta == 1.0))
        return;
    const int im = (int)m, in = (int)n, ik = (int)k;
    const int ilda = leading(lda), ildb = leading(ldb), ildc = leading(ldc);
    const float alpha32 = (float)alpha, beta32 = (float)beta;
    if (k > 0 && rank_one_case(dtype, opa, opb, im, in, ik, alpha, a, ilda, b, ildb, beta, c, ildc) != 0)
        return;
    if (dtype == RLS_F64)
        dgemm_(&opa, &opb, &im, &in, &ik, &alpha, a, &ilda, b, &ildb, &beta, c, &ildc);
    else
        sgemm_(&opa, &opb, &im, &in, &ik, &alpha32, a, &ilda, b, &ildb, &beta32, c, &ildc);
}

void rls_solve_right(rls_dtype dtype, char trans, int64_t m, int64_t u, const void *l, int64_t ldl, void *b,
                     int64_t ldb)
{
    if (m == 0 || u == 0)
        return;
    const int im = (int)m, iu = (int)u, ildl = leading(ldl), ildb = leading(ldb);
    const double one = 1.0;
    const float one32 = 1.0F;
    if (dtype == RLS_F64)
        dtrsm_("R", "L", &trans, "N", &im, &iu, &one, l, &ildl, b, &ildb);
    else
        strsm_("R", "L", &trans, "N", &im, &iu, &one32, l, &ildl, b, &ildb);
}

int rls_cholesky(rls_dtype dtype, int64_t u, void *s, int64_t lds)
{
    const int iu = (int)u, ild = leading(lds);
    int info = 0;
    if (dtype == RLS_F64)
        dpotrf_("L", &iu, s, &ild, &info);
    else
        spotrf_("L", &iu, s, &ild, &info);
    return info;
}

void rls_symm(rls_dtype dtype, int64_t m, int64_t n, const void *a, int64_t lda, const void *b, int64_t ldb,
              void *c, int64_t ldc)
{
    if (m == 0 || n == 0)
        return;
    const int im = (int)m, in = (int)n, ilda = leading(lda), ildb = leading(ldb), ildc = leading(ldc),
              inc = 1;
    const double one = 1.0;
    const float one32 = 1.0F;
    if (n == 1 && dtype == RLS_F64)
        dsymv_("L", &im, &one, a, &ilda, b, &inc, &one, c, &inc);
    else if (n == 1)
        ssymv_("L", &im, &one32, a, &ilda, b, &inc, &one32, c, &inc);
    else if (dtype == RLS_F64)
        dsymm_("L", "L", &im, &in, &one, a, &ilda, b, &ildb, &one, c, &ildc);
    else
        ssymm_("L", "L", &im, &in, &one32, a, &ilda, b, &ildb, &one32, c, &ildc);
}

/* The same loops for both types; eight sums of their own let the compiler use vectors. */
#define DEFINE_LOOPS(real, suffix)                                                                           \
    RLS_VECTORISED static void scale_##suffix(int64_t n, real alpha, real x[])                               \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            x[i] *= alpha;                                                                                   \
    }                                                                                                        \
    RLS_VECTORISED static void axpy_##suffix(int64_t n, real alpha, const real x[restrict],                  \
                                             real y[restrict])                                               \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            y[i] += alpha * x[i];                                                                            \
    }                                                                                                        \
    RLS_VECTORISED static void subtract_from_##suffix(int64_t n, const real a[restrict], real y[restrict])   \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            y[i] = a[i] - y[i];                                                                              \
    }                                                                                                        \
    RLS_VECTORISED static double dot_##suffix(int64_t n, const real x[], const real y[])                     \
    {                                                                                                        \
        double part[8] = {0.0}, sum = 0.0;                                                                   \
        int64_t i = 0;                                                                                       \
        for (; i + 8 <= n; i += 8)                                                                           \
            for (int k = 0; k < 8; k++)                                                                      \
                part[k] += (double)x[i + k] * (double)y[i + k];                                              \
        for (; i < n; i++)                                                                                   \
            sum += (double)x[i] * (double)y[i];                                                              \
        for (int k = 0; k < 8; k++)                                                                          \
            sum += part[k];                                                                                  \
        return sum;                                                                                          \
    }

DEFINE_LOOPS(double, f64)
DEFINE_LOOPS(float, f32)

void rls_scale(rls_dtype dtype, int64_t n, double alpha, void *x)
{
    if (dtype == RLS_F64)
        scale_f64(n, alpha, x);
    else
        scale_f32(n, (float)alpha, x);
}

void rls_axpy(rls_dtype dtype, int64_t n, double alpha, const void *x, void *y)
{
    if (dtype == RLS_F64)
        axpy_f64(n, alpha, x, y);
    else
        axpy_f32(n, (float)alpha, x, y);
}

void rls_subtract_from(rls_dtype dtype, int64_t n, const void *a, void *y)
{
    if (dtype == RLS_F64)
        subtract_from_f64(n, a, y);
    else
        subtract_from_f32(n, a, y);
}

double rls_dot(rls_dtype dtype, int64_t n, const void *x, const void *y)
{
    return dtype == RLS_F64 ? dot_f64(n, x, y) : dot_f32(n, x, y);
}

double rls_sum_squares(rls_dtype dtype, int64_t m, int64_t n, const void *a, int64_t lda)
{
    double sum = 0.0; /* by column: the error grows like the square root of the size, not the size */
    for (int64_t j = 0; j < n; j++)
        sum += rls_dot(dtype, m, rls_at(dtype, a, j * lda), rls_at(dtype, a, j * lda));
    return sum;
}
