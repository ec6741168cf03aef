#include "common/wire/signature.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/limits.h"

/* The covered components, as they stand in the signature parameters (RFC 9421, 2.3). */
#define COMPONENTS                                                                                 \
    "(\"@method\" \"@path\" \"@query\" \"content-digest\" \"arl-pod-uid\" \"arl-sandbox-uid\" "    \
    "\"arl-operator-key\")"
#define LABEL "arl="
#define DIGEST_PREFIX "sha-256=:"

#define SIGN_VARIANT sodium_base64_VARIANT_ORIGINAL
#define TEXT_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define KEY_TEXT_MAX sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING)
#define SIGNATURE_TEXT_MAX                                                                         \
    sodium_base64_ENCODED_LEN(crypto_sign_BYTES, sodium_base64_VARIANT_ORIGINAL)
/* Bytes of the public key's hash that make a key id: 16 characters as text. */
#define KEYID_HASH_BYTES 12
/* Digits of `created`: enough for 30,000 years, far from any overflow. */
#define CREATED_DIGITS_MAX 12

_Static_assert(sizeof(((struct signature_key *)NULL)->secret) == crypto_sign_SECRETKEYBYTES,
               "Ed25519 secret key");
_Static_assert(sizeof(((struct signature_public *)NULL)->key) == crypto_sign_PUBLICKEYBYTES,
               "Ed25519 public key");

struct params {
    int64_t created;
    char nonce[SIGNATURE_NONCE_TEXT];
    char keyid[SIGNATURE_KEYID_MAX];
};

static void wipe_seed(unsigned char (*seed)[crypto_sign_SEEDBYTES])
{
    sodium_memzero(*seed, sizeof(*seed));
}

int signature_init(void)
{
    return sodium_init() < 0 ? -EIO : 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void keyid_derive(const unsigned char *public_key, char ret[SIGNATURE_KEYID_MAX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, public_key, crypto_sign_PUBLICKEYBYTES);
    sodium_bin2base64(ret, SIGNATURE_KEYID_MAX, hash, KEYID_HASH_BYTES, TEXT_VARIANT);
}

static bool keyid_valid(const char *id, size_t len)
{
    if (len == 0 || len >= SIGNATURE_KEYID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = id[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }
    return true;
}

/* Decodes exactly `size` bytes out of exactly `len` characters. */
static bool base64_exact(const char *text, size_t len, int variant, unsigned char *ret, size_t size)
{
    size_t got = 0;

    /* libsodium 1.0.18 takes some bytes above 0x7f for the characters 0x80 below them. */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] > 0x7f)
            return false;
    }
    return sodium_base642bin(ret, size, text, len, NULL, &got, NULL, variant) == 0 && got == size;
}

void signature_key_generate(struct signature_key *ret)
{
    unsigned char public_key[crypto_sign_PUBLICKEYBYTES];

    memset(ret, 0, sizeof(*ret));
    crypto_sign_keypair(public_key, ret->secret);
    keyid_derive(public_key, ret->id);
}

void signature_key_format(const struct signature_key *key, char *ret, size_t size)
{
    CLEANUP(wipe_seed) unsigned char seed[crypto_sign_SEEDBYTES];
    size_t id_len = strlen(key->id);

    assert(size >= id_len + 1 + KEY_TEXT_MAX);
    crypto_sign_ed25519_sk_to_seed(seed, key->secret);
    memcpy(ret, key->id, id_len);
    ret[id_len] = ':';
    sodium_bin2base64(ret + id_len + 1, size - id_len - 1, seed, sizeof(seed), TEXT_VARIANT);
}

int signature_key_parse(const char *text, struct signature_key *ret, struct err *err)
{
    CLEANUP(wipe_seed) unsigned char seed[crypto_sign_SEEDBYTES];
    unsigned char public_key[crypto_sign_PUBLICKEYBYTES];
    struct signature_key key = {0};
    const char *colon = strchr(text, ':');

    if (!colon || !keyid_valid(text, (size_t)(colon - text)))
        return err_set(err, -EINVAL, "signing key: not of the form keyid:base64url");
    if (!base64_exact(colon + 1, strlen(colon + 1), TEXT_VARIANT, seed, sizeof(seed)))
        return err_set(err, -EINVAL, "signing key: the seed is not 32 bytes of base64url");
    crypto_sign_seed_keypair(public_key, key.secret, seed);
    keyid_derive(public_key, key.id);
    /* The id doubles as a checksum: a damaged key must not come up as a new one. */
    if (strlen(key.id) != (size_t)(colon - text) || memcmp(key.id, text, strlen(key.id)) != 0)
        return err_set(err, -EINVAL, "signing key: its id does not belong to the key");
    *ret = key;
    sodium_memzero(&key, sizeof(key));
    return 0;
}

void signature_key_public(const struct signature_key *key, struct signature_public *ret)
{
    memcpy(ret->id, key->id, sizeof(ret->id));
    crypto_sign_ed25519_sk_to_pk(ret->key, key->secret);
}

void signature_keyring_format(const struct signature_keyring *ring, char *ret, size_t size)
{
    size_t used = 0;

    assert(ring->count <= SIGNATURE_KEYS_MAX && size > 0);
    ret[0] = '\0';
    for (size_t i = 0; i < ring->count; i++) {
        char text[KEY_TEXT_MAX];
        int n;

        sodium_bin2base64(text, sizeof(text), ring->keys[i].key, sizeof(ring->keys[i].key),
                          TEXT_VARIANT);
        n = snprintf(ret + used, size - used, "%s%s=%s", i ? "," : "", ring->keys[i].id, text);
        assert(n > 0 && (size_t)n < size - used);
        used += (size_t)n;
    }
}

static const struct signature_public *keyring_find(const struct signature_keyring *ring,
                                                   const char *id)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (strcmp(ring->keys[i].id, id) == 0)
            return &ring->keys[i];
    }
    return NULL;
}

static int public_parse(const char *text, size_t len, struct signature_public *ret, struct err *err)
{
    const char *eq = memchr(text, '=', len);
    size_t id_len = eq ? (size_t)(eq - text) : 0;

    if (!eq || !keyid_valid(text, id_len))
        return err_set(err, -EINVAL, "public keys: an entry is not of the form keyid=base64url");
    if (!base64_exact(eq + 1, len - id_len - 1, TEXT_VARIANT, ret->key, sizeof(ret->key)))
        return err_set(err, -EINVAL, "public keys: %.*s is not 32 bytes of base64url", (int)id_len,
                       text);
    memset(ret->id, 0, sizeof(ret->id));
    memcpy(ret->id, text, id_len);
    return 0;
}

int signature_keyring_parse(const char *text, struct signature_keyring *ret, struct err *err)
{
    struct signature_keyring ring = {0};

    for (const char *p = text;;) {
        size_t len = strcspn(p, ",");
        struct signature_public *key = &ring.keys[ring.count];
        int r;

        if (ring.count == SIGNATURE_KEYS_MAX)
            return err_set(err, -EINVAL, "public keys: more than %d", SIGNATURE_KEYS_MAX);
        r = public_parse(p, len, key, err);
        if (r < 0)
            return r;
        if (keyring_find(&ring, key->id))
            return err_set(err, -EINVAL, "public keys: %s is there twice", key->id);
        ring.count++;
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    *ret = ring;
    return 0;
}

/* ---- what is signed -------------------------------------------------------------------------- */

static void digest_format(const void *body, size_t len, char ret[SIGNATURE_HEADER_MAX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, SIGN_VARIANT)];

    crypto_hash_sha256(hash, body, len);
    sodium_bin2base64(text, sizeof(text), hash, sizeof(hash), SIGN_VARIANT);
    snprintf(ret, SIGNATURE_HEADER_MAX, DIGEST_PREFIX "%s:", text);
}

/* The parameters without the label; they are the last line of the signature base as well. */
static void params_format(const struct params *p, char ret[SIGNATURE_HEADER_MAX])
{
    int n = snprintf(ret, SIGNATURE_HEADER_MAX,
                     COMPONENTS ";created=%" PRId64 ";nonce=\"%s\";keyid=\"%s\";alg=\"ed25519\"",
                     p->created, p->nonce, p->keyid);

    assert(n > 0 && n < SIGNATURE_HEADER_MAX);
}

/* Visible ASCII only: a line feed in a value could pass one signed text off as another. */
static bool value_valid(const char *s)
{
    for (; *s; s++) {
        if (*s < 0x21 || *s > 0x7e)
            return false;
    }
    return true;
}

/* The signature base (RFC 9421, 2.5): one line a component, no line feed behind the last. */
static int base_build(const struct signature_input *in, const char *digest, const char *params,
                      struct buf *ret, struct err *err)
{
    if (!value_valid(digest) || !value_valid(in->method) || !value_valid(in->path) ||
        !value_valid(in->query) || !value_valid(in->pod_uid) || !value_valid(in->sandbox_uid) ||
        !value_valid(in->operator_key))
        return err_set(err, -EINVAL, "a signed value has a character outside visible ASCII");
    if (buf_printf(ret,
                   "\"@method\": %s\n\"@path\": %s\n\"@query\": ?%s\n\"content-digest\": %s\n"
                   "\"arl-pod-uid\": %s\n\"arl-sandbox-uid\": %s\n\"arl-operator-key\": %s\n"
                   "\"@signature-params\": %s",
                   in->method, in->path, in->query, digest, in->pod_uid, in->sandbox_uid,
                   in->operator_key, params) < 0)
        return err_set(err, -EINVAL, "the values to be signed are longer than %u bytes",
                       (unsigned)LIMIT_HTTP_HEADER_BYTES);
    return 0;
}

void signature_nonce_format(const unsigned char nonce[SIGNATURE_NONCE_BYTES],
                            char ret[SIGNATURE_NONCE_TEXT])
{
    sodium_bin2base64(ret, SIGNATURE_NONCE_TEXT, nonce, SIGNATURE_NONCE_BYTES, TEXT_VARIANT);
}

int signature_sign(const struct signature_key *key, const struct signature_input *in,
                   int64_t created_unix_s, const unsigned char nonce[SIGNATURE_NONCE_BYTES],
                   struct signature_headers *ret, struct err *err)
{
    cleanup_buf struct buf base = BUF_INIT(LIMIT_HTTP_HEADER_BYTES);
    struct params p = {.created = created_unix_s};
    char digest[SIGNATURE_HEADER_MAX];
    char params[SIGNATURE_HEADER_MAX];
    unsigned char sig[crypto_sign_BYTES];
    char sig_text[SIGNATURE_TEXT_MAX];
    int r;

    signature_nonce_format(nonce, p.nonce);
    memcpy(p.keyid, key->id, sizeof(p.keyid));
    digest_format(in->body, in->body_len, digest);
    params_format(&p, params);
    r = base_build(in, digest, params, &base, err);
    if (r < 0)
        return r;
    crypto_sign_detached(sig, NULL, (const unsigned char *)base.data, base.len, key->secret);
    sodium_bin2base64(sig_text, sizeof(sig_text), sig, sizeof(sig), SIGN_VARIANT);
    memcpy(ret->content_digest, digest, sizeof(digest));
    snprintf(ret->signature_input, sizeof(ret->signature_input), LABEL "%.*s",
             (int)(SIGNATURE_HEADER_MAX - sizeof(LABEL)), params);
    snprintf(ret->signature, sizeof(ret->signature), LABEL ":%s:", sig_text);
    return 0;
}

/* ---- verification ---------------------------------------------------------------------------- */

static bool skip_text(const char **p, const char *text)
{
    size_t len = strlen(text);

    if (strncmp(*p, text, len) != 0)
        return false;
    *p += len;
    return true;
}

/* Copies what stands before the next double quote and skips the quote. */
static bool take_quoted(const char **p, char *ret, size_t size)
{
    size_t len = strcspn(*p, "\"");

    if ((*p)[len] != '"' || len >= size)
        return false;
    memcpy(ret, *p, len);
    ret[len] = '\0';
    *p += len + 1;
    return true;
}

static bool take_created(const char **p, int64_t *ret)
{
    int64_t v = 0;
    size_t n = strspn(*p, "0123456789");

    if (n == 0 || n > CREATED_DIGITS_MAX || (**p == '0' && n > 1))
        return false;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + ((*p)[i] - '0');
    *p += n;
    *ret = v;
    return true;
}

/* Accepts only the form that signature_sign() writes. A signature with only one spelling cannot be
 * read in two ways. */
static bool params_parse(const char *p, struct params *ret)
{
    unsigned char nonce[SIGNATURE_NONCE_BYTES];

    return skip_text(&p, COMPONENTS ";created=") && take_created(&p, &ret->created) &&
           skip_text(&p, ";nonce=\"") && take_quoted(&p, ret->nonce, sizeof(ret->nonce)) &&
           base64_exact(ret->nonce, strlen(ret->nonce), TEXT_VARIANT, nonce, sizeof(nonce)) &&
           skip_text(&p, ";keyid=\"") && take_quoted(&p, ret->keyid, sizeof(ret->keyid)) &&
           keyid_valid(ret->keyid, strlen(ret->keyid)) && skip_text(&p, ";alg=\"ed25519\"") &&
           *p == '\0';
}

static bool signature_decode(const char *p, unsigned char sig[crypto_sign_BYTES])
{
    size_t len = SIGNATURE_TEXT_MAX - 1;

    return skip_text(&p, LABEL ":") && strlen(p) == len + 1 && p[len] == ':' &&
           base64_exact(p, len, SIGN_VARIANT, sig, crypto_sign_BYTES);
}

static int check_params(const struct signature_headers *headers, int64_t now_unix_s,
                        struct params *p, struct err *err)
{
    const char *text = headers->signature_input;

    if (!skip_text(&text, LABEL) || !params_parse(text, p))
        return err_set(err, -EACCES, "Signature-Input is not of the form that is agreed on");
    if (p->created < now_unix_s - SIGNATURE_WINDOW_S ||
        p->created > now_unix_s + SIGNATURE_WINDOW_S)
        return err_set(err, -EACCES,
                       "the signature was made at %" PRId64 ", the clock here says %" PRId64
                       ": more than %d s apart",
                       p->created, now_unix_s, SIGNATURE_WINDOW_S);
    return 0;
}

int signature_verify_head(const struct signature_keyring *ring, const struct signature_input *in,
                          const struct signature_headers *headers, int64_t now_unix_s,
                          struct signature_proof *ret, struct err *err)
{
    cleanup_buf struct buf base = BUF_INIT(LIMIT_HTTP_HEADER_BYTES);
    const struct signature_public *key;
    struct params p = {0};
    unsigned char sig[crypto_sign_BYTES];
    int r;

    r = check_params(headers, now_unix_s, &p, err);
    if (r < 0)
        return r;
    key = keyring_find(ring, p.keyid);
    if (!key)
        return err_set(err, -EACCES, "no public key with the id %s is known here", p.keyid);
    if (!signature_decode(headers->signature, sig))
        return err_set(err, -EACCES, "Signature is not of the form that is agreed on");
    if (base_build(in, headers->content_digest, headers->signature_input + strlen(LABEL), &base,
                   err) < 0)
        return err_set(err, -EACCES, "the request has values that cannot be signed");
    if (crypto_sign_verify_detached(sig, (const unsigned char *)base.data, base.len, key->key) != 0)
        return err_set(err, -EACCES, "the signature is wrong");
    ret->created = p.created;
    memcpy(ret->nonce, p.nonce, sizeof(p.nonce));
    return 0;
}

int signature_verify_body(const char *content_digest, const void *body, size_t len, struct err *err)
{
    char digest[SIGNATURE_HEADER_MAX];

    digest_format(body, len, digest);
    if (strcmp(digest, content_digest) != 0)
        return err_set(err, -EACCES, "Content-Digest does not belong to the body");
    return 0;
}
