#include "store/tensor_io.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/finite.h"
#include "store/writeback.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data are little-endian, and are read here as they are"
#endif

enum {
    /* Of a rank. Small enough for the first to come soon, and for the buffers to stay in memory that the
     * process has already: larger ones come from the system anew, and are cleared by it, every time. */
    ROUND_BYTES = 4 << 20,
    AHEAD = 2 /* rounds asked for early: with more, the disk waits for memory */
};

/* A matrix as lines in a file. */
typedef struct {
    const rls_matrix *matrix;
    int64_t lines, length; /* number of lines, elements of each */
    rls_dtype dtype;
    int64_t line_bytes;
    void *buffer; /* for one round */
    rls_exchange_room room;
} line_file;

/* This rank's lines in a round; false when there is no such round. */
static bool lines_of(const line_file *file, int64_t round, int64_t *first, int64_t *count)
{
    return rls_slab_round(file->matrix->grid, file->lines, file->line_bytes, ROUND_BYTES, round, first,
                          count);
}

static rls_status prepare(rls_context *ctx, const rls_matrix *matrix, rls_lines lines, rls_dtype dtype,
                          line_file *out)
{
    int64_t first = 0, count = 0;
    *out = (line_file){.matrix = matrix, .dtype = dtype};
    out->lines = lines == RLS_LINES_ARE_COLUMNS ? matrix->cols : matrix->rows;
    out->length = lines == RLS_LINES_ARE_COLUMNS ? matrix->rows : matrix->cols;
    out->line_bytes = out->length * (int64_t)rls_dtype_size(dtype);
    if (out->line_bytes > INT_MAX)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "a line of %" PRId64 " elements is more than one message can carry", out->length);
    /* The first round is the largest. */
    (void)lines_of(out, 0, &first, &count);
    return rls_alloc(ctx, count, (size_t)out->line_bytes, &out->buffer);
}

static void release(line_file *file)
{
    rls_exchange_room_free(&file->room);
    free(file->buffer);
}

rls_status rls_tensor_check(const rls_model_dir *dir, const char *name, rls_lines lines, int64_t rows,
                            int64_t cols, const rls_model_tensor **out)
{
    char expected[RLS_TENSOR_TEXT_MAX], found[RLS_TENSOR_TEXT_MAX];
    rls_context *ctx = rls_model_dir_context(dir);
    const int64_t columns_shape[2] = {cols, rows}, rows_shape[2] = {rows, cols};
    const int64_t *shape = lines == RLS_LINES_ARE_COLUMNS ? columns_shape : rows_shape;
    const rls_status status = rls_model_dir_require(dir, name, out);
    if (status != RLS_OK)
        return status;
    const rls_tensor *info = (*out)->info;
    if (!rls_tensor_type_dtype(info->type, NULL))
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: tensor '%s' is %s: only F64, F32, F16 and BF16 weights can be edited",
                        rls_model_dir_path(dir), name, rls_tensor_type_name(info->type));
    if (info->dims != 2 || info->shape[0] != shape[0] || info->shape[1] != shape[1])
        return rls_fail(ctx, RLS_ERR_DATA, "%s: tensor '%s' is %s, expected %s", rls_model_dir_path(dir),
                        name, rls_shape_text(info->dims, info->shape, found),
                        rls_shape_text(2, shape, expected));
    return RLS_OK;
}

static rls_status check_numbers(rls_context *ctx, const char *path, const char *name, const line_file *file,
                                const rls_slab *slab, rls_dtype state)
{
    const int64_t bad = rls_first_nonfinite(file->dtype, slab->data, slab->count * file->length, state);
    if (bad < 0)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: tensor '%s' holds %g at [%" PRId64 ", %" PRId64 "]: not a weight in %s", path, name,
                    rls_element_value(file->dtype, slab->data, bad), slab->first + bad / file->length,
                    bad % file->length, rls_dtype_name(state));
}

/* Asks for this rank's part of a round. */
static void ask_for(const line_file *file, const rls_shared_file *input, int64_t offset, int64_t round)
{
    int64_t first = 0, count = 0;
    if (lines_of(file, round, &first, &count))
        rls_readahead(input->hint, offset + first * file->line_bytes, count * file->line_bytes);
}

/* Round after round into the matrix, while the disk reads the next ones. Collective. */
static rls_status load_rounds(line_file *file, const rls_shared_file *input, const rls_model_tensor *tensor,
                              rls_lines lines)
{
    rls_context *ctx = input->ctx;
    const rls_cyclic *part = &file->matrix->part;
    rls_status status = RLS_OK;
    rls_slab slab = {0, 0, file->dtype, file->buffer};
    for (int64_t round = 0; round < AHEAD; round++)
        ask_for(file, input, tensor->offset, round);
    for (int64_t round = 0; status == RLS_OK && lines_of(file, round, &slab.first, &slab.count); round++) {
        ask_for(file, input, tensor->offset, round + AHEAD);
        const int64_t offset = tensor->offset + slab.first * file->line_bytes;
        status = rls_shared_get(input, offset, file->buffer, slab.count * file->line_bytes);
        if (status == RLS_OK)
            status = check_numbers(ctx, input->path, tensor->info->name, file, &slab, part->dtype);
        status = rls_agree(ctx, status);
        if (status == RLS_OK)
            status = rls_redistribute(&file->room, true, &slab, lines, part);
    }
    return status;
}

rls_status rls_tensor_load(const rls_model_dir *dir, const char *name, rls_lines lines, rls_matrix *matrix)
{
    rls_context *ctx = rls_model_dir_context(dir);
    const rls_model_tensor *tensor = NULL;
    rls_shared_file input = {.handle = MPI_FILE_NULL};
    rls_dtype dtype = RLS_F32;
    line_file file = {0};
    const double start = rls_profile_start();
    rls_status status = rls_tensor_check(dir, name, lines, matrix->rows, matrix->cols, &tensor);
    if (status == RLS_OK && matrix->grid->ctx != ctx)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "tensor '%s': the matrix belongs to another context than the model", name);
    if (status == RLS_OK) {
        (void)rls_tensor_type_dtype(tensor->info->type, &dtype);
        status = prepare(ctx, matrix, lines, dtype, &file);
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        const rls_shard *shard = rls_model_dir_shard(dir, tensor->shard);
        status = rls_shared_open(ctx, shard->path, shard->bytes, &input);
    }
    if (status == RLS_OK)
        status = load_rounds(&file, &input, tensor, lines);
    if (status == RLS_OK)
        status = rls_shared_close(&input);
    if (status == RLS_OK)
        rls_profile_add(ctx, "load weights", start, 0.0,
                        (double)(tensor->info->end - tensor->info->begin) / ctx->size);
    rls_shared_abandon(&input);
    release(&file);
    return status;
}

rls_status rls_tensor_store(const rls_matrix *matrix, rls_lines lines, rls_dtype dtype,
                            const rls_shared_file *file, int64_t offset)
{
    line_file out = {0};
    rls_status status = rls_agree(file->ctx, prepare(file->ctx, matrix, lines, dtype, &out));
    rls_slab slab = {0, 0, dtype, out.buffer};
    for (int64_t round = 0; status == RLS_OK && lines_of(&out, round, &slab.first, &slab.count); round++) {
        status = rls_redistribute(&out.room, false, &slab, lines, &matrix->part);
        if (status == RLS_OK)
            status = rls_agree(file->ctx, rls_shared_put(file, offset + slab.first * out.line_bytes,
                                                         out.buffer, slab.count * out.line_bytes));
    }
    release(&out);
    return status;
}
