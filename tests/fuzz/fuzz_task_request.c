/* The body of a PUT: from whoever can reach the sidecar and has a key. */
#include "common/wire/task_proto.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(task_request_done) struct task_request r = {0};

    if (task_request_decode((const char *)data, size, &r, NULL) < 0)
        return 0;
    property(r.sandbox_uid && r.work_dir && r.work_dir[0] == '/' && r.timeout_ms > 0);
    property(r.step_count > 0 && r.output_limit > 0);
    for (size_t i = 0; i < r.step_count; i++) {
        const struct task_step *s = &r.steps[i];

        property(s->name);
        property(s->invalid || s->type != STEP_COMMAND || (s->argc > 0 && !s->argv[s->argc]));
        for (size_t k = 0; k < s->env_count; k++)
            property(s->env[k].name && s->env[k].value);
    }
    return 0;
}
