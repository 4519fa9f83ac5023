/* What benchmarks are told on the command line: a table of options, read and explained in one place. */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

#include "base/dtype.h"
#include "bench/median.h"

enum { MOST_OPTIONS = 24, MOST_NUMBERS = 16, FIRST_OPTION = 256 };

typedef struct {
    int64_t value[MOST_NUMBERS];
    int count;
} number_list;

typedef struct {
    bool f64, f32;
} dtype_pair;

typedef struct {
    int p, q; /* 0: automatic */
} grid_size;

/* What `to` points to: */
typedef enum {
    OPTION_NUMBER,  /* int64_t, from `least` on */
    OPTION_REPEATS, /* int, from `least` to MOST_REPEATS */
    OPTION_NUMBERS, /* number_list, "1,16", each from `least` on */
    OPTION_TEXT,    /* const char * */
    OPTION_FLAG,    /* bool; no argument */
    OPTION_DTYPE,   /* rls_dtype by its name, of `least` bytes or more */
    OPTION_DTYPES,  /* dtype_pair: float64, float32 or both */
    OPTION_GRID     /* grid_size: PxQ */
} option_kind;

typedef struct {
    const char *name, *argument, *about;
    option_kind kind;
    void *to;
    int64_t least;
} bench_option;

#define OPTION_COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

static inline void options_explain(FILE *out, const char *program, const bench_option *table, int count)
{
    enum { COLUMN = 20 };
    (void)fprintf(out, "Usage: mpirun -n RANKS %s [options]\n\n", program);
    for (int i = 0; i < count; i++) {
        const char *argument = table[i].argument != NULL ? table[i].argument : "";
        const int width = (int)(strlen(table[i].name) + strlen(argument)) + 3;
        (void)fprintf(out, "  --%s %s%*s%s\n", table[i].name, argument, width < COLUMN ? COLUMN - width : 1,
                      "", table[i].about);
    }
}

/* A number from `least` on, and what follows it. */
static inline bool options_number(const char *text, int64_t least, int64_t *value, char **end)
{
    *value = strtoll(text, end, 10);
    return *end != text && *value >= least;
}

static inline bool options_numbers(const char *text, int64_t least, number_list *list)
{
    list->count = 0;
    for (char *end = NULL; list->count < MOST_NUMBERS; text = end + 1) {
        if (!options_number(text, least, &list->value[list->count++], &end))
            return false;
        if (*end != ',')
            return *end == '\0';
    }
    return false;
}

static inline bool options_dtype(const char *text, int64_t least, rls_dtype *dtype)
{
    static const rls_dtype all[] = {RLS_F64, RLS_F32, RLS_F16, RLS_BF16};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(text, rls_dtype_name(all[i])) == 0 && (int64_t)rls_dtype_size(all[i]) >= least) {
            *dtype = all[i];
            return true;
        }
    return false;
}

static inline bool options_grid(const char *text, grid_size *grid)
{
    int64_t p = 0, q = 0;
    char *end = NULL;
    if (!options_number(text, 1, &p, &end) || *end != 'x' || !options_number(end + 1, 1, &q, &end) ||
        *end != '\0' || p > INT32_MAX || q > INT32_MAX)
        return false;
    *grid = (grid_size){(int)p, (int)q};
    return true;
}

static inline bool options_dtypes(const char *text, dtype_pair *pair)
{
    *pair = (dtype_pair){.f64 = strcmp(text, "float32") != 0, .f32 = strcmp(text, "float64") != 0};
    return !pair->f64 || !pair->f32 || strcmp(text, "both") == 0;
}

static inline bool options_set(const bench_option *option, const char *text)
{
    int64_t number = 0;
    char *end = NULL;
    switch (option->kind) {
    case OPTION_NUMBER:
        return options_number(text, option->least, option->to, &end) && *end == '\0';
    case OPTION_REPEATS:
        if (!options_number(text, option->least, &number, &end) || *end != '\0' || number > MOST_REPEATS)
            return false;
        *(int *)option->to = (int)number;
        return true;
    case OPTION_NUMBERS:
        return options_numbers(text, option->least, option->to);
    case OPTION_TEXT:
        *(const char **)option->to = text;
        return true;
    case OPTION_FLAG:
        *(bool *)option->to = true;
        return true;
    case OPTION_DTYPE:
        return options_dtype(text, option->least, option->to);
    case OPTION_DTYPES:
        return options_dtypes(text, option->to);
    case OPTION_GRID:
        return options_grid(text, option->to);
    }
    return false;
}

/* Reads the command line. Returns -1 to go on, or what to exit with: rank 0 has said why. After MPI_Init; not
 * collective. */
static inline int options_read(int argc, char **argv, const char *program, const bench_option *table,
                               int count)
{
    struct option names[MOST_OPTIONS + 2] = {{"help", 0, NULL, 'h'}};
    int rank = 0, c = 0;
    bool good = true;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int i = 0; i < count; i++)
        names[i + 1] = (struct option){table[i].name, table[i].kind != OPTION_FLAG, NULL, FIRST_OPTION + i};
    opterr = rank == 0; /* getopt's messages */
    while (good && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'h') {
            if (rank == 0)
                options_explain(stdout, program, table, count);
            return 0;
        }
        good = c >= FIRST_OPTION && options_set(&table[c - FIRST_OPTION], optarg);
        if (!good && c >= FIRST_OPTION && rank == 0)
            (void)fprintf(stderr, "%s: --%s cannot be %s\n", program, table[c - FIRST_OPTION].name, optarg);
    }
    if (good && optind == argc)
        return -1;
    if (rank == 0)
        options_explain(stderr, program, table, count);
    return 2;
}

#endif
