/* The configuration of a run: YAML (so JSON too), checked against one table of fields, every omission filled
 * in. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/context.h"
#include "rlsedit/dtype.h"

typedef enum { RLS_EXPORT_MODEL, RLS_EXPORT_FLOAT32 } rls_export_dtype;

/* How an export takes over weight files without edited tensors: as other names of the original's files, as files of
 * their own, or as such that share the disk's blocks until one of them is written to. */
typedef enum { RLS_EXPORT_HARD, RLS_EXPORT_COPY, RLS_EXPORT_REFLINK } rls_export_link;

/* The sections. What each field means, its range and default: the table in config_schema.c, printed by
 * rls_config_help. Paths are absolute; NULL when not given. */
struct rls_config_model {
    char *module;    /* has one "{}", where the layer's number goes */
    int64_t *layers; /* at least one, all different, in the order given */
    size_t layers_count;
};
struct rls_config_editor {
    char *name;
    double lambda, mu; /* not both 0 */
};
struct rls_config_anchor {
    char *moments;
    double weight;
    char *keys;
};
struct rls_config_state {
    rls_dtype dtype;
    int64_t step; /* 0: automatic, see run/cut.h */
};
struct rls_config_grid {
    int64_t block;
    int64_t shape[2]; /* p, q; both 0: automatic */
};
struct rls_config_value {
    int64_t steps;
    double lr, clamp_norm_factor, kl_factor, weight_decay, stop_loss;
    int64_t prefixes;
    char *contexts;
};
struct rls_config_checkpoint {
    int64_t every_edits;
    double every_minutes, max_share;
    int64_t keep, keep_every;
};
struct rls_config_export {
    rls_export_dtype dtype;
    rls_export_link link;
};

typedef struct {
    struct rls_config_model model;
    struct rls_config_editor editor;
    struct rls_config_anchor anchor;
    int64_t batch;
    struct rls_config_state state;
    struct rls_config_grid grid;
    struct rls_config_value value;
    struct rls_config_checkpoint checkpoint;
    struct rls_config_export export;
    char *text; /* see rls_config_text */
} rls_config;

/* A file longer than this is no config. */
enum { RLS_CONFIG_BYTES_MAX = 64 * 1024 };

/* Makes a config from the text of a file and overrides that follow it.
 * Not collective.
 * name: the file's path, for messages, and the place that relative paths in it are relative to. bytes, len:
 * its text. sets, nsets: "section.key=value" each, value in YAML; relative paths in them are relative to the
 * current directory. Returns RLS_ERR_CONFIG for text that is not YAML, unknown or repeated keys, aliases,
 * values of the wrong type or out of range, and model.module or model.layers missing; the message begins with
 * file:line or with the set. RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_config_parse(rls_context *ctx, const char *name, const char *bytes, size_t len,
                                          const char *const *sets, size_t nsets, rls_config **out);

/* Reads a config on rank 0 and gives every rank the same.
 * Collective.
 * path, sets, nsets: as in rls_config_parse; rank 0's count.
 * Returns what rls_config_parse does, RLS_ERR_CONFIG also when the file cannot be opened or is too long,
 * RLS_ERR_IO when reading it fails. */
RLS_NODISCARD rls_status rls_config_read(rls_context *ctx, const char *path, const char *const *sets,
                                         size_t nsets, rls_config **out);

/* The resolved config as YAML: every field, one a line, paths absolute. Parsing it gives the same config and
 * the same text. Not collective. The text stays the config's. */
const char *rls_config_text(const rls_config *config);

/* Frees the config and sets *config to NULL. Not collective. NULL is accepted. */
void rls_config_destroy(rls_config **config);

/* Writes the reference of all fields: name, what it takes, default, meaning. Not collective. */
void rls_config_help(FILE *out);

#endif
