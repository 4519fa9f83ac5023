/* gnuplot as a child process. Rank 0 calls these; no function is collective. */
#ifndef REPORT_GNUPLOT_H
#define REPORT_GNUPLOT_H

#include <stdbool.h>

#include "base/context.h"

/* Whether gnuplot can be run. Returns RLS_ERR_USAGE, saying what to install, when it cannot; RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_gnuplot_check(rls_context *ctx);

/* What gnuplot writes to its standard output for this script, which must be an SVG document; free with
 * free(). Returns RLS_ERR_USAGE when gnuplot is not there, RLS_ERR_INTERNAL with its message when it refuses
 * the script, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_gnuplot_draw(rls_context *ctx, const char *script, char **svg);

/* An SVG document of gnuplot's as an element of a page, which has it under the name `label`; free with
 * free(). Declarations and ids go, as other pictures have the same; with `first` the definitions of points
 * stay, for all pictures that follow on the page. Black becomes the page's colour of text by its style sheet.
 * Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_svg_element(rls_context *ctx, const char *svg, const char *label, bool first,
                                         char **element);

#endif
