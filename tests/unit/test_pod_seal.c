/* Which pods are ours: seals, the names that are known, and what is done with the others. */
#include "tests/unit/plan_objects.h"

#include <json-c/json.h>

#include "operator/api/pod_build.h"
#include "operator/api/pod_seal.h"

static struct signature_key signing[3];
static struct seal_keys seals, others;

static void make_keys(void)
{
    signature_init();
    for (size_t i = 0; i < ARRAY_SIZE(signing); i++)
        signature_key_generate(&signing[i]);
    seal_keys_init(&seals, signing, 2); /* the second is the previous one */
    seal_keys_init(&others, signing + 2, 1);
}

static int setup_sealed(void **state)
{
    if (seals.count == 0)
        make_keys();
    fixture_policy.pod.seal = &seals;
    fixture_policy.pod.key_id = signing[0].id;
    return setup(state);
}

/* ---- pods as they are built, changed, and put into the world --------------------------------- */

/* A built pod of pool p with this name. */
static char *pod_text(struct fixture *f, const char *name, const struct pod_build_opts *opts,
                      int64_t wall_ns)
{
    cleanup_buf struct buf body = BUF_INIT(1 << 20);

    assert_int_equal(pod_build(world_pool(f->w, "ns/p"), name, opts, wall_ns, &body, NULL), 0);
    return buf_steal(&body);
}

static struct json_object *parsed(const char *text)
{
    struct json_object *o = NULL;

    assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
    return o;
}

static void put_member(struct json_object *o, const char *name, const char *value)
{
    if (value)
        json_object_object_add(o, name, json_object_new_string(value));
    else
        json_object_object_del(o, name);
}

/* Into the store, as the API server would tell of it: ready. */
static void arrive(struct fixture *f, struct json_object *pod, const char *uid, const char *created)
{
    cleanup_free char *rv = xasprintf("%llu", (unsigned long long)++f->rv);
    cleanup_json struct json_object *status = parsed("{\"phase\":\"Running\"," AGENT_SIDE_TOLD(
        AGENT_SIDE_KEY) ",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\","
                        "\"status\":\"True\"}]}");
    struct json_object *md = json_get(pod, "metadata");
    struct meta *m = NULL;

    put_member(md, "uid", uid);
    put_member(md, "resourceVersion", rv);
    put_member(md, "creationTimestamp", created);
    json_object_object_add(pod, "status", json_object_get(status));
    assert_int_equal(api_pod.decode(pod, &m, NULL), 0);
    store_put(f->w->pods, m);
}

static void put_built(struct fixture *f, const char *name, const char *uid)
{
    cleanup_free char *text = pod_text(f, name, &fixture_policy.pod, f->now.wall_ns);
    cleanup_json struct json_object *pod = parsed(text);

    arrive(f, pod, uid, T0_TEXT);
}

static const struct pod *pod_of(struct fixture *f, const char *name)
{
    cleanup_free char *key = xasprintf("ns/%s", name);

    return world_pod(f->w, key);
}

/* ---- the seal -------------------------------------------------------------------------------- */

static void test_seal_fits_what_was_sealed(void **state)
{
    static const char *const parts[] = {"a", "bc", NULL, ""},
                             *const moved[] = {"ab", "c", NULL, ""},
                             *const empty[] = {"a", "bc", "", ""};
    char text[SEAL_TEXT_MAX], changed[SEAL_TEXT_MAX];
    int64_t at = 0;

    seal_make(&seals.keys[0], parts, 4, 1750000000, text);
    assert_true(seal_check(&seals.keys[0], parts, 4, text, &at));
    assert_int_equal(at, 1750000000);
    assert_false(seal_check(&seals.keys[1], parts, 4, text, &at));
    assert_false(seal_check(&seals.keys[0], moved, 4, text, &at));
    assert_false(seal_check(&seals.keys[0], empty, 4, text, &at));
    assert_false(seal_check(&seals.keys[0], parts, 3, text, &at));
    assert_false(seal_check(&seals.keys[0], parts, 4, NULL, &at));
    for (size_t i = 0; i <= strlen(text); i++) {
        memcpy(changed, text, sizeof(text));
        changed[i] = changed[i] == '1' ? '2' : '1';
        if (seal_check(&seals.keys[0], parts, 4, changed, &at))
            fail_msg("%s passes for %s", changed, text);
    }
}

static void test_pods_that_are_built_are_ours(void **state)
{
    struct fixture *f = *state;
    struct pod_build_opts opts = fixture_policy.pod;
    cleanup_json struct json_object *pod = NULL;
    cleanup_free char *text = NULL;

    put_pool(f, 1, "x");
    put_built(f, "p-a", "u1");
    assert_true(pod_of(f, "p-a")->ours);
    opts.key_id = signing[1].id; /* before the signing key was changed */
    text = pod_text(f, "p-b", &opts, f->now.wall_ns);
    pod = parsed(text);
    arrive(f, pod, "u2", T0_TEXT);
    assert_true(pod_of(f, "p-b")->ours);
}

static void test_pods_of_another_operator_are_not(void **state)
{
    struct fixture *f = *state;
    struct pod_build_opts opts = fixture_policy.pod;
    cleanup_json struct json_object *pod = NULL;
    cleanup_free char *text = NULL;

    put_pool(f, 1, "x");
    opts.seal = &others;
    opts.key_id = signing[2].id;
    text = pod_text(f, "p-a", &opts, f->now.wall_ns);
    pod = parsed(text);
    arrive(f, pod, "u1", T0_TEXT);
    assert_false(pod_of(f, "p-a")->ours);
    assert_false(strstr(fixture_plan(f, POOL, NULL), "delete") != NULL);
}

/* Pods that somebody who may create pods makes from one of ours. */
static void test_copies_are_not(void **state)
{
    static const struct {
        const char *where, *name, *value; /* a member of metadata that is changed; NULL: removed */
    } rows[] = {
        {NULL, "name", "p-copy"},
        {NULL, "namespace", "other"},
        {"annotations", POD_ANNOTATION_HASH, "0123456789abcdef"},
        {"annotations", POD_ANNOTATION_HASH, NULL},
        {"annotations", POD_ANNOTATION_POOL_UID, "uid-q"},
        {"annotations", POD_ANNOTATION_POOL_UID, NULL},
        {"annotations", POD_ANNOTATION_KEY_ID, NULL},
        {"annotations", POD_ANNOTATION_KEY_ID, "k"},
        {"annotations", POD_ANNOTATION_WIRE, "1"},
        {"annotations", POD_ANNOTATION_WIRE, NULL},
        {"annotations", POD_ANNOTATION_PORT, "80"},
        {"annotations", POD_ANNOTATION_SEAL, NULL},
        {"annotations", POD_ANNOTATION_SEAL, ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture *f = *state;
        cleanup_free char *text = NULL, *key = NULL;
        cleanup_json struct json_object *pod = NULL;
        struct json_object *md;

        put_pool(f, 1, "x");
        text = pod_text(f, "p-a", &fixture_policy.pod, f->now.wall_ns);
        pod = parsed(text);
        md = json_get(pod, "metadata");
        put_member(rows[i].where ? json_get(md, rows[i].where) : md, rows[i].name, rows[i].value);
        arrive(f, pod, "u9", T0_TEXT);
        key = xasprintf("%s/%s", json_get_str(md, "namespace"), json_get_str(md, "name"));
        if (world_pod(f->w, key)->ours)
            fail_msg("row %zu is ours", i);
        fixture_done(f);
        fixture_init(f);
    }
}

/* A pod with the seal of a deleted pod: its name is known, or the seal is too old. */
static void test_second_pod_of_a_name_is_not(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *text = NULL;
    cleanup_json struct json_object *pod = NULL, *early = NULL;

    put_pool(f, 1, "x");
    put_built(f, "p-a", "u1");
    fixture_remove(f, &api_pod, "p-a");
    put_built(f, "p-a", "u2");
    assert_false(pod_of(f, "p-a")->ours);
    /* Nothing is known of this name. */
    text = pod_text(f, "p-b", &fixture_policy.pod, f->now.wall_ns);
    pod = parsed(text);
    arrive(f, pod, "u3", "2025-06-15T15:16:41Z");
    assert_false(pod_of(f, "p-b")->ours);
    fixture_remove(f, &api_pod, "p-b");
    arrive(f, pod, "u5", "2025-06-15T15:16:40Z"); /* ten minutes after the seal */
    assert_true(pod_of(f, "p-b")->ours);
    early = parsed(text);
    put_member(json_get(early, "metadata"), "name", "p-b");
    fixture_remove(f, &api_pod, "p-b");
    arrive(f, early, "u4", T0_TEXT);
    assert_false(pod_of(f, "p-b")->ours);
}

/* The API server has answered that this pod was made here. Clocks that differ by more are no reason
 * to doubt that. */
static void test_pod_that_was_made_here_may_have_another_time(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *text = NULL;
    cleanup_json struct json_object *pod = NULL;
    struct meta answered = {.ns = (char *)(uintptr_t) "ns",
                            .name = (char *)(uintptr_t) "p-a",
                            .uid = (char *)(uintptr_t) "u1"};

    put_pool(f, 1, "x");
    world_pod_made(f->w, &answered);
    text = pod_text(f, "p-a", &fixture_policy.pod, f->now.wall_ns);
    pod = parsed(text);
    arrive(f, pod, "u1", "2025-06-15T18:00:00Z");
    assert_true(pod_of(f, "p-a")->ours);
}

static void test_made_is_bounded(void **state)
{
    struct made m = {.next = 0};

    for (unsigned i = 0; i < MADE_MAX + 10; i++) {
        cleanup_free char *key = xasprintf("ns/p-%u", i);

        made_note(&m, key, "u");
    }
    assert_int_equal(m.uids.count, MADE_MAX);
    assert_null(made_uid(&m, "ns/p-9"));
    assert_string_equal(made_uid(&m, "ns/p-10"), "u");
    made_note(&m, "ns/p-10", "another");
    assert_string_equal(made_uid(&m, "ns/p-10"), "u");
    made_done(&m);
}

/* ---- what is done with those that are not ---------------------------------------------------- */

/* A pod as pods/create allows: with the pool's label and owner, and annotations of a pod of
 * ours. */
static void put_hand_made(struct fixture *f, const char *name, const char *owners)
{
    cleanup_free char *text = pod_text(f, "p-a", &fixture_policy.pod, f->now.wall_ns);
    cleanup_json struct json_object *pod = parsed(text);
    struct json_object *md = json_get(pod, "metadata");

    put_member(md, "name", name);
    if (owners)
        json_object_object_add(md, "ownerReferences", parsed(owners));
    arrive(f, pod, name, T0_TEXT);
}

#define OF_BOX                                                                                     \
    "[{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":\"Sandbox\",\"name\":\"s\",\"uid\":"      \
    "\"uid-s\",\"controller\":true}]"

static void test_hand_made_pod_is_left_alone(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_hand_made(f, "evil", NULL);
    put_hand_made(f, "orphan", "[]");
    put_hand_made(f, "taken", OF_BOX);
    fixture_plan(f, POOL, &body);
    assert_in(buf_str(&f->text), "event p ForeignPod\ncreate p\n");
    assert_null(strstr(buf_str(&f->text), "delete"));
    assert_in(body, "\"replicas\":0,\"readyReplicas\":0,\"allocatedReplicas\":0");
    assert_null(strstr(fixture_plan(f, POOL, NULL), "event")); /* once in a while */
    put_pool(f, 0, "x");
    assert_null(strstr(fixture_plan(f, POOL, NULL), "delete"));
    fixture_remove(f, &api_warmpool, "p");
    assert_null(strstr(fixture_plan(f, POOL, NULL), "delete orphan"));
}

static void test_hand_made_pod_is_not_claimed(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_hand_made(f, "evil", NULL);
    put_sandbox(f, "s", "", "");
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "claim"));
    put_built(f, "p-b", "u1");
    assert_in(fixture_plan(f, SANDBOX, NULL), "claim p-b for s");
    /* Nor if a status names it. */
    put_sandbox(f, "s", "",
                "\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY "\",\"podName\":\"evil\","
                "\"podUID\":\"evil\"");
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "claim"));
}

/* The pod itself says that the sandbox owns it, before the sandbox has a pod. */
static void test_hand_made_pod_does_not_bind_itself(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_hand_made(f, "taken", OF_BOX);
    put_sandbox(f, "s", "", "");
    fixture_pass(f, 1000);
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "Ready"));
    put_sandbox(f, "s", "", READY_STATUS);
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "delete"));
}

/* p-old, as an operator of a release without seals made it. */
static struct json_object *pod_of_old_release(struct fixture *f)
{
    struct pod_build_opts opts = fixture_policy.pod;
    cleanup_free char *text = NULL;
    struct json_object *pod;

    opts.seal = NULL;
    text = pod_text(f, "p-old", &opts, f->now.wall_ns);
    pod = parsed(text);
    put_member(json_get_path(pod, "metadata.annotations"), POD_ANNOTATION_POOL_UID, NULL);
    return pod;
}

/* Pods of a release without seals: idle ones are deleted, bound ones serve on. */
static void test_pods_of_an_old_release(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;
    cleanup_json struct json_object *pod = NULL;

    put_pool(f, 1, "x");
    pod = pod_of_old_release(f);
    f->w->active_wall_ns = T0_WALL;
    arrive(f, pod, "u1", "2025-06-15T15:06:51Z");
    assert_null(strstr(fixture_plan(f, POOL, NULL), "delete"));
    arrive(f, pod, "u1", "2025-06-15T15:06:50Z");
    assert_in(fixture_plan(f, POOL, NULL), "delete p-old NotSealed\n");
    put_pod_at(f, "a", T0_TEXT, true, "s", "h");
    put_sandbox(f, "s", "", READY_STATUS);
    fixture_pass(f, 2000);
    fixture_plan(f, POOL, &body);
    assert_in(body, "\"allocatedReplicas\":1");
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "PodLost"));
}

/* Somebody may make thousands of such pods. */
static void test_an_unsealed_pod_that_was_told_of_is_on_no_shelf(void **state)
{
    struct fixture *f = *state;
    cleanup_json struct json_object *pod = NULL;

    put_pool(f, 1, "x");
    pod = pod_of_old_release(f);
    world_act_since(f->w, T0_WALL - 3600 * NSEC_PER_SEC);
    arrive(f, pod, "u1", "2025-06-15T15:06:50Z");
    assert_int_equal(shelf_count(world_shelf(f->w, "ns/p"), MARK_FOREIGN), 1);
    assert_in(fixture_plan(f, POOL, NULL), "event p ForeignPod\n");
    assert_int_equal(shelf_count(world_shelf(f->w, "ns/p"), MARK_FOREIGN), 0);
    /* This operator begins to act anew. So the pod may be one of an old release again. */
    world_act_since(f->w, T0_WALL);
    assert_int_equal(shelf_count(world_shelf(f->w, "ns/p"), MARK_FOREIGN), 1);
    assert_in(fixture_plan(f, POOL, NULL), "delete p-old NotSealed\n");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_sealed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_seal_fits_what_was_sealed),
        T(test_pods_that_are_built_are_ours),
        T(test_pods_of_another_operator_are_not),
        T(test_copies_are_not),
        T(test_second_pod_of_a_name_is_not),
        T(test_pod_that_was_made_here_may_have_another_time),
        T(test_made_is_bounded),
        T(test_hand_made_pod_is_left_alone),
        T(test_hand_made_pod_is_not_claimed),
        T(test_hand_made_pod_does_not_bind_itself),
        T(test_pods_of_an_old_release),
        T(test_an_unsealed_pod_that_was_told_of_is_on_no_shelf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
