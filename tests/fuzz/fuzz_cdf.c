/* Any bytes as the header of a netCDF file. What is accepted has all its data in the file, in variables of
 * known types. */
#include "fuzz/fuzz.h"
#include "store/cdf.h"

static void check(rls_context *ctx, const rls_cdf *cdf)
{
    char text[64];
    int64_t value = 0;
    for (int64_t i = 0; i < cdf->var_count; i++) {
        const rls_cdf_var *var = &cdf->vars[i];
        must(var->type >= RLS_CDF_BYTE && var->type <= RLS_CDF_UINT64);
        must(var->begin >= 0 && var->bytes >= 0);
        must(cdf->records == 0 || var->bytes <= cdf->file_bytes - var->begin ||
             (var->record && cdf->records == 0));
        for (int d = 0; d < var->dim_count && d < 2; d++)
            must(var->dims[d] >= 0 && var->dims[d] < cdf->dim_count);
        must(rls_cdf_find(cdf, var->name) != NULL);
    }
    for (int64_t i = 0; i < cdf->att_count; i++) {
        /* either may refuse; both must stay within the header */
        (void)!rls_cdf_text(ctx, cdf, cdf->atts[i].name, true, text, sizeof text);
        (void)!rls_cdf_integer(ctx, cdf, cdf->atts[i].name, true, &value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    rls_cdf cdf;
    bool more = false;
    const rls_status status = rls_cdf_parse(&ctx, "fuzz.nc", data, (int64_t)size, (int64_t)size, &cdf, &more);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    must(!more);
    must(status == RLS_OK || *rls_context_message(&ctx) != '\0');
    if (status == RLS_OK)
        check(&ctx, &cdf);
    rls_cdf_free(&cdf);
    /* the same file read piece by piece comes to the same */
    if (size > 32) {
        const rls_status part =
            rls_cdf_parse(&ctx, "fuzz.nc", data, (int64_t)size / 2, (int64_t)size, &cdf, &more);
        must(more || part == status);
        rls_cdf_free(&cdf);
    }
    return 0;
}
