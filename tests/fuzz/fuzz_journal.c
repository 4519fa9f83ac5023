/*
 * Any object as the manifest of a journal's segment, sealed as if it were ours: what examine and inspect make of it
 * is sound or told, and no count is beyond reason. The member "digest": true stands for the right one.
 */
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "fuzz/json_mutator.h"
#include "inspect/journal.h"
#include "store/digest.h"
#include "store/journal.h"
#include "store/manifest.h"

const size_t fuzz_json_prefix = 0;

static char directory[64], segment[96], manifest[96];
static rls_context *ctx;
static json_t *right; /* the segment's digest */

static void end(void)
{
    (void)unlink(segment);
    (void)unlink(manifest);
    (void)rmdir(directory);
    json_decref(right);
    rls_context_destroy(&ctx);
    MPI_Finalize();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    MPI_Init(argc, argv);
    must(rls_context_create(MPI_COMM_SELF, &ctx) == RLS_OK);
    (void)snprintf(directory, sizeof directory, "/tmp/rls-fuzz-journal-%ld", (long)getpid());
    (void)snprintf(segment, sizeof segment, "%s/segment-000000.nc", directory);
    (void)snprintf(manifest, sizeof manifest, "%s/segment-000000.json", directory);
    must(mkdir(directory, 0700) == 0);
    FILE *file = fopen(segment, "wb");
    must(file != NULL && fwrite("segment", 1, 7, file) == 7 && fclose(file) == 0);
    rls_digest *digest = NULL;
    const char *const paths[] = {segment};
    must(rls_digest_files(ctx, paths, 1, &digest) == RLS_OK);
    right = rls_digest_json(&digest[0], "segment-000000.nc");
    must(right != NULL);
    rls_digests_free(&digest);
    (void)atexit(end);
    return 0;
}

static void check_survey(void)
{
    rls_journal_survey survey;
    must(rls_journal_examine(ctx, directory, &survey) == RLS_OK);
    must(survey.present == 1 && survey.sound >= 0 && survey.sound <= 1);
    must((survey.sound == 1) == (survey.why[0] == '\0'));
    must(survey.sound == 0 ||
         (survey.ends[0] > 0 && survey.ends[0] < INT64_C(1) << 54 && survey.each[0] > 0));
    rls_journal_survey_free(&survey);
}

static void check_view(void)
{
    rls_journal_view view;
    json_t *problems = json_array();
    must(rls_inspect_journal(ctx, directory, false, problems, &view) == RLS_OK);
    must(view.segments == 1 && view.edits >= 0 && view.batches >= -1 && view.last_batches >= 0);
    json_decref(problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object = json_loadb((const char *)data, size, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return 0;
    }
    if (json_is_true(json_object_get(object, "digest")))
        (void)json_object_set(object, "digest", right);
    if (rls_manifest_write(ctx, manifest, object) == RLS_OK) {
        check_survey();
        check_view();
    }
    rls_clear_failure(ctx);
    return 0;
}
