/* Any bytes as a .npz file. What is accepted has its arrays' bytes inside the file, and reading them stays
 * within what was asked for. */
#include "fuzz/fuzz.h"
#include "store/npy.h"
#include "store/zip.h"

static int bad(rls_status status)
{
    return status != RLS_OK && status != RLS_ERR_DATA && status != RLS_ERR_MEMORY;
}

static void check_array(rls_context *ctx, const unsigned char *bytes, int64_t length)
{
    rls_npy npy;
    const rls_status status = rls_npy_parse(ctx, "fuzz.npy", bytes, length, &npy);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    if (status != RLS_OK)
        return;
    must(npy.begin >= RLS_NPY_PREFIX - 2 && npy.begin <= length);
    must(npy.dims >= 0 && npy.dims <= RLS_NPY_DIMS && npy.count >= 0);
    must(rls_npy_element(&npy, 'f') <= 8);
}

/* The first bytes of an entry, in pieces. */
static void check_entry(rls_context *ctx, const rls_zip *zip, const rls_zip_entry *entry)
{
    enum { MOST = 4096, PIECE = 100 };
    static unsigned char data[MOST];
    rls_zip_stream *stream = NULL;
    int64_t offset = -1, done = 0;
    rls_status status = rls_zip_data(ctx, zip, entry, &offset);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    must(status != RLS_OK || (offset >= 0 && offset + entry->packed <= zip->source.bytes));
    status = rls_zip_stream_begin(ctx, zip, entry, &stream);
    must(!bad(status));
    while (status == RLS_OK && done < MOST && done < entry->bytes) {
        int64_t piece = entry->bytes - done < PIECE ? entry->bytes - done : PIECE;
        piece = piece < MOST - done ? piece : MOST - done;
        status = rls_zip_stream_read(stream, data + done, piece);
        must(!bad(status));
        done += status == RLS_OK ? piece : 0;
    }
    rls_zip_stream_end(&stream);
    check_array(ctx, data, done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    rls_zip zip;
    const rls_status status = rls_zip_parse(&ctx, "fuzz.npz", data, (int64_t)size, &zip);
    must(!bad(status));
    must(status == RLS_OK || *rls_context_message(&ctx) != '\0');
    for (int64_t i = 0; status == RLS_OK && i < zip.count && i < 16; i++)
        check_entry(&ctx, &zip, &zip.entries[i]);
    rls_zip_close(&zip);
    check_array(&ctx, data, (int64_t)size); /* and as an array by itself */
    return 0;
}
