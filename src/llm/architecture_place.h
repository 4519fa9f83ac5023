/* Where a parse of config.json is, and what its messages and numbers have in common. */
#ifndef LLM_ARCHITECTURE_PLACE_H
#define LLM_ARCHITECTURE_PLACE_H

#include "llm/architecture_keys.h"
#include "store/model_text.h"

/* Where a parse is, for its messages. */
typedef struct {
    rls_context *ctx;
    const char *file, *text;
    int64_t bytes;
    const char *inside; /* the key of the object the next keys are in; NULL: the outermost */
    rls_architecture *arch;
    double theta_beside; /* rope_theta out of rope_parameters; < 0: none */
    bool rope_given;     /* by rope_scaling or rope_parameters */
    bool theta_given;    /* beside them */
    int64_t layer_types; /* length of that list; < 0: none */
    int64_t n_ctx;       /* 0: none */
} rls_arch_parse;

/* "file:line: key": where a key is, for messages, into text. Returns text. */
const char *rls_arch_place(const rls_arch_parse *p, const char *key, char text[512]);

/* A number of at least `least`, above it when `above`. Not collective. Returns RLS_ERR_DATA naming file, line
 * and key. */
RLS_NODISCARD rls_status rls_arch_real(rls_arch_parse *p, const char *name, const json_t *value, double least,
                                       bool above, double *out);

#endif
