/*
 * Any bytes as a file of facts; the first byte says what is done with wrong records and how many are wanted.
 * What is taken holds what facts.h promises, and is the same when it is read again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "corpus/facts_parse.h"
#include "fuzz/fuzz.h"
#include "fuzz/json_mutator.h"

const size_t fuzz_json_prefix = 1;

static void must_be_text(const char *text)
{
    must(text != NULL && rls_utf8_fault(text, (int64_t)strlen(text)) < 0);
}

static void check_list(const rls_fact_prompts *list)
{
    must((list->count > 0) == (list->item != NULL));
    for (int64_t i = 0; i < list->count; i++) {
        must_be_text(list->item[i].prompt);
        must(*list->item[i].prompt != '\0');
        must(list->item[i].target == NULL || *list->item[i].target != '\0');
    }
}

static void check(rls_context *ctx, const rls_fact *f)
{
    char *text = NULL;
    int64_t end = 0;
    const char *slot = strstr(f->prompt, "{}");
    must_be_text(f->prompt);
    must_be_text(f->subject);
    must_be_text(f->target);
    must(slot != NULL && strstr(slot + 2, "{}") == NULL);
    must(*f->subject != '\0' && *f->target != '\0' && *f->target != ' ');
    must(f->target_true == NULL || *f->target_true != '\0');
    must(f->line >= 1 && f->case_id >= 0 && f->weight > 0 && isfinite(f->weight));
    must(rls_fact_text(ctx, f, &text, &end) == RLS_OK);
    const size_t subject = strlen(f->subject);
    must(end == (slot - f->prompt) + (int64_t)subject &&
         memcmp(text + end - subject, f->subject, subject) == 0);
    must(strlen(text) == strlen(f->prompt) - 2 + subject);
    free(text);
    check_list(&f->paraphrases);
    check_list(&f->neighborhood);
    check_list(&f->same_subject);
    for (int64_t i = 0; i < f->same_subject.count; i++)
        must(f->same_subject.item[i].target != NULL);
}

/* The facts, NULL when they are refused. */
static rls_facts *parse(rls_context *ctx, const char *bytes, size_t size, rls_facts_policy policy,
                        int64_t limit)
{
    rls_fact_pack pack = {0};
    rls_facts *facts = NULL;
    const rls_status status = rls_facts_parse(ctx, "fuzz.json", bytes, (int64_t)size, policy, limit, &pack);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    must(status == RLS_OK || *rls_context_message(ctx) != '\0');
    must(status != RLS_OK || (pack.facts > 0 && (limit == 0 || pack.facts <= limit)));
    must(policy == RLS_FACTS_SKIP || pack.skipped == 0);
    if (status == RLS_OK)
        must(rls_pack_open(ctx, &pack, &facts) == RLS_OK);
    rls_pack_free(&pack);
    rls_clear_failure(ctx);
    return facts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    if (size == 0)
        return 0;
    const rls_facts_policy policy = (data[0] & 1U) != 0 ? RLS_FACTS_SKIP : RLS_FACTS_STOP;
    const int64_t limit = data[0] >> 4 & 3; /* '0' to '?' all have another */
    char *bytes = malloc(size);             /* exactly: what is read behind it is found */
    must(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    rls_facts *facts = parse(&ctx, bytes, size - 1, policy, limit == 3 ? 0 : limit);
    if (facts != NULL) {
        char digest[33], again[33];
        rls_facts *second = parse(&ctx, bytes, size - 1, policy, limit == 3 ? 0 : limit);
        must(second != NULL);
        rls_facts_digest(facts, digest);
        rls_facts_digest(second, again);
        must(strcmp(digest, again) == 0 && rls_facts_skipped(facts) == rls_facts_skipped(second));
        for (int64_t i = 0; i < rls_facts_count(facts); i++)
            check(&ctx, rls_facts_get(facts, i));
        rls_facts_free(&second);
    }
    rls_facts_free(&facts);
    free(bytes);
    return 0;
}
