/* A run under way: all that is open, from its beginning (new or resumed) to its end. */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "base/progress.h"
#include "base/stop.h"
#include "run/batch_line.h"
#include "run/live_setup.h"
#include "run/request.h"
#include "run/source.h"
#include "store/journal.h"
#include "store/run_dir.h"

typedef struct {
    rls_context *ctx;
    const rls_edit_request *request;
    rls_config *config;
    rls_input_paths paths; /* absolute */
    rls_live_setup live;   /* when facts are edited */
    json_t *identity;      /* of run.json: paths and fingerprint */
    json_t *model_files;   /* digests of the exported model */
    rls_inputs *inputs;
    rls_states *states;
    rls_source *source;
    rls_run_dir *dir;
    char *journal_path, *checkpoints_path;
    rls_journal *journal;
    rls_stop stop;
    rls_progress progress;
    rls_run_totals totals;
    rls_layer_report *reports; /* of the step, one a layer */
    void *part_reports;        /* what theirs of its batches lie in */
    int64_t parts_room;        /* batches that they have room for */
    double step_started;       /* MPI_Wtime() */
    int64_t logged;            /* lines in log.jsonl */
    bool resumed, finished;    /* finished: there is nothing left to do */
    /* checkpoints */
    int64_t saved_step;       /* of the newest one; -1: none */
    double saved_at;          /* MPI_Wtime() of it */
    double save_seconds;      /* the longest so far */
    double last_save_seconds; /* 0: none yet */
    double longest_step;      /* seconds */
} rls_run;

/* Closes everything. Collective. */
void rls_run_end(rls_run *run);

/* The next step from `source`: `count` edits in batches of `each`, every layer's step, its figures in
 * run->reports. Not in the journal yet. Collective. */
RLS_NODISCARD rls_status rls_run_step(rls_run *run, rls_source *source, int64_t count, int64_t each);

/* Commits the edits of the last step to the journal. Collective. */
RLS_NODISCARD rls_status rls_run_commit(rls_run *run);

/* Counts the batches of the last step as done and logs those that the log has not yet. Rank-local status:
 * pass it to the next agreement. Called by all ranks. */
RLS_NODISCARD rls_status rls_run_count(rls_run *run, int64_t count, int64_t each);

/* Commits a checkpoint of the states as they are, and prunes old ones. Collective. */
RLS_NODISCARD rls_status rls_run_save(rls_run *run);

#endif
