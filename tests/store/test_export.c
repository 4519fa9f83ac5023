/* Export: the edited directory is complete, exact where edited, byte for byte the original elsewhere. */
#include "store/export_files.h"
#include "store/tree.h"

/* Edits of two shards of three in the model's types: every byte outside them is where and what it was. */
static void round_trip(rls_dtype state, int64_t block)
{
    enum { EDITS = 4 };
    static const int chosen[EDITS] = {1, 2, 3, 4};
    fixture f;
    char path[RLS_TEST_PATH_MAX], other[RLS_TEST_PATH_MAX];
    rls_matrix *x[EDITS];
    rls_export_tensor edits[EDITS];
    rls_model_dir *edited = NULL;
    begin(&f);
    size_t before_size = 0;
    char *before = rls_test_read(rls_test_path(path, f.from, FILE_B), &before_size);
    for (int i = 0; i < EDITS; i++) {
        x[i] = make_edit(f.grid, f.model, &weights[chosen[i]], state, block);
        edits[EDITS - 1 - i] = as_export(&weights[chosen[i]], x[i]); /* in no order of the file */
    }
    const struct rls_config_export options = {.dtype = RLS_EXPORT_MODEL};
    assert_all_ok(f.ctx, rls_model_export_check(f.ctx, f.to));
    json_t *taken = NULL, *read = NULL;
    assert_all_ok(f.ctx, rls_model_export_digests(f.model, f.to, edits, EDITS, &options, &taken));
    assert_all_ok(f.ctx, rls_tree_digests(f.ctx, f.to, &read));
    assert_all(json_array_size(read) >= 5 && json_equal(taken, read));
    json_decref(taken);
    json_decref(read);
    assert_all_int_equal(entries(f.to), entries(f.from));
    check_linked(&f, FILE_C);
    check_copied(&f, "config.json");
    check_copied(&f, RLS_MODEL_INDEX);
    check_own(&f, FILE_A);
    check_own(&f, FILE_B);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.to, &edited));
    for (int i = 0; i < EDITS; i++)
        check_edited(edited, &weights[chosen[i]], state, weights[chosen[i]].dtype);
    check_untouched(f.model, edited, edits, EDITS);
    for (int64_t s = 0; s < rls_model_dir_shards(f.model); s++) { /* headers too */
        const rls_shard *a = rls_model_dir_shard(f.model, s), *b = rls_model_dir_shard(edited, s);
        char *one = rls_test_read(a->path, NULL), *two = rls_test_read(b->path, NULL);
        assert_all(a->bytes == b->bytes && a->data_begin == b->data_begin);
        assert_all(memcmp(one, two, (size_t)a->data_begin) == 0);
        free(one);
        free(two);
    }
    size_t after_size = 0;
    char *after = rls_test_read(rls_test_path(path, f.from, FILE_B), &after_size);
    assert_all(after_size == before_size && memcmp(after, before, after_size) == 0);
    assert_all(!is_there(rls_test_path(other, f.dir, ".edited.partial")));
    free(before);
    free(after);
    rls_model_dir_close(&edited);
    for (int i = 0; i < EDITS; i++)
        rls_matrix_destroy(&x[i]);
    end(&f);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(RLS_F64, 4);
    round_trip(RLS_F64, 64);
    round_trip(RLS_F32, 3);
}

/* Without edits, and with edits that change nothing, the export is the original. */
static void test_atlas(void **state)
{
    enum { LAYERS = 2 };
    fixture f;
    char path[RLS_TEST_PATH_MAX], other[RLS_TEST_PATH_MAX];
    rls_model_dir *atlas = NULL;
    rls_matrix *x[LAYERS];
    rls_export_tensor edits[LAYERS];
    static const char *const tensor[LAYERS] = {"model.layers.0.mlp.down_proj.weight",
                                               "model.layers.1.mlp.down_proj.weight"};
    (void)state;
    begin(&f);
    rls_test_data(path, "atlas");
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, path, &atlas));
    for (int i = 0; i < LAYERS; i++) {
        const rls_model_tensor *t = rls_model_dir_find(atlas, tensor[i]);
        assert_all(t != NULL);
        assert_all_ok(f.ctx,
                      rls_matrix_create(f.grid, RLS_F32, t->info->shape[1], t->info->shape[0], 32, &x[i]));
        assert_all_ok(f.ctx, rls_tensor_load(atlas, tensor[i], RLS_LINES_ARE_COLUMNS, x[i]));
        edits[i] = (rls_export_tensor){tensor[i], RLS_LINES_ARE_COLUMNS, x[i]};
    }
    (void)rls_test_path(other, f.dir, "plain/"); /* the slash at its end means nothing */
    assert_all_ok(f.ctx, rls_model_export(atlas, other, NULL, 0, RLS_EXPORT_MODEL));
    assert_all_ok(f.ctx, rls_model_export(atlas, f.to, edits, LAYERS, RLS_EXPORT_MODEL));
    static const char *const file[] = {"model-00001-of-00002.safetensors",
                                       "model-00002-of-00002.safetensors",
                                       RLS_MODEL_INDEX,
                                       "config.json",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "generation_config.json"};
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        char a[RLS_TEST_PATH_MAX], b[RLS_TEST_PATH_MAX];
        assert_all(same_bytes(rls_test_path(a, path, file[i]), rls_test_path(b, f.to, file[i])));
        assert_all(same_bytes(a, rls_test_path(b, other, file[i])));
    }
    assert_all_int_equal(entries(f.to), sizeof file / sizeof file[0]);
    for (int i = 0; i < LAYERS; i++)
        rls_matrix_destroy(&x[i]);
    rls_model_dir_close(&atlas);
    end(&f);
}

/* Edited tensors become float32, the shard's other tensors keep their bytes at new offsets, the index its
 * sum. */
static void test_float32(void **state)
{
    enum { EDITS = 4 };
    static const int chosen[EDITS] = {0, 2, 3, 4};
    fixture f;
    char path[RLS_TEST_PATH_MAX], total[64];
    rls_matrix *x[EDITS];
    rls_export_tensor edits[EDITS];
    rls_model_dir *edited = NULL;
    int64_t growth = 0;
    (void)state;
    begin(&f);
    for (int i = 0; i < EDITS; i++) {
        const weight *w = &weights[chosen[i]];
        x[i] = make_edit(f.grid, f.model, w, RLS_F64, 4);
        edits[i] = as_export(w, x[i]);
        growth += w->n * w->m * (4 - (int64_t)rls_dtype_size(w->dtype));
    }
    assert_all_ok(f.ctx, rls_model_export(f.model, f.to, edits, EDITS, RLS_EXPORT_FLOAT32));
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.to, &edited)); /* validates all offsets */
    for (int i = 0; i < EDITS; i++)
        check_edited(edited, &weights[chosen[i]], RLS_F64, RLS_F32);
    check_untouched(f.model, edited, edits, EDITS);
    check_linked(&f, FILE_C);
    check_own(&f, RLS_MODEL_INDEX);
    assert_all_int_equal(rls_model_dir_shard(edited, 0)->data_begin % 8, 0);
    char *header = rls_test_read(rls_test_path(path, f.to, FILE_A), NULL);
    assert_all(strncmp(header + 8, "{\"__metadata__\":{\"format\":\"pt\"}", 31) == 0);
    free(header);
    char *index = rls_test_read(rls_test_path(path, f.to, RLS_MODEL_INDEX), NULL);
    (void)snprintf(total, sizeof total, "\"total_size\": %" PRId64 ",", samples_bytes() + growth);
    assert_all(strstr(index, total) != NULL && strstr(index, "\"by\": \"tests\"") != NULL);
    free(index);
    rls_model_dir_close(&edited);

    /* A tensor that is F32 already changes no type: header and index stay. */
    char again[RLS_TEST_PATH_MAX];
    assert_all_ok(f.ctx, rls_model_export(f.model, rls_test_path(again, f.dir, "again"), &edits[2], 1,
                                          RLS_EXPORT_FLOAT32));
    (void)snprintf(f.to, sizeof f.to, "%s", again);
    check_copied(&f, RLS_MODEL_INDEX);
    check_linked(&f, FILE_A);
    check_own(&f, FILE_B);
    for (int i = 0; i < EDITS; i++)
        rls_matrix_destroy(&x[i]);
    end(&f);
}

/* Side files are copied; links that lead out of the directory, other forms of the weights and things of no use are
 * left out. */
static void test_side_files(void **state)
{
    fixture f;
    char path[RLS_TEST_PATH_MAX], other[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(path, f.dir, "private"));
    rls_test_write_text(path, "key", "secret");
    rls_test_write_text(path, "tokens", "tokens");
    make_link("../private/key", f.from, "notes.txt");
    make_link("../private/tokens", f.from, "tokenizer.json");
    make_link("../private/gone", f.from, "dangling.json");
    make_link("..", f.from, "loop");
    make_link("config.json", f.from, "alias.json");
    rls_test_mkdir(rls_test_path(path, f.from, "docs"));
    rls_test_mkdir(rls_test_path(other, path, "deeper"));
    rls_test_write_text(other, "card.md", "card");
    make_link("../../private/key", path, "key.md");
    rls_test_mkdir(rls_test_path(path, f.from, ".git"));
    rls_test_write_text(path, "HEAD", "ref");
    rls_test_mkdir(rls_test_path(path, f.from, "bare"));
    rls_test_mkdir(rls_test_path(path, f.from, "original"));
    rls_test_write_text(path, "consolidated.00.pth", "before");
    rls_test_write_text(f.from, "pytorch_model.bin", "before");
    rls_test_write_text(f.from, "consolidated.safetensors", "before");
    rls_matrix *x = make_edit(f.grid, f.model, &weights[0], RLS_F32, 8);
    const rls_export_tensor edit = as_export(&weights[0], x);
    assert_all_ok(f.ctx, rls_model_export(f.model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    check_copied(&f, "tokenizer.json"); /* is read as the model */
    check_copied(&f, "alias.json");
    check_copied(&f, "docs/deeper/card.md");
    check_linked(&f, FILE_B);
    check_own(&f, FILE_A);
    assert_all(!is_there(rls_test_path(path, f.to, "docs/key.md")));
    assert_all(is_there(rls_test_path(path, f.to, "bare")) && entries(path) == 0);
    /* .git, loop, dangling.json, notes.txt, original, pytorch_model.bin, consolidated.safetensors */
    assert_all_int_equal(entries(f.to), entries(f.from) - 7);

    /* Into the model's own directory, twice: the first export is a side file of the second, the second not of
     * itself. */
    (void)rls_test_path(path, f.from, "edited");
    assert_all_ok(f.ctx, rls_model_export(f.model, path, &edit, 1, RLS_EXPORT_MODEL));
    assert_all(!is_there(rls_test_path(other, path, "edited")) &&
               !is_there(rls_test_path(other, path, ".edited.partial")));
    rls_test_mkdir(rls_test_path(other, f.from, "run"));
    assert_all_ok(f.ctx,
                  rls_model_export(f.model, rls_test_path(path, other, "model"), &edit, 1, RLS_EXPORT_MODEL));
    assert_all(is_there(rls_test_path(other, path, "edited/" FILE_A)) &&
               !is_there(rls_test_path(other, path, "run")));
    rls_matrix_destroy(&x);
    end(&f);
}

/* The hub's cache: a snapshot is a directory of links into the blobs of its repository, and these are followed. */
static void test_hub(void **state)
{
    fixture f;
    char snapshots[RLS_TEST_PATH_MAX], blobs[RLS_TEST_PATH_MAX], home[RLS_TEST_PATH_MAX];
    rls_model_dir *model = NULL;
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(snapshots, f.dir, "snapshots"));
    rls_test_mkdir(rls_test_path(home, snapshots, "0abc"));
    rls_test_mkdir(rls_test_path(blobs, f.dir, "blobs"));
    rls_test_write_text(blobs, "77aa", "merges");
    rls_test_write_text(f.dir, "outside", "secret");
    (void)snprintf(f.from, sizeof f.from, "%s", home);
    write_model(f.from);
    make_link("../../blobs/77aa", f.from, "merges.txt");
    make_link("../../outside", f.from, "notes.txt");
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, f.from, &model));
    rls_matrix *x = make_edit(f.grid, model, &weights[0], RLS_F32, 8);
    const rls_export_tensor edit = as_export(&weights[0], x);
    assert_all_ok(f.ctx, rls_model_export(model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    check_copied(&f, "merges.txt");
    assert_all_int_equal(entries(f.to), entries(f.from) - 1);
    rls_matrix_destroy(&x);
    rls_model_dir_close(&model);
    end(&f);
}

/* export.link: files of their own, sharing blocks or not. */
static void test_no_links(void **state)
{
    static const rls_export_link LINKS[] = {RLS_EXPORT_COPY, RLS_EXPORT_REFLINK};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        begin(&f);
        rls_matrix *x = make_edit(f.grid, f.model, &weights[0], RLS_F32, 8);
        const rls_export_tensor edit = as_export(&weights[0], x);
        const struct rls_config_export options = {.dtype = RLS_EXPORT_MODEL, .link = LINKS[i]};
        assert_all_ok(f.ctx, rls_model_export_digests(f.model, f.to, &edit, 1, &options, NULL));
        check_copied(&f, FILE_B);
        check_copied(&f, FILE_C);
        rls_matrix_destroy(&x);
        end(&f);
    }
}

/* A shard that is a link into the store of blobs is rewritten as a file; the blob stays. */
static void test_linked_shard(void **state)
{
    fixture f;
    char shard[RLS_TEST_PATH_MAX], blob[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX];
    struct stat info;
    (void)state;
    begin(&f);
    (void)rls_test_path(shard, f.from, FILE_A);
    (void)rls_test_path(blob, f.dir, "blob");
    char *before = rls_test_read(shard, NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rls_context_rank(f.ctx) == 0 && rename(shard, blob) != 0)
        abort();
    make_link("../blob", f.from, FILE_A);
    rls_matrix *x = make_edit(f.grid, f.model, &weights[0], RLS_F32, 8);
    const rls_export_tensor edit = as_export(&weights[0], x);
    assert_all_ok(f.ctx, rls_model_export(f.model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    assert_all(lstat(rls_test_path(path, f.to, FILE_A), &info) == 0 && S_ISREG(info.st_mode));
    check_own(&f, FILE_A);
    char *after = rls_test_read(blob, NULL);
    assert_all(memcmp(before, after, (size_t)rls_model_dir_shard(f.model, 0)->bytes) == 0);
    free(before);
    free(after);
    rls_matrix_destroy(&x);
    end(&f);
}

/* Where nothing can be linked: small files are copied by rank 0, large ones by all. /dev/shm is another file
 * system. */
static void test_other_file_system(void **state)
{
    enum { LARGE = RLS_ROUND_BYTES + (1 << 20) + 1 };
    fixture f;
    char from[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX], other[RLS_TEST_PATH_MAX];
    struct stat here, there;
    rls_model_dir *model = NULL;
    (void)state;
    begin(&f);
    (void)snprintf(from, sizeof from, "/dev/shm%s", strrchr(f.dir, '/'));
    rls_test_mkdir(from);
    write_model(from);
    /* Mostly a hole, so that it costs nothing. */
    int large_made = 1;
    if (rls_context_rank(f.ctx) == 0) {
        FILE *large = fopen(rls_test_path(path, from, "large.bin"), "w");
        large_made = large != NULL && fputs("head", large) >= 0 && fseek(large, LARGE - 4, SEEK_SET) == 0 &&
                     fputs("tail", large) >= 0 && fclose(large) == 0;
    }
    assert_all(large_made);
    assert_all(stat(f.dir, &here) == 0 && stat(from, &there) == 0 && here.st_dev != there.st_dev);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, from, &model));
    rls_matrix *x = make_edit(f.grid, model, &weights[4], RLS_F32, 8);
    const rls_export_tensor edit = as_export(&weights[4], x);
    assert_all_ok(f.ctx, rls_model_export(model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    static const char *const file[] = {FILE_A, FILE_C, RLS_MODEL_INDEX, "config.json"};
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++)
        assert_all(same_bytes(rls_test_path(path, from, file[i]), rls_test_path(other, f.to, file[i])));
    size_t size = 0;
    char *large = rls_test_read(rls_test_path(path, f.to, "large.bin"), &size);
    size_t zeros = 0;
    for (size_t i = 4; i + 4 < size; i++)
        zeros += large[i] == '\0';
    assert_all(size == LARGE && memcmp(large, "head", 4) == 0 && memcmp(large + LARGE - 4, "tail", 4) == 0 &&
               zeros == LARGE - 8);
    free(large);
    rls_matrix_destroy(&x);
    rls_model_dir_close(&model);
    rls_test_rmtree(from);
    end(&f);
}

/* Two groups of ranks export the same model to two places at the same time. */
static void test_groups(void **state)
{
    fixture f;
    MPI_Comm half;
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    rls_model_dir *model = NULL;
    rls_matrix *x = NULL;
    char to[RLS_TEST_PATH_MAX];
    (void)state;
    begin(&f);
    const int rank = rls_context_rank(f.ctx);
    const weight *w = &weights[rank % 2];
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
    rls_status status = rls_context_create(half, &ctx);
    if (status == RLS_OK)
        status = rls_grid_create(ctx, 0, 0, &grid);
    if (status == RLS_OK)
        status = rls_model_dir_open(ctx, f.from, &model);
    if (status == RLS_OK)
        status = rls_matrix_create(grid, RLS_F64, w->n, w->m, 4, &x);
    if (status == RLS_OK) /* of zeros */
        status = rls_model_export(model, rls_test_path(to, f.dir, rank % 2 == 0 ? "even" : "odd"),
                                  &(rls_export_tensor){w->name, w->lines, x}, 1, RLS_EXPORT_MODEL);
    assert_all_int_equal(status, RLS_OK);
    rls_matrix_destroy(&x);
    rls_model_dir_close(&model);
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    MPI_Comm_free(&half);

    for (int k = 0; k < 2 && k < rls_context_size(f.ctx); k++) {
        assert_all_ok(f.ctx,
                      rls_model_dir_open(f.ctx, rls_test_path(to, f.dir, k == 0 ? "even" : "odd"), &model));
        const rls_model_tensor *t = rls_model_dir_find(model, weights[k].name);
        assert_all(t != NULL);
        char *bytes = rls_test_read(rls_model_dir_shard(model, t->shard)->path, NULL);
        int64_t others = 0;
        for (int64_t i = t->info->begin; i < t->info->end; i++)
            others += bytes[t->offset + i - t->info->begin] != 0;
        assert_all_int_equal(others, 0);
        free(bytes);
        rls_model_dir_close(&model);
    }
    end(&f);
}

/* A tensor of more than a round: several rounds on one and two ranks. */
static void test_rounds(void **state)
{
    enum { M = 8400, N = 8200 }; /* 138 MB of BF16 */
    fixture f;
    char path[RLS_TEST_PATH_MAX];
    rls_model_dir *model = NULL;
    rls_matrix *x = NULL;
    (void)state;
    begin(&f);
    rls_test_mkdir(rls_test_path(path, f.dir, "big"));
    /* Its header only, then numbers that can be told apart: element k is the BF16 of bits k mod 16001. */
    char header[256];
    const size_t bytes = (size_t)M * N * 2;
    const int len = snprintf(header, sizeof header,
                             "{\"before\":{\"dtype\":\"BF16\",\"shape\":[7],\"data_offsets\":[0,14]},"
                             "\"big\":{\"dtype\":\"BF16\",\"shape\":[%d,%d],\"data_offsets\":[14,%zu]}}",
                             M, N, bytes + 14);
    const size_t data = 8 + (size_t)len + 14;
    char *file = calloc(data + bytes, 1);
    assert_all(file != NULL && len < 256);
    file[0] = (char)len;
    memcpy(file + 8, header, (size_t)len);
    for (size_t k = 0; k < bytes / 2; k++) {
        file[data + 2 * k] = (char)(unsigned char)(k % 16001 & 0xffU);
        file[data + 2 * k + 1] = (char)(unsigned char)(k % 16001 >> 8U);
    }
    char to[RLS_TEST_PATH_MAX];
    rls_test_write(rls_test_path(to, path, "model.safetensors"), file, data + bytes);
    assert_all_ok(f.ctx, rls_model_dir_open(f.ctx, path, &model));
    assert_all_ok(f.ctx, rls_matrix_create(f.grid, RLS_F32, N, M, 64, &x));
    assert_all_ok(f.ctx, rls_tensor_load(model, "big", RLS_LINES_ARE_COLUMNS, x));
    int64_t rows = 0, cols = 0, wrong = 0;
    (void)rls_matrix_local(x, &rows, &cols, NULL);
    for (int64_t jl = 0; jl < cols; jl++) {
        const int64_t line = rls_matrix_global_col(x, jl) * N;
        for (int64_t il = 0; il < rows; il++) {
            const uint32_t bits = (uint32_t)((line + rls_matrix_global_row(x, il)) % 16001) << 16U;
            float value = 0.0F;
            memcpy(&value, &bits, sizeof value);
            wrong += (float)local_value(x, il, jl) != value;
        }
    }
    assert_all_int_equal(wrong, 0);
    const rls_export_tensor edit = {"big", RLS_LINES_ARE_COLUMNS, x};
    assert_all_ok(f.ctx, rls_model_export(model, f.to, &edit, 1, RLS_EXPORT_MODEL));
    size_t size = 0;
    char *after = rls_test_read(rls_test_path(to, f.to, "model.safetensors"), &size);
    assert_all(size == data + bytes && memcmp(after, file, size) == 0);
    free(after);

    free(file);
    rls_matrix_destroy(&x);
    rls_model_dir_close(&model);
    end(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_atlas),
        cmocka_unit_test(test_float32),      cmocka_unit_test(test_side_files),
        cmocka_unit_test(test_linked_shard), cmocka_unit_test(test_hub),
        cmocka_unit_test(test_no_links),     cmocka_unit_test(test_other_file_system),
        cmocka_unit_test(test_groups),       cmocka_unit_test(test_rounds)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "export");
}
