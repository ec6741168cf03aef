#include "operator/core/action.h"

void actions_init(struct actions *a)
{
    a->first = NULL;
    a->tail = &a->first;
}

void actions_done(struct actions *a)
{
    while (a->first) {
        struct action *x = a->first;

        a->first = x->next;
        free(x->ns);
        free(x->name);
        free(x->uid);
        free(x->rv);
        free(x->other_name);
        free(x->other_uid);
        free(x->pool);
        free(x->body);
        free(x->ready_body);
        free(x->reason);
        free(x->message);
        free(x->trace);
        free(x->ended);
        free(x);
    }
    actions_init(a);
}

struct action *action_add(struct actions *a, enum action_type type, const struct api_kind *kind,
                          const struct meta *obj)
{
    struct action *x = xcalloc(1, sizeof(*x));

    x->type = type;
    x->kind = kind;
    if (obj) {
        x->ns = xstrdup(obj->ns);
        x->name = xstrdup(obj->name);
        x->uid = xstrdup(obj->uid);
    }
    *a->tail = x;
    a->tail = &x->next;
    return x;
}

struct action *action_status(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                             char *body, const char *reason)
{
    struct action *x = action_add(a, ACTION_STATUS, kind, obj);

    x->body = body;
    x->reason = xstrdup(reason);
    return x;
}

void action_delete(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                   const char *reason)
{
    action_add(a, ACTION_DELETE, kind, obj)->reason = xstrdup(reason);
}

struct action *action_event(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                            bool warning, const char *reason, const char *message)
{
    struct action *x = action_add(a, ACTION_EVENT, kind, obj);

    x->warning = warning;
    x->reason = xstrdup(reason);
    x->message = xstrdup(message);
    return x;
}

void action_after(struct actions *a, int64_t mono_ns)
{
    if (mono_ns <= 0)
        return;
    for (struct action *x = a->first; x; x = x->next) {
        if (x->type != ACTION_AFTER)
            continue;
        x->number = MIN(x->number, mono_ns);
        return;
    }
    action_add(a, ACTION_AFTER, NULL, NULL)->number = mono_ns;
}
