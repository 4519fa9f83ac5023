/* Any bytes as a file of hyperparameters. What is taken are settings of ours, one a line. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/json_mutator.h"
#include "run/hparams.h"

const size_t fuzz_json_prefix = 0;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    char **sets = NULL;
    size_t count = 0;
    int64_t loss_layer = -1;
    char *bytes = malloc(size + 1); /* exact, for sanitizers */
    must(bytes != NULL);
    memcpy(bytes, data, size);
    const rls_status status = rls_hparams_parse(&ctx, "fuzz.json", bytes, size, &sets, &count, &loss_layer);
    must(status == RLS_OK || status == RLS_ERR_CONFIG || status == RLS_ERR_DATA);
    must(status == RLS_OK || *rls_context_message(&ctx) != '\0');
    for (size_t i = 0; status == RLS_OK && i < count; i++) {
        must(strchr(sets[i], '=') != NULL && strchr(sets[i], '.') != NULL);
        must(strchr(sets[i], '\n') == NULL);
    }
    must(loss_layer >= -1);
    rls_hparams_free(&sets, count);
    free(bytes);
    return 0;
}
