/* The context: agreement over ranks, messages, logs. */
#include "base/context.h"

#include <stdlib.h>
#include <string.h>

#include "support/collective.h"
#include "support/state.h"

static int world_size(void)
{
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

static void test_status_table(void **state)
{
    (void)state;
    const struct {
        rls_status status;
        int exit_code;
    } codes[] = {{RLS_OK, 0},          {RLS_STOPPED, 85},   {RLS_ERR_USAGE, 2},
                 {RLS_ERR_CONFIG, 2},  {RLS_ERR_MEMORY, 2}, {RLS_ERR_DATA, 3},
                 {RLS_ERR_NUMERIC, 4}, {RLS_ERR_IO, 5},     {RLS_ERR_INTERNAL, 70}};
    assert_int_equal(sizeof codes / sizeof codes[0], RLS_STATUS_COUNT);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_int_equal(rls_status_exit_code(codes[i].status), codes[i].exit_code);
        assert_true(strlen(rls_status_text(codes[i].status)) > 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rls_status_text(codes[i].status), rls_status_text(codes[j].status));
    }
    assert_non_null(rls_status_text(RLS_STATUS_COUNT));
    assert_int_equal(rls_status_exit_code(RLS_STATUS_COUNT), 70);
}

/* Two halves of the program, each with a context of its own: what one does does not reach the other. */
static void test_sub_communicator(void **state)
{
    (void)state;
    int world_rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    const int half = world_rank % 2;
    MPI_Comm comm;
    MPI_Comm_split(MPI_COMM_WORLD, half, -world_rank, &comm); /* ranks in reverse order */
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(comm, &ctx));
    int rank = -1, size = -1, same = MPI_UNEQUAL;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Comm_compare(comm, rls_context_comm(ctx), &same);
    assert_all_int_equal(rls_context_rank(ctx), rank);
    assert_all_int_equal(rls_context_size(ctx), size);
    assert_all_int_equal(same, MPI_CONGRUENT); /* a duplicate, not the caller's own */
    if (half == 0) {
        const rls_status local = rank == 0 ? rls_fail(ctx, RLS_ERR_DATA, "the even half") : RLS_OK;
        assert_all_on(comm, rls_agree(ctx, local) == RLS_ERR_DATA);
    } else {
        for (int i = 0; i < 3; i++)
            assert_all_on(comm, rls_agree(ctx, RLS_OK) == RLS_OK);
    }
    assert_all((strstr(rls_context_message(ctx), "the even half") != NULL) == (half == 0));
    rls_context_destroy(&ctx);
    assert_all(ctx == NULL);
    rls_context_destroy(&ctx);
    MPI_Comm_free(&comm);
}

static void test_one_rank_fails(void **state)
{
    rls_context *ctx = *state;
    const int size = rls_context_size(ctx);
    for (int bad = 0; bad < size; bad++) {
        rls_status local = RLS_OK;
        if (rls_context_rank(ctx) == bad)
            local = rls_fail(ctx, RLS_ERR_DATA, "file %s, line %d: mended by %d", "x.yaml", 7, bad);
        assert_all_status(ctx, rls_agree(ctx, local), RLS_ERR_DATA);
        char expected[100];
        (void)snprintf(expected, sizeof expected, "file x.yaml, line 7: mended by %d", bad);
        assert_all_message(ctx, expected);
        /* A rank above 0 that failed while others did not is named. */
        (void)snprintf(expected, sizeof expected, " [rank %d]", bad);
        assert_all((strstr(rls_context_message(ctx), expected) != NULL) == (bad > 0));
        assert_all(strstr(rls_context_origin(ctx), "test_context.c:") != NULL);
        assert_all(strstr(rls_context_origin(ctx), __func__) != NULL);
    }
}

static void test_all_fail_alike(void **state)
{
    rls_context *ctx = *state;
    assert_all_status(ctx, rls_agree(ctx, rls_fail(ctx, RLS_ERR_CONFIG, "the same on all")), RLS_ERR_CONFIG);
    assert_all_string_equal(rls_context_message(ctx), "the same on all");
}

static void test_worst_code_wins(void **state)
{
    rls_context *ctx = *state;
    const int rank = rls_context_rank(ctx), last = rls_context_size(ctx) - 1;
    rls_status local = rls_fail(ctx, rank == last ? RLS_ERR_INTERNAL : RLS_ERR_USAGE, "rank %d", rank);
    assert_all_status(ctx, rls_agree(ctx, local), RLS_ERR_INTERNAL);
    char expected[32];
    (void)snprintf(expected, sizeof expected, "rank %d", last);
    assert_all_string_equal(rls_context_message(ctx), expected);
    /* Among equals the lowest rank speaks; a stop counts less than any error. */
    local = rank == 0 && last > 0 ? RLS_STOPPED : rls_fail(ctx, RLS_ERR_IO, "equal %d", rank);
    assert_all_status(ctx, rls_agree(ctx, local), RLS_ERR_IO);
    (void)snprintf(expected, sizeof expected, "equal %d", last > 0 ? 1 : 0);
    assert_all_message(ctx, expected);
    assert_all_status(ctx, rls_agree(ctx, rank == last ? RLS_STOPPED : RLS_OK), RLS_STOPPED);
}

static void test_first_failure_is_kept(void **state)
{
    rls_context *ctx = *state;
    assert_int_equal(rls_fail(ctx, RLS_ERR_IO, "the cause"), RLS_ERR_IO);
    const rls_status later = rls_fail(ctx, RLS_ERR_DATA, "a consequence");
    assert_int_equal(later, RLS_ERR_DATA); /* the status is the caller's */
    assert_all_status(ctx, rls_agree(ctx, later), RLS_ERR_DATA);
    assert_all_string_equal(rls_context_message(ctx), "the cause");
    /* The agreement ended it: the next failure is a new one. */
    assert_all_status(ctx, rls_agree(ctx, rls_fail(ctx, RLS_ERR_IO, "another")), RLS_ERR_IO);
    assert_all_string_equal(rls_context_message(ctx), "another");
    /* A failure that was handled is forgotten by the next good agreement, or by clearing. */
    (void)rls_fail(ctx, RLS_ERR_IO, "handled");
    assert_all_ok(ctx, rls_agree(ctx, RLS_OK));
    (void)rls_fail(ctx, RLS_ERR_IO, "cleared");
    rls_clear_failure(ctx);
    assert_all_string_equal(rls_context_message(ctx), "");
    assert_all_string_equal(rls_context_origin(ctx), "");
    assert_all_status(ctx, rls_agree(ctx, rls_fail(ctx, RLS_ERR_IO, "counts")), RLS_ERR_IO);
    assert_all_string_equal(rls_context_message(ctx), "counts");
}

/* A code without a message gets the code's text, and not what an earlier failure said. */
static void test_status_without_message(void **state)
{
    rls_context *ctx = *state;
    assert_all_status(ctx, rls_agree(ctx, rls_fail(ctx, RLS_ERR_IO, "old news")), RLS_ERR_IO);
    const bool bad = rls_context_rank(ctx) == rls_context_size(ctx) - 1;
    assert_all_status(ctx, rls_agree(ctx, bad ? RLS_ERR_NUMERIC : RLS_OK), RLS_ERR_NUMERIC);
    assert_all_message(ctx, rls_status_text(RLS_ERR_NUMERIC));
    assert_all(strstr(rls_context_message(ctx), "old news") == NULL);
}

static void test_long_message(void **state)
{
    rls_context *ctx = *state;
    char text[3 * RLS_MESSAGE_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    const bool bad = rls_context_rank(ctx) == rls_context_size(ctx) - 1;
    rls_status local = bad ? rls_fail(ctx, RLS_ERR_DATA, "%s", text) : RLS_OK;
    assert_all_status(ctx, rls_agree(ctx, local), RLS_ERR_DATA);
    assert_all_int_equal(strlen(rls_context_message(ctx)), RLS_MESSAGE_MAX - 1);
}

typedef struct {
    int lines;
    rls_log_level level;
    char last[100];
} heard;

static void listen(void *user, rls_log_level level, const char *line)
{
    heard *h = user;
    h->lines++;
    h->level = level;
    (void)snprintf(h->last, sizeof h->last, "%s", line);
}

static void test_log_sink(void **state)
{
    rls_context *ctx = *state;
    heard h = {0};
    const int own = rls_context_rank(ctx) == 0 ? 1 : 0;
    rls_log(ctx, RLS_LOG_ERROR, "nobody listens yet");
    rls_context_set_log(ctx, listen, &h, RLS_LOG_INFO);
    rls_log(ctx, RLS_LOG_WARNING, "%d of %d", 3, 4);
    assert_all_int_equal(h.lines, own);
    assert_all_string_equal(h.last, own ? "3 of 4" : "");
    assert_all(!own || h.level == RLS_LOG_WARNING);
    rls_log(ctx, RLS_LOG_DEBUG, "too fine");
    assert_all_int_equal(h.lines, own);
    rls_log(ctx, RLS_LOG_INFO, "just fine");
    assert_all_int_equal(h.lines, 2 * own);
    rls_context_set_log(ctx, NULL, NULL, RLS_LOG_DEBUG);
    rls_log(ctx, RLS_LOG_ERROR, "silenced");
    assert_all_int_equal(h.lines, 2 * own);
}

static void test_log_files(void **state)
{
    (void)state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 32];
    rls_test_tmpdir(dir);
    assert_int_equal(setenv("RLSEDIT_LOG", dir, 1), 0);
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    const int rank = rls_context_rank(ctx);
    rls_log(ctx, RLS_LOG_INFO, "rank %d was here", rank);
    rls_log(ctx, RLS_LOG_DEBUG, "with all detail");
    (void)snprintf(path, sizeof path, "%s/rank-%d.log", dir, rank);
    char *text = rls_test_read(path, NULL), expected[64]; /* readable while the program runs */
    (void)snprintf(expected, sizeof expected, " rank %d was here\n", rank);
    assert_all(strstr(text, expected) != NULL);
    assert_all(strstr(text, " with all detail\n") != NULL);
    free(text);
    rls_context_destroy(&ctx);
    (void)unsetenv("RLSEDIT_LOG");
    rls_test_rmtree(dir);
}

/* A directory that is not there, on one rank only: all ranks are told, and by whom. */
static void test_log_directory_missing(void **state)
{
    (void)state;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == world_size() - 1)
        assert_int_equal(setenv("RLSEDIT_LOG", "/nonexistent/logs", 1), 0);
    rls_context *ctx = NULL;
    const rls_status status = rls_context_create(MPI_COMM_WORLD, &ctx);
    (void)unsetenv("RLSEDIT_LOG");
    assert_all_status(ctx, status, RLS_ERR_IO);
    assert_all(ctx != NULL);
    assert_all_message(ctx, "RLSEDIT_LOG: cannot open /nonexistent/logs/rank-");
    assert_all_message(ctx, "make the directory first");
    rls_context_destroy(&ctx);
    assert_all(ctx == NULL);
}

/* Communicators are given back: many lives fit into one program. */
static void test_many_contexts(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        rls_context *ctx = NULL;
        const rls_status status = rls_context_create(MPI_COMM_WORLD, &ctx);
        assert_int_equal(status, RLS_OK);
        rls_context_destroy(&ctx);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_table),
        cmocka_unit_test(test_sub_communicator),
        context_test(test_one_rank_fails),
        context_test(test_all_fail_alike),
        context_test(test_worst_code_wins),
        context_test(test_first_failure_is_kept),
        context_test(test_status_without_message),
        context_test(test_long_message),
        context_test(test_log_sink),
        cmocka_unit_test(test_log_files),
        cmocka_unit_test(test_log_directory_missing),
        cmocka_unit_test(test_many_contexts),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "context");
}
