/*
 * The journal: every applied batch as a committed segment, a stream file that replays.
 *
 *     segment-000012.nc      the edits, keys and absolute targets as applied
 *     segment-000012.json    its manifest: number, first edit, edits, edits a batch, batches up to its end,
 *                            digest of the .nc
 *
 * A segment is written under a temporary name, digested, its manifest written, and then renamed: the rename
 * commits it. So the directory is at every moment a stream of exactly the committed edits.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <jansson.h>

#include "store/stream_header.h"

typedef struct rls_journal rls_journal;

/* Opens the journal in directory `path` (made when it is not there) to write segment number `next` after
 * `edits` edits in `batches` batches. Collective. info: what every segment says of itself (module, kind,
 * batch, layers with n, m and types); copied. A segment is made of batches of info->batch edits, the last one
 * perhaps of fewer. token: a name of this run's own for temporary files. Temporary files of dead runs are
 * removed. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_journal_open(rls_context *ctx, const char *path, const char *token,
                                          const rls_stream_info *info, int64_t next, int64_t edits,
                                          int64_t batches, rls_journal **out);

/* Frees it and sets *journal to NULL. Not collective. NULL is accepted. */
void rls_journal_close(rls_journal **journal);

/* Commits one segment: this rank's share of its edits, as rls_stream_write takes them.
 * Collective. Once it returns RLS_OK the edits are on the disk for good. Returns RLS_ERR_IO, RLS_ERR_MEMORY;
 * then nothing is committed. */
RLS_NODISCARD rls_status rls_journal_commit(rls_journal *journal, const int64_t *case_ids,
                                            const rls_vectors *keys, const rls_vectors *values);

/* Segments committed and edits in them. Not collective. */
int64_t rls_journal_segments(const rls_journal *journal);
int64_t rls_journal_edits(const rls_journal *journal);

/* What a journal on the disk holds. */
typedef struct {
    int64_t present; /* segments by their names, whatever is between them */
    int64_t sound;   /* of those, how many are whole, from the first on without a gap */
    int64_t *number; /* [present], ascending: number[i] = i for the sound ones */
    int64_t *ends;   /* [sound]: edits up to and with each */
    int64_t *each;   /* [sound]: edits a batch in it; its last batch may have fewer */
    int64_t bytes;
    int64_t strays;   /* files that are no segments, which are left alone */
    char stray[256];  /* one of them */
    json_t *problems; /* rank 0: what is wrong with segments, as store/problem.h has it; NULL elsewhere */
    char why[768];    /* the first of them: of segment number `sound`; "" when all are sound */
} rls_journal_survey;

/* Checks every segment against its manifest, in parallel. Collective. No directory: nothing present.
 * Free with rls_journal_survey_free. Returns RLS_ERR_IO, RLS_ERR_MEMORY; damage is no failure. */
RLS_NODISCARD rls_status rls_journal_examine(rls_context *ctx, const char *path, rls_journal_survey *out);
void rls_journal_survey_free(rls_journal_survey *survey);

/* Renames the segments that are not sound to *.damaged, so that they are in no stream and no evidence is lost.
 * Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_journal_set_aside(rls_context *ctx, const char *path,
                                               const rls_journal_survey *survey);

#endif
