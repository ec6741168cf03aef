#include "operator/api/condition.h"

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/meta.h"

static const char *const status_names[] = {"", "False", "True", "Unknown"};

void condition_done(struct condition *c)
{
    free(c->reason);
    free(c->message);
    *c = (struct condition){0};
}

static enum condition_status status_parse(const char *s)
{
    if (str_eq(s, "True"))
        return CONDITION_TRUE;
    return str_eq(s, "False") ? CONDITION_FALSE : CONDITION_UNKNOWN;
}

void condition_decode(struct json_object *conditions, const char *type, struct condition *ret)
{
    size_t n = json_array_len(conditions);

    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(conditions, i);

        if (!str_eq(json_get_str(c, "type"), type))
            continue;
        ret->status = status_parse(json_get_str(c, "status"));
        str_set(&ret->reason, xstrdup_max(json_get_str(c, "reason"), LIMIT_REASON_BYTES));
        str_set(&ret->message, xstrdup_max(json_get_str(c, "message"), LIMIT_MESSAGE_BYTES));
        ret->since_wall_ns = meta_time(c, "lastTransitionTime");
        return;
    }
}

bool condition_set(struct condition *c, enum condition_status status, const char *reason,
                   const char *message, int64_t wall_ns)
{
    /* As they are read again. */
    char *new_reason = xstrdup_max(reason, LIMIT_REASON_BYTES);
    char *new_message = xstrdup_max(message, LIMIT_MESSAGE_BYTES);
    bool moved = c->status != status;
    bool same = !moved && str_eq(c->reason, new_reason) && str_eq(c->message, new_message);

    if (moved)
        c->since_wall_ns = wall_ns;
    c->status = status;
    str_set(&c->reason, new_reason);
    str_set(&c->message, new_message);
    return !same;
}

bool condition_eq(const struct condition *a, const struct condition *b)
{
    return a->status == b->status && str_eq(a->reason, b->reason) && str_eq(a->message, b->message);
}

void condition_copy(struct condition *to, const struct condition *from)
{
    to->status = from->status;
    to->since_wall_ns = from->since_wall_ns;
    str_set(&to->reason, xstrdup(from->reason));
    str_set(&to->message, xstrdup(from->message));
}

void condition_write(struct json_writer *w, const char *type, const struct condition *c,
                     int64_t observed_generation)
{
    char since[RFC3339_MAX];

    if (c->status == CONDITION_ABSENT)
        return;
    rfc3339_format(since, c->since_wall_ns);
    json_w_object(w, NULL);
    json_w_str(w, "type", type);
    json_w_str(w, "status", status_names[c->status]);
    json_w_str(w, "reason", str_or_empty(c->reason));
    json_w_str(w, "message", str_or_empty(c->message));
    json_w_str(w, "lastTransitionTime", since);
    if (observed_generation > 0)
        json_w_int(w, "observedGeneration", observed_generation);
    json_w_end_object(w);
}
