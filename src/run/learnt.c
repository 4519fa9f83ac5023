#include "run/learnt.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/file_util.h"
#include "store/manifest.h"

/* Below these the settings do not suit the model, and the user is told what to change. */
static const double LITTLE_PROBABILITY = 0.5, LITTLE_SHARE = 0.5;

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void add_line(const json_t *line, rls_learnt *out)
{
    const json_t *live = json_object_get(line, "live");
    const double edits = (double)rls_manifest_count(line, "batch_edits");
    const double share = number_of(live, "below_stop_loss"), probability = number_of(live, "probability");
    if (!json_is_object(live) || !(edits > 0.0) || isnan(share))
        return;
    out->facts += (int64_t)edits;
    out->below_stop_loss += share * edits;
    out->nll += number_of(live, "nll") * edits;
    if (isnan(probability))
        return;
    out->probed += (int64_t)edits;
    out->probability += probability * edits;
}

rls_status rls_learnt_read(const rls_run *run, rls_learnt *out)
{
    enum { LOG_MAX = 1 << 30 };
    char *path = NULL, *text = NULL;
    int64_t bytes = 0;
    *out = (rls_learnt){0};
    rls_status status = rls_run_dir_path(run->ctx, run->dir, "log.jsonl", &path);
    if (status == RLS_OK)
        status = rls_file_read_whole(run->ctx, path, LOG_MAX, &text, &bytes);
    for (const char *at = text; status == RLS_OK && at < text + bytes;) {
        const char *end = memchr(at, '\n', (size_t)(text + bytes - at));
        if (end == NULL)
            break;
        json_t *line = rls_manifest_from_line(at, (size_t)(end - at));
        add_line(line, out);
        json_decref(line);
        at = end + 1;
    }
    if (out->facts > 0)
        out->nll /= (double)out->facts;
    if (out->probed > 0)
        out->probability /= (double)out->probed;
    free(text);
    free(path);
    return status;
}

void rls_learnt_tell(const rls_run *run, const rls_learnt *l)
{
    const double share = l->facts > 0 ? l->below_stop_loss / (double)l->facts : 1.0;
    if (l->facts == 0)
        return;
    rls_log(run->ctx, RLS_LOG_INFO,
            "learnt: of %" PRId64
            " facts, %.0f came below the stop loss (value.stop_loss: %g) in their search; right "
            "after its batch a wanted answer has the probability %.2f on average",
            l->facts, l->below_stop_loss, run->config->value.stop_loss, l->probability);
    if (share >= LITTLE_SHARE && !(l->probability < LITTLE_PROBABILITY))
        return;
    if (l->nll > 1.0 || (share < LITTLE_SHARE && !(l->probability < LITTLE_PROBABILITY)))
        rls_log(run->ctx, RLS_LOG_WARNING,
                "that is little, and the search is what falls short (its mean loss of the answers is %.2f): "
                "try a larger "
                "value.lr (now %g), more value.steps (%d) or a larger value.clamp_norm_factor (%g)",
                l->nll, run->config->value.lr, (int)run->config->value.steps,
                run->config->value.clamp_norm_factor);
    else
        rls_log(run->ctx, RLS_LOG_WARNING,
                "that is little, though the search found good values: the weights are held too fast to take "
                "them. Try a "
                "smaller anchor.weight (now %g, a tenth is a start) or editor.lambda (%g)",
                run->config->anchor.weight, run->config->editor.lambda);
}

json_t *rls_learnt_json(const rls_learnt *l)
{
    if (l->facts == 0)
        return NULL;
    return json_pack("{s:I, s:o, s:o, s:o}", "facts", (json_int_t)l->facts, "below_stop_loss",
                     rls_json_real(l->below_stop_loss / (double)l->facts), "probability",
                     l->probed > 0 ? rls_json_real(l->probability) : json_null(), "nll",
                     rls_json_real(l->nll));
}
