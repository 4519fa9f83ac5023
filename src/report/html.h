/* The page of a report: HTML that is XML too, with all it needs inside. Not collective. */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include <stdio.h>

#include "report/pictures.h"

typedef struct {
    const char *run;  /* the run directory's path, as it was given */
    const char *made; /* when the report was made */
    const rls_report_data *data;
    const json_t *verdict; /* of rls_report_judge */
    const rls_picture *pictures;
    int picture_count;
} rls_page;

/* Writes the page. Errors stay with `out` (ferror). */
void rls_page_write(const rls_page *page, FILE *out);

/* Writes text so that HTML and XML show it as it is: also in attributes. What XML does not allow (control
 * characters) becomes '?'. NULL is nothing. text: UTF-8. */
void rls_html_text(const char *text, FILE *out);

#endif
