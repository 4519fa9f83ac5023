/* Whether a model's files hold what its config.json says, before anything large is read. */
#include "llm/weights_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct {
    rls_context *ctx;
    const rls_model_dir *dir;
    bool *used; /* by tensor of the directory; NULL: not wanted */
} checking;

const char *rls_weight_name(const rls_weight_piece *piece, const char *suffix,
                            char name[RLS_WEIGHT_FULL_NAME_MAX])
{
    (void)snprintf(name, RLS_WEIGHT_FULL_NAME_MAX, "%s%s", piece->name, suffix);
    return name;
}

static rls_status check_tensor(const checking *c, const char *name, int dims, const int64_t shape[2])
{
    char expected[RLS_TENSOR_TEXT_MAX], found[RLS_TENSOR_TEXT_MAX];
    const rls_model_tensor *tensor = NULL;
    const rls_status status = rls_model_dir_require(c->dir, name, &tensor);
    if (status != RLS_OK)
        return status;
    const rls_tensor *info = tensor->info;
    if (c->used != NULL)
        c->used[tensor - rls_model_dir_tensor(c->dir, 0)] = true;
    if (!rls_tensor_type_dtype(info->type, NULL))
        return rls_fail(c->ctx, RLS_ERR_DATA,
                        "%s: tensor '%s' is %s: only F32, F16, BF16 (and F64) can be run",
                        rls_model_dir_path(c->dir), name, rls_tensor_type_name(info->type));
    if (info->dims != dims || info->shape[0] != shape[0] || (dims == 2 && info->shape[1] != shape[1]))
        return rls_fail(c->ctx, RLS_ERR_DATA, "%s: tensor '%s' is %s, expected %s by config.json",
                        rls_model_dir_path(c->dir), name, rls_shape_text(info->dims, info->shape, found),
                        rls_shape_text(dims, shape, expected));
    return RLS_OK;
}

/* An embedding of another length than vocab_size says so: that is how such models are made by mistake. */
static rls_status check_vocabulary(const checking *c, const rls_weight_piece *piece, const char *name)
{
    const rls_model_tensor *tensor = rls_model_dir_find(c->dir, name);
    if (tensor == NULL || tensor->info->dims != 2 || tensor->info->shape[1] != piece->in ||
        tensor->info->shape[0] == piece->out)
        return RLS_OK;
    return rls_fail(c->ctx, RLS_ERR_DATA,
                    "%s: vocab_size is %" PRId64 " in config.json, but '%s' has %" PRId64
                    " rows: the two must agree",
                    rls_model_dir_path(c->dir), piece->out, name, tensor->info->shape[0]);
}

static rls_status check_part(void *user, const rls_weight_part *part)
{
    const checking *c = user;
    char name[RLS_WEIGHT_FULL_NAME_MAX];
    rls_status status = RLS_OK;
    for (int i = 0; status == RLS_OK && i < part->pieces; i++) {
        const rls_weight_piece *piece = &part->piece[i];
        const int64_t shape[2] = {part->stored_transposed ? piece->in : piece->out,
                                  part->stored_transposed ? piece->out : piece->in};
        rls_weight_name(piece, ".weight", name);
        if (part->weight && (part->slot == RLS_PART_EMBEDDING || part->slot == RLS_PART_HEAD))
            status = check_vocabulary(c, piece, name);
        if (status == RLS_OK && part->weight)
            status = check_tensor(c, name, part->norm ? 1 : 2, shape);
        const int64_t length[2] = {piece->out, 0};
        if (status == RLS_OK && part->bias)
            status = check_tensor(c, rls_weight_name(piece, ".bias", name), 1, length);
    }
    return status;
}

/* Tensors that files have and models do not need: masks and tables that are made anew, a tied head's copy. */
static bool harmless(const rls_architecture *arch, const char *name)
{
    static const char *const endings[] = {".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t end = strlen(endings[i]);
        if (length >= end && strcmp(name + length - end, endings[i]) == 0)
            return true;
    }
    return arch->tied && strcmp(name, "lm_head.weight") == 0;
}

static void warn_of_others(const checking *c, const rls_architecture *arch)
{
    char shown[RLS_TENSOR_TEXT_MAX];
    int64_t others = 0;
    const char *first = NULL;
    for (int64_t i = 0; i < rls_model_dir_tensors(c->dir); i++) {
        const char *name = rls_model_dir_tensor(c->dir, i)->info->name;
        if (c->used[i] || harmless(arch, name))
            continue;
        first = others++ == 0 ? name : first;
    }
    if (others > 0)
        rls_log(c->ctx, RLS_LOG_WARNING,
                "%s: %" PRId64 " tensors that %s models do not have are not used, such as '%s'",
                rls_model_dir_path(c->dir), others, arch->model_type, rls_printable(first, shown));
}

rls_status rls_weights_check(rls_context *ctx, const rls_model_dir *dir, const rls_architecture *arch)
{
    checking c = {.ctx = ctx, .dir = dir};
    void *used = NULL;
    rls_status status = rls_alloc_zero(ctx, rls_model_dir_tensors(dir), sizeof(bool), &used);
    c.used = used;
    if (status == RLS_OK)
        status = rls_weights_plan(dir, arch, 0, 1, check_part, &c);
    if (status == RLS_OK && c.used != NULL && ctx->rank == 0)
        warn_of_others(&c, arch);
    free(used);
    return status;
}
