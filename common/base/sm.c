#include "common/base/sm.h"

#include "common/base/base.h"

bool sm_may_follow(const struct sm_table *t, size_t from, size_t to)
{
    return from < t->count && to < t->count && t->followers[from * t->count + to];
}

const char *sm_state_str(const struct sm_table *t, size_t state)
{
    return state < t->count ? t->states[state] : "?";
}

#ifdef ARL_RECORD_MOVES

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SEEN_MAX 256

static void record(const struct sm_table *t, size_t from, size_t to)
{
    static struct {
        const struct sm_table *t;
        size_t from, to;
    } seen[SEEN_MAX];
    static size_t count;
    const char *path = getenv("ARL_MOVES");
    int fd;

    for (size_t i = 0; i < count; i++)
        if (seen[i].t == t && seen[i].from == from && seen[i].to == to)
            return;
    if (!path || count == SEEN_MAX)
        return;
    seen[count].t = t;
    seen[count].from = from;
    seen[count++].to = to;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    assert(fd >= 0);
    dprintf(fd, "%s: %s -> %s\n", t->name, sm_state_str(t, from), sm_state_str(t, to));
    close(fd);
}

#else

static void record(const struct sm_table *t, size_t from, size_t to)
{
}

#endif

void sm_move(const struct sm_table *t, size_t from, size_t to)
{
    assert(sm_may_follow(t, from, to));
    record(t, from, to);
}
