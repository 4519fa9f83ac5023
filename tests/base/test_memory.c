/* Checked allocation, and what it knows of the machine. */
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/collective.h"
#include "support/state.h"

#if defined(__SANITIZE_ADDRESS__)
/* Asking for too much is what is tested here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
#endif

static const double GIB = 1073741824.0;

static void test_alloc(void **state)
{
    rls_context *ctx = *state;
    const int64_t counts[] = {1, 7, 64, 1000003, 3000001}; /* the last one on large pages */
    for (int i = 0; i < 5; i++) {
        void *data = NULL;
        assert_int_equal(rls_alloc(ctx, counts[i], 8, &data), RLS_OK);
        assert_int_equal((uintptr_t)data % 64, 0);
        memset(data, 0xff, (size_t)counts[i] * 8);
        free(data);
        assert_int_equal(rls_alloc_zero(ctx, counts[i], 3, &data), RLS_OK);
        assert_int_equal((uintptr_t)data % 64, 0);
        for (int64_t k = 0; k < 3 * counts[i]; k++)
            assert_true(((char *)data)[k] == 0);
        free(data);
    }
    void *nothing = &nothing;
    assert_int_equal(rls_alloc(ctx, 0, 8, &nothing), RLS_OK);
    assert_null(nothing);
    assert_int_equal(rls_alloc_zero(ctx, 0, 8, &nothing), RLS_OK);
    assert_null(nothing);
}

static void test_impossible(void **state)
{
    rls_context *ctx = *state;
    const struct {
        int64_t count;
        size_t size;
        const char *message;
    } cases[] = {{-1, 8, "-1 elements of 8 bytes"},
                 {INT64_MAX, 8, "elements of 8 bytes is impossible"},
                 {(int64_t)1 << 61, 8, "elements of 8 bytes is impossible"}, /* wraps to 0 */
                 {((int64_t)1 << 61) + 1, 8, "elements of 8 bytes is impossible"},
                 {(int64_t)1 << 50, 8, "no memory for 8.0 PiB more on a rank"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int zero = 0; zero < 2; zero++) {
            void *data = &data;
            const rls_status status = zero ? rls_alloc_zero(ctx, cases[i].count, cases[i].size, &data)
                                           : rls_alloc(ctx, cases[i].count, cases[i].size, &data);
            assert_null(data);
            assert_all_status(ctx, rls_agree(ctx, status), RLS_ERR_MEMORY);
            assert_all_message(ctx, cases[i].message);
        }
}

static void test_strings(void **state)
{
    rls_context *ctx = *state;
    char *text = NULL;
    assert_int_equal(rls_strdup(ctx, "", &text), RLS_OK);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(rls_strdup(ctx, "layers", &text), RLS_OK);
    assert_string_equal(text, "layers");
    free(text);
    char longer[5000];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(rls_asprintf(ctx, &text, "%s-%d", longer, 17), RLS_OK);
    assert_int_equal(strlen(text), sizeof longer - 1 + 3);
    assert_string_equal(text + sizeof longer - 1, "-17");
    free(text);
}

static double total_memory(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

static void test_available(void **state)
{
    rls_context *ctx = *state;
    double bytes = 0.0, least = 0.0, most = 0.0;
    assert_all_ok(ctx, rls_memory_available(ctx, &bytes));
    assert_all(bytes > 0.0);
    assert_all_le(bytes, total_memory() / rls_context_size(ctx)); /* the test's ranks share one node */
    MPI_Allreduce(&bytes, &least, 1, MPI_DOUBLE, MPI_MIN, rls_context_comm(ctx));
    MPI_Allreduce(&bytes, &most, 1, MPI_DOUBLE, MPI_MAX, rls_context_comm(ctx));
    assert_all(least == most);
}

/* This process's address space in bytes. */
static double address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* A limit on the address space of one rank bounds all: their parts are equal. */
static void test_limited(void **state)
{
    rls_context *ctx = *state;
    struct rlimit before, limit;
    double bytes = 0.0;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    if (rls_context_rank(ctx) == rls_context_size(ctx) - 1) {
        limit.rlim_cur = (rlim_t)(address_space() + 0.25 * GIB);
        assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    }
    const rls_status status = rls_memory_available(ctx, &bytes);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_all_ok(ctx, status);
    assert_all_le(bytes, 0.26 * GIB);
}

static void test_peak(void **state)
{
    rls_context *ctx = *state;
    const int64_t size = (int64_t)64 << 20;
    void *data = NULL;
    assert_all_ok(ctx, rls_agree(ctx, rls_alloc(ctx, size, 1, &data)));
    memset(data, 1, (size_t)size);
    const double peak = rls_memory_peak();
    assert_all(((volatile char *)data)[size / 2] == 1);
    free(data);
    assert_all_le((double)size, peak);
    assert_all_le(peak, total_memory());
    assert_all_le(peak, rls_memory_peak()); /* a peak stays */
}

static void test_bytes_text(void **state)
{
    (void)state;
    const struct {
        double bytes;
        const char *text;
    } cases[] = {{0.0, "0 bytes"},         {1023.0, "1023 bytes"},    {1024.0, "1.0 KiB"},
                 {1.5 * GIB, "1.5 GiB"},   {GIB * 1024.0, "1.0 TiB"}, {GIB * GIB / 1024.0, "1.0 PiB"},
                 {GIB * GIB, "1024.0 PiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        assert_string_equal(rls_bytes_text(cases[i].bytes, text), cases[i].text);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_alloc),          context_test(test_impossible), context_test(test_strings),
        context_test(test_available),      context_test(test_limited),    context_test(test_peak),
        cmocka_unit_test(test_bytes_text),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "memory");
}
