/* ctest: NP 1 2 4 */
/* Corpora: every kind of file, texts that lie across the pieces they are read in, and every bad line named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "corpus/corpus.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

typedef struct {
    int64_t line, bytes;
    const char *text;
} expected;

static char path[RLS_TEST_PATH_MAX];

static void check(rls_context *ctx, const rls_corpus *corpus, const expected *all, int64_t count)
{
    assert_all_int_equal(rls_corpus_count(corpus), count);
    for (int64_t i = count - 1; i >= 0; i--) { /* in any order */
        char *text = NULL;
        int64_t bytes = 0;
        const int64_t length = all[i].bytes > 0 ? all[i].bytes : (int64_t)strlen(all[i].text);
        assert_all_ok(ctx, rls_corpus_text(ctx, corpus, i, &text, &bytes));
        assert_all_int_equal(rls_corpus_line(corpus, i), all[i].line);
        assert_all_int_equal(bytes, length);
        assert_all(memcmp(text, all[i].text, (size_t)length + 1) == 0);
        free(text);
    }
}

/* Of a text literal, which may have zeros in it. */
#define GOOD(ctx, name, field, text, ...)                                                                    \
    do {                                                                                                     \
        const expected all[] = {{0, 0, ""}, __VA_ARGS__};                                                    \
        rls_corpus *corpus = NULL;                                                                           \
        scratch_write(name, text, sizeof(text) - 1, path);                                                   \
        assert_all_ok(ctx, rls_corpus_open(ctx, path, field, &corpus));                                      \
        check(ctx, corpus, all + 1, (int64_t)RLS_TEST_COUNT(all) - 1);                                       \
        rls_corpus_close(&corpus);                                                                           \
        assert_all(corpus == NULL);                                                                          \
    } while (0)

static void bad(rls_context *ctx, const char *name, const char *field, const char *text, size_t bytes,
                const char *message)
{
    rls_corpus *corpus = NULL;
    scratch_write(name, text, bytes, path);
    assert_all_status(ctx, rls_corpus_open(ctx, path, field, &corpus), RLS_ERR_DATA);
    assert_all_message(ctx, name);
    assert_all_message(ctx, message);
    assert_all(corpus == NULL);
}
#define BAD(ctx, name, field, text, message) bad(ctx, name, field, text, sizeof(text) - 1, message)

static void test_plain(void **state)
{
    rls_context *ctx = *state;
    GOOD(ctx, "a.txt", NULL, "one\ntwo\n", {1, 0, "one"}, {2, 0, "two"});
    GOOD(ctx, "a.txt", NULL, "one\r\n\r\n\ntwo \xe2\x82\xac", {1, 0, "one"}, {4, 0, "two \xe2\x82\xac"});
    GOOD(ctx, "a.txt", NULL, "\xef\xbb\xbfone\n \n\ttwo", {1, 0, "one"}, {2, 0, " "}, {3, 0, "\ttwo"});
    GOOD(ctx, "a.txt", NULL, "[1]\n{\"text\": 1}\na\0b\rc\n", {1, 0, "[1]"}, {2, 0, "{\"text\": 1}"},
         {3, 5, "a\0b\rc"});
    const struct {
        const char *text;
        size_t bytes;
    } empty[] = {{"", 0}, {"\n", 1}, {"\r\n\n", 3}, {"\xef\xbb\xbf", 3}};
    for (size_t i = 0; i < RLS_TEST_COUNT(empty); i++) {
        rls_corpus *corpus = NULL;
        scratch_write("a.txt", empty[i].text, empty[i].bytes, path);
        assert_all_ok(ctx, rls_corpus_open(ctx, path, NULL, &corpus));
        assert_all_int_equal(rls_corpus_count(corpus), 0);
        rls_corpus_close(&corpus);
    }
}

static void test_json(void **state)
{
    rls_context *ctx = *state;
    GOOD(ctx, "a.jsonl", NULL, "{\"text\": \"one\"}\n\n  \r\n{\"id\": 7, \"text\": \"t\\u20acw\\no\"}\r\n",
         {1, 0, "one"}, {4, 0, "t\xe2\x82\xacw\no"});
    GOOD(ctx, "a.json", NULL, "\xef\xbb\xbf{\"text\": \"a\\u0000b\", \"n\": 123456789012345678901234567890}",
         {1, 3, "a\0b"});
    GOOD(ctx, "a.txt", "prompt",
         "{\"text\": 1, \"prompt\": \"one\"}\n{\"prompt\": \"\"}\n{\"prompt\": \"two\"}", {1, 0, "one"},
         {3, 0, "two"});
    GOOD(ctx, "a.json", NULL,
         "\n [ {\"text\": \"]}, \\\"{[\\\\\",\n  \"deep\": [{\"text\": [2, {}]}]},\n\n"
         "{\"text\": \"two\"} , {\"text\":\"three\"}\n]\n",
         {2, 0, "]}, \"{[\\"}, {5, 0, "two"}, {5, 0, "three"});
    GOOD(ctx, "a.json", "q", "[{\"q\":\"x\"}]", {1, 0, "x"});
    rls_corpus *corpus = NULL;
    scratch_write("a.json", " [ ] ", 5, path);
    assert_all_ok(ctx, rls_corpus_open(ctx, path, NULL, &corpus));
    assert_all_int_equal(rls_corpus_count(corpus), 0);
    rls_corpus_close(&corpus);
}

static void test_bad(void **state)
{
    rls_context *ctx = *state;
    rls_corpus *corpus = NULL;
    BAD(ctx, "a.txt", NULL, "one\n\ntw\xc3\xb6 \xffo\n", "a.txt:3: not UTF-8 at byte offset 5 (0xff)");
    BAD(ctx, "a.txt", NULL, "caf\xe9", "a.txt:1: not UTF-8 at byte offset 3 (0xe9)");
    BAD(ctx, "a.txt", NULL, "one\nab\xe2\x82", "a.txt:2: not UTF-8 at byte offset 2");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"\xc0\x80\"}", "a.jsonl:1: not UTF-8 at byte offset 10");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"x\"}\n{\"text\": \"y\"\n{\"text\": \"z\"}",
        "a.jsonl:2: not JSON");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"x\"}\n{\"text\": \"y\"} {}\n",
        "a.jsonl:2: not JSON, at byte offset");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"\\ud800\"}", "a.jsonl:1: not JSON");
    BAD(ctx, "a.jsonl", NULL, "\"text\"", "a.jsonl:1: not a");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"x\"}\n[1]", "a.jsonl:2: not a JSON object");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": \"x\"}\n{\"Text\": \"x\"}", "a.jsonl:2: has no field \"text\"");
    BAD(ctx, "a.txt", "prompt", "{\"text\": \"x\"}", "a.txt:1: has no field \"prompt\"");
    BAD(ctx, "a.jsonl", NULL, "{\"text\": null}", "a.jsonl:1: the field \"text\" is not a string");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"},\n 7]", "a.json:2: expected a JSON object");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"},\n]", "a.json:2: expected a JSON object");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"}\n {\"text\": \"x\"}]", "a.json:2: expected , or ]");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"}\n", "a.json:2: expected , or ]");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"},\n\n{\"text\": \"y\n\n",
        "a.json:3: what begins here has no end");
    BAD(ctx, "a.json", NULL, "[{\"text\": \"x\"}]\n\nmore", "a.json:3: something follows the array");
    BAD(ctx, "a.json", NULL, "[\n{\"text\": \"x\"},\n{\"text\": 3}]", "a.json:3: the field \"text\"");
    BAD(ctx, "a.json", NULL, "[", "a.json:1: expected a JSON object");
    assert_all_status(ctx, rls_corpus_open(ctx, scratch_dir(), NULL, &corpus), RLS_ERR_DATA);
    assert_all_message(ctx, "is a directory");
    assert_all_status(ctx, rls_corpus_open(ctx, in_scratch("nowhere", path), NULL, &corpus), RLS_ERR_DATA);
    assert_all_message(ctx, "nowhere: cannot open: No such file");
    assert_all(corpus == NULL);
}

/* Text i of the large corpora: mostly short, some longer than a piece of 4 MiB; of characters of several
 * bytes. */
static int64_t large_text(int64_t i, char *out)
{
    rls_random random = rls_random_seed((uint64_t)i);
    const int64_t most = i % 1000 == 3 ? 300000 : 60;
    const int64_t characters = i == 7 ? 6 << 20 : 1 + rls_random_below(&random, most);
    static const char *const CHARACTER[] = {"a", "\xc3\xb6", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "]",
                                            "{", " "};
    int64_t bytes = 0;
    for (int64_t c = 0; c < characters; c++) {
        const char *character = CHARACTER[rls_random_below(&random, RLS_TEST_COUNT(CHARACTER))];
        const size_t length = strlen(character);
        memcpy(out + bytes, character, length);
        bytes += (int64_t)length;
    }
    return bytes;
}

enum { LARGE = 20000, LARGE_MAX = 64 << 20, TEXT_MAX = 40 << 20 };

static void check_large(rls_context *ctx, const char *name, const char *before, const char *between,
                        const char *after, const char *end)
{
    char *file = malloc(LARGE_MAX), *room = malloc(TEXT_MAX);
    rls_corpus *corpus = NULL;
    int64_t bytes = 0, wrong = 0;
    assert_all(file != NULL && room != NULL);
    bytes += sprintf(file, "%s", name[0] == 'b' ? "[" : "");
    for (int64_t i = 0; i < LARGE; i++) {
        bytes += sprintf(file + bytes, "%s", before);
        bytes += large_text(i, file + bytes);
        bytes += sprintf(file + bytes, "%s%s", after, i + 1 < LARGE ? between : end);
    }
    scratch_write(name, file, (size_t)bytes, path);
    assert_all(bytes > 3 << 22 && bytes < LARGE_MAX);
    assert_all_ok(ctx, rls_corpus_open(ctx, path, NULL, &corpus));
    assert_all_int_equal(rls_corpus_count(corpus), LARGE);
    for (int64_t i = ctx->rank; i < LARGE; i += ctx->size) {
        char *text = NULL;
        int64_t length = 0;
        const int64_t known = large_text(i, room);
        wrong += rls_corpus_text(ctx, corpus, i, &text, &length) != RLS_OK;
        wrong += length != known || text == NULL || memcmp(text, room, (size_t)known) != 0;
        wrong += rls_corpus_line(corpus, i) != i + 1;
        wrong += rls_corpus_bytes(corpus, i) < known;
        free(text);
    }
    assert_all_int_equal(wrong, 0);
    rls_corpus_close(&corpus);
    free(file);
    free(room);
}

static void test_large(void **state)
{
    check_large(*state, "a.txt", "", "\n", "", "");
    check_large(*state, "a.jsonl", "{\"text\": \"", "\r\n", "\"}", "\n");
    check_large(*state, "b.json", "{\"text\": \"", ",\n", "\"}", "]");
}

static void test_too_long(void **state)
{
    rls_context *ctx = *state;
    const size_t bytes = 72u << 20;
    char *text = malloc(bytes);
    assert_all(text != NULL);
    memset(text, 'a', bytes);
    text[0] = '\n';
    bad(ctx, "a.txt", NULL, text, bytes, "a.txt:2: what begins here is longer than 64 MiB");
    memcpy(text, "[{\"", 3);
    bad(ctx, "a.json", NULL, text, bytes, "a.json:1: what begins here is longer than 64 MiB");
    free(text);
}

/* A file that is written to under our hands. */
static void test_changed(void **state)
{
    rls_context *ctx = *state;
    rls_corpus *corpus = NULL;
    char *text = NULL;
    int64_t bytes = 0;
    scratch_write("a.txt", "one\ntwo\nthree\n", 14, path);
    assert_all_ok(ctx, rls_corpus_open(ctx, path, NULL, &corpus));
    scratch_write("a.txt", "one\n", 4, path);
    assert_all_status(ctx, rls_corpus_text(ctx, corpus, 1, &text, &bytes), RLS_ERR_DATA);
    assert_all_message(ctx, "a.txt: has changed");
    assert_all(text == NULL);
    rls_clear_failure(ctx);
    scratch_write("a.txt", "ones\nwo\nthree\n", 14, path);
    assert_all_status(ctx, rls_corpus_text(ctx, corpus, 1, &text, &bytes), RLS_ERR_DATA);
    assert_all_message(ctx, "a.txt: has changed");
    rls_corpus_close(&corpus);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_plain), scratch_test(test_json),     scratch_test(test_bad),
        scratch_test(test_large), scratch_test(test_too_long), scratch_test(test_changed),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "corpus");
}
