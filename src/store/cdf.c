#include "store/cdf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/file_util.h"

enum {
    FIRST_READ = 64 << 10,
    HEADER_MAX = 64 << 20,
    TAG_DIMENSION = 0x0A,
    TAG_VARIABLE = 0x0B,
    TAG_ATTRIBUTE = 0x0C,
    DIMS_MAX = 1024, /* of a variable: NC_MAX_VAR_DIMS */
};

/* Where the parser is. The first fault sticks: every later take gives 0, so that the grammar reads without a
 * test a line. */
typedef struct {
    rls_context *ctx;
    const unsigned char *bytes;
    int64_t at, length;
    int wide; /* bytes of a count: 4, in CDF-5 8 */
    bool ended;
    const char *fault;
} cursor;

static bool bad(const cursor *c)
{
    return c->ended || c->fault != NULL;
}

static void set_fault(cursor *c, const char *fault)
{
    if (!bad(c))
        c->fault = fault;
}

static const unsigned char *take_bytes(cursor *c, int64_t count)
{
    if (!bad(c) && count > c->length - c->at)
        c->ended = true;
    if (bad(c))
        return NULL;
    const unsigned char *bytes = c->bytes + c->at;
    c->at += count;
    return bytes;
}

static uint64_t take_number(cursor *c, int width)
{
    const unsigned char *bytes = take_bytes(c, width);
    uint64_t value = 0;
    for (int i = 0; bytes != NULL && i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* A NON_NEG of the specification: signed in the file, never negative. */
static int64_t take_count(cursor *c)
{
    const uint64_t value = take_number(c, c->wide);
    if (value > (c->wide == 4 ? (uint64_t)INT32_MAX : (uint64_t)INT64_MAX)) {
        set_fault(c, "a negative count");
        return 0;
    }
    return (int64_t)value;
}

/* Bytes and the padding behind them to a multiple of 4. */
static const unsigned char *take_padded(cursor *c, int64_t count)
{
    if (count > HEADER_MAX) {
        set_fault(c, "a name or attribute larger than any header");
        return NULL;
    }
    return take_bytes(c, (count + 3) / 4 * 4);
}

static void take_name(cursor *c, char name[RLS_CDF_NAME_MAX])
{
    const int64_t length = take_count(c);
    const unsigned char *bytes = take_padded(c, length);
    name[0] = '\0';
    if (bytes != NULL && memchr(bytes, '\0', (size_t)length) != NULL)
        set_fault(c, "a name with a NUL in it");
    if (bytes != NULL && length < RLS_CDF_NAME_MAX) {
        memcpy(name, bytes, (size_t)length);
        name[length] = '\0';
    }
}

static int64_t type_bytes(rls_cdf_type type)
{
    static const int64_t bytes[] = {0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8};
    return bytes[type];
}

static rls_cdf_type take_type(cursor *c)
{
    const uint64_t type = take_number(c, 4);
    if (type < RLS_CDF_BYTE || type > (c->wide == 4 ? RLS_CDF_DOUBLE : RLS_CDF_UINT64)) {
        set_fault(c, "an unknown type");
        return RLS_CDF_BYTE;
    }
    return (rls_cdf_type)type;
}

/* The head of a list whose entries take at least `least` bytes each: their count, 0 for an absent list. */
static int64_t take_list(cursor *c, uint64_t tag, int64_t least)
{
    const uint64_t found = take_number(c, 4);
    const int64_t count = take_count(c);
    if (!bad(c) && found != tag && (found != 0 || count != 0))
        set_fault(c, "a list without its tag");
    if (!bad(c) && count > HEADER_MAX / least)
        set_fault(c, "a list longer than any header");
    if (!bad(c) && count > (c->length - c->at) / least)
        c->ended = true; /* before anything is allocated for a count that cannot be true */
    return bad(c) ? 0 : count;
}

static rls_status take_dims(cursor *c, rls_cdf *cdf)
{
    void *array = NULL;
    int64_t records = 0;
    const int64_t count = take_list(c, TAG_DIMENSION, 2 * (int64_t)c->wide);
    const rls_status status = rls_alloc_zero(c->ctx, count, sizeof *cdf->dims, &array);
    if (status != RLS_OK)
        return status;
    cdf->dims = array;
    cdf->dim_count = count;
    for (int64_t i = 0; i < count; i++) {
        rls_cdf_dim *dim = &cdf->dims[i];
        take_name(c, dim->name);
        dim->length = take_count(c);
        dim->record = !bad(c) && dim->length == 0;
        if (dim->record) {
            dim->length = cdf->records;
            records++;
        }
    }
    if (records > 1)
        set_fault(c, "two unlimited dimensions");
    return RLS_OK;
}

static void take_att(cursor *c, rls_cdf_att *att)
{
    take_name(c, att->name);
    att->type = take_type(c);
    att->count = take_count(c);
    att->values = take_padded(c, att->count <= HEADER_MAX ? att->count * type_bytes(att->type) : att->count);
}

static rls_status take_global_atts(cursor *c, rls_cdf *cdf)
{
    void *array = NULL;
    const int64_t count = take_list(c, TAG_ATTRIBUTE, 4 + 2 * (int64_t)c->wide);
    const rls_status status = rls_alloc_zero(c->ctx, count, sizeof *cdf->atts, &array);
    if (status != RLS_OK)
        return status;
    cdf->atts = array;
    cdf->att_count = count;
    for (int64_t i = 0; i < count; i++)
        take_att(c, &cdf->atts[i]);
    return RLS_OK;
}

static void skip_var_atts(cursor *c)
{
    rls_cdf_att att;
    const int64_t count = take_list(c, TAG_ATTRIBUTE, 4 + 2 * (int64_t)c->wide);
    for (int64_t i = 0; i < count && !bad(c); i++)
        take_att(c, &att);
}

static void take_var(cursor *c, const rls_cdf *cdf, rls_cdf_var *var)
{
    int64_t elements = 1;
    take_name(c, var->name);
    const int64_t dim_count = take_count(c);
    if (dim_count > DIMS_MAX)
        set_fault(c, "a variable of more than 1024 dimensions");
    for (int64_t i = 0; i < dim_count && !bad(c); i++) {
        const int64_t dim = take_count(c);
        if (dim >= cdf->dim_count)
            set_fault(c, "a variable of a dimension that is not there");
        if (bad(c))
            break;
        if (i < 2)
            var->dims[i] = dim;
        if (cdf->dims[dim].record && i > 0)
            set_fault(c, "a variable whose unlimited dimension is not its first");
        if (cdf->dims[dim].record)
            var->record = true;
        else if (__builtin_mul_overflow(elements, cdf->dims[dim].length, &elements))
            set_fault(c, "a variable of impossible size");
    }
    var->dim_count = (int)dim_count;
    skip_var_atts(c);
    var->type = take_type(c);
    (void)take_number(c, c->wide); /* vsize: redundant, and wrong by specification for large variables */
    var->begin = (int64_t)take_number(c, cdf->version == 1 ? 4 : 8);
    if (__builtin_mul_overflow(elements, type_bytes(var->type), &var->bytes) || var->bytes > INT64_MAX - 3)
        set_fault(c, "a variable of impossible size");
}

static rls_status take_vars(cursor *c, rls_cdf *cdf)
{
    void *array = NULL;
    const int64_t count = take_list(c, TAG_VARIABLE, 4 + 4 + 5 * (int64_t)c->wide);
    const rls_status status = rls_alloc_zero(c->ctx, count, sizeof *cdf->vars, &array);
    if (status != RLS_OK)
        return status;
    cdf->vars = array;
    cdf->var_count = count;
    for (int64_t i = 0; i < count && !bad(c); i++)
        take_var(c, cdf, &cdf->vars[i]);
    return RLS_OK;
}

static int64_t padded(int64_t bytes)
{
    return (bytes + 3) / 4 * 4;
}

/* Bytes of one record: the record variables one after another, each padded unless it is the only one. */
static void set_record_bytes(cursor *c, rls_cdf *cdf)
{
    int64_t vars = 0, sum = 0, only = 0;
    for (int64_t i = 0; i < cdf->var_count; i++) {
        const rls_cdf_var *var = &cdf->vars[i];
        if (!var->record)
            continue;
        vars++;
        only = var->bytes;
        if (__builtin_add_overflow(sum, padded(var->bytes), &sum))
            set_fault(c, "records of impossible size");
    }
    cdf->record_bytes = vars == 1 ? only : sum;
}

/* Variables lie in their order without overlap, fixed ones before the records (PnetCDF asks for the same). */
static void check_order(cursor *c, const rls_cdf *cdf)
{
    int64_t end = c->at;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < cdf->var_count; i++) {
            const rls_cdf_var *var = &cdf->vars[i];
            if (var->record != (pass == 1))
                continue;
            if (var->begin < end)
                set_fault(c, "variables that overlap");
            if (__builtin_add_overflow(var->begin, var->bytes, &end))
                set_fault(c, "a variable at an impossible offset");
        }
    }
}

static rls_status check_size(rls_context *ctx, const rls_cdf *cdf)
{
    for (int64_t i = 0; i < cdf->var_count; i++) {
        const rls_cdf_var *var = &cdf->vars[i];
        int64_t end = var->begin + var->bytes, more = 0;
        if (var->record && cdf->records == 0)
            continue;
        if (var->record && (__builtin_mul_overflow(cdf->records - 1, cdf->record_bytes, &more) ||
                            __builtin_add_overflow(end, more, &end)))
            end = INT64_MAX;
        if (end > cdf->file_bytes)
            return rls_fail(ctx, RLS_ERR_DATA,
                            "%s is truncated: variable %s ends at byte %" PRId64 " but the file has %" PRId64
                            " bytes: copy or write it again",
                            cdf->path, var->name, end, cdf->file_bytes);
    }
    return RLS_OK;
}

static rls_status check_magic(rls_context *ctx, const char *path, const unsigned char *bytes, int64_t length)
{
    if (length >= 4 && memcmp(bytes, "\x89HDF", 4) == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s is a netCDF-4 (HDF5) file: convert it with `nccopy -k cdf5`",
                        path);
    if (length < 4 || memcmp(bytes, "CDF", 3) != 0 || (bytes[3] != 1 && bytes[3] != 2 && bytes[3] != 5))
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s is not a netCDF file of a classic format (CDF-1, CDF-2, CDF-5)", path);
    return RLS_OK;
}

rls_status rls_cdf_parse(rls_context *ctx, const char *path, const unsigned char *bytes, int64_t length,
                         int64_t file_bytes, rls_cdf *out, bool *more)
{
    *out = (rls_cdf){.path = path, .file_bytes = file_bytes};
    *more = false;
    rls_status status = check_magic(ctx, path, bytes, length);
    if (status != RLS_OK)
        return status;
    out->version = bytes[3];
    cursor c = {.ctx = ctx, .bytes = bytes, .at = 4, .length = length, .wide = out->version == 5 ? 8 : 4};
    const uint64_t records = take_number(&c, c.wide);
    if (records > (c.wide == 4 ? (uint64_t)INT32_MAX : (uint64_t)INT64_MAX))
        set_fault(&c, "no number of records (its writer did not close it)");
    out->records = (int64_t)records;
    status = take_dims(&c, out);
    if (status == RLS_OK)
        status = take_global_atts(&c, out);
    if (status == RLS_OK)
        status = take_vars(&c, out);
    if (status != RLS_OK)
        return status;
    if (!bad(&c))
        set_record_bytes(&c, out);
    if (!bad(&c))
        check_order(&c, out);
    *more = c.ended && length < file_bytes && length < HEADER_MAX;
    if (*more)
        return RLS_OK;
    if (c.ended && length < file_bytes)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: its header is larger than %d MiB", path, HEADER_MAX >> 20);
    if (c.ended)
        return rls_fail(ctx, RLS_ERR_DATA, "%s is truncated: it ends within its header", path);
    if (c.fault != NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s is damaged: its header has %s", path, c.fault);
    return check_size(ctx, out);
}

void rls_cdf_free(rls_cdf *cdf)
{
    free(cdf->dims);
    free(cdf->atts);
    free(cdf->vars);
    free(cdf->bytes);
    *cdf = (rls_cdf){0};
}

rls_status rls_cdf_read(rls_context *ctx, const char *path, rls_cdf *out)
{
    *out = (rls_cdf){.path = path};
    int64_t file_bytes = 0;
    bool more = true;
    rls_status status = rls_file_size(ctx, path, &file_bytes);
    for (int64_t length = FIRST_READ; status == RLS_OK && more; length *= 4) {
        void *bytes = NULL;
        const int64_t take = length < file_bytes ? length : file_bytes;
        rls_cdf_free(out);
        if ((status = rls_alloc(ctx, take, 1, &bytes)) == RLS_OK && take > 0)
            status = rls_file_read(ctx, path, 0, take, bytes);
        if (status == RLS_OK)
            status = rls_cdf_parse(ctx, path, bytes, take, file_bytes, out, &more);
        out->bytes = bytes;
    }
    return status;
}

const rls_cdf_var *rls_cdf_find(const rls_cdf *cdf, const char *name)
{
    for (int64_t i = 0; i < cdf->var_count; i++)
        if (strcmp(cdf->vars[i].name, name) == 0)
            return &cdf->vars[i];
    return NULL;
}

static const rls_cdf_att *find_att(const rls_cdf *cdf, const char *name)
{
    for (int64_t i = 0; i < cdf->att_count; i++)
        if (strcmp(cdf->atts[i].name, name) == 0)
            return &cdf->atts[i];
    return NULL;
}

static rls_status missing_att(rls_context *ctx, const rls_cdf *cdf, const char *name, bool optional)
{
    if (optional)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_DATA, "%s: the global attribute %s is missing", cdf->path, name);
}

rls_status rls_cdf_text(rls_context *ctx, const rls_cdf *cdf, const char *name, bool optional, char *text,
                        size_t size)
{
    const rls_cdf_att *att = find_att(cdf, name);
    text[0] = '\0';
    if (att == NULL)
        return missing_att(ctx, cdf, name, optional);
    if (att->type != RLS_CDF_CHAR)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: the global attribute %s is not text", cdf->path, name);
    if (att->count >= (int64_t)size)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: the global attribute %s has %" PRId64 " characters, more than %zu", cdf->path,
                        name, att->count, size - 1);
    memcpy(text, att->values, (size_t)att->count);
    text[att->count] = '\0';
    return RLS_OK;
}

rls_status rls_cdf_integer(rls_context *ctx, const rls_cdf *cdf, const char *name, bool optional,
                           int64_t *value)
{
    const rls_cdf_att *att = find_att(cdf, name);
    if (att == NULL)
        return missing_att(ctx, cdf, name, optional);
    if (att->type == RLS_CDF_CHAR || att->type == RLS_CDF_FLOAT || att->type == RLS_CDF_DOUBLE ||
        att->count != 1)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: the global attribute %s is not one integer", cdf->path, name);
    const int64_t width = type_bytes(att->type);
    const bool is_unsigned =
        att->type == RLS_CDF_UBYTE || att->type == RLS_CDF_USHORT || att->type == RLS_CDF_UINT;
    uint64_t bits = !is_unsigned && att->values[0] >= 0x80 ? UINT64_MAX : 0; /* the sign */
    for (int64_t i = 0; i < width; i++)
        bits = bits << 8 | att->values[i];
    *value = (int64_t)bits;
    return RLS_OK;
}
