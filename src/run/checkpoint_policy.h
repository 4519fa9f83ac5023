/* When a run writes a checkpoint. */
#ifndef RUN_CHECKPOINT_POLICY_H
#define RUN_CHECKPOINT_POLICY_H

#include <stdbool.h>

#include "base/config.h"

/* Whether a checkpoint is due: `edits` and `seconds` after the last one (or the start), which took
 * save_seconds (0: not known).
 * Not collective. every_minutes bounds what a resumed run has to replay and is kept whatever it costs.
 * every_edits gives way to max_share when a checkpoint takes over a second: then it waits until all but that
 * share of the time since the last one went to editing, seconds >= save_seconds (1 / max_share - 1). Nothing
 * is at risk meanwhile: every batch is in the journal. */
bool rls_checkpoint_due(const struct rls_config_checkpoint *policy, int64_t edits, double seconds,
                        double save_seconds);

#endif
