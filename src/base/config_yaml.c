#include "base/config_yaml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "base/memory.h"

/* One text being read, event by event. Nesting and repetition are bounded by the table of fields, and aliases
 * are refused, so the work is linear in the text. */
typedef struct {
    rls_context *ctx;
    const char *name, *set; /* the file, or the --set */
    const char *bytes;
    size_t len;
    rls_config_item *items;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    bool is_default;
    size_t line[RLS_CONFIG_FIELDS];         /* where this text gave the field; 0: not yet */
    size_t section_line[RLS_CONFIG_FIELDS]; /* the same for sections, at their first field */
} reader;

rls_status rls_config_complain(rls_context *ctx, const char *name, rls_config_place place, const char *fmt,
                               ...)
{
    char text[RLS_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (place.set)
        return rls_fail(ctx, RLS_ERR_CONFIG, "--set %.200s: %s", place.set, text);
    if (place.line)
        return rls_fail(ctx, RLS_ERR_CONFIG, "%s:%zu: %s", name, place.line, text);
    return rls_fail(ctx, RLS_ERR_CONFIG, "%s: %s", name, text);
}

static rls_config_place place_at(const reader *r, size_t line)
{
    return (rls_config_place){.set = r->set, .line = line};
}

static size_t event_line(const reader *r)
{
    return r->event.start_mark.line + 1;
}

/* Fails at a line of the reader's text. */
#define complain(r, line, ...) rls_config_complain((r)->ctx, (r)->name, place_at(r, line), __VA_ARGS__)

/* Why the parser stopped. */
static rls_status parser_failure(reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", r->name);
    size_t line = p->problem_mark.line + 1;
    if (p->error == YAML_READER_ERROR) { /* has an offset only */
        line = 1;
        for (size_t i = 0; i < p->problem_offset && i < r->len; i++)
            line += r->bytes[i] == '\n';
    }
    return complain(r, line, "not valid YAML: %s%s%s", p->context ? p->context : "", p->context ? ": " : "",
                    p->problem ? p->problem : "cannot be read");
}

static rls_status next_event(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return parser_failure(r);
    r->has_event = true;
    if (r->event.type == YAML_ALIAS_EVENT)
        return complain(r, event_line(r), "aliases such as *%.40s are not allowed: write the value out",
                        (const char *)r->event.data.alias.anchor);
    return RLS_OK;
}

static rls_status open_reader(reader *r)
{
    if (!yaml_parser_initialize(&r->parser))
        return rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", r->name);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->bytes, r->len);
    return next_event(r); /* the start of the stream */
}

static void close_reader(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

/* Escapes text for YAML's double quotes. to: room for 4 len + 1 bytes. text is valid UTF-8, as the parser
 * leaves it. */
static void escape(char *to, const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned c = text[i];
        bool two = (c & 0xe0U) == 0xc0U && i + 1 < len, three = (c & 0xf0U) == 0xe0U && i + 2 < len;
        unsigned code = c;
        if (two)
            code = (c & 0x1fU) << 6 | (text[i + 1] & 0x3fU);
        else if (three)
            code = (c & 0x0fU) << 12 | (text[i + 1] & 0x3fU) << 6 | (text[i + 2] & 0x3fU);
        /* YAML's unprintable characters below 2^16, its line breaks and the byte order mark */
        if (c < 0x20 || c == 0x7f || (two && code < 0xa0)) {
            to += snprintf(to, 5, "\\x%02x", code);
            i += two;
        } else if (three && (code == 0x2028 || code == 0x2029 || code == 0xfeff || code >= 0xfffe ||
                             (code >= 0xd800 && code < 0xe000))) {
            to += snprintf(to, 7, "\\u%04x", code);
            i += 2;
        } else {
            if (c == '"' || c == '\\')
                *to++ = '\\';
            *to++ = (char)c;
        }
    }
    *to = '\0';
}

enum { SHOWN = 40, FOUND_SIZE = 4 * SHOWN + 8 };

/* The current event as messages show it. */
static const char *found(const reader *r, char text[FOUND_SIZE])
{
    const yaml_event_t *e = &r->event;
    if (e->type == YAML_MAPPING_START_EVENT)
        return "a section";
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return "a list";
    if (e->type != YAML_SCALAR_EVENT)
        return "nothing";
    size_t len = e->data.scalar.length;
    if (len == 0 && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return "nothing";
    size_t shown = len <= SHOWN ? len : SHOWN;
    while (shown < len && (e->data.scalar.value[shown] & 0xc0U) == 0x80U)
        shown--;
    char escaped[4 * SHOWN + 1];
    escape(escaped, e->data.scalar.value, shown);
    snprintf(text, FOUND_SIZE, "\"%s%s\"", escaped, shown < len ? "..." : "");
    return text;
}

static rls_status mistyped(reader *r, const rls_config_field *field)
{
    char name[64], expects[160], text[FOUND_SIZE];
    return complain(r, event_line(r), "%s: expected %s, found %s", rls_config_field_name(field, name),
                    rls_config_expects(field, expects), found(r, text));
}

static bool is_null(const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "null") || !strcmp(text, "Null") || !strcmp(text, "NULL") ||
            !strcmp(text, "~"));
}

/* Decimal only: a leading 0 is octal to YAML 1.1 and decimal to YAML 1.2. */
static bool is_integer(const char *text, int64_t least, int64_t most)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 18 || digits[count] || (count > 1 && *digits == '0'))
        return false;
    long long value = strtoll(text, NULL, 10);
    return value >= least && value <= most;
}

static bool is_real(const char *text, bool positive)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789.eE+-")])
        return false;
    errno = 0;
    double value = strtod(text, &end);
    return !*end && isfinite(value) && (errno != ERANGE || value != 0) && (positive ? value > 0 : value >= 0);
}

static bool is_choice(const char *text, const cyaml_strval_t *choices)
{
    for (; choices->str; choices++)
        if (!strcmp(text, choices->str))
            return true;
    return false;
}

/* The absolute form of a path given in the reader's text. */
static rls_status absolute_path(reader *r, const char *path, char **out)
{
    char cwd[4096] = "";
    int dir = 0; /* length of the directory part of the file's name, its slash included */
    const char *name = r->name;
    while (!strncmp(path, "./", 2))
        path += 2;
    if (*path == '/')
        return rls_strdup(r->ctx, path, out);
    if (!r->set) {
        while (!strncmp(name, "./", 2))
            name += 2;
        const char *slash = strrchr(name, '/');
        dir = slash ? (int)(slash - name) + 1 : 0;
    }
    if (*name == '/' && dir)
        return rls_asprintf(r->ctx, out, "%.*s%s", dir, name, path);
    if (!getcwd(cwd, sizeof cwd))
        return rls_fail(r->ctx, RLS_ERR_CONFIG,
                        "the current directory cannot be told (%s): give absolute paths", strerror(errno));
    return rls_asprintf(r->ctx, out, "%s/%.*s%s", strcmp(cwd, "/") != 0 ? cwd : "", dir, name, path);
}

/* Appends text, quoted where YAML might take it for something else. */
static rls_status put_text(reader *r, FILE *to, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";
    if (*text && *text != '-' && *text != '.' && !text[strspn(text, plain)]) {
        fputs(text, to);
        return RLS_OK;
    }
    size_t len = strlen(text);
    void *quoted;
    rls_status status = rls_alloc(r->ctx, (int64_t)len * 4 + 1, 1, &quoted);
    if (status)
        return status;
    escape(quoted, (const unsigned char *)text, len);
    fprintf(to, "\"%s\"", (char *)quoted);
    free(quoted);
    return RLS_OK;
}

/* Checks the current scalar, or element of a list, and appends it to a value's text. */
static rls_status put_scalar(reader *r, const rls_config_field *field, FILE *to)
{
    const yaml_event_t *e = &r->event;
    const char *text = (const char *)e->data.scalar.value;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE, good = true;
    char *path = NULL, name[64];
    rls_status status;

    if (strlen(text) != e->data.scalar.length)
        return complain(r, event_line(r), "%s: holds a NUL character", rls_config_field_name(field, name));
    switch (field->kind) {
    case RLS_FIELD_TEXT:
        return is_null(e) ? mistyped(r, field) : put_text(r, to, text);
    case RLS_FIELD_PATH:
        if (!*text || is_null(e)) {
            fputs("null", to);
            return RLS_OK;
        }
        status = absolute_path(r, text, &path);
        if (status || !path)
            return status;
        status = put_text(r, to, path);
        free(path);
        return status;
    case RLS_FIELD_CHOICE:
        good = is_choice(text, field->choices);
        break;
    case RLS_FIELD_REAL:
        good = plain && is_real(text, field->positive);
        break;
    case RLS_FIELD_INTEGER:
    case RLS_FIELD_INTEGERS:
        good = plain && is_integer(text, field->least, field->most);
        break;
    }
    if (!good)
        return mistyped(r, field);
    fputs(text, to);
    return RLS_OK;
}

/* Takes a list of integers: the current event is its start; afterwards it is its end. */
static rls_status put_list(reader *r, const rls_config_field *field, FILE *to)
{
    char name[64], expects[160];
    size_t line = event_line(r), count = 0;
    rls_status status;
    fputc('[', to);
    while (!(status = next_event(r)) && r->event.type == YAML_SCALAR_EVENT) {
        fputs(count++ ? ", " : "", to);
        if ((status = put_scalar(r, field, to)))
            return status;
    }
    if (status)
        return status;
    if (r->event.type != YAML_SEQUENCE_END_EVENT)
        return mistyped(r, field);
    if (count < field->items_least || count > field->items_most)
        return complain(r, line, "%s: expected %s, found %zu", rls_config_field_name(field, name),
                        rls_config_expects(field, expects), count);
    fputc(']', to);
    return RLS_OK;
}

/* Takes the value whose first event is the current one; afterwards its last event is. */
static rls_status take_value(reader *r, const rls_config_field *field)
{
    rls_config_item *item = &r->items[field - rls_config_fields];
    size_t line = event_line(r), size = 0;
    char *text = NULL;
    rls_status status;

    bool list = field->kind == RLS_FIELD_INTEGERS;
    if (r->event.type != (list ? YAML_SEQUENCE_START_EVENT : YAML_SCALAR_EVENT))
        return mistyped(r, field);
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", r->name);
    status = list ? put_list(r, field, to) : put_scalar(r, field, to);
    bool short_of_memory = ferror(to);
    if ((fclose(to) || short_of_memory) && !status)
        status = rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", r->name);
    if (status) {
        free(text);
        return status;
    }
    free(item->text);
    item->text = text;
    item->place = r->is_default ? (rls_config_place){0} : place_at(r, line);
    return RLS_OK;
}

static rls_status unknown_key(reader *r, const char *section)
{
    char text[FOUND_SIZE], near[64];
    const char *word = (const char *)r->event.data.scalar.value;
    const char *meant = rls_config_nearest(section, word, near);
    return complain(r, event_line(r), "unknown key %s%s%s%s%s%s", found(r, text), *section ? " in " : "",
                    section, meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

/* Notes that a key was given, and refuses it the second time. */
static rls_status once(reader *r, size_t *line, const char *what)
{
    if (*line)
        return complain(r, event_line(r), "%s is given twice, first on line %zu", what, *line);
    *line = event_line(r);
    return RLS_OK;
}

/* Takes a section's fields: the current event is its start; afterwards it is its end. */
static rls_status take_section(reader *r, const char *section)
{
    char name[64];
    rls_status status;
    if (r->event.type == YAML_SCALAR_EVENT && is_null(&r->event))
        return RLS_OK; /* all its lines are commented out */
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return complain(r, event_line(r), "%s: expected a section of \"key: value\" lines, found %s", section,
                        found(r, (char[FOUND_SIZE]){""}));
    while (!(status = next_event(r)) && r->event.type != YAML_MAPPING_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT)
            return complain(r, event_line(r), "expected a key in %s, found %s", section,
                            found(r, (char[FOUND_SIZE]){""}));
        const rls_config_field *field = rls_config_find(section, (const char *)r->event.data.scalar.value);
        if (!field)
            return unknown_key(r, section);
        status = once(r, &r->line[field - rls_config_fields], rls_config_field_name(field, name));
        if (status || (status = next_event(r)) || (status = take_value(r, field)))
            return status;
    }
    return status;
}

/* The index of a section's first field. */
static int section_index(const char *section)
{
    int f = 0;
    while (strcmp(rls_config_fields[f].section, section) != 0)
        f++;
    return f;
}

/* Takes a whole document: the current event is its first; afterwards it is the end of the top level. */
static rls_status take_sections(reader *r)
{
    rls_status status;
    if (r->event.type == YAML_SCALAR_EVENT && is_null(&r->event))
        return RLS_OK;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return complain(r, event_line(r), "expected sections such as \"model:\", found %s",
                        found(r, (char[FOUND_SIZE]){""}));
    while (!(status = next_event(r)) && r->event.type != YAML_MAPPING_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT)
            return complain(r, event_line(r), "expected a key, found %s", found(r, (char[FOUND_SIZE]){""}));
        const char *key = (const char *)r->event.data.scalar.value;
        const rls_config_field *field = rls_config_find("", key);
        if (field) {
            status = once(r, &r->line[field - rls_config_fields], field->schema.key);
            if (status || (status = next_event(r)) || (status = take_value(r, field)))
                return status;
        } else if (rls_config_is_section(key)) {
            int first = section_index(key);
            const char *section = rls_config_fields[first].section;
            status = once(r, &r->section_line[first], section);
            if (status || (status = next_event(r)) || (status = take_section(r, section)))
                return status;
        } else {
            return unknown_key(r, "");
        }
    }
    return status;
}

/* After the one document: nothing else may follow. */
static rls_status finish(reader *r)
{
    rls_status status = next_event(r); /* the document's end */
    if (status || (status = next_event(r)))
        return status;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return complain(r, event_line(r), "a second YAML document: give one");
    return RLS_OK;
}

rls_status rls_config_take_file(rls_context *ctx, const char *name, const char *bytes, size_t len,
                                rls_config_item *items)
{
    reader r = {.ctx = ctx, .name = name, .bytes = bytes, .len = len, .items = items};
    if (len > RLS_CONFIG_BYTES_MAX)
        return rls_fail(ctx, RLS_ERR_CONFIG, "%s: longer than %d bytes: is it a configuration?", name,
                        RLS_CONFIG_BYTES_MAX);
    rls_status status = open_reader(&r);
    if (!status && !(status = next_event(&r)) && r.event.type != YAML_STREAM_END_EVENT) {
        status = next_event(&r);
        if (!status)
            status = take_sections(&r);
        if (!status)
            status = finish(&r);
    }
    close_reader(&r);
    return status;
}

/* Takes a YAML text that is one field's value. */
static rls_status take_text(reader *r, const rls_config_field *field)
{
    rls_status status = open_reader(r);
    if (!status && !(status = next_event(r))) {
        if (r->event.type == YAML_STREAM_END_EVENT)
            status = mistyped(r, field);
        else if (!(status = next_event(r)) && !(status = take_value(r, field)))
            status = finish(r);
    }
    close_reader(r);
    return status;
}

rls_status rls_config_take_set(rls_context *ctx, const char *set, rls_config_item *items)
{
    char key[64], near[64];
    const char *equals = strchr(set, '=');
    rls_config_place place = {.set = set};
    if (!equals)
        return rls_config_complain(ctx, "", place, "expected section.key=value");
    snprintf(key, sizeof key, "%.*s", (int)(equals - set < 63 ? equals - set : 63), set);
    const rls_config_field *field = rls_config_find(NULL, key);
    if (!field && rls_config_is_section(key))
        return rls_config_complain(ctx, "", place, "%s is a section: set one of its keys, such as %s.%s", key,
                                   key, rls_config_fields[section_index(key)].schema.key);
    if (!field) {
        const char *meant = rls_config_nearest(NULL, key, near);
        return rls_config_complain(ctx, "", place, "unknown key \"%s\"%s%s%s", key,
                                   meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
    }
    const char *value = equals[1] ? equals + 1 : "null"; /* nothing is null: it takes a path away */
    reader r = {.ctx = ctx, .name = "", .set = set, .bytes = value, .len = strlen(value), .items = items};
    return take_text(&r, field);
}

rls_status rls_config_take_defaults(rls_context *ctx, rls_config_item *items)
{
    rls_status status = RLS_OK;
    for (int f = 0; f < RLS_CONFIG_FIELDS && !status; f++) {
        const char *value = rls_config_fields[f].initial;
        reader r = {.ctx = ctx, .name = "defaults", .bytes = value, .items = items, .is_default = true};
        if (value) {
            r.len = strlen(value);
            status = take_text(&r, &rls_config_fields[f]);
        }
    }
    return status;
}
