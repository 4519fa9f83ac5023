/* Pictures as scripts for gnuplot: curves over edits, and bars. Nothing of a user's text gets into a script.
 * No function is collective. */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum {
    RLS_PLOT_POINTS_MAX = 1000, /* of a curve, after thinning */
    RLS_PLOT_CURVES_MAX = 192,
    RLS_PLOT_TITLE_MAX = 64,
    RLS_PLOT_COLOURS = 8,
    RLS_PLOT_GREY = -1 /* a colour: for what belongs to no layer */
};

typedef struct {
    char title[RLS_PLOT_TITLE_MAX]; /* in the legend; "": not there */
    int colour;                     /* 0, 1, ...: of a fixed list, which begins again; or RLS_PLOT_GREY */
    bool dashed;
    double *x, *y; /* [count]; points with NAN are left out */
    int64_t count;
} rls_curve;

typedef struct {
    const char *xlabel, *ylabel;
    bool from_zero; /* the vertical axis has 0 */
    bool log;       /* it may be logarithmic, when values are far apart; only values > 0 are drawn then */
    double top;     /* end of the vertical axis; 0: as high as need be */
    double limit;   /* a horizontal line; NAN: none */
    int curve_count;
    rls_curve curve[RLS_PLOT_CURVES_MAX];
} rls_plot;

/* A bar stands for series s of group g; its height is value[g * series + s], NAN: none; error: half the
 * length of a line on it, NULL: none. */
typedef struct {
    const char *ylabel;
    double top;         /* as in rls_plot */
    const char *number; /* format of the numbers above the bars: takes one double */
    int groups, series;
    const char *const *group, *const *serie; /* names; serie NULL: no legend */
    const int *colour;                       /* [series] */
    const double *value, *error;
} rls_bars;

/* Adds a curve of `count` points, to be filled in; *out stays the plot's. Beyond RLS_PLOT_CURVES_MAX *out is
 * NULL. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_plot_curve(rls_context *ctx, rls_plot *plot, int64_t count, int colour,
                                        bool dashed, rls_curve **out);

/* Adds an entry to the legend that says what dashed curves are. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_plot_explain_dashes(rls_context *ctx, rls_plot *plot, const char *meaning);

/* Frees the curves. */
void rls_plot_free(rls_plot *plot);

/* The script of a picture, which gnuplot writes as SVG to its standard output; free with free(). NULL when
 * there is not one point or bar. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_plot_script(rls_context *ctx, const rls_plot *plot, char **script);
RLS_NODISCARD rls_status rls_bars_script(rls_context *ctx, const rls_bars *bars, char **script);

/* Chooses points of a curve that look like all of it: the first, the last, and of each of equal parts the
 * lowest and the highest.
 * kept: their indices, ascending; room for `most` >= 4, or count if that is less. Points with NAN are left
 * out, and with `positive` those with y <= 0. Returns how many are kept. */
int64_t rls_plot_thin(const double *x, const double *y, int64_t count, bool positive, int64_t most,
                      int64_t *kept);

#endif
