#include "corpus/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/share.h"
#include "corpus/record.h"
#include "corpus/scan.h"
#include "store/file_util.h"

enum { PIPE_MAX = 1 << 30, PIPE_FIRST = 1 << 16 };

struct rls_corpus {
    char *field;              /* NULL: plain text */
    char *path;               /* for messages */
    char *memory;             /* of a pipe; NULL: the file */
    rls_corpus_source source; /* of the two above, and the file's descriptor */
    rls_record *record;
    int64_t count;
};

static bool ends_with(const char *path, const char *end)
{
    const size_t a = strlen(path), b = strlen(end);
    return a >= b && strcmp(path + a - b, end) == 0;
}

/* A pipe, whole. */
static rls_status read_pipe(rls_context *ctx, rls_corpus *c)
{
    int64_t capacity = 0, bytes = 0;
    for (;;) {
        if (bytes == capacity) {
            capacity = capacity == 0 ? PIPE_FIRST : 2 * capacity;
            char *grown = capacity > PIPE_MAX ? NULL : realloc(c->memory, (size_t)capacity);
            if (capacity > PIPE_MAX)
                return rls_fail(ctx, RLS_ERR_DATA, "%s: more than 1 GiB through a pipe: use a file", c->path);
            if (grown == NULL)
                return rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for what comes through it", c->path);
            c->memory = grown;
        }
        const ssize_t got = read(c->source.fd, c->memory + bytes, (size_t)(capacity - bytes));
        if (got < 0 && errno != EINTR)
            return rls_fail(ctx, RLS_ERR_IO, "%s: cannot read: %s", c->path, strerror(errno));
        bytes += got > 0 ? (int64_t)got : 0;
        if (got == 0)
            break;
    }
    c->source.bytes = bytes;
    return RLS_OK;
}

static rls_status open_file(rls_context *ctx, rls_corpus *c, struct stat *info)
{
    c->source.fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (c->source.fd < 0 || fstat(c->source.fd, info) != 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: cannot open: %s", c->path, strerror(errno));
    return RLS_OK;
}

/* Rank 0: opens the input, reads it, and finds its records. */
static rls_status read_input(rls_context *ctx, rls_corpus *c, bool standard, rls_record_index *index)
{
    struct stat info = {0};
    rls_status status = RLS_OK;
    if (standard)
        c->source.fd = STDIN_FILENO;
    else
        status = open_file(ctx, c, &info);
    if (status == RLS_OK && S_ISDIR(info.st_mode))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: is a directory, expected a file of texts", c->path);
    if (status == RLS_OK && S_ISREG(info.st_mode))
        c->source.bytes = (int64_t)info.st_size;
    else if (status == RLS_OK)
        status = read_pipe(ctx, c);
    c->source.memory = c->memory;
    return status == RLS_OK ? rls_corpus_scan(ctx, &c->source, c->field, index) : status;
}

/* The other ranks' view of the same file: one that only rank 0 sees, or another of that name, is told. */
static rls_status open_again(rls_context *ctx, rls_corpus *c)
{
    struct stat info = {0};
    const rls_status status = open_file(ctx, c, &info);
    if (status == RLS_OK && (int64_t)info.st_size != c->source.bytes)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %" PRId64 " bytes here, %" PRId64
                        " on rank 0: put it where all nodes see the same file",
                        c->path, (int64_t)info.st_size, c->source.bytes);
    return status;
}

/* Rank 0's index (and pipe) becomes everyone's. Collective. */
static rls_status share_all(rls_context *ctx, rls_corpus *c)
{
    int64_t head[3] = {c->count, c->source.bytes, c->memory != NULL};
    void *records = c->record, *memory = c->memory;
    rls_status status = RLS_OK;
    MPI_Bcast(head, 3, MPI_INT64_T, 0, ctx->comm);
    if (ctx->rank != 0) {
        c->count = head[0];
        c->source.bytes = head[1];
        status = rls_alloc(ctx, c->count, sizeof *c->record, &records);
        if (status == RLS_OK && head[2] != 0)
            status = rls_alloc(ctx, c->source.bytes + 1, 1, &memory);
        else if (status == RLS_OK)
            status = open_again(ctx, c);
        c->record = records;
        c->source.memory = c->memory = memory;
    }
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    rls_share_bytes(ctx, c->record, c->count * (int64_t)sizeof *c->record);
    if (head[2] != 0)
        rls_share_bytes(ctx, c->memory, c->source.bytes);
    return RLS_OK;
}

static rls_status make(rls_context *ctx, const char *path, const char *field, rls_corpus **out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    rls_corpus *c = *out = memory;
    if (status != RLS_OK || c == NULL)
        return status;
    c->source.fd = -1;
    if (field == NULL && (ends_with(path, ".jsonl") || ends_with(path, ".json")))
        field = "text";
    if (field != NULL)
        status = rls_strdup(ctx, field, &c->field);
    if (status == RLS_OK)
        status = rls_strdup(ctx, strcmp(path, "-") == 0 ? "standard input" : path, &c->path);
    c->source.path = c->path;
    return status;
}

rls_status rls_corpus_open(rls_context *ctx, const char *path, const char *field, rls_corpus **out)
{
    rls_corpus *c = NULL;
    rls_record_index index = {0};
    *out = NULL;
    rls_status status = rls_agree(ctx, make(ctx, path, field, &c));
    if (status != RLS_OK || c == NULL) { /* equal on all ranks */
        rls_corpus_close(&c);
        return status;
    }
    if (ctx->rank == 0) {
        status = read_input(ctx, c, strcmp(path, "-") == 0, &index);
        c->record = index.record;
        c->count = index.count;
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = share_all(ctx, c);
    if (status != RLS_OK)
        rls_corpus_close(&c);
    *out = c;
    return status;
}

void rls_corpus_close(rls_corpus **corpus)
{
    rls_corpus *c = *corpus;
    if (c == NULL)
        return;
    if (c->source.fd > STDIN_FILENO)
        close(c->source.fd);
    free(c->record);
    free(c->memory);
    free(c->path);
    free(c->field);
    free(c);
    *corpus = NULL;
}

const char *rls_corpus_path(const rls_corpus *corpus)
{
    return corpus->path;
}

int64_t rls_corpus_count(const rls_corpus *corpus)
{
    return corpus->count;
}

int64_t rls_corpus_line(const rls_corpus *corpus, int64_t i)
{
    return corpus->record[i].line;
}

int64_t rls_corpus_bytes(const rls_corpus *corpus, int64_t i)
{
    return corpus->record[i].length;
}

static rls_status fail_changed(rls_context *ctx, const rls_corpus *c)
{
    return rls_fail(ctx, RLS_ERR_DATA, "%s: has changed since it was opened", c->path);
}

rls_status rls_corpus_text(rls_context *ctx, const rls_corpus *corpus, int64_t i, char **text, int64_t *bytes)
{
    const rls_record *r = &corpus->record[i];
    const rls_record_place place = {corpus->path, corpus->field, r->line};
    struct stat info = {0};
    void *memory = NULL;
    *text = NULL;
    *bytes = 0;
    if (corpus->memory != NULL)
        return rls_record_text(ctx, &place, corpus->memory + r->offset, r->length, text, bytes);
    if (fstat(corpus->source.fd, &info) != 0 || (int64_t)info.st_size != corpus->source.bytes)
        return fail_changed(ctx, corpus);
    rls_status status = rls_alloc(ctx, r->length, 1, &memory);
    if (status == RLS_OK)
        status = rls_corpus_read(ctx, &corpus->source, r->offset, r->length, memory);
    if (status == RLS_OK && corpus->field == NULL && memchr(memory, '\n', r->length) != NULL)
        status = fail_changed(ctx, corpus);
    if (status == RLS_OK)
        status = rls_record_text(ctx, &place, memory, r->length, text, bytes);
    free(memory);
    return status;
}
