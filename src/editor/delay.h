/*
 * Delayed updates. With few edits a step, writing C and W takes most of its time. Instead the panels of many
 * steps are kept beside them, and applied together when they have become wide:
 *
 *     C = C_b - G G^T        W = W_b + H G^T
 *     F = C K = C_b K - G T        W K = W_b K + H T        T = G^T K
 *
 * so that a step reads the lower triangle of C_b and W_b once and writes nothing of size n^2 or n m.
 */
#ifndef EDITOR_DELAY_H
#define EDITOR_DELAY_H

#include <stdbool.h>

#include "editor/editor.h"

/* Makes room for the editor's options.delay columns. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_delay_create(rls_editor *editor);
void rls_delay_free(rls_editor *editor);

/* Elements that the room takes on a rank with these shares of n and m. */
double rls_delay_elements(int64_t delay, int64_t row_local, int64_t col_local, int64_t m_local);

/* Applies what is pending. C and W are then whole. n^2 w + 2 n m w flops for w pending columns. Not
 * collective. */
void rls_delay_flush(rls_editor *editor);

/* Before a step of u edits: applies what is pending if the step is too wide to be added to it. */
void rls_delay_prepare(rls_editor *editor, int64_t u);

/* F -= G T for the step in the panels, whose F_r = C_b K. Keeps T for rls_delay_add_product. Collective. */
void rls_delay_correct(rls_editor *editor);

/* e_c += alpha H T. Not collective. */
void rls_delay_add_product(const rls_editor *editor, double alpha);

/* Takes the step's G and H to what is pending; returns false, having done nothing, when they are too wide and
 * must be applied directly. Not collective. */
bool rls_delay_take(rls_editor *editor);

/* This rank's part of C's trace, what is pending counted in. Not collective. */
double rls_delay_trace(rls_editor *editor);

#endif
