#include "store/netcdf_matrix.h"

#include <stdlib.h>

#include "base/memory.h"

static rls_status move_matrix(rls_context *ctx, bool store, int ncid, int varid, const char *path,
                              const rls_matrix *matrix)
{
    const rls_dtype dtype = matrix->part.dtype;
    const int64_t line = matrix->rows * (int64_t)rls_dtype_size(dtype);
    int64_t first = 0, count = 0;
    void *rows = NULL;
    (void)rls_slab_round(matrix->grid, matrix->cols, line, RLS_ROUND_BYTES, 0, &first,
                         &count); /* no later round has more */
    rls_status status = rls_agree(ctx, rls_alloc(ctx, count, (size_t)line, &rows));
    for (int64_t round = 0; status == RLS_OK; round++) {
        if (!rls_slab_round(matrix->grid, matrix->cols, line, RLS_ROUND_BYTES, round, &first, &count))
            break;
        const rls_slab slab = {first, count, dtype, rows};
        if (store && (status = rls_cyclic_to_slab(&matrix->part, RLS_LINES_ARE_COLUMNS, &slab)) != RLS_OK)
            break;
        const int err = store ? rls_nc_put_rows(ncid, varid, dtype, first, count, matrix->rows, rows)
                              : rls_nc_get_rows(ncid, varid, dtype, first, count, matrix->rows, rows);
        status = rls_agree(ctx, rls_nc_check(ctx, err, store ? "write" : "read", path, NULL));
        if (status == RLS_OK && !store)
            status = rls_slab_to_cyclic(&slab, RLS_LINES_ARE_COLUMNS, &matrix->part);
    }
    free(rows);
    return status;
}

rls_status rls_nc_store_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                               const rls_matrix *matrix)
{
    return move_matrix(ctx, true, ncid, varid, path, matrix);
}

rls_status rls_nc_load_matrix(rls_context *ctx, int ncid, int varid, const char *path, rls_matrix *matrix)
{
    return move_matrix(ctx, false, ncid, varid, path, matrix);
}
