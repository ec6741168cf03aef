/*
 * Signed requests, in the forms of RFC 9421 (HTTP Message Signatures) and RFC 9530 (Digest Fields)
 * with Ed25519 (libsodium). The operator signs, the sidecar verifies. The private key never leaves
 * the operator, so code in a pod cannot steal anything that would let it forge a request.
 *
 * The signature covers @method, @path, @query, content-digest, arl-pod-uid, arl-sandbox-uid,
 * arl-operator-key (to which the answer is sealed, see channel.h); parameters: created (unix
 * seconds, accepted within SIGNATURE_WINDOW_S either way), nonce, keyid, alg. So the head of a
 * request proves its sender before a byte of the body is read. Afterwards the verifier checks that
 * the body belongs to the head. Against replay the caller keeps the nonces of accepted requests as
 * long as their time is within the window.
 */
#ifndef ARL_COMMON_WIRE_SIGNATURE_H
#define ARL_COMMON_WIRE_SIGNATURE_H

#include "common/base/base.h"
#include "common/base/err.h"

#define SIGNATURE_WINDOW_S 300 /* clocks of nodes may differ by this much */
#define SIGNATURE_KEYS_MAX 2   /* two at once while keys are rotated */
#define SIGNATURE_KEYID_MAX 32
#define SIGNATURE_NONCE_BYTES 16
#define SIGNATURE_NONCE_TEXT 32 /* base64url with NUL, rounded up */
#define SIGNATURE_HEADER_MAX 512

struct signature_key { /* private */
    char id[SIGNATURE_KEYID_MAX];
    unsigned char secret[64];
};
struct signature_public {
    char id[SIGNATURE_KEYID_MAX];
    unsigned char key[32];
};
struct signature_keyring {
    struct signature_public keys[SIGNATURE_KEYS_MAX];
    size_t count;
};

/* The signed values. No string is NULL; query without '?', "" for none. Verifying a head needs no
 * body, because one of the headers has its digest. */
struct signature_input {
    const char *method;
    const char *path;
    const char *query;
    const char *pod_uid;
    const char *sandbox_uid;
    const char *operator_key; /* as text */
    const void *body;
    size_t body_len;
};

struct signature_headers {
    char signature_input[SIGNATURE_HEADER_MAX];
    char signature[SIGNATURE_HEADER_MAX];
    char content_digest[SIGNATURE_HEADER_MAX];
};

int signature_init(void); /* libsodium; call once */

/* A fresh key pair; its id is derived from the public key. */
void signature_key_generate(struct signature_key *ret);
/* "keyid:base64url(seed)" text as kept in the Secret; parse refuses anything else. ret holds >= 128
 * bytes. */
void signature_key_format(const struct signature_key *key, char *ret, size_t size);
int signature_key_parse(const char *text, struct signature_key *ret, struct err *err);
void signature_key_public(const struct signature_key *key, struct signature_public *ret);
/* "keyid=base64url,keyid=base64url" as the sidecar gets it in ARL_PUBLIC_KEYS. */
void signature_keyring_format(const struct signature_keyring *ring, char *ret, size_t size);
int signature_keyring_parse(const char *text, struct signature_keyring *ret, struct err *err);

/* The nonce as text, as in the signature and in the keys of the channel. */
void signature_nonce_format(const unsigned char nonce[SIGNATURE_NONCE_BYTES],
                            char ret[SIGNATURE_NONCE_TEXT]);
int signature_sign(const struct signature_key *key, const struct signature_input *in,
                   int64_t created_unix_s, const unsigned char nonce[SIGNATURE_NONCE_BYTES],
                   struct signature_headers *ret, struct err *err);
/* What the head of a request proves. */
struct signature_proof {
    int64_t created; /* unix seconds */
    char nonce[SIGNATURE_NONCE_TEXT];
};
/* 0: the head has a valid signature; -EACCES with the reason otherwise. in->body is not used. */
int signature_verify_head(const struct signature_keyring *ring, const struct signature_input *in,
                          const struct signature_headers *headers, int64_t now_unix_s,
                          struct signature_proof *ret, struct err *err);
/* Whether the body matches the Content-Digest of the head: 0 or -EACCES. */
int signature_verify_body(const char *content_digest, const void *body, size_t len,
                          struct err *err);

#endif
