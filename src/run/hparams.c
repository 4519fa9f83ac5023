#include "run/hparams.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/config.h"
#include "base/config_yaml.h"
#include "base/memory.h"
#include "base/share.h"
#include "base/suggest.h"
#include "store/file_util.h"

/* What becomes of a key: a setting of ours, a value that must be as said, the loss layer, or nothing (why).
 */
typedef enum {
    SETTING,
    EXACTLY,
    LOSS_LAYER,
    NULL_SPACE,
    MOMENTS,
    MODEL,
    MACHINE,
    CONTEXTS,
    NOT_EDITING
} fate;

static const char *const reasons[] = {
    [NULL_SPACE] = "AlphaEdit's projection to the null space has no counterpart here",
    [MOMENTS] = "second moments are taken by rlsedit moments, or imported, and given as anchor.moments",
    [MODEL] = "read from the model's directory",
    [MACHINE] = "decided by the ranks there are",
    [CONTEXTS] = "contexts are told by value.prefixes and value.contexts",
    [NOT_EDITING] = "without effect on the edits",
};

typedef struct {
    const char *key;
    fate fate;
    const char *ours; /* SETTING: section.key; EXACTLY: the value */
} rule;

static const rule rules[] = {
    {"layers", SETTING, "model.layers"},
    {"rewrite_module_tmp", SETTING, "model.module"},
    {"clamp_norm_factor", SETTING, "value.clamp_norm_factor"},
    {"kl_factor", SETTING, "value.kl_factor"},
    {"v_weight_decay", SETTING, "value.weight_decay"},
    {"v_lr", SETTING, "value.lr"},
    {"v_num_grad_steps", SETTING, "value.steps"},
    {"mom2_update_weight", SETTING, "anchor.weight"},
    {"batch_size", SETTING, "batch"},
    {"lambda_reg", SETTING, "editor.lambda"}, /* these two are RLSEdit's */
    {"mu_reg", SETTING, "editor.mu"},
    {"fact_token", EXACTLY, "subject_last"},
    {"layer_selection", EXACTLY, "all"},
    {"v_loss_layer", LOSS_LAYER, NULL},
    {"nullspace_threshold", NULL_SPACE, NULL},
    {"L2", NULL_SPACE, NULL},
    {"P_loc", NULL_SPACE, NULL},
    {"mom2_adjustment", MOMENTS, NULL},
    {"mom2_dataset", MOMENTS, NULL},
    {"mom2_n_samples", MOMENTS, NULL},
    {"mom2_dtype", MOMENTS, NULL},
    {"stats_dir", MOMENTS, NULL},
    {"model_name", MODEL, NULL},
    {"layer_module_tmp", MODEL, NULL},
    {"mlp_module_tmp", MODEL, NULL},
    {"attn_module_tmp", MODEL, NULL},
    {"ln_f_module", MODEL, NULL},
    {"lm_head_module", MODEL, NULL},
    {"device", MACHINE, NULL},
    {"model_parallel", MACHINE, NULL},
    {"fp16", MACHINE, NULL},
    {"bf16", MACHINE, NULL},
    {"context_template_length_params", CONTEXTS, NULL},
    {"alg_name", NOT_EDITING, NULL},
    {"max_length", NOT_EDITING, NULL},
    {"weight_reg", NOT_EDITING, NULL},
    {"evaluation_type", NOT_EDITING, NULL},
    {"api_key", NOT_EDITING, NULL},
};
enum { RULES = sizeof rules / sizeof *rules };

typedef struct {
    rls_context *ctx;
    const char *path;
    yaml_document_t doc;
    size_t line[RULES]; /* where the key was given; 0: not yet */
    rls_config_item items[RLS_CONFIG_FIELDS];
    int64_t loss_layer;
} reader;

#define complain(r, line_, ...)                                                                              \
    rls_config_complain((r)->ctx, (r)->path, (rls_config_place){.line = (line_)}, __VA_ARGS__)

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

/* Writes a scalar so that it is read again as what it is. */
static void put_scalar(FILE *to, const yaml_node_t *node)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
    const char *text = scalar(node);
    const size_t len = node->data.scalar.length;
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && len > 0 && strspn(text, plain) == len) {
        (void)fputs(text, to);
        return;
    }
    (void)fputc('"', to);
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            (void)fprintf(to, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            (void)fprintf(to, "\\%c", c);
        else
            (void)fputc(c, to);
    }
    (void)fputc('"', to);
}

/* Writes a value on one line; what no setting can have, lists in lists and the like, as an empty section. */
static void put_value(FILE *to, yaml_document_t *doc, const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE) {
        put_scalar(to, node);
        return;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        (void)fputs("{}", to);
        return;
    }
    (void)fputc('[', to);
    for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = yaml_document_get_node(doc, *i);
        (void)fputs(i > node->data.sequence.items.start ? ", " : "", to);
        if (item != NULL && item->type == YAML_SCALAR_NODE)
            put_scalar(to, item);
        else
            (void)fputs("{}", to);
    }
    (void)fputc(']', to);
}

/* Has the value checked by the reader of configurations: as a file with this one setting, on the same line.
 */
static rls_status take_setting(reader *r, const rule *to_take, const yaml_node_t *key,
                               const yaml_node_t *value)
{
    char *text = NULL;
    size_t size = 0;
    const char *dot = strchr(to_take->ours, '.');
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the hyperparameters", r->path);
    for (size_t line = 1; line < line_of(key); line++)
        (void)fputc('\n', to);
    if (dot != NULL)
        (void)fprintf(to, "%.*s: {%s: ", (int)(dot - to_take->ours), to_take->ours, dot + 1);
    else
        (void)fprintf(to, "%s: ", to_take->ours);
    put_value(to, &r->doc, value);
    (void)fputs(dot != NULL ? "}\n" : "\n", to);
    const bool failed = ferror(to);
    rls_status status = RLS_OK;
    if (fclose(to) != 0 || failed || text == NULL)
        status = rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the hyperparameters", r->path);
    else
        status = rls_config_take_file(r->ctx, r->path, text, size, r->items);
    free(text);
    const char *module = scalar(value), *mark = strstr(module, "{}");
    if (status == RLS_OK && strcmp(to_take->ours, "model.module") == 0 &&
        (mark == NULL || strstr(mark + 2, "{}") != NULL))
        return complain(r, line_of(key), "%s: expected {} once, where the layer's number goes", to_take->key);
    return status;
}

static rls_status take_loss_layer(reader *r, const yaml_node_t *value)
{
    const char *text = scalar(value);
    const size_t len = strlen(text);
    if (len == 0 || len > 6 || strspn(text, "0123456789") != len || len != value->data.scalar.length)
        return complain(r, line_of(value), "v_loss_layer: expected the number of a layer");
    r->loss_layer = strtoll(text, NULL, 10);
    return RLS_OK;
}

static rls_status unknown(reader *r, const yaml_node_t *key)
{
    size_t best = SIZE_MAX;
    const char *meant = NULL;
    for (int i = 0; i < RULES; i++)
        if (rls_closer(scalar(key), rules[i].key, &best))
            meant = rules[i].key;
    return complain(r, line_of(key), "unknown key \"%.40s\"%s%s%s", scalar(key),
                    meant != NULL ? "; did you mean " : "", meant != NULL ? meant : "",
                    meant != NULL ? "?" : "");
}

static rls_status take_pair(reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
    int i = 0;
    if (key->type != YAML_SCALAR_NODE)
        return complain(r, line_of(key), "expected a key");
    while (i < RULES && strcmp(rules[i].key, scalar(key)) != 0)
        i++;
    if (i == RULES)
        return unknown(r, key);
    if (r->line[i] != 0)
        return complain(r, line_of(key), "%s is given twice, first on line %zu", rules[i].key, r->line[i]);
    r->line[i] = line_of(key);
    if (rules[i].fate == SETTING)
        return take_setting(r, &rules[i], key, value);
    if (rules[i].fate == LOSS_LAYER)
        return take_loss_layer(r, value);
    if (rules[i].fate == EXACTLY && strcmp(scalar(value), rules[i].ours) != 0)
        return complain(r, line_of(value), "%s: only \"%s\" is done here, found \"%.40s\"", rules[i].key,
                        rules[i].ours, scalar(value));
    return RLS_OK;
}

static rls_status take_document(reader *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    rls_status status = RLS_OK;
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        return complain(r, root != NULL ? line_of(root) : 1,
                        "expected hyperparameters: a JSON object or \"key: value\" lines");
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
         p < root->data.mapping.pairs.top && status == RLS_OK; p++)
        status =
            take_pair(r, yaml_document_get_node(&r->doc, p->key), yaml_document_get_node(&r->doc, p->value));
    return status;
}

static rls_status parse_yaml(reader *r, const char *bytes, size_t len)
{
    yaml_parser_t parser;
    rls_status status = RLS_OK;
    if (!yaml_parser_initialize(&parser))
        return rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the hyperparameters", r->path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, len);
    if (yaml_parser_load(&parser, &r->doc)) {
        status = take_document(r);
        yaml_document_delete(&r->doc);
        if (status == RLS_OK && yaml_parser_load(&parser, &r->doc)) {
            if (yaml_document_get_root_node(&r->doc) != NULL)
                status = complain(r, r->doc.start_mark.line + 1, "something follows the hyperparameters");
            yaml_document_delete(&r->doc);
        }
    }
    if (status != RLS_OK || parser.error == YAML_NO_ERROR) {
        yaml_parser_delete(&parser);
        return status;
    }
    if (parser.error == YAML_MEMORY_ERROR)
        status = rls_fail(r->ctx, RLS_ERR_MEMORY, "%s: no memory for the hyperparameters", r->path);
    else
        status = complain(r, parser.problem_mark.line + 1, "not valid YAML or JSON: %s",
                          parser.problem != NULL ? parser.problem : "cannot be read");
    yaml_parser_delete(&parser);
    return status;
}

/* One line for each reason why keys were not read. */
static void log_unread(const reader *r)
{
    for (int why = NULL_SPACE; why <= NOT_EDITING; why++) {
        char keys[256] = "";
        for (int i = 0; i < RULES; i++)
            if (r->line[i] != 0 && (int)rules[i].fate == why) {
                const size_t used = strlen(keys);
                (void)snprintf(keys + used, sizeof keys - used, "%s%s", used > 0 ? ", " : "", rules[i].key);
            }
        if (*keys != '\0')
            rls_log(r->ctx, RLS_LOG_INFO, "%s: not read: %s (%s)", r->path, keys, reasons[why]);
    }
}

static rls_status collect(const reader *r, char ***sets, size_t *nsets)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(r->ctx, RLS_CONFIG_FIELDS, sizeof **sets, &memory);
    *sets = memory;
    for (int f = 0; f < RLS_CONFIG_FIELDS && status == RLS_OK && *sets != NULL; f++) {
        char name[64];
        if (r->items[f].text != NULL)
            status = rls_asprintf(r->ctx, &(*sets)[(*nsets)++], "%s=%s",
                                  rls_config_field_name(&rls_config_fields[f], name), r->items[f].text);
    }
    return status;
}

rls_status rls_hparams_parse(rls_context *ctx, const char *path, const char *bytes, size_t len, char ***sets,
                             size_t *nsets, int64_t *loss_layer)
{
    reader r = {.ctx = ctx, .path = path, .loss_layer = -1};
    *sets = NULL;
    *nsets = 0;
    rls_status status = parse_yaml(&r, bytes, len);
    if (status == RLS_OK)
        status = collect(&r, sets, nsets);
    if (status == RLS_OK)
        log_unread(&r);
    else
        rls_hparams_free(sets, *nsets);
    if (status != RLS_OK)
        *nsets = 0;
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++)
        free(r.items[f].text);
    *loss_layer = r.loss_layer;
    return status;
}

void rls_hparams_free(char ***sets, size_t nsets)
{
    for (size_t i = 0; *sets != NULL && i < nsets; i++)
        free((*sets)[i]);
    free(*sets);
    *sets = NULL;
}

/* Rank 0's settings as one text, a line each: no setting has a line break in it. */
static rls_status join(rls_context *ctx, char *const *sets, size_t nsets, char **text)
{
    size_t bytes = 1;
    void *memory = NULL;
    for (size_t i = 0; i < nsets; i++)
        bytes += strlen(sets[i]) + 1;
    const rls_status status = rls_alloc(ctx, (int64_t)bytes, 1, &memory);
    char *to = *text = memory;
    if (status != RLS_OK || to == NULL)
        return status;
    *to = '\0';
    for (size_t i = 0; i < nsets; i++) {
        const size_t len = strlen(sets[i]);
        memcpy(to, sets[i], len);
        memcpy(to + len, "\n", 2);
        to += len + 1;
    }
    return RLS_OK;
}

static rls_status split(rls_context *ctx, const char *text, char ***sets, size_t *nsets)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, RLS_CONFIG_FIELDS, sizeof **sets, &memory);
    *sets = memory;
    for (const char *end; status == RLS_OK && *sets != NULL && (end = strchr(text, '\n')) != NULL;
         text = end + 1)
        status = rls_asprintf(ctx, &(*sets)[(*nsets)++], "%.*s", (int)(end - text), text);
    return status;
}

/* Rank 0's part. */
static rls_status read_file(rls_context *ctx, const char *path, char ***sets, size_t *nsets,
                            int64_t *loss_layer, char **text)
{
    char *bytes = NULL;
    int64_t len = 0;
    rls_status status = rls_file_read_whole(ctx, path, RLS_CONFIG_BYTES_MAX, &bytes, &len);
    if (status == RLS_ERR_DATA) /* it is a configuration, not data */
        status = RLS_ERR_CONFIG;
    if (status == RLS_OK)
        status = rls_hparams_parse(ctx, path, bytes, (size_t)len, sets, nsets, loss_layer);
    if (status == RLS_OK)
        status = join(ctx, *sets, *nsets, text);
    free(bytes);
    return status;
}

rls_status rls_hparams_read(rls_context *ctx, const char *path, char ***sets, size_t *nsets,
                            int64_t *loss_layer)
{
    char *text = NULL;
    rls_status status = RLS_OK;
    *sets = NULL;
    *nsets = 0;
    *loss_layer = -1;
    if (ctx->rank == 0)
        status = read_file(ctx, path, sets, nsets, loss_layer, &text);
    status = rls_share_text(ctx, status, &text);
    if (status == RLS_OK) {
        MPI_Bcast(loss_layer, 1, MPI_INT64_T, 0, ctx->comm);
        if (ctx->rank != 0)
            status = split(ctx, text, sets, nsets);
        status = rls_agree(ctx, status);
    }
    free(text);
    if (status != RLS_OK) {
        rls_hparams_free(sets, *nsets);
        *nsets = 0;
    }
    return status;
}
