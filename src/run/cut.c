#include "run/cut.h"

enum {
    STEP_MOST = 512,        /* edits; wider ones gain nothing */
    STEP_SHARE_OF_KEYS = 32 /* n is so many times a step's edits */
};

int64_t rls_cut_whole_batches(const rls_inputs *in, int64_t step)
{
    const int64_t batch = in->config->batch;
    return step > batch && in->facts == NULL ? step / batch * batch : batch;
}

/* What suits the machine. */
static int64_t automatic_step(const rls_inputs *in)
{
    const int64_t batch = in->config->batch, every = in->config->checkpoint.every_edits;
    int64_t most = STEP_MOST;
    for (int i = 0; i < in->layer_count; i++)
        if (in->layers[i].n / STEP_SHARE_OF_KEYS < most)
            most = in->layers[i].n / STEP_SHARE_OF_KEYS;
    if (every > 0 && every < most)
        most = every;
    const int64_t widest = rls_cut_whole_batches(in, most);
    for (int64_t step = widest; every > 0 && step > 0 && 2 * step > widest; step -= batch)
        if (every % step == 0)
            return step;
    return widest;
}

int64_t rls_cut_step(const rls_inputs *in)
{
    const int64_t wanted = in->config->state.step;
    return wanted > 0 ? rls_cut_whole_batches(in, wanted) : automatic_step(in);
}

int64_t rls_cut_next(const rls_inputs *in, int64_t step, int64_t position)
{
    const int64_t left = in->edits - position;
    const int64_t count = step > in->config->batch ? step - position % step : step;
    return left < count ? left : count;
}
