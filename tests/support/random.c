#include "support/random.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925;

/* splitmix64: https://prng.di.unimi.it/splitmix64.c describes the constants. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

rls_random rls_random_seed(uint64_t seed)
{
    return (rls_random){mix(seed + 1)};
}

uint64_t rls_random_bits(rls_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(random->state);
}

double rls_random_uniform(rls_random *random)
{
    return (double)(rls_random_bits(random) >> 11) * 0x1p-53;
}

double rls_random_normal(rls_random *random)
{
    /* Box-Muller; 1 - uniform is never 0. */
    const double radius = sqrt(-2.0 * log(1.0 - rls_random_uniform(random)));
    return radius * cos(two_pi * rls_random_uniform(random));
}

int64_t rls_random_below(rls_random *random, int64_t bound)
{
    return (int64_t)(rls_random_bits(random) % (uint64_t)bound);
}

static rls_random at(uint64_t seed, int64_t i, int64_t j)
{
    return (rls_random){mix(mix(mix(seed + 1) ^ (uint64_t)i) ^ (uint64_t)j)};
}

double rls_random_normal_at(uint64_t seed, int64_t i, int64_t j)
{
    rls_random random = at(seed, i, j);
    return rls_random_normal(&random);
}

double rls_random_uniform_at(uint64_t seed, int64_t i, int64_t j)
{
    rls_random random = at(seed, i, j);
    return rls_random_uniform(&random);
}
