/* Shares: they cover everything once, key-value heads follow their query heads; groups and their failures. */
#include "llm/partition.h"
#include "support/collective.h"
#include "support/state.h"

static const rls_architecture UNEVEN = {.heads = 6, .kv_heads = 2, .inner = 11, .vocab = 17};

static void test_shares(void **state)
{
    static const int64_t sizes[] = {0, 1, 5, 6, 7, 64, 1000, 152064, INT64_C(1) << 40};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int T = 1; T <= 70; T++) {
            int64_t next = 0;
            for (int t = 0; t < T; t++) {
                const rls_share share = rls_share_of(sizes[i], t, T);
                assert_true(share.first == next && share.count >= 0);
                assert_true(share.first == sizes[i] * t / T);
                assert_true(share.count >= sizes[i] / T && share.count <= sizes[i] / T + 1);
                next = share.first + share.count;
            }
            assert_true(next == sizes[i]);
        }
    }
}

/* Every query head's key-value head is on its rank, and no other is. */
static void test_kv_heads(void **state)
{
    static const struct {
        int64_t heads, kv_heads;
    } cases[] = {{1, 1}, {6, 2}, {6, 6}, {8, 1}, {12, 4}, {64, 8}, {28, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const rls_architecture arch = {
            .heads = cases[i].heads, .kv_heads = cases[i].kv_heads, .inner = 10, .vocab = 3};
        const int64_t each = arch.heads / arch.kv_heads;
        for (int T = 1; T <= 80; T++) {
            for (int t = 0; t < T; t++) {
                const rls_shares s = rls_shares_of(&arch, t, T);
                int64_t first = arch.kv_heads, last = -1;
                for (int64_t h = s.heads.first; h < s.heads.first + s.heads.count; h++) {
                    first = h / each < first ? h / each : first;
                    last = h / each > last ? h / each : last;
                }
                assert_true(s.kv_heads.count == (s.heads.count == 0 ? 0 : last - first + 1));
                assert_true(s.heads.count == 0 || s.kv_heads.first == first);
                assert_true(s.kv_heads.first >= 0 && s.kv_heads.first + s.kv_heads.count <= arch.kv_heads);
            }
        }
    }
}

static void test_groups(void **state)
{
    rls_context *ctx = *state;
    for (int T = 1; T <= ctx->size; T++) {
        rls_partition part;
        if (ctx->size % T != 0) {
            assert_all_status(ctx, rls_partition_init(ctx, &UNEVEN, T, &part), RLS_ERR_USAGE);
            assert_all_message(ctx, "do not divide");
            continue;
        }
        assert_all_ok(ctx, rls_partition_init(ctx, &UNEVEN, T, &part));
        assert_all(part.group->size == T && part.group->rank == part.tensor);
        assert_all(part.data * T + part.tensor == ctx->rank && part.data_groups * T == ctx->size);
        int64_t sums[3] = {part.heads.count, part.inner.count, part.vocab.count};
        MPI_Allreduce(MPI_IN_PLACE, sums, 3, MPI_INT64_T, MPI_SUM, part.group->comm);
        assert_all(sums[0] == 6 && sums[1] == 11 && sums[2] == 17);
        rls_partition_free(&part);
        assert_all(part.group == NULL);
    }
    rls_partition none;
    assert_all_status(ctx, rls_partition_init(ctx, &UNEVEN, 0, &none), RLS_ERR_USAGE);
    assert_all_status(ctx, rls_partition_init(ctx, &UNEVEN, ctx->size + 1, &none), RLS_ERR_USAGE);
}

/* A failure of one group, found on its context, reaches all ranks with its message; then work goes on. */
static void test_failure(void **state)
{
    rls_context *ctx = *state;
    for (int T = 1; T <= ctx->size; T++) {
        rls_partition part;
        if (ctx->size % T != 0)
            continue;
        assert_all_ok(ctx, rls_partition_init(ctx, &UNEVEN, T, &part));
        for (int bad = 0; bad < part.data_groups; bad++) {
            rls_status local = RLS_OK;
            if (part.data == bad && part.tensor == T - 1) /* one rank of one group */
                local = rls_fail(part.group, RLS_ERR_DATA, "group %d came to grief", bad);
            if (part.data == bad)
                local = rls_agree(part.group, local);
            char text[64];
            (void)snprintf(text, sizeof text, "group %d came to grief", bad);
            assert_all_status(ctx, rls_partition_agree(&part, local), RLS_ERR_DATA);
            assert_all_message(ctx, text);
            assert_all_ok(ctx, rls_partition_agree(&part, RLS_OK));
        }
        rls_partition_free(&part);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_kv_heads),
        context_test(test_groups),
        context_test(test_failure),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "partition");
}
