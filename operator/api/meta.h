/*
 * The metadata of a cached Kubernetes object. The struct of each kind has `struct meta` as its
 * first member, so that store and reflector handle all kinds alike; `struct api_kind` describes a
 * kind to them. Objects are decoded once, when they arrive, into compact structs. The tree
 * that JSON or protobuf became is freed.
 */
#ifndef ARL_OPERATOR_API_META_H
#define ARL_OPERATOR_API_META_H

#include "common/base/base.h"
#include "common/base/err.h"

struct json_object;
struct json_writer;
struct pb_field;

struct meta {
    char *ns;
    char *name;
    char *uid;
    char *rv; /* resourceVersion: opaque */
    int64_t created_wall_ns;
    int64_t generation;
    bool deleting; /* metadata.deletionTimestamp is set */
    bool cut;      /* too large: meta_parse() has kept only the metadata */
    uint64_t seq;  /* order of arrival in this process, kept over updates; set by the world */
    /* Kept over updates, too; set by plan(): when this process first planned the object, by both
     * clocks, and since when it has missed the object that the spec refers to (0: not missed). */
    int64_t seen_mono_ns;
    int64_t seen_wall_ns;
    int64_t missed_mono_ns;
};

/* -EINVAL unless name, namespace, uid and resourceVersion are valid in Kubernetes. So decoded
 * objects can be used for keys, paths and patches without further checks. */
int meta_decode(struct json_object *obj, struct meta *ret, struct err *err);
void meta_done(struct meta *m);

/* The key of an object in stores and queues: "namespace/name". buf holds >= META_KEY_MAX bytes. */
#define META_KEY_MAX 512
void meta_key(char *buf, const char *ns, const char *name);

/* Parses an object like json_parse(). If its tree would be too large, the result has only the
 * metadata, and meta_decode() sets `cut`: so the object does not vanish, and no planner acts on it.
 */
int meta_parse(const char *text, size_t len, struct json_object **ret, struct err *err);
/* Parses only the metadata. The text may be cut off behind them. */
int meta_parse_head(const char *text, size_t len, struct json_object **ret, struct err *err);
/* The object that has these metadata, which it takes over, and nothing else: cut. */
struct json_object *meta_head(struct json_object *md);
/* Whether s can be a UID: 1 to LIMIT_UID_BYTES letters, digits, '-', '_' and '.'. NULL is not one.
 */
bool meta_is_uid(const char *s);
/* A copy of a member that is a name or a UID; NULL: absent or invalid. */
char *meta_name(struct json_object *obj, const char *name);
char *meta_uid(struct json_object *obj, const char *name);
/* Whether s can be an IP address: no character in it can end the host of a URL. NULL is not one. */
bool meta_is_ip(const char *s);

/* The largest time: any timeout of 32 bits can be added without an overflow. */
#define META_TIME_MAX_NS 6000000000000000000LL /* in the year 2160 */
/* A member with an RFC 3339 time, 0 to META_TIME_MAX_NS; 0: absent or malformed. */
int64_t meta_time(struct json_object *obj, const char *name);
/* Begins a merge patch with the precondition that the object still has this uid and, if with_rv,
 * this resourceVersion. The caller adds members to the top object and closes it. */
void meta_patch_begin(struct json_writer *w, const struct meta *m, bool with_rv);

struct api_kind {
    const char *kind;        /* "WarmPool" */
    const char *plural;      /* "warmpools" */
    const char *api_prefix;  /* "/apis/arl.infra.io/v1alpha1" or "/api/v1" */
    const char *api_version; /* "arl.infra.io/v1alpha1" */
    const char *selector;    /* label selector for list and watch, URL-encoded; NULL: all */
    /* Makes the kind's struct from an object. An invalid spec is not a failure: a field of the
     * struct says so, and the planner reports it in the object's own status. Fails only if the
     * metadata is invalid. */
    int (*decode)(struct json_object *obj, struct meta **ret, struct err *err);
    void (*free)(struct meta *obj);
    /* The members that decode() reads, metadata first, by their numbers in protobuf: objects are
     * asked for in that encoding. NULL: only JSON is (custom resources have no other). */
    const struct pb_field *pb;
};

extern const struct api_kind api_warmpool, api_sandbox, api_task, api_pod;

#endif
