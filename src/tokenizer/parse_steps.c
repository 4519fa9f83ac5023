#include <stdio.h>
#include <string.h>

#include "tokenizer/parse.h"

enum { DEPTH_MAX = 8 }; /* of sequences in sequences */

/* The pattern that ByteLevel cuts words by. */
static const char GPT2_PATTERN[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* Reads one step that is no sequence. */
typedef rls_status step_reader(rls_context *ctx, const char *where, const json_t *step, const char *type,
                               rls_tokenizer *out);

/* Reads a step, or the steps of a sequence whose list is called `list`. */
/* NOLINTNEXTLINE(misc-no-recursion): up to DEPTH_MAX */
static rls_status read_steps(rls_context *ctx, const char *where, const json_t *step, const char *list,
                             int depth, step_reader *reader, rls_tokenizer *out)
{
    const char *type = NULL;
    char known[64];
    const json_t *items = NULL;
    if (!json_is_object(step))
        return rls_fail(ctx, RLS_ERR_DATA, "%s is not an object", where);
    rls_status status = rls_field_text(ctx, where, step, "type", NULL, &type);
    if (status != RLS_OK)
        return status;
    if (strcmp(type, "Sequence") != 0)
        return reader(ctx, where, step, type, out);
    if (depth == DEPTH_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: sequences in sequences, more than %d deep", where, DEPTH_MAX);
    (void)snprintf(known, sizeof known, " type %s ", list);
    status = rls_field_known(ctx, where, step, known);
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, step, list, false, &items);
    for (size_t i = 0; status == RLS_OK && i < json_array_size(items); i++) {
        char inner[RLS_WHERE_MAX];
        const int length = snprintf(inner, sizeof inner, "%s.%s[%zu]", where, list, i);
        status = length >= (int)sizeof inner
                     ? rls_fail(ctx, RLS_ERR_DATA, "%s: too deep", where)
                     : read_steps(ctx, inner, json_array_get(items, i), list, depth + 1, reader, out);
    }
    return status;
}

static rls_status read_all(rls_context *ctx, const char *file, const json_t *root, const char *key,
                           const char *list, step_reader *reader, rls_tokenizer *out)
{
    char where[RLS_WHERE_MAX];
    const json_t *step = json_object_get(root, key);
    if (step == NULL || json_is_null(step))
        return RLS_OK;
    const int length = snprintf(where, sizeof where, "%s: %s", file, key);
    if (length >= (int)sizeof where) /* a long path: the field says more */
        (void)snprintf(where, sizeof where, "tokenizer.json: %s", key);
    return read_steps(ctx, where, step, list, 0, reader, out);
}

static rls_status unknown_type(rls_context *ctx, const char *where, const char *type)
{
    return rls_fail(ctx, RLS_ERR_DATA, "%s: the type \"%.64s\" is not supported", where, type);
}

static rls_status too_many(rls_context *ctx, const char *where)
{
    return rls_fail(ctx, RLS_ERR_DATA, "%s: more than %d steps", where, RLS_STEPS_MAX);
}

/* A copy of a text of the step that must not be empty, and when `one` be one character. */
static rls_status copy_text(rls_context *ctx, const char *where, const json_t *step, const char *key,
                            bool one, rls_text *out)
{
    const char *text = NULL;
    const rls_status status = rls_field_text(ctx, where, step, key, NULL, &text);
    if (status != RLS_OK)
        return status;
    const int64_t bytes = (int64_t)strlen(text);
    if (bytes == 0 || (one && rls_char_bytes(text) != bytes))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is %s", where, key,
                        bytes == 0 ? "empty" : "not one character");
    return rls_text_add(ctx, out, text, bytes);
}

/* pattern: {"String": from}, and content: to. */
static rls_status read_replace(rls_context *ctx, const char *where, const json_t *step, rls_text *from,
                               rls_text *to)
{
    const json_t *pattern = NULL;
    const char *content = NULL;
    char inner[RLS_WHERE_MAX + 16];
    (void)snprintf(inner, sizeof inner, "%s.pattern", where);
    rls_status status = rls_field_known(ctx, where, step, " type pattern content ");
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, step, "pattern", true, &pattern);
    if (status == RLS_OK)
        status = rls_field_known(ctx, inner, pattern, " String ");
    if (status == RLS_OK)
        status = copy_text(ctx, inner, pattern, "String", false, from);
    if (status == RLS_OK)
        status = rls_field_text(ctx, where, step, "content", NULL, &content);
    return status == RLS_OK ? rls_text_add(ctx, to, content, (int64_t)strlen(content)) : status;
}

static rls_status read_normal(rls_context *ctx, const char *where, const json_t *step, const char *type,
                              rls_tokenizer *out)
{
    if (out->normal.count == RLS_STEPS_MAX)
        return too_many(ctx, where);
    rls_normal_step *s = &out->normal.step[out->normal.count++];
    if (strcmp(type, "NFC") == 0) {
        s->kind = RLS_NFC;
        return rls_field_known(ctx, where, step, " type ");
    }
    if (strcmp(type, "Prepend") == 0) {
        s->kind = RLS_PREPEND;
        const rls_status status = rls_field_known(ctx, where, step, " type prepend ");
        return status == RLS_OK ? copy_text(ctx, where, step, "prepend", false, &s->to) : status;
    }
    if (strcmp(type, "Replace") == 0) {
        s->kind = RLS_NORMAL_REPLACE;
        return read_replace(ctx, where, step, &s->from, &s->to);
    }
    return unknown_type(ctx, where, type);
}

static rls_status read_split(rls_context *ctx, const char *where, const json_t *step, rls_split_step *s)
{
    const json_t *pattern = NULL;
    const char *regex = NULL, *behavior = NULL;
    char inner[RLS_WHERE_MAX + 16];
    (void)snprintf(inner, sizeof inner, "%s.pattern", where);
    rls_status status = rls_field_known(ctx, where, step, " type pattern behavior invert ");
    s->kind = RLS_SPLIT;
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "invert", 0, &s->invert);
    if (status == RLS_OK)
        status = rls_field_text(ctx, where, step, "behavior", NULL, &behavior);
    if (status == RLS_OK && strcmp(behavior, "Isolated") != 0 && strcmp(behavior, "Removed") != 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: the behavior \"%.64s\" is not supported", where, behavior);
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, step, "pattern", true, &pattern);
    if (status == RLS_OK)
        status = rls_field_known(ctx, inner, pattern, " Regex ");
    if (status == RLS_OK)
        status = rls_field_text(ctx, inner, pattern, "Regex", NULL, &regex);
    if (status == RLS_OK)
        s->removed = strcmp(behavior, "Removed") == 0;
    return status == RLS_OK ? rls_regex_create(ctx, inner, regex, &s->regex) : status;
}

static rls_status read_byte_level(rls_context *ctx, const char *where, const json_t *step, rls_split_step *s)
{
    bool trim = false, cut = false; /* trim_offsets is about offsets, not ids */
    rls_status status = rls_field_known(ctx, where, step, " type add_prefix_space trim_offsets use_regex ");
    s->kind = RLS_BYTE_LEVEL;
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "add_prefix_space", -1, &s->prefix_space);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "trim_offsets", 1, &trim);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "use_regex", 1, &cut);
    return status == RLS_OK && cut ? rls_regex_create(ctx, where, GPT2_PATTERN, &s->regex) : status;
}

/* A pre-tokenizer's or a decoder's; older files say add_prefix_space and str_rep. */
static rls_status read_metaspace(rls_context *ctx, const char *where, const json_t *step,
                                 rls_text *replacement, rls_prepend *prepend, bool *split)
{
    const char *scheme = NULL;
    bool prefix = true;
    rls_status status =
        rls_field_known(ctx, where, step, " type replacement prepend_scheme split add_prefix_space str_rep ");
    if (status == RLS_OK)
        status = copy_text(ctx, where, step, "replacement", true, replacement);
    if (status == RLS_OK)
        status = rls_field_text(ctx, where, step, "prepend_scheme", "always", &scheme);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "add_prefix_space", 1, &prefix);
    if (status == RLS_OK)
        status = rls_field_bool(ctx, where, step, "split", 1, split);
    if (status != RLS_OK)
        return status;
    if (strcmp(scheme, "always") == 0)
        *prepend = RLS_PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        *prepend = RLS_PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        *prepend = RLS_PREPEND_NEVER;
    else
        return rls_fail(ctx, RLS_ERR_DATA, "%s: the prepend_scheme \"%.64s\" is not supported", where,
                        scheme);
    if (!prefix && *prepend != RLS_PREPEND_NEVER)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: add_prefix_space and prepend_scheme contradict each other",
                        where);
    return RLS_OK;
}

static rls_status read_split_step(rls_context *ctx, const char *where, const json_t *step, const char *type,
                                  rls_tokenizer *out)
{
    rls_split *split = &out->split;
    if (split->count == RLS_STEPS_MAX)
        return too_many(ctx, where);
    if (split->count > 0 && split->step[split->count - 1].kind == RLS_BYTE_LEVEL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: a step after ByteLevel is not supported", where);
    rls_split_step *s = &split->step[split->count++];
    if (strcmp(type, "Split") == 0)
        return read_split(ctx, where, step, s);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(ctx, where, step, s);
    s->kind = RLS_METASPACE;
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(ctx, where, step, &s->replacement, &s->prepend, &s->split);
    return unknown_type(ctx, where, type);
}

static rls_status read_strip(rls_context *ctx, const char *where, const json_t *step, rls_decode_step *s)
{
    rls_status status = rls_field_known(ctx, where, step, " type content start stop ");
    s->kind = RLS_DECODE_STRIP;
    if (status == RLS_OK)
        status = copy_text(ctx, where, step, "content", true, &s->from);
    if (status == RLS_OK)
        status = rls_field_count(ctx, where, step, "start", INT32_MAX, &s->start);
    return status == RLS_OK ? rls_field_count(ctx, where, step, "stop", INT32_MAX, &s->stop) : status;
}

static rls_status read_decode_step(rls_context *ctx, const char *where, const json_t *step, const char *type,
                                   rls_tokenizer *out)
{
    if (out->decode.count == RLS_STEPS_MAX)
        return too_many(ctx, where);
    rls_decode_step *s = &out->decode.step[out->decode.count++];
    if (strcmp(type, "Replace") == 0) {
        s->kind = RLS_DECODE_REPLACE;
        return read_replace(ctx, where, step, &s->from, &s->to);
    }
    if (strcmp(type, "Strip") == 0)
        return read_strip(ctx, where, step, s);
    if (strcmp(type, "Metaspace") == 0) {
        rls_prepend prepend = RLS_PREPEND_ALWAYS;
        bool split = false;
        s->kind = RLS_DECODE_METASPACE;
        const rls_status status = read_metaspace(ctx, where, step, &s->from, &prepend, &split);
        s->drop_first = prepend != RLS_PREPEND_NEVER;
        return status;
    }
    if (strcmp(type, "ByteLevel") == 0) { /* its options are the pre-tokenizer's */
        s->kind = RLS_DECODE_BYTE_LEVEL;
        return rls_field_known(ctx, where, step, " type add_prefix_space trim_offsets use_regex ");
    }
    s->kind = strcmp(type, "Fuse") == 0 ? RLS_DECODE_FUSE : RLS_DECODE_BYTE_FALLBACK;
    if (s->kind == RLS_DECODE_FUSE || strcmp(type, "ByteFallback") == 0)
        return rls_field_known(ctx, where, step, " type ");
    return unknown_type(ctx, where, type);
}

rls_status rls_tokenizer_read_normal(rls_context *ctx, const char *file, const json_t *root,
                                     rls_tokenizer *out)
{
    return read_all(ctx, file, root, "normalizer", "normalizers", read_normal, out);
}

rls_status rls_tokenizer_read_steps(rls_context *ctx, const char *file, const json_t *root,
                                    rls_tokenizer *out)
{
    const json_t *decoder = json_object_get(root, "decoder");
    const rls_status status =
        read_all(ctx, file, root, "pre_tokenizer", "pretokenizers", read_split_step, out);
    out->decoder = decoder != NULL && !json_is_null(decoder);
    out->bpe.byte_level =
        out->split.count > 0 && out->split.step[out->split.count - 1].kind == RLS_BYTE_LEVEL;
    return status == RLS_OK ? read_all(ctx, file, root, "decoder", "decoders", read_decode_step, out)
                            : status;
}

/* The ids of a special token of a template, appended to ids. */
static rls_status template_token(rls_context *ctx, const char *where, const json_t *tokens, const char *name,
                                 const rls_vocab *vocab, rls_ids *ids)
{
    const json_t *token = json_object_get(tokens, name), *list = json_object_get(token, "ids");
    rls_status status = RLS_OK;
    if (!json_is_array(list))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: special_tokens has no ids of \"%.64s\"", where, name);
    for (size_t i = 0; i < json_array_size(list) && status == RLS_OK; i++) {
        const json_t *value = json_array_get(list, i);
        const json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= vocab->size || vocab->kind[id] == 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: an id of \"%.64s\" is not in the vocabulary", where,
                            name);
        status = rls_ids_add(ctx, ids, (int32_t)id);
    }
    return status;
}

/* One item of a template: {"SpecialToken": {..}} or {"Sequence": {"id": "A", ..}}; *text: past the text. */
static rls_status template_item(rls_context *ctx, const char *where, const json_t *step, const json_t *item,
                                bool *text, rls_tokenizer *out)
{
    const json_t *special = json_object_get(item, "SpecialToken"),
                 *sequence = json_object_get(item, "Sequence");
    const char *id = NULL;
    rls_status status = rls_field_known(ctx, where, item, " SpecialToken Sequence ");
    if (status == RLS_OK && (special != NULL) == (sequence != NULL))
        status =
            rls_fail(ctx, RLS_ERR_DATA, "%s: an item of single is not a SpecialToken or a Sequence", where);
    if (status == RLS_OK)
        status = rls_field_known(ctx, where, special != NULL ? special : sequence, " id type_id ");
    if (status == RLS_OK)
        status = rls_field_text(ctx, where, special != NULL ? special : sequence, "id", NULL, &id);
    if (status == RLS_OK && special != NULL)
        return template_token(ctx, where, json_object_get(step, "special_tokens"), id, &out->bpe.vocab,
                              *text ? &out->after : &out->before);
    if (status == RLS_OK && (*text || strcmp(id, "A") != 0))
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: single holds a sequence that is not the text, or it twice",
                          where);
    *text = true;
    return status;
}

/* Only `single` is read: texts are not encoded in pairs. */
static rls_status read_template(rls_context *ctx, const char *where, const json_t *step, rls_tokenizer *out)
{
    const json_t *single = NULL;
    bool text = false;
    if (out->template_read)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: a second TemplateProcessing is not supported", where);
    out->template_read = true;
    rls_status status = rls_field_known(ctx, where, step, " type single pair special_tokens ");
    if (status == RLS_OK)
        status = rls_field_items(ctx, where, step, "single", false, &single);
    for (size_t i = 0; status == RLS_OK && i < json_array_size(single); i++)
        status = template_item(ctx, where, step, json_array_get(single, i), &text, out);
    if (status == RLS_OK && !text)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: single does not hold the text", where);
    return status;
}

static rls_status read_post(rls_context *ctx, const char *where, const json_t *step, const char *type,
                            rls_tokenizer *out)
{
    if (strcmp(type, "ByteLevel") == 0) /* about offsets, not ids */
        return rls_field_known(ctx, where, step, " type add_prefix_space trim_offsets use_regex ");
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(ctx, where, step, out);
    return unknown_type(ctx, where, type);
}

rls_status rls_tokenizer_read_post(rls_context *ctx, const char *file, const json_t *root, rls_tokenizer *out)
{
    return read_all(ctx, file, root, "post_processor", "processors", read_post, out);
}
