#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/symmetric.h"
#include "moments/output.h"
#include "moments/run.h"
#include "store/fingerprint.h"
#include "store/netcdf.h"

enum { BLOCK = 64, MOST_TOKENS = RLS_TOKEN_BUDGET };

/* The tensor of a layer; NULL when there is none. */
static const rls_model_tensor *tensor_of(const rls_moments_run *run, const char *module, int layer)
{
    char name[600];
    const char *hole = strstr(module, "{}");
    (void)snprintf(name, sizeof name, "%.*s%d%s.weight", (int)(hole - module), module, layer, hole + 2);
    return rls_model_dir_find(run->dir, name);
}

/* Local, equal on all ranks: the module's name, which `edit` will ask the file for. */
static rls_status choose_module(rls_moments_run *run)
{
    const char *const *known = rls_architecture_down(run->arch.family);
    const int layer = run->layers[0];
    const char *wanted = run->request->module != NULL ? run->request->module : *known;
    while (run->request->module == NULL && *known != NULL && tensor_of(run, *known, layer) == NULL)
        known++;
    if (run->request->module == NULL && *known != NULL)
        wanted = *known;
    const char *hole = wanted != NULL ? strstr(wanted, "{}") : NULL;
    if (hole == NULL || strlen(wanted) >= sizeof run->module || strstr(hole + 2, "{}") != NULL)
        return rls_fail(run->ctx, RLS_ERR_USAGE,
                        "--module %.200s: expected {} once, where the layer's number goes, as in %s",
                        wanted != NULL ? wanted : "", *rls_architecture_down(run->arch.family));
    if (tensor_of(run, wanted, layer) == NULL)
        return rls_fail(run->ctx, RLS_ERR_USAGE, "--module %.200s: %s has no such tensor at layer %d", wanted,
                        run->request->model, layer);
    (void)snprintf(run->module, sizeof run->module, "%s", wanted);
    return RLS_OK;
}

/* Local, equal on all ranks: what was asked for, against the model. */
static rls_status check_request(rls_moments_run *run)
{
    const rls_moments_request *r = run->request;
    void *memory = NULL;
    if (r->layer_count < 1)
        return rls_fail(run->ctx, RLS_ERR_USAGE, "--layers: no layer is given");
    rls_status status = rls_alloc(run->ctx, r->layer_count, sizeof(int), &memory);
    run->layers = memory;
    if (status != RLS_OK)
        return status;
    memcpy(run->layers, r->layers, (size_t)r->layer_count * sizeof(int));
    qsort(run->layers, (size_t)r->layer_count, sizeof(int), rls_layer_compare);
    for (int i = 0; i < r->layer_count; i++) {
        if (run->layers[i] < 0 || run->layers[i] >= run->arch.blocks)
            return rls_fail(run->ctx, RLS_ERR_USAGE, "--layers: %d: %s has layers 0 to %lld", run->layers[i],
                            r->model, (long long)run->arch.blocks - 1);
        if (i > 0 && run->layers[i] == run->layers[i - 1])
            return rls_fail(run->ctx, RLS_ERR_USAGE, "--layers: %d is given twice", run->layers[i]);
    }
    if (r->samples < 0 || r->max_length < 0 || r->max_length > run->arch.context)
        return rls_fail(run->ctx, RLS_ERR_USAGE,
                        "--samples and --max-length are not below 1, and no text is longer than the model's "
                        "context, %lld tokens",
                        (long long)run->arch.context);
    return choose_module(run);
}

/* What of the memory the matrices take is known before anything large is there. Collective. */
static rls_status make_matrices(rls_moments_run *run)
{
    const rls_moments_request *r = run->request;
    rls_context *ctx = run->ctx;
    const int64_t n = run->arch.inner;
    const bool doubling = r->tolerance >= 0.0;
    int p = 1, q = 1;
    double there = 0.0;
    char need_text[32], there_text[32];
    void *sums = NULL, *means = NULL;
    rls_status status = rls_grid_create(ctx, 0, 0, &run->grid);
    if (status == RLS_OK)
        status = rls_memory_available(ctx, &there);
    if (status != RLS_OK)
        return status;
    rls_grid_shape(run->grid, &p, &q, NULL, NULL);
    const double matrix = (double)rls_dim_count((rls_dim){n, BLOCK, p}, 0) *
                          (double)rls_dim_count((rls_dim){n, BLOCK, q}, 0) * (double)rls_dtype_size(r->dtype);
    const double need =
        matrix * r->layer_count * (doubling ? 2.0 : 1.0) + rls_accumulator_bytes(r->dtype, n, BLOCK, 0, p, q);
    if (need > there)
        status = rls_fail(ctx, RLS_ERR_MEMORY,
                          "the second moments of %d layers take %s a rank%s, and %s are there: use more "
                          "ranks, fewer layers at a time%s",
                          r->layer_count, rls_bytes_text(need, need_text),
                          doubling ? " (half of it for --tolerance)" : "", rls_bytes_text(there, there_text),
                          r->dtype == RLS_F64 ? ", or --dtype float32" : "");
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, r->layer_count, sizeof(rls_matrix *), &sums);
    if (status == RLS_OK && doubling)
        status = rls_alloc_zero(ctx, r->layer_count, sizeof(rls_matrix *), &means);
    run->partial.sums = sums;
    run->partial.doubling = means;
    status = rls_agree(ctx, status);
    for (int i = 0; i < r->layer_count && status == RLS_OK; i++) {
        status = rls_matrix_create(run->grid, r->dtype, n, n, BLOCK, &run->partial.sums[i]);
        if (status == RLS_OK && doubling)
            status = rls_matrix_create(run->grid, r->dtype, n, n, BLOCK, &run->partial.doubling[i]);
        /* Touched now, so that what memory is left for the model is seen. */
        if (status == RLS_OK)
            rls_symmetric_scale_shift(run->partial.sums[i], 0.0, 0.0);
        if (status == RLS_OK && doubling)
            rls_symmetric_scale_shift(run->partial.doubling[i], 0.0, 0.0);
    }
    if (status == RLS_OK)
        status = rls_accumulator_create(run->grid, r->dtype, n, BLOCK, 0, &run->accumulator);
    return status;
}

/* Adds the fingerprint of a file. Collective. */
static rls_status add_file(rls_context *ctx, json_t *identity, const char *item, const char *dir,
                           const char *name)
{
    char *path = NULL, text[RLS_HASH_TEXT];
    rls_hash hash = {0, 0};
    rls_status status = rls_agree(
        ctx, rls_asprintf(ctx, &path, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name));
    if (status == RLS_OK)
        status = rls_fingerprint_file(ctx, path, &hash);
    if (status == RLS_OK)
        (void)json_object_set_new(identity, item, json_string(rls_hash_text(hash, text)));
    free(path);
    return status;
}

/* What the sums are of: a later run with the same identity may go on with them. Collective. */
static rls_status identify(rls_moments_run *run)
{
    const rls_moments_request *r = run->request;
    rls_context *ctx = run->ctx;
    rls_hash hash = {0, 0};
    char text[RLS_HASH_TEXT];
    json_t *layers = json_array();
    for (int i = 0; i < r->layer_count; i++)
        (void)json_array_append_new(layers, json_integer(run->layers[i]));
    json_t *identity = json_pack("{s:o, s:s, s:s, s:I, s:s?, s:I}", "layers", layers, "module", run->module,
                                 "dtype", rls_dtype_name(r->dtype), "max-length", (json_int_t)run->max_length,
                                 "field", r->field, "seed", (json_int_t)r->seed);
    run->partial.identity = identity;
    rls_status status =
        rls_agree(ctx, identity != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest"));
    if (status == RLS_OK)
        status = rls_fingerprint_model(ctx, run->dir, &hash);
    if (status == RLS_OK)
        (void)json_object_set_new(identity, "model", json_string(rls_hash_text(hash, text)));
    if (status == RLS_OK)
        status = add_file(ctx, identity, "config.json", r->model, "config.json");
    if (status == RLS_OK)
        status = add_file(ctx, identity, "tokenizer.json", r->model, "tokenizer.json");
    if (status == RLS_OK)
        status = add_file(ctx, identity, "text", NULL, r->text);
    return status;
}

static rls_status open_model(rls_moments_run *run)
{
    const rls_moments_request *r = run->request;
    const int64_t context = run->arch.context;
    run->max_length = r->max_length > 0 ? r->max_length : context < MOST_TOKENS ? context : MOST_TOKENS;
    run->budget = r->token_budget > 0 ? r->token_budget : MOST_TOKENS;
    if (run->budget < run->max_length)
        run->budget = run->max_length;
    const rls_llm_options options = {.tensor_ranks = r->tensor_ranks, .token_budget = run->budget};
    return rls_llm_open(run->ctx, r->model, &options, &run->llm);
}

rls_status rls_moments_run_begin(rls_moments_run *run)
{
    const rls_moments_request *r = run->request;
    rls_context *ctx = run->ctx;
    double left = INFINITY;
    rls_status status = rls_agree(ctx, rls_stop_seconds_left(ctx, r->walltime, &left));
    run->stop =
        (rls_stop){.signal = r->stop_signal, .deadline = MPI_Wtime() + left, .reserve = 2.0, .unit = "texts"};
    if (status == RLS_OK)
        status = rls_moments_claim(ctx, r->out, r->overwrite, &run->lock);
    if (status == RLS_OK)
        status = rls_architecture_read(ctx, r->model, &run->arch);
    if (status == RLS_OK)
        status = rls_model_dir_open(ctx, r->model, &run->dir);
    if (status == RLS_OK)
        status = rls_agree(ctx, check_request(run));
    if (status == RLS_OK)
        status = rls_corpus_open(ctx, r->text, r->field, &run->corpus);
    if (status == RLS_OK && rls_corpus_count(run->corpus) == 0)
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA, "%s: there is no text in it", r->text));
    if (status == RLS_OK)
        status = make_matrices(run);
    if (status == RLS_OK)
        status = open_model(run);
    if (status == RLS_OK)
        status = identify(run);
    if (status != RLS_OK)
        return status;
    const int64_t texts = rls_corpus_count(run->corpus);
    run->samples = r->samples > 0 && r->samples < texts ? r->samples : texts;
    if (r->samples > texts)
        rls_log(ctx, RLS_LOG_WARNING, "%s: --samples %lld, but there are only %lld texts", r->text,
                (long long)r->samples, (long long)texts);
    run->partial.ctx = ctx;
    run->partial.out = r->out;
    run->partial.module = run->module;
    run->partial.count = r->layer_count;
    run->partial.layers = run->layers;
    status = rls_moments_partial_resume(&run->partial, r->anew);
    run->saved_texts = run->partial.texts;
    if (status == RLS_OK && run->partial.texts > run->samples)
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_USAGE,
                                         "%s: an unfinished run for this file has %lld texts already, more "
                                         "than --samples %lld: discard it with --resume never",
                                         r->out, (long long)run->partial.texts, (long long)run->samples));
    if (status == RLS_OK && run->partial.texts > 0)
        rls_log(ctx, RLS_LOG_INFO, "going on after %lld texts", (long long)run->partial.texts);
    rls_texts_begin(&run->texts, ctx, run->llm->tokenizer, run->corpus, r->seed, run->partial.texts,
                    run->samples, run->max_length);
    return status;
}

void rls_moments_run_end(rls_moments_run *run)
{
    rls_moments_partial *p = &run->partial;
    for (int i = 0; i < run->request->layer_count; i++) {
        if (p->sums != NULL)
            rls_matrix_destroy(&p->sums[i]);
        if (p->doubling != NULL)
            rls_matrix_destroy(&p->doubling[i]);
    }
    free(p->sums);
    free(p->doubling);
    json_decref(p->identity);
    rls_texts_free(&run->texts);
    rls_accumulator_destroy(&run->accumulator);
    rls_grid_destroy(&run->grid);
    rls_corpus_close(&run->corpus);
    rls_llm_close(&run->llm);
    rls_model_dir_close(&run->dir);
    free(run->layers);
    rls_moments_release(run->request->out, &run->lock);
}
