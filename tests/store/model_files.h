/* Small model directories of known numbers, for the tests of this room. */
#ifndef STORE_MODEL_FILES_H
#define STORE_MODEL_FILES_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"
#include "linalg/matrix.h"
#include "store/model_dir.h"
#include "store/tensor_io.h"
#include "support/collective.h"

enum { JSON_BYTES = 1 << 16, TENSORS_MAX = 16 };

/* A tensor to be written; rows x cols, cols 0: a vector of rows. */
typedef struct {
    const char *name;
    rls_tensor_type type;
    int64_t rows, cols;
} sample;

static inline int64_t sample_elements(const sample *t)
{
    return t->rows * (t->cols > 0 ? t->cols : 1);
}

static inline size_t sample_bytes(const sample *t)
{
    return (size_t)(sample_elements(t) * rls_tensor_type_bits(t->type) / 8);
}

static inline uint64_t seed_of(const char *name)
{
    uint64_t seed = 14695981039346656037U;
    for (; *name != '\0'; name++)
        seed = (seed ^ (unsigned char)*name) * 1099511628211U;
    return seed;
}

/* The number at [row, col] of a tensor before it is rounded to the file's type. */
static inline double sample_value(const char *name, int64_t row, int64_t col)
{
    return rls_random_normal_at(seed_of(name), row, col);
}

/* A number to and from a file's bytes, which need not be aligned. */
static inline void put_number(rls_dtype dtype, char *to, double value)
{
    double bits = 0.0;
    rls_convert(dtype, &bits, 1, RLS_F64, &value, 1, 1);
    memcpy(to, &bits, rls_dtype_size(dtype));
}

static inline double get_number(rls_dtype dtype, const char *from)
{
    double bits = 0.0, value = 0.0;
    memcpy(&bits, from, rls_dtype_size(dtype));
    rls_convert(RLS_F64, &value, 1, dtype, &bits, 1, 1);
    return value;
}

/* value, rounded to dtype. */
static inline double rounded(double value, rls_dtype dtype)
{
    char bits[sizeof(double)];
    put_number(dtype, bits, value);
    return get_number(dtype, bits);
}

static inline void fill_sample(const sample *t, char *out)
{
    rls_dtype dtype = RLS_F64;
    const bool numbers = rls_tensor_type_dtype(t->type, &dtype);
    const int64_t cols = t->cols > 0 ? t->cols : 1;
    for (int64_t i = 0; numbers && i < sample_elements(t); i++)
        put_number(dtype, out + (size_t)i * rls_dtype_size(dtype), sample_value(t->name, i / cols, i % cols));
    for (size_t i = 0; !numbers && i < sample_bytes(t); i++)
        out[i] = (char)(unsigned char)(seed_of(t->name) >> (i % 7U));
}

/* Writes a shard: header (padding spaces at its end, to make its length odd), data in the given order. */
static inline void write_shard(const char *dir, const char *name, const sample *tensors, int count,
                               int padding)
{
    char path[RLS_TEST_PATH_MAX];
    char *header = malloc(JSON_BYTES);
    size_t at = (size_t)snprintf(header, JSON_BYTES, "{\"__metadata__\":{\"format\":\"pt\"}"), data = 0;
    for (int i = 0; i < count; i++) {
        const sample *t = &tensors[i];
        char cols[32] = "";
        if (t->cols > 0)
            (void)snprintf(cols, sizeof cols, ",%" PRId64, t->cols);
        at += (size_t)snprintf(
            header + at, JSON_BYTES - at,
            ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRId64 "%s],\"data_offsets\":[%zu,%zu]}", t->name,
            rls_tensor_type_name(t->type), t->rows, cols, data, data + sample_bytes(t));
        data += sample_bytes(t);
    }
    at += (size_t)snprintf(header + at, JSON_BYTES - at, "}%*s", padding, "");
    char *file = malloc(RLS_SAFETENSORS_PREFIX + at + data);
    for (int i = 0; i < RLS_SAFETENSORS_PREFIX; i++)
        file[i] = (char)(unsigned char)(at >> (8U * (unsigned)i) & 0xffU);
    memcpy(file + RLS_SAFETENSORS_PREFIX, header, at);
    size_t to = RLS_SAFETENSORS_PREFIX + at;
    for (int i = 0; i < count; i++) {
        fill_sample(&tensors[i], file + to);
        to += sample_bytes(&tensors[i]);
    }
    rls_test_write(rls_test_path(path, dir, name), file, to);
    free(file);
    free(header);
}

/* Makes a symbolic link (rank 0). */
static inline void make_link(const char *target, const char *dir, const char *name)
{
    int rank = 0;
    char path[RLS_TEST_PATH_MAX];
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0 && symlink(target, rls_test_path(path, dir, name)) != 0)
        abort();
    MPI_Barrier(MPI_COMM_WORLD);
}

/* The model most tests use: three shards, all editable types, both layouts, odd sizes. */
static const sample shard_a[] = {{"embed.weight", RLS_TENSOR_BF16, 11, 7},
                                 {"layers.0.down.weight", RLS_TENSOR_BF16, 13, 37},
                                 {"layers.0.norm", RLS_TENSOR_BF16, 13, 0},
                                 {"layers.1.down.weight", RLS_TENSOR_BF16, 13, 37},
                                 {"scales", RLS_TENSOR_F8_E4M3, 5, 3}};
static const sample shard_b[] = {{"ids", RLS_TENSOR_I64, 3, 0},
                                 {"layers.2.down.weight", RLS_TENSOR_F64, 5, 23},
                                 {"layers.3.down.weight", RLS_TENSOR_F32, 1, 29},
                                 {"h.4.mlp.c_proj.weight", RLS_TENSOR_F16, 31, 17},
                                 {"mask", RLS_TENSOR_BOOL, 3, 0}};
static const sample shard_c[] = {{"head", RLS_TENSOR_F32, 9, 9}, {"empty", RLS_TENSOR_F32, 0, 0}};
enum { SHARD_A = 5, SHARD_B = 5, SHARD_C = 2, SAMPLE_EDITS = 5, SAMPLE_INDEX_SIZE = 4096 };
#define FILE_A "model-00001-of-00003.safetensors"
#define FILE_B "model-00002-of-00003.safetensors"
#define FILE_C "model-00003-of-00003.safetensors"

/* Its editable tensors as matrices X [n, m]. */
typedef struct {
    const char *name;
    rls_lines lines;
    rls_dtype dtype; /* in the file */
    int64_t n, m;
    const char *file;
} weight;
static const weight weights[SAMPLE_EDITS] = {
    {"layers.0.down.weight", RLS_LINES_ARE_COLUMNS, RLS_BF16, 37, 13, FILE_A},
    {"layers.1.down.weight", RLS_LINES_ARE_COLUMNS, RLS_BF16, 37, 13, FILE_A},
    {"layers.2.down.weight", RLS_LINES_ARE_COLUMNS, RLS_F64, 23, 5, FILE_B},
    {"layers.3.down.weight", RLS_LINES_ARE_COLUMNS, RLS_F32, 29, 1, FILE_B},
    {"h.4.mlp.c_proj.weight", RLS_LINES_ARE_ROWS, RLS_F16, 31, 17, FILE_B},
};

static inline void add_to_index(char *text, const sample *tensors, int count, const char *file, bool *first)
{
    for (int i = 0; i < count; i++) {
        const size_t at = strlen(text);
        (void)snprintf(text + at, SAMPLE_INDEX_SIZE - at, "%s\"%s\": \"%s\"", *first ? "" : ", ",
                       tensors[i].name, file);
        *first = false;
    }
}

static inline int64_t samples_bytes(void)
{
    size_t bytes = 0;
    for (int i = 0; i < SHARD_A; i++)
        bytes += sample_bytes(&shard_a[i]);
    for (int i = 0; i < SHARD_B; i++)
        bytes += sample_bytes(&shard_b[i]);
    for (int i = 0; i < SHARD_C; i++)
        bytes += sample_bytes(&shard_c[i]);
    return (int64_t)bytes;
}

/* Writes the model into an existing directory. */
static inline void write_model(const char *dir)
{
    char text[SAMPLE_INDEX_SIZE];
    bool first = true;
    (void)snprintf(text, sizeof text,
                   "{\"metadata\": {\"total_size\": %" PRId64 ", \"by\": \"tests\"}, \"weight_map\": {",
                   samples_bytes());
    add_to_index(text, shard_a, SHARD_A, FILE_A, &first);
    add_to_index(text, shard_b, SHARD_B, FILE_B, &first);
    add_to_index(text, shard_c, SHARD_C, FILE_C, &first);
    const size_t at = strlen(text);
    (void)snprintf(text + at, sizeof text - at, "}}");
    write_shard(dir, FILE_A, shard_a, SHARD_A, 3);
    write_shard(dir, FILE_B, shard_b, SHARD_B, 0);
    write_shard(dir, FILE_C, shard_c, SHARD_C, 1);
    rls_test_write_text(dir, RLS_MODEL_INDEX, text);
    rls_test_write_text(dir, "config.json", "{\"model_type\": \"sample\"}\n");
}

/* Local element (il, jl) of a matrix as float64. */
static inline double local_value(rls_matrix *matrix, int64_t il, int64_t jl)
{
    int64_t ld = 0;
    const void *data = rls_matrix_local(matrix, NULL, NULL, &ld);
    const int64_t at = il + jl * ld;
    return matrix->part.dtype == RLS_F64 ? ((const double *)data)[at] : (double)((const float *)data)[at];
}

static inline void set_local(rls_matrix *matrix, int64_t il, int64_t jl, double value)
{
    int64_t ld = 0;
    void *data = rls_matrix_local(matrix, NULL, NULL, &ld);
    if (matrix->part.dtype == RLS_F64)
        ((double *)data)[il + jl * ld] = value;
    else
        ((float *)data)[il + jl * ld] = (float)value;
}

/* What X (i, j) of a weight is in a file of type dtype, and then in a matrix of type state, plus `shift`. */
static inline double weight_value(const weight *w, int64_t i, int64_t j, rls_dtype state)
{
    const bool columns = w->lines == RLS_LINES_ARE_COLUMNS;
    return rounded(rounded(sample_value(w->name, columns ? j : i, columns ? i : j), w->dtype), state);
}

#endif
