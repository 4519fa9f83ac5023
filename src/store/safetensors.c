#include "store/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct rls_tensor_table {
    int64_t count;
    rls_tensor *tensor;         /* by (begin, end) */
    const rls_tensor **by_name; /* by strcmp of the names */
    int64_t *shapes;            /* all tensors' dimensions, one after another */
    char *names;                /* all names, one after another */
};

/* What a check needs to say where it failed. */
typedef struct {
    rls_context *ctx;
    const char *path;
    int64_t data_bytes;
} place;

static const char METADATA[] = "__metadata__";

const char *rls_tensor_type_name(rls_tensor_type type)
{
    static const char *const name[] = {
#define TYPE_NAME(name, bits) #name,
        RLS_TENSOR_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    return name[type];
}

int rls_tensor_type_bits(rls_tensor_type type)
{
    static const int bits_of[] = {
#define TYPE_BITS(name, bits) bits,
        RLS_TENSOR_TYPE_LIST(TYPE_BITS)
#undef TYPE_BITS
    };
    return bits_of[type];
}

bool rls_tensor_type_dtype(rls_tensor_type type, rls_dtype *dtype)
{
    static const rls_dtype all[] = {RLS_F64, RLS_F32, RLS_F16, RLS_BF16};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (rls_tensor_type_of(all[i]) != type)
            continue;
        if (dtype != NULL)
            *dtype = all[i];
        return true;
    }
    return false;
}

rls_tensor_type rls_tensor_type_of(rls_dtype dtype)
{
    switch (dtype) {
    case RLS_F64:
        return RLS_TENSOR_F64;
    case RLS_F32:
        return RLS_TENSOR_F32;
    case RLS_F16:
        return RLS_TENSOR_F16;
    case RLS_BF16:
        break;
    }
    return RLS_TENSOR_BF16;
}

const char *rls_shape_text(int dims, const int64_t *shape, char text[RLS_TENSOR_TEXT_MAX])
{
    enum { ROOM = 24 }; /* for ", -9223372036854775808" and its end */
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < dims; i++) {
        if (at + ROOM + sizeof ", ...]" > RLS_TENSOR_TEXT_MAX) {
            at += (size_t)snprintf(text + at, ROOM, ", ...");
            break;
        }
        at += (size_t)snprintf(text + at, ROOM, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    }
    text[at++] = ']';
    text[at] = '\0';
    return text;
}

const char *rls_printable(const char *name, char text[RLS_TENSOR_TEXT_MAX])
{
    const size_t most = RLS_TENSOR_TEXT_MAX - sizeof "...";
    size_t at = 0;
    for (; name[at] != '\0' && at < most; at++) {
        const unsigned char c = (unsigned char)name[at];
        text[at] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    if (name[at] != '\0') {
        while (at > 0 && ((unsigned char)name[at] & 0xC0U) == 0x80U) /* not inside a UTF-8 character */
            at--;
        memcpy(text + at, "...", 3);
        at += 3;
    }
    text[at] = '\0';
    return text;
}

rls_status rls_safetensors_header_length(rls_context *ctx, const char *path, const unsigned char *prefix,
                                         int64_t file_bytes, int64_t *length)
{
    *length = 0;
    if (file_bytes < RLS_SAFETENSORS_PREFIX)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %" PRId64 " bytes are too few for a safetensors file: fetch it again", path,
                        file_bytes);
    uint64_t value = 0;
    for (int i = RLS_SAFETENSORS_PREFIX; i-- > 0;)
        value = value << 8U | prefix[i];
    if (value > RLS_SAFETENSORS_HEADER_MAX)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: its header length %" PRIu64
                        " exceeds the format's limit of %d: not a safetensors file",
                        path, value, RLS_SAFETENSORS_HEADER_MAX);
    if ((int64_t)value > file_bytes - RLS_SAFETENSORS_PREFIX)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: its header length %" PRIu64 " is beyond the end of the file (%" PRId64
                        " bytes): truncated? fetch it again",
                        path, value, file_bytes);
    *length = (int64_t)value;
    return RLS_OK;
}

/* The text between the quotes that end at position of the header: the key jansson stopped at. */
static const char *key_before(const char *header, size_t length, int position, char text[RLS_TENSOR_TEXT_MAX])
{
    size_t end = position > 0 && (size_t)position <= length ? (size_t)position : 0;
    while (end > 0 && header[end - 1] != '"')
        end--;
    if (end == 0)
        return "?";
    size_t begin = --end;
    while (begin > 0 && header[begin - 1] != '"')
        begin--;
    char raw[RLS_TENSOR_TEXT_MAX + 1];
    const size_t size = end - begin < sizeof raw - 1 ? end - begin : sizeof raw - 1;
    memcpy(raw, header + begin, size);
    raw[size] = '\0';
    return rls_printable(raw, text);
}

static rls_status load_json(const place *at, const char *header, size_t length, json_t **out)
{
    *out = NULL;
    if (length == 0 || header[0] != '{')
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: its header does not begin with '{': not a safetensors file", at->path);
    json_error_t error;
    char text[RLS_TENSOR_TEXT_MAX];
    *out = json_loadb(header, length, JSON_REJECT_DUPLICATES, &error);
    if (*out != NULL)
        return RLS_OK;
    if (json_error_code(&error) == json_error_out_of_memory)
        return rls_fail(at->ctx, RLS_ERR_MEMORY, "%s: no memory for its header of %zu bytes", at->path,
                        length);
    if (json_error_code(&error) == json_error_duplicate_key)
        return rls_fail(at->ctx, RLS_ERR_DATA, "%s: '%s' appears twice in the header", at->path,
                        key_before(header, length, error.position, text));
    return rls_fail(at->ctx, RLS_ERR_DATA, "%s: its header is not valid JSON: %s (byte %d of the header)",
                    at->path, rls_printable(error.text, text), error.position);
}

static rls_status check_metadata(const place *at, const json_t *metadata)
{
    const char *key = NULL;
    const json_t *value = NULL;
    char text[RLS_TENSOR_TEXT_MAX];
    if (!json_is_object(metadata))
        return rls_fail(at->ctx, RLS_ERR_DATA, "%s: __metadata__ is not an object", at->path);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value))
            return rls_fail(at->ctx, RLS_ERR_DATA, "%s: __metadata__ '%s' is not text", at->path,
                            rls_printable(key, text));
    }
    return RLS_OK;
}

static rls_status fail_tensor(const place *at, const char *name, const char *what)
{
    char text[RLS_TENSOR_TEXT_MAX];
    return rls_fail(at->ctx, RLS_ERR_DATA, "%s: tensor '%s': %s", at->path, rls_printable(name, text), what);
}

/* Exactly the three fields: a field of a later format could change what the others mean. */
static rls_status check_fields(const place *at, const char *name, const json_t *entry)
{
    static const char *const field[] = {"dtype", "shape", "data_offsets"};
    enum { FIELDS = sizeof field / sizeof field[0] };
    char text[RLS_TENSOR_TEXT_MAX], what[RLS_TENSOR_TEXT_MAX + 32];
    if (!json_is_object(entry))
        return fail_tensor(at, name, "its entry is not an object");
    for (size_t i = 0; i < FIELDS; i++) {
        if (json_object_get(entry, field[i]) != NULL)
            continue;
        (void)snprintf(what, sizeof what, "field '%s' is missing", field[i]);
        return fail_tensor(at, name, what);
    }
    if (json_object_size(entry) == FIELDS)
        return RLS_OK;
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)entry, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < FIELDS; i++)
            known = known || strcmp(key, field[i]) == 0;
        if (!known)
            break;
    }
    (void)snprintf(what, sizeof what, "field '%s' is unknown", rls_printable(key != NULL ? key : "?", text));
    return fail_tensor(at, name, what);
}

static rls_status read_type(const place *at, const char *name, const json_t *dtype, rls_tensor_type *type)
{
    char text[RLS_TENSOR_TEXT_MAX], what[RLS_TENSOR_TEXT_MAX + 32];
    if (!json_is_string(dtype))
        return fail_tensor(at, name, "dtype is not text");
    for (int i = 0; i < (int)RLS_TENSOR_TYPE_COUNT; i++) {
        *type = (rls_tensor_type)i;
        if (strcmp(json_string_value(dtype), rls_tensor_type_name(*type)) == 0)
            return RLS_OK;
    }
    (void)snprintf(what, sizeof what, "dtype '%s' is unknown", rls_printable(json_string_value(dtype), text));
    return fail_tensor(at, name, what);
}

/* Dimensions into shape, their product into *elements. */
static rls_status read_shape(const place *at, const char *name, const json_t *array, int64_t *shape,
                             int64_t *elements)
{
    size_t i = 0;
    const json_t *item = NULL;
    *elements = 1;
    json_array_foreach(array, i, item)
    {
        if (!json_is_integer(item))
            return fail_tensor(at, name, "a dimension of shape is not an integer");
        shape[i] = json_integer_value(item);
        if (shape[i] < 0)
            return fail_tensor(at, name, "a dimension of shape is negative");
        if (shape[i] > 0 && *elements > INT64_MAX / shape[i])
            return fail_tensor(at, name, "the product of its shape overflows");
        *elements *= shape[i];
    }
    return RLS_OK;
}

static rls_status read_offsets(const place *at, const char *name, const json_t *array, rls_tensor *tensor)
{
    char text[RLS_TENSOR_TEXT_MAX];
    if (!json_is_array(array) || json_array_size(array) != 2 || !json_is_integer(json_array_get(array, 0)) ||
        !json_is_integer(json_array_get(array, 1)))
        return fail_tensor(at, name, "data_offsets are not two integers");
    tensor->begin = json_integer_value(json_array_get(array, 0));
    tensor->end = json_integer_value(json_array_get(array, 1));
    if (tensor->begin < 0 || tensor->begin > tensor->end)
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: tensor '%s': data_offsets [%" PRId64 ", %" PRId64 "] are not a range", at->path,
                        rls_printable(name, text), tensor->begin, tensor->end);
    if (tensor->end > at->data_bytes)
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: tensor '%s': data_offsets [%" PRId64 ", %" PRId64
                        "] go beyond the file's %" PRId64 " bytes of data: truncated? fetch it again",
                        at->path, rls_printable(name, text), tensor->begin, tensor->end, at->data_bytes);
    return RLS_OK;
}

static rls_status check_bytes(const place *at, const rls_tensor *tensor)
{
    char text[RLS_TENSOR_TEXT_MAX], shape[RLS_TENSOR_TEXT_MAX];
    const int bits = rls_tensor_type_bits(tensor->type);
    if (tensor->elements > INT64_MAX / bits)
        return fail_tensor(at, tensor->name, "dtype x shape overflows");
    const int64_t all_bits = tensor->elements * bits;
    if (all_bits % 8 != 0)
        return fail_tensor(at, tensor->name, "dtype x shape is not a whole number of bytes");
    if (all_bits / 8 != tensor->end - tensor->begin)
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: tensor '%s': %s %s takes %" PRId64 " bytes, but data_offsets [%" PRId64
                        ", %" PRId64 "] hold %" PRId64,
                        at->path, rls_printable(tensor->name, text), rls_tensor_type_name(tensor->type),
                        rls_shape_text(tensor->dims, tensor->shape, shape), all_bits / 8, tensor->begin,
                        tensor->end, tensor->end - tensor->begin);
    if (bits > 8 && tensor->begin % (bits / 8) != 0)
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: tensor '%s': begins at byte %" PRId64 ", misaligned for %s elements of %d bytes",
                        at->path, rls_printable(tensor->name, text), tensor->begin,
                        rls_tensor_type_name(tensor->type), bits / 8);
    return RLS_OK;
}

static rls_status read_tensor(const place *at, const char *name, const json_t *entry, int64_t *shape,
                              rls_tensor *tensor)
{
    tensor->name = name;
    tensor->shape = shape;
    const json_t *array = json_object_get(entry, "shape");
    tensor->dims = (int)json_array_size(array);
    rls_status status = read_type(at, name, json_object_get(entry, "dtype"), &tensor->type);
    if (status == RLS_OK)
        status = read_shape(at, name, array, shape, &tensor->elements);
    if (status == RLS_OK)
        status = read_offsets(at, name, json_object_get(entry, "data_offsets"), tensor);
    if (status == RLS_OK)
        status = check_bytes(at, tensor);
    return status;
}

static int compare_offsets(const void *a, const void *b)
{
    const rls_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) -
           (x->end < y->end); /* an empty tensor comes before the one that begins where it is */
}

static int compare_names(const void *a, const void *b)
{
    const rls_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* No overlaps, no holes, nothing after the last tensor. The tensors are in order of offset. */
static rls_status check_cover(const place *at, const rls_tensor_table *table)
{
    char text[RLS_TENSOR_TEXT_MAX], other[RLS_TENSOR_TEXT_MAX];
    int64_t end = 0;
    for (int64_t i = 0; i < table->count; i++) {
        const rls_tensor *tensor = &table->tensor[i];
        if (tensor->begin < end)
            return rls_fail(at->ctx, RLS_ERR_DATA,
                            "%s: tensor '%s' at bytes [%" PRId64 ", %" PRId64
                            "] overlaps tensor '%s', which ends at %" PRId64,
                            at->path, rls_printable(tensor->name, text), tensor->begin, tensor->end,
                            rls_printable(table->tensor[i - 1].name, other), end);
        if (tensor->begin > end)
            return rls_fail(at->ctx, RLS_ERR_DATA,
                            "%s: a hole of %" PRId64 " bytes before tensor '%s' at byte %" PRId64, at->path,
                            tensor->begin - end, rls_printable(tensor->name, text), tensor->begin);
        end = tensor->end;
    }
    if (end != at->data_bytes)
        return rls_fail(at->ctx, RLS_ERR_DATA,
                        "%s: %" PRId64 " bytes of data, but its tensors end at %" PRId64
                        ": something was appended",
                        at->path, at->data_bytes, end);
    return RLS_OK;
}

/* Room for all tensors: one allocation a kind, so that tens of thousands cost no more than a few. */
static rls_status allocate(const place *at, const json_t *root, rls_tensor_table *table)
{
    const char *key = NULL;
    const json_t *entry = NULL;
    int64_t dims = 0, chars = 0;
    rls_status status = RLS_OK;
    json_object_foreach((json_t *)(uintptr_t)root, key, entry)
    {
        if (strcmp(key, METADATA) == 0) {
            status = check_metadata(at, entry);
        } else {
            status = check_fields(at, key, entry);
            const json_t *shape = json_object_get(entry, "shape");
            if (status == RLS_OK && !json_is_array(shape))
                status = fail_tensor(at, key, "shape is not an array");
            dims += (int64_t)json_array_size(shape);
            chars += (int64_t)strlen(key) + 1;
            table->count++;
        }
        if (status != RLS_OK)
            return status;
    }
    void *tensor = NULL, *by_name = NULL, *shapes = NULL, *names = NULL;
    status = rls_alloc(at->ctx, table->count, sizeof(rls_tensor), &tensor);
    table->tensor = tensor;
    if (status == RLS_OK)
        status = rls_alloc(at->ctx, table->count, sizeof(rls_tensor *), &by_name);
    table->by_name = by_name;
    if (status == RLS_OK)
        status =
            rls_alloc(at->ctx, dims + 1, sizeof(int64_t), &shapes); /* never NULL: scalars point there too */
    table->shapes = shapes;
    if (status == RLS_OK)
        status = rls_alloc(at->ctx, chars, 1, &names);
    table->names = names;
    return status;
}

static rls_status fill(const place *at, const json_t *root, rls_tensor_table *table)
{
    const char *key = NULL;
    const json_t *entry = NULL;
    rls_status status = allocate(at, root, table);
    if (status != RLS_OK)
        return status;
    rls_tensor *tensor = table->tensor;
    int64_t *shape = table->shapes;
    char *name = table->names;
    json_object_foreach((json_t *)(uintptr_t)root, key, entry)
    {
        if (strcmp(key, METADATA) == 0)
            continue;
        const size_t size = strlen(key) + 1;
        memcpy(name, key, size);
        status = read_tensor(at, name, entry, shape, tensor);
        if (status != RLS_OK)
            return status;
        name += size;
        shape += tensor->dims;
        tensor++;
    }
    if (table->count > 0) {
        qsort(table->tensor, (size_t)table->count, sizeof table->tensor[0], compare_offsets);
        for (int64_t i = 0; i < table->count; i++)
            table->by_name[i] = &table->tensor[i];
        qsort(table->by_name, (size_t)table->count, sizeof(rls_tensor *), compare_names);
    }
    return check_cover(at, table);
}

rls_status rls_safetensors_parse(rls_context *ctx, const char *path, const char *header, size_t length,
                                 int64_t data_bytes, rls_tensor_table **out)
{
    const place at = {ctx, path, data_bytes};
    json_t *root = NULL;
    void *table = NULL;
    *out = NULL;
    rls_status status = load_json(&at, header, length, &root);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 1, sizeof **out, &table);
    *out = table;
    if (status == RLS_OK)
        status = fill(&at, root, *out);
    if (status != RLS_OK)
        rls_tensor_table_destroy(out);
    json_decref(root);
    return status;
}

void rls_tensor_table_destroy(rls_tensor_table **table)
{
    if (*table == NULL)
        return;
    free((*table)->tensor);
    free((void *)(*table)->by_name);
    free((*table)->shapes);
    free((*table)->names);
    free(*table);
    *table = NULL;
}

int64_t rls_tensor_table_count(const rls_tensor_table *table)
{
    return table->count;
}

const rls_tensor *rls_tensor_table_at(const rls_tensor_table *table, int64_t i)
{
    return &table->tensor[i];
}

const rls_tensor *rls_tensor_table_find(const rls_tensor_table *table, const char *name)
{
    const rls_tensor wanted = {.name = name};
    const rls_tensor *key = &wanted;
    if (table->count == 0)
        return NULL;
    const rls_tensor *const *found =
        (const rls_tensor *const *)bsearch((const void *)&key, (const void *)table->by_name,
                                           (size_t)table->count, sizeof(rls_tensor *), compare_names);
    return found != NULL ? *found : NULL;
}
