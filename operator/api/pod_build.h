/*
 * Builds the Pod of a warm pool from its template. The user's containers run under arl-runner,
 * which an init container puts into a volume. The sidecar container is arl's own; of the template's
 * only the resources count (and the image with keep_sidecar_image). Labels, annotations and the
 * owner say which pool the pod belongs to. ARCHITECTURE.md has the picture.
 */
#ifndef ARL_OPERATOR_API_POD_BUILD_H
#define ARL_OPERATOR_API_POD_BUILD_H

#include "operator/api/warmpool.h"

struct buf;
struct seal_keys;

struct pod_build_opts {
    const char *sidecar_image;
    bool keep_sidecar_image; /* use the template's image for the sidecar, if it names one */
    const char *public_keys; /* ARL_PUBLIC_KEYS */
    const char *key_id;      /* the signing key that the pod knows */
    int sidecar_port;        /* 0: AGENT_PORT */
    bool platform_users; /* name no user for arl-init and the sidecar: the platform chooses one */
    const struct seal_keys *seal; /* NULL: pods have no seal and need none (tests only) */
    size_t output_limit;
    bool allow_privileged; /* allow templates that reach into the node */
};

/* Writes the Pod as JSON. -EINVAL or -EPERM: the template cannot or must not be used; the message
 * names the field. */
int pod_build(const struct warmpool *p, const char *name, const struct pod_build_opts *opts,
              int64_t wall_ns, struct buf *out, struct err *err);

#endif
