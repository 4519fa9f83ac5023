#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_yaml.h"
#include "base/dtype.h"
#include "base/memory.h"
#include "base/share.h"

/* Where section.key was given. */
static rls_config_place place_of(const rls_config_item *items, const char *section, const char *key)
{
    return items[rls_config_find(section, key) - rls_config_fields].place;
}

/* Writes all fields, one a line. */
static rls_status resolve(rls_context *ctx, const char *name, const rls_config_item *items, char **out)
{
    char key[64], expects[160];
    size_t size = 0;
    const char *section = "";
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++)
        if (!items[f].text)
            return rls_fail(ctx, RLS_ERR_CONFIG, "%s: %s is missing (%s: %s)", name,
                            rls_config_field_name(&rls_config_fields[f], key), rls_config_fields[f].help,
                            rls_config_expects(&rls_config_fields[f], expects));
    *out = NULL;
    FILE *to = open_memstream(out, &size);
    if (!to)
        return rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", name);
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++) {
        const rls_config_field *field = &rls_config_fields[f];
        if (strcmp(section, field->section) != 0 && *field->section)
            fprintf(to, "%s:\n", field->section);
        section = field->section;
        fprintf(to, "%s%s: %s\n", *section ? "  " : "", field->schema.key, items[f].text);
    }
    bool short_of_memory = ferror(to);
    if (fclose(to) || short_of_memory)
        return rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for the configuration", name);
    if (size > RLS_CONFIG_BYTES_MAX) /* it could not be read again */
        return rls_fail(ctx, RLS_ERR_CONFIG,
                        "%s: longer than %d bytes with --set and defaults: shorten its paths", name,
                        RLS_CONFIG_BYTES_MAX);
    return RLS_OK;
}

/* What concerns more than one number: the rest is checked where the line is read. */
static rls_status check(rls_context *ctx, const char *name, const rls_config *config,
                        const rls_config_item *items)
{
    const struct rls_config_model *model = &config->model;
    const char *mark = strstr(model->module, "{}");
    if (!mark || strstr(mark + 1, "{}"))
        return rls_config_complain(ctx, name, place_of(items, "model", "module"),
                                   "model.module: expected {} once, where the layer's number goes, as in "
                                   "\"model.layers.{}.mlp.down_proj\"");
    for (size_t i = 0; i < model->layers_count; i++)
        for (size_t j = 0; j < i; j++)
            if (model->layers[i] == model->layers[j])
                return rls_config_complain(ctx, name, place_of(items, "model", "layers"),
                                           "model.layers: layer %lld is given twice",
                                           (long long)model->layers[i]);
    if (config->editor.lambda == 0 && config->editor.mu == 0) {
        rls_config_place place = place_of(items, "editor", "mu");
        if (place_of(items, "editor", "lambda").set)
            place = place_of(items, "editor", "lambda");
        return rls_config_complain(ctx, name, place,
                                   "editor.lambda and editor.mu are both 0, which leaves nothing to hold the "
                                   "weights: one must be above 0");
    }
    const struct {
        const char *key;
        double value;
    } weights[] = {{"lambda", config->editor.lambda}, {"mu", config->editor.mu}};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        if (weights[i].value != 0.0 && !rls_dtype_holds_square(config->state.dtype, weights[i].value))
            return rls_config_complain(ctx, name, place_of(items, "editor", weights[i].key),
                                       "editor.%s: %g is squared, which %s cannot hold to its digits",
                                       weights[i].key, weights[i].value, rls_dtype_name(config->state.dtype));
    if ((config->grid.shape[0] == 0) != (config->grid.shape[1] == 0))
        return rls_config_complain(ctx, name, place_of(items, "grid", "shape"),
                                   "grid.shape: expected two numbers above 0, or [0, 0] for automatic");
    return RLS_OK;
}

rls_status rls_config_parse(rls_context *ctx, const char *name, const char *bytes, size_t len,
                            const char *const *sets, size_t nsets, rls_config **out)
{
    rls_config_item items[RLS_CONFIG_FIELDS] = {{0}};
    rls_config *config = NULL;
    char *text = NULL;
    *out = NULL;
    rls_status status = rls_config_take_defaults(ctx, items);
    if (!status)
        status = rls_config_take_file(ctx, name, bytes, len, items);
    for (size_t i = 0; i < nsets && !status; i++)
        status = rls_config_take_set(ctx, sets[i], items);
    if (!status)
        status = resolve(ctx, name, items, &text);
    if (!status && text)
        status = rls_config_load(ctx, name, text, strlen(text), &config);
    if (config) {
        config->text = text;
        text = NULL;
        status = check(ctx, name, config, items);
    }
    if (status)
        rls_config_destroy(&config);
    *out = config;
    free(text);
    for (int f = 0; f < RLS_CONFIG_FIELDS; f++)
        free(items[f].text);
    return status;
}

/* Reads a file of at most RLS_CONFIG_BYTES_MAX bytes. */
static rls_status read_file(rls_context *ctx, const char *path, char *bytes, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return rls_fail(ctx, RLS_ERR_CONFIG, "%s: cannot be opened: %s", path, strerror(errno));
    *len = fread(bytes, 1, RLS_CONFIG_BYTES_MAX + 1, file);
    rls_status status = RLS_OK;
    if (ferror(file))
        status = rls_fail(ctx, errno == EISDIR ? RLS_ERR_CONFIG : RLS_ERR_IO, "%s: cannot be read: %s", path,
                          strerror(errno));
    (void)fclose(file); /* only read from */
    return status;
}

static rls_status read_and_parse(rls_context *ctx, const char *path, const char *const *sets, size_t nsets,
                                 rls_config **out)
{
    void *bytes;
    size_t len = 0;
    rls_status status = rls_alloc(ctx, RLS_CONFIG_BYTES_MAX + 1, 1, &bytes);
    if (status)
        return status;
    status = read_file(ctx, path, bytes, &len);
    if (!status)
        status = rls_config_parse(ctx, path, bytes, len, sets, nsets, out);
    free(bytes);
    return status;
}

/* The other ranks parse rank 0's resolved text, in which paths no longer depend on the current directory. */
rls_status rls_config_read(rls_context *ctx, const char *path, const char *const *sets, size_t nsets,
                           rls_config **out)
{
    const bool root = rls_context_rank(ctx) == 0;
    rls_status status = RLS_OK;
    char *text = NULL;
    *out = NULL;
    if (root) {
        status = read_and_parse(ctx, path, sets, nsets, out);
        if (*out)
            status = rls_strdup(ctx, (*out)->text, &text);
    }
    status = rls_share_text(ctx, status, &text);
    if (!status)
        status = rls_agree(ctx, !root && text ? rls_config_parse(ctx, path, text, strlen(text), NULL, 0, out)
                                              : RLS_OK);
    free(text);
    if (status)
        rls_config_destroy(out);
    return status;
}

const char *rls_config_text(const rls_config *config)
{
    return config->text;
}

void rls_config_destroy(rls_config **config)
{
    if (!*config)
        return;
    free((*config)->text);
    rls_config_unload(*config);
    *config = NULL;
}
