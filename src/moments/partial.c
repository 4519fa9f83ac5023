#include "moments/partial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/share.h"
#include "linalg/symmetric.h"
#include "moments/output.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/manifest.h"
#include "store/moments.h"

#define FORMAT "rlsedit-moments-partial"

static rls_status no_memory(rls_context *ctx)
{
    return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
}

/* OUT.partial<rest> of a number of texts. */
static rls_status partial_path(const rls_moments_partial *p, const char *kind, int64_t texts, char **out)
{
    return rls_asprintf(p->ctx, out, "%s" RLS_MOMENTS_PARTIAL "-%s%" PRId64 ".nc", p->out, kind, texts);
}

/* Writes matrices, which are means; their digest as JSON. Collective. */
static rls_status write_means(const rls_moments_partial *p, const char *path, rls_matrix *const *means,
                              int64_t keys, json_t **digest)
{
    rls_context *ctx = p->ctx;
    void *memory = NULL;
    rls_digest *digests = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, p->count, sizeof(int64_t), &memory));
    int64_t *counts = memory;
    for (int i = 0; i < p->count && status == RLS_OK; i++) {
        counts[i] = keys;
        status = rls_symmetric_mirror(means[i]);
    }
    if (status == RLS_OK)
        status = rls_moments_write(ctx, path, p->module, p->count, p->layers, means, counts);
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)&path, 1, &digests);
    if (status == RLS_OK) {
        const char *slash = strrchr(path, '/');
        *digest = rls_digest_json(&digests[0], slash != NULL ? slash + 1 : path);
        status = rls_agree(ctx, *digest != NULL ? RLS_OK : no_memory(ctx));
    }
    rls_digests_free(&digests);
    free(memory);
    return status;
}

/* The sums as means, written, and sums again. Collective. */
static rls_status write_sums(const rls_moments_partial *p, const char *path, json_t **digest)
{
    const double keys = (double)p->keys;
    for (int i = 0; i < p->count; i++)
        rls_symmetric_scale_shift(p->sums[i], 1.0 / keys, 0.0);
    const rls_status status = write_means(p, path, p->sums, p->keys, digest);
    for (int i = 0; i < p->count; i++)
        rls_symmetric_scale_shift(p->sums[i], keys, 0.0);
    return status;
}

/* The manifest's entry of the doubling on the disk, from the manifest before. Rank 0; NULL when it is not
 * there. */
static json_t *saved_doubling(const rls_moments_partial *p, const char *manifest)
{
    json_t *old = NULL, *entry = NULL;
    if (rls_manifest_read(p->ctx, manifest, FORMAT, &old) != RLS_OK)
        rls_clear_failure(p->ctx);
    entry = json_incref(json_object_get(old, "doubling"));
    json_decref(old);
    return entry;
}

/* Rank 0: commits, and removes what is old. */
static rls_status commit(rls_moments_partial *p, const char *manifest, json_t *digest, json_t *doubling)
{
    const char *keep[3] = {json_string_value(json_object_get(digest, "file")), NULL, NULL};
    json_t *what = json_pack("{s:s, s:i, s:O, s:I, s:I, s:O, s:O?}", "format", FORMAT, "version", 1,
                             "identity", p->identity, "texts", (json_int_t)p->texts, "keys",
                             (json_int_t)p->keys, "moments", digest, "doubling", doubling);
    rls_status status = rls_fault(p->ctx, RLS_FAULT_moments_commit);
    if (status == RLS_OK)
        status = what != NULL ? rls_manifest_write(p->ctx, manifest, json_incref(what)) : no_memory(p->ctx);
    json_decref(what);
    keep[1] = json_string_value(json_object_get(json_object_get(doubling, "moments"), "file"));
    if (status == RLS_OK)
        status = rls_moments_clear(p->ctx, p->out, keep);
    return status;
}

rls_status rls_moments_partial_save(rls_moments_partial *p)
{
    rls_context *ctx = p->ctx;
    char *path = NULL, *doubling_path = NULL, *manifest = NULL;
    json_t *digest = NULL, *doubling_digest = NULL, *doubling = NULL;
    const bool doubled = p->doubling != NULL && p->doubling_texts > 0;
    const bool again = doubled && p->doubling_texts != p->saved_doubling;
    const double start = rls_profile_start();
    rls_status status = partial_path(p, "", p->texts, &path);
    if (status == RLS_OK)
        status = partial_path(p, "doubling-", p->doubling_texts, &doubling_path);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &manifest, "%s" RLS_MOMENTS_PARTIAL ".json", p->out);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_moments_save);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = write_sums(p, path, &digest);
    if (status == RLS_OK && again)
        status = write_means(p, doubling_path, p->doubling, p->doubling_keys, &doubling_digest);
    if (status == RLS_OK && ctx->rank == 0 && again)
        doubling = json_pack("{s:I, s:I, s:O}", "texts", (json_int_t)p->doubling_texts, "keys",
                             (json_int_t)p->doubling_keys, "moments", doubling_digest);
    else if (status == RLS_OK && ctx->rank == 0 && doubled)
        doubling = saved_doubling(p, manifest);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? commit(p, manifest, digest, doubling) : RLS_OK);
    if (status == RLS_OK && again)
        p->saved_doubling = p->doubling_texts;
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_moments_saved));
    (void)rls_profile_add(ctx, "save", start, 0.0, 0.0);
    json_decref(digest);
    json_decref(doubling_digest);
    json_decref(doubling);
    free(path);
    free(doubling_path);
    free(manifest);
    return status;
}

/* Local, equal on all ranks: the first item in which two identities differ. */
static rls_status compare(const rls_moments_partial *p, const char *manifest, const json_t *then)
{
    const char *item = NULL;
    json_t *now = NULL;
    json_object_foreach(p->identity, item, now)
    {
        const json_t *was = json_object_get(then, item);
        if (json_equal(was, now))
            continue;
        char *old_text = json_dumps(was, JSON_ENCODE_ANY | JSON_COMPACT),
             *new_text = json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT);
        const rls_status status = rls_fail(
            p->ctx, RLS_ERR_USAGE,
            "%s: an unfinished run for this file had another %s (%.200s then, %.200s now): repeat its "
            "command to go on with it, discard it with --resume never, or choose another --out",
            manifest, item, old_text != NULL ? old_text : "none", new_text != NULL ? new_text : "none");
        free(old_text);
        free(new_text);
        return status;
    }
    return RLS_OK;
}

/* Checks the file of a manifest's entry, and fills the matrices from it. Collective; entry: equal on all
 * ranks. */
static rls_status load_means(const rls_moments_partial *p, const json_t *digest, rls_matrix **matrices)
{
    rls_context *ctx = p->ctx;
    const char *file = json_string_value(json_object_get(digest, "file"));
    const char *slash = strrchr(p->out, '/');
    char *path = NULL, why[128] = "";
    rls_digest *digests = NULL;
    rls_moments *moments = NULL;
    rls_status status =
        rls_agree(ctx, rls_asprintf(ctx, &path, "%.*s%s", slash != NULL ? (int)(slash + 1 - p->out) : 0,
                                    p->out, file != NULL ? file : ""));
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)&path, 1, &digests);
    if (status == RLS_OK && !rls_digest_matches(&digests[0], digest, why)) /* equal on all ranks */
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA,
                                         "%s: the unfinished run's file is damaged (%s): begin anew with "
                                         "--resume never",
                                         path, why));
    if (status == RLS_OK)
        status = rls_moments_open(ctx, path, &moments);
    for (int i = 0; i < p->count && status == RLS_OK; i++)
        status = rls_moments_load(moments, p->layers[i], matrices[i]);
    rls_moments_close(&moments);
    rls_digests_free(&digests);
    free(path);
    return status;
}

/* Takes what the manifest says. Collective; manifest: equal on all ranks. */
static rls_status take(rls_moments_partial *p, const json_t *manifest)
{
    const json_t *doubling = json_object_get(manifest, "doubling");
    rls_status status = load_means(p, json_object_get(manifest, "moments"), p->sums);
    p->texts = rls_manifest_count(manifest, "texts");
    p->keys = rls_manifest_count(manifest, "keys");
    if (status == RLS_OK && (p->texts < 0 || p->keys < 0))
        status = rls_agree(p->ctx,
                           rls_fail(p->ctx, RLS_ERR_DATA,
                                    "%s: the unfinished run's manifest says impossible numbers: begin anew "
                                    "with --resume never",
                                    p->out));
    for (int i = 0; i < p->count && status == RLS_OK; i++)
        rls_symmetric_scale_shift(p->sums[i], (double)p->keys, 0.0);
    if (status == RLS_OK && p->doubling != NULL && json_is_object(doubling)) {
        status = load_means(p, json_object_get(doubling, "moments"), p->doubling);
        p->doubling_texts = rls_manifest_count(doubling, "texts");
        p->doubling_keys = rls_manifest_count(doubling, "keys");
        p->saved_doubling = p->doubling_texts;
    }
    return status;
}

/* Rank 0: the manifest's text; NULL when there is none. */
static rls_status read_manifest(const rls_moments_partial *p, const char *path, bool anew, char **text)
{
    static const char *const nothing[] = {NULL};
    json_t *manifest = NULL;
    if (anew || access(path, F_OK) != 0) /* files without a manifest were never committed */
        return rls_moments_clear(p->ctx, p->out, nothing);
    rls_status status = rls_manifest_read(p->ctx, path, FORMAT, &manifest);
    if (status == RLS_OK) {
        *text = json_dumps(manifest, JSON_COMPACT);
        status = *text != NULL ? RLS_OK : no_memory(p->ctx);
    }
    json_decref(manifest);
    return status;
}

rls_status rls_moments_partial_resume(rls_moments_partial *p, bool anew)
{
    rls_context *ctx = p->ctx;
    char *path = NULL, *text = NULL;
    json_t *manifest = NULL;
    rls_status status = rls_agree(ctx, rls_asprintf(ctx, &path, "%s" RLS_MOMENTS_PARTIAL ".json", p->out));
    if (status == RLS_OK)
        status = rls_share_text(ctx, ctx->rank == 0 ? read_manifest(p, path, anew, &text) : RLS_OK, &text);
    if (status == RLS_OK && text != NULL) {
        manifest = json_loads(text, 0, NULL);
        status = manifest != NULL ? compare(p, path, json_object_get(manifest, "identity")) : no_memory(ctx);
        status = rls_agree(ctx, status);
        if (status == RLS_OK)
            status = take(p, manifest);
    }
    json_decref(manifest);
    free(text);
    free(path);
    return status;
}
