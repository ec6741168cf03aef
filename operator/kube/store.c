#include "operator/kube/store.h"

#include "common/base/hash.h"
#include "common/base/map.h"

/* How many removed objects are remembered. An answer to a write comes within KUBE_CALL_TIMEOUT_MS;
 * more removals than this meanwhile would let it in again, until the next list. 64 KiB a store, and
 * only once something was removed. */
#define STORE_TOMBSTONES 4096
#define FOR_GOOD UINT64_MAX

struct tombstone {
    uint64_t uid; /* its hash */
    uint64_t rv;  /* of the removal; FOR_GOOD: nothing newer can come */
};

struct store_entry {
    struct meta *obj;
    uint64_t mark;   /* the list in progress when it was last put */
    uint64_t listed; /* the last list that had it */
};

struct store {
    const struct api_kind *kind;
    store_change_fn *on_change;
    void *arg;
    struct map entries;
    uint64_t mark;
    bool replacing;
    bool adding;    /* the object that is put comes from the list */
    char *list_rv;  /* of the last complete list; NULL: none yet */
    char *known_rv; /* up to which the list should bring nothing new; NULL: unknown */
    struct store_repairs repairs;
    struct tombstone *tombstones; /* a ring */
    size_t tombstone_count;
    size_t tombstone_next;
};

struct store *store_new(const struct api_kind *kind, store_change_fn *on_change, void *arg)
{
    struct store *s = xcalloc(1, sizeof(*s));

    s->kind = kind;
    s->on_change = on_change;
    s->arg = arg;
    return s;
}

void store_free(struct store *s)
{
    struct store_entry *e;
    size_t pos = 0;

    if (!s)
        return;
    while ((e = map_next(&s->entries, &pos, NULL))) {
        s->kind->free(e->obj);
        free(e);
    }
    map_done(&s->entries);
    free(s->tombstones);
    free(s->list_rv);
    free(s->known_rv);
    free(s);
}

struct meta *store_get(const struct store *s, const char *key)
{
    const struct store_entry *e = map_get(&s->entries, key);

    return e ? e->obj : NULL;
}

struct meta *store_next(const struct store *s, size_t *pos)
{
    const struct store_entry *e = map_next(&s->entries, pos, NULL);

    return e ? e->obj : NULL;
}

size_t store_count(const struct store *s)
{
    return s->entries.count;
}

static bool is_decimal(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

/* ---- tombstones ------------------------------------------------------------------------------ */

static struct tombstone *tombstone_of(const struct store *s, const char *uid)
{
    uint64_t h = uid ? hash_text(HASH_INIT, uid) : 0;

    for (size_t i = 0; uid && i < s->tombstone_count; i++)
        if (s->tombstones[i].uid == h)
            return &s->tombstones[i];
    return NULL;
}

static uint64_t rv_number(const char *rv)
{
    return rv && is_decimal(rv) ? strtoull(rv, NULL, 10) : FOR_GOOD;
}

/* rv: of the removal; NULL: for good. */
static void tombstone_add(struct store *s, const char *uid, const char *rv)
{
    struct tombstone *t = tombstone_of(s, uid);

    if (t)
        t->rv = MAX(t->rv, rv_number(rv));
    if (!uid || t)
        return;
    if (!s->tombstones)
        s->tombstones = xcalloc(STORE_TOMBSTONES, sizeof(*s->tombstones));
    s->tombstones[s->tombstone_next] = (struct tombstone){hash_text(HASH_INIT, uid), rv_number(rv)};
    s->tombstone_next = (s->tombstone_next + 1) % STORE_TOMBSTONES;
    if (s->tombstone_count < STORE_TOMBSTONES)
        s->tombstone_count++;
}

/* ---- freshness ------------------------------------------------------------------------------- */

/* Whether resourceVersion a is not newer than b. Unknown forms count as newer: better one plan too
 * many than a missed change. */
static bool rv_not_newer(const char *a, const char *b)
{
    size_t la, lb;

    if (!a || !b || !is_decimal(a) || !is_decimal(b))
        return false;
    a += strspn(a, "0");
    b += strspn(b, "0");
    la = strlen(a);
    lb = strlen(b);
    return la != lb ? la < lb : strcmp(a, b) <= 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void store_changed(struct store *s, struct meta *old_obj, struct meta *new_obj)
{
    if (s->on_change)
        s->on_change(s->arg, old_obj, new_obj);
}

/* rv: as in tombstone_add() */
static void store_drop(struct store *s, const char *key, const char *rv)
{
    struct store_entry *e = map_del(&s->entries, key);
    struct meta *old = e->obj;

    free(e);
    tombstone_add(s, old->uid, rv);
    store_changed(s, old, NULL);
    s->kind->free(old);
}

static void store_insert(struct store *s, const char *key, struct meta *obj)
{
    struct store_entry *e = xcalloc(1, sizeof(*e));

    e->obj = obj;
    e->mark = s->mark;
    e->listed = s->adding ? s->mark : 0;
    map_put(&s->entries, key, e);
    store_changed(s, NULL, obj);
}

static void store_update(struct store *s, struct store_entry *e, struct meta *obj)
{
    struct meta *old = e->obj;

    e->obj = obj;
    store_changed(s, old, obj);
    s->kind->free(old);
}

/* Whether obj is older than the stored object, or was removed before. A removed object may come
 * back when it matches the watch's selector again; it is newer then. */
static bool is_stale(const struct store *s, const struct store_entry *e, const struct meta *obj)
{
    const struct tombstone *t;

    if (e && rv_not_newer(obj->rv, e->obj->rv))
        return true;
    if (e && str_eq(e->obj->uid, obj->uid))
        return false; /* the most frequent case, and it has outlived any tombstone of its */
    if (!e && !s->adding && s->list_rv && rv_not_newer(obj->rv, s->list_rv))
        return true;
    t = tombstone_of(s, obj->uid);
    return t && rv_number(obj->rv) <= t->rv;
}

bool store_put(struct store *s, struct meta *obj)
{
    char key[META_KEY_MAX];
    struct store_entry *e;

    meta_key(key, obj->ns, obj->name);
    e = map_get(&s->entries, key);
    if (e)
        e->mark = s->mark;
    if (e && s->adding)
        e->listed = s->mark;
    if (is_stale(s, e, obj)) {
        s->kind->free(obj);
        return false;
    }
    if (s->adding && s->known_rv && rv_not_newer(obj->rv, s->known_rv))
        s->repairs.changed++;
    if (e && str_eq(e->obj->uid, obj->uid)) {
        store_update(s, e, obj);
        return true;
    }
    if (e)
        store_drop(s, key, NULL);
    store_insert(s, key, obj);
    return true;
}

bool store_remove(struct store *s, const char *key, const char *uid, const char *rv)
{
    const struct store_entry *e = map_get(&s->entries, key);

    /* Also for an object that is not here: its creation may still be answered. */
    tombstone_add(s, uid, rv);
    if (!e || (uid && !str_eq(uid, e->obj->uid)))
        return false;
    store_drop(s, key, rv);
    return true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

void store_replace_begin(struct store *s)
{
    s->mark++;
    s->replacing = true;
    s->repairs = (struct store_repairs){0};
    str_set(&s->known_rv, NULL);
}

void store_replace_known(struct store *s, const char *rv)
{
    str_set(&s->known_rv, xstrdup(rv));
}

struct store_repairs store_repairs(const struct store *s)
{
    return s->repairs;
}

void store_replace_add(struct store *s, struct meta *obj)
{
    assert(s->replacing);
    s->adding = true;
    store_put(s, obj);
    s->adding = false;
}

/* Not in the list: gone, unless it was put meanwhile and is newer than the list. */
static char *store_first_gone(const struct store *s, size_t *pos)
{
    const struct store_entry *e;
    const char *key;

    while ((e = map_next(&s->entries, pos, &key)))
        if (e->listed != s->mark && (e->mark != s->mark || rv_not_newer(e->obj->rv, s->list_rv)))
            return xstrdup(key);
    return NULL;
}

void store_replace_end(struct store *s, const char *rv)
{
    char **gone = NULL;
    size_t count = 0;
    size_t pos = 0;
    char *key;

    assert(s->replacing);
    s->replacing = false;
    str_set(&s->list_rv, xstrdup(rv));
    while ((key = store_first_gone(s, &pos))) {
        gone = xrealloc(gone, (count + 1) * sizeof(*gone));
        gone[count++] = key;
    }
    s->repairs.gone = s->known_rv ? (unsigned)count : 0;
    for (size_t i = 0; i < count; i++) {
        store_drop(s, gone[i], rv);
        free(gone[i]);
    }
    free(gone);
}

void store_replace_abort(struct store *s)
{
    s->replacing = false;
}
