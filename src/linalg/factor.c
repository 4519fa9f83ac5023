#include "linalg/factor.h"

#include <math.h>

#include "linalg/blas.h"
#include "linalg/symmetric.h"

enum { DESCRIPTOR_SIZE = 9 };

static void describe(const rls_matrix *a, int desc[DESCRIPTOR_SIZE])
{
    const int block = (int)a->part.rows.block;
    const int filled[DESCRIPTOR_SIZE] = {
        1, a->grid->blacs_context, (int)a->rows, (int)a->cols, block, block, 0, 0, (int)a->part.ld};
    for (int i = 0; i < DESCRIPTOR_SIZE; i++)
        desc[i] = filled[i];
}

static int factorise(rls_matrix *a)
{
    int desc[DESCRIPTOR_SIZE], info = 0;
    const int n = (int)a->rows, one = 1;
    describe(a, desc);
    if (a->part.dtype == RLS_F64)
        pdpotrf_("L", &n, a->part.data, &one, &one, desc, &info);
    else
        pspotrf_("L", &n, a->part.data, &one, &one, desc, &info);
    return info;
}

static int invert_factored(rls_matrix *a)
{
    int desc[DESCRIPTOR_SIZE], info = 0;
    const int n = (int)a->rows, one = 1;
    describe(a, desc);
    if (a->part.dtype == RLS_F64)
        pdpotri_("L", &n, a->part.data, &one, &one, desc, &info);
    else
        pspotri_("L", &n, a->part.data, &one, &one, desc, &info);
    return info;
}

static rls_status refuse(rls_context *ctx, double pivot, double largest)
{
    return rls_fail(ctx, RLS_ERR_NUMERIC,
                    "the matrix is singular to working precision: smallest pivot %.3g, largest diagonal %.3g",
                    pivot, largest);
}

rls_status rls_spd_invert(rls_matrix *a, double *smallest_pivot)
{
    rls_context *ctx = a->grid->ctx;
    const double largest = rls_largest_diagonal(a);
    const double bound = sqrt((double)a->rows) * rls_dtype_eps(a->part.dtype) * largest;
    double start = rls_profile_start();
    const double n3 = (double)a->rows * (double)a->rows * (double)a->rows / ctx->size;
    int info = factorise(a);
    MPI_Allreduce(MPI_IN_PLACE, &info, 1, MPI_INT, MPI_MAX, ctx->comm);
    (void)rls_profile_add(ctx, "factor A_0", start, n3 / 3.0, 0.0);
    *smallest_pivot = info > 0 ? rls_diagonal_element(a, info - 1) : rls_smallest_pivot(a);
    rls_status status = RLS_OK;
    if (info != 0 || !(*smallest_pivot > bound))
        status = refuse(ctx, *smallest_pivot, largest);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    start = rls_profile_start();
    info = invert_factored(a);
    (void)rls_profile_add(ctx, "invert A_0", start, 2.0 * n3 / 3.0, 0.0);
    /* The last pivot that row i would have, were it the last one: a deficiency hides from the given order. */
    const double last = 1.0 / rls_largest_diagonal(a);
    if (info != 0)
        status = rls_fail(ctx, RLS_ERR_NUMERIC, "the factor has a zero on its diagonal at %d", info);
    else if (!(last > bound)) {
        *smallest_pivot = last;
        status = refuse(ctx, last, largest);
    }
    return rls_agree(ctx, status);
}

rls_status rls_symmetric_times_matrix(double alpha, const rls_matrix *a, const rls_matrix *b, double beta,
                                      rls_matrix *c)
{
    rls_context *ctx = a->grid->ctx;
    rls_status status = RLS_OK;
    /* PBLAS aborts the world on descriptors that do not fit. */
    if (a->rows != a->cols || a->cols != b->rows || b->rows != c->rows || b->cols != c->cols ||
        a->part.dtype != b->part.dtype || b->part.dtype != c->part.dtype ||
        a->part.rows.block != b->part.rows.block || b->part.rows.block != c->part.rows.block)
        status = rls_fail(ctx, RLS_ERR_INTERNAL, "a symmetric product of matrices that do not fit");
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    int desc_a[DESCRIPTOR_SIZE], desc_b[DESCRIPTOR_SIZE], desc_c[DESCRIPTOR_SIZE];
    describe(a, desc_a);
    describe(b, desc_b);
    describe(c, desc_c);
    const int n = (int)c->rows, m = (int)c->cols, one = 1;
    const float alpha32 = (float)alpha, beta32 = (float)beta;
    if (a->part.dtype == RLS_F64)
        pdsymm_("L", "L", &n, &m, &alpha, a->part.data, &one, &one, desc_a, b->part.data, &one, &one, desc_b,
                &beta, c->part.data, &one, &one, desc_c);
    else
        pssymm_("L", "L", &n, &m, &alpha32, a->part.data, &one, &one, desc_a, b->part.data, &one, &one,
                desc_b, &beta32, c->part.data, &one, &one, desc_c);
    return RLS_OK;
}
