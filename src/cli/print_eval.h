/* The result of rls_eval as tables. */
#ifndef CLI_PRINT_EVAL_H
#define CLI_PRINT_EVAL_H

#include <stdio.h>

#include "eval/eval.h"

/* Writes shares before and after, retention, and the examples. Not collective. Errors stay with `out`
 * (ferror). */
void rls_eval_print(const rls_eval_result *result, FILE *out);

#endif
