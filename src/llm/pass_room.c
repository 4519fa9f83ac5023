/* The memory of passes: arrays made when they are first needed, kept from one pass to the next. */
#include <stdlib.h>

#include "base/least.h"
#include "base/memory.h"
#include "llm/pass_state.h"

enum {
    HEAD_BYTES = 64 << 20, /* of logits in a piece at the head */
    CAPACITY_STEP = 128    /* tokens: passes of nearly equal sizes share one room */
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

int64_t rls_head_columns(const rls_architecture *arch, int tensor_ranks)
{
    const int64_t column = ceil_div(arch->vocab, tensor_ranks) * (int64_t)sizeof(float);
    const int64_t columns = HEAD_BYTES / column;
    return columns < 1 ? 1 : rls_least(columns, RLS_HEAD_COLUMNS);
}

static int64_t kept_rows(const rls_rows *rows)
{
    return 2 * rows->hidden + rows->qkv + rows->q + rows->heads + rows->gate_up;
}

double rls_pass_bytes(const rls_architecture *arch, int tensor_ranks, int64_t tokens, int64_t kept_blocks)
{
    const int64_t heads = ceil_div(arch->heads, tensor_ranks);
    const int64_t group = arch->heads / arch->kv_heads; /* query heads that share a key-value head */
    const int64_t kv_heads = rls_least(arch->kv_heads, ceil_div(heads, group) + (heads % group != 0));
    const int64_t inner = ceil_div(arch->inner, tensor_ranks);
    const rls_rows rows = {.hidden = arch->hidden,
                           .q = heads * arch->head_dim,
                           .qkv = (heads + 2 * kv_heads) * arch->head_dim,
                           .inner = inner,
                           .gate_up = arch->gated ? 2 * inner : inner,
                           .heads = heads};
    const int64_t run = 4 * rows.hidden + rows.qkv + rows.q + rows.gate_up + rows.inner;
    const int64_t columns = rls_head_columns(arch, tensor_ranks);
    const int64_t head = columns * (2 * rows.hidden + ceil_div(arch->vocab, tensor_ranks));
    const int64_t capacity = ceil_div(tokens, CAPACITY_STEP) * CAPACITY_STEP;
    return (double)sizeof(float) *
           ((double)capacity * ((double)run + (double)kept_blocks * (double)kept_rows(&rows)) + (double)head);
}

void rls_room_free(rls_pass_room **room)
{
    rls_pass_room *r = *room;
    if (r == NULL)
        return;
    float *arrays[] = {r->h,       r->mark,  r->gradient, r->normed,      r->qkv,        r->attention,
                       r->gate_up, r->inner, r->head_h,   r->head_normed, r->head_logits};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
    for (int64_t b = 0; b < r->blocks && r->kept != NULL; b++)
        free(r->kept[b].input);
    free(r->kept);
    free(r);
    *room = NULL;
}

static rls_status room_create(rls_llm *llm, int64_t tokens, rls_pass_room **out)
{
    void *memory = NULL;
    rls_context *group = llm->part.group;
    rls_status status = rls_alloc_zero(group, 1, sizeof **out, &memory);
    rls_pass_room *room = *out = memory;
    if (status != RLS_OK || room == NULL)
        return status;
    room->capacity = ceil_div(tokens < 1 ? 1 : tokens, CAPACITY_STEP) * CAPACITY_STEP;
    room->blocks = llm->arch.blocks;
    status = rls_alloc_zero(group, room->blocks, sizeof *room->kept, &memory);
    room->kept = memory;
    if (status == RLS_OK)
        status = rls_alloc(group, room->capacity * llm->arch.hidden, sizeof(float), &memory);
    if (status == RLS_OK)
        room->h = memory;
    return status;
}

static rls_rows rows_of(const rls_llm *llm)
{
    const rls_architecture *arch = &llm->arch;
    const rls_partition *part = &llm->part;
    return (rls_rows){.hidden = arch->hidden,
                      .q = part->heads.count * arch->head_dim,
                      .kv = part->kv_heads.count * arch->head_dim,
                      .qkv = (part->heads.count + 2 * part->kv_heads.count) * arch->head_dim,
                      .inner = part->inner.count,
                      .gate_up = (arch->gated ? 2 : 1) * part->inner.count,
                      .heads = part->heads.count};
}

rls_status rls_pass_shell(rls_llm *llm, int64_t sequences, int64_t tokens, rls_pass **out)
{
    rls_context *group = llm->part.group;
    void *memory = NULL;
    rls_status status = rls_alloc_zero(group, 1, sizeof **out, &memory);
    rls_pass *pass = *out = memory;
    if (status != RLS_OK || pass == NULL)
        return status;
    pass->llm = llm;
    pass->rows = rows_of(llm);
    pass->mark = -1;
    status = rls_alloc_zero(group, sequences + 1, sizeof *pass->start, &memory);
    pass->start = memory;
    if (status == RLS_OK)
        status = rls_alloc(group, tokens, sizeof *pass->position, &memory);
    if (status == RLS_OK)
        pass->position = memory;
    if (llm->spare != NULL && llm->spare->capacity < tokens)
        rls_room_free(&llm->spare);
    pass->room = llm->spare;
    llm->spare = NULL;
    if (status == RLS_OK && pass->room == NULL)
        status = room_create(llm, tokens, &pass->room);
    return status;
}

void rls_pass_destroy(rls_pass **pass)
{
    if (*pass == NULL)
        return;
    rls_llm *llm = (*pass)->llm;
    rls_pass_room *room = (*pass)->room;
    if (room != NULL && room->h != NULL && (llm->spare == NULL || llm->spare->capacity < room->capacity)) {
        rls_room_free(&llm->spare);
        llm->spare = room;
    } else {
        rls_room_free(&room);
    }
    free((*pass)->start);
    free((*pass)->position);
    free(*pass);
    *pass = NULL;
}

void rls_pass_release(rls_llm *llm)
{
    rls_room_free(&llm->spare);
}

static rls_status make(rls_pass *pass, rls_status status, int64_t elements, float **array)
{
    if (status != RLS_OK || *array != NULL)
        return status;
    void *memory = NULL;
    status = rls_alloc(pass->llm->part.group, elements, sizeof **array, &memory);
    *array = memory;
    return status;
}

static rls_status make_kept(rls_pass *pass, rls_status status, rls_kept *kept)
{
    const rls_rows *rows = &pass->rows;
    const int64_t capacity = pass->room->capacity;
    if (kept->input != NULL)
        return status;
    status = make(pass, status, capacity * kept_rows(rows), &kept->input);
    if (status != RLS_OK)
        return status;
    kept->middle = kept->input + capacity * rows->hidden;
    kept->qkv = kept->middle + capacity * rows->hidden;
    kept->attention = kept->qkv + capacity * rows->qkv;
    kept->gate_up = kept->attention + capacity * rows->q;
    kept->log_sum = kept->gate_up + capacity * rows->gate_up;
    return RLS_OK;
}

rls_status rls_room_for_run(rls_pass *pass, bool keep, int64_t from, int64_t to)
{
    rls_pass_room *room = pass->room;
    const rls_rows *rows = &pass->rows;
    const int64_t capacity = room->capacity;
    rls_status status = make(pass, RLS_OK, capacity * rows->hidden, &room->normed);
    status = make(pass, status, capacity * rows->qkv, &room->qkv);
    status = make(pass, status, capacity * rows->q, &room->attention);
    status = make(pass, status, capacity * rows->gate_up, &room->gate_up);
    status = make(pass, status, capacity * rows->inner, &room->inner);
    for (int64_t b = from; b < to && keep; b++)
        status = make_kept(pass, status, &room->kept[b]);
    return status;
}

rls_status rls_room_for_mark(rls_pass *pass)
{
    return make(pass, RLS_OK, pass->room->capacity * pass->rows.hidden, &pass->room->mark);
}

rls_status rls_room_for_gradient(rls_pass *pass)
{
    return make(pass, RLS_OK, pass->room->capacity * pass->rows.hidden, &pass->room->gradient);
}

rls_status rls_room_for_head(rls_pass *pass)
{
    const int64_t columns = rls_head_columns(&pass->llm->arch, pass->llm->part.tensor_ranks);
    rls_status status = make(pass, RLS_OK, columns * pass->rows.hidden, &pass->room->head_h);
    status = make(pass, status, columns * pass->rows.hidden, &pass->room->head_normed);
    return make(pass, status, columns * pass->llm->part.vocab.count, &pass->room->head_logits);
}
