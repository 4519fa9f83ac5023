/* Directories and files of tests. Collective over MPI_COMM_WORLD, but rls_test_path,
 * rls_test_data and rls_test_read.
 * Trouble ends the program. */
#ifndef SUPPORT_FILES_H
#define SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>

enum { RLS_TEST_PATH_MAX = 1024 };

/* dir/name into path, which it returns. */
const char *rls_test_path(char path[RLS_TEST_PATH_MAX], const char *dir, const char *name);

/* Makes a fresh directory under $TMPDIR or /tmp; the same path on every rank. */
void rls_test_tmpdir(char path[RLS_TEST_PATH_MAX]);

/* Removes a directory of rls_test_tmpdir and all in it, once every rank is here. */
void rls_test_rmtree(const char *path);

/* The path of a file in tests/data. */
void rls_test_data(char path[RLS_TEST_PATH_MAX], const char *name);

/* The path of a file in a directory of extra material (environment RLSEDIT_EXTRA, or `shared` beside the
 * source tree); false when it is not there, which no test may need. */
bool rls_test_extra(char path[RLS_TEST_PATH_MAX], const char *name);

/* Writes bytes to a file (rank 0), overwriting; it is there for every rank afterwards. */
void rls_test_write(const char *path, const void *data, size_t bytes);

/* The same for dir/name and a text. */
void rls_test_write_text(const char *dir, const char *name, const char *text);

/* Makes a directory (rank 0); it is there for every rank afterwards. */
void rls_test_mkdir(const char *path);

/* Reads a whole file; the caller frees the bytes, which end with an extra '\0'. bytes may be NULL. */
char *rls_test_read(const char *path, size_t *bytes);

/* Does the path exist? Rank 0 looks. */
bool rls_test_exists(const char *path);

#endif
