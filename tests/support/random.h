/* Deterministic random numbers (splitmix64): the same on every machine and every number of ranks. */
#ifndef SUPPORT_RANDOM_H
#define SUPPORT_RANDOM_H

#include <stdint.h>

typedef struct {
    uint64_t state;
} rls_random;

/* The sequence of a seed. */
rls_random rls_random_seed(uint64_t seed);

/* The next 64 bits, a double in [0, 1), a normal deviate, an integer in [0, bound). */
uint64_t rls_random_bits(rls_random *random);
double rls_random_uniform(rls_random *random);
double rls_random_normal(rls_random *random);
int64_t rls_random_below(rls_random *random, int64_t bound);

/* Element (i, j) of an endless matrix of normal or uniform deviates: what a rank fills in does not depend on
 * the distribution. */
double rls_random_normal_at(uint64_t seed, int64_t i, int64_t j);
double rls_random_uniform_at(uint64_t seed, int64_t i, int64_t j);

#endif
