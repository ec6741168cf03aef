#include "common/io/send_line.h"

void send_line_init(struct send_line *l)
{
    *l = (struct send_line){0};
    list_init(&l->entries);
}

void send_line_done(struct send_line *l)
{
    assert(list_empty(&l->entries) && l->groups.count == 0);
    map_done(&l->groups);
}

void send_entry_init(struct send_entry *e)
{
    *e = (struct send_entry){0};
    list_init(&e->link);
}

void send_line_add(struct send_line *l, struct send_entry *e, unsigned urgency, const char *group)
{
    struct send_group *g = map_ensure(&l->groups, str_or_empty(group), sizeof(*g));

    assert(!e->of);
    g->waiting++;
    e->urgency = urgency;
    e->group = xstrdup(str_or_empty(group));
    e->of = g;
    list_push_back(&l->entries, &e->link);
}

void send_line_remove(struct send_line *l, struct send_entry *e)
{
    if (!e->of)
        return;
    list_remove(&e->link);
    if (--e->of->waiting == 0)
        free(map_del(&l->groups, e->group));
    free(e->group);
    e->group = NULL;
    e->of = NULL;
}

static bool goes_first(const struct send_entry *a, const struct send_entry *b)
{
    return a->urgency != b->urgency ? a->urgency < b->urgency : a->of->served < b->of->served;
}

struct send_entry *send_line_take(struct send_line *l)
{
    struct send_entry *next;

    if (list_empty(&l->entries))
        return NULL;
    next = list_first(&l->entries, struct send_entry, link);
    if (++l->sent % SEND_LINE_OLDEST != 0)
        list_for_each (it, &l->entries) {
            struct send_entry *e = list_entry(it, struct send_entry, link);

            if (goes_first(e, next))
                next = e;
        }
    next->of->served = l->sent;
    send_line_remove(l, next);
    return next;
}
