#include "corpus/record.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

/* Numbers are not looked at, so that any that JSON allows will do; \u0000 is a character. */
static const size_t JSON_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY;

static rls_status copy(rls_context *ctx, const char *from, int64_t bytes, char **text, int64_t *length)
{
    void *memory = NULL;
    *length = bytes;
    if (text == NULL)
        return RLS_OK;
    const rls_status status = rls_alloc(ctx, bytes + 1, 1, &memory);
    *text = memory;
    if (status != RLS_OK || *text == NULL)
        return status;
    memcpy(*text, from, (size_t)bytes);
    (*text)[bytes] = '\0';
    return RLS_OK;
}

static rls_status field_text(rls_context *ctx, const rls_record_place *place, const char *record,
                             int64_t bytes, char **text, int64_t *length)
{
    rls_status status = RLS_OK;
    json_error_t error;
    json_t *object = json_loadb(record, (size_t)bytes, JSON_FLAGS, &error);
    const json_t *value = json_object_get(object, place->field);
    if (object == NULL)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": not JSON, at byte offset %d of it: %s",
                          place->path, place->line, error.position, error.text);
    else if (!json_is_object(object))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": not a JSON object", place->path, place->line);
    else if (value == NULL)
        status =
            rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": has no field \"%s\": which field holds the text?",
                     place->path, place->line, place->field);
    else if (!json_is_string(value))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s:%" PRId64 ": the field \"%s\" is not a string", place->path,
                          place->line, place->field);
    else
        status = copy(ctx, json_string_value(value), (int64_t)json_string_length(value), text, length);
    json_decref(object);
    return status;
}

rls_status rls_record_text(rls_context *ctx, const rls_record_place *place, const char *record, int64_t bytes,
                           char **text, int64_t *length)
{
    const int64_t fault = rls_utf8_fault(record, bytes);
    if (fault >= 0)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s:%" PRId64 ": not UTF-8 at byte offset %" PRId64 " (0x%02x): convert the file",
                        place->path, place->line, fault, (unsigned)(unsigned char)record[fault]);
    if (place->field == NULL)
        return copy(ctx, record, bytes, text, length);
    return field_text(ctx, place, record, bytes, text, length);
}
