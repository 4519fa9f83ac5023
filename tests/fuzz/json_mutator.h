/*
 * Mutations of JSON that keep it JSON, so that a fuzzer gets past the parser: values replaced by others of the
 * text or by ones that are wrong in a likely way, members taken out, renamed, doubled, wrapped.
 *
 * A target whose input is JSON, or JSON lines, behind `fuzz_json_prefix` bytes of its own defines that number; then
 * libFuzzer and replay_main.c mutate its inputs so.
 */
#ifndef TESTS_FUZZ_JSON_MUTATOR_H
#define TESTS_FUZZ_JSON_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

extern const size_t fuzz_json_prefix;

/* Changes data [size], with room for `most` bytes, as `seed` says. Returns the new size; what is no JSON, or does
 * not fit, gets a byte changed. Not collective. */
size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t most, unsigned seed);

#endif
