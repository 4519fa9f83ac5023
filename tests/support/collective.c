#include "support/collective.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif
#if SANITIZED
void __sanitizer_set_report_fd(void *fd);
void __lsan_do_leak_check(void);
void __lsan_disable(void);
void __lsan_enable(void);
#endif

enum { REASON_MAX = 3072, DEFAULT_SECONDS = 290, EXIT_WATCHDOG = 98, EXIT_LOCAL_FAILURE = 97 };

/* One of the caller's tests, behind a test of ours that watches it. */
struct entry {
    const struct CMUnitTest *test;
    void *state;
};

static const int fatal_signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
enum { FATAL_SIGNALS = sizeof fatal_signals / sizeof fatal_signals[0] };

/* The running program, of which there is one. */
static struct {
    MPI_Comm comm; /* ours alone: a test that left a collective half done cannot be mistaken for us */
    int rank, size;
    int terminal; /* the real stderr */
    char log[RLS_TEST_PATH_MAX];
    const struct entry *entry;
    bool finished;   /* the test function returned */
    bool collective; /* it failed on all ranks together */
    int failures;
    struct sigaction fatal[FATAL_SIGNALS];
    long seconds; /* until the watchdog ends the program */
    char watchdog[256];
} self;

static MPI_Comm usable(MPI_Comm comm)
{
    return comm == MPI_COMM_WORLD ? self.comm : comm;
}

/* All ranks learn whether one failed; then rank 0 of comm prints the first failing rank's reason, and all
 * fail. */
static void conclude(MPI_Comm comm, bool ok, const char *reason, const char *file, int line)
{
    int rank = 0;
    int size = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int failed[2] = {ok ? 0 : 1, ok ? 0 : size - rank};
    int sum = 0;
    int first = 0;
    MPI_Allreduce(&failed[0], &sum, 1, MPI_INT, MPI_SUM, comm);
    if (sum == 0) {
        return;
    }
    MPI_Allreduce(&failed[1], &first, 1, MPI_INT, MPI_MAX, comm);
    first = size - first;
    char text[REASON_MAX] = "";
    if (rank == first) {
        (void)snprintf(text, sizeof text, "%s", reason);
    }
    MPI_Bcast(text, REASON_MAX, MPI_CHAR, first, comm);
    print_error("failed on %d of %d ranks, first on rank %d: %s\n", sum, size, first, text);
    if (!ok && rank != first) {
        print_error("here: %s\n", reason);
    }
    /* A failure of a part of the ranks leaves the others in the test: they have to be told at its end. */
    int all = 0;
    MPI_Comm_compare(comm, self.comm, &all);
    self.collective = all == MPI_IDENT || all == MPI_CONGRUENT || all == MPI_SIMILAR;
    _fail(file, line);
}

void rls_test_true(MPI_Comm comm, int ok, const char *text, const char *file, int line)
{
    conclude(usable(comm), ok != 0, text, file, line);
}

void rls_test_int_equal(MPI_Comm comm, int64_t a, int64_t b, const char *text, const char *file, int line)
{
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: %" PRId64 " and %" PRId64, text, a, b);
    conclude(usable(comm), a == b, reason, file, line);
}

void rls_test_le(MPI_Comm comm, double value, double bound, const char *text, const char *file, int line)
{
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: %.6g against %.6g", text, value, bound);
    if (self.rank == 0 && getenv("RLS_TEST_VALUES") != NULL) {
        print_message("  %s:%d %s\n", file, line, reason);
    }
    conclude(usable(comm), value <= bound, reason, file, line); /* false for NaN */
}

void rls_test_string_equal(MPI_Comm comm, const char *a, const char *b, const char *text, const char *file,
                           int line)
{
    const bool equal = a != NULL && b != NULL ? strcmp(a, b) == 0 : a == b;
    size_t at = 0; /* where they part */
    while (a != NULL && b != NULL && a[at] != '\0' && a[at] == b[at]) {
        ++at;
    }
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: from character %zu: \"%.200s\" and \"%.200s\"", text, at,
                   a != NULL ? a + at : "(NULL)", b != NULL ? b + at : "(NULL)");
    conclude(usable(comm), equal, reason, file, line);
}

/* Ours when the context spans the program, else the context's own. */
static MPI_Comm comm_of(const rls_context *ctx)
{
    return ctx == NULL || rls_context_size(ctx) == self.size ? self.comm : rls_context_comm(ctx);
}

void rls_test_status(const rls_context *ctx, rls_status status, rls_status expected, const char *text,
                     const char *file, int line)
{
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: \"%s\" instead of \"%s\"; message: %s; from: %s", text,
                   rls_status_text(status), rls_status_text(expected),
                   ctx != NULL ? rls_context_message(ctx) : "(none)",
                   ctx != NULL ? rls_context_origin(ctx) : "(none)");
    conclude(comm_of(ctx), status == expected, reason, file, line);
}

void rls_test_message(const rls_context *ctx, const char *part, const char *file, int line)
{
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason, "message without \"%s\": \"%s\"", part, rls_context_message(ctx));
    conclude(comm_of(ctx), strstr(rls_context_message(ctx), part) != NULL, reason, file, line);
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Copies this rank's log to the real stderr. */
static void show_log(void)
{
    (void)fflush(NULL);
    const int log = self.log[0] != '\0' ? open(self.log, O_RDONLY) : -1;
    if (log < 0) {
        return;
    }
    char buffer[4096];
    int length = snprintf(buffer, sizeof buffer, "--- rank %d of %d: %s\n", self.rank, self.size, self.log);
    ssize_t written = 0;
    while (length > 0 && written >= 0) {
        written = write(self.terminal, buffer, (size_t)length);
        length = (int)read(log, buffer, sizeof buffer);
    }
    (void)close(log);
}

/* Ends all ranks: one has left the test while others are still in it. */
static void abort_all(const char *why)
{
    show_log();
    (void)dprintf(self.terminal, "rank %d of %d: test %s: %s\n", self.rank, self.size, self.entry->test->name,
                  why);
    MPI_Abort(MPI_COMM_WORLD, EXIT_LOCAL_FAILURE);
}

static void on_alarm(int signal)
{
    (void)signal;
    ssize_t ignored = write(self.terminal, self.watchdog, strlen(self.watchdog));
    (void)ignored;
    _exit(EXIT_WATCHDOG);
}

static void watch(const char *test)
{
    (void)snprintf(self.watchdog, sizeof self.watchdog, "rank %d of %d: watchdog: still in test %s\n",
                   self.rank, self.size, test);
}

static int enter(void **state)
{
    const struct entry *entry = *state;
    self.entry = entry;
    self.finished = false;
    self.collective = false;
    *state = entry->state;
    watch(entry->test->name);
    return entry->test->setup_func != NULL ? entry->test->setup_func(state) : 0;
}

static void run(void **state)
{
    /* cmocka turns a crash into a failed test, but the other ranks would wait: let the crash end the program.
     */
    for (int i = 0; i < FATAL_SIGNALS; ++i) {
        (void)sigaction(fatal_signals[i], &self.fatal[i], NULL);
    }
    self.entry->test->test_func(state);
    self.finished = true;
}

/* Meets the other ranks at the end of a test. A rank that failed alone waits a little, then ends the program.
 */
static int leave(void **state)
{
    int failed = self.finished ? 0 : 1;
    if (failed && !self.collective) {
        (void)dprintf(self.terminal, "rank %d of %d: test %s: an assert failed on this rank\n", self.rank,
                      self.size, self.entry->test->name);
    }
    int any = 0;
    MPI_Request request;
    MPI_Iallreduce(&failed, &any, 1, MPI_INT, MPI_MAX, self.comm, &request);
    const double begin = seconds();
    int done = 0;
    while (!done) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (!done && failed && seconds() - begin > (double)self.seconds / 15.0) {
            abort_all("failed here, and other ranks do not come out of it");
        }
        if (!done) {
            (void)usleep(200);
        }
    }
    MPI_Wait(&request, MPI_STATUS_IGNORE); /* done already */
    self.failures += any;
    watch("(none)");
    return self.entry->test->teardown_func != NULL ? self.entry->test->teardown_func(state) : 0;
}

/* Ranks above 0 get a log of their own; sanitizers keep to the terminal, where somebody reads them. */
static void redirect(const char *name)
{
    self.terminal = dup(STDERR_FILENO);
    if (self.rank == 0) {
        return;
    }
    (void)snprintf(self.log, sizeof self.log, "%s.np%d.rank-%d.log", name, self.size, self.rank);
    const int log = open(self.log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0) {
        (void)dprintf(self.terminal, "rank %d: %s: %s\n", self.rank, self.log, strerror(errno));
        MPI_Abort(MPI_COMM_WORLD, EXIT_LOCAL_FAILURE);
    }
    (void)close(log);
#if SANITIZED
    __sanitizer_set_report_fd((void *)(intptr_t)self.terminal); // NOLINT(performance-no-int-to-ptr)
#endif
}

/* MPI loads and unloads plugins as it starts and ends; what these leak is not ours, and has no name to
 * suppress it by. */
static void leaks_are_mpis(bool from_now_on)
{
    (void)from_now_on;
#if SANITIZED
    (from_now_on ? __lsan_disable : __lsan_enable)();
#endif
}

static void check_leaks(void)
{
#if SANITIZED
    __lsan_do_leak_check(); /* the last: none follows when the program ends */
#endif
}

static void start_watchdog(void)
{
    const char *text = getenv("RLS_TEST_SECONDS");
    const long limit = text != NULL ? strtol(text, NULL, 10) : 0;
    self.seconds = limit > 0 ? limit : DEFAULT_SECONDS;
    struct sigaction action = {.sa_handler = on_alarm};
    (void)sigaction(SIGALRM, &action, NULL);
    watch("(none)");
    (void)alarm((unsigned)self.seconds);
}

static int run_all(const struct CMUnitTest *tests, size_t count, const char *name)
{
    struct entry *entries = calloc(count, sizeof *entries);
    struct CMUnitTest *watched = calloc(count, sizeof *watched);
    int failed = 1;
    if (entries != NULL && watched != NULL && count > 0) {
        for (size_t i = 0; i < count; ++i) {
            entries[i] = (struct entry){&tests[i], tests[i].initial_state};
            watched[i] = (struct CMUnitTest){tests[i].name, run, enter, leave, &entries[i]};
        }
        failed = _cmocka_run_group_tests(name, watched, count, NULL, NULL);
    }
    free(watched);
    free(entries);
    return failed != 0 || self.failures != 0 ? 1 : 0;
}

int rls_test_main(int *argc, char ***argv, const struct CMUnitTest *tests, size_t count, const char *name)
{
    int provided = 0;
    leaks_are_mpis(true);
    /* OpenMP threads live between the MPI calls. */
    MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    leaks_are_mpis(false);
    for (int i = 0; i < FATAL_SIGNALS; ++i) {
        (void)sigaction(fatal_signals[i], NULL, &self.fatal[i]);
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &self.comm);
    MPI_Comm_rank(self.comm, &self.rank);
    MPI_Comm_size(self.comm, &self.size);
    redirect(name);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    start_watchdog();
    int failed = run_all(tests, count, name);
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, self.comm);
    if (failed) {
        show_log();
    } else if (self.log[0] != '\0') {
        (void)unlink(self.log);
    }
    MPI_Comm_free(&self.comm);
    check_leaks();
    MPI_Finalize();
    return failed;
}
