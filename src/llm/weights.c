#include "llm/weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/weights_check.h"
#include "store/tensor_read.h"

typedef struct {
    rls_context *ctx;
    const rls_model_dir *dir;
    rls_weights *weights;
    rls_tensor_reader *reader;
} loading;

/* How the map is held: as the file has it, or float32 when its tensors are of different types or float64. */
static rls_dtype part_dtype(const rls_model_dir *dir, const rls_weight_part *part)
{
    char name[RLS_WEIGHT_FULL_NAME_MAX];
    rls_dtype all = RLS_F32;
    for (int i = 0; part->weight && i < part->pieces; i++) {
        rls_dtype dtype = RLS_F32;
        const rls_model_tensor *tensor =
            rls_model_dir_find(dir, rls_weight_name(&part->piece[i], ".weight", name));
        if (tensor != NULL)
            (void)rls_tensor_type_dtype(tensor->info->type, &dtype);
        if (dtype == RLS_F64 || (i > 0 && dtype != all))
            return RLS_F32;
        all = dtype;
    }
    return all;
}

static int64_t part_rows(const rls_weight_part *part)
{
    int64_t rows = 0;
    for (int i = 0; i < part->pieces; i++)
        rows += part->piece[i].rows.count;
    return rows;
}

/* Bytes of the rank's slices of a part. */
static int64_t part_bytes(const rls_model_dir *dir, const rls_weight_part *part)
{
    const int64_t rows = part_rows(part);
    const int64_t elements = part->weight ? rows * part->piece[0].cols.count : 0;
    const int64_t weight = elements * (int64_t)rls_dtype_size(part->norm ? RLS_F32 : part_dtype(dir, part));
    return weight + (part->bias_here ? rows * (int64_t)sizeof(float) : 0);
}

static rls_status read_vector(const loading *l, const rls_weight_piece *piece, const char *suffix, float *to)
{
    char name[RLS_WEIGHT_FULL_NAME_MAX];
    const rls_tensor_piece vector = {.rows = 1,
                                     .col = piece->rows.first,
                                     .cols = piece->rows.count,
                                     .dtype = RLS_F32,
                                     .to = to,
                                     .ld = piece->rows.count};
    const rls_model_tensor *tensor = NULL;
    const rls_status status = rls_model_dir_require(l->dir, rls_weight_name(piece, suffix, name), &tensor);
    return status == RLS_OK ? rls_tensor_read(l->reader, tensor, &vector) : status;
}

static rls_status read_matrix(const loading *l, const rls_weight_part *part, const rls_weight_piece *piece,
                              const rls_linear *linear, int64_t row)
{
    char name[RLS_WEIGHT_FULL_NAME_MAX];
    const bool across = part->stored_transposed;
    const rls_share rows = across ? piece->cols : piece->rows, cols = across ? piece->rows : piece->cols;
    const int64_t skip = row * linear->in * (int64_t)rls_dtype_size(linear->dtype);
    const rls_tensor_piece rectangle = {.row = rows.first,
                                        .rows = rows.count,
                                        .col = cols.first,
                                        .cols = cols.count,
                                        .transpose = across,
                                        .dtype = linear->dtype,
                                        .to = (char *)linear->weight + skip,
                                        .ld = linear->in};
    const rls_model_tensor *tensor = NULL;
    if (rows.count == 0 || cols.count == 0) /* there may be no array at all */
        return RLS_OK;
    const rls_status status = rls_model_dir_require(l->dir, rls_weight_name(piece, ".weight", name), &tensor);
    return status == RLS_OK ? rls_tensor_read(l->reader, tensor, &rectangle) : status;
}

static rls_status alloc_floats(rls_context *ctx, int64_t count, float **out)
{
    void *memory = NULL;
    const rls_status status = rls_alloc(ctx, count, sizeof(float), &memory);
    *out = memory;
    return status;
}

static rls_status load_norm(const loading *l, const rls_weight_part *part, rls_norm *norm)
{
    const rls_weight_piece *piece = &part->piece[0];
    rls_status status = alloc_floats(l->ctx, piece->out, &norm->gain);
    if (status == RLS_OK)
        status = read_vector(l, piece, ".weight", norm->gain);
    if (status == RLS_OK && part->bias)
        status = alloc_floats(l->ctx, piece->out, &norm->bias);
    if (status == RLS_OK && part->bias)
        status = read_vector(l, piece, ".bias", norm->bias);
    return status;
}

static rls_status load_bias(const loading *l, const rls_weight_part *part, rls_linear *linear)
{
    rls_status status = alloc_floats(l->ctx, linear->out, &linear->bias);
    int64_t row = 0;
    for (int i = 0; status == RLS_OK && linear->out > 0 && i < part->pieces; i++) {
        status = read_vector(l, &part->piece[i], ".bias", linear->bias + row);
        row += part->piece[i].rows.count;
    }
    return status;
}

static rls_status load_linear(const loading *l, const rls_weight_part *part, rls_linear *linear)
{
    rls_status status = RLS_OK;
    linear->out = part_rows(part);
    linear->in = part->piece[0].cols.count;
    linear->dtype = part_dtype(l->dir, part);
    int64_t row = 0;
    if (part->weight)
        status = rls_alloc(l->ctx, linear->out * linear->in, rls_dtype_size(linear->dtype), &linear->weight);
    for (int i = 0; status == RLS_OK && part->weight && i < part->pieces; i++) {
        status = read_matrix(l, part, &part->piece[i], linear, row);
        row += part->piece[i].rows.count;
    }
    if (status == RLS_OK && part->bias_here)
        status = load_bias(l, part, linear);
    return status;
}

static rls_status load_part(void *user, const rls_weight_part *part)
{
    const loading *l = user;
    rls_linear *linear = rls_weights_linear(l->weights, part);
    l->weights->bytes += part_bytes(l->dir, part);
    return linear != NULL ? load_linear(l, part, linear)
                          : load_norm(l, part, rls_weights_norm(l->weights, part));
}

/* One rank's slices; no agreement in here. */
static rls_status load_slices(loading *l, const rls_architecture *arch, const rls_partition *partition)
{
    void *blocks = NULL;
    rls_status status = rls_alloc_zero(l->ctx, arch->blocks, sizeof *l->weights->block, &blocks);
    l->weights->block = blocks;
    if (status == RLS_OK)
        status = rls_tensor_reader_create(l->ctx, l->dir, &l->reader);
    if (status == RLS_OK)
        status = rls_weights_plan(l->dir, arch, partition->tensor, partition->tensor_ranks, load_part, l);
    rls_tensor_reader_destroy(&l->reader);
    if (status == RLS_OK && arch->tied) {
        l->weights->head.weight = l->weights->embedding.weight;
        l->weights->head.dtype = l->weights->embedding.dtype;
    }
    return status;
}

rls_status rls_weights_load(const rls_model_dir *dir, const rls_architecture *arch,
                            const rls_partition *partition, rls_weights *out)
{
    rls_context *ctx = partition->ctx;
    loading l = {.ctx = ctx, .dir = dir, .weights = out};
    const double start = rls_profile_start();
    memset(out, 0, sizeof *out);
    rls_status status = rls_agree(ctx, rls_weights_check(ctx, dir, arch));
    if (status == RLS_OK)
        status = rls_agree(ctx, load_slices(&l, arch, partition));
    if (status == RLS_OK)
        rls_profile_add(ctx, "load model", start, 0.0, (double)out->bytes);
    else
        rls_weights_free(out, arch);
    return status;
}

static void free_linear(rls_linear *linear)
{
    free(linear->weight);
    free(linear->bias);
}

static void free_norm(rls_norm *norm)
{
    free(norm->gain);
    free(norm->bias);
}

void rls_weights_free(rls_weights *weights, const rls_architecture *arch)
{
    if (weights->head.weight == weights->embedding.weight) /* tied */
        weights->head.weight = NULL;
    for (int64_t i = 0; weights->block != NULL && i < arch->blocks; i++) {
        rls_block_weights *block = &weights->block[i];
        free_norm(&block->attention_norm);
        free_norm(&block->mlp_norm);
        free_linear(&block->qkv);
        free_linear(&block->out);
        free_linear(&block->gate_up);
        free_linear(&block->down);
    }
    free(weights->block);
    free_linear(&weights->embedding);
    free_linear(&weights->positions);
    free_linear(&weights->head);
    free_norm(&weights->norm);
    memset(weights, 0, sizeof *weights);
}

typedef struct {
    const rls_model_dir *dir;
    int64_t bytes;
} counting;

static rls_status count_part(void *user, const rls_weight_part *part)
{
    counting *c = user;
    c->bytes += part_bytes(c->dir, part);
    return RLS_OK;
}

int64_t rls_weights_bytes(const rls_model_dir *dir, const rls_architecture *arch, int tensor_ranks)
{
    int64_t most = 0;
    for (int t = 0; t < tensor_ranks; t++) {
        counting c = {dir, 0};
        if (rls_weights_plan(dir, arch, t, tensor_ranks, count_part, &c) != RLS_OK)
            return INT64_MAX; /* not so: counting does not fail */
        most = c.bytes > most ? c.bytes : most;
    }
    return most;
}
