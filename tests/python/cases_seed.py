"""seed-text.md, the text by which users know the system: its blocks run in order, as they stand there."""
import os
import re

import tools
from harness import IMAGES, case, equal, expect

TEXT = os.path.join(os.path.dirname(__file__), "seed-text.md")
NAMESPACE = "default"   # the text names it
POOL = "python-39-std"

RUN_BLOCK = """
import sys
exec(compile(sys.stdin.read(), "block", "exec"))
"""

RUN_STEP = """
import ast, sys
from arl import SandboxSession
step = ast.literal_eval(sys.stdin.read())
with SandboxSession(pool_ref="python-39-std", namespace="default") as session:
    # The image of the tests has python3 only.
    link = "command -v python || ln -s $(command -v python3) /usr/local/bin/python"
    before = [{"name": "python", "type": "Command", "command": ["sh", "-c", link]}, {"name": "script", "type": "FilePatch", "path": "/workspace/script.py", "content": "import os; print(os.environ['DEBUG'])"}]
    after = [{"name": "show", "type": "Command", "command": ["cat", "/workspace/config.yaml"]}]
    steps = before + [step] if step["type"] == "Command" else [step] + after
    status = session.execute(steps)["status"]
print(status["state"], status["steps"][-1]["stdout"] or status["stderr"])
"""


def blocks():
    with open(TEXT, encoding="utf-8") as f:
        text = f.read()
    found = re.findall(r"```python\n(.*?)```", text, re.S)
    equal(len(found), 6, "Python blocks of the seed text")
    for ours, theirs in ((IMAGES["python"], "python:3.9-slim"),):
        found = [b.replace(theirs, ours) for b in found]
    return found


def drop(t, name):
    """Deletes the pool of an earlier block, and waits until its pods are gone."""
    t.env.run_kubectl("-n", NAMESPACE, "delete", "wp", name, "--ignore-not-found", "--wait", "--cascade=foreground", "--timeout=120s")


def run(t, how, text):
    return tools.program(t, how, input=text).stdout


@case(alone=True)
def every_block_runs_as_it_stands(t):
    make, basic, manual, pools, command, patch = blocks()
    drop(t, POOL)
    try:
        equal(run(t, RUN_BLOCK, make), "✓ WarmPool ready!\n", "the first block prints")
        equal(run(t, RUN_BLOCK, basic), "Task State: Succeeded\nOutput: Hello, World!\n\n", "basic usage prints")
        equal(run(t, RUN_BLOCK, manual), "✓ Sandbox allocated\n✓ Sandbox cleaned up\n", "manual lifecycle prints")
        equal(run(t, RUN_STEP, command), "Succeeded 1\n\n", "the command step")
        equal(run(t, RUN_STEP, patch), "Succeeded key: value\n", "the file step")
        drop(t, POOL)
        out = run(t, RUN_BLOCK, pools)
        expect(f"Pool: {POOL}, Status: Ready\n" in out, f"the pools block printed {out!r}")
        equal(t.env.run_kubectl("-n", NAMESPACE, "get", "wp", POOL, "--ignore-not-found").stdout, "", "the pool after its deletion")
    finally:
        drop(t, POOL)
