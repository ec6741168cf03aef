/*
 * A hash map from strings to pointers (open addressing, linear probing; the hash of hash.h with a
 * per-process seed, so that names chosen by users cannot be made to collide).
 *
 * The map copies its keys and owns the copies; the values belong to the caller. The map has no
 * limit: the caller bounds the number of entries.
 */
#ifndef ARL_COMMON_BASE_MAP_H
#define ARL_COMMON_BASE_MAP_H

#include "common/base/base.h"

struct map_slot {
    char *key; /* NULL: free slot */
    void *value;
    uint64_t hash;
};

struct map {
    struct map_slot *slots;
    size_t count;
    size_t size; /* a power of two, or 0 */
};

#define MAP_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

void map_done(struct map *m); /* frees keys and slots, not the values */
void *map_get(const struct map *m, const char *key);
/* Stores value, which is not NULL, under key. Returns the old value, or NULL. */
void *map_put(struct map *m, const char *key, void *value);
/* The value of key. If there is none, stores zeroed memory of this size first. */
void *map_ensure(struct map *m, const char *key, size_t size);
/* Removes key and returns its value, NULL when there was none. */
void *map_del(struct map *m, const char *key);

/* Iteration in no particular order: size_t pos = 0; while ((v = map_next(m, &pos, &key))) ...
 * The map must not be changed while it is iterated. key may be NULL. */
void *map_next(const struct map *m, size_t *pos, const char **ret_key);

/* Sets the seed of all maps; call once, before the first use (tests leave it alone). */
void map_seed(uint64_t seed);

#endif
