/* eval.json (rlsedit eval) in a report. Rank 0 calls these; no function is collective. */
#ifndef REPORT_EVAL_H
#define REPORT_EVAL_H

#include "report/data.h"

/* Kinds of questions, as eval.json names them, and as people read them. */
enum { RLS_EVAL_KINDS = 4 };
extern const char *const RLS_EVAL_KIND[RLS_EVAL_KINDS];
extern const char *const RLS_EVAL_TITLE[RLS_EVAL_KINDS];

/* A mean of eval.json's "before" or "after" (NULL: NAN). kind: "efficacy"; how: "success", "exact", "tokens",
 * or NULL for the first of success, tokens and exact that is there. error: gets its standard error; may be
 * NULL. NAN: not there. */
double rls_eval_share(const json_t *metrics, const char *kind, const char *how, double *error);

/* A number of them by name ("score"), or of a part ("perplexity", "value"). NAN: not there. */
double rls_eval_number(const json_t *metrics, const char *name, const char *part);

/* A mean of the questions of a kind by age: tenth `age` of the stream; success, or where there is none the
 * exact one. NAN: not there. */
double rls_eval_age(const json_t *metrics, size_t age, const char *kind);

/* Scripts of the pictures: metrics before and after; metrics by age. NULL without data. Return
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_draw_metrics(rls_context *ctx, const rls_report_data *data, char **script);
RLS_NODISCARD rls_status rls_draw_retention(rls_context *ctx, const rls_report_data *data, char **script);

#endif
