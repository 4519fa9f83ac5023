/* The profiler: what adds up, and the table over all ranks. */
#include "base/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "support/collective.h"
#include "support/state.h"

static void test_adds_up(void **state)
{
    rls_context *ctx = *state;
    const double start = rls_profile_start();
    assert_true(rls_profile_seconds(ctx, "load") == 0.0);
    const double first = rls_profile_add(ctx, "load", start - 2.0, 10.0, 100.0);
    const double other = rls_profile_add(ctx, "save", start - 5.0, 0.0, 0.0);
    const double second = rls_profile_add(ctx, "load", start - 3.0, 20.0, 300.0);
    assert_all_le(fabs(first - 2.0), 1.0); /* a second of slack on a busy machine */
    assert_all_le(fabs(second - 3.0), 1.0);
    assert_all_le(fabs(other - 5.0), 1.0);
    assert_all(rls_profile_seconds(ctx, "load") == first + second);
    assert_all(rls_profile_seconds(ctx, "save") == other);
    assert_all(rls_profile_seconds(ctx, "never") == 0.0);
    assert_all_int_equal(ctx->profile.count, 2);
    assert_all_int_equal(ctx->profile.stage[0].calls, 2);
    assert_all(ctx->profile.stage[0].flops == 30.0 && ctx->profile.stage[0].bytes == 400.0);
}

/* The printed table on rank 0, "" on others; free it. */
static char *table(rls_context *ctx)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    const rls_status status = rls_profile_print(ctx, rls_context_rank(ctx) == 0 ? out : NULL);
    (void)fclose(out);
    assert_int_equal(status, RLS_OK);
    return text;
}

typedef struct {
    long calls;
    double seconds, ratio, gflops, gbytes, rate; /* -1 for "-" */
} line;

/* Reads the line of a stage (no spaces in its name); false when there is none. */
static bool find_line(const char *text, const char *name, line *l)
{
    const char *at = strstr(text, name);
    char field[4][16];
    if (at == NULL || sscanf(at + strlen(name), "%ld %lf %15s %15s %15s %15s", &l->calls, &l->seconds,
                             field[0], field[1], field[2], field[3]) != 6)
        return false;
    double *value[4] = {&l->ratio, &l->gflops, &l->gbytes, &l->rate};
    for (int i = 0; i < 4; i++)
        *value[i] = strcmp(field[i], "-") == 0 ? -1.0 : strtod(field[i], NULL);
    return true;
}

/* Ranks take different times in a different order, and one misses a stage: lines are rank 0's, summed right.
 */
static void test_table(void **state)
{
    rls_context *ctx = *state;
    const int rank = rls_context_rank(ctx), size = rls_context_size(ctx);
    const double now = rls_profile_start();
    if (rank % 2 == 1)
        (void)rls_profile_add(ctx, "only_odd", now - 1.0, 0.0, 0.0);
    if (rank % 2 == 1)
        (void)rls_profile_add(ctx, "idle", now - 4.0, 0.0, 0.0);
    (void)rls_profile_add(ctx, "multiply", now - 100.0 * (rank + 1), 1e12, 2e12);
    if (rank == 0)
        (void)rls_profile_add(ctx, "rank_0", now - 7.0, 0.0, 0.0);
    if (rank % 2 == 0)
        (void)rls_profile_add(ctx, "idle", now - 4.0, 0.0, 0.0);
    char *text = table(ctx);
    if (rank == 0) {
        line l = {0};
        assert_true(find_line(text, "multiply", &l));
        assert_int_equal(l.calls, 1);
        assert_true(fabs(l.seconds - 100.0 * size) < 2.0);
        assert_true(fabs(l.ratio - size) < 0.1 * size);
        assert_true(fabs(l.gflops - 1e3 * size / (100.0 * size)) < 0.5); /* all work by the slowest's time */
        assert_true(fabs(l.gbytes - 2e3 * size) < 0.01);
        assert_true(fabs(l.rate - 2e3 * size / (100.0 * size)) < 1.0);
        assert_true(find_line(text, "idle", &l));
        assert_true(fabs(l.seconds - 4.0) < 2.0 && l.gflops < 0.0 && l.gbytes < 0.0 && l.rate < 0.0);
        assert_true(find_line(text, "rank_0", &l));
        assert_true(fabs(l.seconds - 7.0) < 2.0);
        assert_true(size == 1 ? l.ratio > 0.0 : l.ratio < 0.0); /* no ratio to a rank that took no time */
        assert_false(find_line(text, "only_odd", &l));
        int lines = 0;
        for (const char *at = text; *at != '\0'; at++)
            lines += *at == '\n';
        assert_int_equal(lines, 4); /* with the heading */
    } else {
        assert_string_equal(text, "");
    }
    free(text);
}

/* More stages than lines: the last one takes what is over, and nothing is lost or overwritten. */
static void test_full(void **state)
{
    rls_context *ctx = *state;
    enum { NAMES = RLS_PROFILE_MAX + 12 };
    static char name[NAMES][24];
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(name[i], sizeof name[i], "stage-%d", i);
        (void)rls_profile_add(ctx, name[i], rls_profile_start(), 1.0, 0.0);
    }
    assert_all_int_equal(ctx->profile.count, RLS_PROFILE_MAX);
    long calls = 0;
    for (int i = 0; i < RLS_PROFILE_MAX; i++)
        calls += ctx->profile.stage[i].calls;
    assert_all_int_equal(calls, NAMES);
    assert_all_int_equal(ctx->profile.stage[RLS_PROFILE_MAX - 1].calls, NAMES - RLS_PROFILE_MAX + 1);
    free(table(ctx));
}

static void test_empty(void **state)
{
    rls_context *ctx = *state;
    char *text = table(ctx);
    assert_all(rls_context_rank(ctx) != 0 || strstr(text, "stage") == text);
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_adds_up), context_test(test_table),
                                       context_test(test_full), context_test(test_empty)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "profile");
}
