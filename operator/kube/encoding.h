/*
 * What comes from the API server as bytes: JSON, or Kubernetes' protobuf for kinds that have a
 * table for it (api_kind.pb). Both become the same tree, so that nobody else sees a difference.
 *
 * Which of both an answer is it says itself. In protobuf it begins with "k8s\0", which is there for
 * that purpose and can begin no JSON; the envelope behind it is `Unknown` of
 * k8s.io/apimachinery/pkg/runtime/generated.proto. A watch in protobuf comes in frames, a length of
 * four bytes (the most significant one first) before each: the first byte is 0 up to 16 MiB. A
 * frame is a `WatchEvent` of k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto, as are ListMeta
 * and Status, and its object has the envelope again.
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

/* All trees: the caller releases them with json_free(). An object as an answer has it. */
int encoding_object(const struct api_kind *kind, const char *data, size_t len,
                    struct json_object **ret, struct err *err);
/* The Status of an answer that is a failure; *ret stays as it is if it is none. */
void encoding_status(const char *data, size_t len, struct json_object **ret);

/* A page of a list: item() is called with each object, or with NULL and why it can not be read; it
 * does not release the object. *ret_meta becomes the list's own metadata. */
int encoding_list(const struct api_kind *kind, const char *data, size_t len,
                  void (*item)(struct json_object *obj, const struct err *why, void *arg),
                  void *arg, struct json_object **ret_meta, struct err *err);

/* A line or frame of a watch, as {"type": ..., "object": ...}. -EMSGSIZE: its tree would be too
 * large. */
int encoding_event(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                   struct json_object **ret, struct err *err);
/* The same of an object that is too large, or whose end is not there: with its metadata alone. */
int encoding_event_head(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                        struct json_object **ret, struct err *err);

#endif
