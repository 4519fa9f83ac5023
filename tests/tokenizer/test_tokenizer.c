/* Tokenizers of every layout give the ids and texts of the reference implementation, and files and texts that
 * are wrong are refused by name. ctest: NP 1 2 4 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/collective.h"
#include "tokenizer/tokenizer.h"

static rls_context *ctx;

static int make_context(void **state)
{
    (void)state;
    return rls_context_create(MPI_COMM_WORLD, &ctx) == RLS_OK ? 0 : 1;
}

static int drop_context(void **state)
{
    (void)state;
    rls_context_destroy(&ctx);
    return 0;
}

/* A call that is local failed as it should; its message gives way to the next. */
#define assert_refused(status, message)                                                                      \
    do {                                                                                                     \
        rls_clear_failure(ctx);                                                                              \
        assert_all_status(ctx, status, RLS_ERR_DATA);                                                        \
        assert_all_message(ctx, message);                                                                    \
    } while (0)

static json_t *load(const char *path)
{
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_all(root != NULL);
    return root;
}

static rls_tokenizer *open_at(const char *path)
{
    rls_tokenizer *tokenizer = NULL;
    assert_all_ok(ctx, rls_tokenizer_open(ctx, path, &tokenizer));
    return tokenizer;
}

static bool same_ids(const rls_ids *ids, const json_t *expected)
{
    bool same = ids->count == (int64_t)json_array_size(expected);
    for (int64_t i = 0; same && i < ids->count; i++)
        same = ids->id[i] == json_integer_value(json_array_get(expected, (size_t)i));
    return same;
}

/* Whether decoding gives the expected text; null: the text itself. */
static bool decodes(const rls_tokenizer *tokenizer, const rls_ids *ids, bool skip, const json_t *expected,
                    const json_t *itself)
{
    const json_t *right = json_is_null(expected) ? itself : expected;
    char *text = NULL;
    int64_t bytes = -1;
    bool same = rls_tokenizer_decode(ctx, tokenizer, ids->id, ids->count, skip, &text, &bytes) == RLS_OK &&
                bytes == (int64_t)json_string_length(right) && text[bytes] == '\0' &&
                memcmp(text, json_string_value(right), (size_t)bytes) == 0;
    if (!same)
        print_error("decoded \"%s\", not \"%s\"\n", text, json_string_value(right));
    free(text);
    return same;
}

static rls_ids encode(const rls_tokenizer *tokenizer, const char *text, size_t bytes, bool special)
{
    rls_ids ids = {0};
    if (rls_tokenizer_encode(ctx, tokenizer, text, (int64_t)bytes, special, &ids) != RLS_OK)
        ids.count = -1;
    return ids;
}

/* Whether one text becomes the golden ids and these the golden texts. */
static bool agrees(const rls_tokenizer *tokenizer, const json_t *text, const json_t *golden)
{
    const char *bytes = json_string_value(text);
    rls_ids ids = encode(tokenizer, bytes, json_string_length(text), true);
    rls_ids plain = encode(tokenizer, bytes, json_string_length(text), false);
    bool same = same_ids(&ids, json_array_get(golden, 0));
    if (!same)
        print_error("other ids for \"%s\"\n", bytes);
    same = same && decodes(tokenizer, &plain, false, json_array_get(golden, 1), text) &&
           decodes(tokenizer, &ids, true, json_array_get(golden, 2), text);
    rls_ids_free(&ids);
    rls_ids_free(&plain);
    return same;
}

static void check_layout(const char *name, int64_t round_trips)
{
    char path[RLS_TEST_PATH_MAX], part[256];
    rls_test_data(path, "tokenizers/texts.json");
    json_t *texts = load(path);
    (void)snprintf(part, sizeof part, "tokenizers/%s/golden.json", name);
    rls_test_data(path, part);
    json_t *golden = load(path);
    (void)snprintf(part, sizeof part, "tokenizers/%s", name);
    rls_test_data(path, part);
    rls_tokenizer *tokenizer = open_at(path);
    int64_t wrong = 0, itself = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *one = json_array_get(golden, i);
        if (!agrees(tokenizer, json_array_get(texts, i), one)) {
            print_error("%s: text %zu\n", name, i);
            wrong++;
        }
        itself += json_is_null(json_array_get(one, 1));
    }
    assert_all_int_equal(json_array_size(texts), json_array_size(golden));
    assert_all(json_array_size(texts) > 150);
    assert_all_int_equal(wrong, 0);
    assert_all(itself >= round_trips); /* texts that come back as they were */
    rls_tokenizer_close(&tokenizer);
    assert_all(tokenizer == NULL);
    json_decref(texts);
    json_decref(golden);
}

static void test_gpt2(void **state)
{
    (void)state;
    check_layout("gpt2", 150);
    check_layout("gpt2-prefix", 10);
}

static void test_llama3(void **state)
{
    (void)state;
    check_layout("llama3", 140);
}

static void test_qwen2(void **state)
{
    (void)state;
    check_layout("qwen2", 100);
}

static void test_llama2(void **state)
{
    (void)state;
    check_layout("llama2", 100);
}

static void test_mistral(void **state)
{
    (void)state;
    check_layout("mistral-legacy", 20);
    check_layout("mistral-v3", 80);
}

static void test_removed(void **state)
{
    (void)state;
    check_layout("removed", 40);
}

/* Texts that the tokenizer of the example model gives back as they were: any, as it is byte-level. */
static void test_atlas(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    rls_test_data(path, "tokenizers/texts.json");
    json_t *texts = load(path);
    rls_test_data(path, "atlas");
    rls_tokenizer *tokenizer = open_at(path);
    int64_t wrong = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        rls_ids ids = encode(tokenizer, json_string_value(text), json_string_length(text), false);
        wrong += !decodes(tokenizer, &ids, false, json_null(), text);
        rls_ids_free(&ids);
    }
    assert_all_int_equal(wrong, 0);
    assert_all_int_equal(rls_tokenizer_size(tokenizer), 2048);
    assert_all_int_equal(rls_tokenizer_id(tokenizer, "<|end_of_text|>"), 2047);
    assert_all_int_equal(rls_tokenizer_id(tokenizer, "no such token"), -1);
    rls_ids ids = encode(tokenizer, "the<|end_of_text|>", 18, true);
    assert_all(ids.count >= 3 && ids.id[0] == 2046 && ids.id[ids.count - 1] == 2047);
    rls_ids_free(&ids);
    rls_tokenizer_close(&tokenizer);
    json_decref(texts);
}

/* The real GPT-2 and a SentencePiece model, where they are beside the source tree. */
static void test_extra(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    if (!rls_test_extra(path, "golden/gpt2-tokens.json")) {
        print_message("[  NOT RUN ] golden ids of GPT-2: the extra material is not there\n");
    } else {
        json_t *golden = load(path);
        assert_all(rls_test_extra(path, "tokenizers/gpt2"));
        rls_tokenizer *tokenizer = open_at(path);
        int64_t wrong = 0;
        for (size_t i = 0; i < json_array_size(golden); i++) {
            const json_t *text = json_object_get(json_array_get(golden, i), "text");
            rls_ids ids = encode(tokenizer, json_string_value(text), json_string_length(text), false);
            wrong += !same_ids(&ids, json_object_get(json_array_get(golden, i), "ids")) ||
                     !decodes(tokenizer, &ids, false, json_null(), text);
            rls_ids_free(&ids);
        }
        assert_all(json_array_size(golden) > 30);
        assert_all_int_equal(wrong, 0);
        rls_tokenizer_close(&tokenizer);
        json_decref(golden);
    }
    if (!rls_test_extra(path, "models/stories260K")) {
        print_message("[  NOT RUN ] tokenizer of stories260K: the extra material is not there\n");
        return;
    }
    rls_tokenizer *tokenizer = open_at(path);
    rls_ids ids = encode(tokenizer, "Once upon a time, \xe6\x97\xa5", 21, true);
    char *text = NULL;
    assert_all_ok(ctx, rls_tokenizer_decode(ctx, tokenizer, ids.id, ids.count, true, &text, NULL));
    assert_all_int_equal(ids.id[0], 1);
    assert_all_string_equal(text, "Once upon a time, \xe6\x97\xa5");
    free(text);
    rls_ids_free(&ids);
    rls_tokenizer_close(&tokenizer);
}

static const char TINY[] =
    "{\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":"
    "false,"
    "\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":null,\"decoder\":null,"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"abab\":3},\"merges\":[\"a "
    "b\",[\"ab\",\"ab\"]]}}";

/* TINY with a part replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(TINY, from);
    assert_non_null(at);
    char *text = malloc(sizeof TINY + strlen(to));
    assert_non_null(text);
    (void)sprintf(text, "%.*s%s%s", (int)(at - TINY), TINY, to, at + strlen(from));
    return text;
}

static void test_tiny(void **state)
{
    (void)state;
    rls_tokenizer *tokenizer = NULL;
    char *text = NULL;
    assert_all_ok(ctx, rls_tokenizer_parse(ctx, "tiny", TINY, (int64_t)strlen(TINY), &tokenizer));
    rls_ids ids = {0};
    assert_all_ok(ctx, rls_tokenizer_encode(ctx, tokenizer, "ababab<s>ba", 11, true, &ids));
    assert_all_ok(ctx, rls_tokenizer_encode(ctx, tokenizer, "", 0, true, &ids));
    const int32_t expected[] = {3, 2, 5, 1, 0};
    assert_all(ids.count == 5 && memcmp(ids.id, expected, sizeof expected) == 0);
    assert_all_ok(ctx, rls_tokenizer_decode(ctx, tokenizer, ids.id, ids.count, false, &text, NULL));
    assert_all_string_equal(text, "abab ab <s> b a"); /* without a decoder */
    free(text);
    assert_all_status(ctx, rls_tokenizer_encode(ctx, tokenizer, "ab\xc3(", 4, true, &ids), RLS_ERR_DATA);
    assert_all_message(ctx, "not UTF-8 at byte 2");
    assert_all_int_equal(ids.count, 5);
    const int32_t gaps[] = {4, 0, 6, INT32_MAX, 1}, below = -1;
    assert_all_ok(ctx, rls_tokenizer_decode(ctx, tokenizer, gaps, 5, false, &text, NULL));
    assert_all_string_equal(text, "a b");
    free(text);
    assert_refused(rls_tokenizer_decode(ctx, tokenizer, &below, 1, false, &text, NULL),
                   "the id -1 at place 0");
    assert_all(text == NULL);
    rls_ids_free(&ids);
    rls_tokenizer_close(&tokenizer);
}

static const struct {
    const char *from, *to, *message;
} BAD[] = {
    {"\"BPE\"", "\"Unigram\"", "Unigram"},
    {"\"type\":\"BPE\",", "\"dropout\":0.1,", "dropout"},
    {"\"type\":\"BPE\",", "\"end_of_word_suffix\":\"</w>\",", "end_of_word_suffix"},
    {"\"type\":\"BPE\",", "\"something\":1,", "something"},
    {"\"type\":\"BPE\",", "\"unk_token\":\"<unk>\",", "<unk>"},
    {"{\"added", "{\"another\":1,\"added", "another"},
    {"{\"added", "{\"version\":\"2.0\",\"added", "version"},
    {"\"b\":1", "\"b\":0", "id 0"},
    {"\"b\":1", "\"b\":-1", "\"b\""},
    {"\"b\":1", "\"b\":2147483648", "\"b\""},
    {"\"b\":1", "\"b\":4294967296", "\"b\""},
    {"\"b\":1", "\"b\":9223372036854775808", "too big"},
    {"\"b\":1", "\"b\":1.0", "\"b\""},
    {"\"b\":1", "\"a\":1", "duplicate"},
    {"\"ab\":2,", "", "\"ab\" is not in the vocabulary"},
    {"\"a b\"", "\"a c\"", "merges[0]: \"c\""},
    {"\"a b\"", "\"a b a\"", "merges[0]"},
    {"[\"ab\",\"ab\"]", "[\"ab\"]", "merges[1]"},
    {"[\"ab\",\"ab\"]", "7", "merges[1]"},
    {",\"merges\":[\"a b\",[\"ab\",\"ab\"]]", "", "merges is missing"},
    {"\"id\":5", "\"id\":1", "id 1"},
    {"\"id\":5", "\"id\":5000000000", "added_tokens[0]: id"},
    {"\"content\":\"<s>\"", "\"content\":\"a\"", "elsewhere 0"},
    {"\"content\":\"<s>\"", "\"content\":\"\"", "empty"},
    {"\"lstrip\":false", "\"lstrip\":0", "lstrip"},
    {"\"lstrip\":false,", "", "lstrip"},
    {"\"lstrip\":false", "\"lstrip\":false,\"mstrip\":true", "mstrip"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", "normalizer: the type \"Lowercase\""},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"NFD\"}]}",
     "normalizer.normalizers[1]: the type \"NFD\""},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"}", "Regex"},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}", "empty"},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Whitespace\"}", "Whitespace"},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":7", "pre_tokenizer is not an object"},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"xy\"}",
     "one character"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_"
     "space\":false},"
     "{\"type\":\"Metaspace\",\"replacement\":\"_\"}]}",
     "after ByteLevel"},
    {"\"decoder\":null", "\"decoder\":{\"type\":\"WordPiece\"}", "WordPiece"},
    {"\"decoder\":null", "\"decoder\":null,\"post_processor\":{\"type\":\"RobertaProcessing\"}",
     "RobertaProcessing"},
    {"\"decoder\":null",
     "\"decoder\":null,\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
     "\"id\":\"<s>\","
     "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"ids\":[9]}}"
     "}",
     "\"<s>\" is not in the vocabulary"},
    {"{\"added", "[\"added", "tiny"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        rls_tokenizer *tokenizer = NULL;
        char *text = changed(BAD[i].from, BAD[i].to);
        assert_refused(rls_tokenizer_parse(ctx, "tiny", text, (int64_t)strlen(text), &tokenizer),
                       BAD[i].message);
        assert_all(tokenizer == NULL);
        free(text);
    }
    char deep[8192];
    memset(deep, '[', sizeof deep);
    rls_tokenizer *tokenizer = NULL;
    assert_refused(rls_tokenizer_parse(ctx, "deep", deep, sizeof deep, &tokenizer), "depth");
}

static const struct {
    const char *pattern, *message;
} PATTERNS[] = {
    {"a*", "empty text"},
    {"(a", "not valid"},
    {"a)", "not valid"},
    {"\\\\w+", "an escape"},
    {"^a", "an anchor"},
    {"a$", "an anchor"},
    {"[[:alpha:]]", "class in a class"},
    {"[a&&b]", "&&"},
    {"\\\\p{Han}", "\\p"},
    {"\\\\pL", "\\p"},
    {"[\\\\S]", "\\S in a class"},
    {"[\\\\s-z]", "range"},
    {"[a-\\\\s]", "range"},
    {"(?x:a)", "a kind of group"},
    {"(?i:ss)", "another case"},
    {"(?i:\xc3\xa9)", "beyond ASCII"},
    {"a{,2}b", "a kind of {}"},
    {"a{2}+", "a kind of {}"},
    {"(?<name>a)", "a kind of group"},
    {"(*FAIL)", "a kind of group"},
    {"a\\\\Kb", "an escape"},
};

static void test_bad_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof PATTERNS / sizeof PATTERNS[0]; i++) {
        char step[512];
        rls_tokenizer *tokenizer = NULL;
        (void)snprintf(step, sizeof step,
                       "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},\"behavior\":"
                       "\"Isolated\",\"invert\":false}",
                       PATTERNS[i].pattern);
        char *text = changed("\"pre_tokenizer\":null", step);
        assert_refused(rls_tokenizer_parse(ctx, "tiny", text, (int64_t)strlen(text), &tokenizer),
                       PATTERNS[i].message);
        free(text);
    }
}

/* Every rank fails where only rank 0 reads. */
static void test_missing(void **state)
{
    (void)state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 32];
    rls_tokenizer *tokenizer = NULL;
    rls_test_tmpdir(dir);
    assert_all_status(ctx, rls_tokenizer_open(ctx, dir, &tokenizer), RLS_ERR_DATA);
    assert_all_message(ctx, "tokenizer.json");
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    rls_test_write(path, "{}\0{}", 5);
    assert_all_status(ctx, rls_tokenizer_open(ctx, dir, &tokenizer), RLS_ERR_DATA);
    assert_all_message(ctx, "byte 2 is NUL");
    rls_test_write(path, "{}", 2);
    assert_all_status(ctx, rls_tokenizer_open(ctx, dir, &tokenizer), RLS_ERR_DATA);
    assert_all_message(ctx, "model is missing");
    assert_all(tokenizer == NULL);
    rls_test_rmtree(dir);
}

/* The ids of a word by definition: the lowest rank anywhere is merged first. */
static int64_t merge_slowly(int32_t *id, int64_t n)
{
    static const int32_t MERGES[][3] = {{0, 1, 2}, {2, 2, 3}}; /* of TINY */
    for (size_t rank = 0; rank < 2; rank++)
        for (int64_t i = 0; i + 1 < n; i++)
            if (id[i] == MERGES[rank][0] && id[i + 1] == MERGES[rank][1]) {
                id[i] = MERGES[rank][2];
                memmove(id + i + 1, id + i + 2, (size_t)(n - i - 2) * sizeof *id);
                n--;
            }
    return n;
}

/* A long text without a place to cut. */
static void test_long_word(void **state)
{
    (void)state;
    enum { N = 20000 };
    char *text = malloc(N);
    int32_t *slow = malloc(N * sizeof *slow);
    assert_all(text != NULL && slow != NULL);
    for (int64_t i = 0; i < N; i++) {
        slow[i] = i % 2 == 0 || rls_random_normal_at(7, i, 0) > 1.5 ? 0 : 1;
        text[i] = (char)('a' + slow[i]);
    }
    const int64_t n = merge_slowly(slow, N);
    rls_tokenizer *tokenizer = NULL;
    assert_all_ok(ctx, rls_tokenizer_parse(ctx, "tiny", TINY, (int64_t)strlen(TINY), &tokenizer));
    rls_ids ids = encode(tokenizer, text, N, false);
    assert_all_int_equal(ids.count, n);
    assert_all(memcmp(ids.id, slow, (size_t)n * sizeof *slow) == 0);
    rls_ids_free(&ids);
    rls_tokenizer_close(&tokenizer);
    free(text);
    free(slow);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gpt2, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_llama3, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_qwen2, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_llama2, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_mistral, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_removed, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_atlas, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_extra, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_tiny, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_bad_files, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_bad_patterns, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_missing, make_context, drop_context),
        cmocka_unit_test_setup_teardown(test_long_word, make_context, drop_context),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "tokenizer");
}
