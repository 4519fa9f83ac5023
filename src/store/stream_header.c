#include "store/stream_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Checks that a variable is (edit, length), and gives the length. */
static rls_status read_shape(rls_context *ctx, const rls_cdf *cdf, const rls_cdf_var *var, int64_t *length)
{
    if (var->dim_count != 2 || strcmp(cdf->dims[var->dims[0]].name, "edit") != 0 ||
        cdf->dims[var->dims[1]].length < 1)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s must have two dimensions, edit and its length",
                        cdf->path, var->name);
    *length = cdf->dims[var->dims[1]].length;
    if (*length > RLS_LINE_ELEMENTS_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: vectors of %" PRId64 " elements in %s are longer than %d",
                        cdf->path, *length, var->name, RLS_LINE_ELEMENTS_MAX);
    return RLS_OK;
}

/* The layer whose keys `var` holds, and its values. */
static rls_status read_layer(rls_context *ctx, const rls_cdf *cdf, const rls_cdf_var *var, rls_stream_use use,
                             rls_stream_layer *layer)
{
    char name[RLS_CDF_NAME_MAX];
    (void)snprintf(name, sizeof name, "value_%d", layer->layer);
    const rls_cdf_var *value = rls_cdf_find(cdf, name);
    rls_status status = read_shape(ctx, cdf, var, &layer->n);
    if (status == RLS_OK)
        status = rls_nc_dtype(ctx, cdf, var, &layer->key_dtype);
    layer->value_dtype = layer->key_dtype;
    if (status != RLS_OK || (value == NULL && use == RLS_STREAM_ANCHOR))
        return status;
    if (value == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s is missing (%s is there)", cdf->path, name,
                        var->name);
    status = read_shape(ctx, cdf, value, &layer->m);
    if (status == RLS_OK)
        status = rls_nc_dtype(ctx, cdf, value, &layer->value_dtype);
    return status;
}

static rls_status read_layers(rls_context *ctx, const rls_cdf *cdf, rls_stream_use use, rls_stream_info *out)
{
    void *array = NULL;
    int layer = 0;
    int64_t keys = 0;
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < cdf->var_count; i++) {
        char name[RLS_CDF_NAME_MAX];
        keys += rls_nc_layer_name(cdf->vars[i].name, "key_", &layer);
        if (!rls_nc_layer_name(cdf->vars[i].name, "value_", &layer))
            continue;
        (void)snprintf(name, sizeof name, "key_%d", layer);
        if (rls_cdf_find(cdf, name) == NULL)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: variable %s is missing (%s is there)", cdf->path, name,
                            cdf->vars[i].name);
    }
    if (keys == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: there is no variable key_<layer>", cdf->path);
    if ((status = rls_alloc_zero(ctx, keys, sizeof *out->layers, &array)) != RLS_OK)
        return status;
    out->layers = array;
    for (int64_t i = 0; i < cdf->var_count && status == RLS_OK; i++) {
        if (!rls_nc_layer_name(cdf->vars[i].name, "key_", &layer))
            continue;
        out->layers[out->layer_count].layer = layer;
        status = read_layer(ctx, cdf, &cdf->vars[i], use, &out->layers[out->layer_count++]);
    }
    qsort(out->layers, (size_t)out->layer_count, sizeof *out->layers, rls_layer_compare);
    for (int i = 1; i < out->layer_count && status == RLS_OK; i++)
        if (out->layers[i].layer == out->layers[i - 1].layer)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: variable key_%d is there twice", cdf->path,
                              out->layers[i].layer);
    return status;
}

static rls_status read_kind(rls_context *ctx, const rls_cdf *cdf, rls_stream_use use, rls_value_kind *kind)
{
    char text[32];
    const rls_status status =
        rls_cdf_text(ctx, cdf, "value_kind", use == RLS_STREAM_ANCHOR, text, sizeof text);
    *kind = strcmp(text, "residual") == 0 ? RLS_RESIDUAL : RLS_TARGET;
    const bool known = *kind == RLS_RESIDUAL || strcmp(text, "target") == 0;
    if (status != RLS_OK || known || (text[0] == '\0' && use == RLS_STREAM_ANCHOR))
        return status;
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: the attribute value_kind is \"%s\", neither \"target\" nor \"residual\"", cdf->path,
                    text);
}

static rls_status read_case_id(rls_context *ctx, const rls_cdf *cdf, rls_stream_use use, bool *has)
{
    const rls_cdf_var *var = rls_cdf_find(cdf, "case_id");
    *has = var != NULL;
    if (var == NULL && use == RLS_STREAM_ANCHOR)
        return RLS_OK;
    if (var == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable case_id is missing", cdf->path);
    if (var->dim_count != 1 || strcmp(cdf->dims[var->dims[0]].name, "edit") != 0 ||
        (var->type != RLS_CDF_INT && var->type != RLS_CDF_INT64))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: variable case_id must be int64 with the dimension edit",
                        cdf->path);
    return RLS_OK;
}

rls_status rls_stream_header_read(rls_context *ctx, const char *path, rls_stream_use use,
                                  rls_stream_info *out)
{
    rls_cdf cdf;
    *out = (rls_stream_info){0};
    rls_status status = rls_cdf_read(ctx, path, &cdf);
    if (status == RLS_OK)
        status = rls_nc_check_format(ctx, &cdf, "rlsedit-stream", out->module);
    if (status == RLS_OK)
        status = read_kind(ctx, &cdf, use, &out->kind);
    if (status == RLS_OK)
        status = rls_cdf_integer(ctx, &cdf, "batch", true, &out->batch);
    if (status == RLS_OK && out->batch < 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: the attribute batch is %" PRId64, path, out->batch);
    if (status == RLS_OK)
        status = read_layers(ctx, &cdf, use, out);
    if (status == RLS_OK)
        status = read_case_id(ctx, &cdf, use, &out->has_case_ids);
    for (int64_t i = 0; i < cdf.dim_count && status == RLS_OK; i++)
        if (strcmp(cdf.dims[i].name, "edit") == 0)
            out->edits = cdf.dims[i].length;
    out->bytes = cdf.file_bytes;
    rls_cdf_free(&cdf);
    return status;
}

static rls_status differ(rls_context *ctx, const char *what, const char *path_a, const char *path_b)
{
    return rls_fail(ctx, RLS_ERR_DATA, "%s and %s are segments of one stream but differ in %s", path_a,
                    path_b, what);
}

rls_status rls_stream_header_match(rls_context *ctx, const char *path_a, const rls_stream_info *a,
                                   const char *path_b, const rls_stream_info *b)
{
    char what[64];
    if (a->layer_count != b->layer_count)
        return differ(ctx, "their layers", path_a, path_b);
    for (int i = 0; i < a->layer_count; i++) {
        const rls_stream_layer *x = &a->layers[i], *y = &b->layers[i];
        if (x->layer != y->layer)
            return differ(ctx, "their layers", path_a, path_b);
        (void)snprintf(what, sizeof what, "the length or type of key_%d", x->layer);
        if (x->n != y->n || x->key_dtype != y->key_dtype)
            return differ(ctx, what, path_a, path_b);
        (void)snprintf(what, sizeof what, "the length or type of value_%d", x->layer);
        if (x->m != y->m || x->value_dtype != y->value_dtype)
            return differ(ctx, what, path_a, path_b);
    }
    if (strcmp(a->module, b->module) != 0)
        return differ(ctx, "the attribute module", path_a, path_b);
    if (a->kind != b->kind)
        return differ(ctx, "the attribute value_kind", path_a, path_b);
    if (a->has_case_ids != b->has_case_ids)
        return differ(ctx, "having case_id", path_a, path_b);
    return RLS_OK;
}

void rls_stream_info_free(rls_stream_info *info)
{
    free(info->layers);
    *info = (rls_stream_info){0};
}
