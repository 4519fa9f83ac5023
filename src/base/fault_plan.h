/*
 * What RLSEDIT_FAULT asks for (base/fault.h does it):
 *
 *     RLSEDIT_FAULT=phase:action[:rank[:occurrence]]
 *
 * phase: a name of the list below; action: `error` (the phase fails with RLS_ERR_IO), `kill` (SIGKILL to the
 * process) or `stall` (it sleeps for ever); rank: of the context, default 0, `*` for all; occurrence: the
 * k-th time that rank comes there, from 1, default 1.
 */
#ifndef BASE_FAULT_PLAN_H
#define BASE_FAULT_PLAN_H

#include <stdbool.h>

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

typedef enum { RLS_FAULT_NONE, RLS_FAULT_ERROR, RLS_FAULT_KILL, RLS_FAULT_STALL } rls_fault_action;
typedef struct {
    rls_fault_phase phase; /* RLS_FAULT_COUNT: none */
    rls_fault_action action;
    long rank, occurrence; /* rank -1: all */
} rls_fault_plan;

/* Reads what RLSEDIT_FAULT says; NULL and "" are no fault. Not collective. Returns false, and no fault, when
 * it cannot be understood. */
bool rls_fault_plan_parse(const char *wanted, rls_fault_plan *plan);

/* A phase's name in RLSEDIT_FAULT, and when it comes. Not collective. */
const char *rls_fault_name(rls_fault_phase phase);
const char *rls_fault_when(rls_fault_phase phase);

#endif
