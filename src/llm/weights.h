/*
 * A model's weights on its ranks: every rank holds its slices, in the dtype of the file.
 *
 * A linear map y = W x + b is kept as the file has it (Conv1D is transposed while it is read): W [out, in]
 * row-major, which BLAS reads as the column-major [in, out] with leading dimension `in`.
 */
#ifndef LLM_WEIGHTS_H
#define LLM_WEIGHTS_H

#include "linalg/matrix.h"
#include "llm/partition.h"
#include "store/model_dir.h"

typedef struct {
    int64_t out, in; /* of this rank's slice */
    rls_dtype dtype; /* F32, F16, BF16 */
    void *weight;    /* out x in elements */
    float *bias;     /* out; NULL: none, or another rank of the group adds it */
} rls_linear;

typedef struct {
    float *gain, *bias; /* hidden each; bias NULL for RMSNorm */
} rls_norm;

typedef struct {
    rls_norm attention_norm, mlp_norm; /* the second is empty (gain NULL) with a parallel residual */
    rls_linear qkv;     /* rows: this rank's query heads, its key heads, its value heads; in: hidden */
    rls_linear out;     /* [hidden, heads.count * head_dim]; summed over the group; bias on tensor rank 0 */
    rls_linear gate_up; /* rows: gate (when gated), up: inner.count each; in: hidden */
    rls_linear down;    /* [hidden, inner.count]; summed over the group; bias on tensor rank 0 */
} rls_block_weights;

typedef struct {
    rls_linear embedding; /* rows vocab.first ...; [vocab.count, hidden] */
    rls_linear
        positions; /* [context, hidden] on tensor rank 0, which adds them; empty without learned ones */
    rls_block_weights *block;
    rls_norm norm;
    rls_linear head; /* [vocab.count, hidden]; the embedding's own arrays when tied; bias of its rows */
    int64_t bytes;   /* of this rank's slices */
} rls_weights;

/* Bytes of the largest rank's slices with that many tensor ranks, from the tensors' headers. Not collective.
 */
int64_t rls_weights_bytes(const rls_model_dir *dir, const rls_architecture *arch, int tensor_ranks);

/* Checks every tensor the architecture needs (there, floating-point, right shape: named when not), then reads
 * this rank's slices. Collective over all ranks. A rank reads only bytes of its slices (and of rows it takes
 * a column slice of, when reading through is faster); groups read independently. Needs, besides the slices,
 * at most RLS_ROUND_BYTES. Returns RLS_ERR_DATA (missing or misshaped tensor, NaN or Inf named by tensor and
 * element, vocabulary and embedding that disagree), RLS_ERR_IO, RLS_ERR_MEMORY. Free with rls_weights_free
 * (not collective). */
RLS_NODISCARD rls_status rls_weights_load(const rls_model_dir *dir, const rls_architecture *arch,
                                          const rls_partition *partition, rls_weights *out);
void rls_weights_free(rls_weights *weights, const rls_architecture *arch);

/* Replaces a block's down projection by X^T, X [inner, hidden] block-cyclic on a grid of the partition's ctx,
 * without a file; the slice is float32 from then on. Collective over all ranks. In rounds of RLS_ROUND_BYTES
 * a rank. Returns RLS_ERR_USAGE for another shape, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_weights_set_down(rls_weights *weights, const rls_partition *partition,
                                              int64_t block, const rls_matrix *x);

#endif
