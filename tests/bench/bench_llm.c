/*
 * How fast a model runs, against what the machine can do in the same run:
 *
 *     mpirun -n 2 bench_llm                      a Llama of 8 blocks, hidden 1024, inner 4096; 16 x 64 tokens
 *     mpirun -n 2 bench_llm --tensor 2           the same, shared by 2 ranks
 *
 * The weights are random numbers in memory; --tensor 0 takes both layouts in turn: every rank a whole model
 * and its share of the sequences, then all ranks one model.
 *
 * GEMM: all ranks multiply at the same time, W [inner, hidden] times a rank's tokens, float32 (--gemm SIZE:
 * square matrices): the peak here. Prompt processing: embedding, blocks, and the head at every sequence's
 * last position. Its flops are 2 x the blocks' weights x tokens + 4 heads head_dim x pairs of tokens in
 * causal attention + 2 x the head's weights x sequences. Way back: a mark at block --mark (half of them),
 * then the forward pass above it that keeps what the way back needs, as in a search, and the way back; both
 * without the head. Everything is the fastest of
 * --repeats, as GEMM's time is.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/median.h"
#include "bench/options.h"
#include "llm/ops.h"
#include "llm/pass.h"
#include "support/random.h"

typedef struct {
    int64_t blocks, hidden, inner, heads, kv_heads, vocab, sequences, length, tensor, mark, gemm;
    int repeats;
    const char *dtype, *json;
} options;

/* A linear map of random numbers; the sum over its columns has a variance of one. */
static rls_linear make_linear(rls_dtype dtype, int64_t out, int64_t in, int64_t fan_in, uint64_t seed)
{
    rls_linear linear = {.out = out, .in = in, .dtype = dtype};
    const double scale = sqrt(3.0 / (double)fan_in);
    linear.weight = memory((double)out * (double)in * (double)rls_dtype_size(dtype));
    rls_random random = rls_random_seed(seed);
    float *row = memory((double)in * sizeof *row);
    for (int64_t i = 0; i < out; i++) {
        for (int64_t j = 0; j < in; j++)
            row[j] = (float)(scale * (2.0 * rls_random_uniform(&random) - 1.0));
        rls_convert(dtype, (char *)linear.weight + (size_t)(i * in) * rls_dtype_size(dtype), 1, RLS_F32, row,
                    1, in);
    }
    free(row);
    return linear;
}

static rls_norm make_norm(int64_t hidden)
{
    rls_norm norm = {.gain = memory((double)hidden * sizeof *norm.gain)};
    for (int64_t i = 0; i < hidden; i++)
        norm.gain[i] = 1.0F;
    return norm;
}

static rls_architecture architecture(const options *o)
{
    return (rls_architecture){.family = RLS_FAMILY_LLAMA,
                              .model_type = "llama",
                              .hidden = o->hidden,
                              .blocks = o->blocks,
                              .heads = o->heads,
                              .kv_heads = o->kv_heads,
                              .head_dim = o->hidden / o->heads,
                              .inner = o->inner,
                              .vocab = o->vocab,
                              .context = o->length,
                              .rms_norm = true,
                              .norm_eps = 1e-5,
                              .gated = true,
                              .activation = RLS_ACT_SILU,
                              .rotary_dim = o->hidden / o->heads,
                              .rope_theta = 1e4,
                              .rope_factor = 1.0,
                              .scale_attention = true,
                              .bos = -1};
}

/* A model of random slices, as rls_llm_open would have read it. */
static rls_llm *make_model(rls_context *ctx, const options *o, rls_dtype dtype, int tensor_ranks)
{
    rls_llm *llm = memory(sizeof *llm);
    memset(llm, 0, sizeof *llm);
    llm->ctx = ctx;
    llm->arch = architecture(o);
    llm->token_budget = o->sequences * o->length;
    check(ctx, rls_partition_init(ctx, &llm->arch, tensor_ranks, &llm->part));
    check(ctx, rls_rotary_table(ctx, &llm->arch, &llm->rotary));
    const rls_partition *p = &llm->part;
    const int64_t d = llm->arch.head_dim, hidden = o->hidden;
    rls_weights *w = &llm->weights;
    w->block = memory((double)o->blocks * sizeof *w->block);
    for (int64_t b = 0; b < o->blocks; b++) {
        const uint64_t seed = 4 * (uint64_t)b + 4096 * (uint64_t)p->tensor;
        w->block[b] = (rls_block_weights){
            .attention_norm = make_norm(hidden),
            .mlp_norm = make_norm(hidden),
            .qkv = make_linear(dtype, (p->heads.count + 2 * p->kv_heads.count) * d, hidden, hidden, seed),
            .out = make_linear(dtype, hidden, p->heads.count * d, hidden, seed + 1),
            .gate_up = make_linear(dtype, 2 * p->inner.count, hidden, hidden, seed + 2),
            .down = make_linear(dtype, hidden, p->inner.count, o->inner, seed + 3)};
    }
    w->embedding = make_linear(dtype, p->vocab.count, hidden, 3, 1000000 + (uint64_t)p->tensor);
    w->head = make_linear(dtype, p->vocab.count, hidden, hidden, 2000000 + (uint64_t)p->tensor);
    w->norm = make_norm(hidden);
    return llm;
}

static void free_block(rls_block_weights *b)
{
    free(b->attention_norm.gain);
    free(b->mlp_norm.gain);
    free(b->qkv.weight);
    free(b->out.weight);
    free(b->gate_up.weight);
    free(b->down.weight);
}

static void free_model(rls_llm *llm)
{
    rls_weights *w = &llm->weights;
    for (int64_t b = 0; b < llm->arch.blocks; b++)
        free_block(&w->block[b]);
    free(w->block);
    free(w->embedding.weight);
    free(w->head.weight);
    free(w->norm.gain);
    memset(w, 0, sizeof *w);
    rls_llm_close(&llm);
}

/* This group's sequences: even shares. */
typedef struct {
    rls_sequences sequences;
    int64_t *length, *last;
    int32_t *token;
} input;

static input make_input(const options *o, const rls_partition *part)
{
    const rls_share share = rls_share_of(o->sequences, part->data, part->data_groups);
    input in = {.length = memory(8.0 * (double)(share.count + 1)),
                .last = memory(8.0 * (double)(share.count + 1)),
                .token = memory(4.0 * (double)(share.count * o->length + 1))};
    rls_random random = rls_random_seed(7 + (uint64_t)share.first);
    for (int64_t s = 0; s < share.count; s++) {
        in.length[s] = o->length;
        in.last[s] = (s + 1) * o->length - 1;
    }
    for (int64_t i = 0; i < share.count * o->length; i++)
        in.token[i] = (int32_t)rls_random_below(&random, o->vocab);
    in.sequences = (rls_sequences){share.count, in.length, in.token};
    return in;
}

typedef struct {
    double prompt, forward, backward; /* seconds */
} timing;

/* Seconds of the slowest rank since start. */
static double since(double start)
{
    return slowest(MPI_Wtime() - start);
}

static double time_prompt(rls_llm *llm, const input *in, int32_t *best)
{
    rls_context *group = llm->part.group;
    rls_pass *pass = NULL;
    const int64_t count = in->sequences.count;
    rls_loss_term *terms = calloc((size_t)count + 1, sizeof *terms);
    for (int64_t s = 0; s < count && terms != NULL; s++)
        terms[s] = (rls_loss_term){.position = in->last[s]};
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    check(group, rls_pass_create(llm, &in->sequences, &pass));
    check(group, rls_pass_run(pass, llm->arch.blocks, NULL, 0, false));
    check(group, rls_pass_loss(pass, count, terms, false, NULL, best));
    rls_pass_destroy(&pass);
    const double seconds = since(start);
    free(terms);
    return seconds;
}

/* One step of a search above the mark. The loss is of one position: its head is timed by nobody. */
static void time_step(rls_llm *llm, rls_pass *pass, const input *in, float *gradient, double *forward,
                      double *backward)
{
    rls_context *group = llm->part.group;
    const int64_t count = in->sequences.count;
    const rls_loss_term term = {.position = 0, .target = 1, .weight = 1.0};
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    check(group, rls_pass_rewind(pass));
    check(group, rls_pass_run(pass, llm->arch.blocks, NULL, 0, true));
    *forward = since(start);
    check(group, rls_pass_loss(pass, count > 0 ? 1 : 0, &term, true, NULL, NULL));
    MPI_Barrier(MPI_COMM_WORLD);
    start = MPI_Wtime();
    check(group, rls_pass_backward(pass, count, in->last, gradient));
    *backward = since(start);
}

static timing time_model(rls_llm *llm, const options *o)
{
    input in = make_input(o, &llm->part);
    const int64_t count = in.sequences.count;
    int32_t *best = memory(4.0 * (double)(count + 1));
    float *gradient = memory(4.0 * (double)((count + 1) * o->hidden));
    double prompt[MOST_REPEATS] = {0.0}, forward[MOST_REPEATS] = {0.0}, backward[MOST_REPEATS] = {0.0};
    rls_pass *pass = NULL;
    (void)time_prompt(llm, &in, best);
    for (int i = 0; i < o->repeats; i++)
        prompt[i] = time_prompt(llm, &in, best);
    check(llm->part.group, rls_pass_create(llm, &in.sequences, &pass));
    check(llm->part.group, rls_pass_run(pass, o->mark, NULL, 0, false));
    check(llm->part.group, rls_pass_mark(pass));
    time_step(llm, pass, &in, gradient, &forward[0], &backward[0]);
    for (int i = 0; i < o->repeats; i++)
        time_step(llm, pass, &in, gradient, &forward[i], &backward[i]);
    rls_pass_destroy(&pass);
    free(best);
    free(gradient);
    free(in.length);
    free(in.last);
    free(in.token);
    return (timing){.prompt = smallest(prompt, o->repeats),
                    .forward = smallest(forward, o->repeats),
                    .backward = smallest(backward, o->repeats)};
}

/* Flops of one block over all sequences, and of the head at the last positions. */
static double block_flops(const options *o)
{
    const double h = (double)o->hidden, inner = (double)o->inner, length = (double)o->length;
    const double kv = h * (double)o->kv_heads / (double)o->heads, tokens = (double)o->sequences * length;
    const double pairs = 0.5 * tokens * (length + 1.0);
    return 2.0 * tokens * (2.0 * h * h + 2.0 * h * kv + 3.0 * h * inner) + 4.0 * h * pairs;
}

static double head_flops(const options *o)
{
    return 2.0 * (double)o->sequences * (double)o->vocab * (double)o->hidden;
}

static void report(const options *o, rls_dtype dtype, int tensor, int groups, double gemm, const timing *t,
                   FILE *json)
{
    const double all = block_flops(o) * (double)o->blocks + head_flops(o);
    const double rate = 1e-9 * all / t->prompt, tokens = (double)(o->sequences * o->length);
    const double above = 1e-9 * block_flops(o) * (double)(o->blocks - o->mark);
    printf("%-8s %d x %d ranks | GEMM %7.1f Gflop/s | prompt %.4f s, %8.0f tokens/s, %7.1f Gflop/s, %.3f of "
           "GEMM "
           "| above block %lld: forward %.4f s (%.3f), way back %.4f s (%.3f), ratio %.3f\n",
           rls_dtype_name(dtype), groups, tensor, gemm, t->prompt, tokens / t->prompt, rate, rate / gemm,
           (long long)o->mark, t->forward, above / t->forward / gemm, t->backward, above / t->backward / gemm,
           t->backward / t->forward);
    (void)fflush(stdout);
    if (json == NULL)
        return;
    fprintf(json,
            "{\"bench\": \"llm\", \"dtype\": \"%s\", \"data_groups\": %d, \"tensor_ranks\": %d, \"blocks\": "
            "%lld, "
            "\"hidden\": %lld, \"inner\": %lld, \"vocab\": %lld, \"sequences\": %lld, \"length\": %lld, "
            "\"gemm_gflops\": %.5g, \"seconds\": %.6g, \"tokens_per_second\": %.6g, \"gflops\": %.5g, "
            "\"gemm_ratio\": %.4g, \"forward_above\": %.6g, \"backward_above\": %.6g, \"backward_ratio\": "
            "%.4g}\n",
            rls_dtype_name(dtype), groups, tensor, (long long)o->blocks, (long long)o->hidden,
            (long long)o->inner, (long long)o->vocab, (long long)o->sequences, (long long)o->length, gemm,
            t->prompt, tokens / t->prompt, rate, rate / gemm, t->forward, t->backward,
            t->backward / t->forward);
    (void)fflush(json);
}

static void bench(rls_context *ctx, const options *o, rls_dtype dtype, int tensor, FILE *json)
{
    const int64_t share = o->sequences * o->length / rls_context_size(ctx);
    rls_llm *llm = make_model(ctx, o, dtype, tensor);
    const double gemm = o->gemm > 0 ? gemm_rate(RLS_F32, 'T', o->gemm, o->gemm, o->gemm, 10)
                                    : gemm_rate(RLS_F32, 'T', o->inner, share, o->hidden, 10);
    const timing t = time_model(llm, o);
    if (rls_context_rank(ctx) == 0)
        report(o, dtype, tensor, llm->part.data_groups, gemm, &t, json);
    free_model(llm);
}

/* What the shape leaves open, and whether it is possible. */
static bool complete(options *o)
{
    if (o->kv_heads == 0)
        o->kv_heads = o->heads;
    if (o->mark < 0)
        o->mark = o->blocks / 2;
    const bool types = strcmp(o->dtype, "both") == 0 || strcmp(o->dtype, "float32") == 0 ||
                       strcmp(o->dtype, "bfloat16") == 0;
    return types && o->hidden % o->heads == 0 && o->heads % o->kv_heads == 0 && o->mark <= o->blocks &&
           o->tensor <= INT32_MAX;
}

static void run(rls_context *ctx, const options *o)
{
    const int ranks = rls_context_size(ctx), tensor = (int)o->tensor;
    FILE *json = o->json != NULL && rls_context_rank(ctx) == 0 ? fopen(o->json, "a") : NULL;
    for (int type = 0; type < 2; type++)
        for (int way = 0; way < (tensor == 0 && ranks > 1 ? 2 : 1); way++)
            if (strcmp(o->dtype, type == 0 ? "bfloat16" : "float32") != 0)
                bench(ctx, o, type == 0 ? RLS_F32 : RLS_BF16,
                      tensor > 0 ? tensor
                      : way == 0 ? 1
                                 : ranks,
                      json);
    if (json != NULL)
        (void)fclose(json);
}

int main(int argc, char **argv)
{
    options o = {.blocks = 8,
                 .hidden = 1024,
                 .inner = 4096,
                 .heads = 16,
                 .vocab = 32000,
                 .sequences = 16,
                 .length = 64,
                 .mark = -1,
                 .repeats = 9,
                 .dtype = "both"};
    const bench_option table[] = {
        {"blocks", "B", "the model's blocks (8)", OPTION_NUMBER, &o.blocks, 1},
        {"hidden", "H", "its width (1024)", OPTION_NUMBER, &o.hidden, 1},
        {"inner", "I", "its inner width (4096)", OPTION_NUMBER, &o.inner, 1},
        {"heads", "N", "its heads (16)", OPTION_NUMBER, &o.heads, 1},
        {"kv-heads", "N", "heads of keys and values (as heads)", OPTION_NUMBER, &o.kv_heads, 1},
        {"vocab", "V", "its vocabulary (32000)", OPTION_NUMBER, &o.vocab, 2},
        {"sequences", "S", "prompts (16)", OPTION_NUMBER, &o.sequences, 1},
        {"length", "L", "of a prompt (64)", OPTION_NUMBER, &o.length, 1},
        {"tensor", "T", "ranks that share the model; 0: 1, then all (0)", OPTION_NUMBER, &o.tensor, 0},
        {"dtype", "TYPE", "of the weights: float32, bfloat16 or both (both)", OPTION_TEXT, &o.dtype, 0},
        {"mark", "BLOCK", "where the way back ends (half of the blocks)", OPTION_NUMBER, &o.mark, 0},
        {"repeats", "R", "runs timed, of which the fastest counts (9)", OPTION_REPEATS, &o.repeats, 1},
        {"gemm", "SIZE", "of a square GEMM measurement (inner x a rank's tokens x hidden)", OPTION_NUMBER,
         &o.gemm, 1},
        {"json", "FILE", "also one JSON object a line", OPTION_TEXT, &o.json, 0}};
    rls_context *ctx = NULL;
    MPI_Init(&argc, &argv);
    int stop = options_read(argc, argv, "bench_llm", table, OPTION_COUNT(table));
    if (stop < 0 && !complete(&o)) {
        (void)fprintf(stderr, "bench_llm: no such model: --hidden, --heads, --kv-heads, --mark or --dtype\n");
        stop = 2;
    }
    if (stop < 0) {
        check(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
        run(ctx, &o);
        rls_context_destroy(&ctx);
    }
    MPI_Finalize();
    return stop < 0 ? 0 : stop;
}
