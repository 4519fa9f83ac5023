/* From the text of a file of facts to a pack of them. */
#ifndef CORPUS_FACTS_PARSE_H
#define CORPUS_FACTS_PARSE_H

#include <jansson.h>

#include "corpus/facts_pack.h"

/* Where a record is, for messages, and its number in the file, from 0. */
typedef struct {
    const char *path;
    int64_t line, number;
} rls_fact_place;

/* Takes the facts of a file's text into pack.
 * Not collective.
 * path: for messages; bytes, len: a JSON array of objects when its first character is [, else an object a
 * line (empty lines are none); a byte order mark is skipped. policy, limit: as in rls_facts_read; what
 * follows the last fact wanted is not looked at. Returns as rls_facts_read: in an array, what is not JSON
 * hides all that follows it and is an error under either policy. pack may hold facts after an error, too. */
RLS_NODISCARD rls_status rls_facts_parse(rls_context *ctx, const char *path, const char *bytes, int64_t len,
                                         rls_facts_policy policy, int64_t limit, rls_fact_pack *pack);

/* Takes one record's fact into pack; after an error pack is as it was. Not collective.
 * Returns RLS_ERR_DATA naming the line and the field, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_fact_record(rls_context *ctx, const rls_fact_place *place, const json_t *record,
                                         rls_fact_pack *pack);

/* Logs fields that nobody knows when they look like one that means something. Not collective. */
void rls_fact_warn_unknown(rls_context *ctx, const rls_fact_place *place, const json_t *record);

#endif
