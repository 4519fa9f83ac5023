/* Inside view of an editor: what every update rule shares, and the small interface a rule fills in. */
#ifndef EDITOR_EDITOR_H
#define EDITOR_EDITOR_H

#include <stdbool.h>

#include "grid/panel.h"
#include "linalg/matrix.h"
#include "rlsedit/editor.h"

/*
 * An update rule: a table of functions in a file of its own, named in editor/rules.c. It is handed a state
 * whose sizes, anchor and phase have been checked, and a batch that lies in the panels (rls_editor_load).
 */
typedef struct {
    const char *name;

    /* Checks the options that are the rule's own, and makes what it holds besides X and C; the layout of keys
     * and values is known, X and C are not there yet. Not collective. Returns RLS_ERR_CONFIG, RLS_ERR_MEMORY;
     * after a failure too, `destroy` follows. */
    rls_status (*create)(rls_editor *editor);
    void (*destroy)(rls_editor *editor);

    /* rls_editor_start and rls_editor_step. Collective. */
    rls_status (*start)(rls_editor *editor, double *smallest_pivot);
    rls_status (*step)(rls_editor *editor, const rls_batch *batch, rls_step_report *reports);

    /* rls_editor_restore: X and C hold a started state. Collective. */
    rls_status (*restore)(rls_editor *editor, double objective, double anchor_misfit);
} rls_rule;

/* The rule of that name, or NULL; and the names of all of them, for messages. Not collective. */
const rls_rule *rls_rule_find(const char *name);
const char *rls_rule_names(char text[256]);

/* The panels of a step of u edits, in the workspace's memory. r: row panel, c: column panel. */
typedef struct {
    int64_t u;
    void *k_r, *k_c; /* keys K [n, u] */
    void *f_r, *f_c; /* F = C K, later G = F L^{-T}; f_c only then */
    void *e_c;       /* values V, innovation E, later H = E L^{-T} [m, u] */
    void *h_c;       /* a second one of that shape; after a step V - W_t K */
    void *s;         /* S, later L [u, u] */
    double *sums;    /* of the parts' figures, see editor/parts.h */
    void *tile;
} rls_panels;

/* Scratch memory that the states of several layers use in turn. */
struct rls_workspace {
    size_t bytes;
    void *memory;
};

/* What has not been applied yet (editor/delay.h): G as both panels and H, `width` columns of each. */
typedef struct {
    int64_t width;
    void *g_r, *g_c, *h_c;
    void *t;          /* T = G^T K of the step at hand */
    double trace;     /* this rank's part of C's */
    bool trace_known; /* false when C may have changed */
} rls_delayed;

typedef enum { RLS_EMPTY, RLS_HAS_ANCHOR, RLS_STARTED } rls_editor_phase;

struct rls_editor {
    const rls_rule *rule;
    rls_grid *grid;
    rls_editor_options options;
    rls_editor_phase phase;
    rls_matrix *x;        /* W^T [n, m] */
    rls_matrix *c;        /* A_0 while anchors are gathered, then C [n, n] (lower triangle) */
    rls_matrix *pull;     /* mu^2 K_0 (V_0 - W_0 K_0)^T [n, m] until the start, when anchors have values */
    bool plain_keys;      /* anchor keys came without values */
    rls_panel_map keys;   /* layout of n */
    rls_panel_map values; /* layout of m; only its column panels are used */
    rls_workspace *workspace;
    bool owns_workspace;
    rls_panels work;
    rls_delayed delayed;
    double objective, misfit;
};

/* Lays the panels for u edits into the workspace, growing it. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_editor_reserve(rls_editor *editor, int64_t u);

/* Puts keys into the panels k_r, k_c, and values (unless NULL) into e_c; work.u is then their number over all
 * ranks. Collective. Returns RLS_ERR_MEMORY; RLS_ERR_USAGE when a rank has not as many values as keys. */
RLS_NODISCARD rls_status rls_editor_load(rls_editor *editor, const rls_vectors *keys,
                                         const rls_vectors *values);

/* E_c = V_c - W K for the batch in the panels k_r, e_c; and the targets V_c = E_c + W K. Collective over the
 * process column. */
void rls_editor_innovation(rls_editor *editor, int64_t u);
void rls_editor_add_product(rls_editor *editor, int64_t u);

#endif
