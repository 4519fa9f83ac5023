/* Reading tests/data/llm's golden.json; tests/tools/make_llm_golden.py says what is in them. Not collective.
 * What is missing or of another type fails a plain assert. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include <stdint.h>

#include <jansson.h>

/* The JSON file at path. Free with json_decref. */
json_t *golden_load(const char *path);

/* An extra file's prompts [{ids, nll_per_token, last_top8: [[id, logit]], greedy16}] as a golden. Free with
 * json_decref. */
json_t *golden_of_prompts(const json_t *prompts);

/* A member of an object; an element of an array of numbers. */
double golden_number(const json_t *object, const char *key);
int64_t golden_integer(const json_t *object, const char *key);
double golden_element(const json_t *array, size_t i);

/* The largest error of x, elements first .. first + count - 1 of the entry's vector, and in *scale the
 * largest element of all of the vector. */
double golden_error(const json_t *entry, const float *x, int64_t first, int64_t count, double *scale);

/* *largest = the larger of both; NaN is the largest of all. */
void golden_note(double *largest, double value);

#endif
