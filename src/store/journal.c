#include "store/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/leftover.h"
#include "store/manifest.h"
#include "store/stream_write.h"

#define SEGMENT_FORMAT "rlsedit-segment"

struct rls_journal {
    rls_context *ctx;
    char *path, *token;
    rls_stream_info info;
    int64_t next, edits, batches;
};

static rls_status segment_path(rls_context *ctx, const char *dir, int64_t number, const char *ending,
                               char **out)
{
    return rls_asprintf(ctx, out, "%s/segment-%06" PRId64 ".%s", dir, number, ending);
}

static rls_status copy_info(rls_context *ctx, const rls_stream_info *from, rls_stream_info *to)
{
    void *layers = NULL;
    const rls_status status = rls_alloc(ctx, from->layer_count, sizeof *from->layers, &layers);
    *to = *from;
    to->layers = layers;
    if (status == RLS_OK && layers != NULL)
        memcpy(layers, from->layers, (size_t)from->layer_count * sizeof *from->layers);
    return status;
}

rls_status rls_journal_open(rls_context *ctx, const char *path, const char *token,
                            const rls_stream_info *info, int64_t next, int64_t edits, int64_t batches,
                            rls_journal **out)
{
    void *memory = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_journal), &memory);
    rls_journal *journal = memory;
    if (status == RLS_OK) {
        journal->ctx = ctx;
        journal->next = next;
        journal->edits = edits;
        journal->batches = batches;
        status = rls_strdup(ctx, path, &journal->path);
    }
    if (status == RLS_OK)
        status = rls_strdup(ctx, token, &journal->token);
    if (status == RLS_OK)
        status = copy_info(ctx, info, &journal->info);
    if (status == RLS_OK && ctx->rank == 0)
        status = rls_dir_make(ctx, path);
    if (status == RLS_OK && ctx->rank == 0)
        status = rls_partial_remove(ctx, path);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_journal_close(&journal);
    *out = journal;
    return status;
}

void rls_journal_close(rls_journal **journal)
{
    if (*journal == NULL)
        return;
    free((*journal)->path);
    free((*journal)->token);
    free((*journal)->info.layers);
    free(*journal);
    *journal = NULL;
}

int64_t rls_journal_segments(const rls_journal *journal)
{
    return journal->next;
}

int64_t rls_journal_edits(const rls_journal *journal)
{
    return journal->edits;
}

/* Edits a batch in a segment of `edits` edits. */
static int64_t edits_a_batch(const rls_journal *journal, int64_t edits)
{
    const int64_t batch = journal->info.batch;
    return batch > 0 && batch < edits ? batch : edits;
}

/* Batches up to the end of the next segment, of `edits` edits. */
static int64_t batches_after(const rls_journal *journal, int64_t edits)
{
    const int64_t each = edits_a_batch(journal, edits);
    return journal->batches + (each > 0 ? (edits + each - 1) / each : 0);
}

/* Rank 0: the manifest, then the rename that commits. */
static rls_status publish(const rls_journal *journal, const char *partial, int64_t edits,
                          const rls_digest *digest)
{
    rls_context *ctx = journal->ctx;
    char *file = NULL, *manifest = NULL;
    rls_status status = segment_path(ctx, journal->path, journal->next, "nc", &file);
    if (status == RLS_OK && digest->bytes < 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read again: %s", partial,
                          access(partial, R_OK) != 0 ? strerror(errno) : "it is cut off");
    if (status == RLS_OK)
        status = segment_path(ctx, journal->path, journal->next, "json", &manifest);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_segment_manifest);
    if (status == RLS_OK)
        status = rls_manifest_write(
            ctx, manifest,
            json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "format", SEGMENT_FORMAT, "version", 1,
                      "segment", (json_int_t)journal->next, "first", (json_int_t)journal->edits, "edits",
                      (json_int_t)edits, "batch", (json_int_t)edits_a_batch(journal, edits), "batches",
                      (json_int_t)batches_after(journal, edits), "digest",
                      rls_digest_json(digest, strrchr(file, '/') + 1)));
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_segment_rename);
    if (status == RLS_OK && rename(partial, file) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be committed: %s", file, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, journal->path, false);
    free(file);
    free(manifest);
    return status;
}

rls_status rls_journal_commit(rls_journal *journal, const int64_t *case_ids, const rls_vectors *keys,
                              const rls_vectors *values)
{
    rls_context *ctx = journal->ctx;
    const double start = rls_profile_start();
    char *partial = NULL;
    rls_digest *digest = NULL;
    int64_t edits = keys[0].count;
    rls_status status = rls_asprintf(ctx, &partial, "%s/.segment-%06" PRId64 ".%s.partial", journal->path,
                                     journal->next, journal->token);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_segment_write);
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        MPI_Allreduce(MPI_IN_PLACE, &edits, 1, MPI_INT64_T, MPI_SUM, ctx->comm);
        status = rls_stream_write(ctx, partial, &journal->info, case_ids, keys, values);
    }
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_segment_digest));
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)&partial, 1, &digest);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? publish(journal, partial, edits, digest) : RLS_OK);
    if (status == RLS_OK) {
        journal->batches = batches_after(journal, edits);
        journal->next++;
        journal->edits += edits;
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_segment_done));
    }
    const double bytes = digest != NULL ? (double)digest->bytes / ctx->size : 0.0;
    rls_digests_free(&digest);
    free(partial);
    (void)rls_profile_add(ctx, "journal", start, 0.0, bytes);
    return status;
}
