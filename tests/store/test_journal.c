/* The journal: committed segments are a stream of exactly the edits; damage is found, told, and set aside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/journal.h"
#include "store/problem.h"
#include "store/segment_names.h"
#include "store/stream.h"
#include "store/stream_files.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static char journal_path[RLS_TEST_PATH_MAX];

static const char *segment(int64_t i, const char *ending, char path[RLS_TEST_PATH_MAX])
{
    (void)snprintf(path, RLS_TEST_PATH_MAX, "%.900s/segment-%06d.%s", journal_path, (int)i, ending);
    return path;
}

static int setup(void **state)
{
    const int failed = scratch_setup(state);
    (void)in_scratch("stream", journal_path);
    return failed;
}

static const int64_t EDITS[] = {5, 1, 8, 3};
enum { SEGMENTS = sizeof EDITS / sizeof EDITS[0], ALL = 17 };

/* Commits `count` edits from `first` on, dealt out unevenly. */
static rls_status commit(rls_context *ctx, rls_journal *journal, int64_t first, int64_t count)
{
    rls_stream_layer layers[LAYERS];
    const rls_stream_info info = some_info(layers, RLS_TARGET, 10);
    const int64_t begin = count * ctx->rank * ctx->rank / (ctx->size * ctx->size);
    const int64_t end = count * (ctx->rank + 1) * (ctx->rank + 1) / (ctx->size * ctx->size);
    rls_vectors keys[LAYERS], values[LAYERS];
    int64_t ids[16];
    for (int64_t e = begin; e < end; e++)
        ids[e - begin] = expected_id(first + e);
    for (int i = 0; i < LAYERS; i++) {
        const rls_stream_layer *l = &info.layers[i];
        keys[i] =
            make_vectors(l->layer, RLS_STREAM_KEYS, l->key_dtype, RLS_F64, first + begin, end - begin, l->n);
        values[i] = make_vectors(l->layer, RLS_STREAM_VALUES, l->value_dtype, RLS_F64, first + begin,
                                 end - begin, l->m);
    }
    const rls_status status = rls_journal_commit(journal, ids, keys, values);
    for (int i = 0; i < LAYERS; i++) {
        free((void *)keys[i].data);
        free((void *)values[i].data);
    }
    return status;
}

static rls_journal *open_at(rls_context *ctx, int64_t next, int64_t edits)
{
    rls_stream_layer layers[LAYERS];
    const rls_stream_info info = some_info(layers, RLS_TARGET, 10);
    rls_journal *journal = NULL;
    assert_all_ok(ctx, rls_journal_open(ctx, journal_path, "token", &info, next, edits, next, &journal));
    assert_all_int_equal(rls_journal_segments(journal), next);
    assert_all_int_equal(rls_journal_edits(journal), edits);
    return journal;
}

static void write_all(rls_context *ctx)
{
    rls_journal *journal = open_at(ctx, 0, 0);
    int64_t edits = 0;
    for (int i = 0; i < SEGMENTS; i++) {
        assert_all_ok(ctx, commit(ctx, journal, edits, EDITS[i]));
        edits += EDITS[i];
        assert_all_int_equal(rls_journal_segments(journal), i + 1);
        assert_all_int_equal(rls_journal_edits(journal), edits);
    }
    rls_journal_close(&journal);
    assert_null(journal);
    rls_journal_close(&journal);
}

static void assert_sound(rls_context *ctx, int64_t present, int64_t sound, size_t problems, const char *why)
{
    rls_journal_survey survey;
    int64_t edits = 0;
    assert_all_ok(ctx, rls_journal_examine(ctx, journal_path, &survey));
    if (ctx->rank == 0 && strstr(survey.why, why) == NULL)
        print_message("\"%s\" without \"%s\"\n", survey.why, why);
    assert_all_int_equal(survey.present, present);
    assert_all_int_equal(survey.sound, sound);
    assert_all(ctx->rank != 0 ? survey.problems == NULL : json_array_size(survey.problems) == problems);
    for (int64_t i = 0; i < sound; i++) {
        edits += EDITS[i];
        assert_all_int_equal(survey.ends[i], edits);
    }
    assert_all((survey.why[0] == '\0') == (sound == present) && strstr(survey.why, why) != NULL);
    rls_journal_survey_free(&survey);
    rls_journal_survey_free(&survey);
}

static void set_aside(rls_context *ctx)
{
    rls_journal_survey survey;
    assert_all_ok(ctx, rls_journal_examine(ctx, journal_path, &survey));
    assert_all_ok(ctx, rls_journal_set_aside(ctx, journal_path, &survey));
    rls_journal_survey_free(&survey);
}

static void test_round_trip(void **state)
{
    rls_context *ctx = *state;
    assert_sound(ctx, 0, 0, 0, ""); /* no directory: no journal */
    write_all(ctx);
    assert_sound(ctx, SEGMENTS, SEGMENTS, 0, "");
    rls_stream *stream = NULL;
    assert_all_ok(ctx, rls_stream_open(ctx, journal_path, RLS_STREAM_EDITS, &stream));
    assert_all_int_equal(rls_stream_inquire(stream)->edits, ALL);
    assert_all_int_equal(rls_stream_segments(stream), SEGMENTS);
    int64_t ids[ALL], wrong = 0;
    assert_all_ok(ctx, rls_stream_case_ids(stream, 0, ALL, ids));
    for (int64_t e = 0; e < ALL; e++)
        wrong += ids[e] != expected_id(e);
    for (int i = 0; i < rls_stream_inquire(stream)->layer_count; i++) {
        const rls_stream_layer *l = &rls_stream_inquire(stream)->layers[i];
        rls_stream_share share = {0};
        assert_all_ok(ctx, rls_stream_read(stream, l->layer, RLS_STREAM_KEYS, 0, ALL, RLS_F64, &share));
        const double *x = share.vectors.data;
        for (int64_t k = 0; k < share.vectors.count * l->n; k++)
            wrong +=
                x[k] != expected(l->layer, RLS_STREAM_KEYS, l->key_dtype, share.first + k / l->n, k % l->n);
        rls_stream_share_free(&share);
    }
    assert_all_int_equal(wrong, 0);
    rls_stream_close(&stream);
}

/* A journal is gone on with; what a dead run left unfinished goes. */
static void test_going_on(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    write_all(ctx);
    (void)snprintf(path, sizeof path, "%.900s/.segment-000004.dead.partial", journal_path);
    rls_test_write(path, "half", 4);
    char manifest[RLS_TEST_PATH_MAX];
    rls_test_write(segment(4, "json", manifest), "never committed", 15);
    assert_sound(ctx, SEGMENTS, SEGMENTS, 0, "");
    rls_journal *journal = open_at(ctx, SEGMENTS, ALL);
    assert_all(!rls_test_exists(path));
    assert_all_ok(ctx, commit(ctx, journal, ALL, 2));
    rls_journal_close(&journal);
    rls_journal_survey survey;
    assert_all_ok(ctx, rls_journal_examine(ctx, journal_path, &survey));
    assert_all(survey.sound == SEGMENTS + 1 && survey.ends[SEGMENTS] == ALL + 2);
    rls_journal_survey_free(&survey);
}

/* A commit that fails commits nothing, and can be done again. */
static void test_failing(void **state)
{
    rls_context *ctx = *state;
    static const rls_fault_phase PHASES[] = {RLS_FAULT_segment_write, RLS_FAULT_segment_digest,
                                             RLS_FAULT_segment_manifest, RLS_FAULT_segment_rename};
    rls_journal *journal = open_at(ctx, 0, 0);
    for (size_t i = 0; i < sizeof PHASES / sizeof PHASES[0]; i++) {
        const bool root = PHASES[i] == RLS_FAULT_segment_manifest || PHASES[i] == RLS_FAULT_segment_rename;
        ctx->fault = (rls_fault_plan){(int)PHASES[i], RLS_FAULT_ERROR, root ? 0 : ctx->size - 1, 1};
        assert_all_status(ctx, commit(ctx, journal, 0, EDITS[0]), RLS_ERR_IO);
        assert_all_message(ctx, "injected fault");
        assert_all_int_equal(rls_journal_segments(journal), 0);
        assert_sound(ctx, 0, 0, 0, "");
    }
    assert_all_ok(ctx, commit(ctx, journal, 0, EDITS[0]));
    assert_sound(ctx, 1, 1, 0, "");
    rls_journal_close(&journal);
}

static void change(const char *path, size_t at, bool cut)
{
    size_t bytes = 0;
    char *data = rls_test_read(path, &bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    if (cut)
        bytes = at;
    else
        data[at < bytes ? at : bytes - 1] ^= 4;
    rls_test_write(path, data, bytes);
    free(data);
}

/* Any file damaged in any way: the segments before it count, all damage is listed. */
static void test_damage(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    write_all(ctx);
    for (int i = 0; i < SEGMENTS; i++)
        for (int kind = 0; kind < 6; kind++) {
            size_t bytes = 0;
            (void)segment(i, kind < 3 ? "nc" : "json", path);
            char *kept = rls_test_read(path, &bytes);
            MPI_Barrier(MPI_COMM_WORLD);
            if (kind % 3 == 0)
                change(path, bytes / 2, false);
            else
                change(path, kind % 3 == 1 ? bytes - 1 : 0, true);
            assert_sound(ctx, SEGMENTS, i, 1, path);
            rls_test_write(path, kept, bytes);
            free(kept);
        }
    assert_sound(ctx, SEGMENTS, SEGMENTS, 0, "");
    change(segment(1, "nc", path), 100, true);
    change(segment(3, "nc", path), 500, false);
    assert_sound(ctx, SEGMENTS, 1, 2, "segment-000001.nc");
}

/* A whole segment in another's place is not sound there. */
static void test_misplaced(void **state)
{
    rls_context *ctx = *state;
    char from[RLS_TEST_PATH_MAX], to[RLS_TEST_PATH_MAX];
    size_t bytes = 0;
    write_all(ctx);
    static const char *const ENDINGS[] = {"nc", "json"};
    for (int i = 0; i < 2; i++) {
        char *data = rls_test_read(segment(1, ENDINGS[i], from), &bytes);
        rls_test_write(segment(2, ENDINGS[i], to), data, bytes);
        free(data);
    }
    assert_sound(ctx, SEGMENTS, 2, 2, "does not follow the segment before"); /* and the next one neither */
    MPI_Barrier(MPI_COMM_WORLD);
    if (ctx->rank == 0)
        assert_int_equal(unlink(segment(0, "nc", from)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_sound(ctx, SEGMENTS - 1, 0, 1, "segment-000000.nc is missing");
}

/* Names are of segments only as they are written: copies and foreign files are neither examined nor opened, a
 * segment that does not follow is not sound, however far its number is. */
static void test_strays(void **state)
{
    static const char *const STRAYS[] = {"segment-000001 (copy).nc", "segment-1.nc", "notes.nc",
                                         "segment-99999999999999999999.nc"};
    rls_context *ctx = *state;
    char from[RLS_TEST_PATH_MAX], to[RLS_TEST_PATH_MAX];
    rls_journal_survey survey;
    rls_stream *stream = NULL;
    size_t bytes = 0;
    write_all(ctx);
    char *data = rls_test_read(segment(1, "nc", from), &bytes);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(to, sizeof to, "%.900s/%s", journal_path, STRAYS[i]);
        rls_test_write(to, data, i == 2 ? 7 : bytes); /* no netCDF at all */
    }
    assert_sound(ctx, SEGMENTS, SEGMENTS, 0, "");
    assert_all_ok(ctx, rls_journal_examine(ctx, journal_path, &survey));
    assert_all_int_equal(survey.strays, 4);
    assert_all(strcmp(survey.stray, "notes.nc") == 0);
    assert_all_ok(ctx, rls_stream_open_journal(ctx, journal_path, SEGMENTS, survey.ends, &stream));
    assert_all_int_equal(rls_stream_inquire(stream)->edits, ALL);
    rls_stream_close(&stream);
    survey.ends[1]++;
    assert_all_status(ctx, rls_stream_open_journal(ctx, journal_path, SEGMENTS, survey.ends, &stream),
                      RLS_ERR_DATA);
    assert_all_message(ctx, "segment-000001.nc");
    rls_journal_survey_free(&survey);
    assert_all_ok(ctx,
                  rls_stream_open(ctx, journal_path, RLS_STREAM_EDITS, &stream)); /* as --stream opens it */
    assert_all_int_equal(rls_stream_inquire(stream)->edits, ALL);
    rls_stream_close(&stream);

    rls_test_write(segment(100000000, "nc", to), data, bytes);
    assert_sound(ctx, SEGMENTS + 1, SEGMENTS, 1, "segment-000004.nc is missing");
    assert_all_status(ctx, rls_stream_open(ctx, journal_path, RLS_STREAM_EDITS, &stream), RLS_ERR_DATA);
    assert_all_message(ctx, "segment-000004.nc is missing");
    set_aside(ctx);
    assert_sound(ctx, SEGMENTS, SEGMENTS, 0, "");
    assert_all(rls_test_exists(segment(100000000, "nc.damaged", to)));
    free(data);
}

/* A million segments and more are in the order of their numbers, not of their names. */
static void test_order(void **state)
{
    static const int64_t NUMBERS[] = {100001, 1000000, 99999, 999999999999};
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], name[RLS_SEGMENT_NAME_MAX], path[RLS_TEST_PATH_MAX];
    rls_segment_names names;
    int wrong = 0;
    (void)in_scratch("many", dir);
    if (ctx->rank == 0) {
        assert_int_equal(mkdir(dir, 0777), 0);
        for (int i = 0; i < 4; i++) {
            (void)snprintf(path, sizeof path, "%.900s/%s", dir, rls_segment_name(NUMBERS[i], "nc", name));
            wrong += rls_segment_number(name, "nc") != NUMBERS[i] || rls_segment_number(name, "json") != -1;
            FILE *file = fopen(path, "w");
            assert_non_null(file);
            (void)fclose(file);
        }
        assert_int_equal(rls_segment_names_list(ctx, dir, &names), RLS_OK);
        assert_int_equal(names.count, 4);
        for (int64_t i = 0; i + 1 < names.count; i++)
            wrong += names.number[i] >= names.number[i + 1];
        rls_segment_names_free(&names);
    }
    assert_all_int_equal(wrong, 0);
}

/* Set aside is not deleted, and not in the stream; a second time there is another name. */
static void test_set_aside(void **state)
{
    rls_context *ctx = *state;
    char path[RLS_TEST_PATH_MAX];
    for (int time = 1; time <= 2; time++) {
        write_all(ctx);
        change(segment(2, "nc", path), 3, false);
        assert_sound(ctx, SEGMENTS, 2, 1, path);
        set_aside(ctx);
        assert_sound(ctx, 2, 2, 0, "");
        assert_all(rls_test_exists(segment(2, time == 1 ? "nc.damaged" : "nc.damaged-2", path)));
        assert_all(rls_test_exists(segment(3, time == 1 ? "json.damaged" : "json.damaged-2", path)));
        assert_all(!rls_test_exists(segment(3, "json", path)));
    }
    rls_stream *stream = NULL;
    assert_all_ok(ctx, rls_stream_open(ctx, journal_path, RLS_STREAM_EDITS, &stream));
    assert_all_int_equal(rls_stream_inquire(stream)->edits, EDITS[0] + EDITS[1]);
    rls_stream_close(&stream);
    rls_journal *journal = open_at(ctx, 2, EDITS[0] + EDITS[1]);
    assert_all_ok(ctx, commit(ctx, journal, EDITS[0] + EDITS[1], EDITS[2]));
    assert_sound(ctx, 3, 3, 0, "");
    rls_journal_close(&journal);
}

#define in_dir(function) cmocka_unit_test_setup_teardown(function, setup, scratch_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_round_trip), in_dir(test_going_on),  in_dir(test_failing), in_dir(test_damage),
        in_dir(test_misplaced),  in_dir(test_set_aside), in_dir(test_strays),  in_dir(test_order)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "journal");
}
