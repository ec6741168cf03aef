/*
 * A signed request of which the input changes what it likes: it passes exactly if nothing of it is
 * changed. Lines of the input, in the order of enum field; an empty line leaves a field as it is,
 * "=" makes it empty, "~" with a byte for the place and one for the character changes one
 * character, and anything else takes its place. The line behind them is tried as a list of public
 * keys.
 */
#include "common/wire/signature.h"
#include "tests/fuzz/fuzz.h"

#define CREATED 1750000000
static const char key_text[] = "lRrU542RzFpgF1sc:m8mlBFE-vmI_e-UTme4C5q0F0bQZdSgHyDwxaEeu85Q";

enum field {
    METHOD,
    PATH,
    QUERY,
    POD,
    SANDBOX,
    OPERATOR,
    BODY,
    INPUT,
    SIGNATURE,
    DIGEST,
    NOW,
    FIELDS
};

struct request {
    char *text[FIELDS];
    size_t body_len;
    struct signature_keyring ring;
};

static struct signature_input input_of(const struct request *r)
{
    return (struct signature_input){r->text[METHOD], r->text[PATH],    r->text[QUERY],
                                    r->text[POD],    r->text[SANDBOX], r->text[OPERATOR],
                                    r->text[BODY],   r->body_len};
}

/* Made once: Ed25519 gives the same signature for the same text. */
static const struct request *original(void)
{
    static const char *const texts[] = {"PUT",     "/v1/tasks/u/1", "after=7", "pod",
                                        "sandbox", "operator",      "{}"};
    static const unsigned char nonce[SIGNATURE_NONCE_BYTES] = {1, 2, 3};
    static struct request r;
    struct signature_headers h;
    struct signature_input in;
    struct signature_key key;

    if (r.ring.count > 0)
        return &r;
    property(signature_init() == 0 && signature_key_parse(key_text, &key, NULL) == 0);
    r.ring.count = 1;
    signature_key_public(&key, &r.ring.keys[0]);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        r.text[i] = xstrdup(texts[i]);
    r.body_len = strlen(texts[BODY]);
    in = input_of(&r);
    property(signature_sign(&key, &in, CREATED, nonce, &h, NULL) == 0);
    r.text[INPUT] = xstrdup(h.signature_input);
    r.text[SIGNATURE] = xstrdup(h.signature);
    r.text[DIGEST] = xstrdup(h.content_digest);
    r.text[NOW] = xasprintf("%d", CREATED);
    return &r;
}

/* ---- the changes ----------------------------------------------------------------------------- */

struct line {
    const char *p;
    size_t len;
};

static struct line take_line(const char **p, const char *end)
{
    const char *newline = memchr(*p, '\n', (size_t)(end - *p));
    struct line l = {*p, (size_t)((newline ? newline : end) - *p)};

    *p = newline ? newline + 1 : end;
    return l;
}

static char *changed(const char *text, struct line l, size_t *ret_len)
{
    char *new;

    *ret_len = strlen(text);
    if (l.len == 0)
        return xstrdup(text);
    if (l.len == 3 && l.p[0] == '~') {
        new = xstrdup(text);
        new[(unsigned char)l.p[1] % *ret_len] = l.p[2];
        return new;
    }
    *ret_len = l.len == 1 && l.p[0] == '=' ? 0 : l.len;
    return xmemdup0(l.p, *ret_len);
}

static void header(char ret[SIGNATURE_HEADER_MAX], const char *text)
{
    size_t len = strnlen(text, SIGNATURE_HEADER_MAX - 1);

    memcpy(ret, text, len);
    ret[len] = '\0';
}

static bool verify(const struct request *r, int64_t now_s)
{
    struct signature_input in = input_of(r);
    struct signature_proof proof;
    struct signature_headers h;

    header(h.signature_input, r->text[INPUT]);
    header(h.signature, r->text[SIGNATURE]);
    header(h.content_digest, r->text[DIGEST]);
    return signature_verify_head(&r->ring, &in, &h, now_s, &proof, NULL) == 0 &&
           signature_verify_body(h.content_digest, in.body, in.body_len, NULL) == 0;
}

static bool unchanged(const struct request *a, const struct request *b)
{
    for (size_t i = 0; i < NOW; i++)
        if (i != BODY && strcmp(a->text[i], b->text[i]) != 0)
            return false;
    return a->body_len == b->body_len && memcmp(a->text[BODY], b->text[BODY], a->body_len) == 0;
}

static void check_ring(struct line l)
{
    cleanup_free char *text = xmemdup0(l.p, l.len);
    struct signature_keyring a, b;
    char again[SIGNATURE_KEYS_MAX * 128];

    if (signature_keyring_parse(text, &a, NULL) < 0)
        return;
    property(a.count > 0 && a.count <= SIGNATURE_KEYS_MAX);
    signature_keyring_format(&a, again, sizeof(again));
    property(strcmp(again, text) == 0);
    property(signature_keyring_parse(again, &b, NULL) == 0 && memcmp(&a, &b, sizeof(a)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    const struct request *good = original();
    struct request r = {.ring = good->ring};
    int64_t now_s;
    size_t len;

    for (size_t i = 0; i < FIELDS; i++) {
        r.text[i] = changed(good->text[i], take_line(&p, end), &len);
        if (i == BODY)
            r.body_len = len;
    }
    now_s = strtoll(r.text[NOW], NULL, 10);
    property(verify(&r, now_s) == (unchanged(&r, good) && now_s >= CREATED - SIGNATURE_WINDOW_S &&
                                   now_s <= CREATED + SIGNATURE_WINDOW_S));
    check_ring(take_line(&p, end));
    for (size_t i = 0; i < FIELDS; i++)
        free(r.text[i]);
    return 0;
}
