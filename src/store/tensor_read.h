/*
 * Pieces of a model's tensors, read by one rank on its own: nothing here is collective. For matrices that all
 * ranks read together see store/tensor_io.h.
 */
#ifndef STORE_TENSOR_READ_H
#define STORE_TENSOR_READ_H

#include "store/model_dir.h"

/* An open shard and a buffer, kept from one piece to the next. */
typedef struct rls_tensor_reader rls_tensor_reader;

/* A rectangle of a tensor [rows, cols] (a vector is one row), and where it goes: element (row + i, col + j)
 * to to[i * ld + j], or with transpose to to[j * ld + i], as dtype. */
typedef struct {
    int64_t row, rows, col, cols;
    bool transpose;
    rls_dtype dtype;
    void *to;
    int64_t ld;
} rls_tensor_piece;

/* Makes a reader. Failures go to ctx. Returns RLS_ERR_MEMORY. Free with rls_tensor_reader_destroy. */
RLS_NODISCARD rls_status rls_tensor_reader_create(rls_context *ctx, const rls_model_dir *dir,
                                                  rls_tensor_reader **out);

/* Frees it and sets *reader to NULL. NULL is accepted. */
void rls_tensor_reader_destroy(rls_tensor_reader **reader);

/* Reads a piece, in rounds of at most RLS_ROUND_BYTES. The tensor has one or two dimensions and a type of
 * rls_dtype. Only the piece's bytes are read, but for short or wide parts of rows, where reading through the
 * rows is faster. Returns RLS_ERR_DATA when the piece holds NaN, Inf, or a number beyond dtype's range (named
 * by tensor and element) or the file has become shorter, RLS_ERR_IO, RLS_ERR_MEMORY, RLS_ERR_INTERNAL for a
 * piece beyond the tensor. */
RLS_NODISCARD rls_status rls_tensor_read(rls_tensor_reader *reader, const rls_model_tensor *tensor,
                                         const rls_tensor_piece *piece);

#endif
