#include "eval/eval.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"
#include "corpus/corpus.h"
#include "eval/examples.h"
#include "eval/fluency.h"
#include "eval/questions.h"
#include "eval/run.h"
#include "eval/text.h"
#include "llm/architecture_accept.h"
#include "store/manifest.h"

typedef struct {
    rls_context *ctx;
    const rls_eval_request *request;
    rls_eval_result *result;
    rls_eval_run run;
    rls_facts *facts;
    rls_corpus *corpus; /* NULL: no text */
    rls_eval_fact *answers;
    char *out; /* where eval.json goes; NULL: nowhere */
    int64_t token_budget;
    rls_progress progress;
} evaluation;

/* Whether a model is still at path; rank 0 looks. Collective. */
static bool is_there(rls_context *ctx, const char *path)
{
    int there = ctx->rank == 0 && access(path, R_OK) == 0;
    MPI_Bcast(&there, 1, MPI_INT, 0, ctx->comm);
    return there != 0;
}

/* What is to be tried: what the request says, else what the run does. Collective. */
static rls_status choose_inputs(evaluation *e)
{
    const rls_eval_request *q = e->request;
    rls_eval_result *out = e->result;
    rls_context *ctx = e->ctx;
    const char *model = q->model != NULL ? q->model : e->run.model;
    const char *facts = q->facts != NULL ? q->facts : e->run.facts;
    const char *original = q->only_after ? NULL : q->original;
    rls_status status = RLS_OK;
    if (original == NULL && !q->only_after && e->run.original != NULL) {
        if (is_there(ctx, e->run.original))
            original = e->run.original;
        else
            rls_log(ctx, RLS_LOG_WARNING,
                    "%s: the model that was edited is not there any more: nothing is compared; --original "
                    "says where it is now",
                    e->run.original);
    }
    if (facts == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%s: edited from a recorded stream, which has no words: give its facts by --facts",
                          q->run);
    if (status == RLS_OK)
        status = rls_strdup(ctx, model, &out->model);
    if (status == RLS_OK)
        status = rls_strdup(ctx, facts, &out->facts);
    if (status == RLS_OK && original != NULL)
        status = rls_strdup(ctx, original, &out->original);
    if (status == RLS_OK && q->text != NULL)
        status = rls_strdup(ctx, q->text, &out->text);
    out->compared = original != NULL;
    out->last_word = q->last_word;
    return rls_agree(ctx, status);
}

/* Where eval.json goes; that it cannot be written shall not be noticed when all is done. Collective. */
static rls_status choose_out(evaluation *e)
{
    const rls_eval_request *q = e->request;
    rls_context *ctx = e->ctx;
    char directory[PATH_MAX];
    rls_status status = RLS_OK;
    if (q->out != NULL)
        status = rls_strdup(ctx, q->out, &e->out);
    else if (q->run != NULL)
        status = rls_asprintf(ctx, &e->out, "%s/eval.json", q->run);
    if (status == RLS_OK && e->out != NULL && ctx->rank == 0) {
        (void)snprintf(directory, sizeof directory, "%s", e->out);
        char *slash = strrchr(directory, '/');
        if (slash == NULL)
            (void)snprintf(directory, sizeof directory, ".");
        else
            slash[slash == directory ? 1 : 0] = '\0';
        if (access(directory, W_OK | X_OK) != 0)
            status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be written: %s: %s", e->out, directory,
                              strerror(errno));
    }
    return rls_agree(ctx, status);
}

/* Whether the facts are those that the run edited. Collective; equal on all ranks. */
static rls_status check_unchanged(const evaluation *e)
{
    char digest[RLS_HASH_TEXT];
    rls_facts_digest(e->facts, digest);
    if (strcmp(digest, e->run.digest) == 0)
        return RLS_OK;
    return rls_agree(e->ctx,
                     rls_fail(e->ctx, RLS_ERR_DATA,
                              "%s: has changed since the run: these are not the facts that were edited; "
                              "--facts %s tries them none the less",
                              e->result->facts, e->result->facts));
}

/* The facts, of a run those that were applied. Collective. */
static rls_status read_facts(evaluation *e)
{
    const rls_eval_request *q = e->request;
    rls_context *ctx = e->ctx;
    const bool of_run = q->facts == NULL;
    const rls_facts_policy policy = of_run && e->run.skip ? RLS_FACTS_SKIP : q->policy;
    const int64_t applied = of_run ? e->run.edits : 0;
    const int64_t limit = applied > 0 && (q->limit == 0 || q->limit > applied) ? applied : q->limit;
    rls_status status = rls_facts_read(ctx, e->result->facts, policy, limit, &e->facts);
    if (status == RLS_OK && applied > 0 && limit == applied && e->run.digest != NULL)
        status = check_unchanged(e);
    if (status != RLS_OK)
        return status;
    e->result->count = rls_facts_count(e->facts);
    e->result->skipped = rls_facts_skipped(e->facts);
    void *memory = NULL;
    status = rls_alloc(ctx, e->result->count, sizeof(rls_eval_fact), &memory);
    e->answers = memory;
    return rls_agree(ctx, status);
}

/* What can be found wrong before weights are read, which may take long. Collective. */
static rls_status check_models(evaluation *e)
{
    rls_context *ctx = e->ctx;
    const rls_eval_result *out = e->result;
    rls_architecture arch, original;
    rls_tokenizer *tokenizer = NULL;
    rls_status status = rls_architecture_read(ctx, out->model, &arch);
    int64_t context = arch.context;
    if (status == RLS_OK && out->compared) {
        status = rls_architecture_read(ctx, out->original, &original);
        context = status == RLS_OK && original.context < context ? original.context : context;
    }
    if (status == RLS_OK)
        status = rls_tokenizer_open(ctx, out->model, &tokenizer);
    if (status == RLS_OK)
        status = rls_eval_check(ctx, out->facts, e->facts, tokenizer, context, &e->token_budget);
    rls_tokenizer_close(&tokenizer);
    return status;
}

/* Collective. */
static rls_status prepare(evaluation *e)
{
    const rls_eval_request *q = e->request;
    rls_context *ctx = e->ctx;
    rls_status status = RLS_OK;
    if (q->run == NULL && (q->model == NULL || q->facts == NULL))
        status = rls_fail(ctx, RLS_ERR_USAGE, "nothing to evaluate: give a run, or a model and facts");
    status = rls_agree(ctx, status);
    if (status == RLS_OK && q->run != NULL)
        status = rls_eval_run_read(ctx, q->run, &e->run);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_architecture_accept(ctx, e->run.accept_config));
    if (status == RLS_OK)
        status = choose_inputs(e);
    if (status == RLS_OK)
        status = choose_out(e);
    if (status == RLS_OK)
        status = read_facts(e);
    if (status == RLS_OK && q->text != NULL)
        status = rls_corpus_open(ctx, q->text, q->field, &e->corpus);
    if (status == RLS_OK)
        status = check_models(e);
    if (status == RLS_OK)
        status = rls_eval_examples_make(
            ctx, e->facts, q->questions < e->result->count ? q->questions : e->result->count, e->result);
    return status;
}

/* All about one model. before: facts done by the one before it. Collective. */
static rls_status try_model(evaluation *e, const char *path, bool original, rls_eval_figures *out)
{
    const rls_eval_request *q = e->request;
    const rls_llm_options options = {.tensor_ranks = q->tensor_ranks, .token_budget = e->token_budget};
    rls_eval_result *result = e->result;
    rls_llm *llm = NULL;
    result->fluency = q->fluency < result->count ? q->fluency : result->count;
    rls_status status = rls_llm_open(e->ctx, path, &options, &llm);
    if (status == RLS_OK)
        status = rls_eval_ask(llm, result->facts, e->facts, &e->progress,
                              result->compared && !original ? result->count : 0, e->answers);
    if (status == RLS_OK) {
        out->all = rls_eval_summarize(e->answers, result->count);
        out->ages = rls_eval_by_age(e->answers, result->count, out->age);
        out->entropy = (double)NAN;
    }
    if (status == RLS_OK && e->corpus != NULL)
        status = rls_eval_texts(llm, e->corpus, q->last_word, &result->texts, &out->text);
    if (status == RLS_OK && result->fluency > 0)
        status = rls_eval_fluency(llm, e->facts, result->fluency, &out->entropy);
    if (status == RLS_OK && result->examples > 0)
        status = rls_eval_examples_answer(llm, original, result);
    rls_llm_close(&llm);
    return status;
}

/* Collective. */
static rls_status write_result(const evaluation *e)
{
    if (e->out == NULL)
        return RLS_OK;
    return rls_agree(e->ctx, e->ctx->rank == 0 ? rls_manifest_write(e->ctx, e->out, rls_eval_json(e->result))
                                               : RLS_OK);
}

rls_status rls_eval(rls_context *ctx, const rls_eval_request *request, rls_eval_result *out)
{
    evaluation e = {.ctx = ctx, .request = request, .result = out};
    *out = (rls_eval_result){0};
    rls_status status = prepare(&e);
    rls_progress_begin(&e.progress, ctx->rank == 0 ? request->progress : NULL, 0,
                       out->count * (out->compared ? 2 : 1));
    e.progress.unit = "facts";
    if (status == RLS_OK && out->compared)
        status = try_model(&e, out->original, true, &out->before);
    if (status == RLS_OK)
        status = try_model(&e, out->model, false, &out->after);
    rls_progress_end(&e.progress);
    if (status == RLS_OK)
        status = write_result(&e);
    rls_corpus_close(&e.corpus);
    rls_facts_free(&e.facts);
    rls_eval_run_free(&e.run);
    free(e.answers);
    free(e.out);
    return status;
}

void rls_eval_free(rls_eval_result *result)
{
    for (int64_t i = 0; i < result->examples; i++) {
        free(result->example[i].prompt);
        free(result->example[i].wanted);
        free(result->example[i].before);
        free(result->example[i].after);
    }
    free(result->example);
    free(result->model);
    free(result->original);
    free(result->facts);
    free(result->text);
    *result = (rls_eval_result){0};
}
