#include "cli/print_eval.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "llm/score.h"

/* "80.7 %", or "-" when there is none. */
static const char *percent(double share, char text[16])
{
    (void)snprintf(text, 16, isnan(share) ? "-" : "%.1f %%", 100.0 * share);
    return text;
}

/* A number, or "-". */
static const char *number(double x, char text[16])
{
    (void)snprintf(text, 16, isfinite(x) ? "%.4g" : "-", x);
    return text;
}

static void print_columns(const rls_eval_result *result, double before, double after, FILE *out)
{
    char text[16];
    (void)fputs("   ", out);
    if (result->compared)
        (void)fprintf(out, "%9s", percent(before, text));
    (void)fprintf(out, "%9s", percent(after, text));
}

static void print_kind(const rls_eval_result *result, rls_eval_kind kind, const char *name, FILE *out)
{
    const rls_eval_metric *before = &result->before.all.kind[kind], *after = &result->after.all.kind[kind];
    if (after->questions == 0)
        return;
    (void)fprintf(out, "%-16s", name);
    print_columns(result, before->success.mean, after->success.mean, out);
    print_columns(result, before->exact.mean, after->exact.mean, out);
    print_columns(result, before->tokens.mean, after->tokens.mean, out);
    (void)fputc('\n', out);
}

static void print_head(const rls_eval_result *result, FILE *out)
{
    static const char *const TITLES[] = {"more probable", "exact", "tokens"};
    (void)fprintf(out, "%-16s", "");
    for (int i = 0; i < 3; i++)
        (void)fprintf(out, "   %*s", result->compared ? 18 : 13, TITLES[i]);
    (void)fputc('\n', out);
    if (!result->compared)
        return;
    (void)fprintf(out, "%-16s", "");
    for (int i = 0; i < 3; i++)
        (void)fprintf(out, "   %9s%9s", "before", "after");
    (void)fputc('\n', out);
}

/* A line of what is no share. */
static void print_figure(const rls_eval_result *result, double before, double after, const char *meaning,
                         FILE *out)
{
    char text[16];
    (void)fputs("   ", out);
    if (result->compared)
        (void)fprintf(out, "%9s", number(before, text));
    (void)fprintf(out, "%9s   %s\n", number(after, text), meaning);
}

static void print_score(const rls_eval_result *result, FILE *out)
{
    if (isnan(result->after.all.score))
        return;
    (void)fprintf(out, "%-16s", "score");
    print_columns(result, result->before.all.score, result->after.all.score, out);
    (void)fputs("   harmonic mean of the first three\n", out);
}

static void print_figures(const rls_eval_result *result, FILE *out)
{
    const rls_eval_figures *before = &result->before, *after = &result->after;
    if (after->text.tokens > 0) {
        (void)fprintf(out, "%-16s", "perplexity");
        print_figure(result, result->compared ? rls_perplexity(&before->text) : (double)NAN,
                     rls_perplexity(&after->text),
                     result->last_word ? "of each text's last word: lower is better"
                                       : "of the text: lower is better",
                     out);
    }
    if (!isnan(after->entropy)) {
        (void)fprintf(out, "%-16s", "fluency");
        print_figure(result, before->entropy, after->entropy,
                     "n-gram entropy of what it writes, in bits: lower when it repeats itself", out);
    }
}

/* What the table's words mean, of those that are in it. */
static void print_legend(const rls_eval_result *result, FILE *out)
{
    const rls_eval_metric *kind = result->after.all.kind;
    (void)fputs("\nefficacy        the edited prompts: the new answer is wanted\n", out);
    if (kind[RLS_EVAL_PARAPHRASE].questions > 0)
        (void)fputs("paraphrase      the same in other words\n", out);
    if (kind[RLS_EVAL_NEIGHBORHOOD].questions > 0)
        (void)fputs("neighbourhood   other subjects, which no edit was about: the true answer is wanted\n",
                    out);
    if (kind[RLS_EVAL_SAME_SUBJECT].questions > 0)
        (void)fputs("same subject    other facts of the edited subjects, which are to stay\n", out);
    (void)fputs("more probable   the wanted answer is more probable, per token, than the other one\n"
                "exact           the model answers what is wanted, token by token\n"
                "tokens          share of the wanted answer's tokens that the model would choose\n",
                out);
    if (kind[RLS_EVAL_EFFICACY].success.facts < kind[RLS_EVAL_EFFICACY].exact.facts)
        (void)fprintf(out,
                      "%" PRId64 " of %" PRId64
                      " facts do not say what was true before, and are judged by exact "
                      "and tokens only\n",
                      kind[RLS_EVAL_EFFICACY].exact.facts - kind[RLS_EVAL_EFFICACY].success.facts,
                      kind[RLS_EVAL_EFFICACY].exact.facts);
    const rls_eval_share *main = kind[RLS_EVAL_EFFICACY].success.facts > 1 ? &kind[RLS_EVAL_EFFICACY].success
                                                                           : &kind[RLS_EVAL_EFFICACY].exact;
    if (main->facts > 1 && main->error > 0.0)
        (void)fprintf(out, "With %" PRId64 " facts, efficacy is known to +- %.1f points (standard error)\n",
                      main->facts, 100.0 * main->error);
}

static void print_retention(const rls_eval_result *result, FILE *out)
{
    const rls_eval_figures *f = &result->after;
    char text[16], range[64];
    if (f->ages < 2)
        return;
    (void)fprintf(
        out,
        "\nRetention: facts by the age of their edit, the oldest first\n%-16s%10s%9s%12s%9s%15s%9s%14s\n",
        "facts", "efficacy", "exact", "paraphrase", "exact", "neighbourhood", "exact", "same subject");
    for (int i = 0; i < f->ages; i++) {
        const rls_eval_age *age = &f->age[i];
        const rls_eval_metric *kind = age->metrics.kind;
        (void)snprintf(range, sizeof range, "%" PRId64 " - %" PRId64, age->first + 1,
                       age->first + age->count);
        (void)fprintf(out, "%-16s%10s", range, percent(kind[RLS_EVAL_EFFICACY].success.mean, text));
        (void)fprintf(out, "%9s", percent(kind[RLS_EVAL_EFFICACY].exact.mean, text));
        (void)fprintf(out, "%12s", percent(kind[RLS_EVAL_PARAPHRASE].success.mean, text));
        (void)fprintf(out, "%9s", percent(kind[RLS_EVAL_PARAPHRASE].exact.mean, text));
        (void)fprintf(out, "%15s", percent(kind[RLS_EVAL_NEIGHBORHOOD].success.mean, text));
        (void)fprintf(out, "%9s", percent(kind[RLS_EVAL_NEIGHBORHOOD].exact.mean, text));
        (void)fprintf(out, "%14s\n", percent(kind[RLS_EVAL_SAME_SUBJECT].exact.mean, text));
    }
}

/* Characters of UTF-8: bytes that do not continue one. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    return width;
}

/* A text in a column of this width, '?' for control characters. */
static void print_cell(const char *text, int width, FILE *out)
{
    for (const char *at = text; *at != '\0'; at++)
        (void)fputc((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at, out);
    (void)fprintf(out, "%*s", width > width_of(text) ? width - width_of(text) : 0, "");
}

static void print_examples(const rls_eval_result *result, FILE *out)
{
    static const char *const TITLES[] = {"question", "wanted", "before", "after"};
    int width[4] = {0};
    if (result->examples == 0)
        return;
    for (int64_t i = -1; i < result->examples; i++)
        for (int c = 0; c < 4; c++) {
            const rls_eval_example *e = &result->example[i < 0 ? 0 : i];
            const char *const cells[] = {e->prompt, e->wanted, e->before, e->after};
            const char *cell = i < 0 ? TITLES[c] : cells[c];
            const int w = cell != NULL ? width_of(cell) + 3 : 0;
            width[c] = w > width[c] ? w : width[c];
        }
    (void)fputc('\n', out);
    for (int64_t i = -1; i < result->examples; i++) {
        for (int c = 0; c < 4; c++) {
            const rls_eval_example *e = &result->example[i < 0 ? 0 : i];
            const char *const cells[] = {e->prompt, e->wanted, e->before, e->after};
            if (c != 2 || result->compared)
                print_cell(i < 0 ? TITLES[c] : cells[c], c < 3 ? width[c] : 0, out);
        }
        (void)fputc('\n', out);
    }
}

void rls_eval_print(const rls_eval_result *result, FILE *out)
{
    (void)fprintf(out, "%" PRId64 " fact%s of %s\n", result->count, result->count == 1 ? "" : "s",
                  result->facts);
    if (result->skipped > 0)
        (void)fprintf(out, "  without %" PRId64 " wrong records\n", result->skipped);
    if (result->compared)
        (void)fprintf(out, "  before  %s\n  after   %s\n\n", result->original, result->model);
    else
        (void)fprintf(out, "  model   %s\n\n", result->model);
    print_head(result, out);
    print_kind(result, RLS_EVAL_EFFICACY, "efficacy", out);
    print_kind(result, RLS_EVAL_PARAPHRASE, "paraphrase", out);
    print_kind(result, RLS_EVAL_NEIGHBORHOOD, "neighbourhood", out);
    print_kind(result, RLS_EVAL_SAME_SUBJECT, "same subject", out);
    print_score(result, out);
    print_figures(result, out);
    print_legend(result, out);
    print_retention(result, out);
    print_examples(result, out);
}
