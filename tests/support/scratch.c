#include "support/scratch.h"

#include "support/state.h"

static char dir[RLS_TEST_PATH_MAX];

int scratch_setup(void **state)
{
    rls_test_tmpdir(dir);
    return context_setup(state);
}

int scratch_teardown(void **state)
{
    rls_test_rmtree(dir);
    return context_teardown(state);
}

const char *scratch_dir(void)
{
    return dir;
}

const char *in_scratch(const char *name, char path[RLS_TEST_PATH_MAX])
{
    return rls_test_path(path, dir, name);
}

void scratch_write(const char *name, const void *data, size_t bytes, char path[RLS_TEST_PATH_MAX])
{
    rls_test_write(in_scratch(name, path), data, bytes);
}

void scratch_text(const char *name, const char *text)
{
    rls_test_write_text(dir, name, text);
}

void scratch_mkdir(const char *name)
{
    char path[RLS_TEST_PATH_MAX];
    rls_test_mkdir(in_scratch(name, path));
}
