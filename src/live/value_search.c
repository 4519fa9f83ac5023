#include "live/value_search.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "live/adam.h"

/* The facts that still search, packed in a pass: those of `alive`, in order. */
typedef struct {
    rls_llm *llm;
    const struct rls_config_value *options;
    const rls_edit_tokens *facts; /* of the chunk */
    int64_t count, hidden;
    const rls_value_watch *watch;
    int64_t before, all;      /* facts done before this chunk, and of all chunks */
    rls_value_report *report; /* [count] */
    float *z;                 /* [hidden, count] */

    int64_t alive_count;
    int64_t *alive;   /* which facts, increasing */
    bool *done;       /* [count] */
    float *start;     /* h_0 [hidden, count] */
    double *norm;     /* of h_0 */
    rls_adam adam;    /* delta and its moments, one column a fact */
    float *reference; /* log p_0 of the essence prompts, this rank's [vocab.count, count] */

    rls_pass *pass;
    int64_t sequences; /* a fact */
    int64_t *position; /* of the subjects: sequences x alive */
    float *column;     /* the same number of columns [hidden, ...]: deltas in, gradients out */
    rls_loss_term *term;
    double *value;
    int64_t terms_room;
} search;

static void search_free(search *s)
{
    rls_pass_destroy(&s->pass);
    rls_adam_free(&s->adam);
    free(s->alive);
    free(s->done);
    free(s->start);
    free(s->norm);
    free(s->reference);
    free(s->position);
    free(s->column);
    free(s->term);
    free(s->value);
}

/* Terms of one fact's loss: its targets' tokens, and the essence prompt. */
static int64_t terms_of(const rls_edit_tokens *fact)
{
    return fact->target.count + 1;
}

static rls_status search_alloc(search *s)
{
    rls_context *group = s->llm->part.group;
    const int64_t columns = s->sequences * s->count;
    const struct {
        void *place;
        int64_t count;
        size_t size;
    } parts[] = {
        {&s->alive, s->count, sizeof *s->alive},
        {&s->done, s->count, sizeof *s->done},
        {&s->start, s->count * s->hidden, sizeof *s->start},
        {&s->norm, s->count, sizeof *s->norm},
        {&s->reference, s->count * s->llm->part.vocab.count + 1, sizeof *s->reference}, /* never NULL */
        {&s->position, columns, sizeof *s->position},
        {&s->column, columns * s->hidden, sizeof *s->column},
        {&s->term, s->terms_room, sizeof *s->term},
        {&s->value, s->terms_room, sizeof *s->value}};
    rls_status status = RLS_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == RLS_OK; i++) {
        void *memory = NULL;
        status = rls_alloc_zero(group, parts[i].count, parts[i].size, &memory);
        memcpy(parts[i].place, &memory, sizeof memory);
    }
    return status == RLS_OK ? rls_adam_init(group, s->hidden, s->count, &s->adam) : status;
}

/* Where the subjects of the facts that are alive stand in the pass. */
static void find_positions(search *s)
{
    for (int64_t a = 0; a < s->alive_count; a++)
        for (int64_t i = 0; i < s->sequences; i++)
            s->position[a * s->sequences + i] =
                rls_pass_start(s->pass, a * s->sequences + i) + s->facts[s->alive[a]].subject[i];
}

/* The pass up to the block's output, marked. */
static rls_status make_pass(search *s, int64_t block)
{
    rls_context *group = s->llm->part.group;
    void *memory = NULL;
    rls_ids ids = {0};
    int64_t tokens = 0;
    for (int64_t f = 0; f < s->count; f++)
        tokens += s->facts[f].ids.count;
    rls_status status = rls_alloc(group, s->sequences * s->count, sizeof(int64_t), &memory);
    int64_t *length = memory;
    void *id = NULL;
    if (status == RLS_OK)
        status = rls_alloc(group, tokens, sizeof(int32_t), &id);
    ids.id = id;
    for (int64_t f = 0; f < s->count && status == RLS_OK; f++) {
        memcpy(ids.id + ids.count, s->facts[f].ids.id, (size_t)s->facts[f].ids.count * sizeof *ids.id);
        memcpy(length + f * s->sequences, s->facts[f].length, (size_t)s->sequences * sizeof *length);
        ids.count += s->facts[f].ids.count;
    }
    status = rls_agree(group, status);
    const rls_sequences sequences = {s->sequences * s->count, length, ids.id};
    if (status == RLS_OK)
        status = rls_pass_create(s->llm, &sequences, &s->pass);
    if (status == RLS_OK)
        status = rls_pass_run(s->pass, block + 1, NULL, 0, false);
    if (status == RLS_OK)
        status = rls_pass_mark(s->pass);
    rls_ids_free(&ids);
    free(length);
    return status;
}

/* h_0 of every fact, and log p_0 of what follows its essence prompt. */
static rls_status take_start(search *s)
{
    int64_t *at = s->position;
    for (int64_t f = 0; f < s->count; f++)
        at[f] = rls_pass_start(s->pass, f * s->sequences) + s->facts[f].subject[0];
    rls_status status = rls_pass_get(s->pass, s->count, at, s->start);
    for (int64_t f = 0; f < s->count && status == RLS_OK; f++)
        s->norm[f] = rls_adam_norm(s->hidden, s->start + f * s->hidden);
    if (status == RLS_OK)
        status = rls_pass_run(s->pass, s->llm->arch.blocks, NULL, 0, false);
    for (int64_t f = 0; f < s->count; f++) {
        const int64_t i = (f + 1) * s->sequences - 1;
        at[f] = rls_pass_start(s->pass, i) + s->facts[f].subject[s->sequences - 1];
    }
    if (status == RLS_OK)
        status = rls_pass_log_probabilities(s->pass, s->count, at, s->reference);
    return status;
}

/* Deltas to all places of their facts, then to the end of the blocks. */
static rls_status forward(search *s)
{
    for (int64_t a = 0; a < s->alive_count; a++)
        for (int64_t i = 0; i < s->sequences; i++)
            memcpy(s->column + (a * s->sequences + i) * s->hidden, s->adam.x + s->alive[a] * s->hidden,
                   (size_t)s->hidden * sizeof(float));
    rls_status status = rls_pass_rewind(s->pass);
    if (status == RLS_OK)
        status = rls_pass_add(s->pass, s->sequences * s->alive_count, s->position, s->column);
    if (status == RLS_OK)
        status = rls_pass_run(s->pass, s->llm->arch.blocks, NULL, 0, true);
    return status;
}

/* The terms of the facts that are alive, fact by fact. */
static int64_t set_terms(search *s)
{
    rls_loss_term *term = s->term;
    for (int64_t a = 0; a < s->alive_count; a++) {
        const int64_t f = s->alive[a];
        const rls_edit_tokens *fact = &s->facts[f];
        const int32_t *target = fact->target.id;
        for (int64_t i = 0; i < s->sequences - 1; i++)
            for (int64_t t = 0; t < fact->targets[i]; t++)
                *term++ = (rls_loss_term){.position = rls_pass_start(s->pass, a * s->sequences + i) +
                                                      fact->given[i] - 1 + t,
                                          .target = *target++,
                                          .weight = 1.0 / (double)((s->sequences - 1) * fact->targets[i])};
        *term++ = (rls_loss_term){.position = s->position[(a + 1) * s->sequences - 1],
                                  .reference = s->reference + f * s->llm->part.vocab.count,
                                  .weight = s->options->kl_factor};
    }
    return term - s->term;
}

/* The loss of every fact that is alive, and which of them are done after `steps` losses. Returns how many
 * go on. */
static int64_t judge(search *s, int64_t steps)
{
    int64_t term = 0, left = 0;
    for (int64_t a = 0; a < s->alive_count; a++) {
        const int64_t f = s->alive[a], end = term + terms_of(&s->facts[f]);
        double nll = 0.0;
        for (; term < end - 1; term++)
            nll += s->term[term].weight * s->value[term];
        const double decay = s->options->weight_decay * rls_adam_norm(s->hidden, s->adam.x + f * s->hidden) /
                             (s->norm[f] * s->norm[f]);
        const double loss = nll + s->options->kl_factor * s->value[term++] + decay;
        s->report[f] = (rls_value_report){.loss = loss, .nll = nll, .steps = steps};
        s->done[f] = loss < s->options->stop_loss || steps >= s->options->steps;
        left += !s->done[f];
    }
    return left;
}

/* Tells how far it is after `step` losses, with `left` facts that go on. */
static void show(const search *s, int64_t step, int64_t left)
{
    char what[96];
    if (s->watch == NULL || s->watch->show == NULL)
        return;
    const int64_t found = s->before + s->count - left;
    (void)snprintf(what, sizeof what,
                   "values of %" PRId64 " of %" PRId64 " facts found, step %" PRId64 " of %" PRId64, found,
                   s->all, step, (int64_t)s->options->steps);
    s->watch->show(s->watch->user,
                   ((double)found + (double)left * (double)step / (double)s->options->steps) / (double)s->all,
                   what);
}

/* One step of the facts that go on: the gradients over a fact's places are summed. */
static void descend(search *s)
{
    for (int64_t a = 0; a < s->alive_count; a++) {
        const int64_t f = s->alive[a];
        float *gradient = s->column + a * s->sequences * s->hidden, *delta = s->adam.x + f * s->hidden;
        if (s->done[f])
            continue;
        for (int64_t i = 1; i < s->sequences; i++)
            for (int64_t j = 0; j < s->hidden; j++)
                gradient[j] += gradient[i * s->hidden + j];
        const double norm = rls_adam_norm(s->hidden, delta);
        if (norm > 0.0) /* the norm's derivative at 0 is taken as 0 */
            for (int64_t j = 0; j < s->hidden; j++)
                gradient[j] +=
                    (float)(s->options->weight_decay * (double)delta[j] / (norm * s->norm[f] * s->norm[f]));
        rls_adam_step(&s->adam, f, s->options->lr, gradient);
        rls_adam_clamp(s->hidden, s->options->clamp_norm_factor * s->norm[f], delta);
    }
}

/* Leaves the facts that are not done. */
static rls_status drop_done(search *s)
{
    int64_t kept = 0, sequences = 0;
    for (int64_t a = 0; a < s->alive_count; a++) {
        if (s->done[s->alive[a]])
            continue;
        s->alive[kept++] = s->alive[a];
        for (int64_t i = 0; i < s->sequences; i++)
            s->position[sequences++] = a * s->sequences + i; /* room to say which sequences stay */
    }
    if (kept == s->alive_count || kept == 0) {
        s->alive_count = kept;
        find_positions(s);
        return RLS_OK;
    }
    s->alive_count = kept;
    const rls_status status = rls_pass_select(s->pass, sequences, s->position);
    find_positions(s);
    return status;
}

static rls_status run(search *s, int64_t block)
{
    rls_status status = make_pass(s, block);
    if (status == RLS_OK)
        status = take_start(s);
    for (int64_t f = 0; f < s->count; f++)
        s->alive[f] = f;
    s->alive_count = s->count;
    if (status == RLS_OK)
        find_positions(s);
    for (int64_t step = 1; s->alive_count > 0 && status == RLS_OK; step++) {
        status = forward(s);
        if (status == RLS_OK)
            status = rls_pass_loss(s->pass, set_terms(s), s->term, step < s->options->steps, s->value, NULL);
        if (status != RLS_OK)
            break;
        const int64_t left = judge(s, step);
        show(s, step, left);
        if (left > 0) {
            status = rls_pass_backward(s->pass, s->sequences * s->alive_count, s->position, s->column);
            if (status == RLS_OK)
                descend(s);
        }
        if (status == RLS_OK)
            status = drop_done(s);
    }
    for (int64_t i = 0; i < s->count * s->hidden && status == RLS_OK; i++)
        s->z[i] = s->start[i] + s->adam.x[i];
    return status;
}

/* Facts from `first` on that fit the budget together. */
static int64_t chunk_of(const rls_llm *llm, const rls_edit_tokens *facts, int64_t first, int64_t count)
{
    int64_t taken = 0, tokens = 0;
    while (first + taken < count &&
           (taken == 0 || tokens + rls_edit_tokens_all(&facts[first + taken]) <= llm->token_budget))
        tokens += rls_edit_tokens_all(&facts[first + taken++]);
    return taken;
}

rls_status rls_value_search(rls_llm *llm, const struct rls_config_value *options, int64_t block,
                            int64_t count, const rls_edit_tokens *facts, float *z, rls_value_report *reports,
                            const rls_value_watch *watch)
{
    rls_status status = RLS_OK;
    for (int64_t first = 0, taken = 0; first < count && status == RLS_OK; first += taken) {
        taken = chunk_of(llm, facts, first, count);
        search s = {.llm = llm,
                    .options = options,
                    .facts = facts + first,
                    .count = taken,
                    .hidden = llm->arch.hidden,
                    .watch = watch,
                    .before = first,
                    .all = count,
                    .report = reports + first,
                    .z = z + first * llm->arch.hidden,
                    .sequences = facts[first].sequences};
        for (int64_t f = 0; f < taken; f++)
            s.terms_room += terms_of(&s.facts[f]);
        status = rls_agree(llm->part.group, search_alloc(&s));
        if (status == RLS_OK)
            status = run(&s, block);
        search_free(&s);
    }
    return status;
}
