/* The states of all edited layers, from the memory they need to the first batch. */
#ifndef RUN_STATES_H
#define RUN_STATES_H

#include <jansson.h>

#include "editor/drift.h"
#include "run/inputs.h"

typedef struct {
    rls_editor *editor;
    rls_drift *drift;
    double smallest_pivot; /* of A_0's factor */
} rls_state;

typedef struct {
    const rls_inputs *inputs;
    rls_grid *grid;
    rls_workspace *workspace;
    bool proof;   /* the memory for rls_evaluate_proof is counted in */
    int64_t step; /* edits a step, see run/cut.h */
    int count;
    rls_state *state; /* one a layer, in the inputs' order */
} rls_states;

/* Makes the process grid and checks, before anything large is allocated, that the ranks fit the sizes and the
 * memory the states; with `proof`, also what rls_evaluate_proof takes. step: edits a step; fewer, in whole
 * batches, where the memory asks for it. Collective. Returns RLS_ERR_USAGE for a grid that does not fit (says
 * how many ranks would), RLS_ERR_MEMORY when a rank has not enough (says what it needs, and how many ranks
 * would do). */
RLS_NODISCARD rls_status rls_states_prepare(const rls_inputs *inputs, bool proof, int64_t step,
                                            rls_states **out);

/* Bytes that the states and a step take on the fullest rank. Not collective. */
double rls_states_bytes(const rls_states *states);

/* Loads weights and anchors and starts the editors.
 * Collective. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY; RLS_ERR_NUMERIC (with the layer) when an A_0
 * is singular. */
RLS_NODISCARD rls_status rls_states_start(rls_states *states);

/* Makes the editors with W_0 from the model, for rls_states_restore; made already: nothing happens.
 * Collective. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_states_make(rls_states *states);

/* Loads the states from the checkpoint of a step in directory `dir`, with its manifest, whose checksums are
 * compared on the way. Collective. Instead of rls_states_start, after rls_states_make. Returns RLS_ERR_DATA
 * when the checkpoint is damaged: rls_states_make for another one, or rls_states_start, can follow;
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_states_restore(rls_states *states, const char *dir, int64_t step,
                                            const json_t *manifest);

/* Commits a checkpoint of the states in `dir`. manifest: what else it shall say, on rank 0 (consumed); the
 * layers' figures are added. Collective. Returns what rls_checkpoint_write does. */
RLS_NODISCARD rls_status rls_states_save(const rls_states *states, const char *dir, int64_t step,
                                         const char *token, json_t *manifest);

/* Calls take(user, keys, values or NULL) for all anchor keys of a layer in rounds.
 * Collective. Returns what take returns, RLS_ERR_IO, RLS_ERR_MEMORY. */
typedef rls_status rls_anchor_taker(void *user, const rls_vectors *keys, const rls_vectors *values);
RLS_NODISCARD rls_status rls_states_each_anchor(const rls_states *states, int layer, rls_anchor_taker *take,
                                                void *user);

/* Frees everything and sets *states to NULL. Collective. NULL is accepted. */
void rls_states_destroy(rls_states **states);

#endif
