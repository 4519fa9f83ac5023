/*
 * Any bytes as a tokenizer. Up to the first NUL they are a tokenizer.json, with which what comes after is
 * encoded (without a NUL, a fixed text). All of them are also a text for a fixed tokenizer. Ids that come out
 * are in the vocabulary, encoding again gives the same, and what is no UTF-8 is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "tokenizer/tokenizer.h"

static const char FIXED[] =
    "{\"added_tokens\":[{\"id\":300,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":true,\"rstrip\":"
    "true,"
    "\"normalized\":false,\"special\":true},{\"id\":301,\"content\":\"e\xcc\x81\",\"single_word\":true,"
    "\"lstrip\":false,\"rstrip\":true,\"normalized\":true,\"special\":false}],"
    "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"first\",\"split\":true},"
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
    "{1,3}"
    "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false}]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":1}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{\"?"
    "\":0,"
    "\"a\":1,\"b\":2,\"ab\":3,\"\xe2\x96\x81\":4,\"\xe2\x96\x81"
    "a\":5,\"<0xC3>\":6,\"<0xA9>\":7,\"aa\":8,\"aaaa\":9},"
    "\"merges\":[\"a b\",[\"\xe2\x96\x81\",\"a\"],\"a a\",\"aa aa\"]}}";

static void check_encode(rls_context *ctx, const rls_tokenizer *tokenizer, const char *text, int64_t bytes)
{
    rls_ids ids = {0}, again = {0};
    char *decoded = NULL;
    int64_t length = -1;
    const rls_status status = rls_tokenizer_encode(ctx, tokenizer, text, bytes, true, &ids);
    must(status == RLS_OK || (status == RLS_ERR_DATA && ids.count == 0));
    must(status != RLS_OK || rls_utf8_fault(text, bytes) < 0);
    must(rls_tokenizer_encode(ctx, tokenizer, text, bytes, true, &again) == status &&
         ids.count == again.count);
    for (int64_t i = 0; i < ids.count; i++)
        must(ids.id[i] == again.id[i] && ids.id[i] >= 0 && ids.id[i] < rls_tokenizer_size(tokenizer));
    must(rls_tokenizer_decode(ctx, tokenizer, ids.id, ids.count, ids.count % 2 == 0, &decoded, &length) ==
         RLS_OK);
    must(rls_utf8_fault(decoded, length) < 0 && decoded[length] == '\0');
    free(decoded);
    rls_ids_free(&ids);
    rls_ids_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char TEXT[] =
        "The dog's 123 caf\xc3\xa9 e\xcc\x81  \r\n\xe2\x96\x81 <s>ab abab \xf0\x9f\x98\x80\t ";
    rls_context ctx = {0};
    rls_tokenizer *tokenizer = NULL;
    char *copy = malloc(size > 0 ? size : 1); /* of this size, so that reading beyond is seen */
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    const char *nul = memchr(copy, '\0', size);
    const int64_t json = nul != NULL ? nul - copy : (int64_t)size;

    rls_status status = rls_tokenizer_parse(&ctx, "fuzz/tokenizer.json", copy, json, &tokenizer);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    must((status == RLS_OK) == (tokenizer != NULL));
    must(status == RLS_OK || *rls_context_message(&ctx));
    if (tokenizer != NULL && nul != NULL)
        check_encode(&ctx, tokenizer, nul + 1, (int64_t)size - json - 1);
    else if (tokenizer != NULL)
        check_encode(&ctx, tokenizer, TEXT, (int64_t)strlen(TEXT));
    rls_tokenizer_close(&tokenizer);

    rls_clear_failure(&ctx);
    must(rls_tokenizer_parse(&ctx, "fixed", FIXED, (int64_t)strlen(FIXED), &tokenizer) == RLS_OK);
    check_encode(&ctx, tokenizer, copy, (int64_t)size);
    rls_tokenizer_close(&tokenizer);
    free(copy);
    return 0;
}
