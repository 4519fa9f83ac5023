/* What tests of rls_inspect look for in a description, which is rank 0's. */
#ifndef TESTS_SESSION_INSPECT_CHECKS_H
#define TESTS_SESSION_INSPECT_CHECKS_H

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/inspect.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

/* Whether rank 0's description has all that the expected object has; the others have none. */
static inline bool has(const rls_context *ctx, const json_t *description, const char *expected)
{
    if (rls_context_rank(ctx) != 0)
        return description == NULL;
    json_t *all = json_loads(expected, 0, NULL);
    const char *key = NULL;
    json_t *value = NULL;
    bool same = json_object_size(all) > 0;
    json_object_foreach(all, key, value)
    {
        const bool equal = json_equal(json_object_get(description, key), value) != 0;
        if (!equal) {
            char *found = json_dumps(json_object_get(description, key), JSON_ENCODE_ANY);
            print_message("%s is %s\n", key, found != NULL ? found : "not there");
            free(found);
        }
        same = same && equal;
    }
    json_decref(all);
    return same;
}

/* The description is valid JSON: what is written reads back the same. */
static inline bool is_json(const json_t *description)
{
    if (description == NULL)
        return true;
    char *text = json_dumps(description, JSON_INDENT(2));
    json_t *again = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const bool same = again != NULL && json_equal(description, again) != 0;
    json_decref(again);
    free(text);
    return same;
}

static inline void assert_described(rls_context *ctx, const char *path, const char *expected)
{
    json_t *description = NULL;
    assert_all_ok(ctx, rls_inspect(ctx, path, false, &description));
    assert_all(has(ctx, description, expected));
    assert_all(is_json(description));
    assert_all(description == NULL ||
               strcmp(json_string_value(json_object_get(description, "path")), path) == 0);
    json_decref(description);
}

#endif
