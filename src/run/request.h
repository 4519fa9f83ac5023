/* What the user asks of an editing run. */
#ifndef RUN_REQUEST_H
#define RUN_REQUEST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    const char *config; /* the config's path; may be NULL when resuming */
    const char *const *sets;
    size_t nsets;
    const char *model;  /* the Hugging Face directory to edit a copy of; NULL when resuming: the run's */
    const char *stream; /* recorded edits: a file, or a directory of segments; NULL: facts, or when resuming
                           the run's */
    const char *facts;  /* what to edit, corpus/facts.h; NULL: a stream, or when resuming the run's */
    bool skip_bad_facts;
    int64_t limit;        /* of facts; 0: all */
    const char *hparams;  /* a file of the field's hyperparameters, over the config's; NULL: none */
    int tensor_ranks;     /* of the language model; 0: as few as hold it */
    int64_t token_budget; /* of its passes; 0: the default */
    const char *run;      /* the run directory */
    const char *resume; /* NULL or "never": a new run; "auto": resume when there is something to resume; or a
                           step: "1200" */
    const char *walltime; /* HH:MM:SS of this allocation; NULL: Slurm's, or none */
    const volatile sig_atomic_t
        *stop_signal; /* becomes a signal's number when the run shall stop; may be NULL */
    bool verify;      /* add the proof of optimality to the summary */
    FILE *progress;   /* where rank 0 shows progress and the profile; NULL: nowhere */
} rls_edit_request;

#endif
