/*
 * For tests of planners: a world filled from JSON texts, one key planned at a time, and the actions
 * that come out as lines of text. Header only; every test program has its own world.
 */
#ifndef ARL_TESTS_WORLD_FIXTURE_H
#define ARL_TESTS_WORLD_FIXTURE_H

#include <stdio.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "operator/core/plan.h"

#define T0_WALL 1750000000000000000LL /* 2025-06-15T15:06:40Z */
#define T0_TEXT "2025-06-15T15:06:40Z"

static struct policy fixture_policy = {
    .pod = {.sidecar_image = "arl-sidecar:test",
            .public_keys = "k=AA",
            .key_id = "k",
            .output_limit = 262144},
    .task_timeout_ms = 300000,
    .idle_timeout_s = 600,
    .keepalive_idle_timeout_s = 3600,
    .sandbox_wait_ms = 300000,
    .output_limit = 262144,
};

struct fixture {
    struct world *w;
    struct now now;
    struct buf text;
    uint64_t rv;
    bool unchecked; /* for measurements: world_check() takes longer with each object */
};

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.now = {.mono_ns = 1000 * NSEC_PER_SEC, .wall_ns = T0_WALL}, .rv = 100};
    f->w = world_new(&fixture_policy);
    buf_init(&f->text, 1 << 20);
}

static inline void fixture_done(struct fixture *f)
{
    world_free(f->w);
    buf_done(&f->text);
}

static inline void fixture_pass(struct fixture *f, int64_t ms)
{
    f->now.mono_ns += ms * NSEC_PER_MSEC;
    f->now.wall_ns += ms * NSEC_PER_MSEC;
}

/* Puts an object with metadata made from name (its uid is "uid-NAME") and further metadata members
 * ("" or starting with a comma), and the rest of the object. */
static inline void fixture_put_at(struct fixture *f, const struct api_kind *kind, const char *name,
                                  const char *created, const char *metadata, const char *rest)
{
    cleanup_free char *text = xasprintf(
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\",\"uid\":\"uid-%s\",\"generation\":1,"
        "\"resourceVersion\":\"%llu\",\"creationTimestamp\":\"%s\"%s},%s}",
        name, name, (unsigned long long)++f->rv, created, metadata, rest);
    cleanup_json struct json_object *obj = NULL;
    struct err err = {0};
    struct meta *m = NULL;

    if (json_parse(text, strlen(text), &obj, &err) < 0 || kind->decode(obj, &m, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    store_put(world_store(f->w, kind), m);
}

static inline void fixture_put(struct fixture *f, const struct api_kind *kind, const char *name,
                               const char *metadata, const char *rest)
{
    fixture_put_at(f, kind, name, T0_TEXT, metadata, rest);
}

static inline void fixture_remove(struct fixture *f, const struct api_kind *kind, const char *name)
{
    cleanup_free char *key = xasprintf("ns/%s", name);

    store_remove(world_store(f->w, kind), key, NULL, NULL);
}

static inline void fixture_line(struct fixture *f, const struct action *a)
{
    static const char *const names[] = {
        [ACTION_CREATE_POD] = "create", [ACTION_CLAIM_POD] = "claim",
        [ACTION_DELETE] = "delete",     [ACTION_STATUS] = "status",
        [ACTION_READ] = "read",         [ACTION_RUN_START] = "start",
        [ACTION_RUN_CANCEL] = "cancel", [ACTION_RUN_STOP] = "stop",
        [ACTION_RUN_FORGET] = "forget", [ACTION_AUDIT] = "audit",
        [ACTION_EVENT] = "event",       [ACTION_AFTER] = "after",
    };

    buf_puts(&f->text, names[a->type]);
    if (a->type == ACTION_AFTER)
        buf_printf(&f->text, " %lldms",
                   (long long)((a->number - f->now.mono_ns + NSEC_PER_MSEC / 2) / NSEC_PER_MSEC));
    else
        buf_printf(&f->text, " %s", str_or_empty(a->name));
    if (a->other_name)
        buf_printf(&f->text, " for %s", a->other_name);
    if (a->reason)
        buf_printf(&f->text, " %s", a->reason);
    if (a->type == ACTION_RUN_START)
        buf_printf(&f->text, " attempt %lld", (long long)a->number);
    buf_putc(&f->text, '\n');
}

/* Plans a queue key, begins the actions as the executor does, and returns them, a line each, "" for
 * none. *ret_body (may be NULL) gets a copy of the last action's body that has one. */
static inline const char *fixture_plan(struct fixture *f, const char *key, char **ret_body)
{
    cleanup_actions struct actions actions;

    actions_init(&actions);
    buf_clear(&f->text);
    plan(f->w, key, f->now, &actions);
    if (!f->unchecked)
        plan_check(f->w, key, f->now, &actions);
    for (const struct action *a = actions.first; a; a = a->next) {
        plan_begun(f->w, key, a, f->now);
        fixture_line(f, a);
        if (a->body && ret_body)
            str_set(ret_body, xstrdup(a->body));
    }
    if (!f->unchecked)
        world_check(f->w);
    return buf_str(&f->text);
}

/* Plans all queued keys; returns how many there were. */
static inline size_t fixture_drain(struct fixture *f)
{
    size_t n = 0;
    char *key;

    for (; (key = queue_take(f->w->queue, f->now.mono_ns)); n++) {
        fixture_plan(f, key, NULL);
        free(key);
    }
    return n;
}

/* ---- what planning costs --------------------------------------------------------------------- */

static inline int64_t fixture_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* The least of several tries: other programs use the machine's caches, too. */
static inline int64_t fixture_least(int64_t (*cost)(int count), int count)
{
    int64_t best = cost(count);

    for (int i = 0; i < 2; i++)
        best = MIN(best, cost(count));
    return best;
}

#endif
