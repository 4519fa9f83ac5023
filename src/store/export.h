/* Writing an edited model: a complete Hugging Face directory beside the original, which is never touched. */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

#include <jansson.h>

#include "base/config.h"
#include "linalg/matrix.h"
#include "store/model_dir.h"

/* One edited weight: X = W^T of the tensor of that name (see store/tensor_io.h for lines). */
typedef struct {
    const char *tensor;
    rls_lines lines;
    const rls_matrix *matrix;
} rls_export_tensor;

/* Whether an export to dest could begin: dest does not exist, its parent is a directory that can be written
 * to. Collective. For before a long run. Returns RLS_ERR_USAGE when dest exists or has no parent directory,
 * RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_model_export_check(rls_context *ctx, const char *dest);

/* Writes the model with its edited tensors to the new directory dest.
 * Collective.
 * dir: the original. edits, count: the edited tensors, the same on all ranks, matrices on grids of the
 * directory's context. dtype: RLS_EXPORT_MODEL keeps each tensor's type, RLS_EXPORT_FLOAT32 makes the edited
 * ones F32 (and leaves all others). Weight files that hold no edited tensor are hard-linked, or copied where that is
 * impossible; side files, also in directories below, are copied, and what is left out is told
 * (store/export_tree.h). In shards that hold one, all bytes of the other tensors, and with unchanged types the
 * header, are copied as they are. Hard-linked files must not be modified in place. All is written to
 * .<name>.partial beside dest (one left by a killed run is removed first), put on the disk, then renamed. On
 * failure nothing is left. Returns RLS_ERR_USAGE (dest exists, has no parent, a tensor is given twice),
 * RLS_ERR_DATA (a tensor is absent or of another shape, the original changed), RLS_ERR_NUMERIC when a number
 * is NaN or too large for the type in the file, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_model_export(const rls_model_dir *dir, const char *dest,
                                          const rls_export_tensor *edits, int64_t count,
                                          rls_export_dtype dtype);

/* The same, with link as options->link says (store/export_tree.h), and with the digests of all files of dest as rls_tree_digests gives them (free with json_decref),
 * which are taken on the way: what is written is not read again, and the other files are read while the disk
 * writes. files: NULL for none. */
RLS_NODISCARD rls_status rls_model_export_digests(const rls_model_dir *dir, const char *dest,
                                                  const rls_export_tensor *edits, int64_t count,
                                                  const struct rls_config_export *options, json_t **files);

#endif
