#include "llm/architecture_rope.h"

#include <string.h>

#include "store/safetensors.h"

typedef enum { UNSCALED = 1U, LINEAR = 2U, LLAMA3 = 4U, ANY = 7U } rope_kinds;

static rls_status kind_of(rls_arch_parse *p, const char *name, const json_t *value, unsigned *kind)
{
    char place[512], shown[RLS_TENSOR_TEXT_MAX];
    const json_t *given = json_object_get(value, "rope_type"), *old = json_object_get(value, "type");
    const bool both = given != NULL && old != NULL;
    const char *text = json_string_value(given != NULL ? given : old);
    const bool none = given == NULL && old == NULL && strcmp(name, "rope_parameters") == 0;
    if (both && (text == NULL || json_string_value(old) == NULL || strcmp(text, json_string_value(old)) != 0))
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: disagrees with rope_type",
                        rls_arch_place(p, "type", place));
    if (none || (text != NULL && strcmp(text, "default") == 0))
        *kind = UNSCALED;
    else if (text != NULL && strcmp(text, "linear") == 0)
        *kind = LINEAR;
    else if (text != NULL && strcmp(text, "llama3") == 0)
        *kind = LLAMA3;
    else
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s: '%s' is not a scaling of rotary positions that is known here: default, linear, "
                        "llama3",
                        rls_arch_place(p, given != NULL ? "rope_type" : "type", place),
                        text != NULL ? rls_printable(text, shown) : "(no text)");
    return RLS_OK;
}

/* The members of the object: those its kind has, and no others. */
static rls_status read_members(rls_arch_parse *p, const json_t *value, unsigned kind, unsigned *seen)
{
    rls_architecture *arch = p->arch;
    const struct {
        const char *name;
        unsigned kinds;
        double *to;
    } known[] = {{"factor", LINEAR | LLAMA3, &arch->rope_factor},
                 {"low_freq_factor", LLAMA3, &arch->rope_low_freq},
                 {"high_freq_factor", LLAMA3, &arch->rope_high_freq},
                 {"original_max_position_embeddings", LLAMA3, &arch->rope_original_context},
                 {"rope_theta", ANY, &p->theta_beside}};
    enum { NEEDED = 4 }; /* the first of them must be there when their kind is */
    const char *key = NULL;
    const json_t *member = NULL;
    char place[512];
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        rls_status status = RLS_OK;
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] &&
               ((known[i].kinds & kind) == 0 || strcmp(known[i].name, key) != 0))
            i++;
        const bool one = strcmp(key, "partial_rotary_factor") == 0 && json_is_number(member) &&
                         json_number_value(member) == 1.0;
        if (i < sizeof known / sizeof known[0]) {
            status = rls_arch_real(p, key, member, 0.0, true, known[i].to);
            *seen |= 1U << i;
        } else if (!one && !json_is_null(member) && strcmp(key, "rope_type") != 0 && strcmp(key, "type") != 0)
            status = rls_fail(p->ctx, RLS_ERR_DATA, "%s: is not known here for this kind of scaling",
                              rls_arch_place(p, key, place));
        if (status != RLS_OK)
            return status;
    }
    for (size_t i = 0; i < NEEDED; i++) {
        if ((known[i].kinds & kind) != 0 && (*seen & 1U << i) == 0)
            return rls_fail(p->ctx, RLS_ERR_DATA, "%s: is missing", rls_arch_place(p, known[i].name, place));
    }
    return RLS_OK;
}

rls_status rls_arch_rope_read(rls_arch_parse *p, const char *name, const json_t *value)
{
    char place[512];
    unsigned kind = UNSCALED, seen = 0;
    rls_architecture *arch = p->arch;
    if (json_is_null(value))
        return RLS_OK;
    if (!json_is_object(value))
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: expected an object or null",
                        rls_arch_place(p, name, place));
    if (p->rope_given)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: rope_scaling and rope_parameters are both given",
                        rls_arch_place(p, name, place));
    p->rope_given = true;
    p->inside = name;
    rls_status status = kind_of(p, name, value, &kind);
    if (status == RLS_OK)
        status = read_members(p, value, kind, &seen);
    if (status == RLS_OK && kind == LLAMA3 && arch->rope_high_freq <= arch->rope_low_freq)
        status = rls_fail(p->ctx, RLS_ERR_DATA, "%s: is not above low_freq_factor",
                          rls_arch_place(p, "high_freq_factor", place));
    p->inside = NULL;
    arch->rope_scaling = kind == LLAMA3 ? RLS_ROPE_LLAMA3 : kind == LINEAR ? RLS_ROPE_LINEAR : RLS_ROPE_PLAIN;
    return status;
}
