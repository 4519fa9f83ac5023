#include "llm/architecture_place.h"

#include <math.h>
#include <stdio.h>

#include "store/safetensors.h"

const char *rls_arch_place(const rls_arch_parse *p, const char *key, char text[512])
{
    enum { PLACE_BYTES = 512 };
    char shown[RLS_TENSOR_TEXT_MAX];
    const int line = rls_json_line(p->text, p->bytes, p->inside, key);
    rls_printable(key, shown);
    if (line > 0)
        (void)snprintf(text, PLACE_BYTES, "%.200s:%d: %s%s%s", p->file, line,
                       p->inside != NULL ? p->inside : "", p->inside != NULL ? "." : "", shown);
    else
        (void)snprintf(text, PLACE_BYTES, "%.200s: %s%s%s", p->file, p->inside != NULL ? p->inside : "",
                       p->inside != NULL ? "." : "", shown);
    return text;
}

rls_status rls_arch_real(rls_arch_parse *p, const char *name, const json_t *value, double least, bool above,
                         double *out)
{
    char place[512];
    const double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!isfinite(number) || number < least || (above && number <= least))
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: expected a number %s %g", rls_arch_place(p, name, place),
                        above ? "above" : "of at least", least);
    *out = number;
    return RLS_OK;
}
