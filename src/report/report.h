/* The report of a run: one page that shows whether it went well. What `rlsedit report` does. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/context.h"

/* Writes RUN/report/index.html, replacing an older one at once; what the run has not (yet) is left out.
 * Collective; rank 0 does the work. run: the run directory, finished or not; rank 0's counts.
 * *page: the page's path on rank 0, NULL on the others and after a failure; free with free().
 * Returns RLS_ERR_DATA when run is no run directory, RLS_ERR_USAGE when gnuplot cannot be run (nothing is
 * written then), RLS_ERR_INTERNAL when it refuses a picture, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_report(rls_context *ctx, const char *run, char **page);

#endif
