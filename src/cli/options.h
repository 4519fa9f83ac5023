/*
 * Command line options: one table that both parses and explains them.
 *
 *     struct choices { const char *run; int64_t seed; bool verify; rls_option_list sets; } c = {.seed = 1};
 *     static const rls_option options[] = {
 *         {"run", 'r', RLS_OPTION_TEXT, "DIR", "run directory", offsetof(struct choices, run), .required =
 * true},
 *         {"seed", 0, RLS_OPTION_INTEGER, "N", "seed of the sampling (default 1)", offsetof(struct choices,
 * seed)},
 *         {"verify", 0, RLS_OPTION_FLAG, NULL, "check the result", offsetof(struct choices, verify)},
 *         {"set", 0, RLS_OPTION_LIST, "KEY=VALUE", "override a field", offsetof(struct choices, sets)},
 *     };
 *     static const rls_command command = {.name = "edit", .operands = "CONFIG", .least = 1, .most = 1, ...};
 *     status = rls_options_parse(ctx, &command, argc, argv, &c, &operands, &done);
 *
 * As getopt_long: --name value, --name=value, unambiguous beginnings of names, -r value, -rvalue, -abc,
 * operands anywhere, and "--" before operands that begin with a dash. --help (-h) and --verbose (-v) belong
 * to every command.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rlsedit/context.h"

/* Where each type is stored: bool, const char *, int64_t, double, rls_option_list (which may be repeated). */
typedef enum {
    RLS_OPTION_FLAG,
    RLS_OPTION_TEXT,
    RLS_OPTION_INTEGER,
    RLS_OPTION_REAL,
    RLS_OPTION_LIST
} rls_option_type;

typedef struct {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    rls_option_type type;
    const char *argument; /* what to call the argument in --help; NULL for flags */
    const char *help;
    size_t offset; /* in the struct given to rls_options_parse */
    bool required;
    const char *implied; /* of a text: what --name alone means; then only --name=value gives one. NULL: an
                            argument is needed */
} rls_option;

/* Texts of argv, in order. */
typedef struct {
    const char **item;
    size_t count;
} rls_option_list;

typedef struct {
    const char *name;     /* "edit"; NULL for rlsedit itself */
    const char *operands; /* as --help shows them */
    size_t least, most;   /* how many operands */
    bool leading;         /* the first operand ends the options: the rest is another command's */
    const char *purpose;  /* a sentence or a few */
    const char *example;  /* lines of shell */
    const rls_option *options;
    size_t count; /* of options */
} rls_command;

/* The option of every command that opens a model; `type` has a text accept_config for it, which goes to
 * rls_architecture_accept. */
#define RLS_OPTION_ACCEPT_CONFIG(type)                                                                       \
    {                                                                                                        \
        "accept-config", 0, RLS_OPTION_TEXT, "KEY[,KEY]",                                                    \
            "keys of config.json that are not known here and change nothing that the model computes",        \
            offsetof(type, accept_config), false, NULL                                                       \
    }

/* Fills values, and operands, from argv; what is not given stays as it is.
 * Collective.
 * argv[0] is skipped. values: the struct of the options' offsets. operands: may be NULL when most is 0.
 * done: whether --help was given; it has been printed on rank 0's stdout, and there is nothing left to do.
 * --verbose raises the context's log level to RLS_LOG_DEBUG.
 * Returns RLS_ERR_USAGE naming the option, RLS_ERR_MEMORY. Free operands and lists with rls_option_list_free,
 * after a failure too. */
RLS_NODISCARD rls_status rls_options_parse(rls_context *ctx, const rls_command *command, int argc,
                                           char **argv, void *values, rls_option_list *operands, bool *done);

/* Lowers the context's log level to RLS_LOG_WARNING for --quiet, unless --verbose was given too.
 * Not collective. quiet: false changes nothing. */
void rls_options_quiet(rls_context *ctx, bool quiet);

/* Frees the list, not the texts. Not collective. */
void rls_option_list_free(rls_option_list *list);

/* Writes what --help says. Not collective. */
void rls_options_help(const rls_command *command, FILE *out);

#endif
