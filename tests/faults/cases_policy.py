"""A policy of the cluster refuses a write. The operator tries it less and less often, and succeeds once the policy is gone."""
import time

from base import Work
from harness import case, expect, path_of, wait
from tools import figure

LASTING_S = 10
NAME = "arl-faults-no-deletes"
API = "admissionregistration.k8s.io/v1"


def policy(t):
    """A policy with its binding: in this namespace only the kubelet may delete pods."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]}
    return [
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME},
         "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
                  "validations": [{"expression": "request.userInfo.username.startsWith('system:node:')",
                                   "message": "pods stay", "reason": "Forbidden"}]}},
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME},
         "spec": {"policyName": NAME, "validationActions": ["Deny"],
                  "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": t.ns}}}}},
    ]


class Policy:
    def __init__(self, t):
        self.t = t

    def __enter__(self):
        for obj in policy(self.t):
            self.t.kubectl("create", "-f", "-", body=obj)
        return self

    def __exit__(self, *_):
        for obj in reversed(policy(self.t)):
            self.t.kubectl("delete", "--ignore-not-found", obj["kind"], NAME)


@case(alone=True)
def a_policy_refuses_deletes(t):
    with Work(t) as w:
        box = w.sandbox()
        w.ended(w.task(box))
        pod = path_of(t.ns, "pods", t.get("Sandbox", box)["status"]["podName"])
        proxy = t.env.proxy
        with Policy(t):
            wait("the policy to be in force", lambda: t.api.request("DELETE", pod + "?dryRun=All")[0] == 403, 60)
            proxy.reset()
            w.drop(box)

            def tries():
                return [r for r in list(proxy.requests) if r.method == "DELETE" and r.path.startswith(pod)]
            wait("a delete to be refused", lambda: [r for r in tries() if r.status == 403], 30)
            time.sleep(LASTING_S)   # tested: the number of tries in this time
            count = len(tries())
        figure(f"a pod whose deletion a policy refuses: {count} tries in {LASTING_S} s")
        expect(3 <= count <= 20, f"{count} tries in {LASTING_S} s")
        w.settle()
