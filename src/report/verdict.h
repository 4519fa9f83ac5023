/* Whether a run went well, in a few words and figures. Rank 0 calls this; not collective. */
#ifndef REPORT_VERDICT_H
#define REPORT_VERDICT_H

#include "report/data.h"

/* Judges the run:
 *
 *     {"level": LEVEL, "headline": "finished: 300 edits ...",
 *      "tiles": [{"level", "label", "value", "detail"}], "findings": [{"level", "text"}]}
 *
 * LEVEL: "good", "plain" (a figure without judgement), "warning", "bad"; the whole's is its worst one's.
 * Texts are plain, not HTML. Returns RLS_ERR_MEMORY. Free with json_decref. */
RLS_NODISCARD rls_status rls_report_judge(rls_context *ctx, const rls_report_data *data, json_t **out);

#endif
