/* The headers of a signed request: nothing that is made up may pass. */
#include "common/signature.h"
#include "tests/fuzz/fuzz.h"

static const char ring_text[] = "k=czi4EervU3Kn3GB3XNDyUGVp9uRG0hfDXfs9tMfggbs";

/* Takes a line of the input. */
static void take(const char **p, const char *end, char *ret, size_t size)
{
    const char *newline = memchr(*p, '\n', (size_t)(end - *p));
    size_t len = newline ? (size_t)(newline - *p) : (size_t)(end - *p);

    len = MIN(len, size - 1);
    memcpy(ret, *p, len);
    ret[len] = '\0';
    *p = newline ? newline + 1 : end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct signature_keyring ring;
    struct signature_input in = {"PUT", "/v1/tasks/u/1", "", "pod", "sandbox", "{}", 2};
    struct signature_headers h;
    char nonce[SIGNATURE_NONCE_TEXT], ring_input[256];
    const char *p = (const char *)data, *end = p + size;
    struct signature_keyring other;

    if (ring.count == 0)
        property(signature_init() == 0 && signature_keyring_parse(ring_text, &ring, NULL) == 0);
    take(&p, end, h.signature_input, sizeof(h.signature_input));
    take(&p, end, h.signature, sizeof(h.signature));
    take(&p, end, h.content_digest, sizeof(h.content_digest));
    take(&p, end, ring_input, sizeof(ring_input));
    property(signature_verify(&ring, &in, &h, 1750000000, nonce, NULL) < 0);
    signature_keyring_parse(ring_input, &other, NULL);
    return 0;
}
