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

static bool texts_eq(const struct action *a, const struct action *b)
{
    return str_eq(a->ns, b->ns) && str_eq(a->name, b->name) && str_eq(a->uid, b->uid) &&
           str_eq(a->rv, b->rv) && str_eq(a->other_name, b->other_name) &&
           str_eq(a->other_uid, b->other_uid) && str_eq(a->pool, b->pool) &&
           str_eq(a->body, b->body) && str_eq(a->ready_body, b->ready_body) &&
           str_eq(a->reason, b->reason) && str_eq(a->message, b->message) &&
           str_eq(a->trace, b->trace) && str_eq(a->ended, b->ended);
}

static bool action_eq(const struct action *a, const struct action *b)
{
    return a->type == b->type && a->kind == b->kind && a->warning == b->warning &&
           a->number == b->number && a->note == b->note && a->failure == b->failure &&
           a->refusals == b->refusals && a->output_events == b->output_events &&
           a->stored_bytes == b->stored_bytes && texts_eq(a, b);
}

bool actions_eq(const struct actions *a, const struct actions *b)
{
    const struct action *x = a->first, *y = b->first;

    for (; x && y && action_eq(x, y); x = x->next)
        y = y->next;
    return !x && !y;
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
