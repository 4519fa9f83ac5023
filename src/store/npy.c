#include "store/npy.h"

#include <inttypes.h>
#include <string.h>

rls_status rls_npy_header_bytes(rls_context *ctx, const char *name, const unsigned char *bytes,
                                int64_t length, int64_t *header)
{
    *header = 0;
    if (length < RLS_NPY_PREFIX || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: is not a NumPy array", name);
    if (bytes[6] == 1)
        *header = 10 + (bytes[8] | bytes[9] << 8);
    else if (bytes[6] == 2 || bytes[6] == 3)
        *header = 12 + (int64_t)((uint32_t)bytes[8] | (uint32_t)bytes[9] << 8 | (uint32_t)bytes[10] << 16 |
                                 (uint32_t)bytes[11] << 24);
    else
        return rls_fail(ctx, RLS_ERR_DATA, "%s: version %d of NumPy's format is not known", name, bytes[6]);
    if (*header > RLS_NPY_HEADER_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: its header has %" PRId64 " bytes: no plain array", name,
                        *header);
    return RLS_OK;
}

/* A position in the text of the header, a Python dictionary. */
typedef struct {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

static bool take_char(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    const size_t length = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* A quoted text without escapes. */
static bool take_text(cursor *c, char *text, size_t size)
{
    size_t length = 0;
    skip_space(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    const char quote = *c->at++;
    while (c->at < c->end && *c->at != quote && *c->at != '\\' && length + 1 < size)
        text[length++] = *c->at++;
    text[length] = '\0';
    return take_char(c, quote);
}

/* The list of a structured type, which is passed over. */
static bool skip_list(cursor *c)
{
    int depth = 0;
    skip_space(c);
    if (c->at >= c->end || *c->at != '[')
        return false;
    for (; c->at < c->end; c->at++) {
        depth += *c->at == '[';
        depth -= *c->at == ']';
        if (depth == 0) {
            c->at++;
            return true;
        }
    }
    return false;
}

static bool take_number(cursor *c, int64_t *value)
{
    bool any = false;
    skip_space(c);
    for (*value = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (*value > (INT64_MAX - 9) / 10)
            return false;
        *value = *value * 10 + (*c->at - '0');
        any = true;
    }
    (void)(any && take_char(c, 'L')); /* Python 2 wrote long integers so */
    return any;
}

static bool take_shape(cursor *c, rls_npy *out)
{
    if (!take_char(c, '('))
        return false;
    out->count = 1;
    while (!take_char(c, ')')) {
        if (out->dims == RLS_NPY_DIMS || !take_number(c, &out->shape[out->dims]))
            return false;
        const int64_t size = out->shape[out->dims++];
        if (size != 0 && out->count > INT64_MAX / 16 / size)
            return false;
        out->count *= size;
        if (!take_char(c, ',')) {
            if (!take_char(c, ')'))
                return false;
            break;
        }
    }
    return true;
}

/* The dictionary's three items, in any order. */
static bool take_items(cursor *c, rls_npy *out)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!take_char(c, '{'))
        return false;
    while (!take_char(c, '}')) {
        char key[16];
        if (!take_text(c, key, sizeof key) || !take_char(c, ':'))
            return false;
        unsigned item = 0;
        if (strcmp(key, "descr") == 0) {
            item = DESCR;
            if (!take_text(c, out->type, sizeof out->type)) {
                out->type[0] = '\0';
                if (!skip_list(c))
                    return false;
            }
        } else if (strcmp(key, "fortran_order") == 0) {
            item = ORDER;
            out->fortran = take_word(c, "True");
            if (!out->fortran && !take_word(c, "False"))
                return false;
        } else if (strcmp(key, "shape") == 0 && (seen & SHAPE) == 0) {
            item = SHAPE;
            if (!take_shape(c, out))
                return false;
        }
        if (item == 0 || (seen & item) != 0)
            return false;
        seen |= item;
        (void)take_char(c, ',');
    }
    return seen == (DESCR | ORDER | SHAPE);
}

rls_status rls_npy_parse(rls_context *ctx, const char *name, const unsigned char *bytes, int64_t length,
                         rls_npy *out)
{
    int64_t header = 0;
    *out = (rls_npy){.dims = 0};
    const rls_status status = rls_npy_header_bytes(ctx, name, bytes, length, &header);
    if (status != RLS_OK)
        return status;
    const int64_t text = bytes[6] == 1 ? 10 : 12;
    if (header > length || text > header)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: its header is cut off", name);
    cursor c = {(const char *)bytes + text, (const char *)bytes + header};
    if (!take_items(&c, out))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: its header is not that of a NumPy array", name);
    out->begin = header;
    return RLS_OK;
}

int64_t rls_npy_element(const rls_npy *npy, char kind)
{
    const char *type = npy->type;
    if ((type[0] != '<' && type[0] != '|') || type[1] != kind || type[2] == '\0' || type[3] != '\0')
        return 0;
    const int64_t size = type[2] - '0';
    return size == 1 || size == 2 || size == 4 || size == 8 ? size : 0;
}
