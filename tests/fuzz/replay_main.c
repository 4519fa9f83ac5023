/*
 * Runs a fuzz target over files, where there is no libFuzzer: every file given, and every file of each
 * directory given. Prints how many; fails when there was none, or one could not be read.
 *
 * --mutate N first: N mutations of each file, too, in targets of JSON (fuzz/json_mutator.h).
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

enum { PATH_BYTES = 4096, GROWTH = 4096, GENERATIONS = 8 };

/* Targets may define these. */
#pragma weak LLVMFuzzerInitialize
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
#pragma weak LLVMFuzzerCustomMutator

/* Mutations of mutations: a few generations, then the file anew. */
static bool mutate(const uint8_t *data, size_t bytes, unsigned long mutations)
{
    uint8_t *changed = malloc(bytes + GROWTH);
    size_t size = 0;
    for (unsigned long i = 0; i < mutations && changed != NULL; i++) {
        if (i % GENERATIONS == 0) {
            memcpy(changed, data, bytes);
            size = bytes;
        }
        size = LLVMFuzzerCustomMutator(changed, size, bytes + GROWTH, (unsigned)i);
        (void)LLVMFuzzerTestOneInput(changed, size);
    }
    free(changed);
    return changed != NULL;
}

static bool replay_file(const char *path, size_t bytes, unsigned long mutations)
{
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    FILE *file = data != NULL ? fopen(path, "rb") : NULL;
    bool ok = file != NULL && fread(data, 1, bytes, file) == bytes;
    if (ok)
        (void)LLVMFuzzerTestOneInput(data, bytes);
    if (ok && mutations > 0)
        ok = mutate(data, bytes, mutations);
    else if (!ok)
        perror(path);
    if (file != NULL && fclose(file) != 0)
        ok = false;
    free(data);
    return ok;
}

/* Files run so far into *count. */
static bool replay(const char *path, unsigned long mutations, long *count)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        (*count)++;
        return replay_file(path, (size_t)info.st_size, mutations);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return false;
    }
    bool ok = true;
    const struct dirent *entry = NULL;
    while (ok && (entry = readdir(dir)) != NULL) {
        char child[PATH_BYTES];
        const int len = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            ok = len > 0 && len < (int)sizeof child && replay(child, mutations, count);
    }
    closedir(dir);
    return ok;
}

int main(int argc, char **argv)
{
    long count = 0;
    bool ok = true;
    int first = 1;
    unsigned long mutations = 0;
    if (LLVMFuzzerInitialize != NULL)
        (void)LLVMFuzzerInitialize(&argc, &argv);
    if (argc > 2 && strcmp(argv[1], "--mutate") == 0) {
        mutations = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    if (mutations > 0 && LLVMFuzzerCustomMutator == NULL) {
        (void)fprintf(stderr, "--mutate: this target has no mutator\n");
        return EXIT_FAILURE;
    }
    for (int i = first; i < argc; i++)
        ok = replay(argv[i], mutations, &count) && ok;
    printf("%ld inputs, %lu mutations of each\n", count, mutations);
    return ok && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
