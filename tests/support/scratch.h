/* A directory of its own for each test, with a context of all ranks. */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

#include <stddef.h>

#include "support/files.h"

/* A test that gets a fresh context in *state and a fresh directory, which goes with it. */
#define scratch_test(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* The directory of the running test. Not collective. */
const char *scratch_dir(void);

/* The path of something in it; returns path. Not collective. */
const char *in_scratch(const char *name, char path[RLS_TEST_PATH_MAX]);

/* Writes a file in it, there for every rank afterwards, and its path into path. Collective. */
void scratch_write(const char *name, const void *data, size_t bytes, char path[RLS_TEST_PATH_MAX]);

/* The same for a text, without the path. Collective. */
void scratch_text(const char *name, const char *text);

/* Makes a directory in it. Collective. */
void scratch_mkdir(const char *name);

#endif
