#include "support/golden.h"

#include <math.h>
#include <stdlib.h>

#include "support/collective.h"

double golden_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

int64_t golden_integer(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return (int64_t)golden_number(object, key);
}

double golden_element(const json_t *array, size_t i)
{
    assert_true(i < json_array_size(array));
    return json_number_value(json_array_get(array, i));
}

json_t *golden_load(const char *path)
{
    size_t bytes = 0;
    json_error_t error;
    char *text = rls_test_read(path, &bytes);
    json_t *json = json_loadb(text, bytes, 0, &error);
    free(text);
    assert_non_null(json);
    return json;
}

void golden_note(double *largest, double value)
{
    if (!(value <= *largest))
        *largest = isnan(value) ? (double)INFINITY : value;
}

double golden_error(const json_t *entry, const float *x, int64_t first, int64_t count, double *scale)
{
    const json_t *values = json_object_get(entry, "values"), *index = json_object_get(entry, "index");
    double worst = 0.0;
    *scale = 0.0;
    for (size_t i = 0; i < json_array_size(values); i++) {
        const int64_t at = index != NULL ? (int64_t)golden_element(index, i) : (int64_t)i;
        *scale = fmax(*scale, fabs(golden_element(values, i)));
        if (at >= first && at < first + count)
            golden_note(&worst, fabs((double)x[at - first] - golden_element(values, i)));
    }
    return worst;
}

json_t *golden_of_prompts(const json_t *prompts)
{
    json_t *sequences = json_array(), *nll = json_array(), *logits = json_array(), *greedy = json_array();
    for (size_t s = 0; s < json_array_size(prompts); s++) {
        const json_t *prompt = json_array_get(prompts, s), *top = json_object_get(prompt, "last_top8");
        json_t *index = json_array(), *values = json_array();
        for (size_t i = 0; i < json_array_size(top); i++) {
            assert_int_equal(json_array_append(index, json_array_get(json_array_get(top, i), 0)), 0);
            assert_int_equal(json_array_append(values, json_array_get(json_array_get(top, i), 1)), 0);
        }
        json_t *ids = json_object_get(prompt, "ids");
        json_t *entry = json_pack("{sI sI so so}", "sequence", (json_int_t)s, "at",
                                  (json_int_t)json_array_size(ids) - 1, "index", index, "values", values);
        assert_int_equal(json_array_append_new(logits, entry), 0);
        assert_int_equal(json_array_append(sequences, ids), 0);
        assert_int_equal(json_array_append(nll, json_object_get(prompt, "nll_per_token")), 0);
        assert_int_equal(json_array_append(greedy, json_object_get(prompt, "greedy16")), 0);
    }
    return json_pack("{so so so so sI}", "sequences", sequences, "nll", nll, "logits", logits, "greedy",
                     greedy, "new", (json_int_t)16);
}
