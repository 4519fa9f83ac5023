/* How a shard that holds edited tensors is written anew: its header, and which bytes come from where. */
#ifndef STORE_EXPORT_PLAN_H
#define STORE_EXPORT_PLAN_H

#include "store/model_dir.h"

/* An edited tensor and its type in the new file. */
typedef struct {
    const rls_model_tensor *tensor;
    rls_dtype dtype;
} rls_plan_edit;

/* A run of bytes of the new file. */
typedef struct {
    int64_t edit; /* of this edited tensor; -1: copied from the old shard */
    int64_t from; /* offset in the old shard */
    int64_t to;   /* offset in the new one */
    int64_t bytes;
} rls_piece;

typedef struct {
    char *header; /* the new one with the 8 bytes before it; NULL: copied with the first piece */
    int64_t header_bytes;
    rls_piece *piece; /* in order of `to` */
    int64_t pieces;
} rls_shard_plan;

/* Plans one shard.
 * Collective (rank 0 makes the header). edits, count: of the whole model; those of other shards are ignored.
 * Free with rls_shard_plan_free, also on failure. Returns RLS_ERR_DATA when the shard is not what it was,
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_shard_plan_make(const rls_model_dir *dir, int64_t shard,
                                             const rls_plan_edit *edits, int64_t count, rls_shard_plan *out);

/* Frees what it holds. Not collective. */
void rls_shard_plan_free(rls_shard_plan *plan);

/* Bytes by which the model's tensors grow (negative: shrink). Not collective. */
int64_t rls_plan_growth(const rls_plan_edit *edits, int64_t count);

#endif
