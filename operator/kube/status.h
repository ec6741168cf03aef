/*
 * Reads an answer of the API server: turns the Status object of a failure into a reason to switch
 * on and a text for people. An ERROR event inside a watch has the same object.
 */
#ifndef ARL_OPERATOR_KUBE_STATUS_H
#define ARL_OPERATOR_KUBE_STATUS_H

#include "operator/kube/client.h"

struct kube_status {
    enum kube_reason reason;
    int64_t retry_after_ms; /* -1: not given */
    char *message;          /* owned; NULL for KUBE_OK */
};
void kube_status_done(struct kube_status *s);

void kube_status_of_answer(const struct ops_response *resp, struct kube_status *ret);
/* http_status: used if the object has no "code"; 0: unknown. */
void kube_status_of_object(struct json_object *status, int http_status, struct kube_status *ret);

/* Appends s to a path as one segment: characters with a meaning in URLs are percent-encoded. */
struct buf;
void kube_path_segment(struct buf *b, const char *s);

#endif
