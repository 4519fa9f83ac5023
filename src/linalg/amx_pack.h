/* How the matrix unit's operands are formed (see amx.h, whose functions these are). */
#ifndef LINALG_AMX_PACK_H
#define LINALG_AMX_PACK_H

#include "linalg/amx.h"

#if defined(__x86_64__) && defined(__linux__) &&                                                             \
    ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11))
#define RLS_AMX

#include <immintrin.h>

#define RLS_AMX_TARGET __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#define RLS_AMX_INLINE __attribute__((always_inline)) static inline

void rls_amx_pack(const rls_amx_panel *panel, rls_amx_steps steps, bool pairs, void *out);
void rls_amx_pair(int64_t depth, int64_t lines, const uint16_t *data, int64_t ld, void *out);
void rls_amx_split(int64_t rows, int64_t columns, const float *a, int64_t lda, int64_t stride, char *pairs,
                   char *lines);
void rls_amx_turn(int64_t rows, int64_t columns, const float *a, int64_t lda, float beta, float *y,
                  int64_t ldy);

#endif
#endif
