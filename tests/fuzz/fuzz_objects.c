/* Objects as the API server might send them: whatever people may write into them. */
#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/pod.h"
#include "operator/api/pod_build.h"
#include "operator/api/sandbox.h"
#include "operator/api/task_result.h"
#include "tests/fuzz/fuzz.h"

static void build(const struct warmpool *p)
{
    const struct pod_build_opts opts = {
        .sidecar_image = "i", .public_keys = "k=A", .key_id = "k", .output_limit = 1};
    cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    cleanup_json struct json_object *pod = NULL;

    if (p->invalid || pod_build(p, "x", &opts, 0, &body, NULL) < 0)
        return;
    property(json_parse(body.data, body.len, &pod, NULL) == 0);
}

static void finish(const struct task *t)
{
    const struct task_end end = {TASK_FAILED, "X", NULL};
    cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct task_result *r = task_result_new(t->step_count);

    property(task_result_patch(t, r, &end, "x", 1, &body) == 0);
    task_result_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct api_kind *const kinds[] = {&api_warmpool, &api_sandbox, &api_task,
                                                   &api_pod};
    cleanup_json struct json_object *obj = NULL;
    struct meta *m = NULL;
    size_t k;

    if (size == 0)
        return 0;
    k = data[0] % ARRAY_SIZE(kinds);
    if (json_parse((const char *)data + 1, size - 1, &obj, NULL) < 0 ||
        kinds[k]->decode(obj, &m, NULL) < 0)
        return 0;
    if (kinds[k] == &api_warmpool)
        build(container_of(m, struct warmpool, meta));
    else if (kinds[k] == &api_task)
        finish(container_of(m, struct task, meta));
    kinds[k]->free(m);
    return 0;
}
