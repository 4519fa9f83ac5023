/* ctest: NP 1 */
/* When a checkpoint is due. */
#include "run/checkpoint_policy.h"
#include "support/collective.h"
#include "support/state.h"

static void edits_and_minutes(void **state)
{
    (void)state;
    const struct rls_config_checkpoint p = {.every_edits = 1000, .every_minutes = 30.0};
    assert_all(!rls_checkpoint_due(&p, 999, 1799.0, 0.0));
    assert_all(rls_checkpoint_due(&p, 1000, 0.0, 0.0));
    assert_all(rls_checkpoint_due(&p, 1, 1800.0, 0.0));
    const struct rls_config_checkpoint never = {0};
    assert_all(!rls_checkpoint_due(&never, 1000000, 1e9, 0.0));
}

/* A slow checkpoint waits until editing had all but its share of the time; a fast one, or the first, does
 * not; and no share puts off what every_minutes asks for. */
static void share(void **state)
{
    (void)state;
    const struct rls_config_checkpoint p = {.every_edits = 1000, .every_minutes = 30.0, .max_share = 0.02};
    assert_all(rls_checkpoint_due(&p, 1000, 5.0, 0.0));
    assert_all(rls_checkpoint_due(&p, 1000, 5.0, 1.0));
    assert_all(!rls_checkpoint_due(&p, 1000, 195.0, 4.0));
    assert_all(rls_checkpoint_due(&p, 1000, 196.5, 4.0));
    assert_all(!rls_checkpoint_due(&p, 999, 1000.0, 4.0));
    assert_all(rls_checkpoint_due(&p, 1, 1800.0, 400.0));
    const struct rls_config_checkpoint any = {.every_edits = 1000};
    assert_all(rls_checkpoint_due(&any, 1000, 0.1, 400.0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(edits_and_minutes), context_test(share)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "checkpoint_policy");
}
