"""Who may do what: the sidecar serves the operator alone, and steps cannot reach the machinery."""
import json
import os

AGENT_PORT = 27182      # common/task_proto.h

from harness import ROOT, case, command, equal, expect, path_of, sh, wait


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
        return      # beside the cluster it listens where its command line says
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
    """As deploy/networkpolicy.yaml is applied. The cluster of the tests has nothing that enforces it: so what it selects is what counts."""
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
