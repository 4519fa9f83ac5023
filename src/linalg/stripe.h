/*
 * Columns out of a symmetric distributed matrix of which only the lower triangle is stored: A[:, K] for
 * consecutive indices K, dealt by rows over all ranks. What lies above the diagonal comes from the rows K of
 * the lower triangle. Every element travels once.
 *
 * A rank's share of the rows: those of its process row are split evenly among the process columns, in order.
 */
#ifndef LINALG_STRIPE_H
#define LINALG_STRIPE_H

#include "linalg/matrix.h"

typedef struct {
    rls_matrix *a;
    int *send_counts, *send_starts, *recv_counts, *recv_starts; /* per rank, in elements */
    void *packed;   /* what this rank's part of A gives; borrowed, as the next one */
    void *received; /* what its share gets from other ranks */
} rls_stripe;

/* Where process column `col`'s share of a process row's rows begins, and column col - 1's ends. */
static inline int64_t rls_share_begin(int64_t rows_local, int col, int q)
{
    return rows_local * col / q;
}

/* Prepares for taking columns out of A. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_stripe_init(rls_stripe *stripe, rls_matrix *a);
void rls_stripe_free(rls_stripe *stripe);

/* Elements of buffer that taking up to `width` columns of a matrix [n, n] needs at most on any rank of a
 * p x q grid. Not collective. */
int64_t rls_stripe_elements(int64_t n, int64_t block, int p, int q, int64_t width);

/* Lends it that many elements at `buffer`. Not collective. */
void rls_stripe_buffer(rls_stripe *stripe, int64_t width, void *buffer);

/* share [share's rows, k1 - k0] (leading dimension ld) = this rank's share of A[:, k0..k1), and these columns
 * and rows of A's lower triangle become 0. In the share's rows k0..k1 what lies above the diagonal is
 * undefined. Collective over the grid. Returns the bytes received from other ranks. Lend a buffer first. */
double rls_stripe_take(rls_stripe *stripe, int64_t k0, int64_t k1, void *share, int64_t ld);

#endif
