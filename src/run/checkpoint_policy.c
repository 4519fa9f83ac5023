#include "run/checkpoint_policy.h"

bool rls_checkpoint_due(const struct rls_config_checkpoint *policy, int64_t edits, double seconds,
                        double save_seconds)
{
    if (policy->every_minutes > 0.0 && seconds >= 60.0 * policy->every_minutes)
        return true;
    if (policy->every_edits <= 0 || edits < policy->every_edits)
        return false;
    if (policy->max_share <= 0.0 || save_seconds <= 1.0)
        return true;
    return seconds * policy->max_share >= save_seconds * (1.0 - policy->max_share);
}
