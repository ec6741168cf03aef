/*
 * A seal proves that texts belong together, and that a holder of the operator's signing key has put
 * them together at a certain time. It is a BLAKE2b-256 whose key is derived from the private half
 * of a signing key (libsodium). So there is no second secret, and the seal changes with the signing
 * key.
 */
#ifndef ARL_COMMON_WIRE_SEAL_H
#define ARL_COMMON_WIRE_SEAL_H

#include "common/base/base.h"
#include "common/wire/signature.h"

#define SEAL_KEY_BYTES 32
#define SEAL_TEXT_MAX 72 /* "1.SECONDS.BASE64URL" and NUL */

struct seal_key {
    char id[SIGNATURE_KEYID_MAX]; /* of the signing key that it comes from */
    unsigned char key[SEAL_KEY_BYTES];
};
struct seal_keys {
    struct seal_key keys[SIGNATURE_KEYS_MAX];
    size_t count;
};

void seal_keys_init(struct seal_keys *ret, const struct signature_key *keys, size_t count);
/* NULL: none has this id. */
const struct seal_key *seal_key_find(const struct seal_keys *k, const char *id);

/* The seal of these texts in this order. A text may be NULL, which differs from "". */
void seal_make(const struct seal_key *key, const char *const *parts, size_t count, int64_t unix_s,
               char ret[SEAL_TEXT_MAX]);
/* Whether text (NULL: none) is the seal of these texts; *ret_unix_s is its time. */
bool seal_check(const struct seal_key *key, const char *const *parts, size_t count,
                const char *text, int64_t *ret_unix_s);

#endif
