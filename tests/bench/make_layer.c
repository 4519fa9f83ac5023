/*
 * Makes what one edited layer of a large model needs, of any size, as rlsedit reads it:
 *
 *     mpirun -n 2 make_layer --dir DIR --n 28672 --m 8192 --edits 300 --batch 100
 *
 *     DIR/model/      config.json, model.safetensors with model.layers.0.mlp.down_proj.weight [m, n] in BF16
 *     DIR/moments.nc  M = B B^T + d I, float32: B [n, rank] random directions whose variances fall like 1/j
 *     DIR/stream.nc   keys k = B c + s, of the text that M is of and something of their own; targets W k + r
 *
 * The sizes are those of a Llama: weights of 0.02, elements of a key of 0.1 in the mean square, 1 % of a
 * key's square in d; s has the square 64, which lambda = 1 and 15000 M let an edit reach; r is as large as W
 * k. No rank holds more than its part of M and a few panels.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dtype.h"
#include "bench/bench.h"
#include "bench/options.h"
#include "linalg/accumulate.h"
#include "linalg/symmetric.h"
#include "rlsedit/rlsedit.h"
#include "store/moments.h"
#include "store/stream_write.h"
#include "support/random.h"

enum { PATH_BYTES = 1024, HEADER_BYTES = 512, KEYS_COUNTED = 1 << 20 };

static const char MODULE[] = "model.layers.{}.mlp.down_proj";
static const double WEIGHT_SIZE = 0.02, KEY_SIZE = 0.1, OWN_SHARE = 0.01, EDIT_SQUARE = 64.0;

typedef struct {
    int64_t n, m, edits, batch, rank, seed;
    const char *dir;
} options;

/* What is made, and this rank's parts of it. */
typedef struct {
    rls_context *ctx;
    rls_grid *grid;
    options o;
    int64_t first_direction, directions; /* this rank's columns of B */
    float *b;                            /* [n, directions] */
    float *keys;                         /* [n, edits], on all ranks */
    float *values;                       /* [m, edits], on all ranks */
} maker;

static void path_of(const maker *mk, const char *name, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", mk->o.dir, name);
}

/* Where this rank's even share of `count` things begins. */
static int64_t begin_of(const maker *mk, int64_t count, int rank)
{
    return count * rank / rls_context_size(mk->ctx);
}

/* The sequence of column or row j of one of the arrays: the same on any number of ranks. */
static rls_random sequence(const maker *mk, uint64_t array, int64_t j)
{
    return rls_random_seed((uint64_t)mk->o.seed * UINT64_C(0x100000001b3) + (array << 40) + (uint64_t)j);
}

/* B's columns, so that the mean square of k = B c is what KEY_SIZE says. */
static void make_directions(maker *mk)
{
    const int64_t n = mk->o.n;
    double harmonic = 0.0;
    for (int64_t j = 0; j < mk->o.rank; j++)
        harmonic += 1.0 / (double)(j + 1);
    mk->first_direction = begin_of(mk, mk->o.rank, rls_context_rank(mk->ctx));
    mk->directions = begin_of(mk, mk->o.rank, rls_context_rank(mk->ctx) + 1) - mk->first_direction;
    mk->b = memory((double)n * (double)mk->directions * sizeof(float));
    for (int64_t j = 0; j < mk->directions; j++) {
        const int64_t jg = mk->first_direction + j;
        const double size = KEY_SIZE * sqrt((1.0 - OWN_SHARE) / harmonic / (double)(jg + 1));
        rls_random random = sequence(mk, 1, jg);
        for (int64_t i = 0; i < n; i++)
            mk->b[i + j * n] = (float)(size * rls_random_normal(&random));
    }
}

static void make_keys(maker *mk)
{
    const int64_t n = mk->o.n, edits = mk->o.edits;
    float *c = memory((double)(mk->directions * edits) * sizeof(float));
    mk->keys = memory((double)n * (double)edits * sizeof(float));
    for (int64_t j = 0; j < mk->directions; j++) {
        rls_random random = sequence(mk, 2, mk->first_direction + j);
        for (int64_t e = 0; e < edits; e++)
            c[j + e * mk->directions] = (float)rls_random_normal(&random);
    }
    memset(mk->keys, 0, (size_t)(n * edits) * sizeof(float));
    if (mk->directions > 0)
        rls_gemm(RLS_F32, 'N', 'N', n, edits, mk->directions, 1.0, mk->b, n, c, mk->directions, 0.0, mk->keys,
                 n);
    for (int64_t e = 0; e < edits; e++)
        MPI_Allreduce(MPI_IN_PLACE, mk->keys + e * n, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    for (int64_t e = 0; e < edits; e++) {
        rls_random random = sequence(mk, 3, e);
        for (int64_t i = 0; i < n; i++)
            mk->keys[i + e * n] += (float)(sqrt(EDIT_SQUARE / (double)n) * rls_random_normal(&random));
    }
    free(c);
}

static void write_moments(maker *mk)
{
    char path[PATH_BYTES];
    rls_matrix *moment = NULL;
    rls_accumulator *accumulator = NULL;
    const rls_vectors vectors = {mk->directions, RLS_F32, mk->b};
    const int layer = 0;
    const int64_t count = KEYS_COUNTED;
    path_of(mk, "moments.nc", path);
    check(mk->ctx, rls_matrix_create(mk->grid, RLS_F32, mk->o.n, mk->o.n, 64, &moment));
    check(mk->ctx, rls_accumulator_create(mk->grid, RLS_F32, mk->o.n, 64, 0, &accumulator));
    check(mk->ctx, rls_accumulate(accumulator, moment, &vectors));
    rls_accumulator_destroy(&accumulator);
    rls_symmetric_scale_shift(moment, 1.0, KEY_SIZE * KEY_SIZE * OWN_SHARE);
    check(mk->ctx, rls_symmetric_mirror(moment));
    check(mk->ctx, rls_moments_write(mk->ctx, path, MODULE, 1, &layer, &moment, &count));
    rls_matrix_destroy(&moment);
}

static void write_text(const maker *mk, const char *name, const char *text)
{
    char path[PATH_BYTES];
    if (rls_context_rank(mk->ctx) != 0)
        return;
    path_of(mk, name, path);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        MPI_Abort(MPI_COMM_WORLD, 5);
    }
}

static void write_config(const maker *mk)
{
    char text[1024], path[PATH_BYTES];
    path_of(mk, "model", path);
    if (rls_context_rank(mk->ctx) == 0 && mkdir(path, 0777) != 0) {
        perror(path);
        MPI_Abort(MPI_COMM_WORLD, 5);
    }
    (void)snprintf(
        text, sizeof text,
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": %lld, "
        "\"intermediate_size\": %lld, \"num_hidden_layers\": 1, \"hidden_act\": \"silu\", "
        "\"mlp_bias\": false, \"torch_dtype\": \"bfloat16\"}\n",
        (long long)mk->o.m, (long long)mk->o.n);
    write_text(mk, "model/config.json", text);
}

/* The bytes before the data; their number is a multiple of 8. */
static int64_t make_header(const maker *mk, char header[HEADER_BYTES])
{
    const int length =
        snprintf(header + 8, HEADER_BYTES - 8,
                 "{\"__metadata__\":{\"format\":\"pt\"},\"model.layers.0.mlp.down_proj.weight\":"
                 "{\"dtype\":\"BF16\",\"shape\":[%lld,%lld],\"data_offsets\":[0,%lld]}}",
                 (long long)mk->o.m, (long long)mk->o.n, (long long)(2 * mk->o.m * mk->o.n));
    const int64_t padded = ((int64_t)length + 7) / 8 * 8;
    memset(header + 8 + length, ' ', (size_t)(padded - length));
    for (int i = 0; i < 8; i++)
        header[i] = (char)(padded >> (8 * i));
    return 8 + padded;
}

/* Rows of W from row `first`: in BF16, and as BF16 rounds them in float32. */
static void make_rows(const maker *mk, int64_t first, int64_t rows, void *stored, float *numbers)
{
    const int64_t n = mk->o.n;
    for (int64_t i = 0; i < rows; i++) {
        rls_random random = sequence(mk, 4, first + i);
        for (int64_t j = 0; j < n; j++)
            numbers[i * n + j] = (float)(WEIGHT_SIZE * sqrt(3.0) * (2.0 * rls_random_uniform(&random) - 1.0));
    }
    rls_convert(RLS_BF16, stored, 1, RLS_F32, numbers, 1, rows * n);
    rls_convert(RLS_F32, numbers, 1, RLS_BF16, stored, 1, rows * n);
}

static void put(int file, const char *path, const void *data, int64_t bytes, int64_t offset)
{
    const char *from = data;
    for (ssize_t put = 0; bytes > 0; bytes -= put, from += put, offset += put) {
        put = pwrite(file, from, (size_t)bytes, (off_t)offset);
        if (put <= 0) {
            perror(path);
            MPI_Abort(MPI_COMM_WORLD, 5);
        }
    }
}

/* W goes to the file round by round, each rank its rows, and takes its products with the keys along. */
static void write_weight(maker *mk)
{
    char header[HEADER_BYTES], path[PATH_BYTES];
    const int64_t n = mk->o.n, m = mk->o.m, header_bytes = make_header(mk, header);
    const int64_t begin = begin_of(mk, m, rls_context_rank(mk->ctx));
    const int64_t end = begin_of(mk, m, rls_context_rank(mk->ctx) + 1);
    const int64_t most = RLS_ROUND_BYTES / (4 * n) > 0 ? RLS_ROUND_BYTES / (4 * n) : 1;
    void *stored = memory(2.0 * (double)(most * n));
    float *numbers = memory(4.0 * (double)(most * n));
    mk->values = memory((double)m * (double)mk->o.edits * sizeof(float));
    memset(mk->values, 0, (size_t)(m * mk->o.edits) * sizeof(float));
    path_of(mk, "model/model.safetensors", path);
    const int file = open(path, O_WRONLY | O_CREAT, 0666);
    put(file, path, header, header_bytes, 0); /* by all the same */
    for (int64_t at = begin, rows = 0; at < end; at += rows) {
        rows = end - at < most ? end - at : most;
        make_rows(mk, at, rows, stored, numbers);
        rls_gemm(RLS_F32, 'T', 'N', rows, mk->o.edits, n, 1.0, numbers, n, mk->keys, n, 0.0, mk->values + at,
                 m);
        put(file, path, stored, 2 * rows * n, header_bytes + 2 * at * n);
    }
    (void)close(file);
    for (int64_t e = 0; e < mk->o.edits; e++)
        MPI_Allreduce(MPI_IN_PLACE, mk->values + e * m, (int)m, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    free(stored);
    free(numbers);
}

/* What W shall say instead: as far from W k as W k is large. */
static void add_residuals(const maker *mk)
{
    const int64_t m = mk->o.m;
    for (int64_t e = 0; e < mk->o.edits; e++) {
        float *value = mk->values + e * m;
        const double size = sqrt(rls_sum_squares(RLS_F32, m, 1, value, m) / (double)m);
        rls_random random = sequence(mk, 5, e);
        for (int64_t i = 0; i < m; i++)
            value[i] += (float)(size * rls_random_normal(&random));
    }
}

static void write_stream(const maker *mk)
{
    char path[PATH_BYTES];
    rls_stream_layer layer = {
        .layer = 0, .n = mk->o.n, .m = mk->o.m, .key_dtype = RLS_F32, .value_dtype = RLS_F32};
    rls_stream_info info = {
        .batch = mk->o.batch, .kind = RLS_TARGET, .has_case_ids = true, .layer_count = 1, .layers = &layer};
    const int64_t first = begin_of(mk, mk->o.edits, rls_context_rank(mk->ctx));
    const int64_t count = begin_of(mk, mk->o.edits, rls_context_rank(mk->ctx) + 1) - first;
    const rls_vectors keys = {count, RLS_F32, mk->keys + first * mk->o.n};
    const rls_vectors values = {count, RLS_F32, mk->values + first * mk->o.m};
    int64_t *ids = memory((double)count * sizeof *ids);
    (void)snprintf(info.module, sizeof info.module, "%s", MODULE);
    for (int64_t e = 0; e < count; e++)
        ids[e] = first + e;
    path_of(mk, "stream.nc", path);
    check(mk->ctx, rls_stream_write(mk->ctx, path, &info, ids, &keys, &values));
    free(ids);
}

int main(int argc, char **argv)
{
    maker mk = {.o = {.n = 28672, .m = 8192, .edits = 300, .batch = 100, .rank = 1024, .seed = 1}};
    const bench_option table[] = {{"dir", "DIR", "where to write", OPTION_TEXT, &mk.o.dir, 0},
                                  {"n", "N", "key size (28672)", OPTION_NUMBER, &mk.o.n, 1},
                                  {"m", "M", "value size (8192)", OPTION_NUMBER, &mk.o.m, 1},
                                  {"edits", "E", "edits of the stream (300)", OPTION_NUMBER, &mk.o.edits, 1},
                                  {"batch", "B", "edits of a batch (100)", OPTION_NUMBER, &mk.o.batch, 1},
                                  {"rank", "R", "of the second moments (1024)", OPTION_NUMBER, &mk.o.rank, 1},
                                  {"seed", "S", "of the random numbers (1)", OPTION_NUMBER, &mk.o.seed, 1}};
    MPI_Init(&argc, &argv);
    const int stop = options_read(argc, argv, "make_layer", table, OPTION_COUNT(table));
    if (stop >= 0 || mk.o.dir == NULL) {
        if (stop < 0)
            (void)fprintf(stderr, "make_layer: --dir is missing\n");
        MPI_Finalize();
        return stop >= 0 ? stop : 2;
    }
    if (rls_context_create(MPI_COMM_WORLD, &mk.ctx) != RLS_OK ||
        rls_grid_create(mk.ctx, 0, 0, &mk.grid) != RLS_OK)
        MPI_Abort(MPI_COMM_WORLD, 70);
    make_directions(&mk);
    make_keys(&mk);
    write_moments(&mk);
    free(mk.b);
    write_config(&mk);
    MPI_Barrier(MPI_COMM_WORLD); /* the directory is there */
    write_weight(&mk);
    add_residuals(&mk);
    write_stream(&mk);
    free(mk.keys);
    free(mk.values);
    rls_grid_destroy(&mk.grid);
    rls_context_destroy(&mk.ctx);
    MPI_Finalize();
    return 0;
}
