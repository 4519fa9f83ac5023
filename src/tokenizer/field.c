#include <stdio.h>
#include <string.h>

#include "tokenizer/parse.h"

rls_status rls_field_known(rls_context *ctx, const char *where, const json_t *object, const char *known)
{
    if (!json_is_object(object))
        return rls_fail(ctx, RLS_ERR_DATA, "%s is not an object", where);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)object, key, value)
    {
        char word[64];
        const int length = snprintf(word, sizeof word, " %s ", key);
        if (length >= (int)sizeof word || strchr(key, ' ') != NULL || strstr(known, word) == NULL)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: the field \"%.64s\" is not supported", where, key);
    }
    return RLS_OK;
}

rls_status rls_field_bool(rls_context *ctx, const char *where, const json_t *object, const char *key,
                          int fallback, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if ((value == NULL || json_is_null(value)) && fallback >= 0)
        *out = fallback == 1;
    else if (json_is_boolean(value))
        *out = json_is_true(value);
    else
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not true or false", where, key);
    return RLS_OK;
}

rls_status rls_field_text(rls_context *ctx, const char *where, const json_t *object, const char *key,
                          const char *fallback, const char **out)
{
    const json_t *value = json_object_get(object, key);
    *out = value == NULL ? fallback : json_string_value(value);
    if (*out == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is %s", where, key,
                        value == NULL ? "missing" : "not a text");
    return RLS_OK;
}

rls_status rls_field_count(rls_context *ctx, const char *where, const json_t *object, const char *key,
                           int64_t most, int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    *out = json_integer_value(value);
    if (!json_is_integer(value) || *out < 0 || *out > most)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not an integer from 0 to %lld", where, key,
                        (long long)most);
    return RLS_OK;
}

rls_status rls_field_items(rls_context *ctx, const char *where, const json_t *parent, const char *key,
                           bool object, const json_t **out)
{
    *out = json_object_get(parent, key);
    if (object ? !json_is_object(*out) : !json_is_array(*out))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is %s", where, key,
                        *out == NULL ? "missing"
                        : object     ? "not an object"
                                     : "not a list");
    return RLS_OK;
}
