#include "fuzz/json_mutator.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 512, KEY_MAX = 80, CHANGES_MAX = 4 };

/* A place in a document: a member of an object, or an item of an array. */
typedef struct {
    json_t *parent;
    char key[KEY_MAX];
    size_t index;
} place;

typedef struct {
    place places[NODES_MAX];
    size_t count;
    uint64_t random;
} mutation;

static uint64_t draw(mutation *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % below;
}

/* NOLINTNEXTLINE(misc-no-recursion): jansson bounds the depth of what it parses */
static void gather(mutation *m, json_t *node)
{
    const char *key = NULL;
    json_t *child = NULL;
    size_t i = 0;
    json_object_foreach(node, key, child)
    {
        if (m->count < NODES_MAX && strlen(key) < KEY_MAX) {
            place *p = &m->places[m->count++];
            *p = (place){.parent = node};
            memcpy(p->key, key, strlen(key) + 1);
        }
        gather(m, child);
    }
    json_array_foreach(node, i, child)
    {
        if (m->count < NODES_MAX)
            m->places[m->count++] = (place){.parent = node, .index = i};
        gather(m, child);
    }
}

static json_t *at(const place *p)
{
    return json_is_object(p->parent) ? json_object_get(p->parent, p->key)
                                     : json_array_get(p->parent, p->index);
}

static void put(const place *p, json_t *value)
{
    if (json_is_object(p->parent))
        (void)json_object_set_new(p->parent, p->key, value);
    else
        (void)json_array_set_new(p->parent, p->index, value);
}

/* A text with a piece of what texts go wrong by. */
static json_t *mangled_text(mutation *m, const char *text)
{
    static const char *const PIECES[] = {
        "{}",       " ",    "",  "\n",  "\t", "\"", "\\",  "\x1b[2J", "\xe2\x80\xae",
        "\xc2\x9b", "%s%n", "/", "../", ".",  "-1", "nan", "0",       "\xf0\x9f\x98\x80",
        "{",        "}"};
    const char *piece = PIECES[draw(m, sizeof PIECES / sizeof PIECES[0])];
    const size_t length = strlen(text), keep = draw(m, length + 1);
    const size_t rest = draw(m, 2) == 0 ? keep : draw(m, length + 1), more = strlen(piece);
    char *made = malloc(keep + more + (length - rest) + 1);
    if (made == NULL)
        return NULL;
    memcpy(made, text, keep);
    memcpy(made + keep, piece, more);
    memcpy(made + keep + more, text + rest, length - rest + 1);
    json_t *value = json_string(made); /* NULL when a character was cut */
    free(made);
    return value;
}

static json_t *odd_value(mutation *m)
{
    static const json_int_t INTEGERS[] = {0,
                                          1,
                                          -1,
                                          2,
                                          7,
                                          INT32_MAX,
                                          (json_int_t)INT32_MAX + 1,
                                          INT64_MAX,
                                          INT64_MIN,
                                          (json_int_t)1 << 53,
                                          ((json_int_t)1 << 53) - 1,
                                          1000000};
    static const double REALS[] = {0.0, -0.0, 1e-320, 1e308, -1e308, 0.5, 1.5, 1e19};
    switch (draw(m, 8)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(draw(m, 2));
    case 2:
    case 3:
        return json_integer(INTEGERS[draw(m, sizeof INTEGERS / sizeof INTEGERS[0])]);
    case 4:
        return json_real(REALS[draw(m, sizeof REALS / sizeof REALS[0])]);
    case 5:
        return json_array();
    case 6:
        return json_object();
    default:
        return json_string("");
    }
}

/* One change somewhere below root. */
static void change(mutation *m, json_t *root)
{
    m->count = 0;
    gather(m, root);
    if (m->count == 0)
        return;
    const place *p = &m->places[draw(m, m->count)], *other = &m->places[draw(m, m->count)];
    json_t *value = at(p);
    switch (draw(m, 8)) {
    case 0: /* another value of the text */
        put(p, json_deep_copy(at(other)));
        break;
    case 1:
    case 2:
        put(p, odd_value(m));
        break;
    case 3: /* gone */
        if (json_is_object(p->parent))
            (void)json_object_del(p->parent, p->key);
        else
            (void)json_array_remove(p->parent, p->index);
        break;
    case 4: /* under another member's name */
        if (json_is_object(p->parent))
            (void)json_object_set_new(p->parent, other->key, json_deep_copy(value));
        else
            (void)json_array_append_new(p->parent, json_deep_copy(at(other)));
        break;
    case 5:
        put(p, json_pack("[O]", value));
        break;
    case 6: /* unwrapped */
        if (json_is_array(value) && json_array_size(value) > 0)
            put(p, json_incref(json_array_get(value, 0)));
        else
            put(p, json_pack("{s:O}", other->key[0] != '\0' ? other->key : "str", value));
        break;
    default: {
        json_t *text = json_is_string(value) ? mangled_text(m, json_string_value(value)) : odd_value(m);
        if (text != NULL)
            put(p, text);
    }
    }
}

/* A document, or one line of several, changed; NULL when it is none. */
static char *changed(mutation *m, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY, NULL);
    if (root == NULL)
        return NULL;
    json_t *holder = json_pack("[o]", root); /* so that the root can be replaced as well */
    for (uint64_t i = 1 + draw(m, CHANGES_MAX); i > 0; i--)
        change(m, holder);
    char *made = json_array_size(holder) > 0
                     ? json_dumps(json_array_get(holder, 0),
                                  JSON_COMPACT | JSON_ENCODE_ANY | (draw(m, 4) == 0 ? JSON_ENSURE_ASCII : 0))
                     : NULL;
    json_decref(holder);
    return made;
}

/* The line of `text` that holds byte `in`. */
static void line_of(const char *text, size_t size, size_t in, size_t *begin, size_t *end)
{
    *begin = in < size ? in : size;
    while (*begin > 0 && text[*begin - 1] != '\n')
        (*begin)--;
    for (*end = *begin; *end < size && text[*end] != '\n';)
        (*end)++;
}

size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    mutation *m = calloc(1, sizeof *m);
    if (m == NULL || size <= fuzz_json_prefix || most < size) {
        free(m);
        return size;
    }
    m->random = UINT64_C(0x9e3779b97f4a7c15) * (seed + UINT64_C(1));
    char *text = (char *)data + fuzz_json_prefix;
    const size_t length = size - fuzz_json_prefix;
    size_t begin = 0, end = length, result = size;
    char *made = changed(m, text, length);
    if (made == NULL) {
        line_of(text, length, draw(m, length), &begin, &end);
        made = changed(m, text + begin, end - begin);
    }
    const size_t grown = made != NULL ? strlen(made) : 0, after = size - (end - begin) + grown;
    if (made != NULL && after <= most) {
        memmove(text + begin + grown, text + end, length - end);
        memcpy(text + begin, made, grown);
        result = after;
    } else {
        data[draw(m, size)] ^= (uint8_t)(1U << draw(m, 8));
    }
    if (fuzz_json_prefix > 0 && draw(m, 4) == 0)
        data[0] ^= (uint8_t)(1U << draw(m, 8));
    free(made);
    free(m);
    return result;
}

/* libFuzzer's name for it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return fuzz_json_mutate(data, size, most, seed);
}
