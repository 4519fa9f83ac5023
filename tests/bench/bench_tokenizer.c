/*
 * How fast tokenizers are, on one core:
 *
 *     bench_tokenizer MODEL_DIR TEXT...
 *
 * Prints MB/s of encoding each text file whole and of decoding what came out, the best of three.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/file_util.h"
#include "tokenizer/tokenizer.h"

enum { REPEATS = 3 };

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static rls_status measure(rls_context *ctx, const rls_tokenizer *tokenizer, const char *path)
{
    char *text = NULL;
    int64_t bytes = 0, count = 0;
    double encoding = 1e30, decoding = 1e30;
    rls_status status = rls_file_read_whole(ctx, path, INT64_C(1) << 32, &text, &bytes);
    for (int i = 0; i < REPEATS && status == RLS_OK; i++) {
        rls_ids ids = {0};
        char *back = NULL;
        const double start = seconds();
        status = rls_tokenizer_encode(ctx, tokenizer, text, bytes, false, &ids);
        const double middle = seconds();
        if (status == RLS_OK)
            status = rls_tokenizer_decode(ctx, tokenizer, ids.id, ids.count, false, &back, NULL);
        const double end = seconds();
        encoding = middle - start < encoding ? middle - start : encoding;
        decoding = end - middle < decoding ? end - middle : decoding;
        count = ids.count;
        free(back);
        rls_ids_free(&ids);
    }
    if (status == RLS_OK)
        printf("%s: %.2f MB, %lld tokens, encoding %.2f MB/s, decoding %.2f MB/s\n", path,
               (double)bytes / 1e6, (long long)count, (double)bytes / 1e6 / encoding,
               (double)bytes / 1e6 / decoding);
    free(text);
    return status;
}

int main(int argc, char **argv)
{
    rls_context *ctx = NULL;
    rls_tokenizer *tokenizer = NULL;
    MPI_Init(&argc, &argv);
    rls_status status = rls_context_create(MPI_COMM_WORLD, &ctx);
    const double start = seconds();
    if (status == RLS_OK && argc > 2)
        status = rls_tokenizer_open(ctx, argv[1], &tokenizer);
    if (status == RLS_OK && argc > 2)
        printf("opened in %.3f s\n", seconds() - start);
    for (int i = 2; i < argc && status == RLS_OK; i++)
        status = measure(ctx, tokenizer, argv[i]);
    if (status != RLS_OK)
        (void)fprintf(stderr, "%s\n", rls_context_message(ctx));
    rls_tokenizer_close(&tokenizer);
    rls_context_destroy(&ctx);
    MPI_Finalize();
    return argc > 2 && status == RLS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
