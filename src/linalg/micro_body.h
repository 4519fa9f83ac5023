/*
 * The kernels for one type and one instruction set; micro.c includes this file once for each, with
 *     REAL, REAL_IS_F64      the element type
 *     VECTOR_BYTES, VECTORS  a register, and how many of them a strip is high
 *     TARGET, NAME(x)        a function attribute, and the names of the functions
 */
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define STRIP (VECTORS * LANES)
#define LINES (VECTORS * VECTOR_BYTES < 64 ? 1 : VECTORS * VECTOR_BYTES / 64)
#define UNROLL _Pragma("GCC unroll 16")

typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#define KERNEL(columns)                                                                                      \
    TARGET static void NAME(multiply_##columns)(int64_t k, const void *a, int64_t lda, const void *b,        \
                                                void *c, int64_t ldc, const rls_fetch *fetch)                \
    {                                                                                                        \
        const REAL *strip = a, *row = b;                                                                     \
        const char *next = fetch->next;                                                                      \
        const int64_t ld = fetch->ld, pace = fetch->pace;                                                    \
        const int64_t fetched = fetch->lines * pace < k ? fetch->lines * pace : k;                           \
        int64_t line = 0, wait = 0;                                                                          \
        NAME(vector) sum[columns][VECTORS];                                                                  \
        UNROLL for (int j = 0; j < columns; j++) UNROLL for (int v = 0; v < VECTORS; v++) sum[j][v] =        \
            (NAME(vector)){0};                                                                               \
        for (int64_t p = 0; p < k; p++, strip += lda, row += columns) {                                      \
            NAME(vector) part[VECTORS];                                                                      \
            if (p < fetched && wait-- == 0) { /* one at a time: they must not wait for each other */         \
                __builtin_prefetch(next + line * 64, 0, 2);                                                  \
                line = (line + 1) % LINES;                                                                   \
                next += line == 0 ? ld : 0;                                                                  \
                wait = pace - 1;                                                                             \
            }                                                                                                \
            UNROLL for (int v = 0; v < VECTORS; v++) part[v] = *(const NAME(vector) *)(strip + v * LANES);   \
            UNROLL for (int j = 0; j < columns; j++) UNROLL for (int v = 0; v < VECTORS; v++) sum[j][v] +=   \
                part[v] * row[j];                                                                            \
        }                                                                                                    \
        UNROLL for (int j = 0; j < columns; j++) UNROLL for (int v = 0; v < VECTORS; v++)                    \
        {                                                                                                    \
            NAME(vector) *to = (NAME(vector) *)((REAL *)c + v * LANES + j * ldc);                            \
            *to += sum[j][v];                                                                                \
        }                                                                                                    \
    }

KERNEL(1)
KERNEL(2)
KERNEL(3)
KERNEL(4)
KERNEL(5)
KERNEL(6)

/* Columns ahead that a strip is fetched: its lines are too far from each other for the processor to do it. */
#define FAR 6

TARGET static void NAME(pack)(int64_t columns, const void *a, int64_t lda, void *strip)
{
    const REAL *from = a;
    REAL *to = strip;
    for (int64_t j = 0; j < columns; j++, from += lda, to += STRIP) {
        UNROLL for (int l = 0; l < LINES; l++) __builtin_prefetch((const char *)(from + FAR * lda) + 64 * l);
        UNROLL for (int v = 0; v < VECTORS; v++) * (NAME(vector) *)(to + v * LANES) =
            *(const NAME(vector) *)(from + v * LANES);
    }
}

TARGET static void NAME(add)(int64_t columns, const void *strip, void *a, int64_t lda)
{
    const REAL *from = strip;
    REAL *to = a;
    for (int64_t j = 0; j < columns; j++, from += STRIP, to += lda) {
        UNROLL for (int l = 0; l < LINES; l++) __builtin_prefetch((const char *)(to + FAR * lda) + 64 * l, 1);
        UNROLL for (int v = 0; v < VECTORS; v++) * (NAME(vector) *)(to + v * LANES) +=
            *(const NAME(vector) *)(from + v * LANES);
    }
}

/* The first and the second halves of two vectors, interleaved. */
#if VECTOR_BYTES == 64 && !REAL_IS_F64
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(x, y) __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VECTOR_BYTES == 64 || (VECTOR_BYTES == 32 && !REAL_IS_F64)
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(x, y) __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#elif VECTOR_BYTES == 32 || !REAL_IS_F64
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 4, 1, 5)
#define HIGH(x, y) __builtin_shufflevector(x, y, 2, 6, 3, 7)
#else
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 2)
#define HIGH(x, y) __builtin_shufflevector(x, y, 1, 3)
#endif

/* Shuffling LANES vectors perfectly, as cards are, log2(LANES) times transposes them. */
TARGET static inline void NAME(turn)(NAME(vector) x[LANES])
{
    NAME(vector) y[LANES];
    UNROLL for (int half = 1; half < LANES; half *= 2)
    {
        UNROLL for (int k = 0; k < LANES / 2; k++)
        {
            y[2 * k] = LOW(x[k], x[k + LANES / 2]);
            y[2 * k + 1] = HIGH(x[k], x[k + LANES / 2]);
        }
        UNROLL for (int k = 0; k < LANES; k++) x[k] = y[k];
    }
}

TARGET static void NAME(transpose)(const rls_tile *tile, int64_t rows, int64_t columns, void *out,
                                   void *straight)
{
    const REAL *a = tile->data;
    REAL *to = out;
    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            const REAL *from = a + i / STRIP * tile->strip + i % STRIP + j * tile->column;
            NAME(vector) x[LANES];
            UNROLL for (int k = 0; k < LANES; k++) x[k] = *(const NAME(vector) *)(from + k * tile->column);
            REAL *const copy =
                straight == NULL ? NULL : (REAL *)straight + (i / STRIP * RLS_TILE + j) * STRIP + i % STRIP;
            UNROLL for (int k = 0; k < LANES && straight != NULL; k++) * (NAME(vector) *)(copy + k * STRIP) =
                x[k];
            NAME(turn)(x);
            UNROLL for (int k = 0; k < LANES; k++) *
                (NAME(vector) *)(to + (j / STRIP * RLS_TILE + i + k) * STRIP + j % STRIP) = x[k];
        }
}

/* Whether a row of a block fits a register: it is stored whole then, and the next row over its end. */
#define WIDE (VECTOR_BYTES == 64 || (VECTOR_BYTES == 32 && !REAL_IS_F64))

TARGET static void NAME(weave)(int64_t rows, int64_t columns, double alpha, const void *a, int64_t lda,
                               void *out)
{
    const REAL *const from = a;
    const REAL factor = (REAL)alpha;
    REAL *const to = out;
    int64_t i = 0;
#if WIDE
    for (; i + LANES <= rows; i += LANES) {
        NAME(vector) x[LANES];
        UNROLL for (int c = 0; c < LANES; c++)
        {
            x[c] = (NAME(vector)){0};
            if (c < columns)
                x[c] = *(const NAME(vector) *)(from + i + c * lda) * factor;
        }
        NAME(turn)(x);
        UNROLL for (int k = 0; k < LANES; k++) * (NAME(vector) *)(to + (i + k) * columns) = x[k];
    }
#endif
    for (; i < rows; i++)
        for (int64_t c = 0; c < columns; c++)
            to[i * columns + c] = factor * from[i + c * lda];
}

/* One block's row: `columns` elements; with `over`, as many behind them as a register holds may be written,
 * and are there to be read. */
TARGET static inline void NAME(copy_row)(int64_t columns, REAL factor, const REAL *from, REAL *to, int over)
{
#if WIDE
    if (over) {
        *(NAME(vector) *)to = *(const NAME(vector) *)from * factor;
        return;
    }
#endif
    (void)over;
    for (int64_t c = 0; c < columns; c++)
        to[c] = factor * from[c];
}

TARGET static void NAME(cut)(int64_t block, int64_t columns, int64_t u, double alpha, const void *a,
                             int64_t lda, void *out)
{
    const REAL *const from = a;
    REAL *const to = out;
    for (int64_t first = 0; first < u; first += 8) {
        const int64_t last = first + 8 < u ? first + 8 : u;
        for (int64_t j = 0; j < columns; j += block) {
            const int64_t count = columns - j < block ? columns - j : block;
            for (int64_t k = first; k < last; k++)
                NAME(copy_row)
            (count, (REAL)alpha, from + j + k * lda, to + j * u + k * count,
             k + 16 < u && j + LANES <= columns);
        }
    }
}

TARGET static void NAME(substitute)(int64_t columns, const void *l, void *strip)
{
    const REAL *row = l;
    for (int64_t j = 0; j < columns; j++, row += RLS_MICRO_COLUMNS) {
        NAME(vector) x[VECTORS];
        REAL *to = (REAL *)strip + j * STRIP;
        UNROLL for (int v = 0; v < VECTORS; v++) x[v] = *(const NAME(vector) *)(to + v * LANES);
        for (int64_t k = 0; k < j; k++)
            UNROLL for (int v = 0; v < VECTORS; v++) x[v] -=
                *(const NAME(vector) *)((const REAL *)strip + k * STRIP + v * LANES) * row[k];
        UNROLL for (int v = 0; v < VECTORS; v++) * (NAME(vector) *)(to + v * LANES) = x[v] * row[j];
    }
}

/* Sums the elements of each of LANES vectors: out[k] += those of x[k]. */
TARGET static inline void NAME(add_up)(NAME(vector) x[LANES], REAL out[])
{
    UNROLL for (int half = LANES / 2; half > 0; half /= 2) UNROLL for (int k = 0; k < half; k++) x[k] =
        LOW(x[k], x[k + half]) + HIGH(x[k], x[k + half]);
    *(NAME(vector) *)out += x[0];
}

#define FOUR(columns, name, WITH_ROWS)                                                                       \
    TARGET static void NAME(name##_##columns)(int64_t vectors, const void *a, int64_t lda, const void *k,    \
                                              void *f, const void *factors, void *s, const rls_fetch *fetch) \
    {                                                                                                        \
        const REAL *strip = a, *row = k, *const factor = factors;                                            \
        const char *next = fetch->next;                                                                      \
        const int64_t ld = fetch->ld, lines = fetch->lines;                                                  \
        REAL *to = f;                                                                                        \
        NAME(vector) sum[(4 * columns + LANES - 1) / LANES * LANES];                                         \
        UNROLL for (int j = 0; j < (4 * columns + LANES - 1) / LANES * LANES; j++) sum[j] =                  \
            (NAME(vector)){0};                                                                               \
        for (int64_t i = 0; i < vectors;                                                                     \
             i++, strip += LANES, row += columns * LANES, to += columns * LANES) {                           \
            NAME(vector) part[4];                                                                            \
            for (int64_t j = 0; j < lines; j++)                                                              \
                __builtin_prefetch(next + j * ld, 0, 2);                                                     \
            next += VECTOR_BYTES;                                                                            \
            UNROLL for (int j = 0; j < 4; j++) part[j] = *(const NAME(vector) *)(strip + j * lda);           \
            UNROLL for (int c = 0; c < columns; c++)                                                         \
            {                                                                                                \
                const NAME(vector) other = *(const NAME(vector) *)(row + c * LANES);                         \
                UNROLL for (int j = 0; j < 4; j++) sum[4 * c + j] += part[j] * other;                        \
                if (WITH_ROWS) {                                                                             \
                    NAME(vector) there = *(const NAME(vector) *)(to + c * LANES);                            \
                    UNROLL for (int j = 0; j < 4; j++) there += part[j] * factor[4 * c + j];                 \
                    *(NAME(vector) *)(to + c * LANES) = there;                                               \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        UNROLL for (int j = 0; j < 4 * columns; j += LANES) NAME(add_up)(sum + j, (REAL *)s + j);            \
    }

#define FOURS(name, WITH_ROWS)                                                                               \
    FOUR(1, name, WITH_ROWS)                                                                                 \
    FOUR(2, name, WITH_ROWS)                                                                                 \
    FOUR(3, name, WITH_ROWS)                                                                                 \
    FOUR(4, name, WITH_ROWS)                                                                                 \
    FOUR(5, name, WITH_ROWS)                                                                                 \
    FOUR(6, name, WITH_ROWS)

FOURS(both, 1)
FOURS(dots, 0)

/* Bytes ahead that a column is fetched: the processor alone follows so many streams too late. */
#define AHEAD ((int64_t)(2048 / sizeof(REAL)))

TARGET static void NAME(eight_columns)(int64_t n, const void *a, int64_t lda, const void *x, void *y,
                                       const void *z, void *s, const void *next)
{
    const REAL *const from = a, *const factor = x, *const other = z;
    REAL *const to = y, *const out = s;
    NAME(vector) dots[8];
    int64_t i = 0;
    UNROLL for (int c = 0; c < 8; c++) dots[c] = (NAME(vector)){0};
    for (; i + LANES <= n; i += LANES) {
        const NAME(vector) zi = *(const NAME(vector) *)(other + i);
        const REAL *const ahead = i + AHEAD < n ? from + i + AHEAD : (const REAL *)next + (i + AHEAD - n);
        NAME(vector) sum[2] = {{0}, {0}};
        UNROLL for (int c = 0; c < 8; c++)
        {
            const NAME(vector) value = *(const NAME(vector) *)(from + i + c * lda);
            __builtin_prefetch(ahead + c * lda);
            dots[c] += value * zi;
            if (y != NULL)
                sum[c % 2] += value * factor[c];
        }
        if (y != NULL)
            *(NAME(vector) *)(to + i) += sum[0] + sum[1];
    }
    for (int c = 0; c < 8; c++) {
        REAL sum = 0;
        for (int v = 0; v < LANES; v++)
            sum += dots[c][v];
        for (int64_t r = i; r < n; r++)
            sum += from[r + c * lda] * other[r];
        out[c] = sum;
    }
    for (; i < n && y != NULL; i++)
        for (int c = 0; c < 8; c++)
            to[i] += from[i + c * lda] * factor[c];
}

static const rls_micro NAME(set) = {
    ISA_NAME,
    STRIP,
    {NAME(multiply_1), NAME(multiply_2), NAME(multiply_3), NAME(multiply_4), NAME(multiply_5),
     NAME(multiply_6)},
    NAME(pack),
    NAME(add),
    NAME(transpose),
    NAME(weave),
    NAME(cut),
    NAME(substitute),
    NAME(eight_columns),
    LANES,
    {NAME(both_1), NAME(both_2), NAME(both_3), NAME(both_4), NAME(both_5), NAME(both_6)},
    {NAME(dots_1), NAME(dots_2), NAME(dots_3), NAME(dots_4), NAME(dots_5), NAME(dots_6)}};

#undef LANES
#undef STRIP
#undef LINES
#undef UNROLL
#undef AHEAD
#undef FAR
#undef FOUR
#undef FOURS
#undef WIDE
#undef KERNEL
#undef LOW
#undef HIGH
