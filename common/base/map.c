#include "common/base/map.h"

#include "common/base/hash.h"

#define MAP_FIRST_SIZE 16

static uint64_t seed;

void map_seed(uint64_t s)
{
    seed = s;
}

static uint64_t map_hash(const char *key)
{
    uint64_t h = hash_text(HASH_INIT ^ seed, key);

    /* FNV's low bits mix badly, and the low bits choose the slot. */
    return h ^ (h >> 32);
}

void map_done(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->size; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct map)MAP_INIT;
}

/* The slot that holds key, or the free slot where it would go. The map has a free slot. */
static struct map_slot *map_find(const struct map *m, const char *key, uint64_t hash)
{
    size_t i = hash & (m->size - 1);

    while (m->slots[i].key && (m->slots[i].hash != hash || strcmp(m->slots[i].key, key) != 0))
        i = (i + 1) & (m->size - 1);
    return &m->slots[i];
}

static void map_grow(struct map *m)
{
    struct map old = *m;

    m->size = old.size ? old.size * 2 : MAP_FIRST_SIZE;
    m->slots = xcalloc(m->size, sizeof(*m->slots));
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].key)
            *map_find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    free(old.slots);
}

void *map_get(const struct map *m, const char *key)
{
    return m->count ? map_find(m, key, map_hash(key))->value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
    uint64_t hash = map_hash(key);
    struct map_slot *s;
    void *old;

    assert(value);
    if (m->count + 1 > m->size / 4 * 3)
        map_grow(m);
    s = map_find(m, key, hash);
    old = s->value;
    if (!s->key) {
        s->key = xstrdup(key);
        s->hash = hash;
        m->count++;
    }
    s->value = value;
    return old;
}

/* Closes the gap at i, so that probing needs no tombstones. */
static void map_close_gap(struct map *m, size_t i)
{
    size_t mask = m->size - 1;

    for (size_t j = (i + 1) & mask; m->slots[j].key; j = (j + 1) & mask) {
        size_t home = m->slots[j].hash & mask;

        /* Move j into the gap unless its home lies (cyclically) behind the gap. */
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (struct map_slot){0};
}

void *map_ensure(struct map *m, const char *key, size_t size)
{
    void *value = map_get(m, key);

    if (!value) {
        value = xcalloc(1, size);
        map_put(m, key, value);
    }
    return value;
}

void *map_del(struct map *m, const char *key)
{
    struct map_slot *s;
    void *value;

    if (!m->size)
        return NULL;
    s = map_find(m, key, map_hash(key));
    if (!s->key)
        return NULL;
    value = s->value;
    free(s->key);
    m->count--;
    map_close_gap(m, (size_t)(s - m->slots));
    return value;
}

void *map_next(const struct map *m, size_t *pos, const char **ret_key)
{
    while (*pos < m->size) {
        const struct map_slot *s = &m->slots[(*pos)++];

        if (s->key) {
            if (ret_key)
                *ret_key = s->key;
            return s->value;
        }
    }
    return NULL;
}
