/*
 * A rank's part of a distributed matrix times panels, and updated by panels: where a step spends its time.
 *
 * A BLAS packs its large operand anew for every product, which costs a third of the time when the other one
 * is skinny. Here a tile of the matrix is read once, from where it lies, serves both products of a symmetric
 * matrix, and is packed while the next one is being fetched. Panels are packed once for many tiles.
 *
 * The results depend on the number of threads, but not on how fast each of them was. No function is
 * collective, and none fails: the room to work in came with the grid.
 */
#ifndef LINALG_TILES_H
#define LINALG_TILES_H

#include "linalg/matrix.h"

/* What of the matrix counts: all of it, or the lower triangle (global row >= global column). */
typedef enum { RLS_FULL, RLS_LOWER } rls_shape;

/* f_row += alpha A k_col  and  f_col += alpha A^T k_row, with A's local part [rows_local, cols_local].
 * f_row, k_row: [rows_local, u]; f_col, k_col: [cols_local, u], column-major without gaps. Either product is
 * left out when its f is NULL. With RLS_LOWER, A in the first product is the lower triangle and in the second
 * one the strictly lower one. 2 rows cols u flops a product, or half of it. */
void rls_tiles_multiply(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                        void *f_row, const void *k_row, void *f_col);

/* A += alpha g_row g_col^T, panels [rows_local, u] and [cols_local, u]. With RLS_LOWER what lies above the
 * diagonal is undefined afterwards. 2 rows cols u flops, or half of it. */
void rls_tiles_update(rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *g_row,
                      const void *g_col);

/* B = B L^{-T}, B [rows, u] column-major, L [u, u] lower triangular without gaps. rows u^2 flops. After a
 * matrix has been made on that grid. */
void rls_tiles_solve(const rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t u, const void *l, void *b,
                     int64_t ldb);

#endif
