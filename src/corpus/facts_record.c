#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/suggest.h"
#include "corpus/facts_parse.h"

/* Names of a field, in the order they are looked for; "" ends them.
 * CounterFact's, EasyEdit's, ZsRE's as MEMIT reads it, and our own plain ones. */
enum { NAMES = 6 };
typedef struct {
    const char *name[NAMES];
} field_names;

static const field_names PROMPT = {{"prompt", "src"}}, SUBJECT = {{"subject"}},
                         TARGET = {{"target_new", "target", "answers", "alt"}},
                         TARGET_TRUE = {{"target_true", "ground_truth"}}, WEIGHT = {{"weight"}},
                         CASE = {{"case_id"}},
                         PARAPHRASES = {{"paraphrase_prompts", "rephrase_prompts", "rephrase_prompt",
                                         "rephrase"}},
                         NEIGHBORHOOD = {{"neighborhood_prompts"}}, LOCALITY = {{"locality_prompt", "loc"}},
                         LOCALITY_ANSWER = {{"locality_ground_truth", "loc_ans"}},
                         SAME_SUBJECT = {{"same_subject_prompts"}}, REWRITE = {{"requested_rewrite"}};

enum { FIELDS = 12 };
static const field_names *const MEANT[FIELDS] = {
    &PROMPT,      &SUBJECT,      &TARGET,   &TARGET_TRUE,     &WEIGHT,       &CASE,
    &PARAPHRASES, &NEIGHBORHOOD, &LOCALITY, &LOCALITY_ANSWER, &SAME_SUBJECT, &REWRITE};

/* Met in the data sets, and of no use here: what they are near to is not what is meant. */
static const char *const USELESS[] = {"attribute_prompts", "generation_prompts", "pred", "cond",  "locality",
                                      "portability",       "relation",           "id",   "loc_id"};

enum { TEXT_MAX = 16 << 20 }; /* bytes of a prompt */

/* A record being taken. */
typedef struct {
    rls_context *ctx;
    const rls_fact_place *place;
    const json_t *record, *rewrite; /* the same when nothing is nested */
    rls_fact_pack *pack;
    rls_packed_fact fact;
} reader;

static const char *kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return json_array_size(value) == 0 ? "an empty list" : "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

#define fail(r, field, fmt, ...)                                                                             \
    rls_fail((r)->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": field \"%s\": " fmt, (r)->place->path,                 \
             (r)->place->line, field, __VA_ARGS__)

/* The first of the names that is there and not null, and its name; NULL: none. */
static const json_t *look(const json_t *object, const field_names *names, const char **name)
{
    for (int i = 0; i < NAMES && names->name[i] != NULL; i++) {
        const json_t *value = json_object_get(object, names->name[i]);
        *name = names->name[i];
        if (value != NULL && !json_is_null(value))
            return value;
    }
    *name = names->name[0];
    return NULL;
}

/* In the rewrite, else beside it. */
static const json_t *find(const reader *r, const field_names *names, const char **name)
{
    const json_t *value = look(r->rewrite, names, name);
    return value == NULL && r->rewrite != r->record ? look(r->record, names, name) : value;
}

static bool has_name(const field_names *names, const char *name)
{
    for (int i = 0; i < NAMES && names->name[i] != NULL; i++)
        if (strcmp(names->name[i], name) == 0)
            return true;
    return false;
}

static bool known(const char *name)
{
    for (int i = 0; i < FIELDS; i++)
        if (has_name(MEANT[i], name))
            return true;
    for (size_t i = 0; i < sizeof USELESS / sizeof *USELESS; i++)
        if (strcmp(USELESS[i], name) == 0)
            return true;
    return false;
}

/* The key of an object that is most like a mistyped name of a missing field; NULL: none is like it. */
static const char *mistyped(const json_t *object, const field_names *names)
{
    const char *key, *found = NULL;
    const json_t *value;
    size_t best = SIZE_MAX;
    json_object_foreach((json_t *)object, key, value) /* not changed; jansson's macro has no const */
        for (int i = 0; i < NAMES && names->name[i] != NULL && !known(key);
             i++) if (rls_closer(key, names->name[i], &best)) found = key;
    return found;
}

static rls_status missing(const reader *r, const field_names *names)
{
    const char *other = mistyped(r->rewrite, names);
    char also[64] = "";
    if (names->name[1] != NULL)
        (void)snprintf(also, sizeof also, " (or \"%s\")", names->name[1]);
    return rls_fail(r->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": field \"%s\"%s is missing%s%s%s", r->place->path,
                    r->place->line, names->name[0], also, other != NULL ? "; is \"" : "",
                    other != NULL ? other : "", other != NULL ? "\" meant for it?" : "");
}

void rls_fact_warn_unknown(rls_context *ctx, const rls_fact_place *place, const json_t *record)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)record, key, value)
    {
        const char *meant = NULL;
        size_t best = SIZE_MAX;
        for (int f = 0; f < FIELDS && !known(key); f++)
            for (int i = 0; i < NAMES && MEANT[f]->name[i] != NULL; i++)
                if (rls_closer(key, MEANT[f]->name[i], &best))
                    meant = MEANT[f]->name[i];
        if (meant != NULL)
            rls_log(ctx, RLS_LOG_WARNING,
                    "%s:%" PRId64 ": field \"%s\" is not known and not read; did you mean "
                    "\"%s\"?",
                    place->path, place->line, key, meant);
    }
}

typedef struct {
    const char *text;
    size_t len;
} span;

static rls_status text_of(const reader *r, const char *name, const json_t *value, span *out)
{
    if (!json_is_string(value))
        return fail(r, name, "expected a text, found %s", kind(value));
    *out = (span){json_string_value(value), json_string_length(value)};
    if (memchr(out->text, '\0', out->len) != NULL)
        return fail(r, name, "holds a NUL character (\\u%04d)", 0);
    if (out->len > TEXT_MAX)
        return fail(r, name, "longer than %d MiB", TEXT_MAX >> 20);
    return RLS_OK;
}

/* An answer: a text, {"str": text}, or the first in a list of them; without the blanks before it. */
static rls_status answer_of(const reader *r, const char *name, const json_t *value, span *out)
{
    while (json_is_array(value) && json_array_size(value) > 0)
        value = json_array_get(value, 0);
    if (json_is_object(value)) {
        const json_t *text = json_object_get(value, "str");
        if (text == NULL)
            return fail(r, name, "expected {\"str\": text}, found an object without \"%s\"", "str");
        value = text;
    }
    const rls_status status = text_of(r, name, value, out);
    while (status == RLS_OK && out->len > 0 && (*out->text == ' ' || *out->text == '\t'))
        *out = (span){out->text + 1, out->len - 1};
    return status;
}

static rls_status take_case(reader *r)
{
    const char *name;
    const json_t *value = find(r, &CASE, &name);
    const double number = json_is_number(value) ? json_number_value(value) : -1;
    r->fact.line = r->place->line;
    /* it only names the fact: what is no number is not worth a refusal */
    r->fact.case_id = number >= 0 && number < 9e15 ? (int64_t)number : r->place->number;
    return RLS_OK;
}

static rls_status take_weight(reader *r)
{
    const char *name;
    const json_t *value = find(r, &WEIGHT, &name);
    r->fact.weight = value != NULL && json_is_number(value) ? json_number_value(value) : 1;
    if (value != NULL && !json_is_number(value))
        return fail(r, name, "expected a number above 0, found %s", kind(value));
    if (!(r->fact.weight > 0) || !isfinite(r->fact.weight))
        return fail(r, name, "expected a number above 0, found %g", r->fact.weight);
    return RLS_OK;
}

/* The first place of {} in a text of len bytes, or -1; NULs are not in it. */
static int64_t slot(span s)
{
    const char *at = strstr(s.text, "{}");
    return at != NULL ? at - s.text : -1;
}

/* Puts `with` in the place of the `gone` bytes at `at`. */
static rls_status pack_replaced(reader *r, span s, int64_t at, size_t gone, span with, int64_t *offset)
{
    rls_status status = rls_pack_text(r->ctx, r->pack, s.text, (size_t)at, offset);
    int64_t ignored = 0;
    r->pack->bytes -= status == RLS_OK; /* the NUL: it goes on */
    if (status == RLS_OK)
        status = rls_pack_text(r->ctx, r->pack, with.text, with.len, &ignored);
    r->pack->bytes -= status == RLS_OK;
    if (status == RLS_OK)
        status = rls_pack_text(r->ctx, r->pack, s.text + at + gone, s.len - (size_t)at - gone, &ignored);
    return status;
}

/* The prompt gets {} where the subject stands: the first time, if it stands there more than once. */
static rls_status take_prompt(reader *r, span subject)
{
    const char *name;
    span prompt;
    const json_t *value = find(r, &PROMPT, &name);
    if (value == NULL)
        return missing(r, &PROMPT);
    const rls_status status = text_of(r, name, value, &prompt);
    if (status != RLS_OK)
        return status;
    const int64_t at = slot(prompt);
    if (at >= 0 && strstr(prompt.text + at + 2, "{}") != NULL)
        return fail(r, name, "has {} more than %s: where does the subject stand?", "once");
    if (at >= 0)
        return rls_pack_text(r->ctx, r->pack, prompt.text, prompt.len, &r->fact.prompt);
    const char *literal = strstr(prompt.text, subject.text);
    if (literal == NULL)
        return fail(r, name, "has neither {} nor the subject \"%.200s\" in it", subject.text);
    return pack_replaced(r, prompt, literal - prompt.text, subject.len, (span){"{}", 2}, &r->fact.prompt);
}

static rls_status take_subject(reader *r, span *subject)
{
    const char *name;
    const json_t *value = find(r, &SUBJECT, &name);
    if (value == NULL)
        return missing(r, &SUBJECT);
    rls_status status = text_of(r, name, value, subject);
    if (status == RLS_OK && subject->len == 0)
        return fail(r, name, "is %s", "empty");
    return status == RLS_OK ? rls_pack_text(r->ctx, r->pack, subject->text, subject->len, &r->fact.subject)
                            : status;
}

static rls_status take_target(reader *r)
{
    const char *name;
    span text;
    const json_t *value = find(r, &TARGET, &name);
    if (value == NULL)
        return missing(r, &TARGET);
    rls_status status = answer_of(r, name, value, &text);
    if (status == RLS_OK && text.len == 0)
        return fail(r, name, "is %s", "empty");
    return status == RLS_OK ? rls_pack_text(r->ctx, r->pack, text.text, text.len, &r->fact.target) : status;
}

/* MEMIT and EasyEdit write <|endoftext|> for an answer that is not known. */
static rls_status take_target_true(reader *r)
{
    const char *name;
    span text;
    const json_t *value = find(r, &TARGET_TRUE, &name);
    r->fact.target_true = -1;
    if (value == NULL || (json_is_array(value) && json_array_size(value) == 0))
        return RLS_OK;
    const rls_status status = answer_of(r, name, value, &text);
    if (status != RLS_OK || text.len == 0 || strcmp(text.text, "<|endoftext|>") == 0)
        return status;
    return rls_pack_text(r->ctx, r->pack, text.text, text.len, &r->fact.target_true);
}

/* Where questions are read from, and what is done with them. */
typedef struct {
    const char *name;
    span fill;    /* stands in the place of {}; NULL: it is left */
    bool answers; /* each must come with one */
    bool mark;    /* a question mark is put behind, as MEMIT does with ZsRE's */
} question_style;

/* A question and its answer (NULL: none); one without text is none. */
static rls_status add_question(reader *r, const question_style *style, const json_t *prompt,
                               const json_t *answer, int list)
{
    rls_packed_prompt packed = {-1, -1};
    span text, reply = {"", 0};
    rls_status status = text_of(r, style->name, prompt, &text);
    if (status == RLS_OK && answer != NULL)
        status = answer_of(r, style->name, answer, &reply);
    if (status != RLS_OK || text.len == 0)
        return status;
    if (style->answers && reply.len == 0)
        return fail(r, style->name, "\"%.100s\" has no answer (\"target\")", text.text);
    const int64_t at = style->fill.text != NULL ? slot(text) : -1;
    if (at >= 0)
        status = pack_replaced(r, text, at, 2, style->fill, &packed.prompt);
    else if (style->mark && text.text[text.len - 1] != '?')
        status = pack_replaced(r, text, (int64_t)text.len, 0, (span){"?", 1}, &packed.prompt);
    else
        status = rls_pack_text(r->ctx, r->pack, text.text, text.len, &packed.prompt);
    if (status == RLS_OK && reply.len > 0)
        status = rls_pack_text(r->ctx, r->pack, reply.text, reply.len, &packed.target);
    if (status == RLS_OK)
        status = rls_pack_prompt(r->ctx, r->pack, packed);
    r->fact.count[list] += status == RLS_OK;
    return status;
}

/* A question: a text, or {"prompt": text, "target": answer}. */
static rls_status add_either(reader *r, const question_style *style, const json_t *item, int list)
{
    if (!json_is_object(item))
        return add_question(r, style, item, NULL, list);
    const json_t *prompt = json_object_get(item, "prompt"), *target = json_object_get(item, "target");
    if (prompt == NULL)
        return fail(r, style->name, "a question without \"%s\"", "prompt");
    return add_question(r, style, prompt, json_is_null(target) ? NULL : target, list);
}

/* One question or a list of them. */
static rls_status add_all(reader *r, const question_style *style, const json_t *value, int list)
{
    rls_status status = RLS_OK;
    if (!json_is_array(value))
        return add_either(r, style, value, list);
    for (size_t i = 0; i < json_array_size(value) && status == RLS_OK; i++)
        status = add_either(r, style, json_array_get(value, i), list);
    return status;
}

/* EasyEdit's and ZsRE's question about something else, whose answer stands in a field of its own. */
static rls_status take_locality(reader *r)
{
    const char *name, *answer_name;
    const json_t *prompt = find(r, &LOCALITY, &name), *answer = find(r, &LOCALITY_ANSWER, &answer_name);
    const question_style style = {.name = name, .mark = strcmp(name, "loc") == 0};
    rls_status status = RLS_OK;
    if (prompt == NULL || answer == NULL) /* without an answer there is nothing to compare with */
        return RLS_OK;
    if (!json_is_array(prompt))
        return add_question(r, &style, prompt, answer, RLS_FACT_NEIGHBORHOOD);
    if (!json_is_array(answer) || json_array_size(answer) != json_array_size(prompt))
        return fail(r, answer_name, "expected a list as long as that of \"%s\"", name);
    for (size_t i = 0; i < json_array_size(prompt) && status == RLS_OK; i++)
        status = add_question(r, &style, json_array_get(prompt, i), json_array_get(answer, i),
                              RLS_FACT_NEIGHBORHOOD);
    return status;
}

static rls_status take_questions(reader *r, span subject)
{
    static const field_names *const fields[RLS_FACT_LISTS] = {&PARAPHRASES, &NEIGHBORHOOD, &SAME_SUBJECT};
    rls_status status = RLS_OK;
    for (int list = 0; list < RLS_FACT_LISTS && status == RLS_OK; list++) {
        question_style style = {.answers = list == RLS_FACT_SAME_SUBJECT};
        const json_t *value = find(r, fields[list], &style.name);
        if (list != RLS_FACT_NEIGHBORHOOD) /* whose subjects are others */
            style.fill = subject;
        r->fact.first[list] = r->pack->prompts;
        if (value != NULL)
            status = add_all(r, &style, value, list);
        if (status == RLS_OK && list == RLS_FACT_NEIGHBORHOOD)
            status = take_locality(r);
    }
    return status;
}

static rls_status take_record(reader *r)
{
    span subject = {"", 0};
    const json_t *nested;
    if (!json_is_object(r->record))
        return rls_fail(r->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": expected a JSON object, found %s",
                        r->place->path, r->place->line, kind(r->record));
    nested = json_object_get(r->record, REWRITE.name[0]);
    if (nested != NULL && !json_is_object(nested))
        return fail(r, REWRITE.name[0], "expected an object, found %s", kind(nested));
    r->rewrite = nested != NULL ? nested : r->record;
    rls_status status = take_case(r);
    if (status == RLS_OK)
        status = take_weight(r);
    if (status == RLS_OK)
        status = take_subject(r, &subject);
    if (status == RLS_OK)
        status = take_prompt(r, subject);
    if (status == RLS_OK)
        status = take_target(r);
    if (status == RLS_OK)
        status = take_target_true(r);
    if (status == RLS_OK)
        status = take_questions(r, subject);
    return status == RLS_OK ? rls_pack_fact(r->ctx, r->pack, &r->fact) : status;
}

rls_status rls_fact_record(rls_context *ctx, const rls_fact_place *place, const json_t *record,
                           rls_fact_pack *pack)
{
    reader r = {.ctx = ctx, .place = place, .record = record, .pack = pack};
    const int64_t bytes = pack->bytes, prompts = pack->prompts;
    const rls_status status = take_record(&r);
    if (status != RLS_OK) {
        pack->bytes = bytes;
        pack->prompts = prompts;
    }
    return status;
}
