/*
 * What a pod template may not have. Two kinds of rules: what would let a pod out of its sandbox
 * (the whole Pod Security Standard "baseline" as of Kubernetes 1.34, and a choice of the node or of
 * the system's own priority), which --allow-privileged-templates lets pass; and the volumes and the
 * port that are arl's own, which nothing lets pass.
 */
#ifndef ARL_OPERATOR_API_POD_CHECK_H
#define ARL_OPERATOR_API_POD_CHECK_H

#include "common/base/base.h"
#include "common/base/err.h"

struct json_object;

#define POD_VOLUME_ARL "arl"             /* the runner and its socket */
#define POD_VOLUME_JOURNAL "arl-journal" /* what the sidecar alone sees */

/* template: {metadata, spec}. -EPERM with a message that names the container, the field and what to
 * do. */
int pod_check_baseline(struct json_object *template, struct err *err);
/* -EINVAL when the template defines or mounts one of arl's volumes. */
int pod_check_volumes(struct json_object *spec, struct err *err);
/* -EINVAL when a container but the sidecar says that it listens on the agent's port: containers of
 * a pod share their ports. */
int pod_check_ports(struct json_object *spec, int agent_port, struct err *err);

#endif
