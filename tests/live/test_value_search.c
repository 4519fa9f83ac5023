/* ctest: NP 1 2 3 4 TIMEOUT 600 */
/*
 * The search for values against PyTorch (tests/tools/make_value_golden.py says what atlas-values.json holds):
 * the same losses and the same z, on every number of tensor ranks, in chunks of any size, facts dealt to data
 * groups, and however many are done before the others.
 *
 * Bounds: losses 1e-4, z 1e-3 of ||z - h_0||.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "live/value_search.h"
#include "support/collective.h"
#include "support/golden.h"
#include "support/scratch.h"
#include "support/state.h"

enum { MOST_FACTS = 8 };
static const double LOSS = 1e-4, VALUE = 1e-3;

typedef struct {
    rls_llm *llm;
    rls_context *group;
    int64_t block, count, hidden;
    struct rls_config_value options;
    rls_edit_tokens token[MOST_FACTS];
    float *z;
    rls_value_report report[MOST_FACTS];
} trial;

static json_t *golden;

static int setup(void **state)
{
    char path[RLS_TEST_PATH_MAX];
    rls_test_data(path, "llm/atlas-values.json");
    golden = golden_load(path);
    return scratch_setup(state);
}

static int teardown(void **state)
{
    json_decref(golden);
    return scratch_teardown(state);
}

static struct rls_config_value read_options(void)
{
    const json_t *options = json_object_get(golden, "options");
    return (struct rls_config_value){.steps = golden_integer(options, "steps"),
                                     .lr = golden_number(options, "lr"),
                                     .clamp_norm_factor = golden_number(options, "clamp_norm_factor"),
                                     .kl_factor = golden_number(options, "kl_factor"),
                                     .weight_decay = golden_number(options, "weight_decay"),
                                     .stop_loss = golden_number(options, "stop_loss")};
}

/* The golden's facts as a run reads them. */
static void make_tokens(rls_context *ctx, trial *t)
{
    rls_facts *facts = NULL;
    rls_contexts contexts = {0};
    char path[RLS_TEST_PATH_MAX];
    char *text = json_dumps(json_object_get(golden, "facts"), JSON_INDENT(1));
    assert_non_null(text);
    (void)in_scratch("facts.json", path);
    rls_test_write(path, text, strlen(text));
    free(text);
    assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_STOP, 0, &facts));
    assert_all_ok(ctx, rls_contexts_from_json(ctx, json_object_get(golden, "contexts"), &contexts));
    t->count = rls_facts_count(facts);
    assert_all(t->count > 1 && t->count <= MOST_FACTS);
    for (int64_t f = 0; f < t->count; f++)
        assert_all_ok(ctx, rls_edit_tokens_make(ctx, t->llm->tokenizer, &t->llm->arch, &contexts,
                                                rls_facts_get(facts, f), &t->token[f]));
    rls_contexts_free(&contexts);
    rls_facts_free(&facts);
}

static void open_trial(rls_context *ctx, int tensor_ranks, trial *t)
{
    char model[RLS_TEST_PATH_MAX];
    const rls_llm_options options = {.tensor_ranks = tensor_ranks};
    *t = (trial){.options = read_options(), .block = golden_integer(golden, "block")};
    rls_test_data(model, "atlas");
    assert_all_ok(ctx, rls_llm_open(ctx, model, &options, &t->llm));
    t->group = t->llm->part.group;
    t->hidden = t->llm->arch.hidden;
    make_tokens(ctx, t);
    t->z = calloc((size_t)(t->count * t->hidden), sizeof *t->z);
    assert_non_null(t->z);
}

static void close_trial(trial *t)
{
    for (int64_t f = 0; f < t->count; f++)
        rls_edit_tokens_free(&t->token[f]);
    free(t->z);
    rls_llm_close(&t->llm);
}

/* Calls work on every number of tensor ranks there can be. */
static void each_trial(rls_context *ctx, void (*work)(trial *t))
{
    for (int tensor_ranks = 1; tensor_ranks <= ctx->size; tensor_ranks++) {
        trial t;
        if (ctx->size % tensor_ranks != 0)
            continue;
        open_trial(ctx, tensor_ranks, &t);
        work(&t);
        close_trial(&t);
    }
}

/* Searches facts [first, first + count). z and reports of others become what no search gives. */
static void search(trial *t, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < t->count * t->hidden; i++)
        t->z[i] = NAN;
    memset(t->report, 0xff, sizeof t->report);
    assert_all_ok(t->group, rls_value_search(t->llm, &t->options, t->block, count, t->token + first,
                                             t->z + first * t->hidden, t->report + first, NULL));
}

/* The ranks of a group go on by what each computes itself: it has to be the same bits. */
static void check_group_agrees(const trial *t)
{
    float *first = malloc((size_t)(t->count * t->hidden) * sizeof *first);
    assert_non_null(first);
    memcpy(first, t->z, (size_t)(t->count * t->hidden) * sizeof *first);
    MPI_Bcast(first, (int)(t->count * t->hidden), MPI_FLOAT, 0, t->group->comm);
    assert_all(memcmp(first, t->z, (size_t)(t->count * t->hidden) * sizeof *first) == 0);
    free(first);
}

/* ||z - golden|| / ||golden - h_0||. */
static double value_error(const trial *t, const json_t *run, int64_t f)
{
    const json_t *z = json_array_get(json_object_get(run, "z"), (size_t)f);
    double sum = 0.0;
    assert_int_equal(json_array_size(z), t->hidden);
    for (int64_t j = 0; j < t->hidden; j++)
        sum += pow((double)t->z[f * t->hidden + j] - golden_element(z, (size_t)j), 2.0);
    return sqrt(sum) / golden_element(json_object_get(run, "delta"), (size_t)f);
}

static void check_facts(const trial *t, const json_t *run, int64_t first, int64_t count)
{
    double worst = 0.0;
    for (int64_t f = first; f < first + count; f++) {
        const double loss = golden_element(json_object_get(run, "loss"), (size_t)f);
        golden_note(&worst, value_error(t, run, f));
        assert_true(t->report[f].steps == (int64_t)golden_element(json_object_get(run, "done"), (size_t)f));
        assert_true(fabs(t->report[f].loss - loss) <= LOSS * fmax(1.0, loss));
        assert_true(t->report[f].nll > 0.0 && t->report[f].nll < t->report[f].loss);
    }
    assert_all_le(worst, VALUE);
}

static void search_run(trial *t, const json_t *run)
{
    t->options.steps = golden_integer(run, "steps");
    t->options.stop_loss = golden_number(run, "stop_loss");
    search(t, 0, t->count);
    check_facts(t, run, 0, t->count);
    check_group_agrees(t);
}

static void check_runs(trial *t)
{
    const json_t *runs = json_object_get(golden, "runs");
    assert_true(json_array_size(runs) > 0);
    for (size_t r = 0; r < json_array_size(runs); r++)
        search_run(t, json_array_get(runs, r));
}

static void test_runs(void **state)
{
    each_trial(*state, check_runs);
}

/* The loss before the first update, after it, after the second, ... */
static void check_losses(trial *t)
{
    const json_t *losses = json_object_get(golden, "loss");
    for (int64_t step = 1; step <= 4; step++) {
        t->options.steps = step;
        search(t, 0, t->count);
        double worst = 0.0;
        for (int64_t f = 0; f < t->count; f++) {
            const double loss = golden_element(json_array_get(losses, (size_t)f), (size_t)step - 1);
            golden_note(&worst, fabs(t->report[f].loss - loss) / fmax(1.0, loss));
        }
        assert_all_le(worst, LOSS);
    }
}

static void test_losses(void **state)
{
    each_trial(*state, check_losses);
}

/* One loss and no update: z is h_0. A delta is never longer than the clamp lets it be. */
static void check_norms(trial *t)
{
    t->options.steps = 1;
    search(t, 0, t->count);
    float *start = calloc((size_t)(t->count * t->hidden), sizeof *start);
    assert_non_null(start);
    memcpy(start, t->z, (size_t)(t->count * t->hidden) * sizeof *start);
    t->options.steps = 2;
    t->options.clamp_norm_factor = 0.25;
    search(t, 0, t->count);
    for (int64_t f = 0; f < t->count; f++) {
        double norm = 0.0, delta = 0.0;
        for (int64_t j = f * t->hidden; j < (f + 1) * t->hidden; j++) {
            norm += pow((double)start[j], 2.0);
            delta += pow((double)t->z[j] - (double)start[j], 2.0);
        }
        assert_all_le(fabs(sqrt(norm) / golden_element(json_object_get(golden, "norm"), (size_t)f) - 1.0),
                      1e-5);
        assert_all_le(fabs(sqrt(delta / norm) - 0.25), 1e-5); /* lr 0.5 goes beyond it at once */
    }
    free(start);
}

static void test_norms(void **state)
{
    each_trial(*state, check_norms);
}

/* One fact after another; then some together, which are done at different steps. */
static void check_chunks(trial *t)
{
    const json_t *runs = json_object_get(golden, "runs");
    int64_t largest = 0;
    for (int64_t f = 0; f < t->count; f++)
        largest = rls_edit_tokens_all(&t->token[f]) > largest ? rls_edit_tokens_all(&t->token[f]) : largest;
    t->llm->token_budget = largest;
    search_run(t, json_array_get(runs, 0));
    t->llm->token_budget = 2 * largest;
    search_run(t, json_array_get(runs, 2));
    t->llm->token_budget = largest - 1;
    assert_all_status(
        t->group, rls_value_search(t->llm, &t->options, t->block, t->count, t->token, t->z, t->report, NULL),
        RLS_ERR_USAGE);
    assert_all_message(t->group, "tokens");
}

static void test_chunks(void **state)
{
    each_trial(*state, check_chunks);
}

/* Each data group has its own facts, of which there may be none. */
static void check_dealt(trial *t)
{
    const json_t *run = json_array_get(json_object_get(golden, "runs"), 0);
    const rls_share share = rls_share_of(t->count, t->llm->part.data, t->llm->part.data_groups);
    t->options.steps = golden_integer(run, "steps");
    search(t, share.first, share.count);
    check_facts(t, run, share.first, share.count);
    search(t, 0, t->llm->part.data == 0 ? 1 : 0);
    check_facts(t, run, 0, t->llm->part.data == 0 ? 1 : 0);
}

static void test_dealt(void **state)
{
    each_trial(*state, check_dealt);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_losses, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_norms, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_dealt, setup, teardown)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "live.value_search");
}
