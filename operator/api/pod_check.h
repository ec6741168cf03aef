/*
 * The rules for pod templates, of two kinds. The first refuse fields that would let a pod out of
 * its sandbox: all that the Pod Security Standard "baseline" of Kubernetes 1.34 forbids, nodeName,
 * and the system's own priority classes. --allow-privileged-templates turns them off. The others
 * protect arl's own volumes and port, and are always on.
 */
#ifndef ARL_OPERATOR_API_POD_CHECK_H
#define ARL_OPERATOR_API_POD_CHECK_H

#include "common/base/base.h"
#include "common/base/err.h"

struct json_object;

#define POD_VOLUME_ARL "arl"             /* the runner and its socket */
#define POD_VOLUME_JOURNAL "arl-journal" /* the journal; only the sidecar sees it */

/* template: {metadata, spec}. -EPERM: refused; the message names the container, the field and a way
 * out. */
int pod_check_baseline(struct json_object *template, struct err *err);
/* -EINVAL when the template defines or mounts one of arl's volumes. */
int pod_check_volumes(struct json_object *spec, struct err *err);
/* -EINVAL: a container other than the sidecar names the agent's port in its ports. The containers
 * of a pod share their ports. */
int pod_check_ports(struct json_object *spec, int agent_port, struct err *err);

#endif
