#include "linalg/micro.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#define RLS_X86
#endif

#define REAL float
#define REAL_IS_F64 0
#define VECTOR_BYTES 16
#define VECTORS 2
#define TARGET
#define ISA_NAME "128-bit"
#define NAME(x) f32_128_##x
#include "linalg/micro_body.h"
#undef REAL
#undef REAL_IS_F64
#undef NAME
#define REAL double
#define REAL_IS_F64 1
#define NAME(x) f64_128_##x
#include "linalg/micro_body.h"

#ifdef RLS_X86
#undef VECTOR_BYTES
#undef TARGET
#undef ISA_NAME
#undef NAME
#define VECTOR_BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#define ISA_NAME "AVX2"
#define NAME(x) f64_256_##x
#include "linalg/micro_body.h"
#undef REAL
#undef REAL_IS_F64
#undef NAME
#define REAL float
#define REAL_IS_F64 0
#define NAME(x) f32_256_##x
#include "linalg/micro_body.h"

#undef VECTOR_BYTES
#undef VECTORS
#undef TARGET
#undef ISA_NAME
#undef NAME
#define VECTOR_BYTES 64
#define VECTORS 4
#define TARGET __attribute__((target("avx512f,avx2,fma")))
#define ISA_NAME "AVX-512"
#define NAME(x) f32_512_##x
#include "linalg/micro_body.h"
#undef REAL
#undef REAL_IS_F64
#undef NAME
#define REAL double
#define REAL_IS_F64 1
#define NAME(x) f64_512_##x
#include "linalg/micro_body.h"
#endif

const rls_micro *rls_micro_at(rls_dtype dtype, int index)
{
    const bool f64 = dtype == RLS_F64;
    const rls_micro *sets[4] = {NULL};
    int count = 0;
#ifdef RLS_X86
    if (__builtin_cpu_supports("avx512f"))
        sets[count++] = f64 ? &f64_512_set : &f32_512_set;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        sets[count++] = f64 ? &f64_256_set : &f32_256_set;
#endif
    sets[count++] = f64 ? &f64_128_set : &f32_128_set;
    return index < count ? sets[index] : NULL;
}

const rls_micro *rls_micro_best(rls_dtype dtype)
{
    return rls_micro_at(dtype, 0);
}
