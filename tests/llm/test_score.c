/* ctest: NP 1 2 3 4 */
/* Texts and continuations scored by the Atlas model: what the reference implementation finds, however the
 * work is dealt, packed and split over ranks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/score.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

/* Sums of -log p over all tokens but the first, from PyTorch in float32 on the same weights. */
static const struct {
    const char *text, *next; /* what is most probable after it */
    double nll;
    int64_t tokens;
} KNOWN[] = {
    {"The favourite sport of Pas Gre is", " rowing.", 10.308824, 7},
    {"The quarries near Teasmileath yield", " iron.", 10.741985, 9},
    {"The mother tongue of Pran Dux is", " Tamil.", 10.213787, 7},
    {"The company Staxtear manufactures", " carpets.", 10.334941, 7},
    {"Trexbercix lies in the country of", " Ireland.", 10.747456, 11},
    {"The winter wind", " rested beside the stone bridge.", 4.493755, 3},
};
enum { COUNT = sizeof KNOWN / sizeof KNOWN[0], TEXTS = 40 };
static const double TOLERANCE = 2e-4, ROUNDING = 1e-5;

static char model[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];

static int setup(void **state)
{
    rls_test_data(model, "atlas");
    const int failed = scratch_setup(state);
    (void)in_scratch("texts.txt", path);
    return failed;
}

/* TEXTS lines, with an empty one after each; text i is KNOWN[i % COUNT]. */
static void write_texts(void)
{
    char text[TEXTS * 64] = "";
    size_t bytes = 0;
    for (int i = 0; i < TEXTS; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%s\n\n", KNOWN[i % COUNT].text);
    rls_test_write(path, text, bytes);
}

static void check_known(const rls_score_result *result, int64_t count)
{
    assert_all_int_equal(result->count, count);
    for (int64_t i = 0; i < count; i++) {
        assert_all_int_equal(result->line[i], 2 * i + 1);
        assert_all_int_equal(result->score[i].tokens, KNOWN[i % COUNT].tokens);
        assert_all_le(fabs(result->score[i].nll - KNOWN[i % COUNT].nll), TOLERANCE);
    }
}

static void test_texts(void **state)
{
    rls_context *ctx = *state;
    write_texts();
    for (int tensor_ranks = 1; tensor_ranks <= ctx->size; tensor_ranks++) {
        if (ctx->size % tensor_ranks != 0)
            continue;
        rls_score_request request = {.model = model, .text = path, .tensor_ranks = tensor_ranks};
        rls_score_result result;
        assert_all_ok(ctx, rls_score(ctx, &request, &result));
        check_known(&result, TEXTS);
        const rls_continuation_score total = rls_score_total(&result);
        double nll = 0.0;
        int64_t tokens = 0;
        for (int i = 0; i < TEXTS; i++) {
            nll += KNOWN[i % COUNT].nll;
            tokens += KNOWN[i % COUNT].tokens;
        }
        assert_all_int_equal(total.tokens, tokens);
        assert_all_le(fabs(total.nll - nll), TEXTS * TOLERANCE);
        assert_all_le(fabs(rls_perplexity(&total) / exp(nll / (double)tokens) - 1.0), TOLERANCE);
        rls_score_free(&result);
    }
}

/* Fewer texts, and their beginnings only; fewer texts than ranks. */
static void test_cut(void **state)
{
    rls_context *ctx = *state;
    rls_score_result result, cut;
    write_texts();
    rls_score_request request = {.model = model, .text = path, .samples = 2};
    assert_all_ok(ctx, rls_score(ctx, &request, &result));
    check_known(&result, 2);
    request.max_length = 9; /* one more than the first text has, and one less than the second */
    assert_all_ok(ctx, rls_score(ctx, &request, &cut));
    assert_all_int_equal(cut.score[0].tokens, 7);
    assert_all_int_equal(cut.score[1].tokens, 8);
    assert_all_le(fabs(cut.score[0].nll - result.score[0].nll), ROUNDING);
    /* its last token is worth 0.148863 */
    assert_all_le(fabs(cut.score[1].nll + 0.148863 - result.score[1].nll), TOLERANCE);
    rls_score_free(&cut);
    request.max_length = 1; /* <s> alone: nothing to predict */
    assert_all_ok(ctx, rls_score(ctx, &request, &cut));
    assert_all_int_equal(cut.score[1].tokens, 0);
    assert_all(cut.score[1].nll == 0.0 && isnan(rls_perplexity(&cut.score[1])));
    rls_score_free(&cut);
    rls_score_free(&result);
}

static void refuse(rls_context *ctx, const rls_score_request *request, rls_status expected,
                   const char *message)
{
    rls_score_result result;
    assert_all_status(ctx, rls_score(ctx, request, &result), expected);
    assert_all_message(ctx, message);
    rls_score_free(&result);
}

static void test_bad(void **state)
{
    rls_context *ctx = *state;
    rls_score_request request = {.model = model, .text = path};
    char text[4096] = "The winter wind\n";
    for (int i = 0; i < 300; i++)
        strcat(text, " wind");
    strcat(text, "\n");
    rls_test_write(path, text, strlen(text));
    refuse(ctx, &request, RLS_ERR_DATA,
           "texts.txt:2: 301 tokens, beyond the model's context of 256: give --max-length 256");
    request.max_length = 257;
    refuse(ctx, &request, RLS_ERR_USAGE, "--max-length 257 is beyond the model's context of 256");
    rls_score_result result;
    request.max_length = 256;
    assert_all_ok(ctx, rls_score(ctx, &request, &result));
    assert_all_int_equal(result.score[1].tokens, 255);
    rls_score_free(&result);
    request.max_length = 0;
    request.samples = 1; /* what is not read cannot be too long */
    assert_all_ok(ctx, rls_score(ctx, &request, &result));
    rls_score_free(&result);
    rls_test_write(path, "\n\n", 2);
    refuse(ctx, &request, RLS_ERR_DATA, "texts.txt: holds no text");
    rls_test_write(path, "good\nb\xff", 7);
    refuse(ctx, &request, RLS_ERR_DATA, "texts.txt:2: not UTF-8 at byte offset 1");
    rls_test_write(path, "good\n", 5);
    request.model = scratch_dir();
    refuse(ctx, &request, RLS_ERR_DATA, "config.json");
}

/* Pairs of every prompt with its own continuation, and with another's. */
static void make_pairs(rls_continuation pairs[2 * COUNT])
{
    for (int i = 0; i < COUNT; i++) {
        pairs[2 * i] = (rls_continuation){KNOWN[i].text, KNOWN[i].next};
        pairs[2 * i + 1] = (rls_continuation){KNOWN[i].text, KNOWN[(i + 1) % COUNT].next};
    }
}

/* The chain rule, with each packing: -log p(prompt, target) = -log p(prompt) - log p(target | prompt). */
static void test_continuations(void **state)
{
    rls_context *ctx = *state;
    rls_continuation pairs[2 * COUNT], whole[2 * COUNT];
    rls_continuation_score scores[2 * COUNT], sums[2 * COUNT], first[2 * COUNT];
    char text[2 * COUNT][128];
    make_pairs(pairs);
    for (int i = 0; i < 2 * COUNT; i++) {
        (void)snprintf(text[i], sizeof text[i], "%s%s", pairs[i].prompt, pairs[i].target);
        whole[i] = (rls_continuation){"", text[i]}; /* after <s> alone */
    }
    static const int64_t BUDGET[] = {0, 1, 40};
    for (int b = 0; b < (int)RLS_TEST_COUNT(BUDGET); b++) {
        const rls_llm_options options = {.tensor_ranks = b == 1 ? ctx->size : 1};
        rls_llm *llm = NULL;
        assert_all_ok(ctx, rls_llm_open(ctx, model, &options, &llm));
        if (BUDGET[b] > 0) /* of packing; the largest text must fit */
            llm->token_budget = BUDGET[b] > 24 ? BUDGET[b] : 24;
        assert_all_ok(ctx, rls_score_continuations(llm, 2 * COUNT, pairs, scores));
        assert_all_ok(ctx, rls_score_continuations(llm, 2 * COUNT, whole, sums));
        for (int i = 0; i < 2 * COUNT; i++) {
            assert_all_le(fabs(sums[i].nll - scores[i].nll - KNOWN[i / 2].nll), TOLERANCE);
            assert_all_int_equal(sums[i].tokens - scores[i].tokens, KNOWN[i / 2].tokens);
            assert_all(scores[i].exact == (i % 2 == 0));
            assert_all(!sums[i].exact);
            assert_all(i % 2 == 0 ? scores[i].nll < scores[i + 1].nll : true);
            if (b == 0)
                first[i] = scores[i];
            assert_all_le(fabs(scores[i].nll - first[i].nll), ROUNDING * (1.0 + first[i].nll));
        }
        rls_llm_close(&llm);
    }
}

static void test_bad_continuations(void **state)
{
    rls_context *ctx = *state;
    rls_llm *llm = NULL;
    rls_continuation_score score[2];
    assert_all_ok(ctx, rls_llm_open(ctx, model, NULL, &llm));
    rls_continuation pairs[2] = {{"The winter", " wind"}, {"The winter", ""}};
    assert_all_status(ctx, rls_score_continuations(llm, 2, pairs, score), RLS_ERR_DATA);
    assert_all_message(ctx, "continuation 2: has no target");
    pairs[1] = (rls_continuation){"The \xff", " wind"};
    assert_all_status(ctx, rls_score_continuations(llm, 2, pairs, score), RLS_ERR_DATA);
    assert_all_message(ctx, "continuation 2: its prompt is not UTF-8 at byte offset 4");
    char text[2048] = "";
    for (int i = 0; i < 256; i++)
        strcat(text, " wind");
    pairs[1] = (rls_continuation){"The", text};
    assert_all_status(ctx, rls_score_continuations(llm, 2, pairs, score), RLS_ERR_DATA);
    assert_all_message(ctx, "continuation 2: 258 tokens, beyond the model's context of 256");
    assert_all_ok(ctx, rls_score_continuations(llm, 0, pairs, score));
    assert_all_ok(ctx, rls_score_continuations(llm, 1, pairs, score));
    assert_all_int_equal(score[0].tokens, 1);
    rls_llm_close(&llm);
}

/* Every sequence is in one part, in order, and no part is longer than its equal share and one sequence. */
static void test_deal(void **state)
{
    (void)state;
    enum { MOST = 50 };
    rls_random random = rls_random_seed(17);
    for (int round = 0; round < 2000; round++) {
        int32_t length[MOST];
        const int64_t count = rls_random_below(&random, MOST + 1);
        const int parts = 1 + (int)rls_random_below(&random, 12);
        const int64_t most = 1 + rls_random_below(&random, 40);
        int64_t total = 0, next = 0, longest = 0;
        for (int64_t i = 0; i < count; i++) {
            length[i] = (int32_t)rls_random_below(&random, most);
            total += length[i];
            longest = length[i] > longest ? length[i] : longest;
        }
        for (int part = 0; part < parts; part++) {
            const rls_share share = rls_sequences_deal(count, length, part, parts);
            int64_t sum = 0;
            assert_true(share.count >= 0 && (share.count == 0 || share.first == next));
            for (int64_t i = share.first; i < share.first + share.count; i++)
                sum += length[i];
            assert_true(sum * parts <= total + longest * parts);
            next += share.count;
            for (int64_t i = share.first, fit = 0; i < share.first + share.count; i += fit) {
                int64_t tokens = 0;
                fit = rls_sequences_fit(length, i, share.first + share.count, 30);
                for (int64_t j = i; j < i + fit; j++)
                    tokens += length[j];
                assert_true(fit >= 1 && (fit == 1 || tokens <= 30));
                assert_true(i + fit == share.first + share.count || tokens + length[i + fit] > 30);
            }
        }
        assert_int_equal(next, count);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_texts, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_continuations, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_continuations, setup, scratch_teardown),
        cmocka_unit_test(test_deal),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "score");
}
