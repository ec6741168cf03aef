#include "operator/core/ledger.h"

#include "common/base/map.h"

#define ENTRY_KEY_MAX (META_KEY_MAX + 16)

struct entry {
    enum ledger_verb verb;
    char *pool_key;
};

struct pool_counts {
    size_t verbs[LEDGER_VERBS];
};

struct ledger {
    struct map entries; /* "Kind namespace/name" -> struct entry */
    struct map pools;   /* pool key -> struct pool_counts */
    struct map by_ns;   /* namespace -> struct ns_count */
    size_t verbs[LEDGER_VERBS];
    void (*on_change)(void *arg, const struct api_kind *kind, const char *key);
    void *arg;
};

struct ns_count {
    size_t entries;
};

struct ledger *ledger_new(void)
{
    return xcalloc(1, sizeof(struct ledger));
}

void ledger_free(struct ledger *l)
{
    struct entry *e;
    struct pool_counts *c;
    struct ns_count *n;
    size_t pos = 0;

    if (!l)
        return;
    while ((e = map_next(&l->entries, &pos, NULL))) {
        free(e->pool_key);
        free(e);
    }
    pos = 0;
    while ((c = map_next(&l->pools, &pos, NULL)))
        free(c);
    pos = 0;
    while ((n = map_next(&l->by_ns, &pos, NULL)))
        free(n);
    map_done(&l->by_ns);
    map_done(&l->entries);
    map_done(&l->pools);
    free(l);
}

void ledger_on_change(struct ledger *l,
                      void (*fn)(void *arg, const struct api_kind *kind, const char *key),
                      void *arg)
{
    l->on_change = fn;
    l->arg = arg;
}

static void changed(const struct ledger *l, const struct api_kind *kind, const char *key)
{
    if (l->on_change)
        l->on_change(l->arg, kind, key);
}

static void entry_key(char *buf, const struct api_kind *kind, const char *key)
{
    size_t n = strlen(kind->kind), m = strlen(key);

    assert(n + 1 + m < ENTRY_KEY_MAX);
    memcpy(buf, kind->kind, n);
    buf[n] = ' ';
    memcpy(buf + n + 1, key, m + 1);
}

/* Counts of a pool without any write are dropped, so that pools that are gone leave nothing. */
static void count_pool(struct ledger *l, const struct entry *e, int by)
{
    struct pool_counts *c;

    if (!e->pool_key)
        return;
    c = map_ensure(&l->pools, e->pool_key, sizeof(*c));
    assert(by > 0 || c->verbs[e->verb] > 0);
    c->verbs[e->verb] += (size_t)by;
    for (size_t i = 0; i < LEDGER_VERBS; i++)
        if (c->verbs[i] > 0)
            return;
    free(map_del(&l->pools, e->pool_key));
}

/* key: "namespace/name". Counts of a namespace without any write are dropped, too. */
static void count_ns(struct ledger *l, const char *key, int by)
{
    cleanup_free char *ns = xmemdup0(key, strcspn(key, "/"));
    struct ns_count *c = map_ensure(&l->by_ns, ns, sizeof(*c));

    assert(by > 0 || c->entries > 0);
    c->entries += (size_t)by;
    if (c->entries == 0)
        free(map_del(&l->by_ns, ns));
}

void ledger_begin(struct ledger *l, enum ledger_verb verb, const struct api_kind *kind,
                  const char *key, const char *pool_key)
{
    struct entry *e = xcalloc(1, sizeof(*e));
    char ek[ENTRY_KEY_MAX];
    struct entry *before;

    entry_key(ek, kind, key);
    e->verb = verb;
    e->pool_key = xstrdup(pool_key);
    before = map_put(&l->entries, ek, e);
    assert(!before);
    l->verbs[verb]++;
    count_pool(l, e, 1);
    count_ns(l, key, 1);
    changed(l, kind, key);
}

void ledger_end(struct ledger *l, const struct api_kind *kind, const char *key)
{
    char ek[ENTRY_KEY_MAX];
    struct entry *e;

    entry_key(ek, kind, key);
    e = map_del(&l->entries, ek);
    assert(e);
    l->verbs[e->verb]--;
    count_pool(l, e, -1);
    count_ns(l, key, -1);
    free(e->pool_key);
    free(e);
    changed(l, kind, key);
}

bool ledger_busy(const struct ledger *l, const struct api_kind *kind, const char *key)
{
    char ek[ENTRY_KEY_MAX];

    entry_key(ek, kind, key);
    return map_get(&l->entries, ek) != NULL;
}

bool ledger_busy_obj(const struct ledger *l, const struct api_kind *kind, const struct meta *obj)
{
    char key[META_KEY_MAX];

    if (l->entries.count == 0) /* as most of the time */
        return false;
    meta_key(key, obj->ns, obj->name);
    return ledger_busy(l, kind, key);
}

size_t ledger_count(const struct ledger *l, enum ledger_verb verb, const char *pool_key)
{
    const struct pool_counts *c = map_get(&l->pools, pool_key);

    return c ? c->verbs[verb] : 0;
}

void ledger_check(const struct ledger *l)
{
    const struct pool_counts *c;
    const struct ns_count *n;
    const struct entry *e;
    size_t pos = 0, of_pools = 0, by_ns = 0, verbs[LEDGER_VERBS] = {0};

    while ((e = map_next(&l->entries, &pos, NULL))) {
        verbs[e->verb]++;
        assert(!e->pool_key || ledger_count(l, e->verb, e->pool_key) > 0);
        of_pools += e->pool_key != NULL;
    }
    pos = 0;
    while ((c = map_next(&l->pools, &pos, NULL)))
        for (size_t i = 0; i < LEDGER_VERBS; i++)
            of_pools -= c->verbs[i];
    pos = 0;
    while ((n = map_next(&l->by_ns, &pos, NULL)))
        by_ns += n->entries;
    assert(memcmp(verbs, l->verbs, sizeof(verbs)) == 0);
    assert(of_pools == 0);
    assert(by_ns == l->entries.count);
}

size_t ledger_count_all(const struct ledger *l, enum ledger_verb verb)
{
    return l->verbs[verb];
}

size_t ledger_size(const struct ledger *l)
{
    return l->entries.count;
}

size_t ledger_size_of(const struct ledger *l, const char *ns)
{
    const struct ns_count *c = map_get(&l->by_ns, ns);

    return c ? c->entries : 0;
}
