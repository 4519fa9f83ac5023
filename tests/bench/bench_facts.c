/*
 * How fast facts are read: a file as large as CounterFact's, made here, read on rank 0 and handed to all.
 *
 *     mpirun -n 2 bench_facts [FACTS [REPEATS]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "corpus/facts.h"
#include "rlsedit/rlsedit.h"

static const char *const words[] = {"alpha",  "river",  "Danielle", "Darrieux", "language", "mother",
                                    "tongue", "Paris",  "French",   "English",  "mountain", "professional",
                                    "jersey", "played", "born",     "church"};

/* A text of so many words, other ones each time. */
static void put_text(FILE *to, int count, uint64_t *seed)
{
    (void)fputc('"', to);
    for (int i = 0; i < count; i++) {
        *seed = *seed * 6364136223846793005U + 1442695040888963407U;
        (void)fprintf(to, "%s%s", i > 0 ? " " : "", words[*seed >> 60]);
    }
    (void)fputc('"', to);
}

static void put_list(FILE *to, const char *name, int count, int length, uint64_t *seed)
{
    (void)fprintf(to, ", \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        (void)fputs(i > 0 ? ", " : "", to);
        put_text(to, length, seed);
    }
    (void)fputc(']', to);
}

static void put_file(FILE *to, long facts)
{
    uint64_t seed = 1;
    (void)fputc('[', to);
    for (long i = 0; i < facts; i++) {
        (void)fprintf(to,
                      "%s\n{\"case_id\": %ld, \"pararel_idx\": %ld, \"requested_rewrite\": {\"prompt\": \"",
                      i > 0 ? "," : "", i, i);
        (void)fputs(
            "The mother tongue of {} is\", \"relation_id\": \"P103\", \"target_new\": {\"str\": \"English\","
            " \"id\": \"Q1860\"}, \"target_true\": {\"str\": \"French\", \"id\": \"Q150\"}, \"subject\": ",
            to);
        put_text(to, 2, &seed);
        (void)fputc('}', to);
        put_list(to, "paraphrase_prompts", 2, 18, &seed);
        put_list(to, "neighborhood_prompts", 10, 8, &seed);
        put_list(to, "attribute_prompts", 10, 8, &seed);
        put_list(to, "generation_prompts", 10, 6, &seed);
        (void)fputc('}', to);
    }
    (void)fputs("]\n", to);
}

int main(int argc, char **argv)
{
    const long count = argc > 1 ? strtol(argv[1], NULL, 10) : 21919;
    const int repeats = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
    char path[] = "/tmp/bench_facts.XXXXXX";
    rls_context *ctx = NULL;
    int rank = 0, bad = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) {
        const int fd = mkstemp(path);
        FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (to == NULL)
            MPI_Abort(MPI_COMM_WORLD, 1);
        put_file(to, count);
        printf("%ld facts, %.1f MB\n", count, (double)ftell(to) / 1e6);
        bad = fclose(to) != 0;
    }
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    bad += rls_context_create(MPI_COMM_WORLD, &ctx) != RLS_OK;
    for (int i = 0; i < repeats && bad == 0; i++) {
        rls_facts *facts = NULL;
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = MPI_Wtime();
        const rls_status status = rls_facts_read(ctx, path, RLS_FACTS_STOP, 0, &facts);
        double seconds = MPI_Wtime() - start;
        MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        bad = status != RLS_OK || rls_facts_count(facts) != count;
        if (rank == 0)
            printf("read in %.3f s; peak %.0f MB on rank 0\n", seconds, rls_memory_peak() / 1e6);
        rls_facts_free(&facts);
    }
    if (bad != 0)
        fprintf(stderr, "bench_facts: %s\n", ctx != NULL ? rls_context_message(ctx) : "no context");
    if (rank == 0)
        (void)unlink(path);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return bad != 0;
}
