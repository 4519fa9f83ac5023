#include "editor/rules.h"

#include <stdio.h>
#include <string.h>

static const rls_rule *const RULES[] = {&rls_rule_rls};
enum { RULES_COUNT = sizeof RULES / sizeof RULES[0] };

const rls_rule *rls_rule_find(const char *name)
{
    for (size_t i = 0; i < RULES_COUNT; i++)
        if (name != NULL && strcmp(RULES[i]->name, name) == 0)
            return RULES[i];
    return NULL;
}

const char *rls_rule_names(char text[256])
{
    enum { TEXT_BYTES = 256 };
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < RULES_COUNT && used < TEXT_BYTES; i++)
        used += (size_t)snprintf(text + used, TEXT_BYTES - used, "%s%s", i > 0 ? ", " : "", RULES[i]->name);
    return text;
}
