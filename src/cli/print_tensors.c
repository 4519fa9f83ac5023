/* A model's tensors by pattern. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

enum {
    MARK = '\x01', /* stands for a number in a pattern: names have lost their control characters there */
    DIGITS_MAX = 18,
    RANGES_MAX = 8 /* that are written out */
};

/* The length of the number that is a whole component of the name at `at`, 0 when there is none. */
static size_t number_at(const char *name, size_t at)
{
    if (at > 0 && name[at - 1] != '.')
        return 0;
    const size_t length = strspn(name + at, "0123456789");
    const bool whole = name[at + length] == '.' || name[at + length] == '\0';
    const bool plain = name[at] != '0' || length == 1; /* "007" is text */
    return whole && plain && length <= DIGITS_MAX ? length : 0;
}

/* The name with a mark for every number; the numbers, in order, are appended to `numbers`. free() it; NULL
 * without memory. */
static char *pattern_of(const char *name, json_t *numbers)
{
    char *pattern = malloc(strlen(name) + 1);
    size_t to = 0;
    for (size_t at = 0; pattern != NULL && name[at] != '\0';) {
        const size_t digits = number_at(name, at);
        const unsigned char c = (unsigned char)name[at];
        if (digits > 0) {
            pattern[to++] = MARK;
            (void)json_array_append_new(numbers, json_integer(strtoll(name + at, NULL, 10)));
            at += digits;
        } else {
            pattern[to++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
            at++;
        }
    }
    if (pattern != NULL)
        pattern[to] = '\0';
    return pattern;
}

/* A fresh group {pattern, dtype, shape, count, slots}: slots holds a list of numbers for each mark. */
static json_t *group_new(const char *pattern, const char *dtype, const char *shape, size_t slots)
{
    json_t *lists = json_array();
    for (size_t i = 0; i < slots; i++)
        (void)json_array_append_new(lists, json_array());
    return json_pack("{s:s, s:s, s:s, s:i, s:o}", "pattern", pattern, "dtype", dtype, "shape", shape, "count",
                     0, "slots", lists);
}

/* Adds a tensor to the groups, which are keyed by what they have in common. */
static int add_tensor(json_t *groups, const json_t *tensor)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    char *shape = json_dumps(json_object_get(tensor, "shape"), 0);
    json_t *numbers = json_array();
    char *pattern = name != NULL ? pattern_of(name, numbers) : NULL;
    json_t *key = json_sprintf("%s\n%s\n%s", pattern != NULL ? pattern : "?", dtype != NULL ? dtype : "?",
                               shape != NULL ? shape : "?");
    json_t *group = json_object_get(groups, json_string_value(key));
    int failed = key == NULL || pattern == NULL || dtype == NULL || shape == NULL;
    if (failed == 0 && group == NULL) {
        failed |= json_object_set_new(groups, json_string_value(key),
                                      group_new(pattern, dtype, shape, json_array_size(numbers)));
        group = json_object_get(groups, json_string_value(key));
    }
    json_t *count = json_object_get(group, "count"), *slots = json_object_get(group, "slots");
    (void)json_integer_set(count, json_integer_value(count) + 1);
    for (size_t i = 0; i < json_array_size(numbers); i++)
        failed |= json_array_append(json_array_get(slots, i), json_array_get(numbers, i));
    json_decref(key);
    json_decref(numbers);
    free(pattern);
    free(shape);
    return failed;
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* "3" for one number, else "{0-5,9}". */
static void print_numbers(const json_t *list, FILE *out)
{
    const size_t count = json_array_size(list);
    int64_t *number = calloc(count + 1, sizeof *number);
    if (number == NULL || count == 0) {
        (void)fputs("{}", out);
        free(number);
        return;
    }
    for (size_t i = 0; i < count; i++)
        number[i] = json_integer_value(json_array_get(list, i));
    qsort(number, count, sizeof *number, compare_numbers);
    const bool single = number[0] == number[count - 1];
    (void)fputs(single ? "" : "{", out);
    int ranges = 0;
    for (size_t first = 0, last = 0; first < count && ranges <= RANGES_MAX; first = last + 1, ranges++) {
        for (last = first; last + 1 < count && number[last + 1] <= number[last] + 1;)
            last++;
        (void)fputs(ranges > 0 ? "," : "", out);
        if (ranges == RANGES_MAX)
            (void)fputs("...", out);
        else if (number[first] == number[last])
            (void)fprintf(out, "%" PRId64, number[first]);
        else
            (void)fprintf(out, "%" PRId64 "-%" PRId64, number[first], number[last]);
    }
    (void)fputs(single ? "" : "}", out);
    free(number);
}

/* The group's pattern with its numbers in place, as "shown" of the group. */
static size_t show_group(json_t *group)
{
    const json_t *slots = json_object_get(group, "slots");
    const char *pattern = json_string_value(json_object_get(group, "pattern"));
    char *text = NULL;
    size_t bytes = 0, slot = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL)
        return 0;
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c == MARK)
            print_numbers(json_array_get(slots, slot++), memory);
        else
            (void)fputc(*c, memory);
    }
    if (fclose(memory) == 0)
        (void)json_object_set_new(group, "shown", json_string(text));
    free(text);
    return bytes;
}

static size_t longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

void rls_print_tensors(const json_t *tensors, FILE *out)
{
    json_t *groups = json_object(), *group = NULL;
    const char *key = NULL;
    size_t name_width = 0, dtype_width = 0, shape_width = 0;
    int failed = groups == NULL;
    for (size_t i = 0; i < json_array_size(tensors); i++)
        failed |= add_tensor(groups, json_array_get(tensors, i));
    json_object_foreach(groups, key, group)
    {
        name_width = longer(name_width, show_group(group));
        dtype_width = longer(dtype_width, json_string_length(json_object_get(group, "dtype")));
        shape_width = longer(shape_width, json_string_length(json_object_get(group, "shape")));
    }
    name_width = name_width < 80 ? name_width : 80; /* one endless name does not push all others aside */
    json_object_foreach(groups, key, group)
    {
        const char *shown = json_string_value(json_object_get(group, "shown"));
        (void)fprintf(out, "  %-*s  %-*s  %-*s  x %" JSON_INTEGER_FORMAT "\n", (int)name_width,
                      shown != NULL ? shown : "?", (int)dtype_width,
                      json_string_value(json_object_get(group, "dtype")), (int)shape_width,
                      json_string_value(json_object_get(group, "shape")),
                      json_integer_value(json_object_get(group, "count")));
    }
    if (failed != 0)
        (void)fputs("  (no memory to list all tensors)\n", out);
    json_decref(groups);
}
