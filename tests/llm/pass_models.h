/* Tiny models opened on some tensor ranks, with numbers that keep activations near one, and passes over them.
 */
#ifndef LLM_PASS_MODELS_H
#define LLM_PASS_MODELS_H

#include "llm/generate.h"
#include "llm/pass.h"
#include "llm/tiny_models.h"

enum { TINY_BUDGET = 64 };

static inline void scale_linear(rls_linear *linear, float by)
{
    if (linear->dtype == RLS_F32)
        for (int64_t i = 0; i < linear->out * linear->in; i++)
            ((float *)linear->weight)[i] *= by;
    for (int64_t i = 0; i < linear->out && linear->bias != NULL; i++)
        linear->bias[i] *= 0.1F;
}

static inline void tame_norm(rls_norm *norm, int64_t hidden)
{
    for (int64_t i = 0; i < hidden && norm->gain != NULL; i++)
        norm->gain[i] = 1.0F + 0.2F * norm->gain[i];
    for (int64_t i = 0; i < hidden && norm->bias != NULL; i++)
        norm->bias[i] *= 0.1F;
}

/* Random weights of standard deviation 1 become such that softmaxes are not saturated. */
static inline void tame(rls_llm *llm)
{
    rls_weights *w = &llm->weights;
    if (!llm->arch.tied)
        scale_linear(&w->head, 0.4F);
    scale_linear(&w->embedding, 0.6F);
    tame_norm(&w->norm, llm->arch.hidden);
    for (int64_t b = 0; b < llm->arch.blocks; b++) {
        scale_linear(&w->block[b].qkv, 0.3F);
        scale_linear(&w->block[b].out, 0.3F);
        scale_linear(&w->block[b].gate_up, 0.3F);
        scale_linear(&w->block[b].down, 0.3F);
        tame_norm(&w->block[b].attention_norm, llm->arch.hidden);
        tame_norm(&w->block[b].mlp_norm, llm->arch.hidden);
    }
}

/* A model on each number of tensor ranks. */
typedef struct {
    rls_context *ctx;
    char dir[RLS_TEST_PATH_MAX];
} tiny_dir;

static inline void tiny_begin(tiny_dir *d, const tiny *t, rls_tensor_type type)
{
    tiny_files *files = malloc(sizeof *files);
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &d->ctx));
    tiny_tensors(t, type, files);
    rls_test_tmpdir(d->dir);
    tiny_write(d->dir, t, files, 1);
    free(files);
}

static inline void tiny_end(tiny_dir *d)
{
    rls_test_rmtree(d->dir);
    rls_context_destroy(&d->ctx);
}

static inline rls_llm *tiny_open(const tiny_dir *d, int tensor_ranks)
{
    rls_llm *llm = NULL;
    const rls_llm_options options = {
        .tensor_ranks = tensor_ranks, .token_budget = TINY_BUDGET, .no_tokenizer = true};
    assert_all_ok(d->ctx, rls_llm_open(d->ctx, d->dir, &options, &llm));
    tame(llm);
    return llm;
}

static inline bool divides(const tiny_dir *d, int tensor_ranks)
{
    return rls_context_size(d->ctx) % tensor_ranks == 0;
}

/* Sequences that every model has room for: ids are below 17, lengths at most 9. */
static const int64_t LENGTHS[] = {5, 1, 8, 3};
static const int32_t TOKENS[] = {3, 14, 15, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 16, 0, 1, 4};
enum { SEQUENCES = 4, TOKENS_COUNT = 17 };
static const rls_sequences BATCH = {SEQUENCES, LENGTHS, TOKENS};

/* Sequence s of the batch alone. */
static inline rls_sequences alone(int64_t s)
{
    int64_t first = 0;
    for (int64_t i = 0; i < s; i++)
        first += LENGTHS[i];
    return (rls_sequences){1, LENGTHS + s, TOKENS + first};
}

/* Numbers every rank has; `rows x columns` of a whole matrix, of which this rank has rows [first, ...). */
static inline float *floats(int64_t count)
{
    return calloc((size_t)(count > 0 ? count : 1), sizeof(float));
}

/* The largest |a - b| over the largest |b|; NaN counts as infinite. a: rows [first, first + rows) of b's. */
static inline double slice_error(const float *a, int64_t rows, int64_t first, const float *b, int64_t all,
                                 int64_t columns)
{
    double worst = 0.0, size = 1e-30;
    for (int64_t i = 0; i < columns; i++) {
        for (int64_t j = 0; j < all; j++)
            size = fmax(size, fabs((double)b[i * all + j]));
        for (int64_t j = 0; j < rows; j++) {
            const double error = fabs((double)a[i * rows + j] - (double)b[i * all + first + j]);
            worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
    }
    return worst / size;
}

static inline double array_error(const float *a, const float *b, int64_t count)
{
    return slice_error(a, count, 0, b, count, 1);
}

#endif
