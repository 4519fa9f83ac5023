/*
 * The search for the values of a batch of facts: for each the hidden state z that, at the subject's last
 * token behind block `block`, makes the model answer the target.
 *
 * z = h_0 + delta, delta found by Adam from 0 (Meng et al. 2023; Fang et al. 2025):
 *
 *     loss = mean over contexts of the mean NLL of the target's tokens
 *          + kl_factor KL(p || p_0) of what follows the subject in "{subject} is a"
 *          + weight_decay ||delta|| / ||h_0||^2
 *
 * with delta added in every context and in the essence prompt, ||delta|| kept below clamp_norm_factor
 * ||h_0||, h_0 the state in the empty context. A fact is done when its loss is below stop_loss or after
 * `steps` losses. All facts of a chunk advance together; the blocks below are computed once, and done facts
 * leave.
 */
#ifndef LIVE_VALUE_SEARCH_H
#define LIVE_VALUE_SEARCH_H

#include "base/config.h"
#include "live/edit_tokens.h"
#include "llm/pass.h"

/* How the search for one fact ended. */
typedef struct {
    double loss, nll; /* at the z returned */
    int64_t steps;    /* losses computed */
} rls_value_report;

/* Is told how far a search is: a share of its facts, and in words. Nothing may fail in it. */
typedef struct {
    void (*show)(void *user, double share, const char *what); /* NULL: nobody listens */
    void *user;
} rls_value_watch;

/* z [hidden, count] of `count` facts whose tokens are given, in chunks of at most the token budget.
 * Collective over the group of llm; reports on its context. reports [count]. watch: may be NULL. Returns RLS_ERR_USAGE when one
 * fact's sequences are more than the budget (says what it takes), RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_value_search(rls_llm *llm, const struct rls_config_value *options, int64_t block,
                                          int64_t count, const rls_edit_tokens *facts, float *z,
                                          rls_value_report *reports, const rls_value_watch *watch);

#endif
