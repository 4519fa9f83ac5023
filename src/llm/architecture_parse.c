#include "llm/architecture_parse.h"

#include <inttypes.h>
#include <string.h>

#include "llm/architecture_rope.h"
#include "store/safetensors.h"

enum { COUNT_MAX = 1 << 30 };

static rls_status refuse(rls_arch_parse *p, const char *name, const char *what)
{
    char place[512];
    return rls_fail(p->ctx, RLS_ERR_DATA, "%s: %s", rls_arch_place(p, name, place), what);
}

static rls_status read_count(rls_arch_parse *p, const char *name, const json_t *value, int64_t *out)
{
    char place[512];
    *out = 0;
    if (json_is_null(value))
        return RLS_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > COUNT_MAX)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: expected an integer from 1 to %d",
                        rls_arch_place(p, name, place), COUNT_MAX);
    *out = (int64_t)json_integer_value(value);
    return RLS_OK;
}

static rls_status read_token(rls_arch_parse *p, const char *name, const json_t *value, int32_t *out)
{
    char place[512];
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > COUNT_MAX)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: expected a token's id, 0 to %d",
                        rls_arch_place(p, name, place), COUNT_MAX);
    *out = (int32_t)json_integer_value(value);
    return RLS_OK;
}

rls_status rls_arch_eos_read(rls_arch_parse *p, const char *name, const json_t *value)
{
    rls_architecture *arch = p->arch;
    rls_status status = RLS_OK;
    const size_t count = json_is_array(value) ? json_array_size(value) : json_is_null(value) ? 0 : 1;
    for (size_t i = 0; status == RLS_OK && i < count; i++) {
        int32_t id = -1;
        bool known = false;
        status = read_token(p, name, json_is_array(value) ? json_array_get(value, i) : value, &id);
        for (int j = 0; j < arch->eos_count; j++)
            known = known || arch->eos[j] == id;
        if (status != RLS_OK || known)
            continue;
        if (arch->eos_count == RLS_EOS_MAX)
            return refuse(p, name, "more different end-of-sequence ids than the 8 there is room for");
        arch->eos[arch->eos_count++] = id;
    }
    return status;
}

static rls_status read_activation(rls_arch_parse *p, const char *name, const json_t *value,
                                  rls_activation *out)
{
    static const struct {
        const char *name;
        rls_activation activation;
    } known[] = {{"silu", RLS_ACT_SILU},
                 {"swish", RLS_ACT_SILU},
                 {"gelu", RLS_ACT_GELU},
                 {"gelu_python", RLS_ACT_GELU},
                 {"gelu_new", RLS_ACT_GELU_TANH},
                 {"gelu_fast", RLS_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", RLS_ACT_GELU_TANH}};
    char place[512], shown[RLS_TENSOR_TEXT_MAX];
    const char *text = json_string_value(value);
    for (size_t i = 0; text != NULL && i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) != 0)
            continue;
        *out = known[i].activation;
        return RLS_OK;
    }
    return rls_fail(p->ctx, RLS_ERR_DATA,
                    "%s: '%s' is not an activation that is known here: silu, gelu, gelu_new (and their other "
                    "names)",
                    rls_arch_place(p, name, place), text != NULL ? rls_printable(text, shown) : "(no text)");
}

static rls_status read_layer_types(rls_arch_parse *p, const char *name, const json_t *value)
{
    char place[512], shown[RLS_TENSOR_TEXT_MAX];
    if (json_is_null(value))
        return RLS_OK;
    if (!json_is_array(value))
        return refuse(p, name, "expected a list of texts");
    p->layer_types = (int64_t)json_array_size(value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (text == NULL || strcmp(text, "full_attention") != 0)
            return rls_fail(
                p->ctx, RLS_ERR_DATA, "%s: layer %zu is '%s': only full_attention is supported here",
                rls_arch_place(p, name, place), i, text != NULL ? rls_printable(text, shown) : "(no text)");
    }
    return RLS_OK;
}

/* A key with only one value that is supported. */
static rls_status read_only(rls_arch_parse *p, const char *name, rls_key_kind kind, const json_t *value)
{
    if (json_is_null(value))
        return RLS_OK;
    switch (kind) {
    case RLS_KEY_FALSE:
        return json_is_false(value) ? RLS_OK : refuse(p, name, "is not supported: only false is");
    case RLS_KEY_TRUE:
        return json_is_true(value) ? RLS_OK : refuse(p, name, "only true is supported");
    case RLS_KEY_ONE:
        return json_is_number(value) && json_number_value(value) == 1.0
                   ? RLS_OK
                   : refuse(p, name, "is not supported: only 1 is");
    default:
        return json_is_object(value) && json_object_size(value) == 0 ? RLS_OK
               : json_is_array(value) && json_array_size(value) == 0 ? RLS_OK
                                                                     : refuse(p, name, "is not supported");
    }
}

rls_status rls_arch_key_read(rls_arch_parse *p, const char *name, const rls_arch_key *key,
                             const json_t *value)
{
    void *to = (char *)p->arch + key->to;
    switch (key->kind) {
    case RLS_KEY_INERT:
        return RLS_OK;
    case RLS_KEY_COUNT:
        return read_count(p, name, value, to);
    case RLS_KEY_REAL:
        p->theta_given = p->theta_given || strcmp(name, "rope_theta") == 0;
        return rls_arch_real(p, name, value, 0.0, strcmp(name, "rope_theta") == 0, to);
    case RLS_KEY_BOOL:
        if (!json_is_boolean(value))
            return refuse(p, name, "expected true or false");
        *(bool *)to = json_is_true(value);
        return RLS_OK;
    case RLS_KEY_ACTIVATION:
        return read_activation(p, name, value, to);
    case RLS_KEY_ROPE:
        return rls_arch_rope_read(p, name, value);
    case RLS_KEY_TOKEN:
        return json_is_null(value) ? RLS_OK : read_token(p, name, value, to);
    case RLS_KEY_TOKENS:
        return rls_arch_eos_read(p, name, value);
    case RLS_KEY_LAYER_TYPES:
        return read_layer_types(p, name, value);
    case RLS_KEY_SAME_CONTEXT:
        return read_count(p, name, value, &p->n_ctx);
    default:
        return read_only(p, name, key->kind, value);
    }
}
