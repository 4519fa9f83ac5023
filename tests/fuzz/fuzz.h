/* What every fuzz target has: its entry point, and the check of what must hold for any bytes. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target, run on any bytes; called by libFuzzer or by replay_main.c. Parsing is local: a target needs no
 * MPI, only a context for its message. Returns 0. Not collective. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Called once before, by libFuzzer and by replay_main.c, in targets that define it. Returns 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Aborts, which is how a fuzzer is told, when cond does not hold; says where. */
#define must(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                         \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
