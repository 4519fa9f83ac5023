/* Descriptions of rls_inspect as readable text. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>
#include <stdio.h>

/* Writes a description: of a model its tensors by pattern, of a run what changed in each layer.
 * Not collective. What a field lacks is left out or shown as "-". Errors stay with `out` (ferror). */
void rls_inspect_print(const json_t *description, FILE *out);

/* Writes the list [{name, dtype, shape}] with a line for all tensors that differ only in the numbers between
 * the dots of their names: "model.layers.{0-5}.mlp.down_proj.weight  BF16  [128, 1024]  x 6".
 * Not collective. */
void rls_print_tensors(const json_t *tensors, FILE *out);

#endif
