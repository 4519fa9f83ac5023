#include "store/netcdf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

rls_status rls_nc_check(rls_context *ctx, int err, const char *doing, const char *path, const char *variable)
{
    const char *sep = variable != NULL ? ": " : "";
    const char *name = variable != NULL ? variable : "";
    if (err == NC_NOERR)
        return RLS_OK;
    if (err == NC_ERANGE)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s%s%s: cannot %s: a value is beyond the range of the file's type", path, sep, name,
                        doing);
    if (err == NC_ENOTNC || err == NC_EBADTYPE || err == NC_EBADDIM || err == NC_ENOTVAR || err == NC_EEDGE ||
        err == NC_EINVALCOORDS)
        return rls_fail(ctx, RLS_ERR_DATA, "%s%s%s: cannot %s: %s", path, sep, name, doing,
                        ncmpi_strerror(err));
    char obstacle[128] = "";
    if (strcmp(doing, "create") == 0 || strcmp(doing, "define") == 0 || strcmp(doing, "write") == 0)
        (void)rls_write_obstacle(path, obstacle);
    return rls_fail(ctx, RLS_ERR_IO, "%s%s%s: cannot %s: %s", path, sep, name, doing,
                    obstacle[0] != '\0' ? obstacle : ncmpi_strerror(err));
}

/* Without nc_in_place_swap=disable PnetCDF swaps bytes in the caller's write buffer. PNETCDF_HINTS in the
 * environment overrides. */
static MPI_Info make_hints(void)
{
    MPI_Info info;
    MPI_Info_create(&info);
    MPI_Info_set(info, "nc_in_place_swap", "disable");
    return info;
}

/* A file that some ranks could not open stays open on the others: closing is collective too. */
rls_status rls_nc_open(rls_context *ctx, const char *path, int *ncid)
{
    MPI_Info info = make_hints();
    const int err = ncmpi_open(ctx->comm, path, NC_NOWRITE, info, ncid);
    MPI_Info_free(&info);
    return rls_agree(ctx, rls_nc_check(ctx, err, "open", path, NULL));
}

rls_status rls_nc_create(rls_context *ctx, const char *path, int *ncid)
{
    MPI_Info info = make_hints();
    const int err = ncmpi_create(ctx->comm, path, NC_CLOBBER | NC_64BIT_DATA, info, ncid);
    MPI_Info_free(&info);
    return rls_agree(ctx, rls_nc_check(ctx, err, "create", path, NULL));
}

static rls_status close_written(rls_context *ctx, rls_status local, const char *path, int ncid, bool flush)
{
    if (local != RLS_OK)
        ctx->failing = true; /* keep the message, which may be agreed on already */
    int err = flush ? ncmpi_sync(ncid) : NC_NOERR;
    const int closed = ncmpi_close(ncid);
    if (err == NC_NOERR)
        err = closed;
    if (local == RLS_OK)
        local = rls_nc_check(ctx, err, "write", path, NULL);
    const rls_status status = rls_agree(ctx, local);
    if (status != RLS_OK && ctx->rank == 0)
        (void)unlink(path);
    return status;
}

rls_status rls_nc_finish(rls_context *ctx, rls_status local, const char *path, int ncid)
{
    return close_written(ctx, local, path, ncid, true);
}

rls_status rls_nc_release(rls_context *ctx, rls_status local, const char *path, int ncid)
{
    return close_written(ctx, local, path, ncid, false);
}

int rls_nc_get_rows(int ncid, int varid, rls_dtype dtype, int64_t first, int64_t count, int64_t length,
                    void *rows)
{
    double none = 0.0; /* some address for ranks without rows */
    const MPI_Offset start[2] = {count > 0 ? first : 0, 0}, counts[2] = {count, count > 0 ? length : 0};
    void *to = count > 0 ? rows : &none;
    if (dtype == RLS_F64)
        return ncmpi_get_vara_double_all(ncid, varid, start, counts, to);
    return ncmpi_get_vara_float_all(ncid, varid, start, counts, to);
}

int rls_nc_put_rows(int ncid, int varid, rls_dtype dtype, int64_t first, int64_t count, int64_t length,
                    const void *rows)
{
    const double none = 0.0;
    const MPI_Offset start[2] = {count > 0 ? first : 0, 0}, counts[2] = {count, count > 0 ? length : 0};
    const void *from = count > 0 ? rows : &none;
    if (dtype == RLS_F64)
        return ncmpi_put_vara_double_all(ncid, varid, start, counts, from);
    return ncmpi_put_vara_float_all(ncid, varid, start, counts, from);
}

nc_type rls_nc_type(rls_dtype dtype)
{
    return dtype == RLS_F64 ? NC_DOUBLE : NC_FLOAT;
}

int rls_nc_put_format(int ncid, const char *format, const char *module)
{
    const int version = RLS_FORMAT_VERSION;
    int err = ncmpi_put_att_text(ncid, NC_GLOBAL, "format", (MPI_Offset)strlen(format), format);
    if (err == NC_NOERR)
        err = ncmpi_put_att_int(ncid, NC_GLOBAL, "version", NC_INT, 1, &version);
    if (err == NC_NOERR)
        err = ncmpi_put_att_text(ncid, NC_GLOBAL, "module", (MPI_Offset)strlen(module), module);
    return err;
}

rls_status rls_nc_check_format(rls_context *ctx, const rls_cdf *cdf, const char *format, char *module)
{
    char found[RLS_MODULE_MAX];
    int64_t version = 0;
    rls_status status = rls_cdf_text(ctx, cdf, "format", false, found, sizeof found);
    if (status == RLS_OK && strcmp(found, format) != 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: the attribute format is \"%s\", not \"%s\"", cdf->path,
                          found, format);
    if (status == RLS_OK)
        status = rls_cdf_integer(ctx, cdf, "version", false, &version);
    if (status == RLS_OK && version != RLS_FORMAT_VERSION)
        status =
            rls_fail(ctx, RLS_ERR_DATA, "%s: version %" PRId64 " of %s is not supported, only version %d",
                     cdf->path, version, format, RLS_FORMAT_VERSION);
    if (status == RLS_OK)
        status = rls_cdf_text(ctx, cdf, "module", false, module, RLS_MODULE_MAX);
    if (status == RLS_OK && module[0] == '\0')
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: the attribute module is empty", cdf->path);
    return status;
}

rls_status rls_nc_dtype(rls_context *ctx, const rls_cdf *cdf, const rls_cdf_var *var, rls_dtype *dtype)
{
    *dtype = var->type == RLS_CDF_DOUBLE ? RLS_F64 : RLS_F32;
    if (var->type != RLS_CDF_DOUBLE && var->type != RLS_CDF_FLOAT)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s must be float32 or float64", cdf->path,
                        var->name);
    return RLS_OK;
}

bool rls_nc_layer_name(const char *name, const char *prefix, int *layer)
{
    const size_t length = strlen(prefix);
    char canonical[RLS_CDF_NAME_MAX + 16];
    if (strncmp(name, prefix, length) != 0 || strlen(name + length) > 9)
        return false;
    *layer = (int)strtol(name + length, NULL, 10);
    (void)snprintf(canonical, sizeof canonical, "%s%d", prefix, *layer);
    return *layer >= 0 && strcmp(canonical, name) == 0;
}

/* The leading `int layer` of element i. */
static int layer_of(const void *layers, size_t size, int i)
{
    int layer = 0;
    memcpy(&layer, (const char *)layers + (size_t)i * size, sizeof layer);
    return layer;
}

int rls_layer_compare(const void *a, const void *b)
{
    const int x = layer_of(a, 0, 0), y = layer_of(b, 0, 0);
    return (x > y) - (x < y);
}

const char *rls_layers_text(const void *layers, int count, size_t size, char text[256])
{
    size_t at = 0;
    (void)snprintf(text, 256, "none");
    for (int i = 0; i < count && at < 240; i++) {
        const int wrote = snprintf(text + at, 256 - at,
                                   i == 0     ? "%d"
                                   : at > 220 ? ", ..."
                                              : ", %d",
                                   layer_of(layers, size, i));
        if (wrote < 0 || at > 220)
            break;
        at += (size_t)wrote;
    }
    return text;
}

const void *rls_layer_find(const void *layers, int count, size_t size, int layer)
{
    for (int i = 0; i < count; i++)
        if (layer_of(layers, size, i) == layer)
            return (const char *)layers + (size_t)i * size;
    return NULL;
}

rls_status rls_nc_share_header(rls_context *ctx, rls_status read, void *info, size_t info_bytes,
                               const int *layer_count, size_t size, void **layers)
{
    rls_status status = rls_agree(ctx, read);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(info, (int)info_bytes, MPI_BYTE, 0, ctx->comm);
    if (ctx->rank != 0)
        status = rls_alloc(ctx, *layer_count, size, layers);
    if ((status = rls_agree(ctx, status)) == RLS_OK)
        MPI_Bcast(*layers, *layer_count * (int)size, MPI_BYTE, 0, ctx->comm);
    return status;
}
