/* ctest: NP 1 */
/* Block-cyclic index arithmetic against dealing the indices out one by one. */
#include "grid/layout.h"

#include <stdlib.h>

#include "support/collective.h"

enum { MOST = 48 };

/* One dimension dealt by hand: block b to process b mod procs, each process taking its indices in order. */
typedef struct {
    int owner[MOST];
    int64_t local[MOST];
    int64_t count[8];
} dealt;

static dealt deal(rls_dim d)
{
    dealt x = {0};
    int64_t in_block = 0;
    int proc = 0;
    for (int64_t ig = 0; ig < d.n; ig++) {
        x.owner[ig] = proc;
        x.local[ig] = x.count[proc]++;
        if (++in_block == d.block) {
            in_block = 0;
            proc = (proc + 1) % d.procs;
        }
    }
    return x;
}

static void check(rls_dim d)
{
    const dealt x = deal(d);
    int64_t below[8] = {0};
    for (int64_t ig = 0; ig < d.n; ig++) {
        assert_int_equal(rls_dim_owner(d, ig), x.owner[ig]);
        assert_int_equal(rls_dim_to_local(d, ig), x.local[ig]);
        assert_int_equal(rls_dim_to_global(d, x.owner[ig], x.local[ig]), ig);
        for (int proc = 0; proc < d.procs; proc++)
            assert_int_equal(rls_dim_below(d, proc, ig), below[proc]);
        below[x.owner[ig]]++;
    }
    for (int proc = 0; proc < d.procs; proc++) {
        assert_int_equal(rls_dim_count(d, proc), x.count[proc]);
        assert_int_equal(rls_dim_below(d, proc, d.n), x.count[proc]);
        for (int64_t il = 0; il < x.count[proc]; il++)
            for (int64_t end = il; end <= x.count[proc]; end++) {
                /* A run is as long as local and global indices go together, within the block. */
                int64_t run = 0;
                while (il + run < end && (run == 0 || (il + run) % d.block != 0))
                    run++;
                assert_int_equal(rls_dim_run(d, il, end), run);
                for (int64_t k = 0; k < run; k++)
                    assert_int_equal(rls_dim_to_global(d, proc, il + k), rls_dim_to_global(d, proc, il) + k);
            }
    }
}

static void test_brute_force(void **state)
{
    (void)state;
    for (int procs = 1; procs <= 8; procs++)
        for (int64_t block = 1; block <= 11; block++)
            for (int64_t n = 0; n <= MOST; n++)
                check((rls_dim){n, block, procs});
    check((rls_dim){5, 1000, 3});
    check((rls_dim){5, INT32_MAX, 8});
}

/* Sizes beyond 32 bits: the same laws, at random indices. */
static void test_large(void **state)
{
    (void)state;
    rls_random random = rls_random_seed(1);
    for (int k = 0; k < 20000; k++) {
        const rls_dim d = {((int64_t)1 << 40) + rls_random_below(&random, 1000000),
                           1 + rls_random_below(&random, 300), 1 + (int)rls_random_below(&random, 5000)};
        const int64_t ig = rls_random_below(&random, d.n);
        const int owner = rls_dim_owner(d, ig);
        const int64_t il = rls_dim_to_local(d, ig);
        assert_true(owner >= 0 && owner < d.procs);
        assert_int_equal(owner, ig / d.block % d.procs);
        assert_int_equal(rls_dim_to_global(d, owner, il), ig);
        assert_int_equal(rls_dim_below(d, owner, ig), il);
        assert_true(il < rls_dim_count(d, owner));
    }
    for (int k = 0; k < 50; k++) {
        const rls_dim d = {((int64_t)1 << 40) + k, 1 + rls_random_below(&random, 300), 1 + k};
        const int64_t ig = rls_random_below(&random, d.n);
        int64_t total = 0, below = 0;
        for (int proc = 0; proc < d.procs; proc++) {
            total += rls_dim_count(d, proc);
            below += rls_dim_below(d, proc, ig);
        }
        assert_int_equal(total, d.n);
        assert_int_equal(below, ig);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_brute_force), cmocka_unit_test(test_large)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "layout");
}
