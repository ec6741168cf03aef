/*
 * What all cached Kubernetes objects have in common. A kind's struct has `struct meta` as its first
 * member, so that store and reflector handle every kind alike; `struct api_kind` describes a kind
 * to them. Objects are decoded once, when they arrive, into compact structs; the JSON tree is
 * freed.
 */
#ifndef ARL_OPERATOR_API_META_H
#define ARL_OPERATOR_API_META_H

#include "common/base/base.h"
#include "common/base/err.h"

struct json_object;
struct json_writer;

struct meta {
    char *ns;
    char *name;
    char *uid;
    char *rv; /* resourceVersion: opaque */
    int64_t created_wall_ns;
    int64_t generation;
    bool deleting; /* metadata.deletionTimestamp is set */
    bool cut;      /* too large: meta_parse() left out all but metadata */
    uint64_t seq;  /* order of arrival in this process, kept over updates; set by the world */
    /* As well, set by plan(): since when this process has planned it, by both clocks, and since
     * when it has missed what the spec names; 0: it does not. */
    int64_t seen_mono_ns;
    int64_t seen_wall_ns;
    int64_t missed_mono_ns;
};

/* -EINVAL unless name, namespace, uid and resourceVersion are what Kubernetes would give: whatever
 * has been decoded makes keys, paths and patches without further checks. */
int meta_decode(struct json_object *obj, struct meta *ret, struct err *err);
void meta_done(struct meta *m);

/* The key of an object in stores and queues: "namespace/name". buf holds >= META_KEY_MAX bytes. */
#define META_KEY_MAX 512
void meta_key(char *buf, const char *ns, const char *name);

/* An object as text: as json_parse(), but one whose tree would be too large becomes one with its
 * metadata alone, of which meta_decode() says that it is cut: so it does not vanish, and is planned
 * by nobody. */
int meta_parse(const char *text, size_t len, struct json_object **ret, struct err *err);
/* Its metadata alone: the text may end within what comes behind them. */
int meta_parse_head(const char *text, size_t len, struct json_object **ret, struct err *err);
/* Whether it can be a UID: 1 to LIMIT_UID_BYTES letters, digits, '-', '_' and '.'. NULL is none. */
bool meta_is_uid(const char *s);
/* A member that is a name or a UID, copied; NULL: absent, or none. */
char *meta_name(struct json_object *obj, const char *name);
char *meta_uid(struct json_object *obj, const char *name);
/* Whether it can be an IP address: nothing in it can end the host of a URL. NULL is none. */
bool meta_is_ip(const char *s);

/* Times stay far enough from the ends of int64_t for any timeout of 32 bits to be added. */
#define META_TIME_MAX_NS 6000000000000000000LL /* in the year 2160 */
/* A member that holds an RFC 3339 time, 0 to META_TIME_MAX_NS; 0: absent or malformed. */
int64_t meta_time(struct json_object *obj, const char *name);
/* Opens a merge patch with the precondition that the object is still this one, and, with_rv, still
 * this version; the caller adds to the top object and closes it. */
void meta_patch_begin(struct json_writer *w, const struct meta *m, bool with_rv);

struct api_kind {
    const char *kind;        /* "WarmPool" */
    const char *plural;      /* "warmpools" */
    const char *api_prefix;  /* "/apis/arl.infra.io/v1alpha1" or "/api/v1" */
    const char *api_version; /* "arl.infra.io/v1alpha1" */
    const char *selector;    /* label selector for list and watch, URL-encoded; NULL: all */
    /* Makes a struct (first member: struct meta) from an object. A spec that is wrong is not a
     * failure: the struct says so in its own field, so that one bad object is reported on its own
     * status. Fails only when metadata is unusable. */
    int (*decode)(struct json_object *obj, struct meta **ret, struct err *err);
    void (*free)(struct meta *obj);
};

extern const struct api_kind api_warmpool, api_sandbox, api_task, api_pod;

#endif
