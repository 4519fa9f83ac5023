/* When to stop: signals, a file, the end of the allocation. */
#include "base/stop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "support/collective.h"
#include "support/state.h"

static void without_slurm(void)
{
    assert_int_equal(unsetenv("SLURM_JOB_END_TIME"), 0);
}

static void test_walltimes(void **state)
{
    rls_context *ctx = *state;
    static const struct {
        const char *text;
        double seconds;
    } GOOD[] = {{"1", 1},
                {"90", 90},
                {"1:30", 90},
                {"90:00", 5400},
                {"05:30:00", 19800},
                {"5:3:1", 18181},
                {"00:00:01", 1},
                {"100:00:00", 360000},
                {"1-0", 86400},
                {"1-12", 129600},
                {"1-12:30", 131400},
                {"1-12:30:15", 131415},
                {"0-00:00:07", 7},
                {"07-00:00:00", 604800}};
    without_slurm();
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        double seconds = 0.0;
        assert_all_ok(ctx, rls_stop_seconds_left(ctx, GOOD[i].text, &seconds));
        assert_all(seconds == GOOD[i].seconds);
    }
    static const char *const BAD[] = {
        "",      "0",     "0:00", "00:00:00", "0-0",  "-1",  "-1:00", "1:-1",      "+1",      " 1", "1 ",
        "1:",    ":1",    "1::2", "1:2:3:4",  "1-",   "-5",  "1-2-3", "1-2:3:4:5", "1.5",     "1h", "x",
        "1:0x5", "1 - 2", "a-1",  "1-a",      "0x10", "1e3", "inf",   "nan",       "\xd9\xa1"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        double seconds = 0.0;
        const rls_status status = rls_stop_seconds_left(ctx, BAD[i], &seconds);
        if (status != RLS_ERR_USAGE)
            print_message("--walltime \"%s\" is %g s\n", BAD[i], seconds);
        assert_all_status(ctx, status, RLS_ERR_USAGE);
        assert_all_message(ctx, BAD[i]);
        assert_all_message(ctx, "--walltime");
        rls_clear_failure(ctx);
    }
}

static void set_end(double in)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.0f", (double)time(NULL) + in);
    assert_int_equal(setenv("SLURM_JOB_END_TIME", text, 1), 0);
}

static void test_slurm(void **state)
{
    rls_context *ctx = *state;
    double seconds = 0.0;
    without_slurm();
    assert_all_ok(ctx, rls_stop_seconds_left(ctx, NULL, &seconds));
    assert_all(isinf(seconds) && seconds > 0.0);
    set_end(1000.0);
    assert_all_ok(ctx, rls_stop_seconds_left(ctx, NULL, &seconds));
    assert_all_le(fabs(seconds - 1000.0), 5.0);
    assert_all_ok(ctx, rls_stop_seconds_left(ctx, "2:00", &seconds)); /* the smaller of both */
    assert_all(seconds == 120.0);
    assert_all_ok(ctx, rls_stop_seconds_left(ctx, "2:00:00", &seconds));
    assert_all_le(fabs(seconds - 1000.0), 5.0);
    set_end(-50.0); /* over already */
    assert_all_ok(ctx, rls_stop_seconds_left(ctx, NULL, &seconds));
    assert_all_le(seconds, -49.0);
    static const char *const NONE[] = {"", "UNLIMITED", "0", "tomorrow", "12x", "-5"};
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++) {
        assert_int_equal(setenv("SLURM_JOB_END_TIME", NONE[i], 1), 0);
        assert_all_ok(ctx, rls_stop_seconds_left(ctx, NULL, &seconds));
        assert_all(isinf(seconds));
    }
    without_slurm();
}

static void assert_goes_on(rls_context *ctx, const rls_stop *stop, double batch)
{
    assert_all_ok(ctx, rls_agree(ctx, rls_stop_check(ctx, stop, batch, 7)));
}

static void assert_stops(rls_context *ctx, const rls_stop *stop, double batch, const char *why)
{
    assert_all_status(ctx, rls_agree(ctx, rls_stop_check(ctx, stop, batch, 1234567890123)), RLS_STOPPED);
    assert_all_message(ctx, why);
    assert_all_message(ctx, "1234567890123 edits");
}

/* Any one rank is enough, and all learn why. */
static void test_signal(void **state)
{
    rls_context *ctx = *state;
    static volatile sig_atomic_t signals[64];
    rls_stop stop = {.signal = &signals[0], .deadline = INFINITY, .reserve = 1e9};
    signals[0] = 0;
    assert_goes_on(ctx, &stop, 1e9);
    for (int rank = 0; rank < ctx->size; rank++) {
        signals[0] = ctx->rank == rank ? SIGUSR1 : 0;
        assert_stops(ctx, &stop, 0.0, "stopped by signal 10");
    }
    signals[0] = 0;
    assert_goes_on(ctx, &stop, 0.0);
}

static void test_file(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], file[RLS_TEST_PATH_MAX + 8];
    rls_test_tmpdir(dir);
    (void)snprintf(file, sizeof file, "%s/STOP", dir);
    rls_stop stop = {.file = file, .deadline = INFINITY};
    assert_goes_on(ctx, &stop, 1.0);
    rls_test_write(file, "", 0);
    assert_stops(ctx, &stop, 1.0, file);
    assert_all_message(ctx, "remove it");
    MPI_Barrier(MPI_COMM_WORLD);
    (void)unlink(file);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_goes_on(ctx, &stop, 1.0);
    rls_test_rmtree(dir);
}

/* Not another batch when it and what comes after would end too late. */
static void test_deadline(void **state)
{
    rls_context *ctx = *state;
    rls_stop stop = {.deadline = MPI_Wtime() + 1000.0, .reserve = 100.0};
    assert_goes_on(ctx, &stop, 0.0);
    assert_goes_on(ctx, &stop, 800.0);
    assert_stops(ctx, &stop, 901.0, "stopped for the walltime");
    stop.reserve = 1001.0;
    assert_stops(ctx, &stop, 0.0, "stopped for the walltime");
    stop.reserve = 0.0;
    stop.deadline = MPI_Wtime() - 1.0;
    assert_stops(ctx, &stop, 0.0, ": 0 s are left");
    stop.deadline = INFINITY;
    assert_goes_on(ctx, &stop, 1e30);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_walltimes), context_test(test_slurm),
                                       context_test(test_signal), context_test(test_file),
                                       context_test(test_deadline)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "stop");
}
