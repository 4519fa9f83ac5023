/*
 * Weights between a model's files and distributed matrices.
 *
 * X = W^T [n, m] for W [m, n] (y = W x). A Linear's weight [m, n], row-major, is X column by column:
 * RLS_LINES_ARE_COLUMNS. GPT-2's Conv1D stores [n, m]: X row by row, RLS_LINES_ARE_ROWS. In both cases a line
 * is a row of the stored tensor.
 */
#ifndef STORE_TENSOR_IO_H
#define STORE_TENSOR_IO_H

#include "linalg/matrix.h"
#include "store/model_dir.h"
#include "store/shared_file.h"

/* Whether the tensor of that name can be the matrix X [rows, cols]: it is there, of a floating-point type, of
 * the right shape. Not collective. Returns RLS_ERR_DATA naming the tensor and what is expected and found;
 * *out is the tensor otherwise. */
RLS_NODISCARD rls_status rls_tensor_check(const rls_model_dir *dir, const char *name, rls_lines lines,
                                          int64_t rows, int64_t cols, const rls_model_tensor **out);

/* Reads a tensor into a matrix, in rounds of a few MiB a rank.
 * Collective. The matrix is on a grid of the directory's context.
 * Returns what rls_tensor_check does; RLS_ERR_DATA when the tensor holds NaN or Inf (named by [row, col] in
 * the file), or a number beyond the matrix's type, or the file has changed; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tensor_load(const rls_model_dir *dir, const char *name, rls_lines lines,
                                         rls_matrix *matrix);

/* Writes a matrix as a tensor's bytes at `offset` of the file, rounded once to dtype, in rounds as above.
 * Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tensor_store(const rls_matrix *matrix, rls_lines lines, rls_dtype dtype,
                                          const rls_shared_file *file, int64_t offset);

#endif
