/* Checkpoints: what is written from any grid is read on any other, to the bit; what is damaged is told and
 * never taken for whole; pruning keeps what it shall. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "linalg/kernels.h"
#include "store/cdf.h"
#include "store/checkpoint.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

enum { LAYERS = 2 };

static char checkpoints[RLS_TEST_PATH_MAX];
static rls_context *ctx;

static const struct {
    int number;
    int64_t n, m;
} SHAPES[LAYERS] = {{4, 37, 11}, {130, 16, 29}};

static int setup(void **state)
{
    const int failed = scratch_setup(state);
    (void)in_scratch("checkpoints", checkpoints);
    ctx = *state;
    return failed;
}

/* The path of something of a step. */
static const char *of(int64_t step, const char *name, char path[RLS_TEST_PATH_MAX])
{
    (void)snprintf(path, RLS_TEST_PATH_MAX, "%.800s/step-%09d%s%s", checkpoints, (int)step,
                   name[0] != '\0' && name[0] != '.' ? "/" : "", name);
    return path;
}

/* Element (i, j) of C (symmetric) and of X; kind distinguishes contents. */
static double cov(int layer, int64_t i, int64_t j, int kind)
{
    return rls_random_normal_at((uint64_t)(100 * layer + kind), i > j ? i : j, i > j ? j : i);
}

static double weight(int layer, int64_t i, int64_t j, int kind)
{
    return rls_random_normal_at((uint64_t)(100 * layer + kind + 50), i, j);
}

typedef struct {
    rls_grid *grid;
    rls_dtype dtype;
    int64_t block;
    rls_checkpoint_layer layers[LAYERS];
} state_of;

/* kind < 0: zeros. Above C's diagonal lies NaN. */
static void make(state_of *s, int p, int q, rls_dtype dtype, int64_t block, int kind)
{
    s->dtype = dtype;
    s->block = block;
    assert_all_ok(ctx, rls_grid_create(ctx, p, q, &s->grid));
    for (int l = 0; l < LAYERS; l++) {
        rls_checkpoint_layer *layer = &s->layers[l];
        layer->number = SHAPES[l].number;
        assert_all_ok(ctx,
                      rls_matrix_create(s->grid, dtype, SHAPES[l].n, SHAPES[l].n, block, &layer->inv_cov));
        assert_all_ok(ctx,
                      rls_matrix_create(s->grid, dtype, SHAPES[l].n, SHAPES[l].m, block, &layer->weight));
        for (int which = 0; which < 2 && kind >= 0; which++) {
            rls_matrix *a = which == 0 ? layer->inv_cov : layer->weight;
            for (int64_t jl = 0; jl < a->cols_local; jl++)
                for (int64_t il = 0; il < a->rows_local; il++) {
                    const int64_t i = rls_matrix_global_row(a, il), j = rls_matrix_global_col(a, jl);
                    const double x = which == 1 ? weight(l, i, j, kind)
                                     : i >= j   ? cov(l, i, j, kind)
                                                : (double)NAN;
                    rls_set(dtype, a->part.data, il + jl * a->part.ld, x);
                }
        }
    }
}

static void release(state_of *s)
{
    for (int l = 0; l < LAYERS; l++) {
        rls_matrix_destroy(&s->layers[l].inv_cov);
        rls_matrix_destroy(&s->layers[l].weight);
    }
    rls_grid_destroy(&s->grid);
}

static double held(rls_dtype dtype, double x)
{
    return dtype == RLS_F32 ? (double)(float)x : x;
}

/* Elements of X and C's lower triangle that are not what was saved. */
static int64_t count_wrong(const state_of *s, int kind)
{
    int64_t wrong = 0;
    for (int l = 0; l < LAYERS; l++)
        for (int which = 0; which < 2; which++) {
            const rls_matrix *a = which == 0 ? s->layers[l].inv_cov : s->layers[l].weight;
            for (int64_t jl = 0; jl < a->cols_local; jl++)
                for (int64_t il = 0; il < a->rows_local; il++) {
                    const int64_t i = rls_matrix_global_row(a, il), j = rls_matrix_global_col(a, jl);
                    const int64_t at = il + jl * a->part.ld;
                    const double x = s->dtype == RLS_F64 ? ((const double *)a->part.data)[at]
                                                         : (double)((const float *)a->part.data)[at];
                    if (which == 1 || i >= j)
                        wrong += x != held(s->dtype, which == 0 ? cov(l, i, j, kind) : weight(l, i, j, kind));
                }
        }
    return wrong;
}

static rls_status save(const state_of *s, int64_t step)
{
    json_t *manifest =
        ctx->rank == 0 ? json_pack("{s:I, s:s}", "edits", (json_int_t)step, "dtype", rls_dtype_name(s->dtype))
                       : NULL;
    return rls_checkpoint_write(ctx, checkpoints, step, "token", s->layers, LAYERS, manifest);
}

/* Saves the state of kind 1 on the automatic grid. */
static void save_some(int64_t step)
{
    state_of s;
    make(&s, 0, 0, RLS_F64, 8, 1);
    assert_all_ok(ctx, save(&s, step));
    release(&s);
}

static rls_status load(state_of *s, int64_t step, const json_t *manifest)
{
    rls_status status = RLS_OK;
    for (int l = 0; l < LAYERS && status == RLS_OK; l++)
        status = manifest == NULL
                     ? rls_checkpoint_load(ctx, checkpoints, step, &s->layers[l])
                     : rls_checkpoint_load_checked(ctx, checkpoints, step, manifest, &s->layers[l]);
    return status;
}

/* Whether a step is sound; *why (may be NULL) is a part of the reason when it is not. */
static void assert_sound(int64_t step, bool digests, bool sound, const char *part)
{
    json_t *manifest = NULL;
    int64_t bytes = -1;
    char why[768];
    assert_all_ok(ctx, rls_checkpoint_verify(ctx, checkpoints, step, digests, &manifest, &bytes, why));
    if ((manifest != NULL) != sound || strstr(why, part) == NULL)
        print_message("step %d: \"%s\"\n", (int)step, why);
    assert_all((manifest != NULL) == sound && (why[0] == '\0') == sound && strstr(why, part) != NULL);
    if (sound)
        assert_all_int_equal(json_integer_value(json_object_get(manifest, "step")), step);
    json_decref(manifest);
}

static json_t *manifest_of(int64_t step)
{
    json_t *manifest = NULL;
    int64_t bytes = 0;
    char why[768];
    assert_all_ok(ctx, rls_checkpoint_verify(ctx, checkpoints, step, false, &manifest, &bytes, why));
    assert_all(manifest != NULL);
    return manifest;
}

/* From every grid with some block to every grid with another, both types. */
static void test_grids(void **state)
{
    (void)state;
    const int size = ctx->size;
    for (int p = 1, step = 0; p <= size; p++)
        for (int d = 0; d < 2 && size % p == 0; d++, step++) {
            const rls_dtype dtype = d == 0 ? RLS_F64 : RLS_F32;
            static const int64_t BLOCKS[] = {1, 5, 8, 64};
            state_of s, t;
            make(&s, p, size / p, dtype, BLOCKS[(p + d) % 4], 1 + d);
            assert_all_ok(ctx, save(&s, step));
            assert_all_int_equal(count_wrong(&s, 1 + d), 0); /* writing leaves the state as it is */
            release(&s);
            assert_sound(step, true, true, "");
            json_t *manifest = manifest_of(step);
            assert_all_string_equal(json_string_value(json_object_get(manifest, "dtype")),
                                    rls_dtype_name(dtype));
            for (int pp = 1; pp <= size; pp++)
                for (int checked = 0; checked < 2 && size % pp == 0; checked++) {
                    make(&t, pp, size / pp, dtype, BLOCKS[(pp + checked) % 4], -1);
                    assert_all_ok(ctx, load(&t, step, checked ? manifest : NULL));
                    assert_all_int_equal(count_wrong(&t, 1 + d), 0);
                    release(&t);
                }
            json_decref(manifest);
        }
}

/* Other ranks than wrote it: the first few read what all wrote. */
static void test_fewer_ranks(void **state)
{
    (void)state;
    save_some(40);
    rls_context *all = ctx;
    for (int ranks = 1; ranks <= all->size; ranks++) {
        MPI_Comm comm;
        MPI_Comm_split(MPI_COMM_WORLD, all->rank < ranks ? 0 : MPI_UNDEFINED, 0, &comm);
        int64_t wrong = 0;
        rls_status status = RLS_OK;
        if (comm != MPI_COMM_NULL) {
            rls_context *few = NULL;
            rls_grid *grid = NULL;
            rls_checkpoint_layer layer = {.number = SHAPES[0].number};
            status = rls_context_create(comm, &few);
            if (status == RLS_OK)
                status = rls_grid_create(few, 0, 0, &grid);
            if (status == RLS_OK)
                status = rls_matrix_create(grid, RLS_F64, SHAPES[0].n, SHAPES[0].n, 4, &layer.inv_cov);
            if (status == RLS_OK)
                status = rls_matrix_create(grid, RLS_F64, SHAPES[0].n, SHAPES[0].m, 4, &layer.weight);
            if (status == RLS_OK)
                status = rls_checkpoint_load(few, checkpoints, 40, &layer);
            const rls_matrix *x = layer.weight;
            for (int64_t jl = 0; status == RLS_OK && jl < x->cols_local; jl++)
                for (int64_t il = 0; il < x->rows_local; il++)
                    wrong += ((const double *)x->part.data)[il + jl * x->part.ld] !=
                             weight(0, rls_matrix_global_row(x, il), rls_matrix_global_col(x, jl), 1);
            rls_matrix_destroy(&layer.inv_cov);
            rls_matrix_destroy(&layer.weight);
            rls_grid_destroy(&grid);
            rls_context_destroy(&few);
            MPI_Comm_free(&comm);
        }
        assert_all_int_equal(status, RLS_OK);
        assert_all_int_equal(wrong, 0);
    }
}

/* What the file says, in its own terms: canonical order, the whole symmetric C. */
static void test_format(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    save_some(7);
    size_t bytes = 0;
    char *file = rls_test_read(of(7, "layer-04.nc", path), &bytes);
    assert_all_int_equal(memcmp(file, "CDF\5", 4), 0);
    const int64_t n = SHAPES[0].n, m = SHAPES[0].m;
    const size_t data = (size_t)(n * (n + m)) * 8;
    assert_all(bytes > data);
    int64_t wrong = 0;
    for (int64_t row = 0; row < n + m; row++)
        for (int64_t i = 0; i < n; i++) {
            const unsigned char *at =
                (const unsigned char *)file + (bytes - data) + (size_t)(row * n + i) * 8;
            uint64_t bits = 0;
            double x = 0.0;
            for (int b = 0; b < 8; b++)
                bits = bits << 8 | at[b];
            memcpy(&x, &bits, sizeof x);
            wrong += x != (row < n ? cov(0, i, row, 1) : weight(0, i, row - n, 1));
        }
    assert_all_int_equal(wrong, 0);
    free(file);
    assert_all(rls_test_exists(of(7, "layer-130.nc", path)));
}

static void test_refused(void **state)
{
    (void)state;
    state_of s;
    save_some(3);
    make(&s, 0, 0, RLS_F32, 8, -1);
    assert_all_status(ctx, load(&s, 3, NULL), RLS_ERR_DATA);
    assert_all_message(ctx, "inv_cov is not in the state's type float32");
    release(&s);
    make(&s, 0, 0, RLS_F64, 8, -1);
    s.layers[0].number = 5;
    assert_all(load(&s, 3, NULL) != RLS_OK);
    assert_all_message(ctx, "layer-05.nc");
    s.layers[0].number = 130; /* of other sizes */
    assert_all_status(ctx, load(&s, 3, NULL), RLS_ERR_DATA);
    assert_all_message(ctx, "inv_cov is not 37 x 37");
    s.layers[0].number = 4;
    assert_all(load(&s, 2, NULL) != RLS_OK); /* no such step */
    release(&s);
}

static void change(const char *path, size_t at, bool cut)
{
    size_t bytes = 0;
    char *data = rls_test_read(path, &bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    if (cut)
        bytes = at;
    else
        data[at] ^= 16;
    rls_test_write(path, data, bytes);
    free(data);
}

/* Every file, a bit, its end, all of it: told with its name; a checked loading refuses it too. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const FILES[] = {"layer-04.nc", "layer-130.nc", "manifest.json"};
    char path[RLS_TEST_PATH_MAX];
    save_some(12);
    json_t *manifest = manifest_of(12);
    for (int f = 0; f < 3; f++)
        for (int kind = 0; kind < 5; kind++) {
            size_t bytes = 0;
            char *kept = rls_test_read(of(12, FILES[f], path), &bytes);
            MPI_Barrier(MPI_COMM_WORLD);
            if (kind < 3)
                change(path, kind == 0 ? 0 : kind == 1 ? bytes / 2 : bytes - 1, false);
            else
                change(path, kind == 3 ? bytes - 1 : 0, true);
            assert_sound(12, true, false, FILES[f]);
            if (kind < 3 && f < 2)
                assert_sound(12, false, true, ""); /* a bit is not seen without the checksums, */
            else
                assert_sound(12, false, false, FILES[f]); /* but a size is */
            if (f < 2) {
                state_of s;
                make(&s, 0, 0, RLS_F64, 8, -1);
                const rls_status status = load(&s, 12, manifest);
                assert_all(status == RLS_ERR_DATA || status == RLS_ERR_IO);
                assert_all_message(ctx, FILES[f]);
                release(&s);
            }
            rls_test_write(path, kept, bytes);
            free(kept);
        }
    json_decref(manifest);
    assert_sound(12, true, true, "");
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(unlink(of(12, "layer-04.nc", path)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_sound(12, false, false, "layer-04.nc: is missing");
    assert_sound(12, true, false, "layer-04.nc: is missing");
    if (ctx->rank == 0)
        assert_int_equal(unlink(of(12, "manifest.json", path)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_sound(12, true, false, "manifest.json: No such file");
    assert_sound(13, true, false, "manifest.json: No such file");
}

/* Two files that changed places, and a checkpoint under another's name. */
static void test_misplaced(void **state)
{
    (void)state;
    char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
    save_some(1);
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(rename(of(1, "", a), of(2, "", b)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_sound(2, false, false, "is of another step");
    rls_checkpoint_survey survey;
    assert_all_ok(ctx, rls_checkpoint_examine(ctx, of(2, "", b), true, &survey));
    assert_all(survey.committed && json_array_size(survey.problems) == 1);
    rls_checkpoint_survey_free(&survey);
    MPI_Barrier(MPI_COMM_WORLD);
    (void)in_scratch("copy", a);
    if (ctx->rank == 0) /* any other name says nothing of a step */
        assert_int_equal(rename(b, a), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_ok(ctx, rls_checkpoint_examine(ctx, a, true, &survey));
    assert_all(survey.committed && survey.manifest != NULL && json_array_size(survey.problems) == 0);
    assert_all(survey.bytes > 0);
    rls_checkpoint_survey_free(&survey);
}

/* The steps there are, newest first, as text: "30 20 10 ". */
static void assert_steps(const char *expected)
{
    int64_t *steps = NULL, count = 0;
    char text[256] = "";
    assert_all_ok(ctx, rls_checkpoint_list(ctx, checkpoints, &steps, &count));
    for (int64_t i = 0; i < count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%" PRId64 " ", steps[i]);
    assert_all_string_equal(text, expected);
    free(steps);
}

static void test_prune(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    assert_steps(""); /* no directory */
    assert_all_ok(ctx, rls_checkpoint_prune(ctx, checkpoints, 2, 0));
    for (int64_t step = 10; step <= 70; step += 10)
        save_some(step);
    save_some(1000000000000); /* longer than its name's width */
    assert_steps("1000000000000 70 60 50 40 30 20 10 ");
    assert_sound(70, true, true, "");
    assert_all_ok(ctx, rls_checkpoint_prune(ctx, checkpoints, 100, 0));
    assert_steps("1000000000000 70 60 50 40 30 20 10 ");
    rls_test_write(of(60, "manifest.json", path), "", 0); /* damaged: neither counted nor touched */
    assert_all_ok(ctx, rls_checkpoint_prune(ctx, checkpoints, 3, 20));
    assert_steps("1000000000000 70 60 50 40 20 ");
    assert_sound(40, true, true, "");
    assert_all_ok(ctx, rls_checkpoint_prune(ctx, checkpoints, 1, 40));
    assert_steps("1000000000000 60 40 ");
    assert_all_ok(ctx, rls_checkpoint_prune(ctx, checkpoints, 1, 0));
    assert_steps("1000000000000 60 ");
}

/* Dying between the deletion of the manifest and of the files leaves nothing that is taken for a checkpoint.
 */
static void test_prune_fails(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    for (int64_t step = 1; step <= 3; step++)
        save_some(step);
    ctx->fault = (rls_fault_plan){RLS_FAULT_prune_manifest, RLS_FAULT_ERROR, 0, 1};
    assert_all_status(ctx, rls_checkpoint_prune(ctx, checkpoints, 2, 0), RLS_ERR_IO);
    assert_sound(1, true, true, "");
    ctx->fault = (rls_fault_plan){RLS_FAULT_prune_files, RLS_FAULT_ERROR, 0, 1};
    assert_all_status(ctx, rls_checkpoint_prune(ctx, checkpoints, 2, 0), RLS_ERR_IO);
    assert_all(rls_test_exists(of(1, "layer-04.nc", path)));
    assert_sound(1, true, false, "manifest.json: No such file");
    assert_all_ok(ctx, rls_checkpoint_clear(ctx, checkpoints));
    assert_steps("3 2 ");
    assert_sound(2, true, true, "");
}

/* A step again: the sound one before is set aside, an unfinished one goes. */
static void test_again(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    save_some(5);
    state_of s;
    make(&s, 0, 0, RLS_F64, 16, 2);
    assert_all_ok(ctx, save(&s, 5));
    assert_sound(5, true, true, "");
    assert_all(rls_test_exists(of(5, ".damaged/manifest.json", path)));
    assert_all_ok(ctx, save(&s, 5));
    assert_all(rls_test_exists(of(5, ".damaged-2/manifest.json", path)));
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(unlink(of(5, "manifest.json", path)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all_ok(ctx, save(&s, 5));
    assert_all(!rls_test_exists(of(5, ".damaged-3", path)));
    assert_steps("5 ");
    state_of t;
    make(&t, 0, 0, RLS_F64, 3, -1);
    assert_all_ok(ctx, load(&t, 5, NULL));
    assert_all_int_equal(count_wrong(&t, 2), 0);
    release(&t);
    release(&s);
}

/* A failure at any phase: no new checkpoint, the old one as it was, nothing half-written in sight. */
static void test_failing(void **state)
{
    (void)state;
    static const rls_fault_phase PHASES[] = {RLS_FAULT_checkpoint_begin, RLS_FAULT_checkpoint_layer,
                                             RLS_FAULT_checkpoint_digest, RLS_FAULT_checkpoint_rename,
                                             RLS_FAULT_checkpoint_manifest};
    char path[RLS_TEST_PATH_MAX];
    save_some(1);
    state_of s;
    make(&s, 0, 0, RLS_F64, 8, 1);
    for (size_t i = 0; i < sizeof PHASES / sizeof PHASES[0]; i++)
        for (int rank = 0; rank<ctx->size; rank += ctx->size> 1 ? ctx->size - 1 : 1) {
            if (i >= 3 && rank > 0)
                continue; /* rank 0's phases */
            const int layers = PHASES[i] == RLS_FAULT_checkpoint_layer ? LAYERS : 1;
            for (int k = 1; k <= layers; k++) {
                ctx->fault = (rls_fault_plan){(int)PHASES[i], RLS_FAULT_ERROR, rank, k};
                assert_all_status(ctx, save(&s, 2), RLS_ERR_IO);
                assert_all_message(ctx, "injected fault at checkpoint.");
                assert_sound(1, true, true, "");
                assert_sound(2, false, false, "manifest.json: No such file");
                (void)snprintf(path, sizeof path, "%.800s/.step-000000002.token.partial", checkpoints);
                assert_all(!rls_test_exists(path));
            }
        }
    /* What a dead run left of the same name is no obstacle; what others left is cleared. */
    char other[RLS_TEST_PATH_MAX], file[RLS_TEST_PATH_MAX + 16];
    (void)snprintf(other, sizeof other, "%.800s/.step-000000002.other.partial", checkpoints);
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0) {
        assert_int_equal(mkdir(path, 0777), 0);
        assert_int_equal(mkdir(other, 0777), 0);
    }
    (void)snprintf(file, sizeof file, "%s/layer-04.nc", path);
    rls_test_write(file, "half", 4);
    assert_all_ok(ctx, save(&s, 2));
    assert_sound(2, true, true, "");
    assert_steps("2 1 ");
    assert_all(!rls_test_exists(path));
    assert_all_ok(ctx, rls_checkpoint_clear(ctx, checkpoints));
    assert_all(!rls_test_exists(other));
    assert_steps("2 1 ");
    release(&s);
}

/* The place cannot be written, or something else is in it. */
static void test_bad_place(void **state)
{
    (void)state;
    state_of s;
    make(&s, 0, 0, RLS_F64, 8, 1);
    rls_test_write(checkpoints, "a file", 6);
    assert_all_status(ctx, save(&s, 2), RLS_ERR_IO);
    assert_all_message(ctx, checkpoints);
    (void)in_scratch("no/where", checkpoints);
    assert_all_status(ctx, save(&s, 2), RLS_ERR_IO);
    release(&s);
}

#define in_dir(function) cmocka_unit_test_setup_teardown(function, setup, scratch_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_grids),  in_dir(test_fewer_ranks), in_dir(test_format),    in_dir(test_refused),
        in_dir(test_damage), in_dir(test_misplaced),   in_dir(test_prune),     in_dir(test_prune_fails),
        in_dir(test_again),  in_dir(test_failing),     in_dir(test_bad_place),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "checkpoint");
}
