/* The run directory: made whole or not at all, one run at a time, its log rewound to what the journal has. */
#include "store/run_dir.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/manifest.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static char place[RLS_TEST_PATH_MAX];
static rls_context *ctx;

static int setup(void **state)
{
    const int failed = scratch_setup(state);
    (void)in_scratch("run", place);
    ctx = *state;
    return failed;
}

static const char *in(const char *name, char path[RLS_TEST_PATH_MAX])
{
    return rls_test_path(path, place, name);
}

static const char CONFIG[] = "batch: 7 # as it was given\n";

static rls_run_dir *create(void)
{
    rls_run_dir *run = NULL;
    json_t *identity = ctx->rank == 0 ? json_pack("{s:s, s:s}", "model", "/m", "stream", "/s") : NULL;
    assert_all_ok(ctx, rls_run_dir_create(ctx, place, CONFIG, identity, &run));
    return run;
}

static rls_run_dir *open_again(void)
{
    char *config = NULL;
    json_t *identity = NULL;
    rls_run_dir *run = NULL;
    assert_all_ok(ctx, rls_run_dir_open(ctx, place, &config, &identity, &run));
    assert_all_string_equal(config, CONFIG);
    assert_all_string_equal(json_string_value(json_object_get(identity, "model")), "/m");
    assert_all_string_equal(json_string_value(json_object_get(identity, "stream")), "/s");
    free(config);
    json_decref(identity);
    return run;
}

static void assert_refused(rls_status expected, const char *part)
{
    char *config = NULL;
    json_t *identity = NULL;
    rls_run_dir *run = NULL;
    assert_all_status(ctx, rls_run_dir_open(ctx, place, &config, &identity, &run), expected);
    assert_all_message(ctx, part);
    assert_all(config == NULL && identity == NULL && run == NULL);
}

static void assert_exists(bool expected)
{
    bool exists = !expected;
    assert_all_ok(ctx, rls_run_dir_exists(ctx, place, &exists));
    assert_all_int_equal(exists, expected);
}

static void test_life(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX], token[64];
    assert_exists(false);
    assert_all_ok(ctx, rls_run_dir_check(ctx, place));
    assert_all(!rls_test_exists(place)); /* checking makes nothing */
    rls_run_dir *run = create();
    assert_exists(true);
    assert_all(rls_test_exists(in("run.json", path)) && rls_test_exists(in("log.jsonl", path)));
    char *config = rls_test_read(in("config.yaml", path), NULL), *model = NULL;
    assert_all_string_equal(config, CONFIG);
    free(config);
    assert_all_ok(ctx, rls_run_dir_path(ctx, run, "model", &model));
    assert_all_string_equal(model, in("model", path));
    free(model);
    (void)snprintf(token, sizeof token, "%s", rls_run_dir_token(run));
    MPI_Bcast(token, sizeof token, MPI_CHAR, 0, MPI_COMM_WORLD);
    assert_all_string_equal(rls_run_dir_token(run), token); /* the same everywhere */
    rls_run_dir_close(&run);
    assert_null(run);
    rls_run_dir_close(&run);
    run = open_again();
    rls_run_dir_close(&run);
}

static void test_places(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    assert_all_status(ctx, rls_run_dir_check(ctx, ""), RLS_ERR_USAGE);
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(mkdir(place, 0777), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_ok(ctx, rls_run_dir_check(ctx, place)); /* empty */
    assert_exists(false);
    rls_test_write(in("precious", path), "x", 1);
    assert_all_status(ctx, rls_run_dir_check(ctx, place), RLS_ERR_USAGE);
    assert_all_message(ctx, "exists with something in it");
    rls_run_dir *run = NULL;
    json_t *identity = ctx->rank == 0 ? json_object() : NULL;
    assert_all_status(ctx, rls_run_dir_create(ctx, place, CONFIG, identity, &run), RLS_ERR_USAGE);
    assert_null(run);
    assert_all(!rls_test_exists(in("config.yaml", path)));
    (void)in_scratch("run/precious", place);
    assert_all_status(ctx, rls_run_dir_check(ctx, place), RLS_ERR_USAGE);
    assert_all_message(ctx, "is not a directory");
    (void)in_scratch("no/where", place);
    assert_all_status(ctx, rls_run_dir_check(ctx, place), RLS_ERR_IO);
    assert_exists(false);
    (void)in_scratch("link", place);
    if (ctx->rank == 0)
        assert_int_equal(symlink("nothing", place), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_status(ctx, rls_run_dir_check(ctx, place), RLS_ERR_USAGE);
    assert_all_message(ctx, "symbolic link to nothing");
}

/* A directory that a run died in before it was whole can be made again. */
static void test_unborn(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    rls_run_dir *run = create();
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(unlink(in("run.json", path)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_exists(false);
    rls_test_write(in("run.json.partial", path), "{", 1);
    assert_all_ok(ctx, rls_run_dir_check(ctx, place));
    run = create();
    rls_run_dir_close(&run);
    run = open_again();
    rls_run_dir_close(&run);
}

static void test_damaged(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    rls_run_dir *run = create();
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(in("config.yaml", path), "batch: 8 # as it was given\n", 27);
    assert_refused(RLS_ERR_DATA, "config.yaml: damaged or edited");
    rls_test_write(path, CONFIG, sizeof CONFIG - 1);
    run = open_again();
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(in("run.json", path), "", 0);
    assert_refused(RLS_ERR_DATA, "run.json");
}

/* Another process with the lock, until it is killed. Rank 0. */
static pid_t lock_elsewhere(void)
{
    char path[RLS_TEST_PATH_MAX], byte = 0;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        const int file = open(in(".lock", path), O_RDWR);
        const bool locked = file >= 0 && fcntl(file, F_SETLK, &lock) == 0;
        const ssize_t told = write(ready[1], locked ? "y" : "n", 1);
        while (told == 1)
            (void)sleep(60);
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    assert_int_equal(byte, 'y');
    return child;
}

/* One run at a time; a dead one is in nobody's way. */
static void test_lock(void **state)
{
    (void)state;
    rls_run_dir *run = create();
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    const pid_t child = ctx->rank == 0 ? lock_elsewhere() : 0;
    assert_refused(RLS_ERR_USAGE, "another run is at work in this directory");
    assert_exists(true);
    if (ctx->rank == 0) {
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    run = open_again();
    rls_run_dir_close(&run);
}

static void log_batch(rls_run_dir *run, int64_t batch)
{
    rls_status status = RLS_OK;
    if (ctx->rank == 0)
        status = rls_run_dir_log(run, json_pack("{s:I, s:I, s:f}", "batch", (json_int_t)batch, "edits",
                                                (json_int_t)(10 * batch), "x", 0.1 * (double)batch));
    assert_all_ok(ctx, rls_agree(ctx, status));
}

/* The batches of the log's whole lines as text, "-3" for one that says it was lost, "!" for a bad one. */
static void assert_log(const char *expected)
{
    char path[RLS_TEST_PATH_MAX], text[256] = "";
    char *log = rls_test_read(in("log.jsonl", path), NULL);
    for (char *at = log, *end = strchr(at, '\n'); end != NULL; at = end + 1, end = strchr(at, '\n')) {
        json_t *line = rls_manifest_from_line(at, (size_t)(end - at));
        const size_t length = strlen(text);
        if (line == NULL)
            (void)snprintf(text + length, sizeof text - length, "! ");
        else
            (void)snprintf(text + length, sizeof text - length, "%s%d ",
                           json_object_get(line, "lost") != NULL ? "-" : "",
                           (int)json_integer_value(json_object_get(line, "batch")));
        json_decref(line);
    }
    free(log);
    assert_all_string_equal(text, expected);
}

static const int64_t ENDS[] = {10, 20, 30, 40, 50, 60};

/* Opens the run again, rewinds its log, and says how many lines there are. */
static rls_run_dir *rewound(int64_t batches, int64_t saved, int64_t expected)
{
    int64_t kept = -1;
    rls_run_dir *run = open_again();
    assert_all_ok(ctx, rls_run_dir_rewind_log(run, ENDS, batches, saved, &kept));
    assert_all_int_equal(kept, expected);
    return run;
}

static void test_log(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    rls_run_dir *run = create();
    for (int64_t batch = 1; batch <= 5; batch++)
        log_batch(run, batch);
    assert_all_ok(ctx, rls_agree(ctx, rls_run_dir_sync_log(run)));
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 3 4 5 ");
    run = rewound(5, 4, 5); /* nothing to do */
    log_batch(run, 6);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 3 4 5 6 ");
    run = rewound(3, 0, 3); /* the journal was cut */
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 3 ");
    assert_all(!rls_test_exists(in("log.jsonl.damaged", path)));
    run = rewound(5, 2, 3); /* a kill between commit and log: batches 4 and 5 will be logged again */
    log_batch(run, 4);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 3 4 ");
}

/* A torn line is nothing; a damaged one of a batch that will not be applied again is told to be lost. */
static void test_damaged_log(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    size_t bytes = 0;
    rls_run_dir *run = create();
    for (int64_t batch = 1; batch <= 5; batch++)
        log_batch(run, batch);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    char *log = rls_test_read(in("log.jsonl", path), &bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, log, bytes - 9); /* within the fifth line */
    run = rewound(5, 4, 4);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 3 4 ");
    log[bytes / 2] ^= 1; /* in the third */
    rls_test_write(path, log, bytes);
    assert_log("1 2 ! 4 5 ");
    run = rewound(5, 4, 5);
    log_batch(run, 6);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 -3 4 5 6 ");
    assert_all(rls_test_exists(in("log.jsonl.damaged", path)));
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(in("log.jsonl", path), log, bytes);
    run = rewound(5, 2, 2); /* the third is applied and logged again */
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("1 2 ");
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(unlink(in("log.jsonl", path)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    run = rewound(3, 2, 2);
    log_batch(run, 3);
    rls_run_dir_close(&run);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_log("-1 -2 3 ");
    free(log);
}

static void test_summary(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    bool finished = true;
    rls_run_dir *run = create();
    assert_all_ok(ctx, rls_run_dir_finished(run, &finished));
    assert_all(!finished);
    assert_all_ok(ctx, rls_run_dir_summary(
                           run, ctx->rank == 0 ? json_pack("{s:i, s:[]}", "edits", 3, "model_files") : NULL));
    assert_all_ok(ctx, rls_run_dir_finished(run, &finished));
    assert_all(finished);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(in("summary.json", path), "{}", 2);
    assert_all_ok(ctx, rls_run_dir_finished(run, &finished));
    assert_all(!finished);
    assert_all(rls_test_exists(in("summary.json.damaged", path)));
    rls_run_dir_close(&run);
}

#define in_dir(function) cmocka_unit_test_setup_teardown(function, setup, scratch_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_life), in_dir(test_places), in_dir(test_unborn),      in_dir(test_damaged),
        in_dir(test_lock), in_dir(test_log),    in_dir(test_damaged_log), in_dir(test_summary),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "run-dir");
}
