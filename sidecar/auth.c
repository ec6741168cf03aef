#include "sidecar/auth.h"

#include <errno.h>

#include "common/limits.h"

#define REMEMBER_NS (2LL * SIGNATURE_WINDOW_S * NSEC_PER_SEC)

int auth_init(struct auth *a, const char *pod_uid, const char *public_keys, struct err *err)
{
    *a = (struct auth){0};
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

static struct auth_nonce *nonce_at(const struct auth *a, size_t i)
{
    return &a->nonces[(a->start + i) % a->alloc];
}

static void forget_old(struct auth *a, int64_t now_ns)
{
    while (a->count > 0 && nonce_at(a, 0)->until_ns <= now_ns) {
        a->start = (a->start + 1) % a->alloc;
        a->count--;
    }
    /* Idle again: gives the memory back. */
    if (a->count == 0) {
        free(a->nonces);
        a->nonces = NULL;
        a->alloc = a->start = 0;
    }
}

static bool seen(const struct auth *a, const char *text)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(nonce_at(a, i)->text, text) == 0)
            return true;
    return false;
}

static void grow(struct auth *a)
{
    size_t alloc = a->alloc ? 2 * a->alloc : 16;
    struct auth_nonce *bigger = xcalloc(alloc, sizeof(*bigger));

    for (size_t i = 0; i < a->count; i++)
        bigger[i] = *nonce_at(a, i);
    free(a->nonces);
    a->nonces = bigger;
    a->alloc = alloc;
    a->start = 0;
}

static void remember(struct auth *a, const char *text, int64_t now_ns)
{
    struct auth_nonce *n;

    if (a->count == a->alloc)
        grow(a);
    n = nonce_at(a, a->count++);
    memset(n->text, 0, sizeof(n->text));
    memcpy(n->text, text, strlen(text));
    n->until_ns = now_ns + REMEMBER_NS;
}

int auth_check(struct auth *a, const struct signature_input *in,
               const struct signature_headers *headers, const struct now *now, struct err *err)
{
    char nonce[SIGNATURE_NONCE_TEXT];
    int r;

    if (strcmp(in->pod_uid, a->pod_uid) != 0)
        return err_set(err, -EACCES, "the request is for another pod");
    r = signature_verify(&a->keys, in, headers, now->wall_ns / NSEC_PER_SEC, nonce, err);
    if (r < 0)
        return r;
    forget_old(a, now->mono_ns);
    if (seen(a, nonce))
        return err_set(err, -EACCES, "the request was seen before");
    if (a->count >= LIMIT_NONCES)
        return err_set(err, -EAGAIN, "more than %d requests in two minutes", LIMIT_NONCES);
    remember(a, nonce, now->mono_ns);
    return 0;
}
