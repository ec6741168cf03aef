/*
 * A secondary index over cached objects: for each key the objects that belong to it, oldest first
 * (creation time, then order of arrival). The index points at objects of a store; world.c updates
 * it with each change of the store. Buckets are sorted arrays: reading costs nothing, an object is
 * found by binary search, and a change moves the objects behind it.
 *
 * The owner of an index may note which object of a bucket it has chosen, so that it need not search
 * again. The index forgets this choice when the object leaves, or when an older object comes.
 */
#ifndef ARL_OPERATOR_CORE_INDEX_H
#define ARL_OPERATOR_CORE_INDEX_H

#include "common/base/map.h"
#include "operator/api/meta.h"

struct index {
    struct map buckets; /* key -> struct index_bucket */
};

struct index_bucket {
    struct meta **items;
    size_t count;
    size_t alloc;
    struct meta *chosen; /* NULL: none, or it was forgotten */
};

void index_done(struct index *x);
void index_add(struct index *x, const char *key, struct meta *obj);
void index_remove(struct index *x, const char *key, const struct meta *obj);
/* `is` takes the place of `was`; both have the same creation time and order of arrival. */
void index_replace(struct index *x, const char *key, const struct meta *was, struct meta *is);
/* Never NULL: an empty bucket for a key without objects. Valid until the next change. */
const struct index_bucket *index_get(const struct index *x, const char *key);
/* Notes obj, which is in the bucket of the key, as chosen; NULL: forgets the choice. */
void index_choose(struct index *x, const char *key, struct meta *obj);
/* Asserts that all buckets are in order and have objects: see world_check(). Returns how many. */
size_t index_check(const struct index *x);

/* A bucket outside of an index. Zeroed memory is an empty bucket. */
void bucket_done(struct index_bucket *b);
void bucket_add(struct index_bucket *b, struct meta *obj);
/* Returns whether it was there. */
bool bucket_remove(struct index_bucket *b, const struct meta *obj);
/* As index_replace(). */
void bucket_replace(struct index_bucket *b, const struct meta *was, struct meta *is);
bool bucket_has(const struct index_bucket *b, const struct meta *obj);
/* Whether the objects are in order, and each is there once. */
bool bucket_sorted(const struct index_bucket *b);
/* How many of the bucket are older than obj, which need not be in it. */
size_t bucket_rank(const struct index_bucket *b, const struct meta *obj);

#endif
