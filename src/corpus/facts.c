#include "corpus/facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "corpus/facts_parse.h"
#include "store/file_util.h"

/* Longer is no file of facts: all of them stay in memory on every rank. */
#define FILE_MAX ((int64_t)1 << 36)

struct rls_facts {
    char *text; /* all that the pointers below point at */
    rls_fact_prompt *prompt;
    rls_fact *fact;
    int64_t count, skipped;
};

rls_status rls_pack_open(rls_context *ctx, rls_fact_pack *pack, rls_facts **out)
{
    void *memory = NULL, *prompts = NULL, *facts = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    if (status == RLS_OK)
        status = rls_alloc(ctx, pack->prompts, sizeof(rls_fact_prompt), &prompts);
    if (status == RLS_OK)
        status = rls_alloc(ctx, pack->facts, sizeof(rls_fact), &facts);
    rls_facts *f = memory;
    if (status != RLS_OK || f == NULL) {
        free(memory);
        free(prompts);
        free(facts);
        return status;
    }
    *f = (rls_facts){pack->text, prompts, facts, pack->facts, pack->skipped};
    pack->text = NULL;
    for (int64_t i = 0; i < pack->prompts; i++) {
        const rls_packed_prompt *p = &pack->prompt[i];
        f->prompt[i] = (rls_fact_prompt){f->text + p->prompt, p->target < 0 ? NULL : f->text + p->target};
    }
    for (int64_t i = 0; i < f->count; i++) {
        const rls_packed_fact *p = &pack->fact[i];
        rls_fact_prompts lists[RLS_FACT_LISTS];
        for (int list = 0; list < RLS_FACT_LISTS; list++)
            lists[list] =
                (rls_fact_prompts){p->count[list], p->count[list] > 0 ? f->prompt + p->first[list] : NULL};
        f->fact[i] = (rls_fact){.line = p->line,
                                .case_id = p->case_id,
                                .prompt = f->text + p->prompt,
                                .subject = f->text + p->subject,
                                .target = f->text + p->target,
                                .target_true = p->target_true < 0 ? NULL : f->text + p->target_true,
                                .weight = p->weight,
                                .paraphrases = lists[RLS_FACT_PARAPHRASES],
                                .neighborhood = lists[RLS_FACT_NEIGHBORHOOD],
                                .same_subject = lists[RLS_FACT_SAME_SUBJECT]};
    }
    *out = f;
    return RLS_OK;
}

/* Rank 0's part. */
static rls_status read_and_parse(rls_context *ctx, const char *path, rls_facts_policy policy, int64_t limit,
                                 rls_fact_pack *pack)
{
    char *bytes = NULL;
    int64_t len = 0;
    rls_status status = rls_file_read_whole(ctx, path, FILE_MAX, &bytes, &len);
    if (status == RLS_OK)
        status = rls_facts_parse(ctx, path, bytes, len, policy, limit, pack);
    free(bytes);
    if (status == RLS_OK && pack->skipped > 0)
        rls_log(ctx, RLS_LOG_WARNING, "%s: %lld wrong records left out, %lld facts taken", path,
                (long long)pack->skipped, (long long)pack->facts);
    return status;
}

rls_status rls_facts_read(rls_context *ctx, const char *path, rls_facts_policy policy, int64_t limit,
                          rls_facts **out)
{
    rls_fact_pack pack = {0};
    rls_status status = RLS_OK;
    *out = NULL;
    if (ctx->rank == 0)
        status = read_and_parse(ctx, path, policy, limit, &pack);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_pack_share(ctx, &pack);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_pack_open(ctx, &pack, out));
    rls_pack_free(&pack);
    if (status != RLS_OK)
        rls_facts_free(out);
    return status;
}

void rls_facts_free(rls_facts **facts)
{
    rls_facts *f = *facts;
    if (f == NULL)
        return;
    free(f->text);
    free(f->prompt);
    free(f->fact);
    free(f);
    *facts = NULL;
}

int64_t rls_facts_count(const rls_facts *facts)
{
    return facts->count;
}

int64_t rls_facts_skipped(const rls_facts *facts)
{
    return facts->skipped;
}

const rls_fact *rls_facts_get(const rls_facts *facts, int64_t i)
{
    return &facts->fact[i];
}

rls_status rls_fact_text(rls_context *ctx, const rls_fact *fact, char **text, int64_t *subject_end)
{
    const char *slot = strstr(fact->prompt, "{}"); /* every fact has it */
    const size_t before = slot != NULL ? (size_t)(slot - fact->prompt) : strlen(fact->prompt);
    const char *after = slot != NULL ? slot + 2 : "";
    const size_t subject = strlen(fact->subject), rest = strlen(after);
    void *memory = NULL;
    *text = NULL;
    *subject_end = (int64_t)(before + subject);
    const rls_status status = rls_alloc(ctx, (int64_t)(before + subject + rest + 1), 1, &memory);
    char *to = *text = memory;
    if (status != RLS_OK || to == NULL)
        return status;
    memcpy(to, fact->prompt, before);
    memcpy(to + before, fact->subject, subject);
    memcpy(to + before + subject, after, rest + 1);
    return RLS_OK;
}

void rls_facts_digest(const rls_facts *facts, char text[33])
{
    rls_hash chain = rls_hash_bytes(&facts->count, sizeof facts->count);
    for (int64_t i = 0; i < facts->count; i++) {
        const rls_fact *f = &facts->fact[i];
        const rls_hash parts[] = {chain, rls_hash_bytes(f->prompt, strlen(f->prompt)),
                                  rls_hash_bytes(f->subject, strlen(f->subject)),
                                  rls_hash_bytes(f->target, strlen(f->target)),
                                  rls_hash_bytes(&f->weight, sizeof f->weight)};
        chain = rls_hash_combine(parts, sizeof parts / sizeof *parts);
    }
    (void)rls_hash_text(chain, text);
}
