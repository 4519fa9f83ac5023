#define _XOPEN_SOURCE 700 /* nftw */

#include "support/files.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mpi.h>

/* What a test cannot go on without is missing: says so and ends all ranks. */
static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "test support: %s: ", what);
    perror(path);
    MPI_Abort(MPI_COMM_WORLD, 99);
}

static int world_rank(void)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

const char *rls_test_path(char path[RLS_TEST_PATH_MAX], const char *dir, const char *name)
{
    const int length = snprintf(path, RLS_TEST_PATH_MAX, "%s/%s", dir, name);
    if (length < 0 || length >= RLS_TEST_PATH_MAX) {
        die("path too long", name);
    }
    return path;
}

void rls_test_tmpdir(char path[RLS_TEST_PATH_MAX])
{
    if (world_rank() == 0) {
        const char *tmp = getenv("TMPDIR");
        (void)rls_test_path(path, tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp", "rlsedit-test-XXXXXX");
        if (mkdtemp(path) == NULL) {
            die("mkdtemp", path);
        }
    }
    MPI_Bcast(path, RLS_TEST_PATH_MAX, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void rls_test_rmtree(const char *path)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        die("cannot remove", path);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

bool rls_test_exists(const char *path)
{
    int there = 0;
    if (world_rank() == 0) {
        struct stat st;
        there = lstat(path, &st) == 0;
    }
    MPI_Bcast(&there, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return there != 0;
}

void rls_test_data(char path[RLS_TEST_PATH_MAX], const char *name)
{
    (void)rls_test_path(path, RLS_TEST_DATA, name);
}

bool rls_test_extra(char path[RLS_TEST_PATH_MAX], const char *name)
{
    const char *dir = getenv("RLSEDIT_EXTRA");
    (void)rls_test_path(path, dir != NULL ? dir : RLS_TEST_SOURCE "/../shared", name);
    return rls_test_exists(path);
}

void rls_test_write(const char *path, const void *data, size_t bytes)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0) {
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
            die("cannot write", path);
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

void rls_test_write_text(const char *dir, const char *name, const char *text)
{
    char path[RLS_TEST_PATH_MAX];
    rls_test_write(rls_test_path(path, dir, name), text, strlen(text));
}

void rls_test_mkdir(const char *path)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0 && mkdir(path, 0777) != 0) {
        die("cannot make", path);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

char *rls_test_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        die("cannot open", path);
        return NULL;
    }
    const size_t size = (size_t)st.st_size;
    char *data = malloc(size + 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        die("cannot read", path);
        free(data);
        (void)fclose(file);
        return NULL;
    }
    (void)fclose(file);
    data[size] = '\0';
    if (bytes != NULL) {
        *bytes = size;
    }
    return data;
}
