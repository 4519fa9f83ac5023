/* Loops that are compiled for several processors, of which the one at hand is chosen when the program starts.
 */
#ifndef BASE_SIMD_H
#define BASE_SIMD_H

/* Before the definition of a function with plain loops and no OpenMP. The results are the same everywhere:
 * without -ffast-math or contraction, wider vectors do not change the order of a sum. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && !defined(__AVX512F__)
#define RLS_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RLS_VECTORISED
#endif

/* Partial sums of their own, as many as the widest vector has float32: a loop over them needs no reordering.
 */
enum { RLS_LANES = 16 };

#endif
