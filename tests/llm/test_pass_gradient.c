/* The way back: against finite differences, and from one number of ranks to another; marks, selections,
 * terms.
 */
#include "llm/pass_models.h"
#include "llm/pass_state.h"

/* Deltas at the mark, the last two in one sequence; terms that see them, two at one position. */
enum { DELTAS = 3, TERMS = 4 };
static const int64_t DELTA_AT[DELTAS] = {2, 6, 8};
static const int64_t TERM_AT[TERMS] = {4, 3, 13, 13};
static const int32_t TARGET[TERMS] = {7, 16, 0, 11};
static const double WEIGHT[TERMS] = {1.0, -0.5, 0.25, 2.0};

/* One step of a search: the loss with deltas at the mark, and its gradient unless that is NULL. */
static double search_step(rls_pass *pass, const rls_loss_term *terms, const float *delta, float *gradient)
{
    rls_context *group = pass->llm->part.group;
    double values[TERMS], loss = 0.0;
    assert_all_ok(group, rls_pass_rewind(pass));
    assert_all_ok(group, rls_pass_add(pass, DELTAS, DELTA_AT, delta));
    assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, gradient != NULL));
    assert_all_ok(group, rls_pass_loss(pass, TERMS, terms, gradient != NULL, values, NULL));
    if (gradient != NULL)
        assert_all_ok(group, rls_pass_backward(pass, DELTAS, DELTA_AT, gradient));
    for (int i = 0; i < TERMS; i++)
        loss += terms[i].weight * values[i];
    return loss;
}

/* A pass marked after `blocks` blocks. */
static rls_pass *marked(rls_llm *llm, int64_t blocks)
{
    rls_pass *pass = NULL;
    assert_all_ok(llm->part.group, rls_pass_create(llm, &BATCH, &pass));
    assert_all_ok(llm->part.group, rls_pass_run(pass, blocks, NULL, 0, false));
    assert_all_ok(llm->part.group, rls_pass_mark(pass));
    return pass;
}

/* Terms of the targets; the last one is a divergence from what the unchanged pass has there. */
static float *make_terms(rls_llm *llm, rls_loss_term *terms)
{
    float *reference = floats(llm->part.vocab.count);
    rls_pass *pass = marked(llm, TINY_BLOCKS);
    assert_all_ok(llm->part.group, rls_pass_log_probabilities(pass, 1, &TERM_AT[TERMS - 1], reference));
    rls_pass_destroy(&pass);
    for (int i = 0; i < TERMS; i++)
        terms[i] = (rls_loss_term){TERM_AT[i], TARGET[i], i == TERMS - 1 ? reference : NULL, WEIGHT[i]};
    return reference;
}

static float *random_deltas(int64_t hidden, uint64_t seed, double scale)
{
    float *delta = floats(DELTAS * hidden);
    for (int64_t i = 0; i < DELTAS * hidden; i++)
        delta[i] = (float)(scale * rls_random_normal_at(seed, i, 0));
    return delta;
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* (L(d + e u) - L(d - e u)) / 2e against the gradient: along itself, and along random directions. */
static void check_differences(rls_pass *pass, const rls_loss_term *terms, int64_t hidden, const float *delta,
                              const float *gradient)
{
    const int64_t count = DELTAS * hidden;
    const double norm = sqrt(dot(gradient, gradient, count));
    assert_all(norm > 1e-3);
    for (uint64_t trial = 0; trial < 3; trial++) {
        float *u = trial == 0 ? floats(count) : random_deltas(hidden, 77 + trial, 1.0);
        float *moved = floats(count);
        double loss[2];
        if (trial == 0)
            memcpy(u, gradient, (size_t)count * sizeof *u);
        const double step = 4e-3 / sqrt(dot(u, u, count)) * sqrt((double)count);
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < count; i++)
                moved[i] = delta[i] + (float)((side == 0 ? step : -step) * (double)u[i]);
            loss[side] = search_step(pass, terms, moved, NULL);
        }
        const double size = norm * sqrt(dot(u, u, count));
        assert_all_le(fabs((loss[0] - loss[1]) / (2.0 * step) - dot(gradient, u, count)) / size, 1e-3);
        free(u);
        free(moved);
    }
}

static void check_gradient(const tiny_dir *d, int64_t mark)
{
    rls_loss_term terms[TERMS], whole_terms[TERMS];
    rls_llm *one = tiny_open(d, 1);
    const int64_t hidden = one->arch.hidden, count = DELTAS * hidden;
    float *delta = random_deltas(hidden, 5, 0.3), *whole = floats(count), *gradient = floats(count);
    float *again = floats(count), *whole_reference = make_terms(one, whole_terms);
    rls_pass *whole_pass = marked(one, mark);
    const double whole_loss = search_step(whole_pass, whole_terms, delta, whole);
    check_differences(whole_pass, whole_terms, hidden, delta, whole);
    for (int t = 1; t <= rls_context_size(d->ctx); t++) {
        if (!divides(d, t))
            continue;
        rls_llm *llm = tiny_open(d, t);
        float *reference = make_terms(llm, terms);
        rls_pass *pass = marked(llm, mark);
        const double loss = search_step(pass, terms, delta, gradient);
        assert_all_le(fabs(loss - whole_loss), 1e-5 * fabs(whole_loss));
        assert_all_le(array_error(gradient, whole, count), 2e-5);
        /* Once more, bit by bit. */
        const double same = search_step(pass, terms, delta, again);
        assert_all(same == loss);
        assert_all(memcmp(again, gradient, (size_t)count * sizeof *again) == 0);
        rls_pass_destroy(&pass);
        rls_llm_close(&llm);
        free(reference);
    }
    rls_pass_destroy(&whole_pass);
    rls_llm_close(&one);
    free(whole_reference);
    free(delta);
    free(whole);
    free(gradient);
    free(again);
}

static void test_gradient(void **state)
{
    (void)state;
    for (int m = 0; m < TINY_COUNT; m++) {
        tiny_dir d;
        tiny_begin(&d, &TINY[m], RLS_TENSOR_F32);
        for (int64_t mark = 0; mark <= TINY_BLOCKS; mark++) {
            /* Above all blocks a delta moves only its own position's distribution: see test_at_the_end. */
            if (mark < TINY_BLOCKS)
                check_gradient(&d, mark);
        }
        tiny_end(&d);
    }
}

/* A mark above all blocks: only the final norm and the head are differentiated. */
static void test_at_the_end(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    const int64_t hidden = llm->arch.hidden, at[] = {4, 5};
    const rls_loss_term term = {.position = 4, .target = 3, .weight = 1.0};
    float *gradient = floats(2 * hidden), *moved = floats(hidden);
    rls_pass *pass = marked(llm, TINY_BLOCKS);
    double loss[2];
    assert_all_ok(group, rls_pass_loss(pass, 1, &term, true, &loss[0], NULL));
    assert_all_ok(group, rls_pass_backward(pass, 2, at, gradient));
    const double norm = sqrt(dot(gradient, gradient, hidden));
    assert_all(norm > 1e-3);
    assert_all(dot(gradient + hidden, gradient + hidden, hidden) == 0.0);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < hidden; i++)
            moved[i] = (float)((side == 0 ? 0.01 : -0.01) * (double)gradient[i] / norm);
        assert_all_ok(group, rls_pass_rewind(pass));
        assert_all_ok(group, rls_pass_add(pass, 1, at, moved));
        assert_all_ok(group, rls_pass_loss(pass, 1, &term, false, &loss[side], NULL));
    }
    assert_all_le(fabs((loss[0] - loss[1]) / 0.02 - norm) / norm, 1e-3);
    rls_pass_destroy(&pass);
    free(gradient);
    free(moved);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* KL(p || p) is 0 and so is its gradient; calls of the loss add up; the most probable token. */
static void test_terms(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[1], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    const int64_t hidden = llm->arch.hidden, n = llm->part.vocab.count, count = DELTAS * hidden;
    float *reference = floats(TERMS * n), *together = floats(count), *apart = floats(count);
    rls_loss_term terms[TERMS];
    double values[TERMS];
    int32_t best[TERMS];
    rls_pass *pass = marked(llm, 0);
    assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true));
    assert_all_ok(group, rls_pass_log_probabilities(pass, TERMS, TERM_AT, reference));
    for (int i = 0; i < TERMS; i++)
        terms[i] = (rls_loss_term){TERM_AT[i], -1, n > 0 ? reference + i * n : NULL, WEIGHT[i]};
    assert_all_ok(group, rls_pass_loss(pass, TERMS, terms, true, values, best));
    assert_all_ok(group, rls_pass_backward(pass, DELTAS, DELTA_AT, apart));
    for (int i = 0; i < TERMS; i++) {
        struct {
            float value;
            int id;
        } top = {-INFINITY, 1 << 30};
        for (int64_t v = 0; v < n; v++)
            if (reference[i * n + v] > top.value) {
                top.value = reference[i * n + v];
                top.id = (int)(llm->part.vocab.first + v);
            }
        MPI_Allreduce(MPI_IN_PLACE, &top, 1, MPI_FLOAT_INT, MPI_MAXLOC, group->comm);
        assert_all_int_equal(best[i], top.id);
        assert_all_le(fabs(values[i]), 1e-7);
    }
    assert_all_le(sqrt(dot(apart, apart, count)), 1e-6);
    /* All terms at once, and one call a term. */
    for (int way = 0; way < 2; way++) {
        assert_all_ok(group, rls_pass_rewind(pass));
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true));
        for (int i = 0; i < TERMS; i++)
            terms[i] = (rls_loss_term){TERM_AT[i], TARGET[i], NULL, WEIGHT[i]};
        for (int i = 0; i < (way == 0 ? 1 : TERMS); i++)
            assert_all_ok(group, rls_pass_loss(pass, way == 0 ? TERMS : 1, terms + i, true, NULL, NULL));
        assert_all_ok(group, rls_pass_backward(pass, DELTAS, DELTA_AT, way == 0 ? together : apart));
    }
    assert_all(dot(together, together, count) > 1e-6);
    assert_all_le(array_error(apart, together, count), 1e-5);
    rls_pass_destroy(&pass);
    free(reference);
    free(together);
    free(apart);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* Selecting sequences at the mark gives what a fresh pass of them does, bit by bit, also after another run.
 */
static void test_select(void **state)
{
    (void)state;
    const int64_t keep[] = {1, 3}, again[] = {1}, lengths[] = {LENGTHS[1], LENGTHS[3]};
    const int32_t tokens[] = {TOKENS[5], TOKENS[14], TOKENS[15], TOKENS[16]};
    for (int m = 0; m < TINY_COUNT; m++) {
        tiny_dir d;
        tiny_begin(&d, &TINY[m], RLS_TENSOR_F32);
        rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
        rls_context *group = llm->part.group;
        const int64_t hidden = llm->arch.hidden, unordered[] = {3, 1};
        float *selected = floats(4 * hidden), *fresh = floats(4 * hidden);
        const int64_t all[] = {0, 1, 2, 3};
        rls_pass *pass = marked(llm, 1), *other = NULL;
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true));
        assert_all_status(group, rls_pass_select(pass, 2, unordered), RLS_ERR_USAGE);
        assert_all_ok(group, rls_pass_select(pass, 2, keep));
        assert_all_int_equal(rls_pass_tokens(pass), 4);
        assert_all_int_equal(rls_pass_start(pass, 1), 1);
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, false));
        assert_all_ok(group, rls_pass_get(pass, 4, all, selected));
        assert_all_ok(group, rls_pass_create(llm, &(rls_sequences){2, lengths, tokens}, &other));
        assert_all_ok(group, rls_pass_run(other, TINY_BLOCKS, NULL, 0, false));
        assert_all_ok(group, rls_pass_get(other, 4, all, fresh));
        assert_all_le(array_error(selected, fresh, 4 * hidden), 1e-5);
        assert_all_ok(group, rls_pass_select(pass, 1, again));
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, false));
        assert_all_ok(group, rls_pass_get(pass, 3, all, selected));
        assert_all_le(array_error(selected, fresh + hidden, 3 * hidden), 1e-5);
        assert_all_ok(group, rls_pass_select(pass, 0, NULL));
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true));
        assert_all_int_equal(rls_pass_tokens(pass), 0);
        rls_pass_destroy(&pass);
        rls_pass_destroy(&other);
        free(selected);
        free(fresh);
        rls_llm_close(&llm);
        tiny_end(&d);
    }
}

/* No way back without all that it needs. */
static void test_no_way_back(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[5], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    const rls_loss_term term = {.position = 4, .target = 3, .weight = 1.0};
    const int64_t at = 4;
    float *value = floats(llm->arch.hidden);
    rls_pass *pass = marked(llm, 0);
    for (int way = 0; way < 4; way++) {
        assert_all_ok(group, rls_pass_rewind(pass));
        assert_all_ok(group, rls_pass_run(pass, 1, NULL, 0, way != 0));
        if (way == 1)
            assert_all_ok(group, rls_pass_set(pass, 1, &at, value));
        assert_all_ok(group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true));
        if (way != 2)
            assert_all_ok(group, rls_pass_loss(pass, 1, &term, true, NULL, NULL));
        if (way < 3) {
            assert_all_status(group, rls_pass_backward(pass, 1, &at, value), RLS_ERR_USAGE);
            assert_all_message(group, "no way back");
        } else {
            assert_all_ok(group, rls_pass_backward(pass, 1, &at, value));
            assert_all_status(group, rls_pass_backward(pass, 1, &at, value), RLS_ERR_USAGE);
        }
    }
    rls_pass_destroy(&pass);
    free(value);
    rls_llm_close(&llm);
    tiny_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_at_the_end),
                                       cmocka_unit_test(test_terms), cmocka_unit_test(test_select),
                                       cmocka_unit_test(test_no_way_back)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "llm-pass-gradient");
}
