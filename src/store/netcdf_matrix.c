#include "store/netcdf_matrix.h"

#include <stdlib.h>

#include "base/memory.h"
#include "linalg/symmetric.h"
#include "store/writeback.h"

/* Of a rank. Small enough for all its buffers to stay in memory that the process has already: larger ones
 * come from the system anew, and are cleared by it, every time. */
enum { ROUND_BYTES = 8 << 20 };

typedef struct {
    rls_context *ctx;
    int ncid, varid;
    const char *path;
    const rls_matrix *matrix;
    rls_dtype dtype; /* in the file */
    int64_t line;    /* bytes of a column there */
    void *rows;      /* of a round */
    rls_exchange_room room;
    rls_mirror *mirror;        /* of a symmetric matrix; NULL */
    rls_digest_writer *digest; /* NULL: none wanted */
    rls_nc_look *look;         /* when loading; NULL */
    void *user;
    int file;          /* for writing and reading early */
    MPI_Offset offset; /* of the variable in the file */
} mover;

/* Round after round from the matrix to the file. While the disk has what is written already, the processors
 * mirror, exchange and digest. */
static rls_status store_rounds(mover *m)
{
    const rls_matrix *matrix = m->matrix;
    rls_status status = RLS_OK;
    int64_t first = 0, count = 0;
    for (int64_t round = 0; status == RLS_OK; round++) {
        if (!rls_slab_round(matrix->grid, matrix->cols, m->line, ROUND_BYTES, round, &first, &count))
            break;
        const int64_t done =
            rls_slab_round_begin(matrix->grid, matrix->cols, m->line, ROUND_BYTES, round + 1);
        const rls_slab slab = {first, count, m->dtype, m->rows};
        if (m->mirror != NULL)
            status = rls_mirror_advance(m->mirror, done);
        if (status == RLS_OK)
            status = rls_redistribute(&m->room, false, &slab, RLS_LINES_ARE_COLUMNS, &matrix->part);
        if (status != RLS_OK)
            break;
        const int err = rls_nc_put_rows(m->ncid, m->varid, m->dtype, first, count, matrix->rows, m->rows);
        rls_writeback(m->file, (int64_t)m->offset + first * m->line, count * m->line);
        status = rls_agree(m->ctx, rls_nc_check(m->ctx, err, "write", m->path, NULL));
        if (status == RLS_OK && m->digest != NULL)
            rls_digest_advance(m->digest, (int64_t)m->offset + done * m->line);
    }
    return status;
}

/* Asks for this rank's part of a round. */
static void ask_for(const mover *m, int64_t round)
{
    int64_t first = 0, count = 0;
    if (rls_slab_round(m->matrix->grid, m->matrix->cols, m->line, ROUND_BYTES, round, &first, &count))
        rls_readahead(m->file, (int64_t)m->offset + first * m->line, count * m->line);
}

/* Round after round from the file to the matrix. While the disk reads the next ones, the processors exchange
 * and digest. */
static rls_status load_rounds(mover *m)
{
    enum { AHEAD = 4 };
    const rls_matrix *matrix = m->matrix;
    rls_status status = RLS_OK;
    int64_t first = 0, count = 0;
    for (int64_t round = 0; round < AHEAD; round++)
        ask_for(m, round);
    for (int64_t round = 0; status == RLS_OK; round++) {
        if (!rls_slab_round(matrix->grid, matrix->cols, m->line, ROUND_BYTES, round, &first, &count))
            break;
        ask_for(m, round + AHEAD);
        const rls_slab slab = {first, count, m->dtype, m->rows};
        const int err = rls_nc_get_rows(m->ncid, m->varid, m->dtype, first, count, matrix->rows, m->rows);
        status = rls_agree(m->ctx, rls_nc_check(m->ctx, err, "read", m->path, NULL));
        if (status == RLS_OK && m->look != NULL)
            status = m->look(m->user, first, count, m->rows);
        if (status == RLS_OK)
            status = rls_redistribute(&m->room, true, &slab, RLS_LINES_ARE_COLUMNS, &matrix->part);
        if (status == RLS_OK && m->digest != NULL)
            rls_digest_advance(m->digest,
                               (int64_t)m->offset + m->line * rls_slab_round_begin(matrix->grid, matrix->cols,
                                                                                   m->line, ROUND_BYTES,
                                                                                   round + 1));
    }
    return status;
}

/* Opens and ends what the rounds need. Collective. */
static rls_status move_matrix(mover *m, bool store)
{
    int64_t first = 0, count = 0;
    const rls_matrix *matrix = m->matrix;
    m->line = matrix->rows * (int64_t)rls_dtype_size(m->dtype);
    (void)rls_slab_round(matrix->grid, matrix->cols, m->line, ROUND_BYTES, 0, &first,
                         &count); /* no later round has more */
    rls_status status = rls_alloc(m->ctx, count, (size_t)m->line, &m->rows);
    if (status == RLS_OK)
        status =
            rls_nc_check(m->ctx, ncmpi_inq_varoffset(m->ncid, m->varid, &m->offset), "find", m->path, NULL);
    status = rls_agree(m->ctx, status);
    if (status == RLS_OK) {
        m->file = rls_writeback_open(m->path);
        status = store ? store_rounds(m) : load_rounds(m);
        rls_writeback_close(m->file);
    }
    rls_exchange_room_free(&m->room);
    free(m->rows);
    return status;
}

rls_status rls_nc_store_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                               const rls_matrix *matrix, rls_digest_writer *digest)
{
    mover m = {.ctx = ctx, .ncid = ncid, .varid = varid, .path = path, .matrix = matrix, .digest = digest};
    m.dtype = matrix->part.dtype;
    return move_matrix(&m, true);
}

rls_status rls_nc_store_symmetric(rls_context *ctx, int ncid, int varid, const char *path, rls_matrix *matrix,
                                  rls_digest_writer *digest)
{
    mover m = {.ctx = ctx, .ncid = ncid, .varid = varid, .path = path, .matrix = matrix, .digest = digest};
    m.dtype = matrix->part.dtype;
    rls_status status = rls_mirror_begin(matrix, &m.mirror);
    if (status == RLS_OK)
        status = move_matrix(&m, true);
    rls_mirror_end(&m.mirror);
    return status;
}

rls_status rls_nc_load_matrix(rls_context *ctx, int ncid, int varid, const char *path, rls_matrix *matrix,
                              rls_digest_writer *digest)
{
    mover m = {.ctx = ctx, .ncid = ncid, .varid = varid, .path = path, .matrix = matrix, .digest = digest};
    m.dtype = matrix->part.dtype;
    return move_matrix(&m, false);
}

rls_status rls_nc_load_converted(rls_context *ctx, int ncid, int varid, const char *path, rls_dtype stored,
                                 rls_matrix *matrix, rls_nc_look *look, void *user)
{
    mover m = {.ctx = ctx, .ncid = ncid, .varid = varid, .path = path, .matrix = matrix, .dtype = stored};
    m.look = look;
    m.user = user;
    return move_matrix(&m, false);
}
