/* rlsedit moments: second moments of a model's keys over a corpus, or from statistics that others took. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/memory.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "llm/architecture_accept.h"
#include "moments/moments.h"

struct choices {
    const char *model, *text, *field, *out, *layers, *module, *dtype, *resume, *walltime, *accept_config;
    int64_t samples, max_length, seed, tensor_ranks;
    double tolerance, save_minutes;
    bool overwrite, quiet;
    rls_option_list imports;
};

static const rls_option options[] = {
    {"model", 'm', RLS_OPTION_TEXT, "DIR", "Hugging Face directory of the model",
     offsetof(struct choices, model), false, NULL},
    {"layers", 'l', RLS_OPTION_TEXT, "LIST", "layers, as in 4,5,6 or 4-8", offsetof(struct choices, layers),
     false, NULL},
    {"text", 't', RLS_OPTION_TEXT, "FILE", "the corpus: a text a line, or JSONL (*.jsonl, or with --field)",
     offsetof(struct choices, text), false, NULL},
    {"field", 0, RLS_OPTION_TEXT, "NAME", "field of the JSON objects that has the text (default text)",
     offsetof(struct choices, field), false, NULL},
    {"out", 'o', RLS_OPTION_TEXT, "FILE.nc", "file of second moments to make", offsetof(struct choices, out),
     true, NULL},
    {"samples", 'n', RLS_OPTION_INTEGER, "N", "only N texts (default all)", offsetof(struct choices, samples),
     false, NULL},
    {"seed", 0, RLS_OPTION_INTEGER, "S",
     "take the texts in a random order, as S makes it (default 1); 0: as the file has them",
     offsetof(struct choices, seed), false, NULL},
    {"max-length", 0, RLS_OPTION_INTEGER, "L",
     "tokens of a text that count, the rest is cut off (default the model's context, at most 4096)",
     offsetof(struct choices, max_length), false, NULL},
    {"tolerance", 0, RLS_OPTION_REAL, "T",
     "report how much the moments change whenever the number of texts has doubled, and stop once it is by T "
     "or less, relatively; 0 only reports. Takes another matrix a layer",
     offsetof(struct choices, tolerance), false, NULL},
    {"dtype", 0, RLS_OPTION_TEXT, "TYPE",
     "float64 (default) or float32, of the sums and the file; --import keeps the files' own",
     offsetof(struct choices, dtype), false, NULL},
    {"module", 0, RLS_OPTION_TEXT, "NAME",
     "what the file says it is of, as a config's model.module (default by the model's family)",
     offsetof(struct choices, module), false, NULL},
    {"tensor-ranks", 0, RLS_OPTION_INTEGER, "N",
     "ranks that share one copy of the model (default: as few as hold it)",
     offsetof(struct choices, tensor_ranks), false, NULL},
    RLS_OPTION_ACCEPT_CONFIG(struct choices),
    {"save-minutes", 0, RLS_OPTION_REAL, "M", "save what there is that often (default 15)",
     offsetof(struct choices, save_minutes), false, NULL},
    {"resume", 0, RLS_OPTION_TEXT, "auto|never",
     "auto (default): go on with what an earlier run of this command left; never: discard that",
     offsetof(struct choices, resume), false, NULL},
    {"walltime", 0, RLS_OPTION_TEXT, "HH:MM:SS",
     "end in good order before this time is over (in a Slurm job its end is known)",
     offsetof(struct choices, walltime), false, NULL},
    {"import", 'i', RLS_OPTION_LIST, "[L=]FILE.npz",
     "take the moment of a layer from statistics of ROME, MEMIT, AlphaEdit or EasyEdit; more files may "
     "follow",
     offsetof(struct choices, imports), false, NULL},
    {"overwrite", 0, RLS_OPTION_FLAG, NULL, "replace FILE.nc when it is there",
     offsetof(struct choices, overwrite), false, NULL},
    {"quiet", 'q', RLS_OPTION_FLAG, NULL, "say nothing but warnings and errors",
     offsetof(struct choices, quiet), false, NULL},
};

static const rls_command command = {
    .name = "moments",
    .operands = "[FILE.npz...]",
    .least = 0,
    .most = SIZE_MAX,
    .purpose =
        "Takes the second moment (the mean of k k^T) of a model's keys, the inputs of its MLPs' down "
        "projections, at\nsome layers over a corpus: what anchor.moments of a config asks for. Every token "
        "of "
        "a text counts once.\nOr makes the same file of statistics that MEMIT and its kin have written. A "
        "run "
        "that is stopped or killed\nis gone on with by the same command, on any number of ranks; SIGUSR1 and "
        "SIGTERM stop it with exit code 85.",
    .example =
        "  mpirun -n 4 rlsedit moments --model tests/data/atlas --layers 0,1 --text corpus.txt --out "
        "moments.nc\n"
        "  mpirun -n 4 rlsedit moments -m llama -l 4-8 -t wiki.jsonl --samples 100000 --tolerance "
        "0.01 -o moments.nc\n"
        "  rlsedit moments --import model.layers.4.mlp.down_proj_float32_mom2_100000.npz -o moments.nc",
    .options = options,
    .count = sizeof options / sizeof options[0],
};

enum { LAYERS_MAX = 4096 };

/* One number or range at *at; false when there is none. */
static bool take_range(const char **at, int64_t *first, int64_t *last)
{
    char *end = NULL;
    if (**at < '0' || **at > '9')
        return false;
    *first = *last = strtoll(*at, &end, 10);
    if (*end == '-') {
        if (end[1] < '0' || end[1] > '9')
            return false;
        *last = strtoll(end + 1, &end, 10);
    }
    *at = end;
    return *last >= *first && *last < 1000000;
}

/* "4,5,6" or "4-8,12". */
static rls_status parse_layers(rls_context *ctx, const char *text, int *layers, int *count)
{
    const char *at = text;
    int64_t first = 0, last = 0;
    *count = 0;
    while (take_range(&at, &first, &last) && last - first < LAYERS_MAX - *count) {
        for (int64_t layer = first; layer <= last; layer++)
            layers[(*count)++] = (int)layer;
        if (*at == '\0')
            return RLS_OK;
        if (*at++ != ',')
            break;
    }
    return rls_fail(ctx, RLS_ERR_USAGE, "--layers %.200s: expected numbers as in 4,5,6 or 4-8", text);
}

static rls_status parse_dtype(rls_context *ctx, const char *text, rls_dtype *dtype)
{
    if (text == NULL || strcmp(text, "float64") == 0)
        *dtype = RLS_F64;
    else if (strcmp(text, "float32") == 0)
        *dtype = RLS_F32;
    else
        return rls_fail(ctx, RLS_ERR_USAGE, "--dtype %.100s: expected float64 or float32", text);
    return RLS_OK;
}

/* Local, equal on all ranks: options that do not go together. */
static rls_status check(rls_context *ctx, const struct choices *c, const rls_option_list *files)
{
    if (c->imports.count > 0)
        return c->model == NULL && c->text == NULL && c->layers == NULL
                   ? RLS_OK
                   : rls_fail(ctx, RLS_ERR_USAGE,
                              "--import takes no --model, --layers or --text: the files are all it needs");
    if (files->count > 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "%.200s: what is that for? (statistics are given by --import)",
                        files->item[0]);
    if (c->model == NULL || c->text == NULL || c->layers == NULL)
        return rls_fail(ctx, RLS_ERR_USAGE, "--%s is missing (or --import)",
                        c->model == NULL    ? "model"
                        : c->layers == NULL ? "layers"
                                            : "text");
    if (c->resume != NULL && strcmp(c->resume, "auto") != 0 && strcmp(c->resume, "never") != 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "--resume %.100s: expected auto or never", c->resume);
    if (c->tensor_ranks < 0 || c->tensor_ranks > 1000000 || !(c->save_minutes > 0.0))
        return rls_fail(ctx, RLS_ERR_USAGE, "--tensor-ranks and --save-minutes must be above 0");
    if (c->samples == 0 || c->max_length == 0 || c->samples < -1 || c->max_length < -1)
        return rls_fail(ctx, RLS_ERR_USAGE, "--samples and --max-length must be 1 or more");
    if (c->seed < 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "--seed must be 0 or more");
    if (isnan(c->tolerance) || (c->tolerance < 0.0 && !isinf(c->tolerance)))
        return rls_fail(ctx, RLS_ERR_USAGE, "--tolerance must be 0 or more");
    return RLS_OK;
}

static rls_status run_import(rls_context *ctx, const struct choices *c, const rls_option_list *more)
{
    void *memory = NULL;
    rls_dtype dtype = RLS_F64;
    const int64_t count = (int64_t)(c->imports.count + more->count);
    rls_status status = rls_alloc(ctx, count, sizeof(char *), &memory);
    const char **files = memory;
    if (status == RLS_OK)
        status = parse_dtype(ctx, c->dtype, &dtype);
    status = rls_agree(ctx, status);
    for (size_t i = 0; i < (size_t)count && status == RLS_OK; i++)
        files[i] = i < c->imports.count ? c->imports.item[i] : more->item[i - c->imports.count];
    const rls_import_request request = {.files = files,
                                        .file_count = count,
                                        .out = c->out,
                                        .module = c->module,
                                        .dtype = c->dtype != NULL ? &dtype : NULL,
                                        .overwrite = c->overwrite};
    if (status == RLS_OK)
        status = rls_moments_import(ctx, &request);
    if (status == RLS_OK && rls_context_rank(ctx) == 0 && !c->quiet)
        printf("%s: second moments of %" PRId64 " layer%s\n", c->out, count, count == 1 ? "" : "s");
    free(memory);
    return status;
}

static rls_status run_corpus(rls_context *ctx, const struct choices *c, const volatile sig_atomic_t *stop)
{
    void *memory = NULL;
    int count = 0;
    rls_dtype dtype = RLS_F64;
    rls_moments_result result;
    rls_status status = rls_alloc(ctx, LAYERS_MAX, sizeof(int), &memory);
    if (status == RLS_OK)
        status = parse_layers(ctx, c->layers, memory, &count);
    if (status == RLS_OK)
        status = parse_dtype(ctx, c->dtype, &dtype);
    status = rls_agree(ctx, status);
    const rls_moments_request request = {.model = c->model,
                                         .text = c->text,
                                         .field = c->field,
                                         .out = c->out,
                                         .module = c->module,
                                         .layers = memory,
                                         .layer_count = count,
                                         .samples = c->samples > 0 ? c->samples : 0,
                                         .seed = (uint64_t)c->seed,
                                         .max_length = c->max_length > 0 ? c->max_length : 0,
                                         .tolerance = c->tolerance,
                                         .dtype = dtype,
                                         .tensor_ranks = (int)c->tensor_ranks,
                                         .save_minutes = c->save_minutes,
                                         .overwrite = c->overwrite,
                                         .anew = c->resume != NULL && strcmp(c->resume, "never") == 0,
                                         .walltime = c->walltime,
                                         .stop_signal = stop,
                                         .progress = c->quiet ? NULL : stderr};
    if (status == RLS_OK)
        status = rls_moments_make(ctx, &request, &result);
    if (status == RLS_OK && rls_context_rank(ctx) == 0 && !c->quiet)
        printf("%s: second moments of %d layer%s over %" PRId64 " texts, %" PRId64 " keys of length %" PRId64
               ", in %.1f s\n",
               c->out, count, count == 1 ? "" : "s", result.texts, result.keys, result.n, result.seconds);
    free(memory);
    return status;
}

rls_status rls_cli_moments(rls_context *ctx, int argc, char **argv, const volatile sig_atomic_t *stop)
{
    struct choices c = {
        .samples = -1, .max_length = -1, .seed = 1, .tolerance = -HUGE_VAL, .save_minutes = 15.0};
    rls_option_list files = {0};
    bool done = false;
    rls_status status = rls_options_parse(ctx, &command, argc, argv, &c, &files, &done);
    rls_options_quiet(ctx, c.quiet);
    if (status == RLS_OK && !done) {
        status = rls_agree(ctx, check(ctx, &c, &files));
        if (status == RLS_OK && !done)
            status = rls_agree(ctx, rls_architecture_accept(ctx, c.accept_config));
        if (status == RLS_OK)
            status = c.imports.count > 0 ? run_import(ctx, &c, &files) : run_corpus(ctx, &c, stop);
    }
    rls_option_list_free(&c.imports);
    rls_option_list_free(&files);
    return status;
}
