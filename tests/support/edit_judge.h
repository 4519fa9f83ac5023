/* Editing runs of random data, called as a library and held against the dense closed form, and against what
 * was there before: nothing else may have changed. */
#ifndef SUPPORT_EDIT_JUDGE_H
#define SUPPORT_EDIT_JUDGE_H

#include "support/edit_data.h"
#include "support/edit_truth.h"

enum { EDIT_FILES_MAX = 32 };

/* How to edit what a plan made. */
typedef struct {
    int layers;          /* the first so many of the plan */
    int64_t batch, step; /* step 0: automatic */
    rls_dtype state;
    int64_t block;
    int p, q;     /* 0: automatic */
    bool float32; /* export.dtype */
    bool verify;
} edit_choice;

/* Files as they were. */
typedef struct {
    int count;
    struct {
        char path[RLS_TEST_PATH_MAX];
        size_t bytes;
        char *data;
    } file[EDIT_FILES_MAX];
} edit_kept;

/* Remembers the files of a directory, and of those below it. Not collective. Start with {0}. */
void edit_keep(edit_kept *all, const char *dir);

/* Asserts that they are as they were, and forgets them. Collective. */
void edit_check_kept(edit_kept *all);

/* Whether a file holds just these bytes. Not collective. */
bool edit_same_bytes(const char *path, const char *data, size_t bytes);

/* Edits in the directory `name` beside the data, which is dir afterwards. Collective. Returns what the
 * run does. */
rls_status edit_try(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *name,
                    char dir[RLS_TEST_PATH_MAX]);

/* Edits, and judges all that came of it: the model, the summary, the log, the inputs. Collective. */
void edit_run_and_judge(rls_context *ctx, const edit_data *data, const edit_choice *choice, const char *name);

#endif
