/* The judge: the closed form of the objective's minimum, dense and serial, by LAPACK in float64. */
#ifndef SUPPORT_DENSE_H
#define SUPPORT_DENSE_H

#include <stdint.h>

/* All column-major, equal on every rank. */
typedef struct {
    int64_t n, m, u, anchors;
    double lambda, mu, weight;
    double *moment;        /* M [n, n], or NULL */
    double *k0, *v0;       /* [n, anchors], [m, anchors]; v0 may be NULL */
    double *x0;            /* W_0^T [n, m] */
    double *keys, *values; /* [n, u], [m, u] */
} dense_problem;

/* A random problem with cond(A_0) about `condition`, values of which float32 holds every number exactly. */
void dense_random(dense_problem *p, int64_t n, int64_t m, int64_t u, double condition, uint64_t seed);

/* Adds random explicit anchor keys (and values). */
void dense_random_anchors(dense_problem *p, int64_t anchors, int with_values, uint64_t seed);
void dense_free(dense_problem *p);

/* D^T = W_t^T - W_0^T [n, m] after the first `edits` edits:
 * A_t D^T = mu^2 K_0 (V_0 - W_0 K_0)^T + sum K_i (V_i - W_0 K_i)^T, by Cholesky. Returns LAPACK's info. */
int dense_solution(const dense_problem *p, int64_t edits, double *delta);

/* A_0 = lambda^2 I + mu^2 (w M + K_0 K_0^T) [n, n]. */
void dense_anchor(const dense_problem *p, double *a);

#endif
