"""Who may do what: the sidecar serves the operator alone, and steps cannot reach the machinery."""
import json
import os
import re

AGENT_PORT = 27182      # common/wire/task_proto.h

from harness import ROOT, case, command, contains, equal, expect, path_of, sh, wait


@case(shared=True)
def sidecar_refuses_unsigned_requests(t):
    box = t.box()
    pod = t.pod_of(box)["metadata"]["name"]
    base = path_of(t.ns, "pods", f"{pod}:{AGENT_PORT}/proxy")
    body = {"sandboxUID": t.get("Sandbox", box)["metadata"]["uid"], "task": f"{t.ns}/x", "workDir": "/workspace", "timeoutMs": 1000,
            "outputLimit": 1024, "steps": [sh("touch /workspace/intruder")]}
    for method, path in (("PUT", "/v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1"), ("DELETE", "/v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1"),
                         ("GET", "/metrics")):
        status, text = t.api.request(method, base + path, json.dumps(body).encode() if method == "PUT" else None)
        equal(status, 401, f"HTTP status of an unsigned {method} {path} ({text[:200]})")
    for path in ("/healthz", "/readyz"):
        equal(t.api.request("GET", base + path)[0], 200, f"HTTP status of {path}")
    equal(t.out(box, sh("ls")), "", "what the unsigned request left")


@case(shared=True)
def steps_cannot_stop_or_rewrite_the_machinery(t):
    box = t.box()
    s = t.run(box, sh("kill -9 1; kill -9 -1 2>/dev/null; echo survived"))
    expect(s["state"] in ("Succeeded", "Failed"), "state")
    t.alive(box)
    out = t.run(box, sh("rm -f /.arl/runner 2>/dev/null && echo removed; ls /.arl; "
                        "touch /.arl/x 2>/dev/null && echo wrote; cat /proc/1/environ >/dev/null 2>&1 && echo read; ls /var/lib/arl 2>/dev/null; echo end"))
    equal(out["stdout"], "alone\nrunner\nend\n", "what it could do: the runner is in, so there is neither its secret nor a socket")
    t.alive(box)


@case(shared=True)
def steps_see_no_key_and_no_service_account_they_were_not_given(t):
    out = t.out(t.box(), sh("env | grep -i -E 'key|secret|token' || true"), command("true"))
    equal(out, "", "variables that sound like secrets")


@case(shared=True)
def a_pod_serves_its_own_sandbox_only(t):
    one, two = t.box(), t.box()
    pods = [t.pod_of(b) for b in (one, two)]
    owners = [[(o["kind"], o["name"]) for o in p["metadata"]["ownerReferences"]] for p in pods]
    equal(owners, [[("Sandbox", one)], [("Sandbox", two)]], "the owners of the pods")
    expect(pods[0]["metadata"]["uid"] != pods[1]["metadata"]["uid"], "one pod for two sandboxes")


@case(shared=True)
def the_operator_says_how_it_is(t):
    if t.env.operator.argv:
        return      # an operator beside the cluster listens where its command line says
    pod = wait("an operator to lead", t.env.operator.leader, 30)
    base = f"/api/v1/namespaces/arl-system/pods/{pod['metadata']['name']}:8080/proxy"
    for path in ("/healthz", "/readyz"):
        equal(t.api.request("GET", base + path)[0], 200, f"HTTP status of {path}")
    t.alive(t.box())
    status, text = t.api.request("GET", base + "/metrics")
    equal(status, 200, "HTTP status of /metrics")
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}
    expect(names and all(n.startswith(("arl_", "process_", "go_")) for n in names), f"names of metrics: {sorted(names)[:20]}")
    status, text = t.api.request("GET", base + "/debug/state")
    equal((status, "loopback" in text), (403, True), "/debug/state, asked from outside of the pod")
    context = pod["spec"]["containers"][0]["securityContext"]
    equal((context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"], context["capabilities"]["drop"]), (True, False, ["ALL"]),
          "how the operator is confined")


@case(shared=True)
def sidecar_is_confined(t):
    pod = t.pod_of(t.box())["spec"]
    for c in [c for c in pod["containers"] + pod["initContainers"] if c["name"] in ("sidecar", "arl-init")]:
        s = c["securityContext"]
        equal((s["runAsNonRoot"], s["readOnlyRootFilesystem"], s["allowPrivilegeEscalation"], s["capabilities"]["drop"]),
              (True, True, False, ["ALL"]), f"how {c['name']} is confined")
    user = [c for c in pod["containers"] if c["name"] == "executor"][0]
    mounts = {m["name"]: m for m in user["volumeMounts"]}
    expect(mounts["arl"]["readOnly"] and "arl-journal" not in mounts, f"the user's mounts: {mounts}")


@case(shared=True)
def network_policy_selects_the_pods_and_admits_the_operator(t):
    """Applies deploy/networkpolicy.yaml and compares what it selects: nothing in the cluster of the tests enforces network policies."""
    done = t.env.run_kubectl("apply", "-n", t.ns, "-f", os.path.join(ROOT, "deploy", "networkpolicy.yaml"))
    equal(done.returncode, 0, f"kubectl apply: {done.stderr}")
    policy = t.api.get(f"/apis/networking.k8s.io/v1/namespaces/{t.ns}/networkpolicies/arl-sandboxes")["spec"]
    equal((policy["policyTypes"], len(policy["ingress"])), (["Ingress"], 1), "types and rules")
    rule = policy["ingress"][0]
    peer = rule["from"][0]

    def admits(namespace, labels):
        of_namespace = t.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["labels"]
        return peer["namespaceSelector"]["matchLabels"].items() <= of_namespace.items() and peer["podSelector"]["matchLabels"].items() <= labels.items()
    pod = t.pod_of(t.box())
    wanted = policy["podSelector"]["matchExpressions"]
    expect(wanted and all(e["operator"] == "Exists" and e["key"] in pod["metadata"]["labels"] for e in wanted), f"{wanted} select {pod['metadata']['labels']}")
    operator = t.api.get("/apis/apps/v1/namespaces/arl-system/deployments/arl-operator")["spec"]["template"]["metadata"]["labels"]
    equal((admits("arl-system", operator), admits(t.ns, pod["metadata"]["labels"]), admits(t.ns, operator)), (True, False, False),
          "whether the operator, a sandbox, and one that only looks like the operator are let in")
    served = [p["containerPort"] for c in pod["spec"]["containers"] if c["name"] == "sidecar" for p in c["ports"] if p["name"] == "arl-agent"]
    equal([p["port"] for p in rule["ports"]], served, "the port")


def role_of_the_docs():
    """The least Role that a client needs, from docs/clients.md."""
    with open(os.path.join(ROOT, "docs", "clients.md"), encoding="utf-8") as f:
        block = re.search(r"```yaml\n(apiVersion: rbac[^`]*)```", f.read())
    expect(block, "docs/clients.md has no Role")
    return block[1]


def allowed(t, user, verb, resource, namespace=None, group="arl.infra.io"):
    """Whether the API server allows the user this verb. resource is NAME or NAME/SUBRESOURCE."""
    name, _, sub = resource.partition("/")
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": {
        "namespace": namespace or t.ns, "verb": verb, "group": group, "resource": name, "subresource": sub}}}
    return t.api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


def kubeconfig_of(t, account):
    """The path of a kubeconfig that signs in as the ServiceAccount, and in no other way."""
    config = json.loads(t.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"] = [{"name": "client", "user": {"token": t.kubectl("create", "token", account).strip()}}]
    config["contexts"][0]["context"].update(user="client", namespace=t.ns)
    path = os.path.join(t.env.work, f"{t.ns}-{account}.kubeconfig")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        json.dump(config, f)
    return path


@case()
def the_least_role_of_a_client_is_enough(t):
    t.pool()
    t.kubectl("create", "serviceaccount", "client")
    t.kubectl("apply", "-f", "-", body=role_of_the_docs())
    t.kubectl("create", "rolebinding", "client", "--role=arl-client", f"--serviceaccount={t.ns}:client")
    config = kubeconfig_of(t, "client")

    def client(*argv, fails=False, body=None):
        return t.kubectl(f"--kubeconfig={config}", *argv, fails=fails, body=body, limit=200)
    api = "arl.infra.io/v1alpha1"
    client("create", "-f", "-", body={"apiVersion": api, "kind": "Sandbox", "metadata": {"name": "s"}, "spec": {"poolRef": "pool"}})
    client("wait", "--for=condition=Ready", "sandbox/s", "--timeout=180s")
    client("create", "-f", "-", body={"apiVersion": api, "kind": "Task", "metadata": {"name": "t"}, "spec": {"sandboxRef": "s", "steps": [sh("echo hi")]}})
    client("wait", "--for=condition=Finished", "task/t", "--timeout=180s")
    equal(client("get", "task", "t", "-o", "jsonpath={.status.stdout}"), "hi\n", "what the task printed")
    pod = client("get", "sandbox", "s", "-o", "jsonpath={.status.podName}")
    equal(t.pod_of("s")["metadata"]["name"], pod, "the pod")
    client("patch", "sandbox", "s", "--type=merge", "-p", '{"metadata":{"annotations":{"arl.infra.io/used-at":"2026-01-31T12:00:00Z"}}}')
    contains(client("patch", "task", "t", "--subresource=status", "--type=merge", "-p", '{"status":{"state":"Failed"}}', fails=True), "forbidden")
    contains(client("create", "-f", "-", fails=True, body={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "x"}]}}), "forbidden")
    client("delete", "task/t", "sandbox/s")
    user = f"system:serviceaccount:{t.ns}:client"
    for verb, resource, group in (("get", "pods/exec", ""), ("create", "pods/exec", "")):
        expect(allowed(t, user, verb, resource, group=group), f"may not {verb} {resource}")
    for verb, resource, group in (("patch", "sandboxes/status", "arl.infra.io"), ("update", "tasks/status", "arl.infra.io"), ("create", "warmpools", "arl.infra.io"),
                                  ("patch", "pods", ""), ("create", "pods", ""), ("list", "secrets", ""), ("create", "pods/ephemeralcontainers", "")):
        expect(not allowed(t, user, verb, resource, group=group), f"may {verb} {resource}")
    expect(not allowed(t, user, "create", "tasks", namespace="default"), "may create tasks in another namespace")


@case()
def roles_of_people_have_the_kinds_and_no_status(t):
    want = {"view": {"get": True, "create": False, "patch": False, "delete": False}, "edit": dict.fromkeys(("get", "create", "patch", "delete"), True),
            "admin": dict.fromkeys(("get", "create", "patch", "delete"), True)}
    for role in want:
        t.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={t.ns}-{role}")
    user = {role: f"{t.ns}-{role}" for role in want}
    wait("the roles to have them", lambda: all(allowed(t, u, "watch", "sandboxes") for u in user.values()), 30)
    for kind in ("warmpools", "sandboxes", "tasks"):
        for role, verbs in want.items():
            equal({v: allowed(t, user[role], v, kind) for v in verbs}, verbs, f"what {role} may do with {kind}")
            equal([v for v in ("update", "patch") if allowed(t, user[role], v, f"{kind}/status")], [], f"what {role} may do with the status of {kind}")
