/*
 * Fault injection, for tests of what happens when things go wrong. Compiled in always, off unless the
 * environment has
 *
 *     RLSEDIT_FAULT=phase:action[:rank[:occurrence]]
 *
 * phase: a name of the list below; action: `error` (the phase fails with RLS_ERR_IO), `kill` (SIGKILL to the
 * process) or `stall` (it sleeps for ever); rank: of the context, default 0, `*` for all; occurrence: the
 * k-th time that rank comes there, from 1, default 1.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/context.h"

#define RLS_FAULT_LIST(X)                                                                                    \
    X(segment_write, "segment.write", "before a journal segment is written")                                 \
    X(segment_digest, "segment.digest", "before its checksums are taken")                                    \
    X(segment_manifest, "segment.manifest", "before its manifest is written")                                \
    X(segment_rename, "segment.rename", "before it gets its final name, which commits it")                   \
    X(segment_done, "segment.done", "after it is committed")                                                 \
    X(checkpoint_begin, "checkpoint.begin", "before a checkpoint's directory is made")                       \
    X(checkpoint_layer, "checkpoint.layer", "before each layer's file is written")                           \
    X(checkpoint_digest, "checkpoint.digest", "before the files' checksums are taken")                       \
    X(checkpoint_rename, "checkpoint.rename", "before the directory gets its final name")                    \
    X(checkpoint_manifest, "checkpoint.manifest", "before the manifest is written, which commits it")        \
    X(checkpoint_done, "checkpoint.done", "after it is committed")                                           \
    X(prune_manifest, "prune.manifest", "before an old checkpoint's manifest is deleted")                    \
    X(prune_files, "prune.files", "before its files are deleted")                                            \
    X(export_begin, "export.begin", "before the edited model is written")                                    \
    X(export_rename, "export.rename", "before it gets its final name")                                       \
    X(export_done, "export.done", "after it has got it")                                                     \
    X(summary_write, "summary.write", "before summary.json is written")                                      \
    X(moments_save, "moments.save", "before an unfinished file of second moments is written")                \
    X(moments_commit, "moments.commit", "before its manifest is written, which commits it")                  \
    X(moments_saved, "moments.saved", "after it is committed")                                               \
    X(moments_rename, "moments.rename", "before a finished file of second moments gets its final name")      \
    X(resume_open, "resume.open", "before a run directory is examined for resuming")                         \
    X(resume_load, "resume.load", "before a checkpoint is loaded")                                           \
    X(resume_replay, "resume.replay", "before each journal segment is replayed")

typedef enum {
#define RLS_FAULT_ENUM(id, name, when) RLS_FAULT_##id,
    RLS_FAULT_LIST(RLS_FAULT_ENUM)
#undef RLS_FAULT_ENUM
        RLS_FAULT_COUNT
} rls_fault_phase;

/* Comes to a phase: RLS_OK, or what RLSEDIT_FAULT asks for here. Not collective: pass the status to the next
 * agreement. */
RLS_NODISCARD rls_status rls_fault(rls_context *ctx, rls_fault_phase phase);

/* Reads RLSEDIT_FAULT into the context. Not collective. Returns RLS_ERR_USAGE when it cannot be understood.
 */
RLS_NODISCARD rls_status rls_fault_setup(rls_context *ctx);

/* A phase's name in RLSEDIT_FAULT, and when it comes. Not collective. */
const char *rls_fault_name(rls_fault_phase phase);
const char *rls_fault_when(rls_fault_phase phase);

#endif
