/* Second moments over a corpus: against a dense sum of every text by itself, on any number of ranks, with and
 * without tensor ranks, stopped and gone on with. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "corpus/corpus.h"
#include "linalg/kernels.h"
#include "linalg/matrix.h"
#include "llm/pass.h"
#include "moments/moments.h"
#include "moments/texts.h"
#include "store/moments.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

enum { LINES = 40, INNER = 1024, LAYERS = 2 };
static const int LAYER[LAYERS] = {1, 0}; /* in any order */

static char text[RLS_TEST_PATH_MAX], out[RLS_TEST_PATH_MAX], model[RLS_TEST_PATH_MAX];

static double *doubles(int64_t count)
{
    double *data = calloc((size_t)count, sizeof *data);
    if (data == NULL)
        abort();
    return data;
}

/* A line of a few words; its length varies a lot. */
static const char *line_of(int i, char line[512])
{
    static const char *const WORDS[] = {"The", "capital", "of", "a",   "river",
                                        "was", "born",    "in", "and", "1984"};
    rls_random random = rls_random_seed((uint64_t)i + 1);
    const int64_t words = i % 7 == 0 ? 30 : 1 + rls_random_below(&random, 8);
    line[0] = '\0';
    for (int64_t w = 0; w < words; w++) {
        (void)strcat(line, w > 0 ? " " : "");
        (void)strcat(line, WORDS[rls_random_below(&random, 10)]);
    }
    return line;
}

static int setup(void **state)
{
    char all[LINES * 512] = "", line[512];
    const int failed = scratch_setup(state);
    rls_test_data(model, "atlas");
    (void)in_scratch("moments.nc", out);
    for (int i = 0; i < LINES; i++) {
        (void)strcat(all, line_of(i, line));
        (void)strcat(all, "\n");
    }
    scratch_write("corpus.txt", all, strlen(all), text);
    return failed;
}

#define corpus_test(function) cmocka_unit_test_setup_teardown(function, setup, scratch_teardown)

/* What is expected: sum k k^T [INNER, INNER] of every layer, and the keys. */
typedef struct {
    double *sum[LAYERS];
    int64_t keys;
} expectation;

/* One text through the model by itself, its keys added one by one. Rank 0. */
static void add_text(rls_context *self, rls_llm *llm, const char *line, int64_t most, expectation *e)
{
    rls_ids ids = {0};
    rls_pass *pass = NULL;
    assert_int_equal(rls_tokenizer_encode(self, llm->tokenizer, line, (int64_t)strlen(line), true, &ids),
                     RLS_OK);
    const int64_t tokens = ids.count < most ? ids.count : most;
    float *keys = malloc((size_t)(LAYERS * tokens * INNER) * sizeof *keys);
    assert_non_null(keys);
    const rls_sequences one = {1, &tokens, ids.id};
    rls_tap taps[LAYERS];
    for (int l = 0; l < LAYERS; l++)
        taps[l] = (rls_tap){LAYER[l], RLS_TAP_KEY, tokens, NULL, keys + l * tokens * INNER};
    assert_int_equal(rls_pass_create(llm, &one, &pass), RLS_OK);
    assert_int_equal(rls_pass_run(pass, 2, taps, LAYERS, false), RLS_OK);
    for (int l = 0; l < LAYERS; l++)
        for (int64_t t = 0; t < tokens; t++) {
            const float *k = keys + (l * tokens + t) * INNER;
            for (int64_t j = 0; j < INNER; j++)
                for (int64_t i = 0; i < INNER; i++)
                    e->sum[l][i + j * INNER] += (double)k[i] * (double)k[j];
        }
    e->keys += tokens;
    rls_pass_destroy(&pass);
    rls_ids_free(&ids);
    free(keys);
}

/* The first `lines` lines, cut to `most` tokens each; rank 0 computes. Collective. */
static expectation expect(int lines, int64_t most)
{
    expectation e = {{doubles((int64_t)INNER * INNER), doubles((int64_t)INNER * INNER)}, 0};
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) {
        rls_context *self = NULL;
        rls_llm *llm = NULL;
        char line[512];
        assert_int_equal(rls_context_create(MPI_COMM_SELF, &self), RLS_OK);
        assert_int_equal(rls_llm_open(self, model, NULL, &llm), RLS_OK);
        for (int i = 0; i < lines; i++)
            add_text(self, llm, line_of(i, line), most, &e);
        rls_llm_close(&llm);
        rls_context_destroy(&self);
    }
    MPI_Bcast(&e.keys, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    for (int l = 0; l < LAYERS; l++)
        MPI_Bcast(e.sum[l], INNER * INNER, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    return e;
}

static void expectation_free(expectation *e)
{
    free(e->sum[0]);
    free(e->sum[1]);
}

/* ||file - dense||_F / ||dense||_F of a layer, with dense = sum / keys. Collective. */
static double error_of(rls_context *ctx, const char *path, int layer, const double *sum, int64_t keys)
{
    rls_grid *grid = NULL;
    rls_matrix *m = NULL;
    rls_moments *file = NULL;
    double sums[2] = {0.0, 0.0};
    assert_all_ok(ctx, rls_moments_open(ctx, path, &file));
    const rls_moments_info *info = rls_moments_inquire(file);
    assert_all_string_equal(info->module, "model.layers.{}.mlp.down_proj");
    assert_all_int_equal(info->layer_count, LAYERS);
    assert_all_int_equal(info->layers[layer].count, keys);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, INNER, INNER, 64, &m));
    assert_all_ok(ctx, rls_moments_load(file, layer, m));
    for (int64_t jl = 0; jl < m->cols_local; jl++)
        for (int64_t il = 0; il < m->rows_local; il++) {
            const double expected =
                sum[rls_matrix_global_row(m, il) + rls_matrix_global_col(m, jl) * INNER] / (double)keys;
            const double d = rls_get(RLS_F64, m->part.data, il + jl * m->part.ld) - expected;
            sums[0] += d * d;
            sums[1] += expected * expected;
        }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    rls_matrix_destroy(&m);
    rls_grid_destroy(&grid);
    rls_moments_close(&file);
    return sqrt(sums[0] / sums[1]);
}

static rls_moments_request request(void)
{
    return (rls_moments_request){.model = model,
                                 .text = text,
                                 .out = out,
                                 .layers = LAYER,
                                 .layer_count = LAYERS,
                                 .tolerance = -1.0,
                                 .dtype = RLS_F64,
                                 .save_minutes = 15.0};
}

/* Keys are float32 and come from products of other shapes in other packs: some roundings of 6e-8 each. */
static const double BOUND = 3e-6;

static void assert_file(rls_context *ctx, const expectation *e, double bound)
{
    for (int l = 0; l < LAYERS; l++)
        assert_all_le(error_of(ctx, out, LAYER[l], e->sum[l], e->keys), bound);
}

static void test_equals_texts_one_by_one(void **state)
{
    rls_context *ctx = *state;
    rls_moments_result result;
    expectation e = expect(LINES, INT64_MAX);
    rls_moments_request r = request();
    r.seed = 5; /* no order changes the sum of all */
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_all_int_equal(result.texts, LINES);
    assert_all_int_equal(result.keys, e.keys);
    assert_all_int_equal(result.n, INNER);
    assert_file(ctx, &e, BOUND);

    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE); /* it is there */
    assert_all_message(ctx, "--overwrite");
    r.overwrite = true;
    r.tensor_ranks = ctx->size; /* one group; and every round is narrow */
    r.token_budget = 100;
    r.max_length = 100;
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_file(ctx, &e, BOUND);
    r.dtype = RLS_F32;
    r.tensor_ranks = 1; /* as many groups as ranks, most of them idle in the last round */
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_file(ctx, &e, BOUND);
    expectation_free(&e);
}

static void test_samples_and_length(void **state)
{
    rls_context *ctx = *state;
    rls_moments_result result;
    expectation e = expect(11, 5);
    rls_moments_request r = request();
    r.samples = 11;
    r.max_length = 5;
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_all_int_equal(result.texts, 11);
    assert_all_int_equal(result.keys, e.keys);
    assert_file(ctx, &e, BOUND);
    expectation_free(&e);
}

/* The same command after a failure goes on where the last save was, to the same file. */
static void test_goes_on_after_a_fault(void **state)
{
    static const char *const FAULTS[] = {"moments.saved:error:0:2", "moments.commit:error:0:3",
                                         "moments.save:error:0:3", "moments.rename:error:0:1"};
    rls_context *ctx = *state;
    rls_moments_result result;
    char manifest[RLS_TEST_PATH_MAX + 64];
    expectation e = expect(LINES, 64);
    rls_moments_request r = request();
    r.save_minutes = 0.0; /* after every round */
    r.token_budget = r.max_length = 64;
    r.tensor_ranks = ctx->size;
    r.tolerance = 0.0;
    (void)snprintf(manifest, sizeof manifest, "%s.partial.json", out);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        (void)setenv("RLSEDIT_FAULT", FAULTS[i], 1);
        assert_all_ok(ctx, rls_fault_setup(ctx));
        assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_IO);
        assert_all_message(ctx, "injected fault");
        (void)unsetenv("RLSEDIT_FAULT");
        assert_all_ok(ctx, rls_fault_setup(ctx));
        assert_all(rls_test_exists(manifest));
        assert_all(!rls_test_exists(out));
    }
    r.max_length = 63; /* another run's leftovers */
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "max-length");
    r.max_length = 64;
    r.samples = 2;
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "--samples");
    r.samples = 0;
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_all_int_equal(result.texts, LINES);
    assert_all(!rls_test_exists(manifest));
    assert_file(ctx, &e, BOUND);
    expectation_free(&e);
}

static void test_stops_when_asked(void **state)
{
    rls_context *ctx = *state;
    rls_moments_result result;
    const volatile sig_atomic_t asked = 15;
    rls_moments_request r = request();
    r.stop_signal = &asked;
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_STOPPED);
    assert_all_message(ctx, "texts");
    assert_all(!rls_test_exists(out));
    r.stop_signal = NULL;
    r.tolerance = 0.9; /* any change is small enough: the second look, at 64, would be the first to tell */
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_all_int_equal(result.texts, LINES);
    assert_all(result.change < 0.0);
}

static void test_order_is_a_permutation(void **state)
{
    static const int64_t COUNTS[] = {1, 2, 3, 16, 17, 100, 1000};
    (void)state;
    for (size_t c = 0; c < sizeof COUNTS / sizeof COUNTS[0]; c++) {
        int64_t fixed = 0;
        char seen[1000] = {0};
        for (int64_t i = 0; i < COUNTS[c]; i++) {
            const int64_t at = rls_texts_order(7, COUNTS[c], i);
            assert_all(at >= 0 && at < COUNTS[c] && seen[at] == 0);
            seen[at] = 1;
            fixed += at == i;
        }
        assert_all(COUNTS[c] < 100 || fixed < 10); /* one is expected */
    }
}

static void test_bad_requests(void **state)
{
    rls_context *ctx = *state;
    rls_moments_result result;
    rls_moments_request r = request();
    const int beyond[] = {6}, twice[] = {1, 1};
    r.layers = beyond;
    r.layer_count = 1;
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "layers 0 to 5");
    r.layers = twice;
    r.layer_count = 2;
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "given twice");
    r = request();
    r.module = "model.layers.{}.mlp.up_prj";
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "no such tensor");
    r = request();
    r.max_length = 257;
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    assert_all_message(ctx, "256");
    r = request();
    r.out = "/nonexistent/dir/moments.nc";
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_USAGE);
    r = request();
    r.text = "/nonexistent.txt";
    assert_all_status(ctx, rls_moments_make(ctx, &r, &result), RLS_ERR_DATA);
}

/* Extra: the second moments that came with the model, over the lines they were taken of: the first 2000 of
 * generic.txt and those of train.txt that tests/data/moment-lines.bin has a bit for. */
static void test_reproduces_the_models_own(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX], bits_path[RLS_TEST_PATH_MAX], theirs[RLS_TEST_PATH_MAX];
    if (!rls_test_extra(theirs, "fixture/atlas-moments.nc") || ctx->size != 2) {
        if (ctx->rank == 0)
            printf("DID NOT RUN: needs ../shared/fixture, and 2 ranks\n");
        return;
    }
    rls_test_data(bits_path, "moment-lines.bin");
    char *bits = rls_test_read(bits_path, NULL), *all = NULL;
    size_t used = 0;
    for (int file = 0; file < 2; file++) {
        size_t size = 0;
        assert_all(rls_test_extra(path, file == 0 ? "fixture/world/generic.txt" : "fixture/world/train.txt"));
        char *whole = rls_test_read(path, &size), *at = whole;
        all = realloc(all, used + size);
        for (int i = 0; *at != '\0' && (file == 1 || i < 2000); i++) {
            char *end = strchr(at, '\n') + 1;
            if (file == 0 || (bits[i / 8] >> i % 8 & 1) != 0) {
                memcpy(all + used, at, (size_t)(end - at));
                used += (size_t)(end - at);
            }
            at = end;
        }
        free(whole);
    }
    rls_test_write(text, all, used);
    rls_moments_request r = request();
    rls_moments_result result;
    rls_grid *grid = NULL;
    rls_moments *file = NULL;
    assert_all_ok(ctx, rls_moments_make(ctx, &r, &result));
    assert_all_int_equal(result.texts, 4000);
    assert_all_int_equal(result.keys, 48422);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_moments_open(ctx, theirs, &file));
    double *dense = doubles((int64_t)INNER * INNER);
    for (int l = 0; l < LAYERS; l++) {
        rls_matrix *m = NULL;
        assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, INNER, INNER, 64, &m));
        assert_all_ok(ctx, rls_moments_load(file, LAYER[l], m));
        matrix_to_dense(ctx, m, dense);
        for (int64_t i = 0; i < (int64_t)INNER * INNER; i++)
            dense[i] *= 48422.0;
        const double error = error_of(ctx, out, LAYER[l], dense, 48422);
        if (ctx->rank == 0)
            printf("layer %d: %.2g from the model's own second moment\n", LAYER[l], error);
        assert_all_le(error, 1e-5);
        rls_matrix_destroy(&m);
    }
    rls_moments_close(&file);
    rls_grid_destroy(&grid);
    free(dense);
    free(bits);
    free(all);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        corpus_test(test_equals_texts_one_by_one),   corpus_test(test_samples_and_length),
        corpus_test(test_goes_on_after_a_fault),     corpus_test(test_stops_when_asked),
        corpus_test(test_order_is_a_permutation),    corpus_test(test_bad_requests),
        corpus_test(test_reproduces_the_models_own),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "moments_run");
}
