/*
 * The cache of one kind: the last known state of each object, by "namespace/name".
 *
 * Ownership: the store owns its objects. A pointer that it returns is valid until the next change
 * of the same key. Every change calls on_change(old, new): old is NULL for a new object, new is
 * NULL for an object that is gone; old is freed after the call. Another uid under the same key
 * counts as two changes: (old, NULL), then (NULL, new).
 *
 * Freshness: an answer to a write may come before or after the watch event of the same change. So
 * store_put() ignores an object that has the same uid and an older resourceVersion than the stored
 * one. resourceVersions are compared as decimal numbers (etcd revisions), as every released API
 * server uses them; if either is not a number, the new object counts as newer. A tombstone keeps
 * the uid of a removed object for a while, so that a late answer to a write does not bring back a
 * deleted object. An object that has only left the watch's selector may come back: it is newer than
 * its removal.
 *
 * Limit: as many objects as the cluster has. Each takes only its decoded struct.
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

/* Takes over obj. true: it has changed the store. false: it was stale, and was freed. */
bool store_put(struct store *s, struct meta *obj);
/* Removes the object of this key if it has this uid (NULL: any uid). rv: the resourceVersion of the
 * removal, from a watch: a newer object of this uid may come back. NULL: it is gone for good. */
bool store_remove(struct store *s, const char *key, const char *uid, const char *rv);

/* Takes in a full list: begin, then store_replace_add() for every object, then end. The end removes
 * all objects that the list did not have, except those that are newer than the list (rv is the
 * list's resourceVersion). Afterwards store_put() ignores a new object that is not newer than the
 * list: it was deleted before the list. */
void store_replace_begin(struct store *s);
/* Call it after begin if all changes up to rv are in the store already. Then the differences that
 * the list finds are counted as repairs, until the next begin. `gone` may count objects that were
 * deleted after rv. */
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
