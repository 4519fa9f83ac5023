/* A rank's slices against the full tensors, for every family, type and number of tensor ranks; edited weights
 * from block-cyclic matrices; what is refused. */
#include "llm/tiny_models.h"
#include "store/finite.h"

typedef struct {
    rls_context *ctx;
    char dir[RLS_TEST_PATH_MAX];
    rls_architecture arch;
    rls_model_dir *model;
    rls_partition part;
    rls_weights weights;
} fixture;

static void begin(fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &f->ctx));
}

static void end(fixture *f)
{
    rls_context_destroy(&f->ctx);
}

static void write_and_open(fixture *f, const tiny *t, const tiny_files *files, int shards)
{
    rls_test_tmpdir(f->dir);
    tiny_write(f->dir, t, files, shards);
    assert_all_ok(f->ctx, rls_architecture_read(f->ctx, f->dir, &f->arch));
    assert_all_ok(f->ctx, rls_model_dir_open(f->ctx, f->dir, &f->model));
}

static void close_model(fixture *f)
{
    rls_model_dir_close(&f->model);
    rls_test_rmtree(f->dir);
}

static void load(fixture *f, int tensor_ranks)
{
    assert_all_ok(f->ctx, rls_partition_init(f->ctx, &f->arch, tensor_ranks, &f->part));
    assert_all_ok(f->ctx, rls_weights_load(f->model, &f->arch, &f->part, &f->weights));
}

static void unload(fixture *f)
{
    rls_weights_free(&f->weights, &f->arch);
    rls_partition_free(&f->part);
}

/* W (out, in) of the tensor as a Linear's, in the dtype of its file. */
static double truth(const fixture *f, const char *name, int64_t out, int64_t in, bool conv1d)
{
    const rls_model_tensor *tensor = rls_model_dir_find(f->model, name);
    rls_dtype dtype = RLS_F32;
    if (tensor == NULL || !rls_tensor_type_dtype(tensor->info->type, &dtype))
        return (double)NAN;
    return rounded(sample_value(name, conv1d ? in : out, conv1d ? out : in), dtype);
}

/* How many of rows [row, row + rows.count) of a map differ from rows, cols of the tensor prefix.weight, and
 * of its bias from the tensor's, when `bias`. */
static int64_t differing(const fixture *f, const rls_linear *linear, int64_t row, rls_share rows,
                         rls_share cols, const char *prefix, bool conv1d, bool bias)
{
    char name[128];
    int64_t bad = linear->in != cols.count;
    bad += (linear->bias != NULL && linear->out > 0) != (bias && linear->out > 0);
    (void)snprintf(name, sizeof name, "%s.weight", prefix);
    for (int64_t i = 0; bad == 0 && i < rows.count; i++) {
        for (int64_t j = 0; j < cols.count; j++) {
            const int64_t at = (row + i) * linear->in + j;
            bad += rls_element_value(linear->dtype, linear->weight, at) !=
                   truth(f, name, rows.first + i, cols.first + j, conv1d);
        }
    }
    (void)snprintf(name, sizeof name, "%s.bias", prefix);
    for (int64_t i = 0; bad == 0 && bias && linear->bias != NULL && i < rows.count; i++)
        bad += (double)linear->bias[row + i] != truth(f, name, rows.first + i, 0, false);
    return bad;
}

static int64_t norm_differing(const fixture *f, const rls_norm *norm, const char *prefix)
{
    char name[128];
    int64_t bad = (norm->bias == NULL) != f->arch.rms_norm;
    for (int64_t i = 0; bad == 0 && i < f->arch.hidden; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", prefix);
        bad += (double)norm->gain[i] != truth(f, name, i, 0, false);
        (void)snprintf(name, sizeof name, "%s.bias", prefix);
        bad += norm->bias != NULL && (double)norm->bias[i] != truth(f, name, i, 0, false);
    }
    return bad;
}

static rls_share times(rls_share share, int64_t by, int64_t from)
{
    return (rls_share){from + by * share.first, by * share.count};
}

static int64_t attention_differing(const fixture *f, const rls_block_weights *block, const char *root)
{
    const rls_architecture *a = &f->arch;
    const rls_share q = times(f->part.heads, a->head_dim, 0), kv = times(f->part.kv_heads, a->head_dim, 0);
    const rls_share all = {0, a->hidden};
    const bool gpt2 = a->family == RLS_FAMILY_GPT2, llama = a->family <= RLS_FAMILY_QWEN2;
    const char *at = llama ? "self_attn" : "attn";
    char name[3][96];
    int64_t bad = block->qkv.out != q.count + 2 * kv.count, row = 0;
    for (int i = 0; i < 3; i++) {
        rls_share rows = i == 0 ? q : kv;
        (void)snprintf(name[i], sizeof name[i], "%s.%s.%c_proj", root, at, "qkv"[i]);
        if (gpt2) {
            (void)snprintf(name[i], sizeof name[i], "%s.attn.c_attn", root);
            rows.first += i * a->hidden;
        }
        bad += differing(f, &block->qkv, row, rows, all, name[i], gpt2, a->qkv_bias);
        row += rows.count;
    }
    (void)snprintf(name[0], sizeof name[0], "%s.%s.%s", root, at,
                   llama  ? "o_proj"
                   : gpt2 ? "c_proj"
                          : "out_proj");
    return bad + (block->out.out != a->hidden) +
           differing(f, &block->out, 0, all, q, name[0], gpt2, a->out_bias && f->part.tensor == 0);
}

static int64_t mlp_differing(const fixture *f, const rls_block_weights *block, const char *root)
{
    const rls_architecture *a = &f->arch;
    const rls_share all = {0, a->hidden}, inner = f->part.inner;
    const bool gpt2 = a->family == RLS_FAMILY_GPT2, llama = a->family <= RLS_FAMILY_QWEN2;
    char name[96];
    int64_t bad = block->gate_up.out != (llama ? 2 : 1) * inner.count;
    (void)snprintf(name, sizeof name, "%s.mlp.%s", root, llama ? "gate_proj" : gpt2 ? "c_fc" : "fc_in");
    bad += differing(f, &block->gate_up, 0, inner, all, name, gpt2, a->mlp_bias);
    (void)snprintf(name, sizeof name, "%s.mlp.up_proj", root);
    if (llama)
        bad += differing(f, &block->gate_up, inner.count, inner, all, name, false, a->mlp_bias);
    (void)snprintf(name, sizeof name, "%s.mlp.%s", root, llama ? "down_proj" : gpt2 ? "c_proj" : "fc_out");
    return bad + (block->down.out != a->hidden) +
           differing(f, &block->down, 0, all, inner, name, gpt2, a->mlp_bias && f->part.tensor == 0);
}

static void check_weights(const fixture *f, const tiny *t)
{
    const rls_architecture *a = &f->arch;
    const bool llama = a->family <= RLS_FAMILY_QWEN2, gpt2 = a->family == RLS_FAMILY_GPT2;
    const rls_share all = {0, a->hidden}, positions = {0, f->part.tensor == 0 ? a->context : 0};
    const rls_weights *w = &f->weights;
    char root[64], name[96];
    (void)snprintf(name, sizeof name, "%s%s", llama ? "model." : t->root, llama ? "embed_tokens" : "wte");
    assert_all_int_equal(w->embedding.out, f->part.vocab.count);
    assert_all_int_equal(differing(f, &w->embedding, 0, f->part.vocab, all, name, false, false), 0);
    if (t->tied)
        assert_all(w->head.weight == w->embedding.weight && w->head.out == w->embedding.out);
    assert_all_int_equal(
        differing(f, &w->head, 0, f->part.vocab, all, t->tied ? name : "lm_head", false, a->head_bias), 0);
    (void)snprintf(name, sizeof name, "%swpe", t->root);
    if (gpt2)
        assert_all_int_equal(differing(f, &w->positions, 0, positions, all, name, false, false), 0);
    assert_all_int_equal(w->positions.out, gpt2 ? positions.count : 0);
    (void)snprintf(name, sizeof name, "%s%s", llama ? "model." : t->root, llama ? "norm" : "ln_f");
    assert_all_int_equal(norm_differing(f, &w->norm, name), 0);
    for (int b = 0; b < TINY_BLOCKS; b++) {
        const rls_block_weights *block = &w->block[b];
        (void)snprintf(root, sizeof root, llama ? "model.%slayers.%d" : "%sh.%d", t->root, b);
        assert_all_int_equal(attention_differing(f, block, root), 0);
        assert_all_int_equal(mlp_differing(f, block, root), 0);
        (void)snprintf(name, sizeof name, "%s.%s", root, llama ? "input_layernorm" : "ln_1");
        assert_all_int_equal(norm_differing(f, &block->attention_norm, name), 0);
        (void)snprintf(name, sizeof name, "%s.%s", root, llama ? "post_attention_layernorm" : "ln_2");
        if (a->parallel_residual)
            assert_all(block->mlp_norm.gain == NULL);
        else
            assert_all_int_equal(norm_differing(f, &block->mlp_norm, name), 0);
    }
}

/* Bytes: the largest rank's are what rls_weights_bytes says. */
static void check_bytes(const fixture *f)
{
    int64_t most = f->weights.bytes;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
    assert_all_int_equal(most, rls_weights_bytes(f->model, &f->arch, f->part.tensor_ranks));
}

static void check_all_partitions(fixture *f, const tiny *t)
{
    for (int ranks = 1; ranks <= f->ctx->size; ranks++) {
        if (f->ctx->size % ranks != 0)
            continue;
        load(f, ranks);
        check_weights(f, t);
        check_bytes(f);
        unload(f);
    }
}

static void test_slices(void **state)
{
    static const rls_tensor_type types[] = {RLS_TENSOR_F32, RLS_TENSOR_F16, RLS_TENSOR_BF16};
    fixture f;
    (void)state;
    begin(&f);
    for (int v = 0; v < TINY_COUNT; v++) {
        for (int i = 0; i < 3; i++) {
            tiny_files files;
            tiny_tensors(&TINY[v], types[i], &files);
            write_and_open(&f, &TINY[v], &files, 1 + i);
            check_all_partitions(&f, &TINY[v]);
            close_model(&f);
        }
    }
    end(&f);
}

/* q, k, v of different types become float32, float64 becomes float32, others stay. */
static void test_mixed_types(void **state)
{
    fixture f;
    tiny_files files;
    (void)state;
    begin(&f);
    tiny_tensors(&TINY[3], RLS_TENSOR_BF16, &files);
    tiny_find(&files, "model.layers.0.self_attn.k_proj.weight")->type = RLS_TENSOR_F16;
    write_and_open(&f, &TINY[3], &files, 1);
    check_all_partitions(&f, &TINY[3]);
    load(&f, f.ctx->size);
    assert_all_int_equal(f.weights.block[0].qkv.dtype, RLS_F32);
    assert_all_int_equal(f.weights.block[1].qkv.dtype, RLS_BF16);
    unload(&f);
    close_model(&f);
    end(&f);
}

static void refused(fixture *f, const tiny_files *files, const tiny *t, const char *text)
{
    write_and_open(f, t, files, 1);
    for (int ranks = 1; ranks <= f->ctx->size; ranks++) {
        if (f->ctx->size % ranks != 0)
            continue;
        assert_all_ok(f->ctx, rls_partition_init(f->ctx, &f->arch, ranks, &f->part));
        assert_all_status(f->ctx, rls_weights_load(f->model, &f->arch, &f->part, &f->weights), RLS_ERR_DATA);
        assert_all_message(f->ctx, text);
        assert_all(f->weights.block == NULL && f->weights.embedding.weight == NULL);
        rls_partition_free(&f->part);
    }
    close_model(f);
}

static void test_refused(void **state)
{
    fixture f;
    tiny_files files;
    (void)state;
    begin(&f);
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    (void)snprintf(files.name[files.count - 2], sizeof files.name[0], "model.nrm.weight");
    refused(&f, &files, &TINY[0], "no tensor 'model.norm.weight'");
    assert_all_message(f.ctx, "did you mean 'model.nrm.weight'");
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    tiny_find(&files, "model.layers.1.mlp.down_proj.weight")->cols = 12;
    refused(&f, &files, &TINY[0], "'model.layers.1.mlp.down_proj.weight' is [12, 12], expected [12, 11]");
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    tiny_find(&files, "model.layers.1.mlp.up_proj.weight")->type = RLS_TENSOR_I16;
    refused(&f, &files, &TINY[0], "'model.layers.1.mlp.up_proj.weight' is I16");
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    tiny_find(&files, "model.embed_tokens.weight")->rows = 18;
    refused(&f, &files, &TINY[0],
            "vocab_size is 17 in config.json, but 'model.embed_tokens.weight' has 18 rows");
    tiny_tensors(&TINY[4], RLS_TENSOR_F32, &files);
    tiny_find(&files, "transformer.h.0.mlp.c_fc.bias")->rows = 12;
    refused(&f, &files, &TINY[4], "'transformer.h.0.mlp.c_fc.bias' is [12], expected [11]");
    end(&f);
}

/* Puts a number into element [row, col] of a tensor's file (cols 0: element [row] of a vector). */
static void poison(const fixture *f, const char *name, int64_t element, double value)
{
    const rls_model_tensor *tensor = rls_model_dir_find(f->model, name);
    const char *path = rls_model_dir_shard(f->model, tensor->shard)->path;
    size_t bytes = 0;
    rls_dtype dtype = RLS_F32;
    assert_all(rls_tensor_type_dtype(tensor->info->type, &dtype));
    char *data = rls_test_read(path, &bytes);
    put_number(dtype, data + tensor->offset + element * (int64_t)rls_dtype_size(dtype), value);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, data, bytes);
    free(data);
}

static void test_nan(void **state)
{
    static const struct {
        int variant;
        const char *name;
        int element;
        double value;
        const char *message;
    } cases[] = {{0, "model.layers.1.mlp.down_proj.weight", 3 * 11 + 10, NAN,
                  "down_proj.weight' holds nan at [3, 10]"},
                 {0, "model.layers.0.self_attn.k_proj.weight", 7 * 12 + 5, INFINITY, "holds inf at [7, 5]"},
                 {0, "lm_head.weight", 16 * 12, NAN, "'lm_head.weight' holds nan at [16, 0]"},
                 {3, "model.layers.1.self_attn.v_proj.bias", 7, NAN, "v_proj.bias' holds nan at [7]"},
                 {4, "transformer.h.1.attn.c_attn.weight", 11 * 36 + 35, -INFINITY, "holds -inf at [11, 35]"},
                 {4, "transformer.h.1.mlp.c_proj.weight", 10 * 12 + 1, NAN, "holds nan at [10, 1]"},
                 {4, "transformer.wpe.weight", 8 * 12 + 11, NAN, "wpe.weight' holds nan at [8, 11]"},
                 {6, "transformer.h.0.ln_1.bias", 4, NAN, "ln_1.bias' holds nan at [4]"}};
    fixture f;
    (void)state;
    begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_files files;
        tiny_tensors(&TINY[cases[i].variant], RLS_TENSOR_BF16, &files);
        write_and_open(&f, &TINY[cases[i].variant], &files, 2);
        poison(&f, cases[i].name, cases[i].element, cases[i].value);
        for (int ranks = 1; ranks <= f.ctx->size; ranks++) {
            if (f.ctx->size % ranks != 0)
                continue;
            assert_all_ok(f.ctx, rls_partition_init(f.ctx, &f.arch, ranks, &f.part));
            assert_all_status(f.ctx, rls_weights_load(f.model, &f.arch, &f.part, &f.weights), RLS_ERR_DATA);
            assert_all_message(f.ctx, cases[i].message);
            rls_partition_free(&f.part);
        }
        close_model(&f);
    }
    end(&f);
}

static double edited(int64_t i, int64_t j)
{
    return sample_value("edited", i, j);
}

static void set_and_compare(fixture *f, rls_grid *grid, rls_dtype dtype, int64_t block)
{
    rls_matrix *x = NULL;
    int64_t rows = 0, cols = 0, bad = 0;
    assert_all_ok(f->ctx, rls_matrix_create(grid, dtype, f->arch.inner, f->arch.hidden, block, &x));
    (void)rls_matrix_local(x, &rows, &cols, NULL);
    for (int64_t j = 0; j < cols; j++) {
        for (int64_t i = 0; i < rows; i++)
            set_local(x, i, j, edited(rls_matrix_global_row(x, i), rls_matrix_global_col(x, j)));
    }
    for (int again = 0; again < 2; again++) { /* the second time into float32 that is there */
        const rls_linear *down = &f->weights.block[1].down;
        assert_all_ok(f->ctx, rls_weights_set_down(&f->weights, &f->part, 1, x));
        assert_all(down->dtype == RLS_F32 && down->out == f->arch.hidden && down->in == f->part.inner.count);
        for (int64_t j = 0; j < down->out; j++) {
            for (int64_t i = 0; i < down->in; i++) {
                float *at = (float *)down->weight + j * down->in + i;
                bad += *at != (float)edited(f->part.inner.first + i, j);
                *at = 0.0F;
            }
        }
    }
    assert_all_int_equal(bad, 0);
    rls_matrix_destroy(&x);
}

static void test_set_down(void **state)
{
    static const int64_t blocks[] = {1, 3, 64};
    fixture f;
    tiny_files files;
    (void)state;
    begin(&f);
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    write_and_open(&f, &TINY[0], &files, 1);
    for (int p = 1; p <= f.ctx->size; p++) {
        rls_grid *grid = NULL;
        if (f.ctx->size % p != 0)
            continue;
        assert_all_ok(f.ctx, rls_grid_create(f.ctx, p, f.ctx->size / p, &grid));
        for (int ranks = 1; ranks <= f.ctx->size; ranks++) {
            if (f.ctx->size % ranks != 0)
                continue;
            for (int b = 0; b < 3; b++) {
                load(&f, ranks);
                const int64_t before = f.weights.bytes;
                set_and_compare(&f, grid, b == 1 ? RLS_F32 : RLS_F64, blocks[b]);
                assert_all_int_equal(f.weights.bytes - before, 2 * f.arch.hidden * f.part.inner.count);
                assert_all(rls_element_value(RLS_BF16, f.weights.block[0].down.weight, 0) != 0.0 ||
                           f.part.inner.count == 0);
                unload(&f);
            }
        }
        rls_grid_destroy(&grid);
    }
    close_model(&f);
    end(&f);
}

/* Large enough for several rounds on few ranks. */
static void test_set_down_rounds(void **state)
{
    const rls_architecture arch = {.heads = 2, .kv_heads = 1, .inner = 2050, .vocab = 5, .hidden = 4111};
    fixture f;
    rls_grid *grid = NULL;
    rls_matrix *x = NULL;
    int64_t rows = 0, cols = 0, bad = 0;
    (void)state;
    begin(&f);
    assert_all_ok(f.ctx, rls_grid_create(f.ctx, 0, 0, &grid));
    assert_all_ok(f.ctx, rls_matrix_create(grid, RLS_F64, arch.inner, arch.hidden, 64, &x));
    (void)rls_matrix_local(x, &rows, &cols, NULL);
    for (int64_t j = 0; j < cols; j++) {
        for (int64_t i = 0; i < rows; i++)
            set_local(x, i, j,
                      (double)(rls_matrix_global_row(x, i) + arch.inner * rls_matrix_global_col(x, j)));
    }
    for (int ranks = 1; ranks <= f.ctx->size; ranks += f.ctx->size > 1 ? f.ctx->size - 1 : 1) {
        rls_block_weights block = {.down = {.out = arch.hidden, .dtype = RLS_BF16}};
        rls_weights all = {.block = &block};
        assert_all_ok(f.ctx, rls_partition_init(f.ctx, &arch, ranks, &f.part));
        block.down.in = f.part.inner.count;
        assert_all_ok(f.ctx, rls_weights_set_down(&all, &f.part, 0, x));
        const float *down = block.down.weight;
        for (int64_t j = 0; j < arch.hidden; j++) {
            for (int64_t i = 0; i < f.part.inner.count; i++)
                bad += down[j * f.part.inner.count + i] !=
                       (float)(f.part.inner.first + i + arch.inner * j); /* below 2^24: exact */
        }
        assert_all_int_equal(bad, 0);
        free(block.down.weight);
        rls_partition_free(&f.part);
    }
    rls_matrix_destroy(&x);
    rls_grid_destroy(&grid);
    end(&f);
}

static void count_line(void *user, rls_log_level level, const char *line)
{
    int *lines = user;
    *lines += level == RLS_LOG_WARNING && strstr(line, "1 tensors that llama models do not have") != NULL &&
              strstr(line, "'model.extra'") != NULL;
}

/* Tensors nobody asked for are told of; a tied head's copy, masks and tables are not. */
static void test_extra_tensors(void **state)
{
    fixture f;
    tiny_files files;
    int lines = 0;
    (void)state;
    begin(&f);
    rls_context_set_log(f.ctx, count_line, &lines, RLS_LOG_INFO);
    tiny_tensors(&TINY[1], RLS_TENSOR_F32, &files);
    tiny_add(&files, RLS_TENSOR_F32, 3, 3, "lm_head.weight");
    write_and_open(&f, &TINY[1], &files, 1);
    load(&f, 1);
    unload(&f);
    close_model(&f);
    assert_all_int_equal(lines, 0);
    tiny_add(&files, RLS_TENSOR_F32, 3, 3, "model.extra");
    write_and_open(&f, &TINY[1], &files, 1);
    load(&f, 1);
    unload(&f);
    close_model(&f);
    assert_all_int_equal(lines, f.ctx->rank == 0 ? 1 : 0);
    end(&f);
}

static void test_set_down_refused(void **state)
{
    fixture f;
    tiny_files files;
    rls_grid *grid = NULL;
    rls_matrix *x = NULL;
    (void)state;
    begin(&f);
    tiny_tensors(&TINY[0], RLS_TENSOR_BF16, &files);
    write_and_open(&f, &TINY[0], &files, 1);
    load(&f, f.ctx->size);
    assert_all_ok(f.ctx, rls_grid_create(f.ctx, 0, 0, &grid));
    assert_all_ok(f.ctx, rls_matrix_create(grid, RLS_F64, f.arch.hidden, f.arch.inner, 4, &x));
    assert_all_status(f.ctx, rls_weights_set_down(&f.weights, &f.part, 0, x), RLS_ERR_USAGE);
    assert_all_message(f.ctx, "[12, 11]");
    assert_all(f.weights.block[0].down.dtype == RLS_BF16);
    rls_matrix_destroy(&x);
    rls_grid_destroy(&grid);
    unload(&f);
    close_model(&f);
    end(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),          cmocka_unit_test(test_mixed_types),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_nan),
        cmocka_unit_test(test_set_down),        cmocka_unit_test(test_set_down_refused),
        cmocka_unit_test(test_set_down_rounds), cmocka_unit_test(test_extra_tensors),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "weights");
}
