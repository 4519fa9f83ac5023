#include "store/fingerprint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/digest.h"
#include "store/file_util.h"

enum { SAMPLES = 64, SAMPLE_BYTES = 64 << 10 };
static const int64_t WHOLE_BYTES = (int64_t)2 << 30;

static void add_hash(json_t *object, const char *name, rls_hash hash)
{
    char text[RLS_HASH_TEXT];
    (void)json_object_set_new(object, name, json_string(rls_hash_text(hash, text)));
}

/* All bytes of some files. Collective. */
static rls_status hash_whole(rls_context *ctx, const char *const *paths, int64_t count, rls_hash *out)
{
    rls_digest *digests = NULL;
    rls_status status = rls_digest_files(ctx, paths, count, &digests);
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        if (digests[i].bytes < 0)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: cannot be read", paths[i]);
    if (status == RLS_OK)
        *out = rls_digest_hash(digests, count);
    rls_digests_free(&digests);
    return status; /* the digests are equal on all ranks, and so is what was made of them */
}

static rls_status hash_stream(const rls_stream *stream, rls_context *ctx, rls_hash *out)
{
    const int64_t count = rls_stream_segments(stream);
    void *memory = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, count, sizeof(char *), &memory));
    const char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        paths[i] = rls_stream_segment(stream, i, NULL, NULL, NULL);
    if (status == RLS_OK)
        status = hash_whole(ctx, paths, count, out);
    free(memory);
    return status;
}

/* Header and samples of one shard. Local. */
static rls_status hash_samples(rls_context *ctx, const rls_shard *shard, rls_hash *out)
{
    void *memory = NULL;
    rls_status status = rls_alloc(ctx, SAMPLE_BYTES, 1, &memory);
    const int fd = status == RLS_OK ? open(shard->path, O_RDONLY | O_CLOEXEC) : -1;
    rls_hash parts[2] = {{(uint64_t)shard->bytes, 0}, rls_hash_bytes(shard->name, strlen(shard->name))};
    const int64_t data = shard->bytes - shard->data_begin;
    const int64_t headers = (shard->data_begin + SAMPLE_BYTES - 1) / SAMPLE_BYTES;
    for (int64_t i = 0; i < headers + SAMPLES && status == RLS_OK; i++) {
        const int64_t sample = shard->data_begin + (i - headers) * (data / SAMPLES);
        const ssize_t got = pread(fd, memory, SAMPLE_BYTES, (off_t)(i < headers ? i * SAMPLE_BYTES : sample));
        if (got < 0)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: cannot be read", shard->path);
        else
            parts[1] = rls_hash_bytes(memory, (size_t)got);
        parts[0] = rls_hash_combine(parts, 2);
    }
    if (fd >= 0)
        close(fd);
    free(memory);
    *out = parts[0];
    return status;
}

static rls_status sample_model(rls_context *ctx, const rls_model_dir *model, rls_hash *out)
{
    const int64_t count = rls_model_dir_shards(model);
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(rls_hash), &memory);
    rls_hash *hashes = memory;
    for (int64_t i = ctx->rank; i < count && status == RLS_OK; i += ctx->size)
        status = hash_samples(ctx, rls_model_dir_shard(model, i), &hashes[i]);
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        MPI_Allreduce(MPI_IN_PLACE, hashes, (int)(2 * count), MPI_UINT64_T, MPI_BOR, ctx->comm);
        *out = rls_hash_combine(hashes, (size_t)count);
    }
    free(memory);
    return status;
}

rls_status rls_fingerprint_model(rls_context *ctx, const rls_model_dir *model, rls_hash *out)
{
    if (rls_model_dir_bytes(model) > WHOLE_BYTES)
        return sample_model(ctx, model, out);
    const int64_t count = rls_model_dir_shards(model);
    void *memory = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, count, sizeof(char *), &memory));
    const char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        paths[i] = rls_model_dir_shard(model, i)->path;
    if (status == RLS_OK)
        status = hash_whole(ctx, paths, count, out);
    free(memory);
    return status;
}

rls_status rls_fingerprint_file(rls_context *ctx, const char *path, rls_hash *out)
{
    int64_t bytes = 0;
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? rls_file_size(ctx, path, &bytes) : RLS_OK);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, ctx->comm);
    if (bytes <= WHOLE_BYTES)
        return hash_whole(ctx, &path, 1, out);
    const rls_shard all_of_it = {.name = "", .path = (char *)path, .bytes = bytes};
    *out = (rls_hash){0, 0};
    status = rls_agree(ctx, ctx->rank == 0 ? hash_samples(ctx, &all_of_it, out) : RLS_OK);
    MPI_Bcast(out, (int)sizeof *out, MPI_BYTE, 0, ctx->comm);
    return status;
}

rls_status rls_fingerprint_take(rls_context *ctx, const rls_fingerprint_inputs *inputs, json_t **out)
{
    const double start = rls_profile_start();
    rls_hash hash = {0, 0};
    json_t *object = json_pack("{s:n, s:n, s:n, s:n, s:n}", "model", "stream", "facts", "moments", "anchor");
    rls_status status =
        object != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a fingerprint");
    status = rls_agree(ctx, status);
    if (status == RLS_OK && (status = rls_fingerprint_model(ctx, inputs->model, &hash)) == RLS_OK)
        add_hash(object, "model", hash);
    if (status == RLS_OK && inputs->stream != NULL &&
        (status = hash_stream(inputs->stream, ctx, &hash)) == RLS_OK)
        add_hash(object, "stream", hash);
    if (status == RLS_OK && inputs->facts != NULL)
        (void)json_object_set_new(object, "facts", json_string(inputs->facts));
    if (status == RLS_OK && inputs->moments != NULL &&
        (status = hash_whole(ctx, &inputs->moments, 1, &hash)) == RLS_OK)
        add_hash(object, "moments", hash);
    if (status == RLS_OK && inputs->anchor != NULL &&
        (status = hash_stream(inputs->anchor, ctx, &hash)) == RLS_OK)
        add_hash(object, "anchor", hash);
    if (status != RLS_OK) {
        json_decref(object);
        object = NULL;
    }
    *out = object;
    (void)rls_profile_add(ctx, "fingerprint", start, 0.0, 0.0);
    return status;
}

rls_status rls_fingerprint_compare(rls_context *ctx, const json_t *then, const json_t *now)
{
    static const struct {
        const char *item, *what;
    } ITEMS[] = {{"model", "the model"},
                 {"stream", "the stream"},
                 {"facts", "what the facts ask for"},
                 {"moments", "the file of anchor.moments"},
                 {"anchor", "the file of anchor.keys"}};
    for (size_t i = 0; i < sizeof ITEMS / sizeof ITEMS[0]; i++)
        if (!json_equal(json_object_get(then, ITEMS[i].item), json_object_get(now, ITEMS[i].item)))
            return rls_fail(
                ctx, RLS_ERR_DATA,
                "%s has changed since the run began: resume with what it began with, or begin a new run",
                ITEMS[i].what);
    return RLS_OK;
}
