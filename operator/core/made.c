#include "operator/core/made.h"

void made_done(struct made *m)
{
    char *uid;
    size_t pos = 0;

    while ((uid = map_next(&m->uids, &pos, NULL)))
        free(uid);
    for (size_t i = 0; m->order && i < MADE_MAX; i++)
        free(m->order[i]);
    map_done(&m->uids);
    free(m->order);
}

const char *made_uid(const struct made *m, const char *key)
{
    return map_get(&m->uids, key);
}

void made_note(struct made *m, const char *key, const char *uid)
{
    if (map_get(&m->uids, key))
        return;
    if (!m->order)
        m->order = xcalloc(MADE_MAX, sizeof(*m->order));
    if (m->order[m->next])
        free(map_del(&m->uids, m->order[m->next]));
    str_set(&m->order[m->next], xstrdup(key));
    m->next = (m->next + 1) % MADE_MAX;
    map_put(&m->uids, key, xstrdup(uid));
}
