#include "linalg/factor.h"

#include "linalg/blas.h"

enum { DESCRIPTOR_SIZE = 9 };

static void describe(const rls_matrix *a, int desc[DESCRIPTOR_SIZE])
{
    const int block = (int)a->part.rows.block;
    const int filled[DESCRIPTOR_SIZE] = {
        1, a->grid->blacs_context, (int)a->rows, (int)a->cols, block, block, 0, 0, (int)a->part.ld};
    for (int i = 0; i < DESCRIPTOR_SIZE; i++)
        desc[i] = filled[i];
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
