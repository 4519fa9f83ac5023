/*
 * How a stream is cut into steps. The result does not depend on it, so a recorded stream is cut into what the
 * machine likes best: a step takes several of the user's batches at once, and the journal gets one segment a
 * step. Facts, whose keys depend on the weights, are stepped batch by batch.
 */
#ifndef RUN_CUT_H
#define RUN_CUT_H

#include "run/inputs.h"

/* Edits a step, a multiple of the config's batch and at least that: state.step rounded down; for 0, about
 * 1/32 of the smallest edited layer's n (where a step no longer waits for memory, and its extra u^2 n flops
 * are few) and at most 512, and such that checkpoints still fall on multiples of checkpoint.every_edits where
 * a batch does. Facts: a batch. Not collective; equal on all ranks. */
int64_t rls_cut_step(const rls_inputs *inputs);

/* A step of at most `step` edits in whole batches of the config, at least one. Not collective. */
int64_t rls_cut_whole_batches(const rls_inputs *inputs, int64_t step);

/* Edits of the step that begins at edit `position`: up to the next multiple of `step`, counted from edit 0,
 * so that whoever goes on from there cuts alike; a step of one batch is a batch from wherever it begins. 0 at
 * the end. Not collective. */
int64_t rls_cut_next(const rls_inputs *inputs, int64_t step, int64_t position);

#endif
