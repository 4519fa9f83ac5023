/* The header parser: each rule of the format by its attack file, good files' tables, costs of lookups. */
/* ctest: NP 1 2 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/safetensors.h"
#include "support/collective.h"

#define CORPUS RLS_TEST_SOURCE "/tests/fuzz/corpus/safetensors/"

static rls_context *make_context(void)
{
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    return ctx;
}

/* Parses a whole file's bytes, and agrees. */
static rls_status parse_bytes(rls_context *ctx, const char *bytes, size_t size, rls_tensor_table **table)
{
    int64_t length = 0;
    *table = NULL;
    rls_status status =
        rls_safetensors_header_length(ctx, "file", (const unsigned char *)bytes, (int64_t)size, &length);
    if (status == RLS_OK)
        status = rls_safetensors_parse(ctx, "file", bytes + RLS_SAFETENSORS_PREFIX, (size_t)length,
                                       (int64_t)size - RLS_SAFETENSORS_PREFIX - length, table);
    return rls_agree(ctx, status);
}

static rls_status parse_corpus(rls_context *ctx, const char *name, rls_tensor_table **table)
{
    char path[RLS_TEST_PATH_MAX];
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s%s", CORPUS, name);
    char *bytes = rls_test_read(path, &size);
    const rls_status status = parse_bytes(ctx, bytes, size, table);
    free(bytes);
    return status;
}

/* The message says which rule, and names the culprit. */
static void test_attacks(void **state)
{
    static const struct {
        const char *name, *message;
    } attack[] = {
        {"bad-empty-file", "file: 0 bytes are too few"},
        {"bad-short-file", "file: 5 bytes are too few"},
        {"bad-length-beyond", "header length 4096 is beyond the end of the file"},
        {"bad-length-limit", "header length 100000001 exceeds the format's limit"},
        {"bad-length-huge", "header length 18446744073709551615 exceeds the format's limit"},
        {"bad-length-zero", "does not begin with '{'"},
        {"bad-length-cuts-json", "not valid JSON"},
        {"bad-begin", "does not begin with '{'"},
        {"bad-array", "does not begin with '{'"},
        {"bad-json", "not valid JSON"},
        {"bad-after-json", "not valid JSON"},
        {"bad-nul-after-json", "not valid JSON"},
        {"bad-utf8", "not valid JSON"},
        {"bad-nul-in-name", "not valid JSON"},
        {"bad-deep", "not valid JSON"},
        {"bad-duplicate", "'w' appears twice"},
        {"bad-duplicate-long", "'model.layers.0.mlp.down_proj.weight' appears twice"},
        {"bad-duplicate-escaped", "'\\u0077' appears twice"},
        {"bad-duplicate-field", "'dtype' appears twice"},
        {"bad-metadata", "__metadata__ is not an object"},
        {"bad-metadata-value", "__metadata__ 'format' is not text"},
        {"bad-entry", "tensor 'w': its entry is not an object"},
        {"bad-no-dtype", "tensor 'w': field 'dtype' is missing"},
        {"bad-no-shape", "tensor 'w': field 'shape' is missing"},
        {"bad-no-data-offsets", "tensor 'w': field 'data_offsets' is missing"},
        {"bad-field", "tensor 'w': field 'strides' is unknown"},
        {"bad-dtype", "tensor 'w': dtype 'F12' is unknown"},
        {"bad-dtype-type", "tensor 'w': dtype is not text"},
        {"bad-name-control", "tensor 'w?[2J?': dtype"},
        {"bad-shape", "tensor 'w': shape is not an array"},
        {"bad-shape-item", "tensor 'w': a dimension of shape is not an integer"},
        {"bad-shape-negative", "tensor 'w': a dimension of shape is negative"},
        {"bad-shape-overflow", "tensor 'w': the product of its shape overflows"},
        {"bad-shape-range", "too big integer"},
        {"bad-bytes-overflow", "tensor 'w': dtype x shape overflows"},
        {"bad-half-byte", "tensor 'w': dtype x shape is not a whole number of bytes"},
        {"bad-offsets", "tensor 'w': data_offsets are not two integers"},
        {"bad-offsets-count", "tensor 'w': data_offsets are not two integers"},
        {"bad-offsets-type", "tensor 'w': data_offsets are not two integers"},
        {"bad-offsets-negative", "tensor 'w': data_offsets [-8, 0] are not a range"},
        {"bad-offsets-reversed", "tensor 'w': data_offsets [8, 0] are not a range"},
        {"bad-offsets-beyond", "tensor 'w': data_offsets [0, 16] go beyond the file's 8 bytes"},
        {"bad-offsets-far", "tensor 'w': data_offsets [9223372036854775799, 9223372036854775807] go beyond"},
        {"bad-size", "tensor 'w': F32 [3] takes 12 bytes, but data_offsets [0, 8] hold 8"},
        {"bad-misaligned", "tensor 'w': begins at byte 2, misaligned for F32"},
        {"bad-overlap", "tensor 'w' at bytes [4, 12] overlaps tensor 'a', which ends at 8"},
        {"bad-same-bytes", "overlaps tensor"},
        {"bad-hole", "a hole of 4 bytes before tensor 'w' at byte 12"},
        {"bad-hole-first", "a hole of 8 bytes before tensor 'w' at byte 8"},
        {"bad-after-data", "9 bytes of data, but its tensors end at 8"},
        {"bad-data-of-nothing", "1 bytes of data, but its tensors end at 0"},
    };
    (void)state;
    rls_context *ctx = make_context();
    for (size_t i = 0; i < sizeof attack / sizeof attack[0]; i++) {
        rls_tensor_table *table = NULL;
        assert_all_status(ctx, parse_corpus(ctx, attack[i].name, &table), RLS_ERR_DATA);
        assert_all_message(ctx, attack[i].message);
        assert_all_message(ctx, "file: ");
        assert_all(table == NULL);
    }
    /* No attack file is left out of the list above. */
    size_t files = 0;
    DIR *dir = opendir(CORPUS);
    assert_all(dir != NULL);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        files += strncmp(entry->d_name, "bad-", 4) == 0;
    closedir(dir);
    assert_all_int_equal(files, sizeof attack / sizeof attack[0]);
    rls_context_destroy(&ctx);
}

static void test_good_files(void **state)
{
    static const struct {
        const char *name;
        int64_t tensors;
    } good[] = {{"good-empty", 0},
                {"good-one", 1},
                {"good-padding", 1},
                {"good-metadata", 1},
                {"good-zero-sizes", 4},
                {"good-order", 2},
                {"good-types", RLS_TENSOR_TYPE_COUNT}};
    (void)state;
    rls_context *ctx = make_context();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        rls_tensor_table *table = NULL;
        assert_all_ok(ctx, parse_corpus(ctx, good[i].name, &table));
        assert_all_int_equal(rls_tensor_table_count(table), good[i].tensors);
        assert_all(rls_tensor_table_find(table, "") == NULL);
        for (int64_t t = 0; t < rls_tensor_table_count(table); t++) {
            const rls_tensor *tensor = rls_tensor_table_at(table, t);
            assert_all(rls_tensor_table_find(table, tensor->name) == tensor);
        }
        rls_tensor_table_destroy(&table);
        assert_all(table == NULL);
    }
    rls_context_destroy(&ctx);
}

static void test_contents(void **state)
{
    char text[RLS_TENSOR_TEXT_MAX];
    rls_dtype dtype = RLS_F64;
    rls_tensor_table *table = NULL;
    (void)state;
    rls_context *ctx = make_context();
    assert_all_ok(ctx, parse_corpus(ctx, "good-zero-sizes", &table));
    const rls_tensor *b = rls_tensor_table_find(table, "b"), *c = rls_tensor_table_find(table, "c");
    assert_all(b != NULL && b->type == RLS_TENSOR_F32 && b->elements == 0 && b->begin == 8 && b->end == 8);
    assert_all_string_equal(rls_shape_text(b->dims, b->shape, text), "[0, 7]");
    assert_all(c != NULL && c->type == RLS_TENSOR_U8 && c->begin == 8 && c->end == 11 && c->shape[0] == 3);
    rls_tensor_table_destroy(&table);
    assert_all_ok(ctx, parse_corpus(ctx, "good-metadata", &table));
    const rls_tensor *w = rls_tensor_table_at(table, 0);
    assert_all(w->dims == 0 && w->elements == 1 && w->end == 8);
    assert_all_string_equal(rls_shape_text(w->dims, w->shape, text), "[]");
    rls_tensor_table_destroy(&table);
    assert_all(rls_tensor_type_dtype(RLS_TENSOR_BF16, &dtype) && dtype == RLS_BF16);
    assert_all(rls_tensor_type_dtype(RLS_TENSOR_F16, &dtype) && dtype == RLS_F16);
    assert_all(rls_tensor_type_dtype(RLS_TENSOR_F32, &dtype) && dtype == RLS_F32);
    assert_all(rls_tensor_type_dtype(RLS_TENSOR_F64, &dtype) && dtype == RLS_F64);
    assert_all(!rls_tensor_type_dtype(RLS_TENSOR_F8_E4M3, NULL) &&
               !rls_tensor_type_dtype(RLS_TENSOR_I64, NULL));
    rls_context_destroy(&ctx);
}

/* Long names and shapes are cut, not overrun. */
static void test_texts(void **state)
{
    char text[RLS_TENSOR_TEXT_MAX], name[1000];
    int64_t shape[100];
    (void)state;
    for (size_t i = 0; i + 1 < sizeof name; i++)
        name[i] = "\xc3\xa9"[i % 2]; /* two-byte characters */
    name[sizeof name - 1] = '\0';
    for (size_t shift = 0; shift < 2; shift++) {
        const char *shown = rls_printable(name + 2 - shift, text);
        const size_t len = strlen(shown);
        assert_all(len < RLS_TENSOR_TEXT_MAX && strcmp(shown + len - 3, "...") == 0);
        assert_all((len - 3 - shift) % 2 == 0); /* no half character */
    }
    for (size_t i = 0; i < 100; i++)
        shape[i] = INT64_MAX;
    (void)rls_shape_text(100, shape, text);
    assert_all(strlen(text) < RLS_TENSOR_TEXT_MAX && strstr(text, ", ...]") != NULL);
    assert_all_string_equal(rls_shape_text(2, (const int64_t[]){4096, 14336}, text), "[4096, 14336]");
}

/* A mixture-of-experts model's header: tens of thousands of tensors in a shard. */
static void test_many(void **state)
{
    enum { COUNT = 60000, LINE = 160 };
    rls_tensor_table *table = NULL;
    (void)state;
    rls_context *ctx = make_context();
    char *header = malloc((size_t)COUNT * LINE);
    assert_all(header != NULL);
    size_t at = 0;
    for (int i = COUNT; i-- > 0;) /* the last first: order in the header means nothing */
        at += (size_t)snprintf(header + at, LINE,
                               "%c\"model.layers.%d.mlp.experts.%d.down_proj.weight\":{\"dtype\":\"BF16\","
                               "\"shape\":[1,4],\"data_offsets\":[%d,%d]}",
                               i == COUNT - 1 ? '{' : ',', i / 256, i % 256, 8 * i, 8 * i + 8);
    header[at++] = '}';
    const double start = MPI_Wtime();
    assert_all_ok(ctx,
                  rls_agree(ctx, rls_safetensors_parse(ctx, "many", header, at, INT64_C(8) * COUNT, &table)));
    const double parsed = MPI_Wtime();
    bool found = rls_tensor_table_count(table) == COUNT;
    for (int i = 0; i < COUNT; i++) {
        char name[LINE];
        (void)snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.down_proj.weight", i / 256,
                       i % 256);
        found = found && rls_tensor_table_find(table, name) == rls_tensor_table_at(table, i);
    }
    assert_all(found);
    assert_all_le(parsed - start, 20.0); /* 0.1 s; a quadratic parser takes minutes */
    assert_all_le(MPI_Wtime() - parsed, 20.0);
    rls_tensor_table_destroy(&table);
    free(header);
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attacks), cmocka_unit_test(test_good_files),
                                       cmocka_unit_test(test_contents), cmocka_unit_test(test_texts),
                                       cmocka_unit_test(test_many)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "safetensors");
}
