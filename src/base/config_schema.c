#include "base/config_schema.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/suggest.h"

/* The largest integer of fields without a limit of their own: what fits an int at MPI and BLAS calls. */
#define ANY INT32_MAX

/* A field's place: its section's struct within rls_config, and libcyaml's description within that. */
#define IN(section_)                                                                                         \
    .section = #section_, .section_offset = offsetof(rls_config, section_),                                  \
    .section_size = sizeof(struct rls_config_##section_)
#define TEXT(section_, key)                                                                                  \
    IN(section_), .kind = RLS_FIELD_TEXT,                                                                    \
                  .schema = CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER, struct rls_config_##section_,   \
                                                   key, 0, CYAML_UNLIMITED)
#define NAME(section_, key, choices_)                                                                        \
    IN(section_), .kind = RLS_FIELD_CHOICE, .choices = (choices_),                                           \
                  .schema = CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER, struct rls_config_##section_,   \
                                                   key, 0, CYAML_UNLIMITED)
#define PATH(section_, key)                                                                                  \
    IN(section_), .kind = RLS_FIELD_PATH, .initial = "null",                                                 \
                  .schema = CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER_NULL_STR,                        \
                                                   struct rls_config_##section_, key, 0, CYAML_UNLIMITED)
#define ENUM(section_, key, choices_)                                                                        \
    IN(section_), .kind = RLS_FIELD_CHOICE, .choices = (choices_),                                           \
                  .schema = CYAML_FIELD_ENUM(#key, CYAML_FLAG_STRICT, struct rls_config_##section_, key,     \
                                             choices_, sizeof(choices_) / sizeof *(choices_)-1)
#define REAL(section_, key)                                                                                  \
    IN(section_), .kind = RLS_FIELD_REAL,                                                                    \
                  .schema = CYAML_FIELD_FLOAT(#key, CYAML_FLAG_DEFAULT, struct rls_config_##section_, key)
#define INTEGER(section_, key)                                                                               \
    IN(section_), .kind = RLS_FIELD_INTEGER,                                                                 \
                  .schema = CYAML_FIELD_INT(#key, CYAML_FLAG_DEFAULT, struct rls_config_##section_, key)
#define LIST(section_, key, fewest, greatest)                                                                \
    IN(section_), .kind = RLS_FIELD_INTEGERS, .items_least = (fewest), .items_most = (greatest),             \
                  .schema = CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER, struct rls_config_##section_,     \
                                                 key, &integer, fewest, greatest)
#define ARRAY(section_, key, size)                                                                           \
    IN(section_), .kind = RLS_FIELD_INTEGERS, .items_least = (size), .items_most = (size),                   \
                  .schema = CYAML_FIELD_SEQUENCE_FIXED(#key, CYAML_FLAG_DEFAULT,                             \
                                                       struct rls_config_##section_, key, &integer, size)

static const cyaml_schema_value_t integer = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int64_t)};
static const cyaml_strval_t rules[] = {{"rls", 0}, {NULL, 0}};
static const cyaml_strval_t state_dtypes[] = {{"float64", RLS_F64}, {"float32", RLS_F32}, {NULL, 0}};
static const cyaml_strval_t export_dtypes[] = {
    {"model", RLS_EXPORT_MODEL}, {"float32", RLS_EXPORT_FLOAT32}, {NULL, 0}};

static const cyaml_strval_t export_links[] = {
    {"hard", RLS_EXPORT_HARD}, {"copy", RLS_EXPORT_COPY}, {"reflink", RLS_EXPORT_REFLINK}, {NULL, 0}};

/* no size here, so that the compiler compares the rows with RLS_CONFIG_FIELDS */
const rls_config_field rls_config_fields[] = {
    {TEXT(model, module), .help = "tensor to edit, without .weight; {} is the layer's number"},
    {LIST(model, layers, 1, 1024), .least = 0, .most = ANY, .help = "layers to edit, all different"},

    {NAME(editor, name, rules), .initial = "rls", .help = "update rule"},
    {REAL(editor, lambda), .initial = "1.0",
     .help = "holds W to W_0: lambda^2 ||W - W_0||^2; not 0 together with mu"},
    {REAL(editor, mu), .initial = "1.0", .help = "holds W to the anchor: mu^2 ||W K_0 - V_0||^2"},

    {PATH(anchor, moments), .help = "NetCDF file with second moments of keys over ordinary text"},
    {REAL(anchor, weight), .initial = "15000.0", .help = "weight of the second moments, in keys"},
    {PATH(anchor, keys), .help = "stream file of anchor keys K_0; its values, if any, are V_0"},

    {.section = "",
     .kind = RLS_FIELD_INTEGER,
     .initial = "100",
     .least = 1,
     .most = ANY,
     .schema = CYAML_FIELD_INT("batch", CYAML_FLAG_DEFAULT, rls_config, batch),
     .help = "edits a batch"},

    {ENUM(state, dtype, state_dtypes), .initial = "float64", .help = "of weights and covariances in memory"},
    {INTEGER(state, step), .initial = "0", .least = 0, .most = ANY,
     .help = "edits a step of a recorded stream, rounded down to whole batches, at least one; 0: automatic"},

    {INTEGER(grid, block), .initial = "64", .least = 1, .most = 1024, .help = "side of a block, in elements"},
    {ARRAY(grid, shape, 2), .initial = "[0, 0]", .least = 0, .most = 32768,
     .help = "process rows and columns; [0, 0]: chosen from the number of ranks"},

    {INTEGER(value, steps), .initial = "25", .least = 1, .most = ANY,
     .help = "most optimisation steps for one target"},
    {REAL(value, lr), .initial = "0.1", .positive = true, .help = "learning rate (Adam)"},
    {REAL(value, clamp_norm_factor), .initial = "0.75", .positive = true,
     .help = "largest change of the hidden state, against its norm"},
    {REAL(value, kl_factor), .initial = "0.0625",
     .help = "weight of the KL divergence to the unedited model"},
    {REAL(value, weight_decay), .initial = "0.5", .help = "weight of the change's norm, relative"},
    {REAL(value, stop_loss), .initial = "0.05", .help = "stop when the loss is below"},
    {INTEGER(value, prefixes), .initial = "5", .least = 0, .most = 1024,
     .help = "context prefixes a prompt is tried with, besides none"},
    {PATH(value, contexts), .help = "text file of context prefixes, one a line"},

    {INTEGER(checkpoint, every_edits), .initial = "1000", .least = 0, .most = ANY,
     .help = "edits between checkpoints; 0: no such limit"},
    {REAL(checkpoint, every_minutes), .initial = "30.0",
     .help = "minutes between checkpoints; 0: no such limit"},
    {REAL(checkpoint, max_share), .initial = "0.01",
     .help = "most of the time that every_edits may spend on checkpoints of over a second; 0: no such limit"},
    {INTEGER(checkpoint, keep), .initial = "3", .least = 1, .most = ANY, .help = "checkpoints to keep"},
    {INTEGER(checkpoint, keep_every), .initial = "0", .least = 0, .most = ANY,
     .help = "keep every checkpoint whose edits are a multiple of this, too; 0: none"},

    {ENUM(export, dtype, export_dtypes), .initial = "model",
     .help = "of the edited tensors on disk; model: the dtype they had"},
    {ENUM(export, link, export_links), .initial = "hard",
     .help = "weight files without edits: hard (another name of the original's file), copy, or reflink (a "
             "copy that "
             "shares blocks, where the file system can); all else is copied"},
};

const char *rls_config_field_name(const rls_config_field *field, char name[64])
{
    snprintf(name, 64, "%s%s%s", field->section, *field->section ? "." : "", field->schema.key);
    return name;
}

const rls_config_field *rls_config_find(const char *section, const char *key)
{
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++) {
        const rls_config_field *field = &rls_config_fields[f];
        char name[64];
        if (section ? !strcmp(section, field->section) && !strcmp(key, field->schema.key)
                    : !strcmp(key, rls_config_field_name(field, name)))
            return field;
    }
    return NULL;
}

bool rls_config_is_section(const char *name)
{
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++)
        if (*name && !strcmp(name, rls_config_fields[f].section))
            return true;
    return false;
}

const char *rls_config_nearest(const char *section, const char *word, char name[64])
{
    size_t best = SIZE_MAX;
    char candidate[64];
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++) {
        const rls_config_field *field = &rls_config_fields[f];
        if (!section)
            rls_config_field_name(field, candidate);
        else if (!strcmp(section, field->section))
            snprintf(candidate, sizeof candidate, "%s", field->schema.key);
        else if (!*section)
            snprintf(candidate, sizeof candidate, "%s", field->section);
        else
            continue;
        if (rls_closer(word, candidate, &best))
            memcpy(name, candidate, sizeof candidate);
    }
    /* a right key in the wrong place, such as lambda at the top level */
    for (int f = 0; f < RLS_CONFIG_FIELDS && best == SIZE_MAX; f++)
        if (!strcmp(word, rls_config_fields[f].schema.key)) {
            rls_config_field_name(&rls_config_fields[f], name);
            best = 0;
        }
    return best == SIZE_MAX ? NULL : name;
}

static void describe_integers(const rls_config_field *field, const char *noun, char *text, size_t size)
{
    if (field->most == ANY)
        snprintf(text, size, "%s, %" PRId64 " or more", noun, field->least);
    else
        snprintf(text, size, "%s from %" PRId64 " to %" PRId64, noun, field->least, field->most);
}

const char *rls_config_expects(const rls_config_field *field, char text[160])
{
    char noun[64];
    text[0] = '\0';
    switch (field->kind) {
    case RLS_FIELD_TEXT:
        return "text";
    case RLS_FIELD_PATH:
        return "a path or null";
    case RLS_FIELD_REAL:
        return field->positive ? "a number above 0" : "a number, 0 or more";
    case RLS_FIELD_CHOICE:
        for (const cyaml_strval_t *choice = field->choices; choice->str; choice++) {
            size_t used = strlen(text);
            snprintf(text + used, 160 - used, "%s%s", used ? " or " : "", choice->str);
        }
        return text;
    case RLS_FIELD_INTEGER:
        describe_integers(field, "an integer", text, 160);
        return text;
    case RLS_FIELD_INTEGERS:
        if (field->items_least == field->items_most)
            snprintf(noun, sizeof noun, "a list of %" PRIu32 " integers", field->items_least);
        else
            snprintf(noun, sizeof noun, "a list of %" PRIu32 " to %" PRIu32 " integers", field->items_least,
                     field->items_most);
        describe_integers(field, noun, text, 160);
        return text;
    }
    return text;
}

void rls_config_help(FILE *out)
{
    const char *section = "";
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++) {
        const rls_config_field *field = &rls_config_fields[f];
        char expects[160], name[64];
        if (strcmp(section, field->section) != 0 && *field->section)
            fprintf(out, "%s:\n", field->section);
        section = field->section;
        snprintf(name, sizeof name, "%s%s: %s", *section ? "  " : "", field->schema.key,
                 field->initial ? field->initial : "(required)");
        fprintf(out, "%-30s # %s (%s)\n", name, field->help, rls_config_expects(field, expects));
    }
}

/* libcyaml wants one array of fields a section, each with an end mark, and one of sections. */
typedef struct {
    cyaml_schema_field_t fields[2 * RLS_CONFIG_FIELDS], sections[RLS_CONFIG_FIELDS + 1];
    cyaml_schema_value_t top;
} schema;

static void build_schema(schema *s)
{
    memset(s, 0, sizeof *s);
    size_t used = 0, sections = 0;
    const char *section = "";
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++) {
        const rls_config_field *field = &rls_config_fields[f];
        if (!*field->section) {
            s->sections[sections++] = field->schema;
        } else {
            if (strcmp(section, field->section) != 0) {
                used += used > 0; /* leave a zero key, the end mark, after the section before */
                s->sections[sections++] =
                    (cyaml_schema_field_t){.key = field->section,
                                           .data_offset = field->section_offset,
                                           .value = {.type = CYAML_MAPPING,
                                                     .data_size = field->section_size,
                                                     .mapping.fields = &s->fields[used]}};
            }
            s->fields[used++] = field->schema;
        }
        section = field->section;
    }
    s->top = (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, rls_config, s->sections)};
}

typedef struct {
    char text[512];
    size_t used;
} log_buffer;

static void keep_log(cyaml_log_t level, void *user, const char *fmt, va_list args)
{
    log_buffer *log = user;
    (void)level;
    if (log->used >= sizeof log->text - 1)
        return;
    int n = vsnprintf(log->text + log->used, sizeof log->text - log->used, fmt, args);
    if (n > 0)
        log->used += (size_t)n;
    for (char *c = log->text; *c; c++)
        if (*c == '\n')
            *c = ' ';
}

static cyaml_config_t cyaml_settings(log_buffer *log)
{
    return (cyaml_config_t){.log_fn = log ? keep_log : NULL,
                            .log_ctx = log,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

rls_status rls_config_load(rls_context *ctx, const char *name, const char *text, size_t len, rls_config **out)
{
    schema s;
    build_schema(&s);
    log_buffer log = {.text = ""};
    cyaml_config_t settings = cyaml_settings(&log);
    cyaml_data_t *data = NULL;
    *out = NULL;
    cyaml_err_t error = cyaml_load_data((const uint8_t *)text, len, &settings, &s.top, &data, NULL);
    if (error == CYAML_ERR_OOM)
        return rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", name);
    if (error != CYAML_OK)
        return rls_fail(ctx, RLS_ERR_INTERNAL, "%s: libcyaml refuses the resolved configuration: %s: %s",
                        name, cyaml_strerror(error), log.text);
    *out = data;
    return RLS_OK;
}

void rls_config_unload(rls_config *config)
{
    schema s;
    build_schema(&s);
    cyaml_config_t settings = cyaml_settings(NULL);
    /* the only error is a bad argument */
    (void)cyaml_free(&settings, &s.top, config, 0);
}
