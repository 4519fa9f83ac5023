#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/suggest.h"

/* What every command has. */
struct common {
    bool help, verbose;
};
static const rls_option common_options[] = {
    {"verbose", 'v', RLS_OPTION_FLAG, NULL, "say more, and where an error was noticed",
     offsetof(struct common, verbose), false, NULL},
    {"help", 'h', RLS_OPTION_FLAG, NULL, "print this and exit", offsetof(struct common, help), false, NULL},
};
enum { COMMON = sizeof common_options / sizeof common_options[0] };

typedef struct {
    rls_context *ctx;
    const rls_command *command;
    char **argv;
    int argc, at; /* the word being read */
    char *values;
    struct common common;
    rls_option_list *operands;
    bool *given; /* for each of the command's options */
} parser;

/* The command's options, then the common ones. */
static const rls_option *option_at(const rls_command *command, size_t i)
{
    if (i < command->count)
        return &command->options[i];
    return i - command->count < COMMON ? &common_options[i - command->count] : NULL;
}

/* Fails with the command's name before the message and where to read more after it. */
RLS_PRINTF(2, 3) static rls_status fail(const parser *p, const char *fmt, ...)
{
    const char *name = p->command->name ? p->command->name : "";
    const char *colon = *name ? ": " : "", *space = *name ? " " : "";
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return rls_fail(p->ctx, RLS_ERR_USAGE, "%s%s%s (see rlsedit %s%s--help)", name, colon, text, name, space);
}

static rls_status append(rls_context *ctx, rls_option_list *list, const char *text, size_t most)
{
    if (!list->item) { /* once, for as many as argv can hold */
        void *item;
        rls_status status = rls_alloc(ctx, (int64_t)most, sizeof *list->item, &item);
        if (status)
            return status;
        list->item = item;
    }
    list->item[list->count++] = text;
    return RLS_OK;
}

static rls_status store_integer(const parser *p, const rls_option *option, const char *text, int64_t *to)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return fail(p, "--%s: expected an integer, found \"%.200s\"", option->name, text);
    *to = value;
    return RLS_OK;
}

static rls_status store_real(const parser *p, const rls_option *option, const char *text, double *to)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return fail(p, "--%s: expected a number, found \"%.200s\"", option->name, text);
    *to = value;
    return RLS_OK;
}

static rls_status store(parser *p, size_t index, const char *text)
{
    const rls_option *option = option_at(p->command, index);
    bool common = index >= p->command->count;
    void *to = (common ? (char *)&p->common : p->values) + option->offset;
    if (!common) {
        if (p->given[index] && option->type != RLS_OPTION_LIST && option->type != RLS_OPTION_FLAG)
            return fail(p, "--%s is given twice", option->name);
        p->given[index] = true;
    }
    switch (option->type) {
    case RLS_OPTION_FLAG:
        *(bool *)to = true;
        break;
    case RLS_OPTION_TEXT:
        *(const char **)to = text;
        break;
    case RLS_OPTION_INTEGER:
        return store_integer(p, option, text, to);
    case RLS_OPTION_REAL:
        return store_real(p, option, text, to);
    case RLS_OPTION_LIST:
        return append(p->ctx, to, text, (size_t)p->argc);
    }
    return RLS_OK;
}

static rls_status unknown_option(const parser *p, const char *word, const char *name, size_t length)
{
    char advice[96] = "", plain[64] = "";
    size_t best = SIZE_MAX;
    memcpy(plain, name, length < sizeof plain - 1 ? length : sizeof plain - 1);
    const rls_option *option;
    for (size_t i = 0; (option = option_at(p->command, i)); i++)
        if (rls_closer(plain, option->name, &best))
            snprintf(advice, sizeof advice, "; did you mean --%s?", option->name);
    return fail(p, "unknown option %.200s%s", word, advice);
}

/* Reads --name, --name=value or --name value; name may be cut short where only one option begins so. */
static rls_status read_long(parser *p)
{
    const char *word = p->argv[p->at], *name = word + 2;
    size_t length = strcspn(name, "="), index = 0, hits = 0;
    const char *value = name[length] ? name + length + 1 : NULL;
    const rls_option *option;
    for (size_t i = 0; (option = option_at(p->command, i)); i++) {
        if (strncmp(option->name, name, length) != 0)
            continue;
        index = i;
        hits++;
        if (strlen(option->name) == length) { /* whole: other options may begin with it */
            hits = 1;
            break;
        }
    }
    if (hits != 1 || length == 0)
        return hits > 1 && length > 0 ? fail(p, "more than one option begins with %.200s", word)
                                      : unknown_option(p, word, name, length);
    bool flag = option_at(p->command, index)->type == RLS_OPTION_FLAG;
    if (flag && value)
        return fail(p, "--%s takes no argument", option_at(p->command, index)->name);
    if (!flag && !value)
        value = option_at(p->command, index)->implied;
    if (!flag && !value) {
        if (p->at + 1 >= p->argc)
            return fail(p, "%s needs an argument", word);
        value = p->argv[++p->at];
    }
    return store(p, index, value);
}

/* Reads -a, -abc, -r value or -rvalue. */
static rls_status read_short(parser *p)
{
    const char *word = p->argv[p->at];
    for (const char *letter = word + 1; *letter; letter++) {
        const rls_option *option;
        size_t index = 0;
        while ((option = option_at(p->command, index)) && option->letter != *letter)
            index++;
        if (!option)
            return unknown_option(p, word, word + 1, strlen(word + 1));
        if (option->type == RLS_OPTION_FLAG) {
            rls_status status = store(p, index, NULL);
            if (status)
                return status;
            continue;
        }
        if (letter[1])
            return store(p, index, letter + 1);
        if (p->at + 1 >= p->argc)
            return fail(p, "%s needs an argument", word);
        return store(p, index, p->argv[++p->at]);
    }
    return RLS_OK;
}

static rls_status read_words(parser *p)
{
    rls_status status = RLS_OK;
    bool options = true;
    for (p->at = 1; p->at < p->argc && !status; p->at++) {
        const char *word = p->argv[p->at];
        if (options && !strcmp(word, "--")) {
            options = false;
        } else if (options && !strncmp(word, "--", 2)) {
            status = read_long(p);
        } else if (options && word[0] == '-' && word[1]) {
            status = read_short(p);
        } else if (!p->operands || p->operands->count == p->command->most) {
            status = fail(p, "one argument too many: %.200s", word);
        } else {
            status = append(p->ctx, p->operands, word, (size_t)p->argc);
            options = options && !p->command->leading;
        }
    }
    return status;
}

/* What must be there. */
static rls_status check_given(const parser *p)
{
    const rls_command *command = p->command;
    if ((p->operands ? p->operands->count : 0) < command->least)
        return fail(p, "missing argument: expected %s", command->operands);
    for (size_t i = 0; i < command->count; i++)
        if (command->options[i].required && !p->given[i])
            return fail(p, "--%s %s is missing", command->options[i].name,
                        command->options[i].argument ? command->options[i].argument : "");
    return RLS_OK;
}

rls_status rls_options_parse(rls_context *ctx, const rls_command *command, int argc, char **argv,
                             void *values, rls_option_list *operands, bool *done)
{
    parser p = {.ctx = ctx, .command = command, .argv = argv, .argc = argc, .values = values};
    void *given;
    p.operands = operands;
    if (operands)
        *operands = (rls_option_list){0};
    *done = false;
    rls_status status = rls_alloc_zero(ctx, (int64_t)command->count, sizeof *p.given, &given);
    if (!status) {
        p.given = given;
        status = read_words(&p);
        if (!status && !p.common.help)
            status = check_given(&p);
        free(given);
    }
    if (p.common.verbose)
        ctx->most = RLS_LOG_DEBUG;
    status = rls_agree(ctx, status);
    if (!status && p.common.help) {
        *done = true;
        if (rls_context_rank(ctx) == 0)
            rls_options_help(command, stdout);
    }
    return status;
}

void rls_options_quiet(rls_context *ctx, bool quiet)
{
    if (quiet && ctx->most == RLS_LOG_INFO)
        ctx->most = RLS_LOG_WARNING;
}

void rls_option_list_free(rls_option_list *list)
{
    free((void *)list->item);
    *list = (rls_option_list){0};
}

void rls_options_help(const rls_command *command, FILE *out)
{
    const rls_option *option;
    fprintf(out, "usage: rlsedit%s%s [option...]%s%s\n\n%s\n\noptions:\n", command->name ? " " : "",
            command->name ? command->name : "", command->operands ? " " : "",
            command->operands ? command->operands : "", command->purpose);
    for (size_t i = 0; (option = option_at(command, i)); i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s%s", option->name,
                 option->implied    ? "[="
                 : option->argument ? " "
                                    : "",
                 option->argument ? option->argument : "", option->implied ? "]" : "");
        fprintf(out, "  %c%c%s %-24s %s%s\n", option->letter ? '-' : ' ',
                option->letter ? option->letter : ' ', option->letter ? "," : " ", left, option->help,
                option->required ? " (required)" : "");
    }
    if (command->example)
        fprintf(out, "\nexample:\n%s\n", command->example);
}
