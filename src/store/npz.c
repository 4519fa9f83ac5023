#include "store/npz.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "store/finite.h"
#include "store/netcdf.h"
#include "store/npy.h"
#include "store/shared_file.h"
#include "store/zip.h"

static const char SUM[] = "mom2.mom2.npy", COUNT[] = "mom2.count.npy";

/* The names of an archive's arrays, for a message. */
static void list_arrays(const rls_zip *zip, char *text, size_t size)
{
    size_t at = 0;
    (void)snprintf(text, size, "none");
    for (int64_t i = 0; i < zip->count && at + 8 < size; i++) {
        const int wrote = snprintf(text + at, size - at, "%s%.60s", i > 0 ? ", " : "", zip->entries[i].name);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
}

/* Starts on an array: its header is read, the stream is at its elements. The header's CRC-32 goes to *crc. */
static rls_status begin_array(rls_context *ctx, const rls_zip *zip, const char *name, rls_npy *npy,
                              uint32_t *crc, rls_zip_stream **stream)
{
    char text[RLS_MESSAGE_MAX / 2], title[RLS_MESSAGE_MAX / 4];
    void *memory = NULL;
    int64_t header = 0;
    const rls_zip_entry *entry = rls_zip_find(zip, name);
    (void)snprintf(title, sizeof title, "%.400s: %s", zip->source.path, name);
    *stream = NULL;
    if (entry == NULL) {
        list_arrays(zip, text, sizeof text);
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: there is no %s in it: not statistics as MEMIT writes them; it holds %s",
                        zip->source.path, name, text);
    }
    for (const rls_zip_entry *other = entry + 1; other < zip->entries + zip->count; other++)
        if (strcmp(other->name, name) == 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: is in it twice: fetch the file again", title);
    rls_status status = rls_alloc(ctx, RLS_NPY_HEADER_MAX, 1, &memory);
    unsigned char *bytes = memory;
    if (status == RLS_OK)
        status = rls_zip_stream_begin(ctx, zip, entry, stream);
    if (status == RLS_OK && entry->bytes < RLS_NPY_PREFIX)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: is not a NumPy array", title);
    if (status == RLS_OK)
        status = rls_zip_stream_read(*stream, bytes, RLS_NPY_PREFIX);
    if (status == RLS_OK)
        status = rls_npy_header_bytes(ctx, title, bytes, RLS_NPY_PREFIX, &header);
    if (status == RLS_OK && (header > entry->bytes || header < RLS_NPY_PREFIX))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: its header is cut off", title);
    if (status == RLS_OK)
        status = rls_zip_stream_read(*stream, bytes + RLS_NPY_PREFIX, header - RLS_NPY_PREFIX);
    if (status == RLS_OK)
        status = rls_npy_parse(ctx, title, bytes, header, npy);
    if (status == RLS_OK)
        *crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, (size_t)header);
    free(memory);
    return status;
}

/* The one number of an array, which shall be a whole one. */
static rls_status read_count(rls_context *ctx, const rls_zip *zip, int64_t *count)
{
    rls_npy npy;
    uint32_t crc = 0;
    rls_zip_stream *stream = NULL;
    unsigned char bytes[8] = {0};
    *count = 0;
    rls_status status = begin_array(ctx, zip, COUNT, &npy, &crc, &stream);
    const int64_t integer = status == RLS_OK ? rls_npy_element(&npy, 'i') + rls_npy_element(&npy, 'u') : 0,
                  real = status == RLS_OK ? rls_npy_element(&npy, 'f') : 0;
    if (status == RLS_OK && (npy.count != 1 || (integer == 0 && real != 4 && real != 8) ||
                             rls_zip_find(zip, COUNT)->bytes != npy.begin + integer + real))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not one number", zip->source.path, COUNT);
    if (status == RLS_OK)
        status = rls_zip_stream_read(stream, bytes, integer + real);
    rls_zip_stream_end(&stream);
    if (status != RLS_OK)
        return status;
    double value = 0.0;
    if (integer > 0) {
        uint64_t bits = 0;
        for (int64_t i = 0; i < integer; i++)
            bits |= (uint64_t)bytes[i] << 8 * i;
        /* a number with the sign's bit set is negative, or (unsigned, 64 bits) too large: refused below */
        value = integer < 8 && rls_npy_element(&npy, 'i') > 0 && bits >> (8 * integer - 1) != 0
                    ? -1.0
                    : (double)(int64_t)bits;
    } else {
        rls_convert(RLS_F64, &value, 1, real == 8 ? RLS_F64 : RLS_F32, bytes, 1, 1);
    }
    if (!(value >= 1.0 && value <= 9e15 && value == floor(value)))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is %.17g, not a number of keys", zip->source.path, COUNT,
                        value);
    *count = (int64_t)value;
    return RLS_OK;
}

/* The sum's header. */
static rls_status read_sum(rls_context *ctx, const rls_zip *zip, rls_npz_moment *out)
{
    rls_npy npy;
    rls_zip_stream *stream = NULL;
    rls_status status = begin_array(ctx, zip, SUM, &npy, &out->crc_before, &stream);
    rls_zip_stream_end(&stream);
    if (status != RLS_OK)
        return status;
    const rls_zip_entry *entry = rls_zip_find(zip, SUM);
    const int64_t size = rls_npy_element(&npy, 'f');
    if (size != 4 && size != 8)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %s has elements of type %s: only float32 (<f4) and float64 (<f8) can be read",
                        zip->source.path, SUM, npy.type[0] != '\0' ? npy.type : "of a structured kind");
    if (npy.dims != 2 || npy.shape[0] != npy.shape[1] || npy.shape[0] < 1)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not a square matrix", zip->source.path, SUM);
    if (npy.shape[0] > RLS_LINE_ELEMENTS_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s has more than %d rows", zip->source.path, SUM,
                        RLS_LINE_ELEMENTS_MAX);
    if (entry->bytes - npy.begin != npy.count * size)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %s has %" PRId64 " bytes of elements, its shape makes %" PRId64
                        ": truncated? fetch it again",
                        zip->source.path, SUM, entry->bytes - npy.begin, npy.count * size);
    out->n = npy.shape[0];
    out->dtype = size == 8 ? RLS_F64 : RLS_F32;
    out->fortran = npy.fortran;
    out->begin = npy.begin;
    out->deflated = entry->deflated;
    out->crc = entry->crc;
    status = rls_zip_data(ctx, zip, entry, &out->offset);
    out->offset += npy.begin;
    return status;
}

static rls_status read_header(rls_context *ctx, const char *path, rls_npz_moment *out)
{
    rls_zip zip;
    rls_status status = rls_zip_open(ctx, path, &zip);
    if (status == RLS_OK)
        status = read_sum(ctx, &zip, out);
    if (status == RLS_OK)
        status = read_count(ctx, &zip, &out->count);
    out->file_bytes = zip.source.bytes;
    rls_zip_close(&zip);
    return status;
}

rls_status rls_npz_moment_read(rls_context *ctx, const char *path, rls_npz_moment *out)
{
    *out = (rls_npz_moment){.n = 0};
    const rls_status status = rls_agree(ctx, ctx->rank == 0 ? read_header(ctx, path, out) : RLS_OK);
    if (status == RLS_OK)
        MPI_Bcast(out, (int)sizeof *out, MPI_BYTE, 0, ctx->comm);
    return status;
}

/* A load under way. */
typedef struct {
    rls_context *ctx;
    const char *path;
    const rls_npz_moment *moment;
    rls_matrix *matrix;
    int64_t line; /* bytes of a row */
    void *rows;
    rls_shared_file file;   /* stored */
    rls_zip zip;            /* deflated: rank 0's */
    rls_zip_stream *stream; /* the same */
    uLong crc;              /* rank 0: of all before */
} loading;

/* This rank's rows of a round; false when there is no such round. */
static bool round_rows(const loading *l, int64_t round, int64_t *first, int64_t *count)
{
    const int64_t n = l->moment->n, most = RLS_ROUND_BYTES / l->line > 1 ? RLS_ROUND_BYTES / l->line : 1;
    if (!l->moment->deflated)
        return rls_slab_round(l->matrix->grid, n, l->line, RLS_ROUND_BYTES, round, first, count);
    const int64_t begin = round * most < n ? round * most : n, end = begin + most < n ? begin + most : n;
    *first = l->ctx->rank == 0 ? begin : end;
    *count = l->ctx->rank == 0 ? end - begin : 0;
    return begin < n;
}

/* Rank 0 goes on with the CRC-32 over all ranks' bytes of a round. Collective. */
static rls_status add_crc(loading *l, int64_t bytes)
{
    void *memory = NULL;
    const int64_t mine[2] = {bytes, (int64_t)crc32_z(crc32_z(0, NULL, 0), l->rows, (size_t)bytes)};
    const rls_status status = rls_agree(
        l->ctx,
        l->ctx->rank == 0 ? rls_alloc(l->ctx, 2 * (int64_t)l->ctx->size, sizeof(int64_t), &memory) : RLS_OK);
    if (status == RLS_OK)
        MPI_Gather(mine, 2, MPI_INT64_T, memory, 2, MPI_INT64_T, 0, l->ctx->comm);
    const int64_t *all = memory;
    for (int64_t r = 0; all != NULL && status == RLS_OK && r < l->ctx->size; r++)
        l->crc = crc32_combine(l->crc, (uLong)all[2 * r + 1], (z_off_t)all[2 * r]);
    free(memory);
    return status;
}

/* Local: every number is one. */
static rls_status check_rows(const loading *l, int64_t first, int64_t count)
{
    const rls_npz_moment *m = l->moment;
    const int64_t bad = rls_first_nonfinite(m->dtype, l->rows, count * m->n, l->matrix->part.dtype);
    if (bad < 0)
        return RLS_OK;
    const int64_t line = first + bad / m->n, at = bad % m->n;
    return rls_fail(l->ctx, RLS_ERR_DATA, "%s: mom2.mom2[%" PRId64 ", %" PRId64 "] is %g, no finite %s",
                    l->path, m->fortran ? at : line, m->fortran ? line : at,
                    rls_element_value(m->dtype, l->rows, bad), rls_dtype_name(l->matrix->part.dtype));
}

/* One round from the file to the matrix. A line of the file becomes a column of the matrix: its own when they
 * lie column by column, else the one that is the same by symmetry. Collective. */
static rls_status load_round(loading *l, int64_t first, int64_t count)
{
    rls_status status = RLS_OK;
    if (!l->moment->deflated) {
        status = rls_shared_read(&l->file, l->moment->offset + first * l->line, l->rows, count * l->line);
        if (status == RLS_OK)
            status = add_crc(l, count * l->line);
    } else {
        if (count > 0)
            status = rls_zip_stream_read(l->stream, l->rows, count * l->line);
        status = rls_agree(l->ctx, status);
    }
    if (status == RLS_OK)
        status = rls_agree(l->ctx, check_rows(l, first, count));
    const rls_slab slab = {first, count, l->moment->dtype, l->rows};
    return status == RLS_OK ? rls_slab_to_cyclic(&slab, RLS_LINES_ARE_COLUMNS, &l->matrix->part) : status;
}

/* Local: the memory, and rank 0's stream. */
static rls_status begin_load(loading *l)
{
    const rls_npz_moment *m = l->moment;
    int64_t first = 0, count = 0;
    if (l->matrix->rows != m->n || l->matrix->cols != m->n)
        return rls_fail(l->ctx, RLS_ERR_USAGE, "%s: mom2.mom2 is %" PRId64 " x %" PRId64 ", not %" PRId64,
                        l->path, m->n, m->n, l->matrix->rows);
    (void)round_rows(l, 0, &first, &count); /* no later round has more */
    rls_status status = rls_alloc(l->ctx, count, (size_t)l->line, &l->rows);
    if (status != RLS_OK || !m->deflated || l->ctx->rank != 0)
        return status;
    rls_npy npy;
    uint32_t crc = 0;
    status = rls_zip_open(l->ctx, l->path, &l->zip);
    if (status == RLS_OK)
        status = begin_array(l->ctx, &l->zip, SUM, &npy, &crc, &l->stream);
    if (status == RLS_OK && (npy.begin != m->begin || crc != m->crc_before))
        status = rls_fail(l->ctx, RLS_ERR_DATA, "%s: it must not change while it is used", l->path);
    return status;
}

/* Local: rank 0 knows. What is deflated was checked while it was read. */
static rls_status check_crc(const loading *l)
{
    if (l->moment->deflated || l->ctx->rank != 0 || (uint32_t)l->crc == l->moment->crc)
        return RLS_OK;
    return rls_fail(l->ctx, RLS_ERR_DATA, "%s: %s is damaged (its checksum is wrong): fetch the file again",
                    l->path, SUM);
}

rls_status rls_npz_moment_load(rls_context *ctx, const char *path, const rls_npz_moment *moment,
                               rls_matrix *matrix)
{
    loading l = {.ctx = ctx,
                 .path = path,
                 .moment = moment,
                 .matrix = matrix,
                 .line = moment->n * (int64_t)rls_dtype_size(moment->dtype),
                 .file = {.handle = MPI_FILE_NULL},
                 .zip = {.source = {.fd = -1}},
                 .crc = moment->crc_before};
    const double start = rls_profile_start();
    rls_status status = rls_agree(ctx, begin_load(&l));
    if (status == RLS_OK && !moment->deflated)
        status = rls_shared_open(ctx, path, moment->file_bytes, &l.file);
    for (int64_t round = 0, first = 0, count = 0; status == RLS_OK; round++) {
        if (!round_rows(&l, round, &first, &count))
            break;
        status = load_round(&l, first, count);
    }
    rls_shared_abandon(&l.file);
    if (status == RLS_OK)
        status = rls_agree(ctx, check_crc(&l));
    if (status == RLS_OK)
        (void)rls_profile_add(ctx, "statistics read", start, 0.0,
                              (double)moment->n * (double)l.line / ctx->size);
    rls_zip_stream_end(&l.stream);
    rls_zip_close(&l.zip);
    free(l.rows);
    return status;
}
