/*
 * How the operator recognizes its own pods. It seals each pod that it makes: an annotation has a
 * keyed hash of namespace, name, pool, and the annotations that the operator relies on. Everybody
 * who may create pods can copy labels, owners and annotations; but a seal fits only one name.
 */
#ifndef ARL_OPERATOR_API_POD_SEAL_H
#define ARL_OPERATOR_API_POD_SEAL_H

#include "common/wire/seal.h"
#include "operator/api/pod.h"

struct json_object;

/*
 * A seal does not cover the pod's UID, because the API server chooses it. Somebody could delete a
 * sealed pod and make another one with its name, annotations and seal. So the API server must have
 * made the pod within this time of the seal. Clocks may differ by five minutes, and a create may
 * wait for five minutes while the API server is down. See also made.h.
 */
#define POD_SEAL_WINDOW_S 600

/* Makes the seal for a pod whose other annotations are complete. */
void pod_seal_make(const struct seal_key *key, const char *ns, const char *name,
                   struct json_object *annotations, int64_t wall_ns, char ret[SEAL_TEXT_MAX]);
/* Whether the pod has a valid seal of one of the keys. known: its UID is known to be ours, so the
 * time is not checked. */
bool pod_seal_fits(const struct seal_keys *keys, const struct pod *p, bool known);

#endif
