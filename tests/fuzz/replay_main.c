/*
 * Runs a fuzz target over files, where there is no libFuzzer: every file given, and every file of each
 * directory given. Prints how many; fails when there was none, or one could not be read.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

enum { PATH_BYTES = 4096 };

static bool replay_file(const char *path, size_t bytes)
{
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    FILE *file = data != NULL ? fopen(path, "rb") : NULL;
    bool ok = file != NULL && fread(data, 1, bytes, file) == bytes;
    if (ok)
        (void)LLVMFuzzerTestOneInput(data, bytes);
    else
        perror(path);
    if (file != NULL && fclose(file) != 0)
        ok = false;
    free(data);
    return ok;
}

/* Files run so far into *count. */
static bool replay(const char *path, long *count)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        (*count)++;
        return replay_file(path, (size_t)info.st_size);
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
            ok = len > 0 && len < (int)sizeof child && replay(child, count);
    }
    closedir(dir);
    return ok;
}

int main(int argc, char **argv)
{
    long count = 0;
    bool ok = true;
    for (int i = 1; i < argc; i++)
        ok = replay(argv[i], &count) && ok;
    printf("%ld inputs\n", count);
    return ok && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
