#include "store/file_util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h> /* FICLONE */
#endif

#include "base/memory.h"

enum {
    COPY_BYTES = 1 << 20,
    FILE_MODE = 0666,
    DIR_MODE = 0777,
    DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC
};

rls_status rls_input_status(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return RLS_ERR_DATA;
    case ENOMEM:
        return RLS_ERR_MEMORY;
    default:
        return RLS_ERR_IO;
    }
}

static rls_status fail_output(rls_context *ctx, const char *path, const char *what)
{
    return rls_fail(ctx, RLS_ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

rls_status rls_file_size(rls_context *ctx, const char *path, int64_t *bytes)
{
    struct stat info;
    *bytes = 0;
    if (stat(path, &info) != 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: is not a regular file", path);
    *bytes = (int64_t)info.st_size;
    return RLS_OK;
}

/* Up to `bytes` bytes from a descriptor at its position, fewer only at the end of the file; -1 with errno on
 * an error. */
static int64_t read_up_to(int fd, char *data, int64_t bytes)
{
    int64_t done = 0;
    while (done < bytes) {
        const ssize_t got = read(fd, data + done, (size_t)(bytes - done));
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        done += got > 0 ? (int64_t)got : 0;
    }
    return done;
}

static bool write_all(int fd, const char *data, int64_t bytes)
{
    while (bytes > 0) {
        const ssize_t put = write(fd, data, (size_t)bytes);
        if (put < 0 && errno != EINTR)
            return false;
        data += put > 0 ? put : 0;
        bytes -= put > 0 ? (int64_t)put : 0;
    }
    return true;
}

rls_status rls_file_read(rls_context *ctx, const char *path, int64_t offset, int64_t bytes, void *data)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: cannot open: %s", path, strerror(errno));
    rls_status status = RLS_OK;
    const int64_t got = lseek(fd, (off_t)offset, SEEK_SET) < 0 ? -1 : read_up_to(fd, data, bytes);
    if (got < 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    else if (got < bytes)
        status = rls_fail(ctx, RLS_ERR_DATA,
                          "%s: ends at byte %" PRId64 ", expected %" PRId64 ": truncated? fetch it again",
                          path, offset + got, offset + bytes);
    close(fd);
    return status;
}

rls_status rls_file_read_whole(rls_context *ctx, const char *path, int64_t most, char **data, int64_t *bytes)
{
    void *buffer = NULL;
    *data = NULL;
    rls_status status = rls_file_size(ctx, path, bytes);
    if (status == RLS_OK && *bytes > most)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: %" PRId64 " bytes, at most %" PRId64 " make sense", path,
                          *bytes, most);
    if (status == RLS_OK)
        status = rls_alloc(ctx, *bytes + 1, 1, &buffer);
    if (status == RLS_OK)
        status = rls_file_read(ctx, path, 0, *bytes, buffer);
    if (status != RLS_OK) {
        free(buffer);
        return status;
    }
    *data = buffer;
    (*data)[*bytes] = '\0';
    return RLS_OK;
}

/* Ends the writing of a new file: on the disk, or an error told. */
static rls_status finish(rls_context *ctx, const char *path, int fd, rls_status status)
{
    if (status == RLS_OK && fsync(fd) != 0)
        status = fail_output(ctx, path, "put it on the disk");
    if (close(fd) != 0 && status == RLS_OK)
        status = fail_output(ctx, path, "close");
    return status;
}

rls_status rls_file_write_new(rls_context *ctx, const char *path, const void *data, int64_t bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return fail_output(ctx, path, "create");
    return finish(ctx, path, fd, write_all(fd, data, bytes) ? RLS_OK : fail_output(ctx, path, "write"));
}

const char *rls_write_obstacle(const char *path, char text[128])
{
    bool good = true;
    struct stat info = {0};
    char *zeros = calloc(COPY_BYTES, 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    const bool made = fd >= 0;
    text[0] = '\0';
    if (!made && errno == EEXIST)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    good = fd >= 0;
    if (good && zeros != NULL && fstat(fd, &info) == 0)
        good = lseek(fd, 0, SEEK_END) >= 0 && write_all(fd, zeros, COPY_BYTES) && fsync(fd) == 0;
    if (!good)
        (void)snprintf(text, 128, "%s", strerror(errno));
    if (fd >= 0 && (ftruncate(fd, info.st_size) != 0 || close(fd) != 0) && text[0] == '\0')
        (void)snprintf(text, 128, "%s", strerror(errno));
    if (made)
        (void)unlink(path);
    free(zeros);
    return text;
}

rls_status rls_file_copy(rls_context *ctx, const char *from, const char *to)
{
    void *buffer = NULL;
    rls_status status = rls_alloc(ctx, COPY_BYTES, 1, &buffer);
    if (status != RLS_OK)
        return status;
    int out = -1;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        status = rls_fail(ctx, rls_input_status(errno), "%s: cannot open: %s", from, strerror(errno));
    if (status == RLS_OK) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        if (out < 0)
            status = fail_output(ctx, to, "create");
    }
    while (status == RLS_OK) {
        const int64_t got = read_up_to(in, buffer, COPY_BYTES);
        if (got < 0)
            status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot read: %s", from, strerror(errno));
        else if (!write_all(out, buffer, got))
            status = fail_output(ctx, to, "write");
        if (got < COPY_BYTES)
            break;
    }
    if (out >= 0)
        status = finish(ctx, to, out, status);
    if (in >= 0)
        close(in);
    free(buffer);
    return status;
}

rls_status rls_file_link(rls_context *ctx, const char *from, const char *to, bool *linked)
{
    *linked = linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0;
    if (*linked)
        return RLS_OK;
    switch (errno) {
    case EXDEV:  /* another file system */
    case EMLINK: /* too many names already */
    case EPERM:  /* the file system has no links, or someone else's file is protected from them */
    case EACCES: /* the same, on some network file systems; copying tells if it was something else */
    case ENOSYS:
    case EOPNOTSUPP:
        return RLS_OK;
    default:
        return fail_output(ctx, to, "link");
    }
}

rls_status rls_file_clone(rls_context *ctx, const char *from, const char *to, bool *cloned)
{
    *cloned = false;
    const int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: cannot open: %s", from, strerror(errno));
    const int made = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    rls_status status = made >= 0 ? RLS_OK : fail_output(ctx, to, "create");
#ifdef FICLONE
    *cloned = made >= 0 && ioctl(made, FICLONE, source) == 0;
#endif
    if (*cloned && fsync(made) != 0)
        status = fail_output(ctx, to, "write");
    if (made >= 0)
        (void)close(made);
    if (made >= 0 && !*cloned)
        (void)unlink(to);
    (void)close(source);
    return status;
}

rls_status rls_dir_visit(rls_context *ctx, const char *path, rls_dir_visitor *visit, void *user)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return rls_fail(ctx, rls_input_status(errno), "%s: cannot list: %s", path, strerror(errno));
    rls_status status = RLS_OK;
    while (status == RLS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot list: %s", path, strerror(errno));
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(ctx, path, entry->d_name, user);
    }
    closedir(dir);
    return status;
}

static rls_status sync_entry(rls_context *ctx, const char *path, const char *name, void *user)
{
    (void)user;
    struct stat info;
    char *child = NULL;
    rls_status status = rls_asprintf(ctx, &child, "%s/%s", path, name);
    if (status == RLS_OK && lstat(child, &info) != 0)
        status = fail_output(ctx, child, "look at it");
    else if (status == RLS_OK && S_ISDIR(info.st_mode))
        status = rls_dir_sync(ctx, child, true);
    free(child);
    return status;
}

rls_status rls_dir_make(rls_context *ctx, const char *path)
{
    char *parent = NULL;
    if (mkdir(path, DIR_MODE) != 0)
        return errno == EEXIST ? RLS_OK : fail_output(ctx, path, "make this directory");
    rls_status status = rls_asprintf(ctx, &parent, "%s/..", path);
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, parent, false);
    free(parent);
    return status;
}

rls_status rls_dir_sync(rls_context *ctx, const char *path, bool below)
{
    rls_status status = below ? rls_dir_visit(ctx, path, sync_entry, NULL) : RLS_OK;
    if (status != RLS_OK)
        return status;
    const int fd = open(path, DIR_FLAGS);
    if (fd < 0)
        return fail_output(ctx, path, "open");
    if (fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a file system whose directories need none */
        status = fail_output(ctx, path, "put it on the disk");
    close(fd);
    return status;
}

static rls_status remove_entry(rls_context *ctx, const char *path, const char *name, void *user)
{
    (void)user;
    char *child = NULL;
    rls_status status = rls_asprintf(ctx, &child, "%s/%s", path, name);
    if (status == RLS_OK)
        status = rls_dir_remove(ctx, child);
    free(child);
    return status;
}

rls_status rls_dir_remove(rls_context *ctx, const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? RLS_OK : fail_output(ctx, path, "look at it");
    if (!S_ISDIR(info.st_mode))
        return unlink(path) == 0 ? RLS_OK : fail_output(ctx, path, "remove");
    enum { TRIES = 8 }; /* some file systems skip entries when others are removed during the listing */
    for (int i = 0;; i++) {
        const rls_status status = rls_dir_visit(ctx, path, remove_entry, NULL);
        if (status != RLS_OK)
            return status;
        if (rmdir(path) == 0)
            return RLS_OK;
        if (errno != ENOTEMPTY || i == TRIES)
            return fail_output(ctx, path, "remove");
    }
}
