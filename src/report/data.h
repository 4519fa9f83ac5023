/* What a report of a run is made from: the log as a table, and the small files of the run directory. Rank 0
 * reads them; no function is collective. */
#ifndef REPORT_DATA_H
#define REPORT_DATA_H

#include <stdbool.h>

#include <jansson.h>

#include "base/context.h"

/* What the log says of a batch. Seconds are of the batch; RLS_REPORT_CLOCK is when it was logged, from the
 * beginning of the process that ran it. The last ones are of live runs only. */
typedef enum {
    RLS_REPORT_EDITS,       /* so far */
    RLS_REPORT_BATCH_EDITS, /* of the batch */
    RLS_REPORT_CLOCK,
    RLS_REPORT_READ, /* summed over layers, without search and keys */
    RLS_REPORT_STEP,
    RLS_REPORT_DRIFT,
    RLS_REPORT_SEARCH,
    RLS_REPORT_KEYS,
    RLS_REPORT_LOSS,
    RLS_REPORT_NLL,
    RLS_REPORT_LEARNT, /* share of the batch's edits, 0 ... 1 */
    RLS_REPORT_BATCH_COLUMNS
} rls_report_batch_column;

/* What it says of a layer in a batch. */
typedef enum {
    RLS_REPORT_BEFORE, /* innovation_before */
    RLS_REPORT_AFTER,
    RLS_REPORT_DELTA,
    RLS_REPORT_BOUND,
    RLS_REPORT_OBJECTIVE,
    RLS_REPORT_TRACE,
    RLS_REPORT_PIVOT,
    RLS_REPORT_LAYER_COLUMNS
} rls_report_layer_column;

typedef struct {
    int64_t rows, capacity; /* batches that have a line; what a line lacks is NAN */
    int64_t layers;
    int64_t *layer;        /* [layers]: their numbers */
    double *batch;         /* [rows][RLS_REPORT_BATCH_COLUMNS] */
    double *figure;        /* [rows][layers][RLS_REPORT_LAYER_COLUMNS] */
    int64_t last;          /* number of the last batch */
    int64_t damaged, lost; /* lines that are not sound; batches that have no figures: their lines were */
} rls_report_log;

typedef struct {
    json_t *about;    /* rls_inspect's; not owned */
    json_t *summary;  /* borrowed from it; NULL: the run is not finished */
    json_t *eval;     /* eval.json; NULL: there is none that is sound */
    json_t *problems; /* [{path, problem}]: of files that rls_inspect does not know */
    json_t *identity; /* run.json; NULL: damaged */
    char *config;     /* config.yaml as UTF-8; NULL */
    double lambda;    /* of it; NAN */
    double stop_loss; /* of it; NAN */
    bool unanchored;  /* it names neither second moments nor keys to keep */
    rls_report_log log;
} rls_report_data;

/* Reads what there is of the run at path. What is missing stays empty, what is damaged becomes a problem.
 * about: the run's description (rls_inspect), which must outlive *out. Returns RLS_ERR_MEMORY. Free
 * with rls_report_data_free, after a failure too. */
RLS_NODISCARD rls_status rls_report_read(rls_context *ctx, const char *path, json_t *about,
                                         rls_report_data *out);
void rls_report_data_free(rls_report_data *data);

/* Reads a log: its sound lines in their order. What follows the last newline is left out. Returns
 * RLS_ERR_DATA when there is no file, RLS_ERR_IO, RLS_ERR_MEMORY. Free with rls_report_log_free, after a
 * failure too. */
RLS_NODISCARD rls_status rls_report_log_read(rls_context *ctx, const char *path, rls_report_log *out);
void rls_report_log_free(rls_report_log *log);

/* A figure of the table; NAN where there is none. */
double rls_report_batch(const rls_report_log *log, int64_t row, rls_report_batch_column column);
double rls_report_figure(const rls_report_log *log, int64_t row, int64_t layer,
                         rls_report_layer_column column);

/* Seconds that a batch took by the clock, with its checkpoint; NAN for the first one of a process. */
double rls_report_batch_seconds(const rls_report_log *log, int64_t row);

/* sqrt((J_t - lambda^2 ||D||^2) / E_t): at most this share of what all edits so far asked of the original
 * weight (E_t = sum ||V - W_0 K||^2 = (2 lambda delta_bound)^2) is not met by the weight after the batch.
 * Exact without anchor (docs/method.md). NAN without lambda > 0. */
double rls_report_misfit(const rls_report_data *data, int64_t row, int64_t layer);

#endif
