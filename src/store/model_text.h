/* The JSON side files of a model directory, as rank 0 reads them. Nothing here is collective. */
#ifndef STORE_MODEL_TEXT_H
#define STORE_MODEL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef struct {
    char *file; /* path, for messages */
    char *text; /* NULL: there is no such file */
    int64_t bytes;
} rls_model_text;

/* Reads the file `name` of the model directory at path, of at most 16 MiB; none is fine. Free with
 * rls_model_text_free. Returns RLS_ERR_DATA when it is something else or larger, RLS_ERR_IO, RLS_ERR_MEMORY.
 */
RLS_NODISCARD rls_status rls_model_text_read(rls_context *ctx, const char *path, const char *name,
                                             rls_model_text *out);
void rls_model_text_free(rls_model_text *text);

/* Parses a text that must be one JSON object without duplicate keys; json_decref *root, which is NULL on
 * failure. file: for messages. Returns RLS_ERR_DATA naming file and line. */
RLS_NODISCARD rls_status rls_json_object(rls_context *ctx, const char *file, const char *text, int64_t bytes,
                                         json_t **root);

/* The line of a key in the text of a JSON object; 0 when it is not found. inside: NULL, or the key of the
 * object (a value of the outer one) to look in. */
int rls_json_line(const char *text, int64_t bytes, const char *inside, const char *key);

#endif
