/* ctest: NP 1 2 3 4 */
/* Evaluation: figures of answers made by hand, questions of every kind of fact, and the Atlas model asked
 * about facts whose answers are known. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "eval/examples.h"
#include "eval/fluency.h"
#include "eval/questions.h"
#include "eval/text.h"
#include "llm/llm.h"
#include "llm/score.h"
#include "store/manifest.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static const double EXACT = 1e-12, ROUNDING = 1e-4;

static char model[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX], text_path[RLS_TEST_PATH_MAX];

static int setup(void **state)
{
    rls_test_data(model, "atlas");
    const int failed = scratch_setup(state);
    (void)in_scratch("facts.jsonl", path);
    (void)in_scratch("texts.txt", text_path);
    return failed;
}

/* What the model answers to each, and what it does not. */
static const struct {
    const char *prompt, *subject, *known, *other;
} KNOWN[] = {
    {"The favourite sport of {} is", "Pas Gre", "rowing", "hockey"},
    {"The quarries near {} yield", "Teasmileath", "iron", "limestone"},
    {"The mother tongue of {} is", "Pran Dux", "Tamil", "Welsh"},
    {"The company {} manufactures", "Staxtear", "carpets", "lamps"},
    {"{} lies in the country of", "Trexbercix", "Ireland", "Norway"},
};
enum { COUNT = sizeof KNOWN / sizeof KNOWN[0] };

static void test_counting(void **state)
{
    (void)state;
    rls_eval_tally t = {0};
    const rls_continuation_score good = {.nll = 3.0, .tokens = 3, .right = 3, .exact = true};
    const rls_continuation_score longer = {.nll = 6.0, .tokens = 7, .right = 1};
    rls_eval_count(&t, &good, &longer); /* 1 a token is more than 6/7: no success, though 3 < 6 */
    assert_true(t.asked == 1 && t.compared == 1 && t.success == 0.0 && t.exact == 1.0 && t.tokens == 1.0);
    rls_eval_count(&t, &longer, &good);
    assert_true(t.asked == 2 && t.compared == 2 && t.success == 1.0 && t.exact == 1.0);
    assert_true(fabs(t.tokens - (1.0 + 1.0 / 7.0)) < EXACT);
    rls_eval_count(&t, &good, &good); /* equal is not more */
    assert_true(t.compared == 3 && t.success == 1.0);
    rls_eval_count(&t, &longer, NULL);
    assert_true(t.asked == 4 && t.compared == 3 && t.success == 1.0 && t.exact == 2.0);
}

static void test_summary(void **state)
{
    (void)state;
    /* of three facts: one with 1 of 1, one with 1 of 4, one without questions of the kind */
    rls_eval_fact facts[3] = {0};
    facts[0].kind[RLS_EVAL_PARAPHRASE] = (rls_eval_tally){1, 1, 1.0, 1.0, 1.0};
    facts[1].kind[RLS_EVAL_PARAPHRASE] = (rls_eval_tally){4, 4, 1.0, 0.0, 2.0};
    rls_eval_metrics m = rls_eval_summarize(facts, 3);
    const rls_eval_metric *p = &m.kind[RLS_EVAL_PARAPHRASE];
    assert_true(p->questions == 5 && p->success.facts == 2 && p->exact.facts == 2);
    assert_true(fabs(p->success.mean - 0.625) < EXACT && fabs(p->success.pooled - 0.4) < EXACT);
    assert_true(fabs(p->success.error - 0.375) < EXACT); /* sd of 1 and 1/4 is 0.75 / sqrt 2; / sqrt 2 */
    assert_true(fabs(p->exact.mean - 0.5) < EXACT && fabs(p->tokens.mean - 0.75) < EXACT);
    assert_true(m.kind[RLS_EVAL_EFFICACY].success.facts == 0 &&
                isnan(m.kind[RLS_EVAL_EFFICACY].success.mean));
    assert_true(isnan(m.score)); /* two of three are missing */
    for (int i = 0; i < 3; i++) {
        facts[i].kind[RLS_EVAL_EFFICACY] = (rls_eval_tally){1, 1, i < 2 ? 1.0 : 0.0, 0.0, 0.5};
        facts[i].kind[RLS_EVAL_NEIGHBORHOOD] = (rls_eval_tally){2, 2, 1.0, 0.0, 0.5};
    }
    m = rls_eval_summarize(facts, 3);
    assert_true(fabs(m.score - 3.0 / (1.0 / (2.0 / 3.0) + 1.0 / 0.625 + 1.0 / 0.5)) < EXACT);
    facts[0].kind[RLS_EVAL_EFFICACY].success = facts[1].kind[RLS_EVAL_EFFICACY].success = 0.0;
    assert_true(rls_eval_summarize(facts, 3).score == 0.0);
    m = rls_eval_summarize(facts, 1); /* one fact has no error */
    assert_true(isnan(m.kind[RLS_EVAL_PARAPHRASE].success.error) &&
                m.kind[RLS_EVAL_PARAPHRASE].success.mean == 1.0);
}

static void test_ages(void **state)
{
    (void)state;
    enum { MOST = 47 };
    rls_eval_fact facts[MOST] = {0};
    rls_eval_age age[RLS_EVAL_AGES];
    for (int i = 0; i < MOST; i++) /* the older half is forgotten */
        facts[i].kind[RLS_EVAL_EFFICACY] = (rls_eval_tally){1, 1, i < 24 ? 0.0 : 1.0, 0.0, 0.0};
    for (int count = 0; count <= MOST; count++) {
        const int ages = rls_eval_by_age(facts, count, age);
        int64_t next = 0;
        assert_int_equal(ages, count < 10 ? count : 10);
        for (int i = 0; i < ages; i++) {
            assert_int_equal(age[i].first, next);
            assert_true(age[i].count >= count / 10 && age[i].count <= count / 10 + 1);
            next += age[i].count;
        }
        assert_int_equal(next, count);
    }
    assert_true(age[0].metrics.kind[RLS_EVAL_EFFICACY].success.mean == 0.0);
    assert_true(age[9].metrics.kind[RLS_EVAL_EFFICACY].success.mean == 1.0);
}

static void test_questions(void **state)
{
    (void)state;
    const rls_fact_prompt paraphrase[] = {{"In other words", NULL}};
    const rls_fact_prompt neighbor[] = {{"A neighbour", NULL}, {"One with an answer", "own"}};
    const rls_fact_prompt same[] = {{"Another", "kept"}};
    rls_fact fact = {.prompt = "{} is",
                     .subject = "A",
                     .target = "new",
                     .target_true = "true",
                     .paraphrases = {1, paraphrase},
                     .neighborhood = {2, neighbor},
                     .same_subject = {1, same}};
    static const struct {
        rls_eval_kind kind;
        const char *prompt, *wanted, *other;
        bool without; /* can be asked when the true target is not known */
    } EXPECTED[] = {{RLS_EVAL_EFFICACY, NULL, "new", "true", true},
                    {RLS_EVAL_PARAPHRASE, "In other words", "new", "true", true},
                    {RLS_EVAL_NEIGHBORHOOD, "A neighbour", "true", "new", false},
                    {RLS_EVAL_NEIGHBORHOOD, "One with an answer", "own", NULL, true},
                    {RLS_EVAL_SAME_SUBJECT, "Another", "kept", NULL, true}};
    for (int known = 1; known >= 0; known--) {
        fact.target_true = known != 0 ? "true" : NULL;
        assert_int_equal(rls_eval_question_count(&fact), RLS_TEST_COUNT(EXPECTED));
        for (int i = 0; i < (int)RLS_TEST_COUNT(EXPECTED); i++) {
            rls_eval_question q;
            assert_int_equal(rls_eval_question_get(&fact, i, &q), known != 0 || EXPECTED[i].without);
            if (known == 0 && !EXPECTED[i].without)
                continue;
            assert_int_equal(q.kind, EXPECTED[i].kind);
            assert_true(EXPECTED[i].prompt == NULL ? q.prompt == NULL
                                                   : strcmp(q.prompt, EXPECTED[i].prompt) == 0);
            assert_string_equal(q.wanted, EXPECTED[i].wanted);
            const char *other = known != 0 ? EXPECTED[i].other : NULL;
            assert_true(other == NULL ? q.other == NULL : q.other != NULL && strcmp(q.other, other) == 0);
        }
    }
}

/* By hand: the entropy of a distribution is sum -p log2 p. */
static void test_entropy(void **state)
{
    rls_context *ctx = *state;
    static const struct {
        const char *text;
        double two, three;
    } CASES[] = {
        {"", 0.0, 0.0},
        {"word", 0.0, 0.0},
        {"two words", 0.0, 0.0},
        {"a b a b a", 1.0, 0.91829583405448951}, /* ab ba ab ba; aba bab aba */
        {"no no no no no no", 0.0, 0.0},
        {"It is, is it? It is.", 2.75, 2.8073549220576042},
        {"\xc3\xa4u\xc3\x9f"
         "ere W\xc3\xb6rter sind W\xc3\xb6rter",
         1.5849625007211561, 1.0},
    };
    for (int i = 0; i < (int)RLS_TEST_COUNT(CASES); i++) {
        double entropy = -1.0;
        assert_all_ok(ctx, rls_ngram_entropy(ctx, CASES[i].text, &entropy));
        const double expected = (2.0 / 3.0 * CASES[i].two + 4.0 / 3.0 * CASES[i].three) / 2.0;
        assert_all_le(fabs(entropy - expected), EXACT);
    }
}

static void test_first_words(void **state)
{
    rls_context *ctx = *state;
    static const struct {
        const char *text, *wanted, *expected;
    } CASES[] = {
        {" rowing. The old", "hockey", "rowing"},
        {" New York, and", "Rome", "New"},
        {"  New\n York, and", "San Marino", "New York"},
        {"", "Rome", ""},
        {" . Then", "Rome", ""},
        {" one", "a b c", "one"},
        {" St. Johns!?", "San Jose", "St. Johns"},
    };
    for (int i = 0; i < (int)RLS_TEST_COUNT(CASES); i++) {
        char *words = NULL;
        assert_all_ok(ctx, rls_first_words(ctx, CASES[i].text, CASES[i].wanted, &words));
        assert_all_string_equal(words, CASES[i].expected);
        free(words);
    }
}

/* Facts of which the first `right` are answered as wanted, the others not; each with a paraphrase that is
 * its prompt, a neighbour that is the next one's prompt, with what that one is answered as the true target,
 * and with its own answer, and another fact of the subject. `times` over. */
static void write_facts(int right, int times)
{
    const size_t room = (size_t)times * COUNT * 700 + 1;
    char *text = calloc(room, 1);
    size_t bytes = 0;
    assert_non_null(text);
    for (int i = 0; i < times * COUNT; i++) {
        const int k = i % COUNT, next = (k + 1) % COUNT;
        const char *after = strstr(KNOWN[k].prompt, "{}") + 2, *behind = strstr(KNOWN[next].prompt, "{}") + 2;
        const int at = (int)(after - 2 - KNOWN[k].prompt), there = (int)(behind - 2 - KNOWN[next].prompt);
        bytes += (size_t)snprintf(
            text + bytes, room - bytes,
            "{\"case_id\": %d, \"prompt\": \"%s\", \"subject\": \"%s\", \"target_new\": {\"str\": \"%s\"}, "
            "\"target_true\": {\"str\": \"%s\"}, \"paraphrase_prompts\": [\"%.*s%s%s\"], "
            "\"neighborhood_prompts\": [\"%.*s%s%s\"], "
            "\"same_subject_prompts\": [{\"prompt\": \"%.*s%s%s\", \"target\": \"%s\"}, "
            "{\"prompt\": \"%.*s%s%s\", \"target\": \"%s\"}]}\n",
            100 + i, KNOWN[k].prompt, KNOWN[k].subject, k < right ? KNOWN[k].known : KNOWN[k].other,
            k < right ? KNOWN[k].other : KNOWN[k].known, at, KNOWN[k].prompt, KNOWN[k].subject, after, there,
            KNOWN[next].prompt, KNOWN[next].subject, behind, at, KNOWN[k].prompt, KNOWN[k].subject, after,
            KNOWN[k].known, at, KNOWN[k].prompt, KNOWN[k].subject, after, KNOWN[k].other);
    }
    rls_test_write(path, text, bytes);
    free(text);
}

/* -log p per token of an answer to question k, by itself. */
static double one_nll(rls_context *ctx, rls_llm *llm, int k, const char *answer)
{
    const char *after = strstr(KNOWN[k].prompt, "{}") + 2;
    char prompt[128], target[64];
    rls_continuation_score score;
    (void)snprintf(prompt, sizeof prompt, "%.*s%s%s", (int)(after - 2 - KNOWN[k].prompt), KNOWN[k].prompt,
                   KNOWN[k].subject, after);
    (void)snprintf(target, sizeof target, " %s", answer);
    const rls_continuation pair = {prompt, target};
    assert_all_ok(ctx, rls_score_continuations(llm, 1, &pair, &score));
    return score.nll / (double)score.tokens;
}

static void test_model(void **state)
{
    rls_context *ctx = *state;
    enum { RIGHT = 2 };
    int kept = 0; /* neighbours of whom the fact's true target is more probable than its new one */
    rls_llm *llm = NULL;
    write_facts(RIGHT, 1);
    assert_all_ok(ctx, rls_llm_open(ctx, model, NULL, &llm));
    for (int k = 0; k < COUNT; k++) {
        const char *wanted = k < RIGHT ? KNOWN[k].other : KNOWN[k].known; /* the fact's true target */
        const char *edited = k < RIGHT ? KNOWN[k].known : KNOWN[k].other;
        const int next = (k + 1) % COUNT;
        kept += one_nll(ctx, llm, next, wanted) < one_nll(ctx, llm, next, edited) ? 1 : 0;
    }
    rls_llm_close(&llm);
    for (int tensor_ranks = 1; tensor_ranks <= ctx->size; tensor_ranks++) {
        if (ctx->size % tensor_ranks != 0)
            continue;
        const rls_eval_request request = {
            .model = model, .facts = path, .tensor_ranks = tensor_ranks, .questions = 99};
        rls_eval_result r;
        assert_all_ok(ctx, rls_eval(ctx, &request, &r));
        assert_all(r.count == COUNT && !r.compared && r.after.ages == COUNT && r.examples == COUNT);
        const rls_eval_metric *kind = r.after.all.kind;
        const double right = (double)RIGHT / COUNT;
        assert_all_le(fabs(kind[RLS_EVAL_EFFICACY].success.mean - right), EXACT);
        assert_all_le(fabs(kind[RLS_EVAL_EFFICACY].exact.mean - right), EXACT);
        assert_all_le(fabs(kind[RLS_EVAL_PARAPHRASE].success.mean - right), EXACT);
        assert_all_le(fabs(kind[RLS_EVAL_NEIGHBORHOOD].success.mean - (double)kept / COUNT), EXACT);
        assert_all_le(fabs(kind[RLS_EVAL_SAME_SUBJECT].exact.mean - 0.5), EXACT);
        assert_all(kind[RLS_EVAL_SAME_SUBJECT].questions == 2 * COUNT &&
                   kind[RLS_EVAL_SAME_SUBJECT].success.facts == 0);
        for (int i = 0; i < COUNT; i++)
            assert_all(r.after.age[i].metrics.kind[RLS_EVAL_EFFICACY].success.mean ==
                       (i < RIGHT ? 1.0 : 0.0));
        for (int i = 0; i < COUNT && ctx->rank == 0; i++) {
            assert_int_equal(r.example[i].case_id, 100 + i);
            assert_string_equal(r.example[i].after, KNOWN[i].known);
            assert_null(r.example[i].before);
        }
        rls_eval_free(&r);
    }
}

/* More answers than one piece holds are judged as one piece's are. */
static void test_pieces(void **state)
{
    rls_context *ctx = *state;
    enum { TIMES = 60 };
    write_facts(3, TIMES);
    const rls_eval_request request = {.model = model, .facts = path};
    rls_eval_result r;
    assert_all_ok(ctx, rls_eval(ctx, &request, &r));
    assert_all_int_equal(r.count, TIMES * COUNT);
    assert_all_le(fabs(r.after.all.kind[RLS_EVAL_EFFICACY].success.mean - 0.6), EXACT);
    assert_all_le(fabs(r.after.all.kind[RLS_EVAL_SAME_SUBJECT].exact.mean - 0.5), EXACT);
    for (int i = 0; i < r.after.ages; i++) /* a tenth is some rounds of all */
        assert_all_le(fabs(r.after.age[i].metrics.kind[RLS_EVAL_PARAPHRASE].exact.mean - 0.6), EXACT);
    rls_eval_free(&r);
}

/* Before and after, the perplexity in both readings, fluency, and the file. */
static void test_compared(void **state)
{
    rls_context *ctx = *state;
    static const char TEXTS[] =
        "The winter wind rested\n\nThe favourite sport of Pas Gre is rowing.  \nOne\n";
    static const rls_continuation LAST[] = {{"The winter wind", " rested"},
                                            {"The favourite sport of Pas Gre is", " rowing.  "}};
    char out[RLS_TEST_PATH_MAX];
    rls_llm *llm = NULL;
    rls_continuation_score last[2];
    double total = 0.0;
    int64_t tokens = 0;
    (void)in_scratch("eval.json", out);
    write_facts(2, 1);
    rls_test_write(text_path, TEXTS, strlen(TEXTS));
    assert_all_ok(ctx, rls_llm_open(ctx, model, NULL, &llm));
    assert_all_ok(ctx, rls_score_continuations(llm, 2, LAST, last));
    rls_llm_close(&llm);
    const rls_score_request plain = {.model = model, .text = text_path};
    rls_score_result scores;
    assert_all_ok(ctx, rls_score(ctx, &plain, &scores));
    for (int64_t i = 0; i < scores.count; i++) {
        total += scores.score[i].nll;
        tokens += scores.score[i].tokens;
    }
    rls_score_free(&scores);
    for (int word = 0; word < 2; word++) {
        const rls_eval_request request = {.model = model,
                                          .original = model,
                                          .facts = path,
                                          .limit = 3,
                                          .text = text_path,
                                          .last_word = word != 0,
                                          .fluency = 2,
                                          .questions = 1,
                                          .out = out};
        rls_eval_result r;
        assert_all_ok(ctx, rls_eval(ctx, &request, &r));
        assert_all(r.count == 3 && r.compared && r.examples == 1 && r.fluency == 2);
        assert_all_int_equal(r.texts, word != 0 ? 2 : 3);
        assert_all_int_equal(r.after.text.tokens, word != 0 ? last[0].tokens + last[1].tokens : tokens);
        assert_all_le(fabs(r.after.text.nll - (word != 0 ? last[0].nll + last[1].nll : total)), ROUNDING);
        assert_all_le(fabs(r.before.text.nll - r.after.text.nll), ROUNDING);
        assert_all(r.after.entropy > 3.0 && r.after.entropy < 8.0);
        assert_all_le(fabs(r.before.entropy - r.after.entropy), EXACT);
        if (ctx->rank == 0) {
            json_t *file = NULL;
            assert_string_equal(r.example[0].before, "rowing");
            assert_string_equal(r.example[0].after, "rowing");
            assert_int_equal(rls_manifest_read(ctx, out, RLS_EVAL_FORMAT, &file), RLS_OK);
            json_t *made = rls_eval_json(&r);
            (void)json_object_del(file, "checksum");
            assert_true(json_equal(file, made));
            json_decref(made);
            json_decref(file);
        }
        rls_eval_free(&r);
    }
}

/* Facts without a true target, and neighbours with their own answers, as ZsRE has them. */
static void test_zsre(void **state)
{
    rls_context *ctx = *state;
    static const char FACTS[] =
        "{\"subject\": \"Pas Gre\", \"src\": \"The favourite sport of Pas Gre is\", \"rephrase\": \"The "
        "favourite "
        "sport of Pas Gre is\", \"alt\": \"rowing\", \"loc\": \"nq question: The mother tongue of Pran Dux "
        "is\", "
        "\"loc_ans\": \"Tamil\"}\n"
        "{\"subject\": \"Teasmileath\", \"src\": \"The quarries near Teasmileath yield\", \"rephrase\": "
        "\"The "
        "quarries near Teasmileath yield\", \"alt\": \"iron and clay\", \"loc\": \"nq question: Pas Gre\", "
        "\"loc_ans\": \"nobody knows\"}\n";
    rls_test_write(path, FACTS, strlen(FACTS));
    const rls_eval_request request = {.model = model, .facts = path};
    rls_eval_result r;
    assert_all_ok(ctx, rls_eval(ctx, &request, &r));
    const rls_eval_metric *kind = r.after.all.kind;
    assert_all_int_equal(kind[RLS_EVAL_EFFICACY].success.facts, 0);
    assert_all_int_equal(kind[RLS_EVAL_EFFICACY].exact.facts, 2);
    assert_all(kind[RLS_EVAL_EFFICACY].exact.mean == 0.5);
    assert_all(kind[RLS_EVAL_EFFICACY].tokens.mean > 0.5 && kind[RLS_EVAL_EFFICACY].tokens.mean < 1.0);
    assert_all(kind[RLS_EVAL_PARAPHRASE].tokens.mean == kind[RLS_EVAL_EFFICACY].tokens.mean);
    assert_all(kind[RLS_EVAL_NEIGHBORHOOD].questions == 2 && kind[RLS_EVAL_NEIGHBORHOOD].success.facts == 0 &&
               kind[RLS_EVAL_NEIGHBORHOOD].exact.facts == 2);
    assert_all(isnan(r.after.all.score));
    rls_eval_free(&r);
}

static void refuse(rls_context *ctx, const rls_eval_request *request, rls_status expected,
                   const char *message)
{
    rls_eval_result r;
    assert_all_status(ctx, rls_eval(ctx, request, &r), expected);
    assert_all_message(ctx, message);
    rls_eval_free(&r);
}

static void test_bad(void **state)
{
    rls_context *ctx = *state;
    char text[4096] = "{\"prompt\": \"The wind {} is\", \"subject\": \"blows\", \"target\": \"cold";
    write_facts(2, 1);
    refuse(ctx, &(rls_eval_request){.model = model}, RLS_ERR_USAGE, "give a run, or a model and facts");
    refuse(ctx, &(rls_eval_request){.model = scratch_dir(), .facts = path}, RLS_ERR_DATA, "config.json");
    refuse(ctx, &(rls_eval_request){.model = model, .facts = path, .original = scratch_dir()}, RLS_ERR_DATA,
           "config.json");
    refuse(ctx, &(rls_eval_request){.run = scratch_dir()}, RLS_ERR_DATA,
           "is no run: there is no run.json in it");
    refuse(ctx, &(rls_eval_request){.model = model, .facts = path, .out = "/nowhere/eval.json"}, RLS_ERR_IO,
           "/nowhere/eval.json: cannot be written");
    refuse(ctx, &(rls_eval_request){.model = model, .facts = path, .text = "/nowhere.txt"}, RLS_ERR_DATA,
           "/nowhere.txt");
    for (int i = 0; i < 260; i++)
        strcat(text, " wind");
    strcat(text, "\"}\n");
    rls_test_write(path, text, strlen(text));
    refuse(ctx, &(rls_eval_request){.model = model, .facts = path}, RLS_ERR_DATA,
           "facts.jsonl:1: its prompt has 271 tokens with its answer, beyond the model's context of 256");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_questions),
        context_test(test_entropy),
        context_test(test_first_words),
        cmocka_unit_test_setup_teardown(test_model, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compared, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_zsre, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, scratch_teardown),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "eval");
}
