/* Injected faults: what RLSEDIT_FAULT may say, and that they come where, on whom and when it says. */
#include "base/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/collective.h"
#include "support/state.h"

static void assert_setup(rls_context *ctx, const char *text, rls_status expected)
{
    assert_int_equal(setenv("RLSEDIT_FAULT", text, 1), 0);
    const rls_status status = rls_fault_setup(ctx);
    assert_int_equal(unsetenv("RLSEDIT_FAULT"), 0);
    if (status != expected)
        print_message("RLSEDIT_FAULT=%s\n", text);
    assert_all_status(ctx, status, expected);
    if (expected != RLS_OK)
        assert_all_message(ctx, "not phase:action[:rank[:occurrence]]");
    rls_clear_failure(ctx);
}

static void test_words(void **state)
{
    rls_context *ctx = *state;
    static const char *const BAD[] = {"segment.write",
                                      "segment.write:",
                                      "segment.wrote:error",
                                      "segment.write:crash",
                                      ":error",
                                      "error:segment.write",
                                      "segment.write:error:",
                                      "segment.write:error:x",
                                      "segment.write:error:-1",
                                      "segment.write:error:0:0",
                                      "segment.write:error:0:",
                                      "segment.write:error:0:1x",
                                      "segment.write:error:0:1:1",
                                      "segment.write:error:**",
                                      "Segment.write:error",
                                      " segment.write:error"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_setup(ctx, BAD[i], RLS_ERR_USAGE);
        for (int phase = 0; phase < RLS_FAULT_COUNT; phase++) /* and nothing is planned */
            assert_all_ok(ctx, rls_fault(ctx, (rls_fault_phase)phase));
    }
    char text[400];
    (void)snprintf(text, sizeof text, "segment.write:error:0:%0300d", 1); /* too long to be meant */
    assert_setup(ctx, text, RLS_ERR_USAGE);
    assert_setup(ctx, "", RLS_OK);
    assert_all_ok(ctx, rls_fault_setup(ctx));
    for (int phase = 0; phase < RLS_FAULT_COUNT; phase++)
        assert_all_ok(ctx, rls_fault(ctx, (rls_fault_phase)phase));
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < RLS_FAULT_COUNT; i++) {
        assert_non_null(strchr(rls_fault_name((rls_fault_phase)i), '.'));
        assert_null(strchr(rls_fault_name((rls_fault_phase)i), ':'));
        assert_true(strlen(rls_fault_when((rls_fault_phase)i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(rls_fault_name((rls_fault_phase)i), rls_fault_name((rls_fault_phase)j));
    }
}

/* Every phase on every rank at its third time: once, and nowhere else. */
static void test_errors(void **state)
{
    rls_context *ctx = *state;
    for (int phase = 0; phase < RLS_FAULT_COUNT; phase++) {
        const int on = phase % ctx->size;
        char text[80];
        (void)snprintf(text, sizeof text, "%s:error:%d:3", rls_fault_name((rls_fault_phase)phase), on);
        assert_setup(ctx, text, RLS_OK);
        for (int time = 1; time <= 6; time++)
            for (int other = 0; other < RLS_FAULT_COUNT; other++) {
                const rls_status status = rls_fault(ctx, (rls_fault_phase)other);
                const bool here = other == phase && time == 3 && ctx->rank == on;
                assert_all(status == (here ? RLS_ERR_IO : RLS_OK));
                if (other != phase || time != 3)
                    continue;
                assert_all_status(ctx, rls_agree(ctx, status), RLS_ERR_IO);
                (void)snprintf(text, sizeof text, "injected fault at %s",
                               rls_fault_name((rls_fault_phase)phase));
                assert_all_message(ctx, text);
            }
    }
}

static void test_whom(void **state)
{
    rls_context *ctx = *state;
    assert_setup(ctx, "export.begin:error", RLS_OK); /* rank 0, the first time */
    assert_all(rls_fault(ctx, RLS_FAULT_export_begin) == (ctx->rank == 0 ? RLS_ERR_IO : RLS_OK));
    rls_clear_failure(ctx);
    assert_all_ok(ctx, rls_fault(ctx, RLS_FAULT_export_begin));
    assert_setup(ctx, "export.begin:error:*:2", RLS_OK);
    assert_all_ok(ctx, rls_fault(ctx, RLS_FAULT_export_begin));
    assert_all(rls_fault(ctx, RLS_FAULT_export_begin) == RLS_ERR_IO);
    rls_clear_failure(ctx);
    char text[64];
    (void)snprintf(text, sizeof text, "export.begin:error:%d", ctx->size); /* nobody */
    assert_setup(ctx, text, RLS_OK);
    assert_all_ok(ctx, rls_fault(ctx, RLS_FAULT_export_begin));
}

/* What becomes of a process that comes to the phase. */
static int fate(rls_context *ctx, int seconds)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(rls_fault(ctx, RLS_FAULT_resume_open) == RLS_OK ? 0 : 1);
    for (int i = 0; i < 100 * seconds; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
        (void)usleep(10000);
    }
    (void)kill(child, SIGTERM);
    (void)waitpid(child, &status, 0);
    return -1; /* still there */
}

static void test_ends(void **state)
{
    rls_context *ctx = *state;
    int killed = 0, stalled = 0, failed = 0, fine = 0;
    ctx->fault = (rls_fault_plan){RLS_FAULT_resume_open, RLS_FAULT_KILL, -1, 1};
    killed = ctx->rank == 0 ? fate(ctx, 20) : SIGKILL;
    ctx->fault.action = RLS_FAULT_STALL;
    stalled = ctx->rank == 0 ? fate(ctx, 1) : -1;
    ctx->fault.action = RLS_FAULT_ERROR;
    failed = ctx->rank == 0 ? fate(ctx, 20) : 1001;
    ctx->fault.occurrence = 2;
    fine = ctx->rank == 0 ? fate(ctx, 20) : 1000;
    assert_all_int_equal(killed, SIGKILL);
    assert_all_int_equal(stalled, -1);
    assert_all_int_equal(failed, 1001);
    assert_all_int_equal(fine, 1000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_words), context_test(test_names),
                                       context_test(test_errors), context_test(test_whom),
                                       context_test(test_ends)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "fault");
}
