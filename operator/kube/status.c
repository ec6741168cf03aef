#include "operator/kube/status.h"

#include <ctype.h>

#include <json-c/json.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/kube/encoding.h"

#define FOREIGN_TEXT_MAX 200

static const char *const reason_names[] = {
    [KUBE_OK] = "OK",
    [KUBE_NOT_FOUND] = "NotFound",
    [KUBE_ALREADY_EXISTS] = "AlreadyExists",
    [KUBE_CONFLICT] = "Conflict",
    [KUBE_INVALID] = "Invalid",
    [KUBE_TOO_LARGE] = "TooLarge",
    [KUBE_FORBIDDEN] = "Forbidden",
    [KUBE_NAMESPACE_TERMINATING] = "NamespaceTerminating",
    [KUBE_QUOTA_EXCEEDED] = "QuotaExceeded",
    [KUBE_GONE] = "Gone",
    [KUBE_UNAUTHORIZED] = "Unauthorized",
    [KUBE_TOO_MANY_REQUESTS] = "TooManyRequests",
    [KUBE_WEBHOOK_FAILED] = "WebhookFailed",
    [KUBE_SERVER_ERROR] = "ServerError",
    [KUBE_NO_ANSWER] = "NoAnswer",
};

const char *kube_reason_str(enum kube_reason r)
{
    return (size_t)r < ARRAY_SIZE(reason_names) ? reason_names[r] : "?";
}

/* Status.reason, where it says more than the code or says it differently. */
static const struct {
    const char *name;
    enum kube_reason reason;
} by_name[] = {
    {"NotFound", KUBE_NOT_FOUND},
    {"AlreadyExists", KUBE_ALREADY_EXISTS},
    {"Conflict", KUBE_CONFLICT},
    {"Invalid", KUBE_INVALID},
    {"BadRequest", KUBE_INVALID},
    {"Forbidden", KUBE_FORBIDDEN},
    {"Gone", KUBE_GONE},
    {"Expired", KUBE_GONE},
    {"Unauthorized", KUBE_UNAUTHORIZED},
    {"TooManyRequests", KUBE_TOO_MANY_REQUESTS},
    {"RequestEntityTooLarge", KUBE_TOO_LARGE},
};

static enum kube_reason reason_of_code(int code)
{
    switch (code) {
    case 401:
        return KUBE_UNAUTHORIZED;
    case 403:
        return KUBE_FORBIDDEN;
    case 404:
        return KUBE_NOT_FOUND;
    case 409:
        return KUBE_CONFLICT;
    case 410:
        return KUBE_GONE;
    case 413:
        return KUBE_TOO_LARGE;
    case 429:
        return KUBE_TOO_MANY_REQUESTS;
    case 408:
        return KUBE_SERVER_ERROR;
    default:
        return code >= 400 && code < 500 ? KUBE_INVALID : KUBE_SERVER_ERROR;
    }
}

static bool has_cause(struct json_object *status, const char *cause)
{
    struct json_object *causes = json_get(json_get(status, "details"), "causes");

    for (size_t i = 0; i < json_array_len(causes); i++)
        if (str_eq(json_get_str(json_object_array_get_idx(causes, i), "reason"), cause))
            return true;
    return false;
}

static enum kube_reason refine_forbidden(struct json_object *status)
{
    const char *msg = json_get_str(status, "message");

    if (has_cause(status, "NamespaceTerminating"))
        return KUBE_NAMESPACE_TERMINATING;
    return msg && strstr(msg, "exceeded quota") ? KUBE_QUOTA_EXCEEDED : KUBE_FORBIDDEN;
}

/* Failures in the server that one object causes. The texts are those of etcd (v3rpc/rpctypes), its
 * client (grpc) and k8s.io/apiserver (admission/plugin/webhook/errors). */
static const struct {
    const char *words;
    enum kube_reason reason;
} by_words[] = {
    {"etcdserver: request is too large", KUBE_TOO_LARGE},
    {"trying to send message larger than max", KUBE_TOO_LARGE},
    {"failed calling webhook", KUBE_WEBHOOK_FAILED},
};

static enum kube_reason refine_server_error(struct json_object *status)
{
    const char *msg = json_get_str(status, "message");

    for (size_t i = 0; msg && i < ARRAY_SIZE(by_words); i++)
        if (strstr(msg, by_words[i].words))
            return by_words[i].reason;
    return KUBE_SERVER_ERROR;
}

void kube_status_of_object(struct json_object *status, int http_status, struct kube_status *ret)
{
    const char *name = json_get_str(status, "reason");
    const char *msg = json_get_str(status, "message");
    int64_t code = http_status;
    int64_t retry_s;

    json_get_int(status, "code", &code);
    ret->reason = reason_of_code((int)code);
    for (size_t i = 0; name && i < ARRAY_SIZE(by_name); i++)
        if (strcmp(name, by_name[i].name) == 0)
            ret->reason = by_name[i].reason;
    if (ret->reason == KUBE_FORBIDDEN)
        ret->reason = refine_forbidden(status);
    else if (ret->reason == KUBE_SERVER_ERROR && code == 500)
        ret->reason = refine_server_error(status);
    ret->retry_after_ms = -1;
    if (json_get_int(json_get(status, "details"), "retryAfterSeconds", &retry_s) && retry_s >= 0)
        ret->retry_after_ms = MIN(retry_s, INT32_MAX) * MSEC_PER_SEC;
    ret->message = msg && *msg ? xstrdup_foreign(msg, LIMIT_FOREIGN_MESSAGE_BYTES)
                               : xasprintf("HTTP status %d", (int)code);
}

/* It seems not to come from the API server itself: takes its first line. */
static char *foreign_text(const struct ops_response *resp)
{
    cleanup_free char *line = xmemdup0(resp->body, strcspn(resp->body, "\r\n"));
    cleanup_free char *text = xstrdup_foreign(line, FOREIGN_TEXT_MAX);

    return xasprintf("HTTP status %d%s%s", resp->status, *text ? ": " : "", text);
}

void kube_status_of_answer(const struct ops_response *resp, struct kube_status *ret)
{
    cleanup_json struct json_object *status = NULL;

    *ret = (struct kube_status){.reason = KUBE_OK, .retry_after_ms = -1};
    if (resp->error) {
        ret->reason = KUBE_NO_ANSWER;
        ret->message = xstrdup(resp->error_msg);
    } else if (resp->status < 200 || resp->status > 299) {
        encoding_status(resp->body, resp->body_len, &status);
        kube_status_of_object(status, resp->status, ret);
        if (!status)
            str_set(&ret->message, foreign_text(resp));
    }
    if (resp->retry_after_ms >= 0)
        ret->retry_after_ms = resp->retry_after_ms;
}

void kube_status_done(struct kube_status *s)
{
    free(s->message);
    s->message = NULL;
}

void kube_path_segment(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            buf_putc(b, *s);
        else
            buf_printf(b, "%%%02X", (unsigned char)*s);
    }
}
