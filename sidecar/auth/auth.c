#include "sidecar/auth/auth.h"

#include <errno.h>

#include "common/base/limits.h"

#define FIRST_ALLOC 16

int auth_init(struct auth *a, const char *pod_uid, const char *public_keys, struct err *err)
{
    *a = (struct auth){.floor = INT64_MIN};
    if (!pod_uid || !*pod_uid)
        return err_set(err, -EINVAL, "ARL_POD_UID is not set");
    if (!public_keys || !*public_keys)
        return err_set(err, -EINVAL, "ARL_PUBLIC_KEYS is not set");
    if (signature_keyring_parse(public_keys, &a->keys, err) < 0)
        return err_prefix(err, "ARL_PUBLIC_KEYS");
    a->pod_uid = xstrdup(pod_uid);
    return 0;
}

void auth_done(struct auth *a)
{
    free(a->pod_uid);
    free(a->nonces);
    *a = (struct auth){0};
}

/* The last one takes its place. */
static void forget(struct auth *a, size_t i)
{
    a->floor = MAX(a->floor, a->nonces[i].created);
    a->nonces[i] = a->nonces[--a->count];
}

static void forget_oldest(struct auth *a)
{
    size_t oldest = 0;

    for (size_t i = 1; i < a->count; i++)
        if (a->nonces[i].created < a->nonces[oldest].created)
            oldest = i;
    forget(a, oldest);
}

/* Signatures older than the window are refused anyway. */
static void forget_old(struct auth *a, int64_t now_unix_s)
{
    for (size_t i = 0; i < a->count;) {
        if (a->nonces[i].created < now_unix_s - SIGNATURE_WINDOW_S)
            forget(a, i);
        else
            i++;
    }
    /* Idle again: gives the memory back. */
    if (a->count == 0) {
        free(a->nonces);
        a->nonces = NULL;
        a->alloc = 0;
    }
}

static bool seen(const struct auth *a, const char *nonce)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->nonces[i].nonce, nonce) == 0)
            return true;
    return false;
}

static void remember(struct auth *a, const struct signature_proof *proof)
{
    if (a->count == LIMIT_NONCES)
        forget_oldest(a);
    if (a->count == a->alloc) {
        a->alloc = a->alloc ? 2 * a->alloc : FIRST_ALLOC;
        a->nonces = xrealloc(a->nonces, a->alloc * sizeof(*a->nonces));
    }
    a->nonces[a->count++] = *proof;
}

int auth_check_head(struct auth *a, const struct signature_input *in,
                    const struct signature_headers *headers, int64_t now_unix_s,
                    struct signature_proof *ret, struct err *err)
{
    struct signature_proof proof;
    int r;

    if (strcmp(in->pod_uid, a->pod_uid) != 0)
        return err_set(err, -EACCES, "the request is for another pod");
    r = signature_verify_head(&a->keys, in, headers, now_unix_s, &proof, err);
    if (r < 0)
        return r;
    forget_old(a, now_unix_s);
    if (seen(a, proof.nonce))
        return err_set(err, -EACCES, "the request was seen before");
    if (proof.created <= a->floor)
        return err_set(err, -EACCES,
                       "the signature is older than the oldest one that the agent remembers");
    remember(a, &proof);
    *ret = proof;
    return 0;
}
