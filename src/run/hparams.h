/* Files of hyperparameters of the field (AlphaEdit's and MEMIT's JSON, EasyEdit's YAML) as settings of ours.
 */
#ifndef RUN_HPARAMS_H
#define RUN_HPARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/* Reads such a file.
 * Collective; rank 0 reads, all ranks have the settings after.
 * *sets: *nsets of "section.key=value", as rls_config_read takes them, to stand before the user's own; free
 * with rls_hparams_free. *loss_layer: v_loss_layer, which must be the model's last layer (the caller checks
 * that), -1 when it is not given. What has no counterpart here is logged with the reason. Returns
 * RLS_ERR_CONFIG naming file, line and key: not YAML, a key unknown or given twice, a value that the setting
 * cannot have, fact_token other than subject_last, layer_selection other than all; RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_hparams_read(rls_context *ctx, const char *path, char ***sets, size_t *nsets,
                                          int64_t *loss_layer);

/* The same from a file's text. Not collective. */
RLS_NODISCARD rls_status rls_hparams_parse(rls_context *ctx, const char *path, const char *bytes, size_t len,
                                           char ***sets, size_t *nsets, int64_t *loss_layer);

/* Frees settings and sets *sets to NULL. Not collective. NULL is accepted. */
void rls_hparams_free(char ***sets, size_t nsets);

#endif
