/* A diff and the file that it is for, with a NUL byte between them: both come from users. */
#include "sidecar/runner/patch.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t old_len = nul ? (size_t)(nul - data) : 0;
    size_t skip = nul ? old_len + 1 : 0;
    /* Blocks of the exact size, so that a read past the end is seen. */
    char *old = xmalloc(old_len + (old_len == 0));
    char *diff = xmalloc(size - skip + (size == skip));
    char *out = NULL;
    size_t out_len = 0;
    uint32_t fault;

    if (old_len)
        memcpy(old, data, old_len);
    if (size > skip)
        memcpy(diff, data + skip, size - skip);
    fault = patch_apply(old, old_len, diff, size - skip, &out, &out_len);
    property((fault == 0) == (out != NULL));
    property(out_len <= old_len + size - skip);
    if (fault) {
        char *text = patch_fault_text(fault);

        property(text[0]);
        free(text);
    }
    free(out);
    free(diff);
    free(old);
    return 0;
}
