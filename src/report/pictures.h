/* The pictures of a report. Rank 0 draws them; no function is collective. */
#ifndef REPORT_PICTURES_H
#define REPORT_PICTURES_H

#include "report/data.h"

typedef struct {
    const char *id, *title;
    const char *caption; /* how to read it */
    const char *missing; /* why it is not there */
    char *svg;           /* an element of the page; NULL: left out */
} rls_picture;

/* Draws all for which there are data, as SVG elements for one page.
 * *out [*count]: in the order of the page; free with rls_pictures_free, after a failure too. Returns
 * RLS_ERR_USAGE without gnuplot, RLS_ERR_INTERNAL, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pictures_draw(rls_context *ctx, const rls_report_data *data, rls_picture **out,
                                           int *count);
void rls_pictures_free(rls_picture **pictures, int count);

#endif
