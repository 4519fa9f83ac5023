/* Passes forward: nothing depends on how a model is dealt to ranks or sequences are packed; taps; what is
 * refused. */
#include "llm/pass_models.h"

enum { ALL_TOKENS = TOKENS_COUNT };

static void each_model(void (*work)(const tiny_dir *d))
{
    for (int m = 0; m < TINY_COUNT; m++) {
        tiny_dir d;
        tiny_begin(&d, &TINY[m], RLS_TENSOR_F32);
        work(&d);
        tiny_end(&d);
    }
}

/* Everything a run gives: keys and outputs of every block, logits, log-probabilities. */
typedef struct {
    float *key[TINY_BLOCKS], *output[TINY_BLOCKS], *logits, *log_p;
} everything;

static everything everything_of(rls_llm *llm, const rls_sequences *sequences)
{
    everything e;
    rls_pass *pass = NULL;
    rls_tap taps[2 * TINY_BLOCKS], *tap = taps;
    int64_t all[ALL_TOKENS];
    rls_context *ctx = llm->part.group;
    assert_all_ok(ctx, rls_pass_create(llm, sequences, &pass));
    const int64_t tokens = rls_pass_tokens(pass);
    for (int64_t i = 0; i < tokens; i++)
        all[i] = i;
    for (int b = 0; b < TINY_BLOCKS; b++) {
        e.key[b] = floats(llm->part.inner.count * tokens);
        e.output[b] = floats(llm->arch.hidden * tokens);
        *tap++ = (rls_tap){b, RLS_TAP_KEY, 0, NULL, e.key[b]};
        *tap++ = (rls_tap){b, RLS_TAP_OUTPUT, tokens, all, e.output[b]};
    }
    assert_all_ok(ctx, rls_pass_run(pass, TINY_BLOCKS, taps, 2 * TINY_BLOCKS, false));
    e.logits = floats(llm->part.vocab.count * tokens);
    e.log_p = floats(llm->part.vocab.count * tokens);
    assert_all_ok(ctx, rls_pass_logits(pass, tokens, all, e.logits));
    assert_all_ok(ctx, rls_pass_log_probabilities(pass, tokens, all, e.log_p));
    rls_pass_destroy(&pass);
    return e;
}

static void everything_free(everything *e)
{
    for (int b = 0; b < TINY_BLOCKS; b++) {
        free(e->key[b]);
        free(e->output[b]);
    }
    free(e->logits);
    free(e->log_p);
}

static void compare_everything(const rls_llm *llm, const everything *e, const everything *whole,
                               int64_t tokens)
{
    const rls_share inner = llm->part.inner, vocab = llm->part.vocab;
    const int64_t hidden = llm->arch.hidden;
    for (int b = 0; b < TINY_BLOCKS; b++) {
        assert_all_le(
            slice_error(e->key[b], inner.count, inner.first, whole->key[b], llm->arch.inner, tokens), 1e-5);
        assert_all_le(array_error(e->output[b], whole->output[b], hidden * tokens), 1e-5);
    }
    assert_all_le(slice_error(e->logits, vocab.count, vocab.first, whole->logits, llm->arch.vocab, tokens),
                  1e-5);
    assert_all_le(slice_error(e->log_p, vocab.count, vocab.first, whole->log_p, llm->arch.vocab, tokens),
                  1e-5);
}

static void work_tensor_ranks(const tiny_dir *d)
{
    rls_llm *one = tiny_open(d, 1);
    everything whole = everything_of(one, &BATCH);
    for (int t = 1; t <= rls_context_size(d->ctx); t++) {
        if (!divides(d, t))
            continue;
        rls_llm *llm = tiny_open(d, t);
        everything e = everything_of(llm, &BATCH);
        compare_everything(llm, &e, &whole, ALL_TOKENS);
        everything_free(&e);
        rls_llm_close(&llm);
        assert_all(llm == NULL);
    }
    everything_free(&whole);
    rls_llm_close(&one);
}

static void test_tensor_ranks(void **state)
{
    (void)state;
    each_model(work_tensor_ranks);
}

/* log p sums to one over the vocabulary, and every sequence of a batch is as if it were alone. */
static void work_packing(const tiny_dir *d)
{
    rls_llm *llm = tiny_open(d, rls_context_size(d->ctx));
    const int64_t hidden = llm->arch.hidden, vocab = llm->part.vocab.count;
    everything together = everything_of(llm, &BATCH);
    double sum[ALL_TOKENS] = {0};
    for (int64_t i = 0; i < ALL_TOKENS; i++)
        for (int64_t v = 0; v < vocab; v++)
            sum[i] += exp((double)together.log_p[i * vocab + v]);
    MPI_Allreduce(MPI_IN_PLACE, sum, ALL_TOKENS, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    for (int64_t i = 0; i < ALL_TOKENS; i++)
        assert_all_le(fabs(sum[i] - 1.0), 1e-5);
    int64_t at = 0;
    for (int64_t s = 0; s < SEQUENCES; s++) {
        const rls_sequences sequence = alone(s);
        everything e = everything_of(llm, &sequence);
        assert_all_le(array_error(e.output[1], together.output[1] + at * hidden, hidden * LENGTHS[s]), 1e-5);
        assert_all_le(array_error(e.logits, together.logits + at * vocab, vocab * LENGTHS[s]), 1e-5);
        everything_free(&e);
        at += LENGTHS[s];
    }
    everything_free(&together);
    rls_llm_close(&llm);
}

static void test_packing(void **state)
{
    (void)state;
    each_model(work_packing);
}

/* A tap's columns are those of all tokens; the output is what rls_pass_get reads; whole keys out of slices.
 */
static void work_taps(const tiny_dir *d)
{
    rls_llm *one = tiny_open(d, 1), *llm = tiny_open(d, rls_context_size(d->ctx));
    everything whole = everything_of(one, &BATCH), e = everything_of(llm, &BATCH);
    const int64_t position[] = {16, 0, 4, 4}, hidden = llm->arch.hidden, inner = llm->arch.inner;
    const int64_t rows = llm->part.inner.count;
    float *key = floats(4 * rows), *output = floats(4 * hidden), *got = floats(4 * hidden);
    rls_pass *pass = NULL;
    assert_all_ok(d->ctx, rls_pass_create(llm, &BATCH, &pass));
    const rls_tap taps[] = {{0, RLS_TAP_KEY, 4, position, key}, {0, RLS_TAP_OUTPUT, 4, position, output}};
    assert_all_ok(llm->part.group, rls_pass_run(pass, 1, taps, 2, false));
    assert_all_ok(llm->part.group, rls_pass_get(pass, 4, position, got));
    assert_all(memcmp(got, output, 4 * (size_t)hidden * sizeof *got) == 0);
    for (int64_t i = 0; i < 4; i++) {
        assert_all(memcmp(key + i * rows, e.key[0] + position[i] * rows, (size_t)rows * sizeof *key) == 0);
        assert_all(memcmp(output + i * hidden, e.output[0] + position[i] * hidden,
                          (size_t)hidden * sizeof *output) == 0);
    }
    rls_pass_destroy(&pass);
    for (int64_t count = 0; count <= ALL_TOKENS; count += ALL_TOKENS) {
        rls_vectors keys = {0};
        const rls_share mine = rls_share_of(count, llm->part.tensor, llm->part.tensor_ranks);
        assert_all_ok(llm->part.group, rls_keys_gather(llm, count, e.key[1], &keys));
        assert_all_int_equal(keys.count, mine.count);
        assert_all(keys.dtype == RLS_F32);
        assert_all_le(array_error(keys.data, whole.key[1] + mine.first * inner, mine.count * inner), 1e-5);
        free((void *)(uintptr_t)keys.data);
    }
    free(key);
    free(output);
    free(got);
    everything_free(&whole);
    everything_free(&e);
    rls_llm_close(&one);
    rls_llm_close(&llm);
}

static void test_taps(void **state)
{
    (void)state;
    each_model(work_taps);
}

/* What is put at positions, added to them, and read back. */
static void test_set_and_add(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    const int64_t hidden = llm->arch.hidden, position[] = {3, 7}, twice[] = {7, 7};
    float *value = floats(2 * hidden), *got = floats(2 * hidden);
    rls_pass *pass = NULL;
    for (int64_t i = 0; i < 2 * hidden; i++)
        value[i] = (float)i + 0.5F;
    assert_all_ok(group, rls_pass_create(llm, &BATCH, &pass));
    assert_all_int_equal(rls_pass_start(pass, 2), 6);
    assert_all_int_equal(rls_pass_start(pass, SEQUENCES), ALL_TOKENS);
    assert_all_ok(group, rls_pass_set(pass, 2, position, value));
    assert_all_ok(group, rls_pass_get(pass, 2, position, got));
    assert_all(memcmp(got, value, 2 * (size_t)hidden * sizeof *got) == 0);
    assert_all_ok(group, rls_pass_add(pass, 2, twice, value));
    assert_all_ok(group, rls_pass_get(pass, 1, twice, got));
    int64_t wrong = 0;
    for (int64_t i = 0; i < hidden; i++)
        wrong += got[i] != value[hidden + i] + value[i] + value[hidden + i];
    assert_all_int_equal(wrong, 0);
    rls_pass_destroy(&pass);
    assert_all(pass == NULL);
    free(value);
    free(got);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* Weights of 16 bits give what the same weights widened give, also when only one of them is widened, as after
 * an edit. */
static void test_dtypes(void **state)
{
    (void)state;
    const rls_tensor_type types[] = {RLS_TENSOR_BF16, RLS_TENSOR_F16};
    for (int i = 0; i < 2; i++) {
        tiny_dir d;
        tiny_begin(&d, &TINY[3], types[i]);
        rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
        everything narrow = everything_of(llm, &BATCH);
        for (int64_t b = 0; b < TINY_BLOCKS; b++) {
            rls_linear *down = &llm->weights.block[b].down;
            float *wide = floats(down->out * down->in);
            rls_convert(RLS_F32, wide, 1, down->dtype, down->weight, 1, down->out * down->in);
            free(down->weight);
            down->weight = wide;
            down->dtype = RLS_F32;
            everything e = everything_of(llm, &BATCH);
            assert_all_le(array_error(e.output[1], narrow.output[1], ALL_TOKENS * llm->arch.hidden), 1e-5);
            everything_free(&e);
        }
        everything_free(&narrow);
        rls_llm_close(&llm);
        tiny_end(&d);
    }
}

/* The group's failure reaches all ranks of the group. */
static void refuse(rls_llm *llm, const rls_sequences *sequences, rls_status expected, const char *part)
{
    rls_pass *pass = NULL;
    assert_all_status(llm->part.group, rls_pass_create(llm, sequences, &pass), expected);
    assert_all_message(llm->part.group, part);
    assert_all(pass == NULL);
}

static void test_bad_sequences(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    for (int t = 1; t <= rls_context_size(d.ctx); t++) {
        if (!divides(&d, t))
            continue;
        rls_llm *llm = tiny_open(&d, t);
        int32_t tokens[96] = {0};
        const int64_t empty[] = {2, 0}, longer[] = {33}, many[] = {30, 30, 5}, fine[] = {30, 30, 4};
        refuse(llm, &(rls_sequences){2, empty, tokens}, RLS_ERR_DATA, "sequence 1 has no tokens");
        refuse(llm, &(rls_sequences){1, longer, tokens}, RLS_ERR_DATA, "has 33 tokens");
        refuse(llm, &(rls_sequences){3, many, tokens}, RLS_ERR_USAGE,
               "65 tokens, and the token budget is 64");
        tokens[31] = 17;
        refuse(llm, &(rls_sequences){3, fine, tokens}, RLS_ERR_DATA, "sequence 1, token 1: id 17");
        tokens[31] = -1;
        refuse(llm, &(rls_sequences){3, fine, tokens}, RLS_ERR_DATA, "id -1 is not in the vocabulary of 17");
        rls_pass *pass = NULL;
        tokens[31] = 16;
        assert_all_ok(llm->part.group, rls_pass_create(llm, &(rls_sequences){3, fine, tokens}, &pass));
        rls_pass_destroy(&pass);
        rls_llm_close(&llm);
    }
    tiny_end(&d);
}

static void test_misuse(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    rls_pass *pass = NULL;
    float value[12] = {0};
    const int64_t beyond = ALL_TOKENS;
    const rls_tap tap = {1, RLS_TAP_OUTPUT, 1, &beyond, value};
    const rls_tap late = {1, RLS_TAP_OUTPUT, 0, NULL, NULL};
    rls_loss_term term = {.position = 0, .target = 17, .weight = 1.0};
    assert_all_ok(group, rls_pass_create(llm, &BATCH, &pass));
    assert_all_status(group, rls_pass_run(pass, 3, NULL, 0, false), RLS_ERR_USAGE);
    assert_all_status(group, rls_pass_run(pass, 2, &tap, 1, false), RLS_ERR_USAGE);
    assert_all_message(group, "position 17");
    assert_all_status(group, rls_pass_run(pass, 1, &late, 1, false), RLS_ERR_USAGE);
    assert_all_status(group, rls_pass_rewind(pass), RLS_ERR_USAGE);
    assert_all_status(group, rls_pass_select(pass, 0, NULL), RLS_ERR_USAGE);
    assert_all_status(group, rls_pass_loss(pass, 1, &term, false, NULL, NULL), RLS_ERR_USAGE);
    assert_all_message(group, "run it to the end");
    assert_all_status(group, rls_pass_add(pass, 1, &beyond, value), RLS_ERR_USAGE);
    assert_all_status(group, rls_pass_get(pass, 1, &beyond, value), RLS_ERR_USAGE);
    assert_all_ok(group, rls_pass_run(pass, 2, NULL, 0, false));
    assert_all_status(group, rls_pass_loss(pass, 1, &term, false, NULL, NULL), RLS_ERR_USAGE);
    assert_all_message(group, "17");
    assert_all_status(group, rls_pass_backward(pass, 0, NULL, NULL), RLS_ERR_USAGE);
    rls_pass_destroy(&pass);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* What overflows is said, with its sequence; the model works on. */
static void test_not_finite(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[4], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_context *group = llm->part.group;
    rls_pass *pass = NULL;
    const int64_t position = 7;
    float value[12] = {0};
    value[3] = INFINITY;
    assert_all_ok(group, rls_pass_create(llm, &BATCH, &pass));
    assert_all_ok(group, rls_pass_run(pass, 1, NULL, 0, false));
    assert_all_ok(group, rls_pass_add(pass, 1, &position, value));
    assert_all_status(group, rls_pass_run(pass, 2, NULL, 0, false), RLS_ERR_NUMERIC);
    assert_all_message(group, "sequence 2 after block 1");
    rls_pass_destroy(&pass);
    everything e = everything_of(llm, &BATCH);
    everything_free(&e);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* Groups work on different numbers of sequences, some on none, and one fails by itself: all hear of it. */
static void test_groups(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[6], RLS_TENSOR_F32);
    for (int t = 1; t <= rls_context_size(d.ctx); t++) {
        if (!divides(&d, t))
            continue;
        rls_llm *llm = tiny_open(&d, t);
        rls_pass *pass = NULL;
        rls_sequences some = BATCH;
        some.count = llm->part.data % (SEQUENCES + 1);
        rls_status status = RLS_OK;
        for (int i = 0; i < llm->part.data && status == RLS_OK; i++) { /* some groups more often */
            status = rls_pass_create(llm, &some, &pass);
            if (status == RLS_OK)
                status = rls_pass_run(pass, TINY_BLOCKS, NULL, 0, true);
            if (status == RLS_OK)
                status = rls_pass_loss(pass, 0, NULL, true, NULL, NULL);
            rls_pass_destroy(&pass);
        }
        assert_all_ok(d.ctx, rls_llm_agree(llm, status));
        int32_t bad = 99;
        const int64_t one = 1;
        status = RLS_OK;
        if (llm->part.data == llm->part.data_groups - 1)
            status = rls_pass_create(llm, &(rls_sequences){1, &one, &bad}, &pass);
        assert_all_status(d.ctx, rls_llm_agree(llm, status), RLS_ERR_DATA);
        assert_all_message(d.ctx, "id 99");
        assert_all_ok(d.ctx, rls_llm_agree(llm, RLS_OK));
        rls_llm_close(&llm);
    }
    tiny_end(&d);
}

/* What cannot be opened; and how many ranks share a model when nothing is said: it fits on one. */
static void test_open(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = NULL;
    rls_llm_options options = {.no_tokenizer = true};
    assert_all_ok(d.ctx, rls_llm_open(d.ctx, d.dir, &options, &llm));
    assert_all_int_equal(llm->part.tensor_ranks, 1);
    assert_all_int_equal(llm->token_budget, RLS_TOKEN_BUDGET);
    rls_llm_close(&llm);
    rls_llm_close(&llm);
    options.tensor_ranks = rls_context_size(d.ctx) + 1;
    assert_all_status(d.ctx, rls_llm_open(d.ctx, d.dir, &options, &llm), RLS_ERR_USAGE);
    assert_all_message(d.ctx, "divide");
    assert_all(llm == NULL);
    options.tensor_ranks = 0;
    options.token_budget = (int64_t)1 << 50;
    assert_all_status(d.ctx, rls_llm_open(d.ctx, d.dir, &options, &llm), RLS_ERR_MEMORY);
    assert_all_message(d.ctx, "a rank, and there are");
    options.token_budget = -1;
    assert_all_status(d.ctx, rls_llm_open(d.ctx, d.dir, &options, &llm), RLS_ERR_USAGE);
    options = (rls_llm_options){0};
    assert_all_status(d.ctx, rls_llm_open(d.ctx, d.dir, &options, &llm), RLS_ERR_DATA);
    assert_all_message(d.ctx, "tokenizer.json");
    assert_all(llm == NULL);
    tiny_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor_ranks), cmocka_unit_test(test_packing),
        cmocka_unit_test(test_taps),         cmocka_unit_test(test_set_and_add),
        cmocka_unit_test(test_dtypes),       cmocka_unit_test(test_bad_sequences),
        cmocka_unit_test(test_misuse),       cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_groups),       cmocka_unit_test(test_open)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "llm-pass");
}
