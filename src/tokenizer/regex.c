#include "tokenizer/regex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "tokenizer/text.h"

struct rls_regex {
    pcre2_code *code;
    char *where;
};

struct rls_regex_work {
    pcre2_match_data *match;
};

enum { PATTERN_BYTES_MAX = 1 << 16, DEPTH_MAX = 64 };

/* Unicode's White_Space, to be put into a class. */
static const char SPACES[] =
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

/* Names of \p{...} that both know as the same. */
static const char CATEGORIES[] = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk "
                                 "So Z Zs Zl Zp ";

/* Pairs of letters that Oniguruma's (?i:...) also finds as one character, such as U+FB01. */
static const char *const FOLDED_PAIRS[] = {"ss", "st", "ff", "fi", "fl"};

/* A pattern on its way to PCRE2. */
typedef struct {
    rls_context *ctx;
    const char *where, *pattern, *at;
    rls_text out;
    bool in_class;
    bool class_start;         /* nothing of the class was read yet */
    bool dash_before;         /* the class's last item may be the dash of a range */
    int depth;                /* of open groups */
    bool caseless[DEPTH_MAX]; /* of each */
    char letter;              /* the literal before in a caseless group, or 0 */
} translation;

static rls_status refuse(const translation *t, const char *what)
{
    return rls_fail(t->ctx, RLS_ERR_DATA,
                    "%s: the pattern has %s at character %lld, which is not supported: %s", t->where, what,
                    (long long)(t->at - t->pattern), t->pattern);
}

/* Passes the next bytes on as they are. */
static rls_status pass(translation *t, int64_t bytes)
{
    const rls_status status = rls_text_add(t->ctx, &t->out, t->at, bytes);
    t->at += bytes;
    return status;
}

/* Puts text in the place of the next bytes. */
static rls_status put(translation *t, int64_t bytes, const char *text)
{
    t->at += bytes;
    return rls_text_add(t->ctx, &t->out, text, (int64_t)strlen(text));
}

static rls_status space(translation *t)
{
    const bool negated = t->at[1] == 'S';
    if (t->in_class)
        return negated ? refuse(t, "\\S in a class") : put(t, 2, SPACES);
    rls_status status = put(t, 2, negated ? "[^" : "[");
    if (status == RLS_OK)
        status = put(t, 0, SPACES);
    return status == RLS_OK ? put(t, 0, "]") : status;
}

static rls_status category(translation *t)
{
    char name[5] = " ";
    const char *end = t->at[2] == '{' ? strchr(t->at, '}') : NULL;
    const int64_t bytes = end != NULL ? end - (t->at + 3) : 0;
    if (bytes < 1 || bytes > 2)
        return refuse(t, "a \\p that is not of a general category, as \\p{L} is,");
    memcpy(name + 1, t->at + 3, (size_t)bytes);
    name[bytes + 1] = ' ';
    if (strstr(CATEGORIES, name) == NULL)
        return refuse(t, "a \\p that is not of a general category, as \\p{L} is,");
    return pass(t, bytes + 4);
}

static rls_status escape(translation *t)
{
    const char c = t->at[1];
    const bool set = c != '\0' && strchr("sSdDpP", c) != NULL;
    if (set && t->in_class && t->dash_before)
        return refuse(t, "a range to a set of characters");
    rls_status status = RLS_OK;
    if (c == 's' || c == 'S')
        status = space(t);
    else if (c == 'd' || c == 'D')
        status = put(t, 2, c == 'd' ? "\\p{Nd}" : "\\P{Nd}");
    else if (c == 'p' || c == 'P')
        status = category(t);
    else if (c != '\0' && (strchr("rntf", c) != NULL || (ispunct((unsigned char)c) && (uint8_t)c < 0x80)))
        status = pass(t, 2);
    else
        status = refuse(t, "an escape");
    if (status == RLS_OK && set && t->in_class && t->at[0] == '-' && t->at[1] != ']')
        return refuse(t, "a range from a set of characters");
    return status;
}

static rls_status in_class(translation *t)
{
    const char c = *t->at;
    rls_status status = RLS_OK;
    if (c == ']' && t->class_start)
        return refuse(t, "a class that begins with ]");
    if (c == '[')
        return refuse(t, "a class in a class");
    if (c == '&' && t->at[1] == '&')
        return refuse(t, "&&");
    if (t->caseless[t->depth] && (uint8_t)c >= 0x80)
        return refuse(t, "a character beyond ASCII in (?i:)");
    if (c == '\\') {
        status = escape(t);
    } else {
        t->in_class = c != ']';
        status = pass(t, rls_char_bytes(t->at));
    }
    t->dash_before = c == '-' && !t->class_start;
    t->class_start = false;
    return status;
}

static rls_status group(translation *t)
{
    static const char *const KNOWN[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    int64_t bytes = t->at[1] == '?' ? 0 : 1;
    bool caseless = t->caseless[t->depth];
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (strncmp(t->at, KNOWN[i], strlen(KNOWN[i])) == 0)
            bytes = (int64_t)strlen(KNOWN[i]);
    if (bytes == 0 || t->at[1] == '*')
        return refuse(t, "a kind of group");
    if (t->depth + 1 >= DEPTH_MAX)
        return refuse(t, "too many groups in groups");
    caseless = caseless || (bytes == 4 && t->at[2] == 'i');
    t->caseless[++t->depth] = caseless;
    return pass(t, bytes);
}

static rls_status repeat(translation *t)
{
    size_t bytes = 1 + strspn(t->at + 1, "0123456789");
    const bool digits = bytes > 1, exact = t->at[bytes] != ',';
    if (!exact)
        bytes += 1 + strspn(t->at + bytes + 1, "0123456789");
    if (!digits || t->at[bytes] != '}' || t->at[bytes + 1] == '+' || (exact && t->at[bytes + 1] == '?'))
        return refuse(t, "a kind of {}");
    return pass(t, (int64_t)bytes + 1);
}

static rls_status literal(translation *t)
{
    const char c = *t->at;
    if (t->caseless[t->depth]) {
        const char pair[3] = {t->letter, (char)tolower((unsigned char)c), '\0'};
        if ((uint8_t)c >= 0x80)
            return refuse(t, "a character beyond ASCII in (?i:)");
        for (size_t i = 0; i < sizeof FOLDED_PAIRS / sizeof FOLDED_PAIRS[0]; i++)
            if (strcmp(pair, FOLDED_PAIRS[i]) == 0)
                return refuse(t, "letters in (?i:) that are one character in another case");
        t->letter = pair[1];
    }
    return pass(t, rls_char_bytes(t->at));
}

static rls_status item(translation *t)
{
    const char c = *t->at, letter = t->letter;
    if (t->in_class)
        return in_class(t);
    t->letter = 0;
    switch (c) {
    case '\\':
        return escape(t);
    case '[':
        t->in_class = t->class_start = true;
        return pass(t, t->at[1] == '^' ? 2 : 1);
    case '(':
        return group(t);
    case ')':
        t->depth -= t->depth > 0; /* PCRE2 tells of one too many */
        return pass(t, 1);
    case '{':
        return repeat(t);
    case '^':
    case '$':
        return refuse(t, "an anchor");
    case '*':
    case '+':
    case '?':
    case '|':
    case '.':
        return pass(t, 1);
    default:
        t->letter = letter;
        return literal(t);
    }
}

static rls_status compile(translation *t, rls_regex *regex)
{
    int error = 0;
    PCRE2_SIZE offset = 0;
    uint32_t empty = 0;
    pcre2_compile_context *options = pcre2_compile_context_create(NULL);
    if (options == NULL)
        return rls_fail(t->ctx, RLS_ERR_MEMORY, "no memory for a pattern");
    (void)pcre2_set_newline(options, PCRE2_NEWLINE_LF);
    regex->code = pcre2_compile((PCRE2_SPTR)t->out.data, (PCRE2_SIZE)t->out.count, PCRE2_UTF | PCRE2_UCP,
                                &error, &offset, options);
    pcre2_compile_context_free(options);
    if (regex->code == NULL) {
        PCRE2_UCHAR text[256] = {0};
        (void)pcre2_get_error_message(error, text, sizeof text);
        return rls_fail(t->ctx, RLS_ERR_DATA, "%s: the pattern is not valid: %s: %s", t->where,
                        (const char *)text, t->pattern);
    }
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_MATCHEMPTY, &empty);
    if (empty)
        return rls_fail(t->ctx, RLS_ERR_DATA,
                        "%s: the pattern may match the empty text, which is not supported: %s", t->where,
                        t->pattern);
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it, matching is slower */
    return RLS_OK;
}

rls_status rls_regex_create(rls_context *ctx, const char *where, const char *pattern, rls_regex **out)
{
    translation t = {.ctx = ctx, .where = where, .pattern = pattern, .at = pattern};
    void *memory = NULL;
    *out = NULL;
    if (strlen(pattern) > PATTERN_BYTES_MAX)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: a pattern of more than %d bytes", where, PATTERN_BYTES_MAX);
    rls_status status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    rls_regex *regex = memory;
    if (status == RLS_OK)
        status = rls_strdup(ctx, where, &regex->where);
    while (status == RLS_OK && *t.at != '\0')
        status = item(&t);
    if (status == RLS_OK)
        status = compile(&t, regex);
    rls_text_free(&t.out);
    if (status != RLS_OK)
        rls_regex_destroy(&regex);
    *out = regex;
    return status;
}

void rls_regex_destroy(rls_regex **regex)
{
    if (*regex != NULL) {
        pcre2_code_free((*regex)->code);
        free((*regex)->where);
    }
    free(*regex);
    *regex = NULL;
}

rls_status rls_regex_work_create(rls_context *ctx, rls_regex_work **out)
{
    void *memory = NULL;
    const rls_status status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    *out = memory;
    if (status != RLS_OK)
        return status;
    (*out)->match = pcre2_match_data_create(1, NULL);
    if ((*out)->match == NULL) {
        rls_regex_work_destroy(out);
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory to match a pattern");
    }
    return RLS_OK;
}

void rls_regex_work_destroy(rls_regex_work **work)
{
    if (*work != NULL)
        pcre2_match_data_free((*work)->match);
    free(*work);
    *work = NULL;
}

rls_status rls_regex_find(rls_context *ctx, const rls_regex *regex, rls_regex_work *work, const char *text,
                          int64_t bytes, int64_t from, int64_t *start, int64_t *end)
{
    int found = pcre2_match(regex->code, (PCRE2_SPTR)text, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from,
                            PCRE2_NO_UTF_CHECK, work->match, NULL);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter's stack is on the heap */
        found = pcre2_match(regex->code, (PCRE2_SPTR)text, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from,
                            PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, work->match, NULL);
    *start = -1;
    *end = -1;
    if (found == PCRE2_ERROR_NOMATCH)
        return RLS_OK;
    if (found < 0) {
        PCRE2_UCHAR message[256] = {0};
        (void)pcre2_get_error_message(found, message, sizeof message);
        return rls_fail(ctx, found == PCRE2_ERROR_NOMEMORY ? RLS_ERR_MEMORY : RLS_ERR_DATA,
                        "%s: the pattern could not be matched at byte %lld of a text: %s", regex->where,
                        (long long)from, (const char *)message);
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(work->match);
    *start = (int64_t)range[0];
    *end = (int64_t)range[1];
    return RLS_OK;
}
