#include "report/stages.h"

#include <math.h>

static double clock_of(const rls_report_log *log, int64_t row)
{
    return rls_report_batch(log, row, RLS_REPORT_CLOCK);
}

/* The clock of the last batch that has one; NAN. */
static double last_clock(const rls_report_log *log)
{
    for (int64_t i = log->rows - 1; i >= 0; i--)
        if (!isnan(clock_of(log, i)))
            return clock_of(log, i);
    return NAN;
}

/* Seconds after the last batch: fit, export. 0 while the run is not finished. */
static double end_seconds(const rls_report_data *data)
{
    const double end = json_number_value(json_object_get(data->summary, "seconds"));
    const double last = last_clock(&data->log);
    return end > last ? end - last : 0.0;
}

/* Each process counts its seconds from its own beginning, so a clock that falls is a new one's first. What
 * that one had taken before its batch is the start. */
static double sum_clocks(const rls_report_log *log, double *starts)
{
    double sum = 0.0, before = 0.0;
    *starts = 0.0;
    for (int64_t i = 0; i < log->rows; i++) {
        const double now = clock_of(log, i);
        if (isnan(now))
            continue;
        const bool first = i == 0 || now < before;
        sum += first ? now : now - before;
        for (int c = RLS_REPORT_READ; first && c <= RLS_REPORT_KEYS; c++) {
            const double part = rls_report_batch(log, i, (rls_report_batch_column)c);
            *starts -= isnan(part) ? 0.0 : part;
        }
        *starts += first ? now : 0.0;
        before = now;
    }
    return sum;
}

double rls_report_seconds(const rls_report_data *data)
{
    double starts = 0.0;
    return isnan(last_clock(&data->log)) ? NAN : sum_clocks(&data->log, &starts) + end_seconds(data);
}

double rls_report_rate(const rls_report_data *data)
{
    double edits = 0.0, seconds = 0.0;
    for (int64_t i = 1; i < data->log.rows; i++) {
        const double took = rls_report_batch_seconds(&data->log, i);
        edits += isnan(took) ? 0.0 : rls_report_batch(&data->log, i, RLS_REPORT_BATCH_EDITS);
        seconds += isnan(took) ? 0.0 : took;
    }
    return seconds > 0.0 ? edits / seconds : NAN;
}

int rls_report_stages(const rls_report_data *data, const char *name[RLS_STAGES_MAX],
                      double seconds[RLS_STAGES_MAX])
{
    enum { START, SEARCH, KEYS, READ, STEP, DRIFT, OTHER, END };
    static const char *const NAMES[RLS_STAGES_MAX] = {
        [START] = "start", [SEARCH] = "search of z", [KEYS] = "keys",    [READ] = "reading",
        [STEP] = "step",   [DRIFT] = "norms",        [OTHER] = "saving", [END] = "end"};
    static const rls_report_batch_column COLUMN[RLS_STAGES_MAX] = {[SEARCH] = RLS_REPORT_SEARCH,
                                                                   [KEYS] = RLS_REPORT_KEYS,
                                                                   [READ] = RLS_REPORT_READ,
                                                                   [STEP] = RLS_REPORT_STEP,
                                                                   [DRIFT] = RLS_REPORT_DRIFT};
    double all[RLS_STAGES_MAX] = {0.0};
    int count = 0;
    if (isnan(last_clock(&data->log)))
        return 0;
    all[OTHER] = sum_clocks(&data->log, &all[START]) - all[START];
    for (int s = SEARCH; s <= DRIFT; s++) {
        for (int64_t i = 0; i < data->log.rows; i++) {
            const double part = rls_report_batch(&data->log, i, COLUMN[s]);
            all[s] += isnan(part) ? 0.0 : part;
        }
        all[OTHER] -= all[s];
    }
    all[END] = end_seconds(data);
    for (int s = 0; s < RLS_STAGES_MAX; s++) {
        if (!(all[s] > 0.0))
            continue;
        name[count] = NAMES[s];
        seconds[count++] = all[s];
    }
    return count;
}
