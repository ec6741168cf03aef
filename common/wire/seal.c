#include "common/wire/seal.h"

#include <inttypes.h>
#include <stdio.h>

#include <sodium.h>

#define CONTEXT "arl seal 1"

void seal_keys_init(struct seal_keys *ret, const struct signature_key *keys, size_t count)
{
    static const char use[] = CONTEXT ": key";

    *ret = (struct seal_keys){.count = count};
    assert(count <= SIGNATURE_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        memcpy(ret->keys[i].id, keys[i].id, sizeof(ret->keys[i].id));
        /* The first half of an Ed25519 secret key is its seed. */
        crypto_generichash(ret->keys[i].key, SEAL_KEY_BYTES, (const unsigned char *)use,
                           sizeof(use), keys[i].secret, crypto_sign_SEEDBYTES);
    }
}

const struct seal_key *seal_key_find(const struct seal_keys *k, const char *id)
{
    for (size_t i = 0; id && i < k->count; i++)
        if (strcmp(k->keys[i].id, id) == 0)
            return &k->keys[i];
    return NULL;
}

static void add_number(crypto_generichash_state *h, uint64_t n)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(n >> (8 * i));
    crypto_generichash_update(h, bytes, sizeof(bytes));
}

void seal_make(const struct seal_key *key, const char *const *parts, size_t count, int64_t unix_s,
               char ret[SEAL_TEXT_MAX])
{
    unsigned char mac[crypto_generichash_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    crypto_generichash_state h;

    crypto_generichash_init(&h, key->key, SEAL_KEY_BYTES, sizeof(mac));
    crypto_generichash_update(&h, (const unsigned char *)CONTEXT, sizeof(CONTEXT));
    add_number(&h, (uint64_t)unix_s);
    add_number(&h, count);
    for (size_t i = 0; i < count; i++) {
        add_number(&h, parts[i] ? strlen(parts[i]) : UINT64_MAX);
        if (parts[i])
            crypto_generichash_update(&h, (const unsigned char *)parts[i], strlen(parts[i]));
    }
    crypto_generichash_final(&h, mac, sizeof(mac));
    sodium_bin2base64(text, sizeof(text), mac, sizeof(mac),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(ret, SEAL_TEXT_MAX, "1.%" PRId64 ".%s", unix_s, text);
}

bool seal_check(const struct seal_key *key, const char *const *parts, size_t count,
                const char *text, int64_t *ret_unix_s)
{
    char want[SEAL_TEXT_MAX] = "", have[SEAL_TEXT_MAX] = "";
    int64_t unix_s = 0;

    if (!text || strnlen(text, SEAL_TEXT_MAX) >= SEAL_TEXT_MAX ||
        sscanf(text, "1.%15" SCNd64 ".", &unix_s) != 1)
        return false;
    memcpy(have, text, strlen(text));
    seal_make(key, parts, count, unix_s, want);
    if (sodium_memcmp(want, have, sizeof(want)) != 0)
        return false;
    *ret_unix_s = unix_s;
    return true;
}
