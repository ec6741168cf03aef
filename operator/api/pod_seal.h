/*
 * Which pods are ours. The operator seals the pods that it makes: an annotation with a keyed hash
 * of who the pod is (namespace, name, pool, and what the annotations say that the operator goes
 * by). Labels, owners and annotations can be copied by whoever may create pods; a seal fits one
 * name only.
 */
#ifndef ARL_OPERATOR_API_POD_SEAL_H
#define ARL_OPERATOR_API_POD_SEAL_H

#include "common/wire/seal.h"
#include "operator/api/pod.h"

struct json_object;

/*
 * A seal says nothing of the pod's UID, which the API server chooses. Who deletes a sealed pod and
 * makes another one of its name and annotations would have its seal, too: so the API server must
 * have made the pod within this time of the seal. Clocks may differ by five minutes, and a create
 * may wait for as long while the API server is down. See also made.h.
 */
#define POD_SEAL_WINDOW_S 600

/* The seal for a pod with these annotations, in which the others are complete. */
void pod_seal_make(const struct seal_key *key, const char *ns, const char *name,
                   struct json_object *annotations, int64_t wall_ns, char ret[SEAL_TEXT_MAX]);
/* Whether the pod bears the seal of one of the keys. known: its UID is known to be right, and no
 * time is asked for. */
bool pod_seal_fits(const struct seal_keys *keys, const struct pod *p, bool known);

#endif
