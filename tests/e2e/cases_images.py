"""Steps run in the user's own image, as its container runs."""
from harness import IMAGES, case, command, contains, equal, patch, pool_object, sh


def only(image, **more):
    return {"containers": [{"name": "executor", "image": IMAGES[image], **more}]}


@case()
def busybox_as_root(t):
    t.pool(image="busybox")
    box = t.box()
    equal(t.out(box, sh("id -u; echo $IMAGE_ENV; echo $HOME")), "0\nbusybox\n/root\n", "user and environment")
    equal(t.out(box, sh("ps | awk '{print $1}' | grep -c '^1$'")), "1\n", "a process tree of the container's own")


@case()
def scratch_with_one_static_binary(t):
    t.pool(image="scratch")
    box = t.box()
    equal(t.out(box, command("/tool", "echo", "no", "shell")), "no shell\n", "echo")
    equal(t.out(box, command("/tool", "id")), "0 0\n", "id")
    equal(t.out(box, patch("/workspace/a/f", "text\n"), command("/tool", "cat", "a/f")), "File created: /workspace/a/f\ntext\n", "a file")
    equal(t.out(box, command("/tool", "env", "A", "B", env={"A": "1"})), "A=1\nB=\n", "env")
    equal(t.run(box, command("/tool", "exit", "42"))["exitCode"], 42, "exit code")
    s = t.run(box, command("sh", "-c", "true"))
    equal((s["state"], s["exitCode"]), ("Failed", 127), "a shell that is not there")
    contains(s["stderr"], "sh", "not found", what="stderr")
    s = t.run(box, command("/tool", "wait"), timeout="1s")
    equal((s["state"], s["exitCode"]), ("Failed", 124), "a step that takes too long")
    equal(t.out(box, command("/tool", "echo", "alive")), "alive\n", "after it")


@case()
def python_script_written_and_run(t):
    t.pool(image="python")
    box = t.box()
    script = "import sys, os\nprint('args', sys.argv[1:], os.environ['MODE'])\nsys.stderr.write('warn\\n')\nsys.exit(5)\n"
    s = t.run(box, patch("/workspace/s.py", script), command("python3", "/workspace/s.py", "a b", env={"MODE": "fast"}))
    equal((s["state"], s["exitCode"], s["stdout"], s["stderr"]),
          ("Failed", 5, "File created: /workspace/s.py\nargs ['a b'] fast\n", "warn\n"), "state, exit code, outputs")
    equal(t.out(box, command("python3", "-c", "print(sum(range(101)))")), "5050\n", "a one-liner")
    many = "import subprocess\nps=[subprocess.Popen(['sleep','0.2']) for _ in range(50)]\nprint(sum(p.wait() for p in ps), len(ps))"
    equal(t.out(box, command("python3", "-c", many)), "0 50\n", "a step's own children are reaped by the step")


@case()
def nonroot_user(t):
    t.pool(image="nonroot")
    box = t.box()
    equal(t.out(box, sh("id -u; id -g; echo $HOME")), "1000\n1000\n/home\n", "user, group, HOME")
    out = t.out(box, patch("/workspace/x/f", "mine"), sh("stat -c '%u %g %a' /workspace/x/f; cat x/f; echo >> x/f && echo writable"))
    equal(out, "File created: /workspace/x/f\n1000 1000 644\nminewritable\n", "a file of its own")
    s = t.run(box, patch("/root-only", "x"))
    equal((s["state"], s["exitCode"]), ("Failed", 1), "a file where it may not write")
    contains(s["stderr"], "/root-only", "ermission denied", what="stderr")
    s = t.run(box, sh("sleep 600 & sleep 601"), timeout="1s")
    equal(s["exitCode"], 124, "a time limit")
    equal(t.out(box, sh("ps | grep -c '[s]leep 60' || true")), "0\n", "processes left of it")


@case()
def read_only_root_filesystem(t):
    t.pool("ro", spec=only("busybox", securityContext={"readOnlyRootFilesystem": True}), ready=False)
    t.pool("ro-nonroot", spec=only("nonroot", securityContext={
        "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}), ready=False)
    for pool in ("ro", "ro-nonroot"):
        t.pool_ready(pool)
        box = t.box(pool)
        equal(t.out(box, patch("/workspace/f", "w"), sh("cat f; touch /etc/x 2>/dev/null || echo read-only")),
              "File created: /workspace/f\nwread-only\n", f"the workspace of {pool}")
        s = t.run(box, patch("/etc/f", "x"))
        equal((s["state"], s["exitCode"]), ("Failed", 1), "a file below the read-only root")
        contains(s["stderr"], "/etc/f", "ead-only file system", what="stderr")


@case()
def user_given_by_the_pod_template(t):
    t.pool(spec={"securityContext": {"runAsUser": 4242, "runAsGroup": 4243, "fsGroup": 4244}, **only("busybox")})
    box = t.box()
    equal(t.out(box, sh("id -u; id -g; id -G")), "4242\n4243\n4243 4244\n", "user and groups")
    equal(t.out(box, patch("f", "x"), sh("stat -c %u f")), "File created: f\n4242\n", "a file's owner")


@case()
def memory_limit_kills_the_step_not_the_sandbox(t):
    t.create(pool_object("pool", spec=only("python", resources={"limits": {"memory": "64Mi"}})))
    t.pool_ready("pool")
    box = t.box()
    s = t.run(box, command("python3", "-c", "x = bytearray(400 << 20); print(len(x))"))
    equal((s["state"], s["exitCode"]), ("Failed", 137), "state and exit code")
    contains(s["stderr"], "9", "KILL", what="stderr")
    equal(t.out(box, command("python3", "-c", "print('alive')")), "alive\n", "after it")
