/*
 * Any bytes as a config: the text of the file, then, each after a NUL, arguments of --set.
 * What is accepted holds what config.h promises, and its resolved text parses to itself.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "fuzz/fuzz.h"

enum { SETS_MAX = 8 };

static void check(const rls_config *c)
{
    must(strstr(c->model.module, "{}"));
    must(c->model.layers_count >= 1);
    for (size_t i = 0; i < c->model.layers_count; i++)
        must(c->model.layers[i] >= 0);
    must(isfinite(c->editor.lambda) && isfinite(c->editor.mu) && c->editor.lambda + c->editor.mu > 0);
    must(!strcmp(c->editor.name, "rls"));
    must(!c->anchor.moments || *c->anchor.moments == '/');
    must(!c->anchor.keys || *c->anchor.keys == '/');
    must(!c->value.contexts || *c->value.contexts == '/');
    must(c->batch >= 1 && c->grid.block >= 1 && c->grid.block <= 1024);
    must((c->grid.shape[0] > 0) == (c->grid.shape[1] > 0));
    must(c->state.dtype == RLS_F64 || c->state.dtype == RLS_F32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    rls_config *config = NULL, *again = NULL;
    const char *sets[SETS_MAX];
    size_t nsets = 0;
    char *text = malloc(size + 1);
    must(text);
    memcpy(text, data, size);
    text[size] = '\0';
    size_t len = strlen(text);
    for (size_t at = len + 1; at < size && nsets < SETS_MAX; at += strlen(text + at) + 1)
        sets[nsets++] = text + at;

    rls_status status = rls_config_parse(&ctx, "fuzz/config.yaml", text, len, sets, nsets, &config);
    must(status == RLS_OK || status == RLS_ERR_CONFIG);
    must((status == RLS_OK) == (config != NULL));
    must(status == RLS_OK || *rls_context_message(&ctx));
    if (config) {
        const char *resolved = rls_config_text(config);
        check(config);
        must(!rls_config_parse(&ctx, "elsewhere.yaml", resolved, strlen(resolved), NULL, 0, &again));
        must(!strcmp(resolved, rls_config_text(again)));
    }
    rls_config_destroy(&again);
    rls_config_destroy(&config);
    free(text);
    return 0;
}
