"""Tests of the ValidatingAdmissionPolicy of the manifests: requests by a tenant who may do anything with pods, and by others."""
import copy
import json
import os

GROUP = "arl.infra.io"
NAME = "arl-pods.arl-system"
OPERATOR = "system:serviceaccount:arl-system:arl-operator"
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
MANIFESTS = ("release/rbac.yaml", "everywhere/rbac.yaml", "everywhere/policy.yaml")
OWNER = {"apiVersion": f"{GROUP}/v1alpha1", "name": "x", "uid": "6b9b6f0e-0000-4000-8000-000000000001", "controller": True}
SANDBOX = dict(OWNER, kind="Sandbox")
WARMPOOL = dict(OWNER, kind="WarmPool")
FOREIGN = dict(OWNER, kind="Sandbox", apiVersion="agents.x-k8s.io/v1alpha1")
OURS = {"labels": {f"{GROUP}/pool": "p", f"{GROUP}/status": "idle", "team": "a"},
        "annotations": {f"{GROUP}/seal": "s", "note": "n"}, "ownerReferences": [WARMPOOL]}


def pod(name, **metadata):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": dict(copy.deepcopy(metadata), name=name),
            "spec": {"schedulerName": "none", "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}}


# (what, metadata of a pod to create, a text of the refusal; "": it passes)
CREATES = [
    ("a pod without anything of ours", {"labels": {"app": "x"}, "annotations": {"a": "b"}}, ""),
    ("a pod that another project's Sandbox owns", {"ownerReferences": [FOREIGN]}, ""),
    ("a label of ours", {"labels": {f"{GROUP}/pool": "p"}}, "labels below arl.infra.io/"),
    ("an annotation of ours", {"annotations": {f"{GROUP}/seal": "x"}}, "annotations below arl.infra.io/"),
    ("any label below our prefix", {"labels": {f"{GROUP}/own": "p"}}, "labels below arl.infra.io/"),
    ("an owner of kind Sandbox", {"ownerReferences": [SANDBOX]}, "becomes the owner"),
    ("an owner of kind WarmPool", {"ownerReferences": [dict(FOREIGN, controller=False), WARMPOOL]}, "becomes the owner"),
    ("an owner of kind Sandbox of another version", {"ownerReferences": [dict(SANDBOX, apiVersion=f"{GROUP}/v2")]}, "becomes the owner"),
    ("a copy of a pod of ours", OURS, "arl.infra.io/"),
]

# (what, merge patch of the metadata of arl's pod, a text of the refusal; "": it passes)
PATCHES = [
    ("another label", {"labels": {"team": "b"}}, ""),
    ("another annotation", {"annotations": {"note": None}}, ""),
    ("no owner any more, as the garbage collector makes orphans", {"ownerReferences": None}, ""),
    ("a label of ours, changed", {"labels": {f"{GROUP}/status": "allocated"}}, "labels below arl.infra.io/"),
    ("a label of ours, added", {"labels": {f"{GROUP}/sandbox": "s"}}, "labels below arl.infra.io/"),
    ("a label of ours, removed", {"labels": {f"{GROUP}/pool": None}}, "labels below arl.infra.io/"),
    ("an annotation of ours, changed", {"annotations": {f"{GROUP}/seal": "t"}}, "annotations below arl.infra.io/"),
    ("an annotation of ours, removed", {"annotations": {f"{GROUP}/seal": None}}, "annotations below arl.infra.io/"),
    ("a Sandbox as owner", {"ownerReferences": [SANDBOX]}, "becomes the owner"),
    ("another WarmPool as owner", {"ownerReferences": [dict(WARMPOOL, uid="6b9b6f0e-0000-4000-8000-000000000002")]}, "becomes the owner"),
]

VOLUMES = [{"name": n, "emptyDir": {}} for n in ("arl", "arl-journal", "workspace")]
# (what, an ephemeral container for arl's pod, a text of the refusal; "": it passes)
EPHEMERAL = [
    ("beside the user's container", {"targetContainerName": "c", "volumeMounts": [{"name": "workspace", "mountPath": "/w"}]}, ""),
    ("with no target", {}, ""),
    ("beside the agent", {"targetContainerName": "sidecar"}, "ephemeral container"),
    ("with the journal", {"targetContainerName": "c", "volumeMounts": [{"name": "workspace", "mountPath": "/w"}, {"name": "arl-journal", "mountPath": "/j"}]}, "ephemeral container"),
    ("with the runners' folders", {"volumeMounts": [{"name": "arl", "mountPath": "/j"}]}, "ephemeral container"),
]
# (what, a container whose image is changed, the list that it is in, a text of the refusal; "": it passes)
IMAGES = [
    ("of the user's container", "c", "containers", ""),
    ("of the agent", "sidecar", "containers", "images of the containers"),
    ("of arl-init", "arl-init", "initContainers", "images of the containers"),
]


class Policy:
    """The checks. suite: the module with kubectl(), expect() and eventually(). The namespace must exist."""

    def __init__(self, suite, root, namespace):
        self.s = suite
        self.ns = namespace
        self.tenant = f"system:serviceaccount:{namespace}:tenant"
        self.files = [os.path.join(root, "deploy", "manifests", f) for f in MANIFESTS]
        self.installed_here = False

    def asked(self, who, *args, body=None, refusal=""):
        """Calls kubectl as this user, and checks that the refusal has the text, or, if that is "", that there is none."""
        out, err = self.s.kubectl(f"--as={who}", "-n", self.ns, *args, body=body, fails=bool(refusal))
        self.s.expect(not refusal or ("forbidden" in err and refusal in err), f"as {who}: {err[:400]}")
        return out

    def install(self):
        if not self.s.kubectl("get", "validatingadmissionpolicy", "--ignore-not-found", "-o", "name", NAME)[0]:
            self.installed_here = True
            if not self.s.kubectl("get", "namespace", "--ignore-not-found", "-o", "name", "arl-system")[0]:
                self.s.kubectl("create", "namespace", "arl-system")
            for f in self.files:
                self.s.kubectl("apply", "-f", f)
        self.s.kubectl("-n", self.ns, "create", "serviceaccount", "tenant")
        self.s.kubectl("-n", self.ns, "create", "role", "tenant", "--verb=*",
                       "--resource=pods,pods/status,pods/ephemeralcontainers,pods/binding,warmpools.arl.infra.io,sandboxes.arl.infra.io")
        self.s.kubectl("-n", self.ns, "create", "rolebinding", "tenant", "--role=tenant", f"--serviceaccount={self.ns}:tenant")
        # The pod's owner must exist: the garbage collector deletes pods whose owner does not.
        pool = json.loads(self.s.kubectl("-n", self.ns, "create", "-o", "json", "-f", "-", body=self.s.o.pool("x", replicas=0))[0])
        WARMPOOL["uid"] = pool["metadata"]["uid"]
        ours = pod("ours", **OURS)
        ours["spec"].update(volumes=VOLUMES, initContainers=[{"name": "arl-init", "image": "i"}])
        ours["spec"]["containers"].append({"name": "sidecar", "image": "i"})
        self.s.kubectl("-n", self.ns, "create", "-f", "-", body=ours)
        self.s.eventually(self.create, CREATES[2][1], CREATES[2][2])     # the policy is enforced a moment after it was made

    def remove(self):
        if self.installed_here:
            self.s.kubectl("delete", "--ignore-not-found", *[a for f in reversed(self.files) for a in ("-f", f)])

    def types_check(self):
        def told():
            status = json.loads(self.s.kubectl("get", "validatingadmissionpolicy", NAME, "-o", "json")[0]).get("status", {})
            self.s.expect("observedGeneration" in status, "its types are not checked yet")
            self.s.expect(not status.get("typeChecking", {}).get("expressionWarnings"), str(status))
        self.s.eventually(told)

    def create(self, metadata, refusal, who=None):
        self.asked(who or self.tenant, "create", "--dry-run=server", "-f", "-", body=pod("new", **metadata), refusal=refusal)

    def patch(self, metadata, refusal, *flags, who=None):
        self.asked(who or self.tenant, "patch", "pod", "ours", "--type=merge", "--dry-run=server", *flags,
                   "-p", json.dumps({"metadata": metadata}), refusal=refusal)

    def binding(self):
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "ours", "annotations": {f"{GROUP}/seal": "x"}},
                "target": {"kind": "Node", "name": "nowhere"}}
        self.asked(self.tenant, "create", "--dry-run=server", "--raw", f"/api/v1/namespaces/{self.ns}/pods/ours/binding", "-f", "-",
                   body=body, refusal="annotations below")

    def ephemeral(self, container, refusal, who=None):
        spec = {"ephemeralContainers": [{"name": "d", "image": "i", **container}]}
        self.asked(who or self.tenant, "patch", "pod", "ours", "--subresource=ephemeralcontainers", "--type=strategic", "--dry-run=server",
                   "-p", json.dumps({"spec": spec}), refusal=refusal)

    def image(self, name, containers, refusal, who=None):
        self.asked(who or self.tenant, "patch", "pod", "ours", "--type=strategic", "--dry-run=server",
                   "-p", json.dumps({"spec": {containers: [{"name": name, "image": "other"}]}}), refusal=refusal)

    def status_passes(self):
        """Kubelets and other controllers may write a pod's status, but not labels of arl's with it."""
        self.asked(self.tenant, "patch", "pod", "ours", "--subresource=status", "--type=merge", "--dry-run=server",
                   "-p", json.dumps({"status": {"message": "m"}}))
        self.patch({"labels": {f"{GROUP}/status": "allocated"}}, "labels below arl.infra.io/", "--subresource=status")

    def others_pass(self):
        self.create(OURS, "", who=OPERATOR)
        self.patch({"labels": {f"{GROUP}/status": "allocated"}, "ownerReferences": [SANDBOX]}, "", who=OPERATOR)
        self.patch({"ownerReferences": None}, "", who=COLLECTOR)
        self.image("sidecar", "containers", "", who=OPERATOR)

    def roles_write_no_status(self):
        """Checks that only the operator's role may write the status of arl's kinds."""
        roles = json.loads(self.s.kubectl("get", "clusterroles", "-o", "json")[0])["items"]
        for role in roles:
            writes = [r for r in role.get("rules") or [] if GROUP in r.get("apiGroups", []) and any("/status" in x or x == "*" for x in r["resources"])
                      and set(r["verbs"]) & {"*", "patch", "update", "create"}]
            self.s.expect(not writes or role["metadata"]["name"] == "arl-operator", f"{role['metadata']['name']}: {writes}")

    def checks(self):
        yield "policy: installed and enforced", self.install
        yield "policy: its expressions have no type errors", self.types_check
        for what, metadata, refusal in CREATES:
            yield f"policy: {'refused' if refusal else 'accepted'}: create, {what}", lambda m=metadata, r=refusal: self.create(m, r)
        for what, metadata, refusal in PATCHES:
            yield f"policy: {'refused' if refusal else 'accepted'}: patch, {what}", lambda m=metadata, r=refusal: self.patch(m, r)
        for what, container, refusal in EPHEMERAL:
            yield f"policy: {'refused' if refusal else 'accepted'}: an ephemeral container {what}", lambda c=container, r=refusal: self.ephemeral(c, r)
        for what, name, containers, refusal in IMAGES:
            yield f"policy: {'refused' if refusal else 'accepted'}: another image {what}", lambda n=name, c=containers, r=refusal: self.image(n, c, r)
        yield "policy: refused: a binding that brings an annotation", self.binding
        yield "policy: a status passes, labels with it do not", self.status_passes
        yield "policy: the operator and the garbage collector pass", self.others_pass
        yield "policy: no other role writes a status", self.roles_write_no_status
        yield "policy: removed again where it was not", self.remove
