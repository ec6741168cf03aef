/* For tests of claims by the whole operator: calls, a sandbox with its pod, and what its status
 * says. Header only. */
#ifndef ARL_TESTS_CLAIM_RIG_H
#define ARL_TESTS_CLAIM_RIG_H

#include "tests/unit/manager_rig.h"

#define READ_SANDBOX "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/sandboxes/s"
#define READ_POD "GET /api/v1/namespaces/ns/pods/a"
#define POD_Z "PATCH /api/v1/namespaces/ns/pods/z"
#define FIRST_STATUS "PATCH /apis/arl.infra.io/v1alpha1/namespaces/ns/sandboxes/first/status"

static inline char *ready_with(struct rig *r, const char *name, const char *pod)
{
    cleanup_free char *status =
        xasprintf("\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY "\",\"podName\":\"%s\","
                  "\"podUID\":\"uid-%s\",\"podIP\":\"10.0.0.1\",\"workDir\":\"/w\",\"conditions\":["
                  "{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"PodReady\",\"message\":"
                  "\"the agent in the pod answers\",\"lastTransitionTime\":"
                  "\"2026-01-02T03:04:05Z\"}]",
                  pod, pod);

    return sandbox_object(r, name, status);
}

static inline void assert_status(struct rig *r, const char *text)
{
    const struct ops_call *c = fake_find(&r->ops, SANDBOX_STATUS);

    if (!c)
        fail_msg("no status is written, expected %s", text);
    if (!strstr(c->body, text))
        fail_msg("the status has no %s: %s", text, c->body);
}

#endif
