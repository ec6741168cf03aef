/* A pod of a WarmPool's template, built as the operator does. */
#ifndef ARL_TESTS_UNIT_POD_TEMPLATE_H
#define ARL_TESTS_UNIT_POD_TEMPLATE_H

#include <json-c/json.h>

#include "common/base/json.h"
#include "operator/api/pod_build.h"
#include "tests/unit/unit.h"

static const struct pod_build_opts plain = {
    .sidecar_image = "arl-sidecar:1", .public_keys = "k=AA", .key_id = "k", .output_limit = 1000};

/* What pod_build() returns; *ret (may be NULL): the pod, if it is 0. */
static inline int build_pod(const char *template_json, const struct pod_build_opts *opts,
                            struct json_object **ret, struct err *err)
{
    cleanup_free char *text = xasprintf(
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"uid\":\"u\",\"resourceVersion\":\"1\""
        "},\"spec\":{\"replicas\":1,\"template\":%s}}",
        template_json);
    cleanup_json struct json_object *obj = NULL;
    cleanup_buf struct buf body = BUF_INIT(1 << 20);
    struct meta *m = NULL;
    int r;

    if (json_parse(text, strlen(text), &obj, err) < 0)
        fail_msg("%s", text);
    assert_int_equal(api_warmpool.decode(obj, &m, NULL), 0);
    r = pod_build(container_of(m, struct warmpool, meta), "p-1", opts, 0, &body, err);
    if (r == 0 && ret)
        assert_int_equal(json_parse(body.data, body.len, ret, NULL), 0);
    api_warmpool.free(m);
    return r;
}

#endif
