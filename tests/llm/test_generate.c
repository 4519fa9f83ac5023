/* Continuations: the cache changes nothing, nor do batches, turns and ranks; ends of texts; sampling. */
#include "llm/pass_models.h"

enum { NEW = 6 };

static void free_ids(rls_ids *ids)
{
    for (int64_t s = 0; s < SEQUENCES; s++)
        rls_ids_free(&ids[s]);
}

static void generate(rls_llm *llm, const rls_sequences *prompts, const rls_generate_options *options,
                     rls_ids *ids)
{
    for (int64_t s = 0; s < SEQUENCES; s++)
        ids[s] = (rls_ids){0};
    assert_all_ok(llm->part.group, rls_generate(llm, prompts, options, ids));
}

static bool equal_ids(const rls_ids *a, const rls_ids *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->id, b->id, (size_t)a->count * sizeof *a->id) == 0);
}

/* Asserts that each sequence's ids are the same. */
static void compare_ids(const rls_ids *a, const rls_ids *b)
{
    for (int64_t s = 0; s < SEQUENCES; s++)
        assert_all(equal_ids(&a[s], &b[s]));
}

/* The most probable token after a sequence, from a pass over all of it. */
static int32_t next_token(rls_llm *llm, const int32_t *token, int64_t length)
{
    rls_pass *pass = NULL;
    int32_t best = -1;
    const rls_loss_term term = {.position = length - 1};
    assert_all_ok(llm->part.group, rls_pass_create(llm, &(rls_sequences){1, &length, token}, &pass));
    assert_all_ok(llm->part.group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, false));
    assert_all_ok(llm->part.group, rls_pass_loss(pass, 1, &term, false, NULL, &best));
    rls_pass_destroy(&pass);
    return best;
}

/* Greedy continuation by passes over everything so far. */
static void without_cache(rls_llm *llm, rls_ids *ids)
{
    for (int64_t s = 0; s < SEQUENCES; s++) {
        int32_t token[64];
        const rls_sequences prompt = alone(s);
        int64_t length = prompt.length[0];
        ids[s] = (rls_ids){.id = calloc(NEW, sizeof(int32_t)), .capacity = NEW};
        memcpy(token, prompt.token, (size_t)length * sizeof *token);
        while (ids[s].count < NEW && length < llm->arch.context) {
            token[length] = next_token(llm, token, length);
            ids[s].id[ids[s].count++] = token[length++];
        }
    }
}

/* For every family: with a cache as without, on any ranks, in one batch, in turns, alone; to the context's
 * end. */
static void test_greedy(void **state)
{
    (void)state;
    for (int m = 0; m < TINY_COUNT; m++) {
        tiny_dir d;
        tiny_begin(&d, &TINY[m], RLS_TENSOR_F32);
        rls_llm *one = tiny_open(&d, 1);
        rls_ids truth[SEQUENCES], ids[SEQUENCES], single[1];
        const rls_generate_options options = {.most = NEW, .past_eos = true};
        without_cache(one, truth);
        for (int64_t s = 0; s < SEQUENCES; s++) {
            const int64_t room = one->arch.context - LENGTHS[s];
            assert_all_int_equal(truth[s].count, room < NEW ? room : NEW);
        }
        for (int t = 1; t <= rls_context_size(d.ctx); t++) {
            if (!divides(&d, t))
                continue;
            rls_llm *llm = tiny_open(&d, t);
            for (llm->token_budget = TINY_BUDGET; llm->token_budget > 8; llm->token_budget -= 23) {
                generate(llm, &BATCH, &options, ids);
                compare_ids(ids, truth);
                free_ids(ids);
            }
            llm->token_budget = TINY_BUDGET;
            for (int64_t s = 0; s < SEQUENCES; s++) {
                const rls_sequences prompt = alone(s);
                single[0] = (rls_ids){0};
                assert_all_ok(llm->part.group, rls_generate(llm, &prompt, &options, single));
                assert_all(equal_ids(single, &truth[s]));
                rls_ids_free(single);
            }
            rls_llm_close(&llm);
        }
        free_ids(truth);
        rls_llm_close(&one);
        tiny_end(&d);
    }
}

/* A text ends before the first token that ends texts, which is not part of it. */
static void test_end_of_text(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    rls_ids past[SEQUENCES], ids[SEQUENCES];
    rls_generate_options options = {.most = NEW, .past_eos = true};
    generate(llm, &BATCH, &options, past);
    llm->arch.eos_count = 2;
    llm->arch.eos[0] = past[0].id[2];
    llm->arch.eos[1] = past[3].id[0];
    options.past_eos = false;
    generate(llm, &BATCH, &options, ids);
    for (int64_t s = 0; s < SEQUENCES; s++) {
        int64_t count = 0;
        while (count < past[s].count && past[s].id[count] != llm->arch.eos[0] &&
               past[s].id[count] != llm->arch.eos[1])
            count++;
        assert_all_int_equal(ids[s].count, count);
        assert_all(count == 0 || memcmp(ids[s].id, past[s].id, (size_t)count * sizeof *ids[s].id) == 0);
    }
    assert_all_int_equal(ids[3].count, 0);
    free_ids(ids);
    free_ids(past);
    options.most = 0;
    generate(llm, &BATCH, &options, ids);
    for (int64_t s = 0; s < SEQUENCES; s++)
        assert_all_int_equal(ids[s].count, 0);
    rls_llm_close(&llm);
    tiny_end(&d);
}

/* Sampling: the same seed gives the same texts on any ranks and in any batch, another seed others. */
static void test_sampling(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[3], RLS_TENSOR_F32);
    rls_llm *one = tiny_open(&d, 1);
    rls_ids truth[SEQUENCES], ids[SEQUENCES], other[SEQUENCES];
    rls_generate_options options = {
        .most = NEW, .top_k = 5, .temperature = 2.0, .seed = 42, .first_index = 10, .past_eos = true};
    generate(one, &BATCH, &options, truth);
    for (int t = 1; t <= rls_context_size(d.ctx); t++) {
        if (!divides(&d, t))
            continue;
        rls_llm *llm = tiny_open(&d, t);
        generate(llm, &BATCH, &options, ids);
        compare_ids(ids, truth);
        free_ids(ids);
        const rls_sequences last = alone(3);
        rls_generate_options shifted = options;
        shifted.first_index += 3;
        generate(llm, &last, &shifted, ids);
        assert_all(equal_ids(&ids[0], &truth[3]));
        free_ids(ids);
        rls_llm_close(&llm);
    }
    options.seed = 43;
    generate(one, &BATCH, &options, other);
    bool same = true;
    for (int64_t s = 0; s < SEQUENCES; s++)
        same = same && equal_ids(&other[s], &truth[s]);
    assert_all(!same);
    free_ids(other);
    /* Among more than there are is among all; among one, or nearly cold, is greedy. */
    options.top_k = 1000;
    generate(one, &BATCH, &options, other);
    free_ids(other);
    options.top_k = 1;
    generate(one, &BATCH, &options, other);
    options.top_k = 17;
    options.temperature = 1e-4;
    generate(one, &BATCH, &options, ids);
    compare_ids(ids, other);
    free_ids(ids);
    free_ids(other);
    free_ids(truth);
    rls_llm_close(&one);
    tiny_end(&d);
}

/* The k most probable are drawn as often as their probabilities say. */
static void test_frequencies(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, 1);
    enum { DRAWS = 600, TOP = 3, VOCAB = 17 };
    int64_t lengths[DRAWS], at = 4;
    int32_t tokens[DRAWS * 5];
    rls_ids ids[DRAWS];
    double seen[VOCAB] = {0}, p[VOCAB], sum = 0.0;
    float log_p[VOCAB];
    llm->token_budget = 1000; /* in turns */
    for (int i = 0; i < DRAWS; i++) {
        lengths[i] = 5;
        memcpy(tokens + (ptrdiff_t)i * 5, TOKENS, 5 * sizeof *tokens);
        ids[i] = (rls_ids){0};
    }
    const rls_generate_options options = {.most = 1, .top_k = TOP, .seed = 1, .past_eos = true};
    assert_all_ok(llm->part.group,
                  rls_generate(llm, &(rls_sequences){DRAWS, lengths, tokens}, &options, ids));
    for (int i = 0; i < DRAWS; i++) {
        assert_all_int_equal(ids[i].count, 1);
        seen[ids[i].id[0]] += 1.0 / DRAWS;
        rls_ids_free(&ids[i]);
    }
    rls_pass *pass = NULL;
    assert_all_ok(llm->part.group, rls_pass_create(llm, &(rls_sequences){1, lengths, tokens}, &pass));
    assert_all_ok(llm->part.group, rls_pass_run(pass, TINY_BLOCKS, NULL, 0, false));
    assert_all_ok(llm->part.group, rls_pass_log_probabilities(pass, 1, &at, log_p));
    rls_pass_destroy(&pass);
    for (int v = 0; v < VOCAB; v++) {
        int better = 0;
        for (int w = 0; w < VOCAB; w++)
            better += log_p[w] > log_p[v];
        p[v] = better < TOP ? exp((double)log_p[v]) : 0.0;
        sum += p[v];
    }
    /* 600 draws: 4 standard deviations are at most 0.082. */
    for (int v = 0; v < VOCAB; v++)
        assert_all_le(fabs(seen[v] - p[v] / sum), p[v] > 0.0 ? 0.082 : 0.0);
    rls_llm_close(&llm);
    tiny_end(&d);
}

static void refuse(rls_llm *llm, const rls_sequences *prompts, const rls_generate_options *options,
                   rls_status expected, const char *part)
{
    rls_ids ids[SEQUENCES] = {{0}};
    assert_all_status(llm->part.group, rls_generate(llm, prompts, options, ids), expected);
    assert_all_message(llm->part.group, part);
    free_ids(ids);
}

static void test_bad_prompts(void **state)
{
    (void)state;
    tiny_dir d;
    tiny_begin(&d, &TINY[0], RLS_TENSOR_F32);
    rls_llm *llm = tiny_open(&d, rls_context_size(d.ctx));
    int32_t tokens[80] = {0};
    const int64_t longer[] = {3, 33}, negative[] = {3, -1};
    rls_generate_options options = {.most = 4};
    refuse(llm, &(rls_sequences){2, longer, tokens}, &options, RLS_ERR_DATA, "sequence 1 has 33 tokens");
    refuse(llm, &(rls_sequences){2, negative, tokens}, &options, RLS_ERR_DATA, "sequence 1 has no tokens");
    llm->token_budget = 4;
    refuse(llm, &BATCH, &options, RLS_ERR_USAGE, "5 tokens, and the token budget is 4");
    llm->token_budget = TINY_BUDGET;
    tokens[4] = 1 << 20;
    refuse(llm, &(rls_sequences){2, LENGTHS, tokens}, &options, RLS_ERR_DATA, "id 1048576");
    options.temperature = -1.0;
    refuse(llm, &BATCH, &options, RLS_ERR_USAGE, "temperature -1");
    options.temperature = 0.0;
    for (int64_t i = 0; i < llm->weights.head.out * llm->weights.head.in; i++)
        ((float *)llm->weights.head.weight)[i] = 3e38F;
    refuse(llm, &BATCH, &options, RLS_ERR_NUMERIC, "not finite");
    rls_llm_close(&llm);
    tiny_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_greedy), cmocka_unit_test(test_end_of_text),
                                       cmocka_unit_test(test_sampling), cmocka_unit_test(test_frequencies),
                                       cmocka_unit_test(test_bad_prompts)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "llm-generate");
}
