#include "store/tensor_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"
#include "base/memory.h"
#include "grid/redistribute.h"
#include "store/file_util.h"
#include "store/finite.h"

enum {
    THROUGH_BYTES = 4096, /* parts of rows shorter than this come with their rows: a page is read anyway */
    TILE = 32             /* of a transposition */
};

struct rls_tensor_reader {
    rls_context *ctx;
    const rls_model_dir *dir;
    int64_t shard; /* the open one; -1: none */
    int fd;
    char *buffer;
    int64_t room; /* bytes of buffer */
};

/* A piece being read: the tensor as a matrix. */
typedef struct {
    rls_tensor_reader *reader;
    const rls_model_tensor *tensor;
    const rls_tensor_piece *piece;
    rls_dtype dtype; /* in the file */
    int64_t size;    /* of an element in the file */
    int64_t width;   /* columns of the tensor */
} reading;

rls_status rls_tensor_reader_create(rls_context *ctx, const rls_model_dir *dir, rls_tensor_reader **out)
{
    void *memory = NULL;
    const rls_status status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    *out = memory;
    if (status != RLS_OK)
        return status;
    **out = (rls_tensor_reader){.ctx = ctx, .dir = dir, .shard = -1, .fd = -1};
    return RLS_OK;
}

void rls_tensor_reader_destroy(rls_tensor_reader **reader)
{
    if (*reader == NULL)
        return;
    if ((*reader)->fd >= 0)
        close((*reader)->fd);
    free((*reader)->buffer);
    free(*reader);
    *reader = NULL;
}

static rls_status open_shard(rls_tensor_reader *r, int64_t shard)
{
    if (r->shard == shard)
        return RLS_OK;
    const char *path = rls_model_dir_shard(r->dir, shard)->path;
    if (r->fd >= 0)
        close(r->fd);
    r->shard = -1;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return rls_fail(r->ctx, rls_input_status(errno), "%s: cannot open: %s", path, strerror(errno));
    r->shard = shard;
    return RLS_OK;
}

static rls_status make_room(rls_tensor_reader *r, int64_t bytes)
{
    void *memory = NULL;
    if (bytes <= r->room)
        return RLS_OK;
    free(r->buffer);
    const rls_status status = rls_alloc(r->ctx, bytes, 1, &memory);
    r->buffer = memory;
    r->room = status == RLS_OK ? bytes : 0;
    return status;
}

/* Exactly `bytes` bytes at offset of the open shard. */
static rls_status read_bytes(rls_tensor_reader *r, int64_t offset, int64_t bytes, char *to)
{
    const char *path = rls_model_dir_shard(r->dir, r->shard)->path;
    while (bytes > 0) {
        const ssize_t got = pread(r->fd, to, (size_t)bytes, (off_t)offset);
        if (got < 0 && errno != EINTR)
            return rls_fail(r->ctx, RLS_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            return rls_fail(r->ctx, RLS_ERR_DATA,
                            "%s: ends at byte %" PRId64 ": it was longer when it was opened", path, offset);
        if (got > 0) {
            to += got;
            offset += got;
            bytes -= (int64_t)got;
        }
    }
    return RLS_OK;
}

/* Numbers just read: `count` from [row, col] of the tensor on, within one row or over whole rows. */
static rls_status check_numbers(const reading *x, int64_t row, int64_t col, const char *data, int64_t count)
{
    char shown[RLS_TENSOR_TEXT_MAX];
    rls_tensor_reader *r = x->reader;
    /* 16-bit numbers fit any type. */
    const bool narrow = x->dtype == RLS_F16 || x->dtype == RLS_BF16;
    const int64_t bad = rls_first_nonfinite(x->dtype, data, count, narrow ? RLS_F32 : x->piece->dtype);
    if (bad < 0)
        return RLS_OK;
    const int64_t at = col + bad;
    const double value = rls_element_value(x->dtype, data, bad);
    const char *path = rls_model_dir_shard(r->dir, x->tensor->shard)->path;
    const char *name = rls_printable(x->tensor->info->name, shown);
    if (x->tensor->info->dims < 2)
        return rls_fail(r->ctx, RLS_ERR_DATA, "%s: tensor '%s' holds %g at [%" PRId64 "]: not a weight in %s",
                        path, name, value, at, rls_dtype_name(x->piece->dtype));
    return rls_fail(r->ctx, RLS_ERR_DATA,
                    "%s: tensor '%s' holds %g at [%" PRId64 ", %" PRId64 "]: not a weight in %s", path, name,
                    value, row + at / x->width, at % x->width, rls_dtype_name(x->piece->dtype));
}

static int64_t offset_of(const reading *x, int64_t row, int64_t col)
{
    return x->tensor->offset + (row * x->width + col) * x->size;
}

/* Puts a block of the buffer (rows from `row`, columns from `col` of the tensor, leading dimension ld) where
 * it goes. */
static void put_block(const reading *x, const char *data, int64_t ld, int64_t row, int64_t rows, int64_t col,
                      int64_t cols)
{
    const rls_tensor_piece *p = x->piece;
    const int64_t size = (int64_t)rls_dtype_size(p->dtype);
    const int64_t i0 = row - p->row, j0 = col - p->col;
    char *to = p->to;
    if (!p->transpose) {
        for (int64_t i = 0; i < rows; i++)
            rls_convert(p->dtype, to + ((i0 + i) * p->ld + j0) * size, 1, x->dtype, data + i * ld * x->size,
                        1, cols);
        return;
    }
    for (int64_t ib = 0; ib < rows; ib += TILE) {
        const int64_t here = rows - ib < TILE ? rows - ib : TILE;
        for (int64_t j = 0; j < cols; j++)
            rls_convert(p->dtype, to + ((j0 + j) * p->ld + i0 + ib) * size, 1, x->dtype,
                        data + (ib * ld + j) * x->size, ld, here);
    }
}

/* Columns [col, col + cols) of the piece's rows, through the buffer. */
static rls_status read_columns(const reading *x, int64_t col, int64_t cols)
{
    const rls_tensor_piece *p = x->piece;
    const bool through = cols < x->width && x->width * x->size <= RLS_ROUND_BYTES &&
                         (2 * cols >= x->width || cols * x->size < THROUGH_BYTES);
    const int64_t ld = through ? x->width : cols, skip = through ? col : 0;
    const int64_t fit = RLS_ROUND_BYTES / (ld * x->size);
    const int64_t most = fit < 1 ? 1 : fit < p->rows ? fit : p->rows;
    rls_status status = make_room(x->reader, most * ld * x->size);
    for (int64_t row = p->row; status == RLS_OK && row < p->row + p->rows; row += most) {
        const int64_t left = p->row + p->rows - row, rows = left < most ? left : most;
        char *buffer = x->reader->buffer;
        if (ld == x->width)
            status = read_bytes(x->reader, offset_of(x, row, 0), rows * ld * x->size, buffer);
        for (int64_t i = 0; status == RLS_OK && ld < x->width && i < rows; i++)
            status =
                read_bytes(x->reader, offset_of(x, row + i, col), ld * x->size, buffer + i * ld * x->size);
        if (status == RLS_OK && cols == x->width)
            status = check_numbers(x, row, 0, buffer, rows * ld);
        for (int64_t i = 0; status == RLS_OK && cols < x->width && i < rows; i++)
            status = check_numbers(x, row + i, col, buffer + (i * ld + skip) * x->size, cols);
        if (status == RLS_OK)
            put_block(x, buffer + skip * x->size, ld, row, rows, col, cols);
    }
    return status;
}

/* Whole rows that go as they are, without the buffer; in rounds, so that a bad number is found early. */
static rls_status read_direct(const reading *x)
{
    const rls_tensor_piece *p = x->piece;
    const int64_t fit = RLS_ROUND_BYTES / (x->width * x->size), most = fit > 0 ? fit : 1;
    rls_status status = RLS_OK;
    for (int64_t i = 0; status == RLS_OK && i < p->rows; i += most) {
        const int64_t rows = p->rows - i < most ? p->rows - i : most;
        char *to = (char *)p->to + i * x->width * x->size;
        status = read_bytes(x->reader, offset_of(x, p->row + i, 0), rows * x->width * x->size, to);
        if (status == RLS_OK)
            status = check_numbers(x, p->row + i, 0, to, rows * x->width);
    }
    return status;
}

rls_status rls_tensor_read(rls_tensor_reader *reader, const rls_model_tensor *tensor,
                           const rls_tensor_piece *piece)
{
    const rls_tensor *info = tensor->info;
    reading x = {.reader = reader, .tensor = tensor, .piece = piece};
    const bool matrix = info->dims == 2;
    const int64_t height = matrix ? info->shape[0] : 1;
    if ((!matrix && info->dims != 1) || !rls_tensor_type_dtype(info->type, &x.dtype))
        return rls_fail(reader->ctx, RLS_ERR_INTERNAL, "a tensor that cannot be read in pieces");
    x.size = (int64_t)rls_dtype_size(x.dtype);
    x.width = matrix ? info->shape[1] : info->shape[0];
    if (piece->row < 0 || piece->rows < 0 || piece->row + piece->rows > height || piece->col < 0 ||
        piece->cols < 0 || piece->col + piece->cols > x.width)
        return rls_fail(reader->ctx, RLS_ERR_INTERNAL, "a piece beyond its tensor");
    if (piece->rows == 0 || piece->cols == 0)
        return RLS_OK;
    rls_status status = open_shard(reader, tensor->shard);
    if (status == RLS_OK && !piece->transpose && piece->cols == x.width && piece->ld == x.width &&
        piece->dtype == x.dtype)
        return read_direct(&x);
    const int64_t most = RLS_ROUND_BYTES / x.size; /* columns of one row that fit */
    for (int64_t col = piece->col; status == RLS_OK && col < piece->col + piece->cols; col += most) {
        const int64_t left = piece->col + piece->cols - col;
        status = read_columns(&x, col, left < most ? left : most);
    }
    return status;
}
