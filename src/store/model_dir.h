/*
 * A Hugging Face model directory: model.safetensors.index.json and the shards it names, or one safetensors
 * file, and side files (config, tokenizer), of which this file knows nothing. All headers are read and
 * validated once, by rank 0; every rank then holds the same tables. No tensor data is read: see
 * store/tensor_io.h.
 */
#ifndef STORE_MODEL_DIR_H
#define STORE_MODEL_DIR_H

#include "store/safetensors.h"

#define RLS_MODEL_INDEX "model.safetensors.index.json"

typedef struct rls_model_dir rls_model_dir;

/* One safetensors file of the model. */
typedef struct {
    const char *name;   /* within the directory */
    char *path;         /* the directory's path and the name */
    int64_t bytes;      /* of the file */
    int64_t data_begin; /* where the data begins: 8 + header length */
    rls_tensor_table *table;
} rls_shard;

typedef struct {
    const rls_tensor *info; /* name, type, shape */
    int64_t shard;
    int64_t offset; /* of its first byte in the shard's file */
} rls_model_tensor;

/* Opens a model directory: finds its safetensors files and validates their headers and the index.
 * Collective.
 * path: the directory (rank 0's counts). With an index, its shards; else model.safetensors; else the only
 * *.safetensors there is. Returns RLS_ERR_DATA naming what is at fault: no such directory, no or several
 * candidate files, an index that is not valid or names a missing shard, a path, or a tensor its shard does
 * not hold, a tensor in two shards, a malformed or truncated shard. RLS_ERR_IO when the system refuses to
 * read, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_model_dir_open(rls_context *ctx, const char *path, rls_model_dir **out);

/* Frees it and sets *dir to NULL. Not collective. NULL is accepted. */
void rls_model_dir_close(rls_model_dir **dir);

/* The context and path it was opened with, and whether there is an index. Not collective. */
rls_context *rls_model_dir_context(const rls_model_dir *dir);
const char *rls_model_dir_path(const rls_model_dir *dir);
bool rls_model_dir_has_index(const rls_model_dir *dir);

/* The shards, in name order. Not collective. They stay the directory's. */
int64_t rls_model_dir_shards(const rls_model_dir *dir);
const rls_shard *rls_model_dir_shard(const rls_model_dir *dir, int64_t i);

/* The tensors, by shard and then by offset. Not collective. They stay the directory's. */
int64_t rls_model_dir_tensors(const rls_model_dir *dir);
const rls_model_tensor *rls_model_dir_tensor(const rls_model_dir *dir, int64_t i);

/* The tensor of that name, or NULL. Not collective. O(log tensors). */
const rls_model_tensor *rls_model_dir_find(const rls_model_dir *dir, const char *name);

/* The tensor of that name; RLS_ERR_DATA naming it and the nearest name when there is none. Not collective. */
RLS_NODISCARD rls_status rls_model_dir_require(const rls_model_dir *dir, const char *name,
                                               const rls_model_tensor **out);

/* Bytes of all shards' files, and elements of all tensors. Not collective. */
int64_t rls_model_dir_bytes(const rls_model_dir *dir);
int64_t rls_model_dir_parameters(const rls_model_dir *dir);

#endif
