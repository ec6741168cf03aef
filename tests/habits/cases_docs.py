"""Runs the commands on pages of docs/ as they stand there, with the files that the pages show. On the real cluster."""
import os
import re
import stat
import subprocess
import sys

import yaml
from harness import ROOT, case, condition, contains, equal, expect, wait

sys.path.append(os.path.join(ROOT, "tests", "python"))
import recipes  # noqa: E402
import tools  # noqa: E402

# Commands that follow something are ended after a while; what they have printed is kept.
PRELUDE = """set -euo pipefail
kubectl() {
    if [ "$1 $2" = "logs -f" ]; then timeout 5 kubectl "$@" || [ $? = 124 ]; else command kubectl "$@"; fi
}
"""


def page(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def readme_objects():
    text = next(b for b in re.findall(r"```yaml\n(.*?)```", page("README.md"), re.S) if "kind: WarmPool" in b)
    return text.replace('"busybox:1.36"', "localhost/arl-test/busybox:1")


class Page:
    """The blocks of a page by their headings. run(heading) runs a block and returns what it prints."""

    def __init__(self, t, name):
        self.blocks, self.folder = {}, os.path.join(t.env.work, f"{t.ns}-page")
        os.mkdir(self.folder)
        self.env = tools.kubeconfig(t, self.folder)
        for part in re.split(r"^#+ ", page("docs", name), flags=re.M)[1:]:
            heading, _, body = part.partition("\n")
            for kind, file, text in recipes.BLOCK.findall(body):
                if file:
                    recipes.write(self.folder, file, text)
                elif kind == "sh":
                    self.blocks.setdefault(heading, []).append(text)

    def run(self, heading, number=0):
        r = subprocess.run(["bash", "-c", PRELUDE + self.blocks[heading][number]], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=240, check=False)
        expect(r.returncode == 0, f"{heading}: exit {r.returncode}\n{self.blocks[heading][number]}{r.stdout}{r.stderr}")
        return r.stdout

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            return f.read()


@case(slow=True)
def everyday_commands_do_what_the_page_says(t):
    t.kubectl("apply", "-f", "-", body=readme_objects())
    t.kubectl("wait", "--for=condition=Finished", "tsk/greeting", "--timeout=200s", limit=240)
    p = Page(t, "commands.md")
    equal({h: len(b) for h, b in p.blocks.items()}, {"Everyday commands": 1, "Look": 3, "Go in": 1, "Files": 1, "Stop": 2, "Roll a template": 1}, "the blocks")
    p.run("Everyday commands")
    contains(p.run("Look", 0), "MESSAGE", " IP ", "REASON", "Ready", "sandbox.arl.infra.io/yours", what="get -o wide")
    said = "I am sandbox\nI am step\n"
    wait("both lines to be told", lambda: p.run("Look", 1) == said, 30)
    contains(p.run("Look", 2), "[long/who] I am sandbox\n", "[long/long] I am step\n", what="the log")
    p.run("Go in")
    p.run("Files")
    equal(p.read("fetched.yaml"), p.read("long.yaml"), "what was fetched")
    equal(t.out("mine", {"type": "Command", "command": ["ls"]}), "hello.sh\nlong.yaml\n", "the workspace")
    p.run("Stop", 0)
    s = t.finished("long")
    equal((s["state"], s["exitCode"], s["stdout"], condition(t.get("Task", "long"), "Finished")["reason"]), ("Failed", 137, said, "Canceled"), "the end of the task")
    p.run("Stop", 1)
    equal((t.find("Task", "long"), t.find("Sandbox", "yours")), (None, None), "what was deleted")
    idle = {pod["metadata"]["uid"] for pod in t.pods(status="idle")}
    used = t.pod_of("mine")["metadata"]["uid"]
    p.run("Roll a template")
    wait("other idle pods", lambda: not idle & {pod["metadata"]["uid"] for pod in t.pods(status="idle")}, 100)
    equal(t.pod_of("mine")["metadata"]["uid"], used, "the pod in use")


STUB = """#!/bin/bash
set -eu
[ "$1" != k3s ] || shift                                  # behind sudo
case "${0##*/} $*" in
"kind load image-archive "*.tar | "minikube image load "*.tar | "sudo ctr images import "*.tar) echo "${!#}" >>"$LOADED" ;;
"sudo kubectl "*) shift; exec kubectl "$@" ;;
"kubectl apply -k deploy/") exec "$REAL" apply -k deploy/ --dry-run=server ;;
"kubectl -n arl-system rollout status deployment/arl-operator") exec "$REAL" "$@" ;;
*) echo "not known: ${0##*/} $*" >&2; exit 1 ;;
esac
"""


@case()
def pages_of_other_clusters_name_what_is_there(t):
    """Scripts stand in for kind, minikube and k3s. Nothing is changed: the API server only says whether it would take the manifests."""
    work = os.path.join(t.env.work, f"{t.ns}-others")
    os.mkdir(work)
    for name in ("kind", "minikube", "sudo", "kubectl"):
        path = os.path.join(work, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(STUB)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    loaded = os.path.join(work, "loaded")
    blocks = [text for kind, _, text in recipes.BLOCK.findall(page("docs", "other-clusters.md")) if kind == "sh"]
    equal(blocks[0], "deploy/images/build -o out\n", "the first block")
    real = subprocess.run(["bash", "-c", "command -v kubectl"], capture_output=True, text=True, check=True).stdout.strip()
    env = {**os.environ, "PATH": f"{work}:{os.environ['PATH']}", "LOADED": loaded, "REAL": real}
    for text in blocks[1:]:
        equal(len(text.splitlines()), 4, f"lines of {text}")
        r = subprocess.run(["bash", "-euc", text], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
        expect(r.returncode == 0, f"exit {r.returncode}: {text}{r.stdout}{r.stderr}")
        contains(r.stdout, "deployment.apps/arl-operator", "(server dry run)", "successfully rolled out", what="what it prints")
    with open(loaded, encoding="utf-8") as f:
        equal(f.read(), "out/arl-operator.tar\nout/arl-sidecar.tar\n" * 3, "the archives")
    images = yaml.safe_load(page("deploy", "kustomization.yaml"))["images"]
    named = {f"{i['newName']}:{i['newTag']}" for i in images}
    script = page("deploy", "images", "build")
    prefix, tag = re.search(r"prefix=(\S+) tag=(\S+)", script).groups()
    equal(named, {f"{prefix}/{i['name']}:{tag}" for i in images}, "the images, as deploy/images/build names them")
