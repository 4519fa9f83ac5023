#include <math.h>

#include "base/memory.h"
#include "base/simd.h"
#include "llm/ops.h"

/* Llama 3.1: short wavelengths stay, long ones are divided by factor, between them linear in 1 / wavelength.
 * In float32 step by step, as the reference does it (transformers, modeling_rope_utils.py). */
static float llama3_frequency(const rls_architecture *arch, float frequency)
{
    const float context = (float)arch->rope_original_context, factor = (float)arch->rope_factor;
    const float wavelength = 6.283185307179586F / frequency;
    if (wavelength < (float)(arch->rope_original_context / arch->rope_high_freq))
        return frequency;
    if (wavelength > (float)(arch->rope_original_context / arch->rope_low_freq))
        return frequency / factor;
    const float smooth = (context / wavelength - (float)arch->rope_low_freq) /
                         (float)(arch->rope_high_freq - arch->rope_low_freq);
    return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

/* Of pair i. */
static float frequency_of(const rls_architecture *arch, int64_t i)
{
    const float exponent = (float)(2 * i) / (float)arch->rotary_dim;
    const float frequency = 1.0F / (float)pow(arch->rope_theta, (double)exponent);
    switch (arch->rope_scaling) {
    case RLS_ROPE_LINEAR:
        return frequency / (float)arch->rope_factor;
    case RLS_ROPE_LLAMA3:
        return llama3_frequency(arch, frequency);
    case RLS_ROPE_PLAIN:
        break;
    }
    return frequency;
}

rls_status rls_rotary_table(rls_context *ctx, const rls_architecture *arch, float **table)
{
    const int64_t pairs = arch->rotary_dim / 2;
    void *room = NULL;
    *table = NULL;
    const rls_status status = rls_alloc(ctx, arch->context * pairs, 2 * sizeof(float), &room);
    if (status != RLS_OK || room == NULL)
        return status;
    float *out = room;
#pragma omp parallel for
    for (int64_t i = 0; i < pairs; i++) {
        const float frequency = frequency_of(arch, i);
        for (int64_t position = 0; position < arch->context; position++) {
            const float angle =
                (float)position * frequency; /* rounded: part of what models were trained with */
            out[(position * pairs + i) * 2] = (float)cos((double)angle);
            out[(position * pairs + i) * 2 + 1] = (float)sin((double)angle);
        }
    }
    *table = out;
    return RLS_OK;
}

/* Pairs (2i, 2i + 1) of one head; sign -1 turns back. */
RLS_VECTORISED static void rotate_neighbours(int64_t pairs, float sign, const float *restrict angle,
                                             float *restrict x)
{
    for (int64_t i = 0; i < pairs; i++) {
        const float c = angle[2 * i], s = sign * angle[2 * i + 1], a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = b * c + a * s;
    }
}

/* Pairs (i, i + pairs). */
RLS_VECTORISED static void rotate_halves(int64_t pairs, float sign, const float *restrict angle,
                                         float *restrict low, float *restrict high)
{
    for (int64_t i = 0; i < pairs; i++) {
        const float c = angle[2 * i], s = sign * angle[2 * i + 1], a = low[i], b = high[i];
        low[i] = a * c - b * s;
        high[i] = b * c + a * s;
    }
}

void rls_rotate(const rls_architecture *arch, const float *table, int64_t heads, int64_t tokens,
                const int32_t *position, bool back, float *x, int64_t ld)
{
    const int64_t pairs = arch->rotary_dim / 2;
    const float sign = back ? -1.0F : 1.0F;
    if (table == NULL)
        return;
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++) {
        const float *angle = table + position[t] * pairs * 2;
        for (int64_t h = 0; h < heads; h++) {
            float *head = x + t * ld + h * arch->head_dim;
            if (arch->rotary_interleaved)
                rotate_neighbours(pairs, sign, angle, head);
            else
                rotate_halves(pairs, sign, angle, head, head + pairs);
        }
    }
}
