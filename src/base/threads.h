/* Threads of a parallel region, with OpenMP or without. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#endif

/* So many a region may have. */
static inline int rls_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* In a region: how many it has (the runtime may give fewer than asked for), and which of them calls. */
static inline int rls_team(void)
{
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

static inline int rls_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
