/* Continuations: a pass over the prompts fills a cache of keys and values, then one token a line and step. */
#include "llm/generate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/generate_state.h"

/* Some of the prompts, continued together. */
typedef struct {
    rls_llm *llm;
    const rls_generate_options *options;
    rls_ids *ids;
    int64_t count; /* lines */
    rls_line *line;
    rls_line **active; /* those that go on */
    int64_t active_count;
    int64_t *position; /* of each active line's newest token in the pass */
    int32_t *token;    /* the newest of each active line */
    rls_cache cache;
} turn;

static float *cache_at(const rls_cache *cache, int64_t block, bool value, int64_t slot)
{
    return cache->data + ((2 * block + (value ? 1 : 0)) * cache->slots + slot) * cache->rows;
}

/* Puts a column's keys and values of a block into a slot. */
static void cache_put(const rls_cache *cache, const rls_rows *rows, int64_t block, int64_t slot,
                      const float *column)
{
    const size_t bytes = (size_t)cache->rows * sizeof(float);
    if (bytes == 0)
        return;
    memcpy(cache_at(cache, block, false, slot), column + rows->q, bytes);
    memcpy(cache_at(cache, block, true, slot), column + rows->q + rows->kv, bytes);
}

static rls_status append(rls_context *ctx, rls_ids *ids, int32_t token)
{
    if (ids->count == ids->capacity) {
        const int64_t capacity = ids->capacity > 0 ? 2 * ids->capacity : 64;
        int32_t *id = realloc(ids->id, (size_t)capacity * sizeof *id);
        if (id == NULL)
            return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for %" PRId64 " tokens", capacity);
        ids->id = id;
        ids->capacity = capacity;
    }
    ids->id[ids->count++] = token;
    return RLS_OK;
}

static bool ends_text(const rls_architecture *arch, int32_t token)
{
    for (int i = 0; i < arch->eos_count; i++)
        if (arch->eos[i] == token)
            return true;
    return false;
}

/* Takes the tokens just chosen; lines that end leave the active ones. */
static rls_status take_tokens(turn *t)
{
    rls_status status = RLS_OK;
    int64_t left = 0;
    for (int64_t i = 0; i < t->active_count; i++) {
        rls_line *line = t->active[i];
        if (!t->options->past_eos && ends_text(&t->llm->arch, line->token))
            continue;
        const rls_status appended = append(t->llm->part.group, &t->ids[line->prompt], line->token);
        if (status == RLS_OK)
            status = appended;
        if (++line->fresh < line->most)
            t->active[left++] = line;
    }
    t->active_count = left;
    return status;
}

/* Runs the prompts through the blocks, filling the cache, and chooses their first new tokens. */
static rls_status read_prompts(turn *t, const rls_sequences *prompts)
{
    rls_pass *pass = NULL;
    rls_status status = rls_pass_create(t->llm, prompts, &pass);
    if (status != RLS_OK)
        return status;
    const double start = rls_profile_start();
    double flops = 0.0;
    for (; pass->block < t->llm->arch.blocks && t->active_count > 0; pass->block++) {
        status = rls_block_forward(pass, pass->block, status, false);
        flops += rls_block_flops(pass, pass->block);
        for (int64_t s = 0; s < t->count && status == RLS_OK; s++)
            for (int64_t i = 0; i < t->line[s].length; i++)
                cache_put(&t->cache, &pass->rows, pass->block, t->line[s].offset + i,
                          pass->room->qkv + (pass->start[s] + i) * pass->rows.qkv);
    }
    rls_profile_add(t->llm->ctx, "llm: blocks", start, flops, 0.0);
    for (int64_t i = 0; i < t->active_count; i++)
        t->position[i] = pass->start[(t->active[i] - t->line) + 1] - 1;
    status = rls_choose_tokens(pass, status, t->options, t->active_count, t->active, t->position);
    rls_pass_destroy(&pass);
    return status;
}

/* Attention of one new token a line to its cache, which gets the token. */
static void attend_lines(const turn *t, rls_pass *pass, int64_t block)
{
    const rls_attention a = rls_pass_attention(pass);
    const rls_rows *rows = &pass->rows;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < t->active_count; i++) {
        const rls_line *line = t->active[i];
        const float *column = pass->room->qkv + i * rows->qkv;
        cache_put(&t->cache, rows, block, line->offset + line->length, column);
        if (rows->heads > 0)
            rls_attend_cached(&a, column, cache_at(&t->cache, block, false, line->offset),
                              cache_at(&t->cache, block, true, line->offset), line->length + 1,
                              t->cache.scores + line->offset, pass->room->attention + i * rows->q);
    }
}

/* One step: the active lines' newest tokens go through the blocks, and the next are chosen. pass: one token a
 * line. */
static rls_status step(turn *t, rls_pass *pass)
{
    const int64_t n = t->active_count;
    rls_status status = RLS_OK;
    pass->sequences = pass->tokens = n;
    for (int64_t i = 0; i < n; i++) {
        pass->start[i + 1] = i + 1;
        pass->position[i] = (int32_t)t->active[i]->length;
        t->position[i] = i;
        t->token[i] = t->active[i]->token;
    }
    rls_embed(pass, t->token);
    for (int64_t b = 0; b < t->llm->arch.blocks; b++) {
        status = rls_block_begin(pass, b, status, pass->room->qkv);
        if (status == RLS_OK)
            attend_lines(t, pass, b);
        status = rls_block_end(pass, b, status, pass->room->attention, pass->room->gate_up, NULL);
    }
    for (int64_t i = 0; i < n; i++)
        t->active[i]->length++;
    return rls_choose_tokens(pass, status, t->options, n, t->active, t->position);
}

static rls_status write_on(turn *t)
{
    rls_context *group = t->llm->part.group;
    rls_pass *pass = NULL;
    rls_status status = rls_pass_shell(t->llm, t->active_count, t->active_count, &pass);
    if (status == RLS_OK)
        status = rls_room_for_run(pass, false, 0, 0);
    status = rls_agree(group, status);
    const double start = rls_profile_start();
    while (status == RLS_OK && t->active_count > 0) {
        status = step(t, pass);
        if (status == RLS_OK)
            status = rls_agree(group, take_tokens(t));
    }
    rls_profile_add(t->llm->ctx, "llm: tokens one by one", start, 0.0, 0.0);
    rls_pass_destroy(&pass);
    return status;
}

/* New tokens that prompt i may get. */
static int64_t most_new(const turn *t, int64_t length)
{
    const int64_t room = t->llm->arch.context - length;
    return room < t->options->most ? room : t->options->most;
}

/* The prompts from `first` on that a turn holds: with their new tokens not more than the budget, but at least
 * one. */
static int64_t turn_size(const turn *t, const rls_sequences *prompts, int64_t first, int64_t *slots)
{
    int64_t s = first;
    *slots = 0;
    for (; s < prompts->count; s++) {
        const int64_t more = prompts->length[s] + most_new(t, prompts->length[s]);
        if (s > first && *slots + more > t->llm->token_budget)
            break;
        *slots += more;
    }
    return s - first;
}

static void *make(rls_context *group, rls_status *status, int64_t count, size_t size)
{
    void *memory = NULL;
    if (*status == RLS_OK)
        *status = rls_alloc_zero(group, count, size, &memory);
    return memory;
}

static rls_status make_turn(turn *t, const rls_sequences *prompts, int64_t first)
{
    rls_context *group = t->llm->part.group;
    rls_status status = RLS_OK;
    rls_cache *cache = &t->cache;
    t->count = turn_size(t, prompts, first, &cache->slots);
    cache->rows = t->llm->part.kv_heads.count * t->llm->arch.head_dim;
    t->line = make(group, &status, t->count, sizeof *t->line);
    t->active = make(group, &status, t->count, sizeof(rls_line *));
    t->position = make(group, &status, t->count, sizeof *t->position);
    t->token = make(group, &status, t->count, sizeof *t->token);
    cache->data = make(group, &status, 2 * t->llm->arch.blocks * cache->slots * cache->rows, sizeof(float));
    cache->scores = make(group, &status, cache->slots, sizeof(float));
    int64_t offset = 0;
    for (int64_t i = 0; i < t->count && status == RLS_OK; i++) {
        const int64_t length = prompts->length[first + i], most = most_new(t, length);
        t->line[i] = (rls_line){.prompt = first + i, .length = length, .most = most, .offset = offset};
        offset += length + most;
        if (most > 0)
            t->active[t->active_count++] = &t->line[i];
    }
    return rls_agree(group, status);
}

static void free_turn(turn *t)
{
    free(t->line);
    free(t->active);
    free(t->position);
    free(t->token);
    free(t->cache.data);
    free(t->cache.scores);
}

static rls_status check(rls_llm *llm, const rls_sequences *prompts, const rls_generate_options *o)
{
    int64_t tokens = 0;
    if (o->most < 0 || o->top_k < 0 || !(o->temperature >= 0.0) || isinf(o->temperature))
        return rls_fail(llm->part.group, RLS_ERR_USAGE,
                        "%" PRId64 " new tokens among the %" PRId64 " most probable at temperature %g: these "
                        "numbers must not be negative",
                        o->most, o->top_k, o->temperature);
    return rls_sequences_check(llm, prompts, &tokens);
}

rls_status rls_generate(rls_llm *llm, const rls_sequences *prompts, const rls_generate_options *options,
                        rls_ids *ids)
{
    rls_status status = rls_agree(llm->part.group, check(llm, prompts, options));
    const int32_t *token = prompts->token;
    int64_t first = 0;
    while (status == RLS_OK && first < prompts->count) {
        turn t = {.llm = llm, .options = options, .ids = ids};
        status = make_turn(&t, prompts, first);
        const rls_sequences some = {t.count, prompts->length + first, token};
        if (status == RLS_OK)
            status = read_prompts(&t, &some);
        if (status == RLS_OK)
            status = rls_agree(llm->part.group, take_tokens(&t));
        if (status == RLS_OK && t.active_count > 0)
            status = write_on(&t);
        for (int64_t i = 0; i < t.count; i++)
            token += prompts->length[first + i];
        first += t.count;
        free_turn(&t);
    }
    return status;
}
