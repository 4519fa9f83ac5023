#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/symmetric.h"
#include "moments/moments.h"
#include "moments/output.h"
#include "store/moments.h"
#include "store/npz.h"

enum { BLOCK = 64 };

/* One file to import. */
typedef struct {
    int layer; /* first: rls_layer_compare */
    const char *path;
    char module[RLS_MODULE_MAX]; /* from its name; "" when that says nothing */
    rls_npz_moment moment;
} import_file;

typedef struct {
    rls_context *ctx;
    const rls_import_request *request;
    int64_t count;
    import_file *files;
    rls_grid *grid;
    rls_matrix **matrices;
    const char *module;
} importing;

/* The digits of a layer's number from text on; NULL when there is none. */
static const char *take_layer(const char *text, int *layer)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && at - text < 7; at++)
        value = value * 10 + (*at - '0');
    *layer = (int)value;
    return at > text ? at : NULL;
}

/* MEMIT's names: model.layers.4.mlp.down_proj_float32_mom2_100000.npz. The module is what is before
 * _float<bits>_, its layer the first part between dots that is a number. */
static void read_name(const char *path, import_file *out)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const char *end = strstr(name, "_float"), *hole = name;
    while ((hole = strchr(hole, '.')) != NULL && (end == NULL || hole < end)) {
        const char *rest = take_layer(++hole, &out->layer);
        if (rest == NULL || *rest != '.')
            continue;
        if (end != NULL && end > rest && end - name < RLS_MODULE_MAX - 8)
            (void)snprintf(out->module, sizeof out->module, "%.*s{}%.*s", (int)(hole - name), name,
                           (int)(end - rest), rest);
        return;
    }
    out->layer = -1;
}

/* Local, equal on all ranks: which file is which layer. */
static rls_status take_names(importing *m)
{
    const rls_import_request *r = m->request;
    void *memory = NULL;
    rls_status status = rls_alloc_zero(m->ctx, r->file_count, sizeof(import_file), &memory);
    m->files = memory;
    for (int64_t i = 0; i < r->file_count && status == RLS_OK; i++) {
        import_file *f = &m->files[m->count++];
        int layer = -1;
        const char *given = take_layer(r->files[i], &layer);
        const bool named = given != NULL && *given == '=';
        f->path = named ? given + 1 : r->files[i];
        read_name(f->path, f);
        if (named)
            f->layer = layer;
        if (f->layer < 0)
            status = rls_fail(m->ctx, RLS_ERR_USAGE,
                              "--import %s: its name says no layer (as model.layers.4.mlp.down_proj does): "
                              "give it, as in --import 4=%s",
                              f->path, f->path);
    }
    if (status == RLS_OK)
        qsort(m->files, (size_t)m->count, sizeof *m->files, rls_layer_compare);
    for (int64_t i = 1; i < m->count && status == RLS_OK; i++)
        if (m->files[i].layer == m->files[i - 1].layer)
            status = rls_fail(m->ctx, RLS_ERR_USAGE, "--import: layer %d is given twice: %s and %s",
                              m->files[i].layer, m->files[i - 1].path, m->files[i].path);
    return status;
}

/* Local, equal on all ranks: the module they all are of. */
static rls_status choose_module(importing *m)
{
    m->module = m->request->module;
    for (int64_t i = 0; i < m->count && m->request->module == NULL; i++) {
        const char *module = m->files[i].module;
        if (module[0] == '\0')
            return rls_fail(m->ctx, RLS_ERR_USAGE,
                            "--import %s: its name says no module (as model.layers.4.mlp.down_proj_float32_"
                            "mom2_100000.npz does): give it with --module",
                            m->files[i].path);
        if (i > 0 && strcmp(module, m->module) != 0)
            return rls_fail(m->ctx, RLS_ERR_USAGE, "--import: %s is of %s, and %s of %s: give --module",
                            m->files[0].path, m->module, m->files[i].path, module);
        m->module = module;
    }
    const char *hole = m->module != NULL ? strstr(m->module, "{}") : NULL;
    if (hole == NULL || strlen(m->module) >= RLS_MODULE_MAX || strstr(hole + 2, "{}") != NULL)
        return rls_fail(m->ctx, RLS_ERR_USAGE,
                        "--module: expected {} once, where the layer's number goes, as in "
                        "model.layers.{}.mlp.down_proj");
    return RLS_OK;
}

/* Local, equal on all ranks: whether the matrices fit. */
static rls_status check_memory(const importing *m, double there)
{
    int p = 1, q = 1;
    double need = 2.0 * RLS_ROUND_BYTES;
    char need_text[32], there_text[32];
    rls_grid_shape(m->grid, &p, &q, NULL, NULL);
    for (int64_t i = 0; i < m->count; i++) {
        const int64_t n = m->files[i].moment.n;
        const rls_dtype dtype = m->request->dtype != NULL ? *m->request->dtype : m->files[i].moment.dtype;
        need += (double)rls_dim_count((rls_dim){n, BLOCK, p}, 0) *
                (double)rls_dim_count((rls_dim){n, BLOCK, q}, 0) * (double)rls_dtype_size(dtype);
    }
    if (need <= there)
        return RLS_OK;
    return rls_fail(m->ctx, RLS_ERR_MEMORY,
                    "the matrices of %lld layers take %s a rank, and %s are there: use more ranks, or fewer "
                    "layers at a time",
                    (long long)m->count, rls_bytes_text(need, need_text), rls_bytes_text(there, there_text));
}

/* Reads headers, makes matrices and fills them with the means. Collective. */
static rls_status load(importing *m)
{
    rls_context *ctx = m->ctx;
    void *memory = NULL;
    double there = 0.0;
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < m->count && status == RLS_OK; i++)
        status = rls_npz_moment_read(ctx, m->files[i].path, &m->files[i].moment);
    if (status == RLS_OK)
        status = rls_grid_create(ctx, 0, 0, &m->grid);
    if (status == RLS_OK)
        status = rls_memory_available(ctx, &there);
    if (status != RLS_OK)
        return status;
    status = check_memory(m, there);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, m->count, sizeof(rls_matrix *), &memory);
    m->matrices = memory;
    status = rls_agree(ctx, status);
    for (int64_t i = 0; i < m->count && status == RLS_OK; i++) {
        const import_file *f = &m->files[i];
        const rls_dtype dtype = m->request->dtype != NULL ? *m->request->dtype : f->moment.dtype;
        status = rls_matrix_create(m->grid, dtype, f->moment.n, f->moment.n, BLOCK, &m->matrices[i]);
        if (status == RLS_OK)
            status = rls_npz_moment_load(ctx, f->path, &f->moment, m->matrices[i]);
        if (status == RLS_OK)
            rls_symmetric_scale_shift(m->matrices[i], 1.0 / (double)f->moment.count, 0.0);
    }
    return status;
}

/* The file as `edit` will read it: symmetric, no negative diagonal. Collective. */
static rls_status check(void *user, const char *path)
{
    const importing *m = user;
    rls_context *ctx = m->ctx;
    rls_moments *moments = NULL;
    rls_status status = rls_moments_open(ctx, path, &moments);
    for (int64_t i = 0; i < m->count && status == RLS_OK; i++) {
        char why[RLS_MESSAGE_MAX / 2];
        status = rls_moments_load(moments, m->files[i].layer, m->matrices[i]);
        if (status != RLS_ERR_DATA)
            continue;
        const char *message = rls_context_message(ctx), *colon = strstr(message, "second_moment_");
        (void)snprintf(why, sizeof why, "%.900s", colon != NULL ? colon : message);
        rls_clear_failure(ctx);
        status = rls_agree(
            ctx, rls_fail(ctx, RLS_ERR_DATA, "%s: mom2.mom2 is no second moment: %s", m->files[i].path, why));
    }
    rls_moments_close(&moments);
    return status;
}

/* Collective. */
static rls_status write_out(importing *m)
{
    void *layers = NULL, *counts = NULL;
    rls_status status = rls_alloc(m->ctx, m->count, sizeof(int), &layers);
    if (status == RLS_OK)
        status = rls_alloc(m->ctx, m->count, sizeof(int64_t), &counts);
    status = rls_agree(m->ctx, status);
    for (int64_t i = 0; i < m->count && status == RLS_OK; i++) {
        ((int *)layers)[i] = m->files[i].layer;
        ((int64_t *)counts)[i] = m->files[i].moment.count;
    }
    if (status == RLS_OK)
        status = rls_moments_commit(m->ctx, m->request->out, m->module, (int)m->count, layers, m->matrices,
                                    counts, check, m);
    free(layers);
    free(counts);
    return status;
}

rls_status rls_moments_import(rls_context *ctx, const rls_import_request *request)
{
    importing m = {.ctx = ctx, .request = request};
    int lock = -1;
    rls_status status = rls_moments_claim(ctx, request->out, request->overwrite, &lock);
    if (status == RLS_OK) {
        status = take_names(&m);
        if (status == RLS_OK)
            status = choose_module(&m);
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK)
        status = load(&m);
    if (status == RLS_OK)
        status = write_out(&m);
    for (int64_t i = 0; i < m.count && m.matrices != NULL; i++)
        rls_matrix_destroy(&m.matrices[i]);
    free(m.matrices);
    free(m.files);
    rls_grid_destroy(&m.grid);
    rls_moments_release(request->out, &lock);
    return status;
}
