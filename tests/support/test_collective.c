/* The harness itself: what holds passes; the failures below are started by tests/support/harness.sh. */
#include "support/collective.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int world_rank(void)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static void test_good(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    assert_all_ok(ctx, rls_context_create(MPI_COMM_WORLD, &ctx));
    assert_all(world_rank() >= 0);
    assert_all_int_equal(INT64_MAX, INT64_MAX);
    assert_all_le(1.0, 1.0);
    assert_all_string_equal("a", "a");
    assert_all_message(ctx, "");
    rls_context_destroy(&ctx);
    assert_all(ctx == NULL);
}

static void test_files(void **state)
{
    (void)state;
    char dir[RLS_TEST_PATH_MAX];
    char file[RLS_TEST_PATH_MAX + 8];
    rls_test_tmpdir(dir);
    (void)snprintf(file, sizeof file, "%s/file", dir);
    rls_test_write(file, "bytes", 5);
    size_t bytes = 0;
    char *data = rls_test_read(file, &bytes);
    assert_all(bytes == 5 && strcmp(data, "bytes") == 0);
    free(data);
    assert_all(rls_test_exists(file));
    rls_test_rmtree(dir);
    assert_all(!rls_test_exists(dir));
}

static void test_random(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    rls_random random = rls_random_seed(1);
    double sum = 0.0;
    double squares = 0.0;
    double at = 0.0;
    for (int i = 0; i < COUNT; ++i) {
        const double x = rls_random_normal(&random);
        sum += x;
        squares += x * x;
        at += rls_random_normal_at(2, i, i % 7) * x;
    }
    /* Five standard deviations of each mean. */
    assert_all_le(fabs(sum) / COUNT, 5.0 / sqrt(COUNT));
    assert_all_le(fabs(squares / COUNT - 1.0), 5.0 * sqrt(2.0 / COUNT));
    assert_all_le(fabs(at) / COUNT, 5.0 / sqrt(COUNT));
    assert_all(rls_random_normal_at(3, 4, 5) == rls_random_normal_at(3, 4, 5));
    assert_all(rls_random_normal_at(3, 4, 5) != rls_random_normal_at(3, 5, 4));
}

static void test_true(void **state)
{
    (void)state;
    assert_all(world_rank() != 1);
}

static void test_int(void **state)
{
    (void)state;
    assert_all_int_equal(world_rank(), 0);
}

static void test_nan(void **state)
{
    (void)state;
    assert_all_le(world_rank() == 1 ? NAN : 0.0, 1.0);
}

static void test_status(void **state)
{
    (void)state;
    assert_all_ok(NULL, world_rank() == 1 ? RLS_ERR_DATA : RLS_OK);
}

static void test_local(void **state)
{
    (void)state;
    if (world_rank() == 1) {
        assert_true(0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void test_crash(void **state)
{
    (void)state;
    if (world_rank() == 1) {
        (void)raise(SIGSEGV);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void test_hang(void **state)
{
    (void)state;
    if (world_rank() == 1) {
        MPI_Barrier(MPI_COMM_WORLD);
    }
}

static void test_leak(void **state)
{
    (void)state;
    void *volatile lost = malloc(12345); // NOLINT(clang-analyzer-deadcode.DeadStores)
    lost = NULL;
    assert_all(lost == NULL); // NOLINT(clang-analyzer-unix.Malloc)
}

int main(int argc, char **argv)
{
    const struct CMUnitTest good[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_files),
                                      cmocka_unit_test(test_random)};
    const struct CMUnitTest bad[] = {cmocka_unit_test(test_true),  cmocka_unit_test(test_int),
                                     cmocka_unit_test(test_nan),   cmocka_unit_test(test_status),
                                     cmocka_unit_test(test_local), cmocka_unit_test(test_crash),
                                     cmocka_unit_test(test_hang),  cmocka_unit_test(test_leak)};
    if (argc < 2) {
        return rls_test_main(&argc, &argv, good, RLS_TEST_COUNT(good), "collective");
    }
    for (size_t i = 0; i < RLS_TEST_COUNT(bad); ++i) {
        if (strcmp(bad[i].name + strlen("test_"), argv[1]) == 0) {
            return rls_test_main(&argc, &argv, &bad[i], 1, "collective-bad");
        }
    }
    (void)fprintf(stderr, "no such failure: %s\n", argv[1]);
    return 2;
}
