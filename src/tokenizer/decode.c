#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer/steps.h"

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

void rls_pieces_free(rls_pieces *pieces)
{
    rls_text_free(&pieces->text);
    free(pieces->end);
    *pieces = (rls_pieces){0};
}

rls_status rls_pieces_end(rls_context *ctx, rls_pieces *pieces)
{
    void *grown = pieces->end;
    rls_status status = rls_text_add(ctx, &pieces->text, "", 0); /* there is a text, also of empty pieces */
    if (status == RLS_OK)
        status = rls_grow(ctx, &grown, &pieces->capacity, pieces->count + 1, sizeof *pieces->end);
    pieces->end = grown;
    if (status == RLS_OK)
        pieces->end[pieces->count++] = pieces->text.count;
    return status;
}

rls_status rls_pieces_add(rls_context *ctx, rls_pieces *pieces, const char *text, int64_t bytes)
{
    const rls_status status = rls_text_add(ctx, &pieces->text, text, bytes);
    return status == RLS_OK ? rls_pieces_end(ctx, pieces) : status;
}

/* The bytes, 1 to 3, at the beginning of text that are no UTF-8 and become one U+FFFD: as many as begin a
 * character (Unicode, "substitution of maximal subparts"). */
static int64_t broken_bytes(const char *text, int64_t bytes)
{
    for (int64_t keep = bytes < 3 ? bytes : 3; keep > 1; keep--) {
        char whole[] = "\x80\x80\x80\x80\x80"; /* a character that was cut off ends in such bytes */
        memcpy(whole, text, (size_t)keep);
        if (rls_utf8_length(whole, 5) > keep)
            return keep;
    }
    return 1;
}

/* Appends bytes, those that are no UTF-8 replaced. */
static rls_status add_lossy(rls_context *ctx, rls_text *out, const char *data, int64_t bytes)
{
    rls_status status = RLS_OK;
    while (bytes > 0 && status == RLS_OK) {
        const int64_t fault = rls_utf8_fault(data, bytes), whole = fault < 0 ? bytes : fault;
        status = rls_text_add(ctx, out, data, whole);
        data += whole;
        bytes -= whole;
        if (status == RLS_OK && bytes > 0) {
            const int64_t broken = broken_bytes(data, bytes);
            status = rls_text_add(ctx, out, REPLACEMENT, 3);
            data += broken;
            bytes -= broken;
        }
    }
    return status;
}

/* Appends the bytes that a piece's characters stand for; a piece with another character as it is. */
static rls_status add_bytes(rls_context *ctx, rls_text *out, const char *piece, int64_t bytes)
{
    bool known = true;
    for (int64_t i = 0; i < bytes && known; i += rls_char_bytes(piece + i))
        known = rls_char_byte(rls_char_get(piece + i)) >= 0;
    if (!known)
        return rls_text_add(ctx, out, piece, bytes);
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < bytes && status == RLS_OK; i += rls_char_bytes(piece + i)) {
        const char byte = (char)rls_char_byte(rls_char_get(piece + i));
        status = rls_text_add(ctx, out, &byte, 1);
    }
    return status;
}

static int64_t begin_of(const rls_pieces *in, int64_t i)
{
    return i == 0 ? 0 : in->end[i - 1];
}

static rls_status decode_byte_level(rls_context *ctx, const rls_pieces *in, rls_pieces *out)
{
    rls_text raw = {0};
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < in->count && status == RLS_OK; i++)
        status = add_bytes(ctx, &raw, in->text.data + begin_of(in, i), in->end[i] - begin_of(in, i));
    if (status == RLS_OK)
        status = add_lossy(ctx, &out->text, raw.data, raw.count);
    if (status == RLS_OK)
        status = rls_pieces_end(ctx, out);
    rls_text_free(&raw);
    return status;
}

/* The byte of a piece like <0x0A>, or -1. */
static int fallback_byte(const char *piece, int64_t bytes)
{
    if (bytes != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>')
        return -1;
    int byte = 0;
    for (int i = 3; i < 5; i++) {
        const char c = piece[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        byte = byte * 16 + digit;
    }
    return byte;
}

/* Appends a run of bytes: as one piece when it is UTF-8, else a U+FFFD for each. Empties the run. */
static rls_status add_run(rls_context *ctx, rls_text *run, rls_pieces *out)
{
    rls_status status = RLS_OK;
    if (run->count > 0 && rls_utf8_fault(run->data, run->count) < 0)
        status = rls_pieces_add(ctx, out, run->data, run->count);
    else
        for (int64_t i = 0; i < run->count && status == RLS_OK; i++)
            status = rls_pieces_add(ctx, out, REPLACEMENT, 3);
    run->count = 0;
    return status;
}

static rls_status decode_byte_fallback(rls_context *ctx, const rls_pieces *in, rls_pieces *out)
{
    rls_text run = {0};
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < in->count && status == RLS_OK; i++) {
        const char *piece = in->text.data + begin_of(in, i);
        const int64_t bytes = in->end[i] - begin_of(in, i);
        const int byte = fallback_byte(piece, bytes);
        if (byte >= 0) {
            const char c = (char)byte;
            status = rls_text_add(ctx, &run, &c, 1);
            continue;
        }
        status = add_run(ctx, &run, out);
        if (status == RLS_OK)
            status = rls_pieces_add(ctx, out, piece, bytes);
    }
    if (status == RLS_OK)
        status = add_run(ctx, &run, out);
    rls_text_free(&run);
    return status;
}

static bool has_char(const rls_text *c, const char *text, int64_t bytes)
{
    return bytes >= c->count && memcmp(text, c->data, (size_t)c->count) == 0;
}

static rls_status strip(rls_context *ctx, const rls_decode_step *step, const char *piece, int64_t bytes,
                        rls_pieces *out)
{
    const int64_t size = step->from.count;
    for (int64_t i = 0; i < step->start && has_char(&step->from, piece, bytes); i++) {
        piece += size;
        bytes -= size;
    }
    for (int64_t i = 0; i < step->stop && bytes >= size && has_char(&step->from, piece + bytes - size, size);
         i++)
        bytes -= size;
    return rls_pieces_add(ctx, out, piece, bytes);
}

/* What a step makes of one piece, for the steps that see one at a time. */
static rls_status decode_piece(rls_context *ctx, const rls_decode_step *step, bool first, const char *piece,
                               int64_t bytes, rls_pieces *out)
{
    char space[] = " ";
    const rls_text to = {space, first && step->drop_first ? 0 : 1, 1};
    rls_status status = RLS_OK;
    if (step->kind == RLS_DECODE_STRIP)
        return strip(ctx, step, piece, bytes, out);
    status = rls_text_replace(ctx, &out->text, piece, bytes, &step->from,
                              step->kind == RLS_DECODE_METASPACE ? &to : &step->to);
    return status == RLS_OK ? rls_pieces_end(ctx, out) : status;
}

static rls_status apply(rls_context *ctx, const rls_decode_step *step, const rls_pieces *in, rls_pieces *out)
{
    rls_status status = RLS_OK;
    if (step->kind == RLS_DECODE_BYTE_LEVEL)
        return decode_byte_level(ctx, in, out);
    if (step->kind == RLS_DECODE_BYTE_FALLBACK)
        return decode_byte_fallback(ctx, in, out);
    if (step->kind == RLS_DECODE_FUSE)
        return rls_pieces_add(ctx, out, in->text.data, in->text.count);
    for (int64_t i = 0; i < in->count && status == RLS_OK; i++)
        status = decode_piece(ctx, step, i == 0, in->text.data + begin_of(in, i),
                              in->end[i] - begin_of(in, i), out);
    return status;
}

rls_status rls_decode_pieces(rls_context *ctx, const rls_decode *decode, rls_pieces *pieces)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < decode->count && status == RLS_OK; i++) {
        rls_pieces in = *pieces;
        *pieces = (rls_pieces){0};
        status = apply(ctx, &decode->step[i], &in, pieces);
        rls_pieces_free(&in);
    }
    return status;
}
