/* ctest: NP 1 2 3 4 6 TIMEOUT 600 */
/*
 * The language model runtime against PyTorch: every model under tests/data/llm
 * (tests/tools/make_llm_golden.py says what its golden.json holds), Atlas, and two files of extra material
 * when they are there; on every number of tensor ranks that divides the ranks.
 *
 * Bounds: logits 2e-4 and 1e-4 of the largest; keys and outputs 1e-4 of the vector's largest element; a
 * loss's terms 2e-4; gradients 1e-4 of each vector's norm; greedy continuations are identical.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/generate.h"
#include "support/collective.h"
#include "support/golden.h"

enum { MOST_SEQUENCES = 16, MOST_MODELS = 32, MOST_ENTRIES = 64 };

typedef struct {
    rls_llm *llm;
    rls_context *group;
    json_t *golden;
    rls_sequences sequences;
    int64_t length[MOST_SEQUENCES], start[MOST_SEQUENCES];
    int32_t *token;
    double logit, nll, key, output, loss, gradient; /* the largest errors seen, as the bounds have them */
} trial;

static void *room(int64_t count, size_t size)
{
    void *memory = calloc((size_t)(count > 0 ? count : 1), size);
    assert_non_null(memory);
    return memory;
}

/* Where an entry's token is in the pack. */
static int64_t position_of(const trial *t, const json_t *entry)
{
    const int64_t s = golden_integer(entry, "sequence"), at = golden_integer(entry, "at");
    assert_true(s >= 0 && s < t->sequences.count && at >= 0 && at < t->length[s]);
    return t->start[s] + at;
}

static size_t positions_of(const trial *t, const json_t *entries, int64_t *position)
{
    const size_t count = json_array_size(entries);
    assert_true(count <= MOST_ENTRIES);
    for (size_t i = 0; i < count; i++)
        position[i] = position_of(t, json_array_get(entries, i));
    return count;
}

static void open_trial(trial *t, rls_context *ctx, const char *model, json_t *golden, int tensor_ranks)
{
    const rls_llm_options options = {.tensor_ranks = tensor_ranks, .no_tokenizer = true};
    const json_t *sequences = json_object_get(golden, "sequences");
    *t = (trial){.golden = golden, .sequences.count = (int64_t)json_array_size(sequences)};
    assert_true(t->sequences.count > 0 && t->sequences.count <= MOST_SEQUENCES);
    int64_t total = 0;
    for (int64_t s = 0; s < t->sequences.count; s++) {
        t->length[s] = (int64_t)json_array_size(json_array_get(sequences, (size_t)s));
        t->start[s] = total;
        total += t->length[s];
    }
    t->token = room(total, sizeof *t->token);
    for (int64_t s = 0; s < t->sequences.count; s++)
        for (int64_t i = 0; i < t->length[s]; i++)
            t->token[t->start[s] + i] =
                (int32_t)golden_element(json_array_get(sequences, (size_t)s), (size_t)i);
    t->sequences.length = t->length;
    t->sequences.token = t->token;
    assert_all_ok(ctx, rls_llm_open(ctx, model, &options, &t->llm));
    assert_all(t->llm != NULL && t->llm->tokenizer == NULL && t->llm->part.tensor_ranks == tensor_ranks);
    t->group = t->llm->part.group;
}

static void close_trial(trial *t)
{
    rls_llm_close(&t->llm);
    assert_all(t->llm == NULL);
    free(t->token);
}

/* The group's ranks' shares of the gathered keys are the whole keys, in order. */
static void check_gathered(trial *t, const json_t *entries, const float *slice)
{
    const int64_t inner = t->llm->arch.inner, count = (int64_t)json_array_size(entries);
    rls_vectors whole = {0};
    assert_all_ok(t->group, rls_keys_gather(t->llm, count, slice, &whole));
    assert_all_int_equal(whole.dtype, RLS_F32);
    int64_t first = 0, all = 0;
    MPI_Exscan(&whole.count, &first, 1, MPI_INT64_T, MPI_SUM, t->group->comm);
    MPI_Allreduce(&whole.count, &all, 1, MPI_INT64_T, MPI_SUM, t->group->comm);
    assert_all_int_equal(all, count);
    first = t->group->rank == 0 ? 0 : first;
    for (int64_t i = 0; i < whole.count; i++) {
        double scale = 0.0;
        const double error = golden_error(json_array_get(entries, (size_t)(first + i)),
                                          (const float *)whole.data + i * inner, 0, inner, &scale);
        golden_note(&t->key, error / scale);
    }
    free((void *)whole.data);
}

/* Runs the blocks up to `to`, with those of the taps that are there. */
static void run_tapped(trial *t, rls_pass *pass, int64_t from, int64_t to, const rls_tap *taps, size_t count)
{
    rls_tap some[MOST_ENTRIES];
    int there = 0;
    for (size_t i = 0; i < count; i++)
        if (taps[i].block >= from && taps[i].block < to)
            some[there++] = taps[i];
    assert_all_ok(t->group, rls_pass_run(pass, to, some, there, false));
}

/* Makes one tap an entry; out: the first one's. */
static size_t make_taps(const trial *t, const json_t *entries, rls_tap_kind kind, int64_t *position,
                        float *out, rls_tap *taps)
{
    const size_t count = positions_of(t, entries, position);
    const int64_t rows = kind == RLS_TAP_KEY ? t->llm->part.inner.count : t->llm->arch.hidden;
    for (size_t i = 0; i < count; i++)
        taps[i] = (rls_tap){.block = golden_integer(json_array_get(entries, i), "block"),
                            .kind = kind,
                            .count = 1,
                            .position = &position[i],
                            .out = out + (int64_t)i * rows};
    return count;
}

/* In two runs, the second from the middle. */
static void check_taps(trial *t, rls_pass *pass)
{
    const json_t *keys = json_object_get(t->golden, "keys"), *outputs = json_object_get(t->golden, "outputs");
    const rls_share inner = t->llm->part.inner;
    const int64_t hidden = t->llm->arch.hidden, blocks = t->llm->arch.blocks;
    int64_t position[2 * MOST_ENTRIES];
    rls_tap taps[2 * MOST_ENTRIES];
    float *slice = room(MOST_ENTRIES * inner.count, sizeof *slice);
    float *output = room(MOST_ENTRIES * hidden, sizeof *output);
    const size_t key_count = make_taps(t, keys, RLS_TAP_KEY, position, slice, taps);
    const size_t count =
        key_count + make_taps(t, outputs, RLS_TAP_OUTPUT, position + key_count, output, taps + key_count);
    assert_true(count <= MOST_ENTRIES);
    run_tapped(t, pass, 0, blocks / 2, taps, count);
    run_tapped(t, pass, blocks / 2, blocks, taps, count);
    for (size_t i = 0; i < count; i++) {
        const bool key = i < key_count;
        const json_t *entry = key ? json_array_get(keys, i) : json_array_get(outputs, i - key_count);
        double scale = 0.0;
        const double error =
            golden_error(entry, taps[i].out, key ? inner.first : 0, key ? inner.count : hidden, &scale);
        golden_note(key ? &t->key : &t->output, error / scale);
    }
    if (key_count > 0)
        check_gathered(t, keys, slice);
    free(slice);
    free(output);
}

static void check_logits(trial *t, rls_pass *pass)
{
    const json_t *entries = json_object_get(t->golden, "logits");
    const rls_share vocab = t->llm->part.vocab;
    int64_t position[MOST_ENTRIES];
    const size_t count = positions_of(t, entries, position);
    float *logits = room((int64_t)count * vocab.count, sizeof *logits);
    assert_all_ok(t->group, rls_pass_logits(pass, (int64_t)count, position, logits));
    for (size_t i = 0; i < count; i++) {
        double scale = 0.0;
        const double error = golden_error(json_array_get(entries, i), logits + (int64_t)i * vocab.count,
                                          vocab.first, vocab.count, &scale);
        golden_note(&t->logit,
                    error / fmin(2e-4, 1e-4 * scale)); /* both bounds hold when this is at most 1 */
    }
    free(logits);
}

/* Of every token of every sequence; and the most probable after a sequence is the first of its continuation.
 */
static void check_nll(trial *t, rls_pass *pass)
{
    const json_t *nll = json_object_get(t->golden, "nll"), *greedy = json_object_get(t->golden, "greedy");
    const int64_t total = rls_pass_tokens(pass);
    rls_loss_term *terms = room(total, sizeof *terms);
    double *values = room(total, sizeof *values);
    int32_t *best = room(total, sizeof *best);
    for (int64_t i = 0; i < total; i++) /* the last of a sequence has no next: any target */
        terms[i] =
            (rls_loss_term){.position = i, .target = i + 1 < total ? t->token[i + 1] : 0, .weight = 1.0};
    assert_all_ok(t->group, rls_pass_loss(pass, total, terms, false, values, best));
    for (int64_t s = 0; s < t->sequences.count; s++) {
        const json_t *expected = json_array_get(nll, (size_t)s);
        assert_int_equal(json_array_size(expected), t->length[s] - 1);
        for (int64_t i = 0; i + 1 < t->length[s]; i++)
            golden_note(&t->nll, fabs(values[t->start[s] + i] - golden_element(expected, (size_t)i)));
        assert_all_int_equal(best[t->start[s] + t->length[s] - 1],
                             golden_element(json_array_get(greedy, (size_t)s), 0));
    }
    free(terms);
    free(values);
    free(best);
}

typedef struct {
    size_t edits, terms;
    int64_t at[MOST_ENTRIES], term_at[MOST_ENTRIES]; /* positions */
    float *delta, *gradient;
    float *reference; /* log p0, one a term */
    rls_loss_term term[MOST_ENTRIES];
    double values[MOST_ENTRIES];
} descent;

static void make_descent(const trial *t, descent *d)
{
    const json_t *plan = json_object_get(t->golden, "gradient");
    const json_t *edits = json_object_get(plan, "edits"), *terms = json_object_get(plan, "terms");
    const int64_t hidden = t->llm->arch.hidden;
    *d = (descent){.edits = positions_of(t, edits, d->at), .terms = json_array_size(terms)};
    (void)positions_of(t, edits, d->at);
    (void)positions_of(t, terms, d->term_at);
    d->delta = room((int64_t)d->edits * hidden, sizeof *d->delta);
    d->gradient = room((int64_t)d->edits * hidden, sizeof *d->gradient);
    d->reference = room((int64_t)d->terms * t->llm->part.vocab.count, sizeof *d->reference);
    for (size_t e = 0; e < d->edits; e++)
        for (int64_t i = 0; i < hidden; i++)
            d->delta[(int64_t)e * hidden + i] =
                (float)golden_element(json_object_get(json_array_get(edits, e), "delta"), (size_t)i);
    for (size_t i = 0; i < d->terms; i++) {
        const json_t *term = json_array_get(terms, i);
        const bool kl = json_object_get(term, "target") == NULL;
        d->term[i] =
            (rls_loss_term){.position = d->term_at[i],
                            .target = kl ? -1 : (int32_t)golden_integer(term, "target"),
                            .reference = kl ? d->reference + (int64_t)i * t->llm->part.vocab.count : NULL,
                            .weight = golden_number(term, "weight")};
    }
}

static void free_descent(descent *d)
{
    free(d->delta);
    free(d->gradient);
    free(d->reference);
}

/* One step from the mark; notes the errors of the terms' values and of the gradients. */
static void descend(trial *t, rls_pass *pass, descent *d)
{
    const json_t *plan = json_object_get(t->golden, "gradient");
    const json_t *edits = json_object_get(plan, "edits"), *terms = json_object_get(plan, "terms");
    const int64_t hidden = t->llm->arch.hidden, count = (int64_t)d->edits;
    assert_all_ok(t->group, rls_pass_rewind(pass));
    assert_all_ok(t->group, rls_pass_add(pass, count, d->at, d->delta));
    assert_all_ok(t->group, rls_pass_run(pass, t->llm->arch.blocks, NULL, 0, true));
    assert_all_ok(t->group, rls_pass_loss(pass, (int64_t)d->terms, d->term, true, d->values, NULL));
    assert_all_ok(t->group, rls_pass_backward(pass, count, d->at, d->gradient));
    for (size_t i = 0; i < d->terms; i++)
        golden_note(&t->loss, fabs(d->values[i] - golden_number(json_array_get(terms, i), "value")));
    for (size_t e = 0; e < d->edits; e++) {
        const json_t *expected = json_object_get(json_array_get(edits, e), "gradient");
        double error = 0.0, norm = 0.0;
        for (int64_t i = 0; i < hidden; i++) {
            const double x = golden_element(expected, (size_t)i);
            error += pow((double)d->gradient[(int64_t)e * hidden + i] - x, 2.0);
            norm += x * x;
        }
        golden_note(&t->gradient, sqrt(error / norm));
    }
}

/* From the mark: once with all sequences, again, and with the edited sequences alone. */
static void check_gradient(trial *t)
{
    const json_t *plan = json_object_get(t->golden, "gradient");
    const int64_t hidden = t->llm->arch.hidden;
    rls_pass *pass = NULL;
    descent d;
    assert_all_ok(t->group, rls_pass_create(t->llm, &t->sequences, &pass));
    assert_all_ok(t->group, rls_pass_run(pass, golden_integer(plan, "block") + 1, NULL, 0, false));
    assert_all_ok(t->group, rls_pass_mark(pass));
    make_descent(t, &d);
    assert_all_ok(t->group, rls_pass_run(pass, t->llm->arch.blocks, NULL, 0, false));
    assert_all_ok(t->group, rls_pass_log_probabilities(pass, (int64_t)d.terms, d.term_at, d.reference));
    descend(t, pass, &d);
    float *first = room((int64_t)d.edits * hidden, sizeof *first);
    memcpy(first, d.gradient, d.edits * (size_t)hidden * sizeof *first);
    descend(t, pass, &d);
    assert_all(memcmp(first, d.gradient, d.edits * (size_t)hidden * sizeof *first) == 0);
    free(first);

    int64_t keep[MOST_ENTRIES] = {0};
    const json_t *edits = json_object_get(plan, "edits");
    for (size_t e = 0; e < d.edits; e++)
        keep[e] = golden_integer(json_array_get(edits, e), "sequence");
    assert_all_ok(t->group, rls_pass_select(pass, (int64_t)d.edits, keep));
    /* the kept ones are the last, one after another: all positions are less by the tokens before them */
    assert_int_equal(keep[0] + (int64_t)d.edits, t->sequences.count);
    for (size_t e = 0; e < d.edits; e++)
        d.at[e] -= t->start[keep[0]];
    for (size_t i = 0; i < d.terms; i++)
        d.term[i].position -= t->start[keep[0]];
    descend(t, pass, &d);
    free_descent(&d);
    rls_pass_destroy(&pass);
}

static void check_greedy(trial *t)
{
    const json_t *expected = json_object_get(t->golden, "greedy");
    const rls_generate_options options = {.most = golden_integer(t->golden, "new"), .past_eos = true};
    rls_ids ids[MOST_SEQUENCES] = {{0}};
    assert_all_ok(t->group, rls_generate(t->llm, &t->sequences, &options, ids));
    for (int64_t s = 0; s < t->sequences.count; s++) {
        const json_t *row = json_array_get(expected, (size_t)s);
        int64_t same = 0;
        while (same < ids[s].count && same < options.most &&
               ids[s].id[same] == golden_element(row, (size_t)same))
            same++;
        assert_all_int_equal(ids[s].count, options.most);
        assert_all_int_equal(same, options.most); /* the first that differs */
        rls_ids_free(&ids[s]);
    }
}

static void check_trial(trial *t)
{
    rls_pass *pass = NULL;
    assert_all_ok(t->group, rls_pass_create(t->llm, &t->sequences, &pass));
    for (int64_t s = 0; s < t->sequences.count; s++)
        assert_all_int_equal(rls_pass_start(pass, s), t->start[s]);
    check_taps(t, pass);
    check_logits(t, pass);
    check_nll(t, pass);
    rls_pass_destroy(&pass);
    check_greedy(t);
    if (json_object_get(t->golden, "gradient") != NULL)
        check_gradient(t);
    double worst[] = {t->logit, t->nll, t->key, t->output, t->loss, t->gradient};
    MPI_Allreduce(MPI_IN_PLACE, worst, 6, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    print_message(
        "%2d tensor ranks: logits %.1e of the bound, nll %.1e, keys %.1e, outputs %.1e, loss terms %.1e, "
        "gradients %.1e\n",
        t->llm->part.tensor_ranks, worst[0], worst[1], worst[2], worst[3], worst[4], worst[5]);
    assert_all_le(t->logit, 1.0);
    assert_all_le(t->nll, 2e-4);
    assert_all_le(t->key, 1e-4);
    assert_all_le(t->output, 1e-4);
    assert_all_le(t->loss, 2e-4);
    assert_all_le(t->gradient, 1e-4);
}

/* On every number of tensor ranks there can be. Takes the golden. */
static void check_model(const char *model, json_t *golden)
{
    rls_context *ctx = NULL;
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (int tensor_ranks = 1; tensor_ranks <= size; tensor_ranks++) {
        trial t;
        if (size % tensor_ranks != 0)
            continue;
        open_trial(&t, ctx, model, golden, tensor_ranks);
        check_trial(&t);
        close_trial(&t);
    }
    rls_context_destroy(&ctx);
    json_decref(golden);
}

static void test_tiny(void **state)
{
    char model[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16], name[RLS_TEST_PATH_MAX];
    (void)snprintf(name, sizeof name, "llm/%s", (const char *)*state);
    rls_test_data(model, name);
    (void)snprintf(path, sizeof path, "%s/golden.json", model);
    check_model(model, golden_load(path));
}

static void test_atlas(void **state)
{
    char model[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    (void)state;
    rls_test_data(model, "atlas");
    rls_test_data(path, "llm/atlas-golden.json");
    check_model(model, golden_load(path));
}

static void check_extra(const char *golden, const char *model_name)
{
    char path[RLS_TEST_PATH_MAX], model[RLS_TEST_PATH_MAX];
    const bool there = rls_test_extra(path, golden);
    bool model_there = true;
    if (model_name != NULL)
        model_there = rls_test_extra(model, model_name);
    else
        rls_test_data(model, "atlas");
    if (!there || !model_there) {
        print_message("NOT RUN: %s is not there (RLSEDIT_EXTRA names the directory it is looked for in)\n",
                      there ? model : path);
        return;
    }
    json_t *prompts = golden_load(path);
    check_model(model, golden_of_prompts(prompts));
    json_decref(prompts);
}

static void test_extra_atlas(void **state)
{
    (void)state;
    check_extra("golden/atlas-logits.json", NULL);
}

static void test_extra_stories(void **state)
{
    (void)state;
    check_extra("golden/stories260K-logits.json", "models/stories260K");
}

static int is_model(const struct dirent *entry)
{
    char path[RLS_TEST_PATH_MAX], name[RLS_TEST_PATH_MAX];
    (void)snprintf(name, sizeof name, "llm/%s/golden.json", entry->d_name);
    rls_test_data(path, name);
    FILE *file = fopen(path, "rb");
    if (file != NULL)
        (void)fclose(file);
    return file != NULL;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[MOST_MODELS + 3];
    struct dirent **models = NULL;
    char path[RLS_TEST_PATH_MAX];
    rls_test_data(path, "llm");
    const int count = scandir(path, &models, is_model, alphasort);
    if (count < 1 || count > MOST_MODELS) {
        (void)fprintf(stderr, "test_golden: %d models in %s\n", count, path);
        return 1;
    }
    for (int i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){models[i]->d_name, test_tiny, NULL, NULL, models[i]->d_name};
    tests[count] = (struct CMUnitTest)cmocka_unit_test(test_atlas);
    tests[count + 1] = (struct CMUnitTest)cmocka_unit_test(test_extra_atlas);
    tests[count + 2] = (struct CMUnitTest)cmocka_unit_test(test_extra_stories);
    const int failed = rls_test_main(&argc, &argv, tests, (size_t)count + 3, "golden");
    for (int i = 0; i < count; i++)
        free(models[i]);
    free((void *)models);
    return failed;
}
