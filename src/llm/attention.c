#include <math.h>
#include <stdlib.h>

#include "base/least.h"
#include "base/memory.h"
#include "base/simd.h"
#include "base/threads.h"
#include "linalg/kernels.h"
#include "llm/exponential.h"
#include "llm/ops.h"

enum { QUERY_TILE = 128 };

static float scale_of(const rls_architecture *arch)
{
    return arch->scale_attention ? (float)(1.0 / sqrt((double)arch->head_dim)) : 1.0F;
}

/* The rank's key-value head of its query head h. */
static int64_t kv_of(const rls_attention *a, int64_t h)
{
    return (a->heads_first + h) / (a->arch->heads / a->arch->kv_heads) - a->kv_first;
}

/* The first token that token t of a sequence sees. */
static int64_t first_seen(const rls_architecture *arch, int64_t t)
{
    return arch->window > 0 ? rls_most(0, t - arch->window + 1) : 0;
}

static int64_t longest(const rls_attention *a)
{
    int64_t length = 0;
    for (int64_t s = 0; s < a->sequences; s++)
        length = rls_most(length, a->start[s + 1] - a->start[s]);
    return length;
}

RLS_VECTORISED static float largest(int64_t n, const float *x)
{
    float part[RLS_LANES];
    for (int k = 0; k < RLS_LANES; k++)
        part[k] = x[0];
    int64_t i = 0;
    for (; i + RLS_LANES <= n; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++)
            part[k] = x[i + k] > part[k] ? x[i + k] : part[k];
    for (; i < n; i++)
        part[0] = x[i] > part[0] ? x[i] : part[0];
    for (int k = 1; k < RLS_LANES; k++)
        part[0] = part[k] > part[0] ? part[k] : part[0];
    return part[0];
}

/* x = exp(x - shift); their sum. */
RLS_VECTORISED static float exponentiate(int64_t n, float shift, float *x)
{
    float part[RLS_LANES] = {0.0F}, sum = 0.0F;
    int64_t i = 0;
    for (; i + RLS_LANES <= n; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++) {
            x[i + k] = rls_exp32(x[i + k] - shift);
            part[k] += x[i + k];
        }
    for (; i < n; i++) {
        x[i] = rls_exp32(x[i] - shift);
        sum += x[i];
    }
    for (int k = 0; k < RLS_LANES; k++)
        sum += part[k];
    return sum;
}

/* ds = p (dp - d) scale, in dp's place. */
RLS_VECTORISED static void softmax_back(int64_t n, float d, float scale, const float *restrict p,
                                        float *restrict dp)
{
    for (int64_t i = 0; i < n; i++)
        dp[i] = p[i] * (dp[i] - d) * scale;
}

RLS_VECTORISED static void multiply(int64_t n, float factor, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void clear(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.0F;
}

/* One head of one sequence: its arrays at the sequence's first token. */
typedef struct {
    const float *q, *k, *v, *out, *dout;
    float *dq, *dk, *dv;
    int64_t ld, ldo, ldd;
    int64_t width; /* head_dim */
} head_view;

/* A tile of queries and the keys that any of them sees, by index in the sequence. */
typedef struct {
    int64_t query, queries, key, keys;
} tile;

static tile tile_at(const rls_architecture *arch, int64_t query, int64_t length)
{
    const int64_t queries = rls_least(QUERY_TILE, length - query), key = first_seen(arch, query);
    return (tile){query, queries, key, query + queries - key};
}

/* Scores [keys, queries] = scale K^T Q of a tile. */
static void score(const head_view *h, tile t, float scale, float *scores)
{
    rls_gemm(RLS_F32, 'T', 'N', t.keys, t.queries, h->width, (double)scale, h->k + t.key * h->ld, h->ld,
             h->q + t.query * h->ld, h->ld, 0.0, scores, t.keys);
}

static void attend_tile(const rls_architecture *arch, const head_view *h, tile t, float *scores, float *out,
                        float *log_sum, int64_t ld_log)
{
    float factor[QUERY_TILE];
    score(h, t, scale_of(arch), scores);
    for (int64_t j = 0; j < t.queries; j++) {
        float *column = scores + j * t.keys;
        const int64_t first = first_seen(arch, t.query + j) - t.key, end = t.query + j + 1 - t.key;
        const float shift = largest(end - first, column + first);
        const float sum = exponentiate(end - first, shift, column + first);
        clear(first, column);
        clear(t.keys - end, column + end);
        factor[j] = 1.0F / sum;
        if (log_sum != NULL)
            log_sum[(t.query + j) * ld_log] = shift + logf(sum);
    }
    out += t.query * h->ldo;
    rls_gemm(RLS_F32, 'N', 'N', h->width, t.queries, t.keys, 1.0, h->v + t.key * h->ld, h->ld, scores, t.keys,
             0.0, out, h->ldo);
    for (int64_t j = 0; j < t.queries; j++)
        multiply(h->width, factor[j], out + j * h->ldo);
}

rls_status rls_attend(rls_context *ctx, const rls_attention *a, const float *q, const float *k,
                      const float *v, int64_t ld, float *out, int64_t ldo, float *log_sum)
{
    const rls_architecture *arch = a->arch;
    const int64_t width = arch->head_dim, length = longest(a), room = rls_least(QUERY_TILE, length) * length;
    void *scores = NULL;
    if (a->heads == 0 || length == 0)
        return RLS_OK;
    const rls_status status = rls_alloc(ctx, room * rls_threads(), sizeof(float), &scores);
    if (status != RLS_OK)
        return status;
#pragma omp parallel for schedule(dynamic)
    for (int64_t job = 0; job < a->sequences * a->heads; job++) {
        const int64_t s = job / a->heads, i = job % a->heads, begin = a->start[s];
        const int64_t kv = kv_of(a, i) * width + begin * ld, end = a->start[s + 1] - begin;
        const head_view h = {
            .q = q + i * width + begin * ld, .k = k + kv, .v = v + kv, .ld = ld, .ldo = ldo, .width = width};
        for (int64_t query = 0; query < end; query += QUERY_TILE)
            attend_tile(arch, &h, tile_at(arch, query, end), (float *)scores + room * rls_thread(),
                        out + i * width + begin * ldo,
                        log_sum == NULL ? NULL : log_sum + begin * a->heads + i, a->heads);
    }
    free(scores);
    return RLS_OK;
}

/* P from log_sum; dV += dO P^T; dP = V^T dO; dS = P (dP - D) scale, D = out . dout by column; dQ = K dS;
 * dK += Q dS^T. p and dp: room for keys x queries each. */
static void attend_back_tile(const rls_architecture *arch, const head_view *h, tile t, const float *log_sum,
                             int64_t ld_log, float *p, float *dp)
{
    const float scale = scale_of(arch);
    const float *dout = h->dout + t.query * h->ldo, *out = h->out + t.query * h->ldo;
    score(h, t, scale, p);
    rls_gemm(RLS_F32, 'T', 'N', t.keys, t.queries, h->width, 1.0, h->v + t.key * h->ld, h->ld, dout, h->ldo,
             0.0, dp, t.keys);
    for (int64_t j = 0; j < t.queries; j++) {
        float *column = p + j * t.keys, *back = dp + j * t.keys;
        const int64_t first = first_seen(arch, t.query + j) - t.key, end = t.query + j + 1 - t.key;
        exponentiate(end - first, log_sum[(t.query + j) * ld_log], column + first);
        clear(first, column);
        clear(t.keys - end, column + end);
        clear(first, back);
        clear(t.keys - end, back + end);
        softmax_back(end - first, (float)rls_dot(RLS_F32, h->width, out + j * h->ldo, dout + j * h->ldo),
                     scale, column + first, back + first);
    }
    rls_gemm(RLS_F32, 'N', 'T', h->width, t.keys, t.queries, 1.0, dout, h->ldo, p, t.keys, 1.0,
             h->dv + t.key * h->ldd, h->ldd);
    rls_gemm(RLS_F32, 'N', 'N', h->width, t.queries, t.keys, 1.0, h->k + t.key * h->ld, h->ld, dp, t.keys,
             0.0, h->dq + t.query * h->ldd, h->ldd);
    rls_gemm(RLS_F32, 'N', 'T', h->width, t.keys, t.queries, 1.0, h->q + t.query * h->ld, h->ld, dp, t.keys,
             1.0, h->dk + t.key * h->ldd, h->ldd);
}

rls_status rls_attend_back(rls_context *ctx, const rls_attention *a, const float *q, const float *k,
                           const float *v, int64_t ld, const float *out, const float *dout, int64_t ldo,
                           const float *log_sum, float *dq, float *dk, float *dv, int64_t ldd)
{
    const rls_architecture *arch = a->arch;
    const int64_t width = arch->head_dim, length = longest(a), room = rls_least(QUERY_TILE, length) * length;
    void *scores = NULL;
    if (length == 0)
        return RLS_OK;
    const rls_status status = rls_alloc(ctx, 2 * room * rls_threads(), sizeof(float), &scores);
    if (status != RLS_OK)
        return status;
#pragma omp parallel for schedule(dynamic)
    for (int64_t job = 0; job < a->sequences * a->kv_heads; job++) {
        const int64_t s = job / a->kv_heads, j = job % a->kv_heads, begin = a->start[s];
        const int64_t end = a->start[s + 1] - begin, kv = j * width + begin * ld;
        float *p = (float *)scores + 2 * room * rls_thread();
        head_view h = {.k = k + kv,
                       .v = v + kv,
                       .dk = dk + j * width + begin * ldd,
                       .dv = dv + j * width + begin * ldd,
                       .ld = ld,
                       .ldo = ldo,
                       .ldd = ldd,
                       .width = width};
        for (int64_t t = 0; t < end; t++) {
            clear(width, h.dk + t * ldd);
            clear(width, h.dv + t * ldd);
        }
        for (int64_t i = 0; i < a->heads; i++) {
            if (kv_of(a, i) != j)
                continue;
            h.q = q + i * width + begin * ld;
            h.out = out + i * width + begin * ldo;
            h.dout = dout + i * width + begin * ldo;
            h.dq = dq + i * width + begin * ldd;
            for (int64_t query = 0; query < end; query += QUERY_TILE)
                attend_back_tile(arch, &h, tile_at(arch, query, end), log_sum + begin * a->heads + i,
                                 a->heads, p, p + room);
        }
    }
    free(scores);
    return RLS_OK;
}

void rls_attend_cached(const rls_attention *a, const float *q, const float *k, const float *v, int64_t length,
                       float *scores, float *out)
{
    const int64_t width = a->arch->head_dim, ld = a->kv_heads * width;
    const int64_t first = first_seen(a->arch, length - 1), seen = length - first;
    for (int64_t i = 0; i < a->heads; i++) {
        const int64_t kv = kv_of(a, i) * width + first * ld;
        rls_gemm(RLS_F32, 'T', 'N', seen, 1, width, (double)scale_of(a->arch), k + kv, ld, q + i * width,
                 width, 0.0, scores, seen);
        const float sum = exponentiate(seen, largest(seen, scores), scores);
        rls_gemm(RLS_F32, 'N', 'N', width, 1, seen, 1.0, v + kv, ld, scores, seen, 0.0, out + i * width,
                 width);
        multiply(width, 1.0F / sum, out + i * width);
    }
}
