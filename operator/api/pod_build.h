/*
 * Makes the Pod of a warm pool from its template: the user's containers run under arl-runner, which
 * an init container puts into a volume; the sidecar container is ours, whatever the template says
 * of it; labels, annotations and owner tell whose pod it is. See ARCHITECTURE.md for the picture.
 */
#ifndef ARL_OPERATOR_API_POD_BUILD_H
#define ARL_OPERATOR_API_POD_BUILD_H

#include "operator/api/warmpool.h"

struct buf;
struct seal_keys;

struct pod_build_opts {
    const char *sidecar_image;
    bool keep_sidecar_image;      /* use the template's image for the sidecar, if it names one */
    const char *public_keys;      /* ARL_PUBLIC_KEYS */
    const char *key_id;           /* the signing key that the pod knows */
    int sidecar_port;             /* 0: AGENT_PORT */
    bool platform_users;          /* name no user for the sidecar: the platform gives it one */
    const struct seal_keys *seal; /* NULL: pods bear no seal, and none is asked for (tests only) */
    size_t output_limit;
    bool allow_privileged; /* let templates reach into the node */
};

/* Writes the Pod as JSON. -EINVAL or -EPERM with a message that names the field when the template
 * cannot or must not be used. */
int pod_build(const struct warmpool *p, const char *name, const struct pod_build_opts *opts,
              int64_t wall_ns, struct buf *out, struct err *err);

#endif
