/* Specs as the API server may hand them out. */
#include "tests/unit/unit.h"

#include <json-c/json.h>

#include "common/base/json.h"
#include "operator/api/sandbox.h"
#include "operator/api/task.h"

static struct meta *decoded(const struct api_kind *kind, const char *spec)
{
    cleanup_free char *text =
        xasprintf("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"o\",\"uid\":"
                  "\"u\",\"resourceVersion\":\"1\"},\"status\":null,\"spec\":%s}",
                  spec);
    cleanup_json struct json_object *obj = NULL;
    struct meta *m = NULL;

    assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
    assert_int_equal(kind->decode(obj, &m, NULL), 0);
    return m;
}

/* null is the same as a field that is not there. */
static void test_nulls_of_a_task(void **state)
{
    struct meta *m = decoded(&api_task, "{\"sandboxRef\":\"s\",\"cancel\":null,\"timeout\":null,"
                                        "\"retries\":null,\"ttlSecondsAfterFinished\":null,"
                                        "\"traceID\":null,\"steps\":[{\"name\":null,\"type\":"
                                        "\"Command\",\"command\":[\"a\"],\"env\":null}]}");
    const struct task *t = container_of(m, struct task, meta);

    assert_null(t->invalid);
    assert_false(t->cancel);
    assert_int_equal(t->timeout_ms, -1);
    assert_int_equal(t->retries, 0);
    assert_int_equal(t->ttl_s, -1);
    assert_null(t->trace_id);
    assert_int_equal(t->step_count, 1);
    assert_string_equal(t->step_names[0], "");
    api_task.free(m);
}

static void test_nulls_of_a_sandbox(void **state)
{
    struct meta *m =
        decoded(&api_sandbox, "{\"poolRef\":\"p\",\"replicas\":null,\"keepAlive\":null,"
                              "\"idleTimeoutSeconds\":null,\"maxLifetimeSeconds\":null,"
                              "\"env\":null,\"resources\":null}");
    const struct sandbox *s = container_of(m, struct sandbox, meta);

    assert_null(s->invalid);
    assert_false(s->keep_alive);
    assert_int_equal(s->idle_timeout_s, -1);
    assert_int_equal(s->max_lifetime_s, -1);
    assert_null(s->env_json);
    api_sandbox.free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nulls_of_a_task),
        cmocka_unit_test(test_nulls_of_a_sandbox),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
