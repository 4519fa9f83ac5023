/* The next tokens: the most probable of each rank's slice are gathered, and every rank draws the same. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "llm/generate_state.h"

/* The layout of MPI_FLOAT_INT. */
typedef struct {
    float logit;
    int id;
} candidate;

enum { CANDIDATES = 1 << 20 }; /* most of all ranks at once */

/* Larger logits first; of equal ones the smaller id. */
static bool before(candidate a, candidate b)
{
    return a.logit > b.logit || (!(a.logit < b.logit) && a.id < b.id);
}

static int compare(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return before(*x, *y) ? -1 : before(*y, *x) ? 1 : 0;
}

/* The k best of n logits; the rest of best is filled with nothing. A heap whose root is the worst of them. */
static void select_best(const float *logits, int64_t n, int64_t first, int64_t k, candidate *best)
{
    for (int64_t i = 0; i < k; i++)
        best[i] = (candidate){-INFINITY, INT_MAX};
    for (int64_t v = 0; v < n; v++) {
        const candidate c = {logits[v], (int)(first + v)};
        if (!before(c, best[0]))
            continue;
        int64_t at = 0;
        for (int64_t child = 1; child < k; child = 2 * at + 1) {
            if (child + 1 < k && before(best[child], best[child + 1]))
                child++;
            if (before(best[child], c))
                break;
            best[at] = best[child];
            at = child;
        }
        best[at] = c;
    }
}

/* The bits of splitmix64 (Steele et al. 2014) after x. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
}

/* The number in [0, 1) of a prompt's step: it depends on nothing else. */
static double uniform(const rls_generate_options *o, const rls_line *line)
{
    const uint64_t stream = mix(mix(o->seed) ^ (uint64_t)(o->first_index + line->prompt));
    return (double)(mix(stream ^ (uint64_t)line->fresh) >> 11U) * 0x1p-53;
}

/* Draws among the first k of sorted candidates with probabilities exp(logit / temperature). */
static int32_t draw(const rls_generate_options *o, const rls_line *line, const candidate *sorted, int64_t k)
{
    const double temperature = o->temperature > 0.0 ? o->temperature : 1.0;
    double sum = 0.0;
    for (int64_t i = 0; i < k; i++)
        sum += exp(((double)sorted[i].logit - (double)sorted[0].logit) / temperature);
    double left = uniform(o, line) * sum;
    int64_t i = 0;
    for (; i + 1 < k; i++) {
        left -= exp(((double)sorted[i].logit - (double)sorted[0].logit) / temperature);
        if (left < 0.0)
            break;
    }
    return sorted[i].id;
}

/* Room for a piece: candidates of this rank, of all ranks, of one line. */
typedef struct {
    int64_t k, piece;
    candidate *mine, *all, *line;
} choice_room;

static rls_status make_room(const rls_pass *pass, int64_t top_k, int64_t count, choice_room *room)
{
    const rls_llm *llm = pass->llm;
    const int64_t T = llm->part.tensor_ranks, vocab = llm->arch.vocab;
    void *memory = NULL;
    *room = (choice_room){.k = top_k < 1 ? 1 : top_k};
    if (room->k > vocab)
        room->k = vocab;
    room->piece = rls_head_columns(&llm->arch, llm->part.tensor_ranks);
    if (room->piece > count)
        room->piece = count;
    if (room->piece > CANDIDATES / (room->k * T))
        room->piece = CANDIDATES / (room->k * T) > 1 ? CANDIDATES / (room->k * T) : 1;
    rls_status status = rls_alloc(llm->part.group, room->piece * room->k, sizeof(candidate), &memory);
    room->mine = memory;
    if (status == RLS_OK)
        status = rls_alloc(llm->part.group, room->piece * room->k * T, sizeof(candidate), &memory);
    room->all = status == RLS_OK ? memory : NULL;
    if (status == RLS_OK)
        status = rls_alloc(llm->part.group, room->k * T, sizeof(candidate), &memory);
    room->line = status == RLS_OK ? memory : NULL;
    return status;
}

static rls_status choose_piece(const rls_pass *pass, const rls_generate_options *options,
                               const choice_room *room, int64_t count, rls_line *const *line)
{
    const rls_partition *part = &pass->llm->part;
    const int64_t T = part->tensor_ranks, k = room->k, n = part->vocab.count;
    for (int64_t i = 0; i < count; i++)
        select_best(pass->room->head_logits + i * n, n, part->vocab.first, k, room->mine + i * k);
    MPI_Allgather(room->mine, (int)(count * k), MPI_FLOAT_INT, room->all, (int)(count * k), MPI_FLOAT_INT,
                  part->group->comm);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t t = 0; t < T; t++)
            for (int64_t j = 0; j < k; j++)
                room->line[t * k + j] = room->all[(t * count + i) * k + j];
        qsort(room->line, (size_t)(T * k), sizeof *room->line, compare);
        if (!isfinite(room->line[0].logit))
            return rls_fail(pass->llm->part.group, RLS_ERR_NUMERIC,
                            "the logits after prompt %" PRId64
                            " are not finite: the model's weights overflow",
                            line[i]->prompt);
        line[i]->token = draw(options, line[i], room->line, k);
    }
    return RLS_OK;
}

rls_status rls_choose_tokens(rls_pass *pass, rls_status status, const rls_generate_options *options,
                             int64_t count, rls_line *const *line, const int64_t *position)
{
    choice_room room;
    const rls_status made = make_room(pass, options->top_k, count, &room);
    if (status == RLS_OK)
        status = made;
    if (status == RLS_OK)
        status = rls_room_for_head(pass);
    if (status == RLS_OK && count > 0 && !rls_all_finite(pass->room->h, pass->rows.hidden * pass->tokens))
        status = rls_fail(pass->llm->part.group, RLS_ERR_NUMERIC,
                          "the hidden states are not finite: the model's weights overflow");
    status = rls_agree(pass->llm->part.group, status);
    for (int64_t at = 0; at < count && status == RLS_OK; at += room.piece) {
        const int64_t n = count - at < room.piece ? count - at : room.piece;
        status = rls_agree(pass->llm->part.group,
                           rls_head_logits(pass, n, position + at, pass->room->head_logits));
        if (status == RLS_OK)
            status = rls_agree(pass->llm->part.group, choose_piece(pass, options, &room, n, line + at));
    }
    free(room.mine);
    free(room.all);
    free(room.line);
    return status;
}
