/*
 * A hash map from strings to pointers (open addressing, linear probing, FNV-1a with a per-process
 * seed so that names chosen by users cannot be made to collide).
 *
 * The map copies its keys and owns the copies; the values belong to the caller. A limit on the
 * number of entries is the caller's business: the map grows as asked.
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
/* Stores value under key and returns what was there before (NULL for nothing). value is not NULL.
 */
void *map_put(struct map *m, const char *key, void *value);
/* What is under key; zeroed memory of this size is put there first if nothing is. */
void *map_ensure(struct map *m, const char *key, size_t size);
/* Removes key and returns its value, NULL when there was none. */
void *map_del(struct map *m, const char *key);

/* Iteration in no particular order: size_t pos = 0; while ((v = map_next(m, &pos, &key))) ...
 * The map must not be changed while it is iterated. key may be NULL. */
void *map_next(const struct map *m, size_t *pos, const char **ret_key);

/* Sets the seed of all maps; call once, before the first use (tests leave it alone). */
void map_seed(uint64_t seed);

#endif
