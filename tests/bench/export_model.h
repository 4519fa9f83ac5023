/* The model that bench_export loads and exports. */
#ifndef TESTS_BENCH_EXPORT_MODEL_H
#define TESTS_BENCH_EXPORT_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "store/model_dir.h"
#include "support/random.h"

enum {
    PIECE = 8 << 20,
    PATH_BYTES = 1024,
    SHARDS = 4,
    LAYERS = 2, /* of a shard */
    HIDDEN = 4096,
    INNER = 18432, /* with these sizes a layer's matrices have 2^28 elements */
    KV = 1024,
    VOCABULARY = 4096,
    HEADER = 16 << 10
};

/* Ends the program with the system's reason. */
static inline void rls_bench_stop(const char *what)
{
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The path of a shard. */
static inline const char *rls_bench_shard(const char *model, int shard, char path[PATH_BYTES + 64])
{
    (void)snprintf(path, PATH_BYTES + 64, "%s/model-%05d-of-%05d.safetensors", model, shard + 1, SHARDS);
    return path;
}

/* The tensors of a shard in order, as JSON of a header or, with a file name, of an index; returns the bytes
 * of data. */
static inline int64_t rls_bench_describe(int shard, rls_dtype dtype, char *text, size_t room,
                                         const char *file)
{
    static const struct {
        const char *name;
        int64_t rows, cols; /* cols = 0: a vector */
    } TENSORS[] = {{"input_layernorm", HIDDEN, 0},          {"mlp.down_proj", HIDDEN, INNER},
                   {"mlp.gate_proj", INNER, HIDDEN},        {"mlp.up_proj", INNER, HIDDEN},
                   {"post_attention_layernorm", HIDDEN, 0}, {"self_attn.k_proj", KV, HIDDEN},
                   {"self_attn.o_proj", HIDDEN, HIDDEN},    {"self_attn.q_proj", HIDDEN, HIDDEN},
                   {"self_attn.v_proj", KV, HIDDEN}};
    enum { COUNT = sizeof TENSORS / sizeof TENSORS[0] };
    const int64_t size = (int64_t)rls_dtype_size(dtype);
    const char *type = dtype == RLS_BF16 ? "BF16" : dtype == RLS_F16 ? "F16" : "F32";
    int64_t at = 0;
    size_t used = 0;
    const bool outer = shard == 0 || shard == SHARDS - 1;
    for (int i = 0; i < LAYERS * COUNT + (outer ? 1 : 0); i++) {
        char name[128];
        const bool extra = i == LAYERS * COUNT;
        const int64_t rows = extra ? VOCABULARY : TENSORS[i % COUNT].rows,
                      cols = extra ? HIDDEN : TENSORS[i % COUNT].cols;
        const int64_t bytes = rows * (cols > 0 ? cols : 1) * size;
        if (extra)
            (void)snprintf(name, sizeof name, "%s",
                           shard == 0 ? "model.embed_tokens.weight" : "lm_head.weight");
        else
            (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", shard * LAYERS + i / COUNT,
                           TENSORS[i % COUNT].name);
        if (file != NULL)
            used += (size_t)snprintf(text + used, room - used, "%s\"%s\": \"%s\"",
                                     shard > 0 || i > 0 ? ", " : "", name, file);
        else
            used += (size_t)snprintf(text + used, room - used,
                                     ", \"%s\": {\"dtype\": \"%s\", \"shape\": [%lld%s%.0lld], "
                                     "\"data_offsets\": [%lld, %lld]}",
                                     name, type, (long long)rows, cols > 0 ? ", " : "", (long long)cols,
                                     (long long)at, (long long)(at + bytes));
        at += bytes;
    }
    return at;
}

/* Random bytes that are small numbers in each type: the exponents' top bits are 0111 or 1011. */
static inline void rls_bench_randomize(char *data, int64_t bytes, rls_dtype dtype)
{
    rls_random random = rls_random_seed(7);
    for (int64_t i = 0; i < bytes / 8; i++)
        ((uint64_t *)(void *)data)[i] = rls_random_bits(&random);
    const int64_t size = (int64_t)rls_dtype_size(dtype);
    for (int64_t i = size - 1; i < bytes; i += size)
        data[i] = (char)(((unsigned char)data[i] & 0x81U) | (dtype == RLS_F16 ? 0x28U : 0x3aU));
}

/* One shard: no two pieces alike. */
static inline void rls_bench_make_shard(const char *model, int shard, rls_dtype dtype, const char *data)
{
    char path[PATH_BYTES + 64], header[HEADER];
    (void)snprintf(header, sizeof header, "%8s{\"__metadata__\": {\"format\": \"pt\"}", "");
    size_t length = strlen(header);
    const int64_t bytes = rls_bench_describe(shard, dtype, header + length, sizeof header - length, NULL);
    length = strlen(header);
    header[length++] = '}';
    while (length % 8 != 0)
        header[length++] = ' ';
    for (unsigned i = 0; i < 8; i++)
        header[i] = (char)(unsigned char)((length - 8) >> 8 * i & 0xffU);
    FILE *file = fopen(rls_bench_shard(model, shard, path), "wb");
    if (file == NULL || fwrite(header, 1, length, file) != length)
        rls_bench_stop(path);
    for (int64_t done = 0; done < bytes; done += PIECE) {
        const size_t piece = (size_t)(bytes - done < PIECE ? bytes - done : PIECE);
        if (fwrite(data + 64 * ((done / PIECE + 1000 * (int64_t)shard) % (PIECE / 64)), 1, piece, file) !=
            piece)
            rls_bench_stop(path);
    }
    if (fflush(file) != 0 || fsync(fileno(file)) != 0 || fclose(file) != 0)
        rls_bench_stop(path);
}

static inline void rls_bench_write_text(const char *dir, const char *name, const char *text)
{
    char path[PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        rls_bench_stop(path);
}

/* The model, unless one that was kept is there: config.json comes last. data: two random pieces. Rank 0. */
static inline void rls_bench_model(const char *model, rls_dtype dtype, const char *data)
{
    char config[PATH_BYTES + 64], text[256], file[64];
    char *index = memory(SHARDS * HEADER);
    (void)snprintf(config, sizeof config, "%s/config.json", model);
    (void)snprintf(text, sizeof text,
                   "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, "
                   "\"num_hidden_layers\": %d, \"torch_dtype\": \"%s\"}\n",
                   HIDDEN, INNER, SHARDS * LAYERS, rls_dtype_name(dtype));
    if (access(config, F_OK) == 0)
        goto done;
    (void)mkdir(model, 0700);
    size_t used = (size_t)snprintf(index, SHARDS * HEADER, "{\"metadata\": {}, \"weight_map\": {");
    for (int s = 0; s < SHARDS; s++) {
        (void)snprintf(file, sizeof file, "model-%05d-of-%05d.safetensors", s + 1, SHARDS);
        rls_bench_make_shard(model, s, dtype, data);
        (void)rls_bench_describe(s, dtype, index + used, SHARDS * HEADER - used, file);
        used = strlen(index);
    }
    (void)snprintf(index + used, SHARDS * HEADER - used, "}}\n");
    rls_bench_write_text(model, RLS_MODEL_INDEX, index);
    rls_bench_write_text(model, "config.json", text);
done:
    free(index);
}

#endif
