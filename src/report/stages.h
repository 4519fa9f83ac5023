/* Where a run's time went, by its log and summary. Not collective. */
#ifndef REPORT_STAGES_H
#define REPORT_STAGES_H

#include "report/data.h"

enum { RLS_STAGES_MAX = 8 };

/* Seconds of all processes of the run together, from each one's beginning to its last batch, or to the end of
 * the run when it is finished. NAN: the log has no clock. */
double rls_report_seconds(const rls_report_data *data);

/* Edits per second from the first batch's end of each process to its last batch's end: without start and
 * end. NAN: no process did two batches. */
double rls_report_rate(const rls_report_data *data);

/* Names and seconds of the stages that took any time, for at most RLS_STAGES_MAX; their sum is
 * rls_report_seconds. Returns how many. */
int rls_report_stages(const rls_report_data *data, const char *name[RLS_STAGES_MAX],
                      double seconds[RLS_STAGES_MAX]);

#endif
