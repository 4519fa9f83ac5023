/* Headers of netCDF files: each file of the corpus breaks one rule, and is refused for it. ctest: NP 1 2 */
#include <stdio.h>
#include <string.h>

#include "store/cdf.h"
#include "support/collective.h"
#include "support/state.h"

static void test_corpus(void **state)
{
    static const struct {
        const char *name, *why; /* NULL: it is good */
    } files[] = {
        {"good-stream-1", NULL},
        {"good-stream-2", NULL},
        {"good-stream-5", NULL},
        {"good-moments-1", NULL},
        {"good-moments-2", NULL},
        {"good-moments-5", NULL},
        {"good-empty", NULL},
        {"good-no-records", NULL},
        {"good-one-record-variable", NULL},
        {"bad-empty-file", "is not a netCDF file"},
        {"bad-magic", "is not a netCDF file"},
        {"bad-version", "is not a netCDF file"},
        {"bad-hdf5", "is a netCDF-4 (HDF5) file"},
        {"bad-short-header", "is truncated: it ends within its header"},
        {"bad-short-data", "is truncated: variable value_0 ends at byte"},
        {"bad-streaming", "no number of records"},
        {"bad-many-records", "is truncated: variable case_id"},
        {"bad-negative-dimension", "a negative count"},
        {"bad-two-unlimited", "two unlimited dimensions"},
        {"bad-list-count", "a list longer than any header"},
        {"bad-list-short", "a list without its tag"},
        {"bad-name-nul", "a name with a NUL in it"},
        {"bad-name-length", "a name or attribute larger than any header"},
        {"bad-type", "an unknown type"},
        {"bad-type-cdf1", "an unknown type"},
        {"bad-attribute-length", "a name or attribute larger than any header"},
        {"bad-dimension-number", "a variable of a dimension that is not there"},
        {"bad-dimension-count", "a variable of more than 1024 dimensions"},
        {"bad-unlimited-second", "a variable whose unlimited dimension is not its first"},
        {"bad-size", "a variable of impossible size"},
        {"bad-record-size", "records of impossible size"},
        {"bad-overlap", "variables that overlap"},
        {"bad-begin-in-header", "variables that overlap"},
        {"bad-begin-negative", "variables that overlap"},
        {"bad-begin-beyond", "is truncated: variable value_0"},
    };
    rls_context *ctx = *state;
    for (size_t i = 0; i < RLS_TEST_COUNT(files); i++) {
        char path[RLS_TEST_PATH_MAX];
        rls_cdf cdf;
        (void)snprintf(path, sizeof path, "%s/tests/fuzz/corpus/cdf/%s", RLS_TEST_SOURCE, files[i].name);
        const rls_status status = rls_agree(ctx, rls_cdf_read(ctx, path, &cdf));
        assert_all_status(ctx, status, files[i].why != NULL ? RLS_ERR_DATA : RLS_OK);
        assert_all_message(ctx, files[i].why != NULL ? files[i].why : "");
        rls_cdf_free(&cdf);
    }
}

/* What is read from a good header, in each version. */
static void test_content(void **state)
{
    rls_context *ctx = *state;
    for (int version = 1; version <= 5; version += version == 2 ? 3 : 1) {
        char path[RLS_TEST_PATH_MAX], text[32];
        int64_t number = 0;
        rls_cdf cdf;
        (void)snprintf(path, sizeof path, "%s/tests/fuzz/corpus/cdf/good-stream-%d", RLS_TEST_SOURCE,
                       version);
        assert_all_ok(ctx, rls_agree(ctx, rls_cdf_read(ctx, path, &cdf)));
        const rls_cdf_var *id = &cdf.vars[0], *value = &cdf.vars[2];
        assert_all(cdf.version == version && cdf.records == 2 && cdf.record_bytes == 32);
        assert_all(rls_cdf_find(&cdf, "case_id") == id && rls_cdf_find(&cdf, "value_0") == value);
        assert_all(rls_cdf_find(&cdf, "value_") == NULL);
        assert_all(value->type == RLS_CDF_DOUBLE && value->record && value->bytes == 16 &&
                   value->dim_count == 2);
        assert_all(id->begin + 16 == value->begin && value->begin + 48 == cdf.file_bytes);
        assert_all_int_equal(cdf.dims[value->dims[0]].length, 2);
        assert_all_int_equal(cdf.dims[value->dims[1]].length, 2);
        assert_all_ok(ctx, rls_cdf_text(ctx, &cdf, "module", false, text, sizeof text));
        assert_all_string_equal(text, "h.{}");
        assert_all_ok(ctx, rls_cdf_integer(ctx, &cdf, "version", false, &number));
        assert_all_int_equal(number, 1);
        assert_all_ok(ctx, rls_cdf_integer(ctx, &cdf, "batch", true, &number));
        assert_all_int_equal(number, 1);
        assert_all_status(ctx, rls_agree(ctx, rls_cdf_text(ctx, &cdf, "module", false, text, 4)),
                          RLS_ERR_DATA);
        assert_all_message(ctx, "has 4 characters, more than 3");
        rls_cdf_free(&cdf);
    }
}

/* Numbers of every integer type, with their signs. */
static void test_integers(void **state)
{
    static const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"byte", -2},    {"ubyte", 254},       {"short", -300},       {"ushort", 65000},
                   {"int", -70000}, {"uint", 4000000000}, {"int64", -5000000000}};
    /* CDF-5, no records, no dimensions, seven attributes, no variables */
    static const unsigned char bytes[] = "CDF\5\0\0\0\0\0\0\0\0"
                                         "\0\0\0\0\0\0\0\0\0\0\0\0"
                                         "\0\0\0\x0c\0\0\0\0\0\0\0\7"
                                         "\0\0\0\0\0\0\0\4byte"
                                         "\0\0\0\1\0\0\0\0\0\0\0\1"
                                         "\xfe\0\0\0"
                                         "\0\0\0\0\0\0\0\5ubyte\0\0\0"
                                         "\0\0\0\7\0\0\0\0\0\0\0\1"
                                         "\xfe\0\0\0"
                                         "\0\0\0\0\0\0\0\5short\0\0\0"
                                         "\0\0\0\3\0\0\0\0\0\0\0\1"
                                         "\xfe\xd4\0\0"
                                         "\0\0\0\0\0\0\0\6ushort\0\0"
                                         "\0\0\0\x08\0\0\0\0\0\0\0\1"
                                         "\xfd\xe8\0\0"
                                         "\0\0\0\0\0\0\0\3int\0"
                                         "\0\0\0\4\0\0\0\0\0\0\0\1"
                                         "\xff\xfe\xee\x90"
                                         "\0\0\0\0\0\0\0\4uint"
                                         "\0\0\0\x09\0\0\0\0\0\0\0\1"
                                         "\xee\x6b\x28\0"
                                         "\0\0\0\0\0\0\0\5int64\0\0\0"
                                         "\0\0\0\x0a\0\0\0\0\0\0\0\1"
                                         "\xff\xff\xff\xfe\xd5\xfa\x0e\0"
                                         "\0\0\0\0\0\0\0\0\0\0\0";
    rls_context *ctx = *state;
    rls_cdf cdf;
    bool more = false;
    assert_all_ok(ctx,
                  rls_agree(ctx, rls_cdf_parse(ctx, "x", bytes, sizeof bytes, sizeof bytes, &cdf, &more)));
    for (size_t i = 0; i < RLS_TEST_COUNT(numbers); i++) {
        int64_t value = 0;
        assert_all_ok(ctx, rls_cdf_integer(ctx, &cdf, numbers[i].name, false, &value));
        assert_all_int_equal(value, numbers[i].value);
    }
    rls_cdf_free(&cdf);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_corpus), context_test(test_content),
                                       context_test(test_integers)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "cdf");
}
