/* What a run must come to, batch by batch, from the dense closed form. */
#ifndef SUPPORT_EDIT_TRUTH_H
#define SUPPORT_EDIT_TRUTH_H

#include "rlsedit/editor.h"
#include "support/dense.h"

/* After a batch. */
typedef struct {
    int64_t edits;                              /* so far */
    double innovation_before, innovation_after; /* ||V - W K|| of the batch, with W before and after it */
    double delta_norm, delta_bound, objective;  /* ||D||, sqrt(E_t) / (2 lambda), J_t(W_t) */
} edit_truth_batch;

typedef struct {
    int64_t batches;
    edit_truth_batch *batch;
    double *delta;                        /* D^T [n, m] after all edits */
    double weight_norm, fit_error, trace; /* ||W_t||, fit error, trace of C, after all edits */
} edit_truth;

/* Works it out. p's values are targets, or residuals: V = W K + value with W as it is before the batch. Not
 * collective. */
void edit_truth_make(const dense_problem *p, rls_value_kind kind, int64_t batch, edit_truth *out);
void edit_truth_free(edit_truth *truth);

#endif
