/* Fuzz target: a safetensors file's bytes through the header parser. The parser needs no MPI, only a context
 * for its message. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "store/safetensors.h"

/* What a caller relies on, whatever the bytes were. */
static void check_table(const rls_tensor_table *table, int64_t data_bytes)
{
    int64_t end = 0;
    for (int64_t i = 0; i < rls_tensor_table_count(table); i++) {
        const rls_tensor *tensor = rls_tensor_table_at(table, i);
        must(rls_tensor_table_find(table, tensor->name) == tensor);
        must(tensor->begin == end && tensor->end >= end);
        must(tensor->elements * rls_tensor_type_bits(tensor->type) == (tensor->end - tensor->begin) * 8);
        end = tensor->end;
    }
    must(end == data_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {.size = 1};
    rls_tensor_table *table = NULL;
    int64_t length = 0;
    rls_status status = rls_safetensors_header_length(&ctx, "input", data, (int64_t)size, &length);
    if (status == RLS_OK) {
        const int64_t data_bytes = (int64_t)size - RLS_SAFETENSORS_PREFIX - length;
        /* A copy of its exact size: a read beyond the header is then seen by the sanitizer. */
        char *header = malloc(length > 0 ? (size_t)length : 1);
        must(header != NULL);
        memcpy(header, data + RLS_SAFETENSORS_PREFIX, (size_t)length);
        status = rls_safetensors_parse(&ctx, "input", header, (size_t)length, data_bytes, &table);
        free(header);
        if (status == RLS_OK)
            check_table(table, data_bytes);
    }
    must((status == RLS_OK) == (table != NULL));
    must(status == RLS_OK || (status == RLS_ERR_DATA && rls_context_message(&ctx)[0] != '\0'));
    rls_tensor_table_destroy(&table);
    return 0;
}
