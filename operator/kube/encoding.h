/*
 * What comes from the API server as bytes: JSON, or Kubernetes' protobuf for the kinds that have a
 * table for it (api_kind.pb). Both become the same tree, so that nobody else sees a difference.
 *
 * Each answer says itself which of the two it is. Protobuf begins with "k8s\0", which is there for
 * that purpose and with which no JSON begins. Behind it stands the envelope: `Unknown` of
 * k8s.io/apimachinery/pkg/runtime/generated.proto. A watch in protobuf comes in frames. Each has
 * its length in front, in four bytes, the most significant one first; the first byte is 0 below 16
 * MiB. A frame is a `WatchEvent` of k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto, which
 * also has ListMeta and Status. The object in it has an envelope again.
 *
 * An object whose tree would be too large becomes one with its metadata alone (see meta_parse()).
 */
#ifndef ARL_OPERATOR_KUBE_ENCODING_H
#define ARL_OPERATOR_KUBE_ENCODING_H

#include "operator/api/meta.h"

struct json_object;

/* What to ask for, as ops_request.accept. */
const char *encoding_accept(const struct api_kind *kind);
bool encoding_is_pb(const char *data, size_t len);

/* An object, as the answer to a request has it. This tree and all others: the caller releases them
 * with json_free(). */
int encoding_object(const struct api_kind *kind, const char *data, size_t len,
                    struct json_object **ret, struct err *err);
/* The Status in the answer to a request that failed; *ret stays as it is if there is none. */
void encoding_status(const char *data, size_t len, struct json_object **ret);

/* A page of a list. item() is called for each object: with the object, which it does not release,
 * or with NULL and why the object can not be read. *ret_meta becomes the list's own metadata. */
int encoding_list(const struct api_kind *kind, const char *data, size_t len,
                  void (*item)(struct json_object *obj, const struct err *why, void *arg),
                  void *arg, struct json_object **ret_meta, struct err *err);

/* A line or frame of a watch, as {"type": ..., "object": ...}. -EMSGSIZE: its tree would be too
 * large. */
int encoding_event(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                   struct json_object **ret, struct err *err);
/* The same with the object's metadata alone: for an object that is too large, or whose end is not
 * there. */
int encoding_event_head(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                        struct json_object **ret, struct err *err);

#endif
