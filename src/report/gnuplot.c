#include "report/gnuplot.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

#define GNUPLOT "gnuplot"

extern char **environ; /* POSIX has it in no header */

/* Temporary files without names: unlike pipes they take any amount while nobody reads. */
enum { IN, OUT, ERR, STREAMS };

static rls_status open_streams(rls_context *ctx, FILE *stream[STREAMS], const char *script)
{
    for (int i = 0; i < STREAMS; i++)
        if ((stream[i] = tmpfile()) == NULL)
            return rls_fail(ctx, RLS_ERR_IO, "no temporary file for gnuplot can be made: %s",
                            strerror(errno));
    if (fputs(script, stream[IN]) < 0 || fflush(stream[IN]) != 0 ||
        lseek(fileno(stream[IN]), 0, SEEK_SET) != 0)
        return rls_fail(ctx, RLS_ERR_IO, "the temporary file for gnuplot cannot be written: %s",
                        strerror(errno));
    return RLS_OK;
}

/* All that a child wrote to a stream. */
static rls_status read_stream(rls_context *ctx, FILE *stream, char **text)
{
    struct stat info;
    void *memory = NULL;
    *text = NULL;
    if (fstat(fileno(stream), &info) != 0)
        return rls_fail(ctx, RLS_ERR_IO, "what gnuplot wrote cannot be read: %s", strerror(errno));
    const rls_status status = rls_alloc_zero(ctx, (int64_t)info.st_size + 1, 1, &memory);
    *text = memory;
    if (status != RLS_OK)
        return status;
    rewind(stream);
    if (fread(*text, 1, (size_t)info.st_size, stream) != (size_t)info.st_size)
        return rls_fail(ctx, RLS_ERR_IO, "what gnuplot wrote cannot be read: %s", strerror(errno));
    return RLS_OK;
}

static rls_status not_there(rls_context *ctx, const char *why)
{
    return rls_fail(ctx, RLS_ERR_USAGE,
                    "gnuplot, which draws the report's pictures, cannot be run: %s; install gnuplot (Debian, "
                    "Ubuntu: gnuplot-nox) or put it on the PATH",
                    why);
}

/* Runs it to its end. posix_spawn, not fork: MPI's memory may be registered with a network card. */
static rls_status spawn(rls_context *ctx, char *const *argv, FILE *const stream[STREAMS], int *ended)
{
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    *ended = -1;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return rls_fail(ctx, RLS_ERR_MEMORY, "gnuplot cannot be started: %s", strerror(error));
    for (int i = 0; i < STREAMS && error == 0; i++)
        error = posix_spawn_file_actions_adddup2(&actions, fileno(stream[i]), i);
    if (error == 0)
        error = posix_spawnp(&child, GNUPLOT, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return not_there(ctx, strerror(error));
    while (waitpid(child, ended, 0) < 0 && errno == EINTR)
        ;
    return RLS_OK;
}

/* gnuplot with these arguments and this script; what it writes, and its first words of complaint. */
static rls_status run(rls_context *ctx, char *const *argv, const char *script, int *ended, char **out,
                      char **err)
{
    FILE *stream[STREAMS] = {NULL};
    *out = *err = NULL;
    *ended = -1;
    rls_status status = open_streams(ctx, stream, script);
    if (status == RLS_OK)
        status = spawn(ctx, argv, stream, ended);
    if (status == RLS_OK)
        status = read_stream(ctx, stream[OUT], out);
    if (status == RLS_OK)
        status = read_stream(ctx, stream[ERR], err);
    for (int i = 0; i < STREAMS; i++)
        if (stream[i] != NULL)
            (void)fclose(stream[i]);
    return status;
}

rls_status rls_gnuplot_check(rls_context *ctx)
{
    char name[] = GNUPLOT, version[] = "--version", *out = NULL, *err = NULL;
    char *const argv[] = {name, version, NULL};
    int ended = 0;
    rls_status status = run(ctx, argv, "", &ended, &out, &err);
    if (status == RLS_OK && strncmp(out, GNUPLOT, strlen(GNUPLOT)) != 0)
        status = not_there(ctx, "it does not say its version");
    free(out);
    free(err);
    return status;
}

rls_status rls_gnuplot_draw(rls_context *ctx, const char *script, char **svg)
{
    char name[] = GNUPLOT, defaults[] = "-d", *err = NULL; /* -d: nobody's ~/.gnuplot */
    char *const argv[] = {name, defaults, NULL};
    int ended = 0;
    rls_status status = run(ctx, argv, script, &ended, svg, &err);
    if (status == RLS_OK && (ended > 0 || strstr(*svg, "<svg") == NULL || strstr(*svg, "</svg>") == NULL))
        status = rls_fail(ctx, RLS_ERR_INTERNAL, "gnuplot did not draw a picture: %.400s", err);
    if (status != RLS_OK) {
        free(*svg);
        *svg = NULL;
    }
    free(err);
    return status;
}

/* The place after `end`, from `at`; `at` itself when it is not there. */
static const char *after(const char *at, const char *end)
{
    const char *found = strstr(at, end);
    return found != NULL ? found + strlen(end) : at;
}

static bool begins(const char *at, const char *text)
{
    return strncmp(at, text, strlen(text)) == 0;
}

/* Where to go on when something that is to go begins here; else `at`. */
static const char *skip(const char *at, bool first)
{
    if (begins(at, "<title>Gnuplot</title>"))
        return after(at, "</title>");
    if (begins(at, "<desc>"))
        return after(at, "</desc>");
    if (!first && begins(at, "<defs>"))
        return after(at, "</defs>");
    if (begins(at, " id=\"gnuplot_"))
        return after(at + strlen(" id=\""), "\"");
    return at;
}

rls_status rls_svg_element(rls_context *ctx, const char *svg, const char *label, bool first, char **element)
{
    size_t bytes = 0;
    const char *at = after(svg, "<svg");
    *element = NULL;
    FILE *out = open_memstream(element, &bytes);
    if (out == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a picture");
    (void)fprintf(out, "<svg role=\"img\" aria-label=\"%s\"", label);
    while (*at != '\0') {
        const char *next = skip(at, first);
        if (next == at)
            (void)fputc(*at++, out);
        at = next > at ? next : at;
    }
    if (fclose(out) == 0)
        return RLS_OK;
    free(*element);
    *element = NULL;
    return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a picture");
}
