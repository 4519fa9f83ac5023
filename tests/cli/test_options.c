/* ctest: NP 1 2 */
/* Command line options: every spelling, every refusal, and the help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "cli/options.h"
#include "support/collective.h"

enum { WORDS_MAX = 16 };

struct choices {
    const char *model, *run;
    int64_t seed;
    double rate;
    bool verify, json;
    rls_option_list sets;
};
static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "the model", offsetof(struct choices, model), true, NULL},
    {"run", 'r', RLS_OPTION_TEXT, "DIR", "the run", offsetof(struct choices, run), false, NULL},
    {"seed", 0, RLS_OPTION_INTEGER, "N", "the seed", offsetof(struct choices, seed), false, NULL},
    {"rate", 0, RLS_OPTION_REAL, "X", "the rate", offsetof(struct choices, rate), false, NULL},
    {"verify", 'c', RLS_OPTION_FLAG, NULL, "check", offsetof(struct choices, verify), false, NULL},
    {"json", 'j', RLS_OPTION_FLAG, NULL, "as JSON", offsetof(struct choices, json), false, NULL},
    {"set", 's', RLS_OPTION_LIST, "KEY=VALUE", "override", offsetof(struct choices, sets), false, NULL},
};
static const rls_command command = {
    .name = "try",
    .operands = "FILE",
    .least = 1,
    .most = 2,
    .purpose = "Tries options.",
    .example = "  rlsedit try a -m b",
    .options = options,
    .count = RLS_TEST_COUNT(options),
};

typedef struct {
    struct choices choices;
    rls_option_list operands;
    bool done;
} result;

/* line: the words after the command, apart by one space. */
static rls_status parse(rls_context *ctx, const rls_command *cmd, char *line, result *r)
{
    char name[] = "try";
    char *argv[WORDS_MAX + 1] = {name};
    int argc = 1;
    for (char *word = strtok(line, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
        argv[argc++] = word;
    *r = (result){.choices = {.seed = 1, .rate = 0.5}};
    return rls_options_parse(ctx, cmd, argc, argv, &r->choices, &r->operands, &r->done);
}

static void clear(result *r)
{
    rls_option_list_free(&r->operands);
    rls_option_list_free(&r->choices.sets);
}

static void test_spellings(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "f --model d --seed -3 --rate 2e-1 --verify --set a=1 --set b=--c g",
        "--model=d --seed=-3 f --rate=.2 -c --set=a=1 --set=b=--c -- g",
        "-md f -cs a=1 -sb=--c --see -3 --ra 0.2 g",
        "f g -s a=1 -s b=--c -cm d --seed=-3 --rate=0.2",
    };
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t i = 0; i < RLS_TEST_COUNT(lines); i++) {
        char line[128];
        result r;
        snprintf(line, sizeof line, "%s", lines[i]);
        assert_all_ok(ctx, parse(ctx, &command, line, &r));
        const struct choices *c = &r.choices;
        assert_all_string_equal(c->model, "d");
        assert_all(!c->run && c->seed == -3 && c->rate == 0.2 && c->verify && !c->json && !r.done);
        assert_all_int_equal(c->sets.count, 2);
        assert_all_string_equal(c->sets.item[0], "a=1");
        assert_all_string_equal(c->sets.item[1], "b=--c");
        assert_all_int_equal(r.operands.count, 2);
        assert_all_string_equal(r.operands.item[0], "f");
        assert_all_string_equal(r.operands.item[1], "g");
        clear(&r);
    }
    rls_context_destroy(&ctx);
}

static void test_kept(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    char line[] = "-- -m=d --set -", leading[] = "-j word -j --seed x -h";
    result r;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    /* after "--" all is operands, and a lone dash is one */
    rls_command all = command;
    all.most = 9;
    all.count = 0;
    assert_all_ok(ctx, parse(ctx, &all, line, &r));
    assert_all_int_equal(r.operands.count, 3);
    assert_all_string_equal(r.operands.item[0], "-m=d");
    assert_all_string_equal(r.operands.item[2], "-");
    assert_all(r.choices.seed == 1 && r.choices.rate == 0.5);
    clear(&r);
    /* a leading operand leaves the rest alone */
    rls_command outer = {.most = 9, .leading = true, .purpose = "", .options = options + 5, .count = 1};
    assert_all_ok(ctx, parse(ctx, &outer, leading, &r));
    assert_all(r.choices.json && r.operands.count == 5 && !r.done);
    assert_all_string_equal(r.operands.item[4], "-h");
    clear(&r);
    rls_context_destroy(&ctx);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } refusals[] = {
        {"f", "try: --model DIR is missing (see rlsedit try --help)"},
        {"-m d", "missing argument: expected FILE"},
        {"f g h -m d", "one argument too many: h"},
        {"f --modle d", "unknown option --modle; did you mean --model?"},
        {"f --modle=d", "unknown option --modle=d; did you mean --model?"},
        {"f --nothing-like-it", "unknown option --nothing-like-it (see"},
        {"f --=3", "unknown option --=3"},
        {"f -z", "unknown option -z"},
        {"f -cz", "unknown option -cz"},
        {"f --ve", "more than one option begins with --ve"},
        {"f --verify=1", "--verify takes no argument"},
        {"f --verif=1", "--verify takes no argument"},
        {"f -m", "-m needs an argument"},
        {"f --model", "--model needs an argument"},
        {"f -m a -m b", "--model is given twice"},
        {"f --seed 1.5", "--seed: expected an integer, found \"1.5\""},
        {"f --seed=", "--seed: expected an integer, found \"\""},
        {"f --seed 99999999999999999999", "--seed: expected an integer"},
        {"f --rate x", "--rate: expected a number, found \"x\""},
        {"f --rate nan", "--rate: expected a number"},
        {"f --rate 1e999", "--rate: expected a number"},
    };
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t i = 0; i < RLS_TEST_COUNT(refusals); i++) {
        char line[128];
        result r;
        snprintf(line, sizeof line, "%s", refusals[i].line);
        assert_all_status(ctx, parse(ctx, &command, line, &r), RLS_ERR_USAGE);
        assert_all_message(ctx, refusals[i].message);
        assert_all(!r.done);
        clear(&r);
    }
    rls_context_destroy(&ctx);
}

/* A rank that was started with other arguments than the rest fails all of them. */
static void test_ranks_differ(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    char good[] = "f -m d", bad[] = "f -m d -z";
    bool last = rls_context_rank(ctx) == rls_context_size(ctx) - 1;
    result r;
    assert_all_status(ctx, parse(ctx, &command, last ? bad : good, &r), RLS_ERR_USAGE);
    assert_all_message(ctx, "unknown option -z");
    clear(&r);
    rls_context_destroy(&ctx);
}

static void test_help(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    char line[] = "--help", verbose[] = "f -vm d", *text = NULL;
    size_t size = 0;
    result r;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    assert_all_ok(ctx, parse(ctx, &command, line, &r)); /* although nothing required is there */
    assert_all(r.done);
    clear(&r);
    assert_all(ctx->most == RLS_LOG_INFO);
    assert_all_ok(ctx, parse(ctx, &command, verbose, &r));
    assert_all(ctx->most == RLS_LOG_DEBUG && !r.done);
    clear(&r);

    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    rls_options_help(&command, to);
    assert_int_equal(fclose(to), 0);
    assert_all(strstr(text, "usage: rlsedit try [option...] FILE\n") == text);
    assert_all(strstr(text, "\n  -m, --model DIR              the model (required)\n") != NULL);
    assert_all(strstr(text, "\n      --seed N                 the seed\n") != NULL);
    assert_all(strstr(text, "\n  -h, --help                   print this and exit\n") != NULL);
    assert_all(strstr(text, "\nexample:\n  rlsedit try a -m b\n") != NULL);
    free(text);
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),    cmocka_unit_test(test_kept), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_ranks_differ), cmocka_unit_test(test_help),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "options");
}
