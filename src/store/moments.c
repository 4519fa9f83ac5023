#include "store/moments.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/simd.h"
#include "linalg/matrix.h"
#include "store/finite.h"
#include "store/netcdf_matrix.h"

/* The largest ||(M - M^T) y|| / ||M||_F that passes for rounding: float32 sums in any order are well below.
 */
static const double SKEW_MAX = 1e-4;

struct rls_moments {
    rls_context *ctx;
    char *path;
    rls_moments_info info;
    int ncid; /* -1: not open */
};

/* Local: a variable is (n, n), and its count is a scalar integer. */
static rls_status read_layer(rls_context *ctx, const rls_cdf *cdf, const rls_cdf_var *var,
                             rls_moments_layer *layer)
{
    char name[32];
    (void)snprintf(name, sizeof name, "count_%d", layer->layer);
    const rls_cdf_var *count = rls_cdf_find(cdf, name);
    if (count == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s is missing (%s is there)", cdf->path, name,
                        var->name);
    if (count->dim_count != 0 || (count->type != RLS_CDF_INT && count->type != RLS_CDF_INT64))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s must be one int64", cdf->path, name);
    if (var->dim_count != 2 || var->record ||
        cdf->dims[var->dims[0]].length != cdf->dims[var->dims[1]].length)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s must be a square matrix of fixed size", cdf->path,
                        var->name);
    layer->n = cdf->dims[var->dims[0]].length;
    if (layer->n > RLS_LINE_ELEMENTS_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s has more than %d rows", cdf->path, var->name,
                        RLS_LINE_ELEMENTS_MAX);
    return rls_nc_dtype(ctx, cdf, var, &layer->dtype);
}

static rls_status read_layers(rls_context *ctx, const rls_cdf *cdf, rls_moments_info *info)
{
    void *array = NULL;
    int layer = 0;
    int64_t found = 0;
    for (int64_t i = 0; i < cdf->var_count; i++)
        found += rls_nc_layer_name(cdf->vars[i].name, "second_moment_", &layer);
    if (found == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: there is no variable second_moment_<layer>", cdf->path);
    rls_status status = rls_alloc_zero(ctx, found, sizeof *info->layers, &array);
    info->layers = array;
    for (int64_t i = 0; i < cdf->var_count && status == RLS_OK; i++) {
        if (!rls_nc_layer_name(cdf->vars[i].name, "second_moment_", &layer))
            continue;
        info->layers[info->layer_count].layer = layer;
        status = read_layer(ctx, cdf, &cdf->vars[i], &info->layers[info->layer_count++]);
    }
    if (info->layers != NULL)
        qsort(info->layers, (size_t)info->layer_count, sizeof *info->layers, rls_layer_compare);
    return status;
}

/* Rank 0: everything but the counts. */
static rls_status read_header(rls_context *ctx, const char *path, rls_moments_info *info)
{
    rls_cdf cdf;
    rls_status status = rls_cdf_read(ctx, path, &cdf);
    if (status == RLS_OK)
        status = rls_nc_check_format(ctx, &cdf, "rlsedit-moments", info->module);
    if (status == RLS_OK)
        status = read_layers(ctx, &cdf, info);
    info->bytes = cdf.file_bytes;
    rls_cdf_free(&cdf);
    return status;
}

/* Collective: rank 0's header on all ranks. */
static rls_status share_header(rls_moments *moments)
{
    rls_context *ctx = moments->ctx;
    rls_moments_info *info = &moments->info;
    const rls_status read = ctx->rank == 0 ? read_header(ctx, moments->path, info) : RLS_OK;
    void *layers = info->layers;
    const rls_status status =
        rls_nc_share_header(ctx, read, info, sizeof *info, &info->layer_count, sizeof *info->layers, &layers);
    info->layers = layers;
    return status;
}

/* Collective: the counts, from the open file. */
static rls_status read_counts(rls_moments *moments)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < moments->info.layer_count; i++) {
        rls_moments_layer *layer = &moments->info.layers[i];
        char name[32];
        int varid = -1;
        long long count = 0;
        (void)snprintf(name, sizeof name, "count_%d", layer->layer);
        int err = ncmpi_inq_varid(moments->ncid, name, &varid);
        if (err == NC_NOERR)
            err = ncmpi_get_var_longlong_all(moments->ncid, varid, &count);
        if (status == RLS_OK)
            status = rls_nc_check(moments->ctx, err, "read", moments->path, name);
        if (status == RLS_OK && count < 1)
            status = rls_fail(moments->ctx, RLS_ERR_DATA, "%s: %s is %lld: a mean over no keys",
                              moments->path, name, count);
        layer->count = count;
    }
    return rls_agree(moments->ctx, status);
}

rls_status rls_moments_open(rls_context *ctx, const char *path, rls_moments **out)
{
    void *object = NULL;
    *out = NULL;
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, 1, sizeof(rls_moments), &object));
    rls_moments *moments = object;
    if (moments != NULL)
        *moments = (rls_moments){.ctx = ctx, .ncid = -1};
    if (moments == NULL || status != RLS_OK)
        goto fail;
    if ((status = rls_agree(ctx, rls_strdup(ctx, path, &moments->path))) != RLS_OK ||
        (status = share_header(moments)) != RLS_OK)
        goto fail;
    if ((status = rls_nc_open(ctx, path, &moments->ncid)) != RLS_OK) {
        moments->ncid = -1;
        goto fail;
    }
    if ((status = read_counts(moments)) != RLS_OK)
        goto fail;
    *out = moments;
    return RLS_OK;
fail:
    rls_moments_close(&moments);
    return status;
}

void rls_moments_close(rls_moments **moments)
{
    rls_moments *m = *moments;
    if (m == NULL)
        return;
    if (m->ncid >= 0)
        (void)ncmpi_close(m->ncid); /* nothing was written: nothing can be lost */
    free(m->info.layers);
    free(m->path);
    free(m);
    *moments = NULL;
}

const rls_moments_info *rls_moments_inquire(const rls_moments *moments)
{
    return &moments->info;
}

/* +1 or -1 for index i, the same in every run: a bit of splitmix64. */
static double sign_of(int64_t i)
{
    uint64_t z = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((z ^ (z >> 31)) & 1) != 0 ? 1.0 : -1.0;
}

/* A load under way: the file's rows pass by, their checks are summed up. */
typedef struct {
    rls_moments *moments;
    const rls_moments_layer *layer;
    rls_dtype as;
    char name[32];
    int varid;
    double *skew; /* [n]: this rank's part of (M - M^T) y; behind it of ||M||_F^2 */
    double *sign; /* [n]: y */
    double *row;  /* [n]: one row in float64 */
} loading;

/* sums = {row . sign, row . row}; skew -= y row. */
RLS_VECTORISED static void add_row(int64_t n, const double *restrict row, const double *restrict sign,
                                   double y, double *restrict skew, double sums[2])
{
    double dot[RLS_LANES] = {0.0}, squares[RLS_LANES] = {0.0};
    for (int64_t j = 0; j < n; j++)
        skew[j] -= y * row[j];
    for (int64_t j = 0; j + RLS_LANES <= n; j += RLS_LANES) {
        for (int k = 0; k < RLS_LANES; k++) {
            dot[k] += row[j + k] * sign[j + k];
            squares[k] += row[j + k] * row[j + k];
        }
    }
    for (int64_t j = n / RLS_LANES * RLS_LANES; j < n; j++) {
        dot[0] += row[j] * sign[j];
        squares[0] += row[j] * row[j];
    }
    sums[0] = sums[1] = 0.0;
    for (int k = 0; k < RLS_LANES; k++) {
        sums[0] += dot[k];
        sums[1] += squares[k];
    }
}

/* One row's checks; false when it has a fault. */
static bool check_row(const loading *l, const void *row, int64_t i)
{
    const int64_t n = l->layer->n;
    double sums[2];
    rls_convert(RLS_F64, l->row, 1, l->layer->dtype, row, 1, n);
    add_row(n, l->row, l->sign, l->sign[i], l->skew, sums);
    l->skew[i] += sums[0];
    l->skew[n] += sums[1];
    /* With such a sum of squares every number is finite, in float32 too. */
    if (!(sums[1] < (double)FLT_MAX * (double)FLT_MAX) &&
        rls_first_nonfinite(l->layer->dtype, row, n, l->as) >= 0)
        return false;
    return l->row[i] >= 0.0;
}

/* Local: the message for the first row at fault of this rank's rows. */
static rls_status row_fault(const loading *l, const void *row, int64_t i)
{
    const int64_t j = rls_first_nonfinite(l->layer->dtype, row, l->layer->n, l->as);
    if (j < 0)
        return rls_fail(l->moments->ctx, RLS_ERR_DATA,
                        "%s: %s[%" PRId64 ", %" PRId64 "] is %g: no second moment has a "
                        "negative diagonal",
                        l->moments->path, l->name, i, i, rls_element_value(l->layer->dtype, row, i));
    return rls_fail(l->moments->ctx, RLS_ERR_DATA, "%s: %s[%" PRId64 ", %" PRId64 "] is %g, no finite %s",
                    l->moments->path, l->name, i, j, rls_element_value(l->layer->dtype, row, j),
                    rls_dtype_name(l->as));
}

/* Collective: a round's rows; the first one at fault of all ranks ends the loading. */
static rls_status check_rows(void *user, int64_t first, int64_t count, const void *rows)
{
    const loading *l = user;
    rls_context *ctx = l->moments->ctx;
    const size_t row_bytes = (size_t)l->layer->n * rls_dtype_size(l->layer->dtype);
    rls_status status = RLS_OK;
    int64_t fault = INT64_MAX, mine = INT64_MAX;
    for (int64_t i = 0; i < count && mine == INT64_MAX; i++)
        if (!check_row(l, (const char *)rows + (size_t)i * row_bytes, first + i))
            mine = first + i;
    MPI_Allreduce(&mine, &fault, 1, MPI_INT64_T, MPI_MIN, ctx->comm);
    if (mine == fault && mine != INT64_MAX)
        status = row_fault(l, (const char *)rows + (size_t)(mine - first) * row_bytes, mine);
    return rls_agree(ctx, status);
}

/* Collective: what the rows' checks came to. */
static rls_status check_symmetry(const loading *l)
{
    const int64_t n = l->layer->n;
    double skew = 0.0;
    /* Rounds, as an int counts the elements of a reduction. */
    for (int64_t at = 0; at <= n; at += RLS_ROUND_BYTES / 8) {
        const int64_t left = n + 1 - at, count = left < RLS_ROUND_BYTES / 8 ? left : RLS_ROUND_BYTES / 8;
        MPI_Allreduce(MPI_IN_PLACE, l->skew + at, (int)count, MPI_DOUBLE, MPI_SUM, l->moments->ctx->comm);
    }
    int64_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        skew += l->skew[i] * l->skew[i];
        worst = fabs(l->skew[i]) > fabs(l->skew[worst]) ? i : worst;
    }
    rls_status status = RLS_OK;
    if (!(sqrt(skew) <= SKEW_MAX * sqrt(l->skew[n])))
        status = rls_fail(l->moments->ctx, RLS_ERR_DATA,
                          "%s: %s is not symmetric: row and column %" PRId64 " differ most", l->moments->path,
                          l->name, worst);
    return rls_agree(l->moments->ctx, status);
}

/* Local: the layer, the matrix's fitness and the memory. */
static rls_status begin_load(loading *l, int layer, const rls_matrix *matrix)
{
    const rls_moments_info *info = &l->moments->info;
    rls_context *ctx = l->moments->ctx;
    char text[256];
    void *skew = NULL;
    (void)snprintf(l->name, sizeof l->name, "second_moment_%d", layer);
    l->layer = rls_layer_find(info->layers, info->layer_count, sizeof *info->layers, layer);
    if (l->layer == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s is missing: the file's layers are %s",
                        l->moments->path, l->name,
                        rls_layers_text(info->layers, info->layer_count, sizeof *info->layers, text));
    const int64_t n = l->layer->n;
    if (matrix->rows != n || matrix->cols != n)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %s is %" PRId64 " x %" PRId64 ", but the layer's keys have length %" PRId64,
                        l->moments->path, l->name, n, n, matrix->rows);
    rls_status status = rls_nc_check(ctx, ncmpi_inq_varid(l->moments->ncid, l->name, &l->varid), "read",
                                     l->moments->path, l->name);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 3 * n + 1, sizeof(double), &skew);
    if (status != RLS_OK)
        return status;
    l->skew = skew;
    l->sign = l->skew + n + 1;
    l->row = l->sign + n;
    for (int64_t i = 0; i < n; i++)
        l->sign[i] = sign_of(i);
    return RLS_OK;
}

rls_status rls_moments_load(rls_moments *moments, int layer, rls_matrix *matrix)
{
    loading l = {.moments = moments, .as = matrix->part.dtype};
    const double start = rls_profile_start();
    rls_status status = rls_agree(moments->ctx, begin_load(&l, layer, matrix));
    if (status == RLS_OK)
        status = rls_nc_load_converted(moments->ctx, moments->ncid, l.varid, moments->path, l.layer->dtype,
                                       matrix, check_rows, &l);
    if (status == RLS_OK)
        status = check_symmetry(&l);
    if (status == RLS_OK) {
        const double bytes = (double)l.layer->n * (double)l.layer->n * (double)rls_dtype_size(l.layer->dtype);
        (void)rls_profile_add(moments->ctx, "moments read", start, 0.0, bytes / moments->ctx->size);
    }
    free(l.skew);
    return status;
}
