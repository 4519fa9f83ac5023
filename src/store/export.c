#include "store/export.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/share.h"
#include "store/export_file.h"
#include "store/export_plan.h"
#include "store/export_tree.h"
#include "store/file_util.h"
#include "store/finite.h"
#include "store/model_index.h"
#include "store/shared_copy.h"
#include "store/tensor_io.h"
#include "store/tree.h"

enum { DIR_MODE = 0777 };

/* An export under way. */
typedef struct {
    rls_context *ctx;
    const rls_model_dir *dir;
    const rls_export_tensor *edits;
    rls_plan_edit *plan; /* one an edit */
    int64_t count;
    rls_export_link link;
    bool new_index;
    /* Rank 0's, absolute: where dest will be, and the directory that holds it. */
    char *dest, *parent;
    /* Everywhere. */
    char *partial;
    json_t *written; /* new files of large size: name to digest, or null */
    bool digests;    /* whether they are wanted */
    bool made;       /* rank 0: partial is there, and ours to remove */
} export;

/* Every number of this rank's part fits the type in the file: told before anything is written. */
static rls_status check_numbers(rls_context *ctx, const rls_export_tensor *edit, rls_dtype dtype)
{
    const rls_matrix *matrix = edit->matrix;
    const rls_cyclic *part = &matrix->part;
    const size_t column_bytes = (size_t)part->ld * rls_dtype_size(part->dtype);
    for (int64_t jl = 0; jl < matrix->cols_local && matrix->rows_local > 0; jl++) {
        const char *column = (const char *)part->data + (size_t)jl * column_bytes;
        const int64_t il = rls_first_nonfinite(part->dtype, column, matrix->rows_local, dtype);
        if (il < 0)
            continue;
        const double value = rls_element_value(part->dtype, column, il);
        const int64_t i = rls_matrix_global_row(matrix, il), j = rls_matrix_global_col(matrix, jl);
        const bool columns = edit->lines == RLS_LINES_ARE_COLUMNS;
        const int64_t row = columns ? j : i, col = columns ? i : j;
        if (!isfinite(value))
            return rls_fail(ctx, RLS_ERR_NUMERIC,
                            "tensor '%s' is %g at [%" PRId64 ", %" PRId64 "]: the edits broke down",
                            edit->tensor, value, row, col);
        return rls_fail(ctx, RLS_ERR_NUMERIC,
                        "tensor '%s': %g at [%" PRId64 ", %" PRId64 "] is too large for %s%s", edit->tensor,
                        value, row, col, rls_dtype_name(dtype),
                        dtype == RLS_F32 ? "" : ": set export.dtype: float32");
    }
    return RLS_OK;
}

static rls_status check_edits(export *job, rls_export_dtype mode)
{
    void *plan = NULL;
    rls_status status = rls_alloc(job->ctx, job->count, sizeof *job->plan, &plan);
    job->plan = plan;
    for (int64_t i = 0; status == RLS_OK && i < job->count; i++) {
        const rls_export_tensor *edit = &job->edits[i];
        rls_plan_edit *to = &job->plan[i];
        status = rls_tensor_check(job->dir, edit->tensor, edit->lines, edit->matrix->rows, edit->matrix->cols,
                                  &to->tensor);
        if (status != RLS_OK)
            break;
        if (edit->matrix->grid->ctx != job->ctx)
            return rls_fail(job->ctx, RLS_ERR_USAGE,
                            "tensor '%s': the matrix belongs to another context than the model",
                            edit->tensor);
        for (int64_t j = 0; j < i; j++) {
            if (job->plan[j].tensor == to->tensor)
                return rls_fail(job->ctx, RLS_ERR_USAGE, "tensor '%s' is given twice", edit->tensor);
        }
        (void)rls_tensor_type_dtype(to->tensor->info->type, &to->dtype);
        if (mode == RLS_EXPORT_FLOAT32)
            to->dtype = RLS_F32;
        status = check_numbers(job->ctx, edit, to->dtype);
    }
    if (status == RLS_OK)
        job->new_index = rls_model_dir_has_index(job->dir) && rls_plan_growth(job->plan, job->count) != 0;
    return status;
}

/* Rank 0: dest as an absolute path, its parent, and that dest is free. */
static rls_status resolve(rls_context *ctx, const char *path, char **dest, char **parent)
{
    struct stat info;
    char *plain = NULL, *real = NULL;
    rls_status status = rls_strdup(ctx, path, &plain);
    if (status != RLS_OK)
        return status;
    for (size_t len = strlen(plain); len > 1 && plain[len - 1] == '/'; len--)
        plain[len - 1] = '\0';
    char *slash = strrchr(plain, '/');
    const char *base = slash != NULL ? slash + 1 : plain;
    const char *above = ".";
    if (lstat(plain, &info) == 0) {
        status = rls_fail(ctx, RLS_ERR_USAGE, "%s: exists already: give a new name, or remove it", plain);
    } else if (base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        status = rls_fail(ctx, RLS_ERR_USAGE, "'%s' is not the name of a new directory", path);
    } else {
        if (slash == plain)
            above = "/";
        else if (slash != NULL)
            above = plain;
        if (slash != NULL && slash != plain)
            *slash = '\0';
        real = realpath(above, NULL);
        if (real == NULL || stat(real, &info) != 0 || !S_ISDIR(info.st_mode))
            status = rls_fail(ctx, RLS_ERR_USAGE, "%s: is not a directory to put '%s' in: %s", above, base,
                              real == NULL ? strerror(errno) : strerror(ENOTDIR));
        else if (access(real, W_OK | X_OK) != 0)
            status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot write here: %s", real, strerror(errno));
    }
    if (status == RLS_OK)
        status = rls_strdup(ctx, real, parent);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, dest, "%s/%s", strcmp(real, "/") == 0 ? "" : real, base);
    free(real);
    free(plain);
    return status;
}

rls_status rls_model_export_check(rls_context *ctx, const char *dest)
{
    char *absolute = NULL, *parent = NULL;
    const rls_status status = ctx->rank == 0 ? resolve(ctx, dest, &absolute, &parent) : RLS_OK;
    free(absolute);
    free(parent);
    return rls_agree(ctx, status);
}

/* Rank 0: the empty partial directory, in place of what a killed run may have left. */
static rls_status make_partial(export *job, const char *dest)
{
    rls_status status = resolve(job->ctx, dest, &job->dest, &job->parent);
    if (status == RLS_OK)
        status = rls_asprintf(job->ctx, &job->partial, "%s/.%s.partial",
                              strcmp(job->parent, "/") == 0 ? "" : job->parent, strrchr(job->dest, '/') + 1);
    if (status == RLS_OK)
        status = rls_dir_remove(job->ctx, job->partial);
    if (status == RLS_OK && mkdir(job->partial, DIR_MODE) != 0)
        status = rls_fail(job->ctx, RLS_ERR_IO, "%s: cannot make this directory: %s", job->partial,
                          strerror(errno));
    job->made = status == RLS_OK;
    return status;
}

static bool is_edited(const export *job, int64_t shard)
{
    for (int64_t i = 0; i < job->count; i++) {
        if (job->plan[i].tensor->shard == shard)
            return true;
    }
    return false;
}

/* The entry of the model directory in which the export lies, when it lies in it: taking it over would never
 * end. */
static rls_status entry_of_partial(const export *job, char **name)
{
    char *source = realpath(rls_model_dir_path(job->dir), NULL);
    if (source == NULL)
        return rls_fail(job->ctx, rls_input_status(errno), "%s: %s", rls_model_dir_path(job->dir),
                        strerror(errno));
    const size_t len = strcmp(source, "/") == 0 ? 0 : strlen(source);
    rls_status status = RLS_OK;
    if (strncmp(job->partial, source, len) == 0 && job->partial[len] == '/') {
        status = rls_strdup(job->ctx, job->partial + len + 1, name);
        char *slash = status == RLS_OK ? strchr(*name, '/') : NULL;
        if (slash != NULL)
            *slash = '\0';
    }
    free(source);
    return status;
}

/* Rank 0: everything that is taken over as it is. */
static rls_status stage(const export *job, rls_export_tree *tree)
{
    const int64_t shards = rls_model_dir_shards(job->dir);
    void *data = NULL;
    char *own = NULL;
    rls_status status = rls_alloc(job->ctx, 2 * shards + 2, sizeof(char *), &data);
    const char **shard = data, **skip = shard + shards;
    if (status == RLS_OK)
        status = entry_of_partial(job, &own);
    if (status == RLS_OK) {
        *tree = (rls_export_tree){.from = rls_model_dir_path(job->dir),
                                  .to = job->partial,
                                  .skip = skip,
                                  .shard = shard,
                                  .shards = shards,
                                  .link = job->link};
        for (int64_t i = 0; i < shards; i++) {
            shard[i] = rls_model_dir_shard(job->dir, i)->name;
            if (is_edited(job, i))
                skip[tree->skips++] = rls_model_dir_shard(job->dir, i)->name;
        }
        if (job->new_index)
            skip[tree->skips++] = RLS_MODEL_INDEX;
        if (own != NULL)
            skip[tree->skips++] = own;
        status = rls_export_tree_stage(job->ctx, tree);
    }
    free(data);
    free(own);
    return status;
}

/* The new shard's bytes. Collective. */
static rls_status fill_shard(const export *job, const rls_shard_plan *plan, const rls_export_file *file)
{
    rls_status status = RLS_OK;
    if (plan->header != NULL)
        status = rls_shared_write(&file->to, 0, plan->header, job->ctx->rank == 0 ? plan->header_bytes : 0);
    for (int64_t i = 0; status == RLS_OK && i < plan->pieces; i++) {
        const rls_piece *piece = &plan->piece[i];
        if (piece->edit < 0)
            status =
                rls_shared_copy(&file->from, piece->from, &file->to, piece->to, piece->bytes, file->digest);
        else
            status = rls_tensor_store(job->edits[piece->edit].matrix, job->edits[piece->edit].lines,
                                      job->plan[piece->edit].dtype, &file->to, piece->to);
    }
    return status;
}

static rls_status write_shard(const export *job, int64_t index)
{
    const rls_shard *shard = rls_model_dir_shard(job->dir, index);
    int64_t bytes = shard->bytes;
    rls_export_file file;
    rls_shard_plan plan;
    rls_status status = rls_export_file_begin(job->ctx, rls_model_dir_path(job->dir), job->partial,
                                              shard->name, &bytes, job->digests, &file);
    if (status == RLS_OK) {
        status = rls_shard_plan_make(job->dir, index, job->plan, job->count, &plan);
        if (status == RLS_OK)
            status = fill_shard(job, &plan, &file);
        rls_shard_plan_free(&plan);
    }
    return rls_export_file_end(&file, status, job->written);
}

/* One large file that could not be linked. */
static rls_status copy_file(const export *job, const char *name)
{
    int64_t bytes = -1;
    rls_export_file file;
    rls_status status = rls_export_file_begin(job->ctx, rls_model_dir_path(job->dir), job->partial, name,
                                              &bytes, job->digests, &file);
    if (status == RLS_OK)
        status = rls_shared_copy(&file.from, 0, &file.to, 0, bytes, file.digest);
    return rls_export_file_end(&file, status, job->written);
}

/* Rank 0: the index with the new total size. */
static rls_status write_index(const export *job)
{
    rls_context *ctx = job->ctx;
    json_t *root = NULL, *weight_map = NULL;
    char *from = NULL, *to = NULL, *text = NULL;
    rls_status status = rls_asprintf(ctx, &from, "%s/%s", rls_model_dir_path(job->dir), RLS_MODEL_INDEX);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &to, "%s/%s", job->partial, RLS_MODEL_INDEX);
    if (status == RLS_OK)
        status = rls_model_index_read(ctx, from, &root, &weight_map);
    if (status == RLS_OK) {
        json_t *metadata = json_object_get(root, "metadata");
        const json_t *total = json_object_get(metadata, "total_size");
        int failed = 0;
        json_int_t size = json_integer_value(total);
        if (json_is_real(total)) /* some writers say 1.4e10 */
            size = (json_int_t)json_real_value(total);
        if (json_is_number(total))
            failed =
                json_object_set_new(metadata, "total_size",
                                    json_integer(size + (json_int_t)rls_plan_growth(job->plan, job->count)));
        text = json_dumps(root, JSON_INDENT(2));
        if (failed != 0 || text == NULL)
            status = rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for the new index", to);
    }
    if (status == RLS_OK)
        status = rls_file_write_new(ctx, to, text, (int64_t)strlen(text));
    json_decref(root);
    free(text);
    free(from);
    free(to);
    return status;
}

/* Rank 0: everything is on the disk; now it gets its name. */
static rls_status publish(export *job)
{
    rls_status status = rls_dir_sync(job->ctx, job->partial, true);
    if (status == RLS_OK)
        status = rls_fault(job->ctx, RLS_FAULT_export_rename);
    if (status == RLS_OK && rename(job->partial, job->dest) != 0)
        status = rls_fail(job->ctx, RLS_ERR_IO, "%s: cannot rename it to %s: %s", job->partial, job->dest,
                          strerror(errno));
    if (status != RLS_OK)
        return status;
    status = rls_dir_sync(job->ctx, job->parent, false);
    if (status == RLS_OK || rename(job->dest, job->partial) != 0)
        job->made = false;
    return status;
}

/* Everything is made in the partial directory, and on the disk when it returns. Collective. */
static rls_status make_files(export *job, json_t **files)
{
    rls_context *ctx = job->ctx;
    rls_export_tree tree = {0};
    rls_status status =
        rls_share_array(ctx, ctx->rank == 0 ? stage(job, &tree) : RLS_OK, &tree.copies, &tree.copies_bytes);
    for (int64_t i = 0; status == RLS_OK && i < rls_model_dir_shards(job->dir); i++) {
        if (is_edited(job, i))
            status = write_shard(job, i);
    }
    for (int64_t at = 0; status == RLS_OK && at < tree.copies_bytes;
         at += (int64_t)strlen(tree.copies + at) + 1)
        status = copy_file(job, tree.copies + at);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 && job->new_index ? write_index(job) : RLS_OK);
    if (status == RLS_OK && files != NULL)
        status = rls_tree_digests_known(ctx, job->partial, job->written, files);
    if (status == RLS_OK)
        status = rls_export_files_sync(ctx, job->partial, job->written);
    free(tree.copies);
    return status;
}

rls_status rls_model_export_digests(const rls_model_dir *dir, const char *dest,
                                    const rls_export_tensor *edits, int64_t count,
                                    const struct rls_config_export *options, json_t **files)
{
    rls_context *ctx = rls_model_dir_context(dir);
    export job = {.ctx = ctx,
                  .dir = dir,
                  .edits = edits,
                  .count = count,
                  .link = options->link,
                  .digests = files != NULL,
                  .written = json_object()};
    int64_t partial_bytes = 0;
    const double start = rls_profile_start();
    rls_status status = job.written != NULL ? check_edits(&job, options->dtype)
                                            : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for an export");
    if (files != NULL)
        *files = NULL;
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        status = ctx->rank == 0 ? make_partial(&job, dest) : RLS_OK;
        partial_bytes = job.partial != NULL ? (int64_t)strlen(job.partial) + 1 : 0;
        status = rls_share_array(ctx, status, &job.partial, &partial_bytes);
    }
    if (status == RLS_OK)
        status = make_files(&job, files);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? publish(&job) : RLS_OK);
    if (job.made) {
        ctx->failing = true; /* keep the message: it is the cause, what the clean-up meets is not */
        if (rls_dir_remove(ctx, job.partial) != RLS_OK)
            rls_log(ctx, RLS_LOG_WARNING, "%s: cannot remove what was written of the model: remove it",
                    job.partial);
        ctx->failing = false;
    }
    if (status == RLS_OK)
        rls_profile_add(ctx, "export", start, 0.0, 0.0);
    if (status != RLS_OK && files != NULL) {
        json_decref(*files);
        *files = NULL;
    }
    json_decref(job.written);
    free(job.partial);
    free(job.dest);
    free(job.parent);
    free(job.plan);
    return status;
}

rls_status rls_model_export(const rls_model_dir *dir, const char *dest, const rls_export_tensor *edits,
                            int64_t count, rls_export_dtype dtype)
{
    const struct rls_config_export options = {.dtype = dtype, .link = RLS_EXPORT_HARD};
    return rls_model_export_digests(dir, dest, edits, count, &options, NULL);
}
