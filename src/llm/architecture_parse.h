/* Reading one key of config.json into the architecture. */
#ifndef LLM_ARCHITECTURE_PARSE_H
#define LLM_ARCHITECTURE_PARSE_H

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

/* Reads a value as what the key is. Not collective. Returns RLS_ERR_DATA naming file, line and key. */
RLS_NODISCARD rls_status rls_arch_key_read(rls_arch_parse *p, const char *name, const rls_arch_key *key,
                                           const json_t *value);

/* Adds the value of an eos_token_id: an id, a list of them, or null. Errors as above. */
RLS_NODISCARD rls_status rls_arch_eos_read(rls_arch_parse *p, const char *name, const json_t *value);

/* Reads rope_scaling or rope_parameters. Errors as above. */
RLS_NODISCARD rls_status rls_arch_rope_read(rls_arch_parse *p, const char *name, const json_t *value);

/* A number of at least `least`, above it when `above`. Errors as above. */
RLS_NODISCARD rls_status rls_arch_real(rls_arch_parse *p, const char *name, const json_t *value, double least,
                                       bool above, double *out);

#endif
