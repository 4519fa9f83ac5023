/*
 * cmocka under MPI. A plain cmocka assert that fails on one rank leaves the others waiting in a collective;
 * the asserts here count failures over the ranks first, then fail on all of them, and rank 0 prints the first
 * failing rank's reason.
 *
 *     static void test_sum(void **state)
 *     {
 *         (void)state;
 *         rls_context *ctx = NULL;
 *         assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
 *         assert_all_le(fabs(sum - expected), 1e-12);
 *         rls_context_destroy(&ctx);
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(test_sum)};
 *         return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "sum");
 *     }
 *
 * Every assert_all* is collective over all ranks of the program, or with _on over the ranks of a
 * communicator: all of them must come to it. A plain assert is for what is equal on all ranks; when it fails
 * on some only, the program aborts. Ranks above 0 write to <name>.np<size>.rank-<r>.log in the working
 * directory; rank 0 shows them when a test failed.
 */
#ifndef SUPPORT_COLLECTIVE_H
#define SUPPORT_COLLECTIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mpi.h>

#include "rlsedit/context.h"
#include "support/files.h"
#include "support/random.h"

/* A test that does not run must not look as if it passed. */
#undef skip
#define skip(...) _Static_assert(0, "tests are not skipped: do not register what cannot run")

#define RLS_TEST_COUNT(tests) (sizeof(tests) / sizeof(tests)[0])

/* cond holds on every rank. */
#define assert_all(cond) assert_all_on(MPI_COMM_WORLD, cond)
#define assert_all_on(comm, cond) rls_test_true(comm, (cond) ? 1 : 0, #cond, __FILE__, __LINE__)

/* Two integers are equal on every rank. */
#define assert_all_int_equal(a, b) assert_all_int_equal_on(MPI_COMM_WORLD, a, b)
#define assert_all_int_equal_on(comm, a, b)                                                                  \
    rls_test_int_equal(comm, (int64_t)(a), (int64_t)(b), #a " == " #b, __FILE__, __LINE__)

/* value <= bound on every rank, both double; NaN is not. Prints both. */
#define assert_all_le(value, bound) assert_all_le_on(MPI_COMM_WORLD, value, bound)
#define assert_all_le_on(comm, value, bound)                                                                 \
    rls_test_le(comm, (double)(value), (double)(bound), #value " <= " #bound, __FILE__, __LINE__)

/* Two strings are equal on every rank; NULL equals NULL only. */
#define assert_all_string_equal(a, b) assert_all_string_equal_on(MPI_COMM_WORLD, a, b)
#define assert_all_string_equal_on(comm, a, b)                                                               \
    rls_test_string_equal(comm, a, b, #a " == " #b, __FILE__, __LINE__)

/* The status is RLS_OK, or the expected one, on every rank of ctx (of the program when ctx is NULL).
 * Otherwise prints the context's message. The status is evaluated before ctx. */
#define assert_all_ok(ctx, status) assert_all_status(ctx, status, RLS_OK)
#define assert_all_status(ctx, status, expected)                                                             \
    do {                                                                                                     \
        const rls_status rls_test_status_ = (status);                                                        \
        rls_test_status(ctx, rls_test_status_, expected, #status, __FILE__, __LINE__);                       \
    } while (0)

/* The context's message contains the text on every rank. */
#define assert_all_message(ctx, text) rls_test_message(ctx, text, __FILE__, __LINE__)

/* Runs the tests on all ranks between MPI_Init and MPI_Finalize. Returns the exit code of main: the ranks'
 * largest. argc, argv: main's; its arguments are left to the tests. name: of the program, for its logs.
 * RLS_TEST_SECONDS (environment) is when the watchdog ends a hanging program. */
int rls_test_main(int *argc, char ***argv, const struct CMUnitTest *tests, size_t count, const char *name);

/* Behind the macros. */
void rls_test_true(MPI_Comm comm, int ok, const char *text, const char *file, int line);
void rls_test_int_equal(MPI_Comm comm, int64_t a, int64_t b, const char *text, const char *file, int line);
void rls_test_le(MPI_Comm comm, double value, double bound, const char *text, const char *file, int line);
void rls_test_string_equal(MPI_Comm comm, const char *a, const char *b, const char *text, const char *file,
                           int line);
void rls_test_status(const rls_context *ctx, rls_status status, rls_status expected, const char *text,
                     const char *file, int line);
void rls_test_message(const rls_context *ctx, const char *part, const char *file, int line);

#endif
