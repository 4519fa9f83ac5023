/* ctest: NP 1 2 3 6 */
/* Facts: every data set's words, every wrong record named, skipping, limits, and the same on all ranks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/hash.h"
#include "corpus/facts.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static char path[RLS_TEST_PATH_MAX];

static void put(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text), path);
}

static rls_facts *read_text(rls_context *ctx, const char *text)
{
    rls_facts *facts = NULL;
    put("a.json", text);
    assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_STOP, 0, &facts));
    return facts;
}

static void bad(rls_context *ctx, const char *text, const char *message)
{
    rls_facts *facts = NULL;
    put("a.json", text);
    rls_clear_failure(ctx);
    assert_all_status(ctx, rls_facts_read(ctx, path, RLS_FACTS_STOP, 0, &facts), RLS_ERR_DATA);
    assert_all_message(ctx, message);
    assert_all(facts == NULL);
}

static void check_list(const rls_fact_prompts *list, int64_t count, const char *const (*expected)[2])
{
    assert_all_int_equal(list->count, count);
    for (int64_t i = 0; i < count; i++) {
        assert_all_string_equal(list->item[i].prompt, expected[i][0]);
        assert_all_string_equal(list->item[i].target, expected[i][1]);
    }
}

/* What the counts and the strings of facts are, in one number, and that it is the same everywhere. */
static rls_hash all_of(const rls_facts *facts)
{
    rls_hash chain = rls_hash_bytes("", 0);
    for (int64_t i = 0; i < rls_facts_count(facts); i++) {
        const rls_fact *f = rls_facts_get(facts, i);
        const rls_fact_prompts *const lists[] = {&f->paraphrases, &f->neighborhood, &f->same_subject};
        const char *const texts[] = {f->prompt, f->subject, f->target, f->target_true};
        const int64_t numbers[] = {f->line, f->case_id, f->paraphrases.count, f->neighborhood.count,
                                   f->same_subject.count};
        rls_hash parts[] = {chain, rls_hash_bytes(numbers, sizeof numbers)};
        chain = rls_hash_combine(parts, 2);
        for (size_t t = 0; t < 4; t++) {
            const char *text = texts[t] != NULL ? texts[t] : "\x01";
            parts[0] = chain;
            parts[1] = rls_hash_bytes(text, strlen(text));
            chain = rls_hash_combine(parts, 2);
        }
        for (size_t l = 0; l < 3; l++)
            for (int64_t k = 0; k < lists[l]->count; k++) {
                const rls_fact_prompt *p = &lists[l]->item[k];
                parts[0] = rls_hash_bytes(p->prompt, strlen(p->prompt));
                parts[1] = p->target != NULL ? rls_hash_bytes(p->target, strlen(p->target)) : chain;
                const rls_hash both[] = {chain, parts[0], parts[1]};
                chain = rls_hash_combine(both, 3);
            }
    }
    uint64_t mine[2] = {chain.high, chain.low}, least[2] = {0, 0}, most[2] = {0, 0};
    MPI_Allreduce(mine, least, 2, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(mine, most, 2, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    assert_all(least[0] == most[0] && least[1] == most[1]);
    return chain;
}

#define COUNTERFACT_REST                                                                                     \
    "\"target_new\": {\"str\": \"English\", \"id\": \"Q1860\"}, \"target_true\": {\"str\": \"French\"},"     \
    "\"subject\": \"Ana Dar\"},\n \"paraphrase_prompts\": [\"Once. Ana Dar spoke\", \"Of {}\"],"             \
    "\"neighborhood_prompts\": [\"The tongue of Leo is\", \"Bo, a native\"],"                                \
    "\"attribute_prompts\": [\"x\"], \"generation_prompts\": [\"y\", 7]}"

static void test_counterfact(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts =
        read_text(ctx, "\n[{\"case_id\": 4402, \"pararel_idx\": 2796, \"requested_rewrite\": {"
                       "\"prompt\": \"The tongue of {} is\", \"relation_id\": \"P103\", " COUNTERFACT_REST
                       ",\n\n{\"requested_rewrite\": {\"prompt\": \"{} spoke\"," COUNTERFACT_REST "\n]\n");
    assert_all_int_equal(rls_facts_count(facts), 2);
    assert_all_int_equal(rls_facts_skipped(facts), 0);
    const rls_fact *f = rls_facts_get(facts, 0);
    assert_all(f->line == 2 && f->case_id == 4402 && f->weight == 1);
    assert_all_string_equal(f->prompt, "The tongue of {} is");
    assert_all_string_equal(f->subject, "Ana Dar");
    assert_all_string_equal(f->target, "English");
    assert_all_string_equal(f->target_true, "French");
    const char *const paraphrases[][2] = {{"Once. Ana Dar spoke", NULL}, {"Of Ana Dar", NULL}};
    const char *const others[][2] = {{"The tongue of Leo is", NULL}, {"Bo, a native", NULL}};
    check_list(&f->paraphrases, 2, paraphrases);
    check_list(&f->neighborhood, 2, others);
    check_list(&f->same_subject, 0, NULL);
    f = rls_facts_get(facts, 1);
    assert_all(f->line == 5 && f->case_id == 1);
    assert_all_string_equal(f->prompt, "{} spoke");
    check_list(&f->neighborhood, 2, others);
    (void)all_of(facts);
    rls_facts_free(&facts);
    assert_all(facts == NULL);
    rls_facts_free(&facts);
}

/* Flat CounterFact with same_subject_prompts; JSONL with an empty line, a byte order mark, CRLF. */
static void test_flat(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = read_text(
        ctx,
        "\xef\xbb\xbf{\"case_id\": 0, \"relation\": \"sport\", \"prompt\": \"The sport of {} is\", "
        "\"subject\": "
        "\"Pas Gre\", \"target_new\": {\"str\": \"hockey\"}, \"target_true\": {\"str\": \" rowing\"}, "
        "\"paraphrase_prompts\": [\"Pas Gre won\"], \"neighborhood_prompts\": [\"Chel likes\"], "
        "\"same_subject_prompts\": [{\"prompt\": \"Pas Gre works as a\", \"target\": \"miner\"}]}\r\n\r\n"
        "  {\"prompt\": \"{} is\", \"subject\": \"A\\u00e9\", \"target_new\": \"  B\", \"weight\": 2.5}");
    assert_all_int_equal(rls_facts_count(facts), 2);
    const char *const same[][2] = {{"Pas Gre works as a", "miner"}};
    check_list(&rls_facts_get(facts, 0)->same_subject, 1, same);
    assert_all_string_equal(rls_facts_get(facts, 0)->target_true, "rowing");
    const rls_fact *f = rls_facts_get(facts, 1);
    assert_all(f->line == 3 && f->case_id == 1 && f->weight == 2.5 && f->target_true == NULL);
    assert_all_string_equal(f->subject, "A\xc3\xa9");
    assert_all_string_equal(f->target, "B");
    rls_facts_free(&facts);
}

static void test_zsre(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = read_text(ctx, "[{\"subject\": \"Watts Hum\", \"src\": \"What school did Watts Hum "
                                      "attend?\", \"pred\": \"Trinity\", "
                                      "\"rephrase\": \"Where did Watts Hum study?\", \"alt\": \"Michigan\", "
                                      "\"answers\": [\"Illinois\", \"x\"], "
                                      "\"loc\": \"nq question: who played des\", \"loc_ans\": \"Jeremy "
                                      "Davies\", \"cond\": \"T >> M || W\"}]");
    const rls_fact *f = rls_facts_get(facts, 0);
    assert_all_string_equal(f->prompt, "What school did {} attend?");
    assert_all_string_equal(f->target, "Illinois");
    assert_all(f->target_true == NULL);
    const char *const rephrase[][2] = {{"Where did Watts Hum study?", NULL}};
    const char *const loc[][2] = {{"nq question: who played des?", "Jeremy Davies"}};
    check_list(&f->paraphrases, 1, rephrase);
    check_list(&f->neighborhood, 1, loc);
    rls_facts_free(&facts);
}

static void test_easyedit(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = read_text(
        ctx,
        "[{\"prompt\": \"The law in Ika declares Ika\", \"subject\": \"Ika\", \"target_new\": \"Spanish\", "
        "\"ground_truth\": [[\"Finnish\"]], \"rephrase_prompt\": \"In {}, they spoke\", \"locality_prompt\": "
        "\"Loc of X\", \"locality_ground_truth\": \"Y\", \"portability\": {\"a\": [1]}, \"locality\": {}},"
        "{\"prompt\": \"A is\", \"subject\": \"A\", \"target_new\": \"B\", \"ground_truth\": "
        "\"<|endoftext|>\", "
        "\"rephrase_prompt\": null, \"locality_prompt\": [\"P\", \"Q?\"], \"locality_ground_truth\": [\"1\", "
        "\"2\"]}, {\"prompt\": \"A was\", \"subject\": \"A\", \"target\": \"C\", \"ground_truth\": [], "
        "\"rephrase\":"
        "\"\", \"locality_prompt\": \"no answer\"}]");
    assert_all_int_equal(rls_facts_count(facts), 3);
    const rls_fact *f = rls_facts_get(facts, 0);
    assert_all_string_equal(f->prompt, "The law in {} declares Ika"); /* the first place */
    assert_all_string_equal(f->target_true, "Finnish");
    const char *const rephrase[][2] = {{"In Ika, they spoke", NULL}};
    const char *const loc[][2] = {{"Loc of X", "Y"}}, *const two[][2] = {{"P", "1"}, {"Q?", "2"}};
    check_list(&f->paraphrases, 1, rephrase);
    check_list(&f->neighborhood, 1, loc);
    f = rls_facts_get(facts, 1);
    assert_all(f->target_true == NULL && f->paraphrases.count == 0);
    check_list(&f->neighborhood, 2, two);
    f = rls_facts_get(facts, 2);
    assert_all(f->target_true == NULL && f->paraphrases.count == 0 && f->neighborhood.count == 0);
    assert_all_string_equal(f->target, "C");
    rls_facts_free(&facts);
}

static void check_text(rls_context *ctx, const rls_fact *fact, const char *expected, int64_t expected_end)
{
    char *text = NULL;
    int64_t end = 0;
    assert_all_ok(ctx, rls_fact_text(ctx, fact, &text, &end));
    assert_all_string_equal(text, expected);
    assert_all_int_equal(end, expected_end);
    free(text);
}

static void test_text(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts =
        read_text(ctx, "{\"prompt\": \"Of {}, it\", \"subject\": \"A B\", \"target\": \"x\"}\n"
                       "{\"prompt\": \"{}\", \"subject\": \"\xe2\x82\xac\", \"target\": \"x\"}\n"
                       "{\"prompt\": \"{S} is {\", \"subject\": \"S\", \"target\": \"x\"}\n"
                       "{\"prompt\": \"to S\", \"subject\": \"S\", \"target\": \"x\"}\n");
    check_text(ctx, rls_facts_get(facts, 0), "Of A B, it", 6);
    check_text(ctx, rls_facts_get(facts, 1), "\xe2\x82\xac", 3);
    check_text(ctx, rls_facts_get(facts, 2), "{S} is {", 2);
    check_text(ctx, rls_facts_get(facts, 3), "to S", 4);
    rls_facts_free(&facts);
}

#define GOOD "{\"prompt\": \"{} is\", \"subject\": \"S\", \"target\": \"T\"}"
#define WITH(fields) "{\"prompt\": \"{} is\", \"subject\": \"S\", \"target\": \"T\", " fields "}"

static void test_bad_fields(void **state)
{
    rls_context *ctx = *state;
    static const char *const cases[][2] = {
        {"{\"subject\": \"S\", \"target\": \"T\"}", "a.json:1: field \"prompt\" (or \"src\") is missing"},
        {"{\"promt\": \"{}\", \"subject\": \"S\", \"target\": \"T\"}",
         "is missing; is \"promt\" meant for it?"},
        {GOOD "\n{\"prompt\": \"{}\", \"Subject\": \"S\", \"target\": \"T\"}",
         "a.json:2: field \"subject\" is missing; is \"Subject\" meant"},
        {"{\"prompt\": \"{}\", \"subject\": \"S\"}", "field \"target_new\" (or \"target\") is missing"},
        {"{\"prompt\": \"{}\", \"subject\": \"S\", \"target\": null}", "field \"target_new\""},
        {"{\"prompt\": 7, \"subject\": \"S\", \"target\": \"T\"}",
         "\"prompt\": expected a text, found a number"},
        {"{\"prompt\": \"{}\", \"subject\": [], \"target\": \"T\"}",
         "\"subject\": expected a text, found an empty list"},
        {"{\"prompt\": \"{}\", \"subject\": \"\", \"target\": \"T\"}", "\"subject\": is empty"},
        {"{\"prompt\": \"{}\", \"subject\": \"S\", \"target\": \"  \"}", "\"target\": is empty"},
        {"{\"prompt\": \"{}\", \"subject\": \"S\", \"target_new\": {\"s\": 1}}",
         "\"target_new\": expected {\"str\""},
        {"{\"prompt\": \"{}\", \"subject\": \"S\", \"target_new\": {\"str\": true}}", "found true or false"},
        {"{\"prompt\": \"{}\", \"subject\": \"S\", \"target_new\": {\"str\": \"a\\u0000\"}}",
         "NUL character"},
        {"{\"prompt\": \"of {} in {}\", \"subject\": \"S\", \"target\": \"T\"}",
         "\"prompt\": has {} more than once"},
        {"{\"prompt\": \"of it\", \"subject\": \"S\", \"target\": \"T\"}",
         "\"prompt\": has neither {} nor the subject \"S\""},
        {WITH("\"weight\": 0"), "\"weight\": expected a number above 0, found 0"},
        {WITH("\"weight\": -1.5"), "\"weight\": expected a number above 0, found -1.5"},
        {WITH("\"weight\": \"2\""), "\"weight\": expected a number above 0, found a text"},
        {WITH("\"target_true\": 5"), "\"target_true\": expected a text, found a number"},
        {WITH("\"paraphrase_prompts\": [\"a\", null]"),
         "\"paraphrase_prompts\": expected a text, found null"},
        {WITH("\"neighborhood_prompts\": 3"), "\"neighborhood_prompts\": expected a text, found a number"},
        {WITH("\"neighborhood_prompts\": [{\"target\": \"x\"}]"), "a question without \"prompt\""},
        {WITH("\"same_subject_prompts\": [\"a\"]"), "\"same_subject_prompts\": \"a\" has no answer"},
        {WITH("\"loc\": [\"a\", \"b\"], \"loc_ans\": [\"c\"]"), "\"loc_ans\": expected a list as long as"},
        {"{\"requested_rewrite\": [1]}", "\"requested_rewrite\": expected an object, found a list"},
        {"{\"requested_rewrite\": {\"prompt\": \"{}\", \"subjct\": \"S\"}}", "is \"subjct\" meant for it?"},
    };
    for (size_t i = 0; i < RLS_TEST_COUNT(cases); i++)
        bad(ctx, cases[i][0], cases[i][1]);
}

static void test_bad_json(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = NULL;
    static const char *const cases[][2] = {
        {"", "a.json: there are no facts in it"},
        {" \n\n", "there are no facts"},
        {"[]", "there are no facts"},
        {"[ ] x", "a.json:1: something follows the array"},
        {GOOD "\n{\"prompt\": \n", "a.json:2: not JSON"},
        {GOOD " x", "a.json:1: not JSON"},
        {"7", "a.json:1: expected a JSON object, found a number"},
        {"{\"prompt\": \"\xff\"}", "a.json:1: not UTF-8 at byte offset 12 of the record (0xff)"},
        {"{\"prompt\": \"{}\", \"prompt\": \"{}\"}", "not JSON"},
        {"[" GOOD ",\n" GOOD, "a.json:2: the array has no end"},
        {"[" GOOD "\n" GOOD "]", "a.json:2: expected , or ] after a record"},
        {"[" GOOD ",\n]", "a.json:2: expected a JSON object"},
        {"[" GOOD ",\n[1]]", "a.json:2: expected a JSON object, found a list"},
        {"[" GOOD ",\n{\n\"prompt\": \"\\ud800\"}]", "a.json:3: not JSON"},
        {"[", "a.json:1: expected a JSON object"},
    };
    for (size_t i = 0; i < RLS_TEST_COUNT(cases); i++)
        bad(ctx, cases[i][0], cases[i][1]);
    (void)in_scratch("none.json", path);
    assert_all_status(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 0, &facts), RLS_ERR_DATA);
    assert_all_message(ctx, "none.json");
    assert_all_status(ctx, rls_facts_read(ctx, scratch_dir(), RLS_FACTS_STOP, 0, &facts), RLS_ERR_DATA);
    assert_all(facts == NULL);
}

/* Lists that nobody reads are left out before the parser sees them: wherever they stand and whatever is in
 * them, what is beside them is read, and what is wrong is where it is. */
static void test_unread_lists(void **state)
{
    rls_context *ctx = *state;
#define UNREAD "\"generation_prompts\" :\n [\"]\", \"\\\"]\", \"a\\\\\", [{\"b\": []}], \"\\\\\\\"\"] "
    static const char *const texts[] = {
        "[{" UNREAD ", \"prompt\": \"{}\", \"subject\": \"S\", \"target\": \"T\"}]",
        "[{\"prompt\": \"{}\", \"subject\": \"S\", \"attribute_prompts\":[],\"target\": \"T\", " UNREAD "}]",
        ("[{\"target\": \"T\", \"generation_prompts\": 1, \"requested_rewrite\": {" UNREAD
         ", \"prompt\": \"{}\", \"subject\": \"S\"}}]"),
        "[{\"attribute_prompts\": {\"a\": [1]}, \"prompt\": \"{}\", \"subject\": \"S\", \"target\": "
        "\"T\"}\n]",
    };
    for (size_t i = 0; i < RLS_TEST_COUNT(texts); i++) {
        rls_facts *facts = read_text(ctx, texts[i]);
        assert_all_int_equal(rls_facts_count(facts), 1);
        assert_all_string_equal(rls_facts_get(facts, 0)->prompt, "{}");
        assert_all_string_equal(rls_facts_get(facts, 0)->target, "T");
        rls_facts_free(&facts);
    }
    bad(ctx, "[{" UNREAD ", \n\"prompt\": }]", "a.json:3: not JSON, at byte offset 80");
    bad(ctx, "[" WITH(UNREAD) ",\n{\"prompt\": \"{}\"}]", "a.json:3: field \"subject\"");
    bad(ctx, "[{\"prompt\": \"{}\",\n\"generation_prompts\": [\"a]}]", "a.json:2: not JSON");
    bad(ctx, "{\"generation_prompts\": [}", "a.json:1: not JSON");
    bad(ctx, "{\"generation_prompts\": [1], \"generation_prompts\": [2]}", "a.json:1: not JSON");
    bad(ctx, "{\"generation_prompts\": [1]} {}", "something follows it on the line");
}

typedef struct {
    int lines;
    char text[8192];
} log_lines;

static void keep(void *user, rls_log_level level, const char *line)
{
    log_lines *log = user;
    const size_t used = strlen(log->text);
    (void)level;
    log->lines++;
    (void)snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
}

static bool logged(const rls_context *ctx, const log_lines *log, const char *part)
{
    return rls_context_rank(ctx) != 0 || strstr(log->text, part) != NULL;
}

static void test_skip(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = NULL;
    log_lines log = {0};
    rls_context_set_log(ctx, keep, &log, RLS_LOG_INFO);
    put("a.json", "{\"a\"\n" GOOD "\n7\n{}\n" WITH("\"weight\": 3") "\n{}\n{}\n{}\n{}\n");
    assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 0, &facts));
    assert_all(rls_facts_count(facts) == 2 && rls_facts_skipped(facts) == 7);
    assert_all(rls_facts_get(facts, 0)->line == 2 && rls_facts_get(facts, 0)->case_id == 1);
    assert_all(rls_facts_get(facts, 1)->line == 5 && rls_facts_get(facts, 1)->weight == 3);
    rls_facts_free(&facts);
    assert_all(rls_context_rank(ctx) != 0 || log.lines == 6); /* five and the sum */
    assert_all(logged(ctx, &log, "left out: ") && logged(ctx, &log, "a.json:1: not JSON"));
    assert_all(logged(ctx, &log, "7 wrong records left out, 2 facts taken"));

    put("a.json", "[{}, " GOOD ",\n[]]");
    assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 0, &facts));
    assert_all(rls_facts_count(facts) == 1 && rls_facts_skipped(facts) == 2);
    rls_facts_free(&facts);
    put("a.json", "{}\n\n[1]\n");
    assert_all_status(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 0, &facts), RLS_ERR_DATA);
    assert_all_message(ctx, "no fact is left, all 2 records are wrong; the first: ");
    assert_all_message(ctx, "a.json:1: field \"subject\" is missing");
    put("a.json", "[" GOOD ", {\"a\": }]"); /* what follows cannot be read */
    assert_all_status(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 0, &facts), RLS_ERR_DATA);
    rls_context_set_log(ctx, NULL, NULL, RLS_LOG_INFO);
}

static void test_mistyped(void **state)
{
    rls_context *ctx = *state;
    log_lines log = {0};
    rls_context_set_log(ctx, keep, &log, RLS_LOG_INFO);
    rls_facts *facts =
        read_text(ctx, WITH("\"paraphase_prompts\": [\"a\"], \"relation\": \"r\", \"other\": 1"));
    assert_all(rls_facts_get(facts, 0)->paraphrases.count == 0);
    assert_all(rls_context_rank(ctx) != 0 || log.lines == 1);
    assert_all(logged(ctx, &log,
                      "\"paraphase_prompts\" is not known and not read; did you mean "
                      "\"paraphrase_prompts\"?"));
    rls_facts_free(&facts);
    rls_context_set_log(ctx, NULL, NULL, RLS_LOG_INFO);
}

static void test_limit(void **state)
{
    rls_context *ctx = *state;
    rls_facts *facts = NULL;
    static const char *const texts[] = {GOOD "\n{}\n" GOOD "\n" GOOD "\nnot looked at",
                                        "[" GOOD ",{}," GOOD "," GOOD ", not looked at"};
    for (size_t i = 0; i < 2; i++) {
        put("a.json", texts[i]);
        assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_SKIP, 3, &facts));
        assert_all(rls_facts_count(facts) == 3 && rls_facts_skipped(facts) == 1);
        rls_facts_free(&facts);
        assert_all_ok(ctx, rls_facts_read(ctx, path, RLS_FACTS_STOP, 1, &facts));
        assert_all(rls_facts_count(facts) == 1 && rls_facts_skipped(facts) == 0);
        rls_facts_free(&facts);
    }
}

/* Equal for equal edits, whatever is asked beside them and wherever they stand; else different. */
static void test_digest(void **state)
{
    rls_context *ctx = *state;
    static const char *const texts[] = {
        GOOD "\n" WITH("\"weight\": 2"),
        "[" WITH("\"paraphrase_prompts\": [\"p\"], \"case_id\": 9") ",\n\n" WITH("\"weight\": 2.0") "]",
        WITH("\"weight\": 2") "\n" GOOD,
        GOOD "\n" WITH("\"weight\": 2.5"),
        GOOD "\n{\"prompt\": \"{} i\", \"subject\": \"sS\", \"target\": \"T\", \"weight\": 2}",
        GOOD "\n{\"prompt\": \"{} is\", \"subject\": \"S\", \"target\": \"U\", \"weight\": 2}",
        GOOD};
    char first[33] = "", text[33];
    for (size_t i = 0; i < RLS_TEST_COUNT(texts); i++) {
        rls_facts *facts = read_text(ctx, texts[i]);
        rls_facts_digest(facts, i == 0 ? first : text);
        assert_all(i == 0 || (strcmp(first, text) == 0) == (i == 1));
        rls_facts_free(&facts);
    }
    assert_all_string_equal(
        first, "e36a3982c193c6e1c18aa2eb678f76a0"); /* on any number of ranks; runs are resumed by it */
}

/* As many as CounterFact has, with all it has beside. How long it takes: bench_facts. */
static void test_many(void **state)
{
    rls_context *ctx = *state;
    enum { COUNT = 21919 };
    size_t size = 0;
    char *text = NULL, digest[33];
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    for (int i = 0; i < COUNT; i++)
        (void)fprintf(to,
                      "%c{\"case_id\": %d, \"requested_rewrite\": {\"prompt\": \"The tongue of {} "
                      "is\", " COUNTERFACT_REST,
                      i == 0 ? '[' : ',', i);
    (void)fputs("]", to);
    assert_int_equal(fclose(to), 0);
    rls_facts *facts = read_text(ctx, text);
    assert_all_int_equal(rls_facts_count(facts), COUNT);
    assert_all_int_equal(rls_facts_get(facts, COUNT - 1)->case_id, COUNT - 1);
    assert_all_int_equal(rls_facts_get(facts, COUNT - 1)->line, COUNT);
    rls_facts_digest(facts, digest);
    (void)all_of(facts);
    assert_all_string_equal(rls_facts_get(facts, COUNT - 1)->paraphrases.item[1].prompt, "Of Ana Dar");
    rls_facts_free(&facts);
    free(text);
}

/* The world of the fixture, where it is. */
static void test_world(void **state)
{
    rls_context *ctx = *state;
    char file[RLS_TEST_PATH_MAX];
    rls_facts *facts = NULL;
    if (!rls_test_extra(file, "fixture/world/facts.jsonl")) {
        print_message("NOT RUN: no fixture/world/facts.jsonl\n");
        return;
    }
    assert_all_ok(ctx, rls_facts_read(ctx, file, RLS_FACTS_STOP, 0, &facts));
    assert_all_int_equal(rls_facts_count(facts), 712);
    for (int64_t i = 0; i < 712; i++) {
        const rls_fact *f = rls_facts_get(facts, i);
        assert_true(f->line == i + 1 && f->target_true != NULL && f->same_subject.count > 0);
    }
    (void)all_of(facts);
    rls_facts_free(&facts);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_counterfact), scratch_test(test_flat),         scratch_test(test_zsre),
        scratch_test(test_easyedit),    scratch_test(test_text),         scratch_test(test_bad_fields),
        scratch_test(test_bad_json),    scratch_test(test_unread_lists), scratch_test(test_skip),
        scratch_test(test_mistyped),    scratch_test(test_limit),        scratch_test(test_digest),
        scratch_test(test_many),        scratch_test(test_world)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "facts");
}
