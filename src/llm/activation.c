#include <math.h>

#include "base/simd.h"
#include "llm/exponential.h"
#include "llm/ops.h"

static inline float sigmoid(float x)
{
    return 1.0F / (1.0F + rls_exp32(-x));
}

/* Beyond, every slope is 0 or 1 in float32, and its terms could overflow. */
static inline float limited(float x)
{
    x = x < -100.0F ? -100.0F : x;
    return x > 100.0F ? 100.0F : x;
}

/* 0.5 x (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): this is 2u. (Hendrycks 2016) */
static inline float gelu_argument(float x)
{
    return 1.5957691216057308F * x * (1.0F + 0.044715F * x * x);
}

static inline float silu(float x)
{
    return x * sigmoid(x);
}

static inline float silu_slope(float x)
{
    x = limited(x);
    const float s = sigmoid(x);
    return s + x * s * (1.0F - s);
}

static inline float gelu_tanh(float x)
{
    return x * sigmoid(gelu_argument(x));
}

static inline float gelu_tanh_slope(float x)
{
    x = limited(x);
    const float s = sigmoid(gelu_argument(x));
    return s + x * s * (1.0F - s) * 1.5957691216057308F * (1.0F + 3.0F * 0.044715F * x * x);
}

static inline float gelu(float x)
{
    return 0.5F * x * (1.0F + erff(x * 0.70710678118654752F));
}

static inline float gelu_slope(float x)
{
    x = limited(x);
    return 0.5F * (1.0F + erff(x * 0.70710678118654752F)) +
           x * 0.39894228040143268F * rls_exp32(-0.5F * x * x);
}

/* One token's loops for each activation. dx may be x, element for element. */
#define DEFINE_ACTIVATION(name)                                                                              \
    RLS_VECTORISED static void name##_plain(int64_t n, const float *restrict x, float *restrict y)           \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            y[i] = name(x[i]);                                                                               \
    }                                                                                                        \
    RLS_VECTORISED static void name##_gated(int64_t n, const float *restrict gate, const float *restrict up, \
                                            float *restrict y)                                               \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            y[i] = name(gate[i]) * up[i];                                                                    \
    }                                                                                                        \
    RLS_VECTORISED static void name##_plain_back(int64_t n, const float *x, const float *dy, float *dx)      \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                                      \
            dx[i] = name##_slope(x[i]) * dy[i];                                                              \
    }                                                                                                        \
    RLS_VECTORISED static void name##_gated_back(int64_t n, const float *gate, const float *up,              \
                                                 const float *dy, float *dgate, float *dup)                  \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            const float g = gate[i], u = up[i], d = dy[i];                                                   \
            dgate[i] = name##_slope(g) * u * d;                                                              \
            dup[i] = name(g) * d;                                                                            \
        }                                                                                                    \
    }

DEFINE_ACTIVATION(silu)
DEFINE_ACTIVATION(gelu)
DEFINE_ACTIVATION(gelu_tanh)

typedef struct {
    void (*plain)(int64_t, const float *, float *);
    void (*gated)(int64_t, const float *, const float *, float *);
    void (*plain_back)(int64_t, const float *, const float *, float *);
    void (*gated_back)(int64_t, const float *, const float *, const float *, float *, float *);
} loops;

static loops loops_of(rls_activation act)
{
    switch (act) {
    case RLS_ACT_SILU:
        return (loops){silu_plain, silu_gated, silu_plain_back, silu_gated_back};
    case RLS_ACT_GELU:
        return (loops){gelu_plain, gelu_gated, gelu_plain_back, gelu_gated_back};
    case RLS_ACT_GELU_TANH:
        break;
    }
    return (loops){gelu_tanh_plain, gelu_tanh_gated, gelu_tanh_plain_back, gelu_tanh_gated_back};
}

void rls_activate(rls_activation act, bool gated, int64_t inner, int64_t tokens, const float *x, float *y)
{
    const loops run = loops_of(act);
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++) {
        if (gated)
            run.gated(inner, x + 2 * t * inner, x + (2 * t + 1) * inner, y + t * inner);
        else
            run.plain(inner, x + t * inner, y + t * inner);
    }
}

void rls_activate_back(rls_activation act, bool gated, int64_t inner, int64_t tokens, const float *x,
                       const float *dy, float *dx)
{
    const loops run = loops_of(act);
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++) {
        const float *gate = x + 2 * t * inner;
        if (gated)
            run.gated_back(inner, gate, gate + inner, dy + t * inner, dx + 2 * t * inner,
                           dx + (2 * t + 1) * inner);
        else
            run.plain_back(inner, x + t * inner, dy + t * inner, dx + t * inner);
    }
}
