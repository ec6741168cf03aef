/*
 * The cache of one kind: what the API server last told us, by "namespace/name".
 *
 * Ownership: the store owns its objects. A pointer that it hands out is valid until the next change
 * of the same key. Every change calls on_change(old, new): old NULL for a new object, new NULL for
 * one that is gone; old is freed after the call. A different uid under the same key is delivered as
 * two changes: (old, NULL), then (NULL, new).
 *
 * Freshness: answers to our own writes and watch events race. store_put() ignores an object whose
 * resourceVersion is older than what is there (same uid); resourceVersions are compared as the
 * decimal numbers that every released API server uses (etcd revisions), and taken as newer when
 * either is not a number. A tombstone keeps the uid of each removed object for a while, so that a
 * late answer to a write does not bring a deleted object back. One that only left the watch's
 * selector may come back: it is newer than its removal.
 *
 * Limit: as many objects as the cluster has; each costs its decoded struct only.
 */
#ifndef ARL_OPERATOR_KUBE_STORE_H
#define ARL_OPERATOR_KUBE_STORE_H

#include "operator/api/meta.h"

struct store;
typedef void store_change_fn(void *arg, struct meta *old_obj, struct meta *new_obj);

struct store *store_new(const struct api_kind *kind, store_change_fn *on_change, void *arg);
void store_free(struct store *s); /* frees the objects without calling on_change */

struct meta *store_get(const struct store *s, const char *key); /* NULL: none */
struct meta *store_next(const struct store *s, size_t *pos);    /* as map_next() */
size_t store_count(const struct store *s);

/* Takes obj. Returns true when it changed the store, false when it was stale (obj is freed then).
 */
bool store_put(struct store *s, struct meta *obj);
/* Removes key when the object there has this uid (NULL: whatever is there). rv: of the removal, as
 * a watch tells it: only what is newer comes back; NULL: it is gone for good. */
bool store_remove(struct store *s, const char *key, const char *uid, const char *rv);

/* A full list: begin, then store_replace_add() for every object, then end, which removes all
 * objects that the list did not have, but for those that are newer than the list (rv, its
 * resourceVersion). From then on store_put() takes no new object that is not newer: it was deleted
 * before the list. */
void store_replace_begin(struct store *s);
/* To be called after begin when all changes up to rv have been put before: what the list then
 * repairs is counted until the next begin. `gone` may contain what was deleted after rv. */
void store_replace_known(struct store *s, const char *rv);
struct store_repairs {
    unsigned changed;
    unsigned gone;
};
struct store_repairs store_repairs(const struct store *s);
void store_replace_add(struct store *s, struct meta *obj);
void store_replace_end(struct store *s, const char *rv);
void store_replace_abort(struct store *s); /* the list failed half way: nothing is removed */

#endif
