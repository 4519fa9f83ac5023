/*
 * The header of a safetensors file: which tensors it holds, and where.
 *
 *     8 bytes         length of the header, little-endian
 *     length bytes    JSON: {"__metadata__": {text: text},
 *                            name: {"dtype": "BF16", "shape": [m, n], "data_offsets": [begin, end]}, ...}
 *     the rest        the tensors' data, row-major, little-endian; offsets are counted from here
 *
 * What must hold (each rule has an attack file in tests/fuzz/corpus/safetensors), and is checked before
 * anything is used:
 *  - the file has the 8 bytes; the length is at most 100,000,000 and inside the file;
 *  - the header begins with '{' and is one JSON object in UTF-8, padded at its end with white space only;
 *  - no name appears twice; __metadata__ maps text to text;
 *  - each tensor has exactly dtype, shape and data_offsets, of the right JSON types;
 *  - the dtype is known, dimensions are >= 0, their product and the bytes don't overflow;
 *  - begin <= end <= length of the data; dtype x shape is exactly end - begin bytes; begin is a multiple of
 *    the element's size;
 *  - the tensors cover the data without overlap or hole, up to the file's last byte.
 *
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
#ifndef STORE_SAFETENSORS_H
#define STORE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "rlsedit/dtype.h"

/* The format's element types and their bits. Only those that rls_dtype has can be edited. */
#define RLS_TENSOR_TYPE_LIST(X)                                                                              \
    X(BOOL, 8)                                                                                               \
    X(F4, 4)                                                                                                 \
    X(F6_E2M3, 6)                                                                                            \
    X(F6_E3M2, 6)                                                                                            \
    X(U8, 8)                                                                                                 \
    X(I8, 8)                                                                                                 \
    X(F8_E5M2, 8)                                                                                            \
    X(F8_E4M3, 8)                                                                                            \
    X(F8_E8M0, 8)                                                                                            \
    X(I16, 16)                                                                                               \
    X(U16, 16)                                                                                               \
    X(F16, 16)                                                                                               \
    X(BF16, 16)                                                                                              \
    X(I32, 32)                                                                                               \
    X(U32, 32)                                                                                               \
    X(F32, 32)                                                                                               \
    X(C64, 64)                                                                                               \
    X(F64, 64)                                                                                               \
    X(I64, 64)                                                                                               \
    X(U64, 64)

typedef enum {
#define RLS_TENSOR_TYPE_ENUM(name, bits) RLS_TENSOR_##name,
    RLS_TENSOR_TYPE_LIST(RLS_TENSOR_TYPE_ENUM)
#undef RLS_TENSOR_TYPE_ENUM
        RLS_TENSOR_TYPE_COUNT
} rls_tensor_type;

enum { RLS_SAFETENSORS_PREFIX = 8, RLS_SAFETENSORS_HEADER_MAX = 100000000, RLS_TENSOR_TEXT_MAX = 160 };

typedef struct {
    const char *name;
    rls_tensor_type type;
    int dims;
    const int64_t *shape; /* dims of them */
    int64_t elements;
    int64_t begin, end; /* bytes [begin, end) of the data */
} rls_tensor;

typedef struct rls_tensor_table rls_tensor_table;

/* The type's name as in the file: "BF16". Not collective. */
const char *rls_tensor_type_name(rls_tensor_type type);

/* Bits of one element. Not collective. */
int rls_tensor_type_bits(rls_tensor_type type);

/* Whether weights of this type can be read as matrices; *dtype (may be NULL) is then their element type. Not
 * collective. */
bool rls_tensor_type_dtype(rls_tensor_type type, rls_dtype *dtype);

/* The file type of an element type. Not collective. */
rls_tensor_type rls_tensor_type_of(rls_dtype dtype);

/* "[128, 384]" into text. Not collective. Returns text. */
const char *rls_shape_text(int dims, const int64_t *shape, char text[RLS_TENSOR_TEXT_MAX]);

/* A name out of an untrusted file, safe to show: control characters as '?', cut when long. Not collective.
 * Returns text. */
const char *rls_printable(const char *name, char text[RLS_TENSOR_TEXT_MAX]);

/* The header's length out of a file's first bytes.
 * Not collective.
 * path: for messages. prefix: the file's first 8 bytes (fewer when file_bytes is less). file_bytes: the whole
 * file's size. Returns RLS_ERR_DATA when the file is too short or the length is beyond the file or the
 * format's limit. */
RLS_NODISCARD rls_status rls_safetensors_header_length(rls_context *ctx, const char *path,
                                                       const unsigned char *prefix, int64_t file_bytes,
                                                       int64_t *length);

/* Parses and validates a header.
 * Not collective; a pure function of the bytes, equal on all ranks.
 * path: for messages. header: length bytes. data_bytes: the file's size less 8 and length.
 * Returns RLS_ERR_DATA naming the file, the tensor and the numbers that disagree, or RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_safetensors_parse(rls_context *ctx, const char *path, const char *header,
                                               size_t length, int64_t data_bytes, rls_tensor_table **out);

/* Frees the table and sets *table to NULL. Not collective. NULL is accepted. */
void rls_tensor_table_destroy(rls_tensor_table **table);

/* How many tensors, and the i-th in order of its bytes in the file. Not collective. They stay the table's. */
int64_t rls_tensor_table_count(const rls_tensor_table *table);
const rls_tensor *rls_tensor_table_at(const rls_tensor_table *table, int64_t i);

/* The tensor of that name, or NULL. Not collective. O(log count). */
const rls_tensor *rls_tensor_table_find(const rls_tensor_table *table, const char *name);

#endif
