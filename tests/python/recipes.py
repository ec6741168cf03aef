"""Runs a page of docs/recipes: writes its files, runs its commands, and compares what they print.

A block whose head names a file is that file. A block `sh` is run; `pip` in it is uv, which finds our wheels. A block `console` has
commands behind "$ ", and what they print; a line "..." there stands for any lines. Only the name of the image is replaced.
"""
import os
import re
import stat
import tempfile

import tools
from harness import IMAGES, equal, expect

HEADINGS = ["Install", "Prepare", "Use", "Configure", "Good to know"]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
PRELUDE = 'set -euo pipefail\npip() { uv pip "$@"; }\n'


def matches(text, pattern):
    lines = ["(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in pattern.splitlines()]
    return re.fullmatch("".join(lines), text) is not None


def commands(block):
    """Yields (command, what it prints) of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def write(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    if name.endswith(".sh"):
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def run(t, name, python):
    """Runs a page with the programs of this venv. Returns the files that the folder has at the end."""
    with open(os.path.join(tools.ROOT, "docs", "recipes", f"{name}.md"), encoding="utf-8") as f:
        page = f.read()
    equal(re.findall(r"^## (.*)$", page, re.M), HEADINGS, f"the headings of docs/recipes/{name}.md")
    blocks = BLOCK.findall(page.replace("python:3.12", IMAGES["python"]))
    expect(any(kind == "sh" and not file for kind, file, _ in blocks), f"{name}.md has no command")
    with tempfile.TemporaryDirectory() as work:
        uv = os.path.dirname(tools.tools(t.env.cache))
        env = tools.kubeconfig(t, work)
        bin_ = os.path.dirname(python)
        env |= {"PATH": f"{bin_}:{env['PATH']}:{uv}", "VIRTUAL_ENV": os.path.dirname(bin_), "UV_FIND_LINKS": tools.DIST,
                "UV_CACHE_DIR": os.path.join(t.env.cache, "uv"), "HOME": work}
        for kind, file, text in blocks:
            if file:
                write(work, file, text)
            elif kind == "sh":
                tools.call("bash", "-c", PRELUDE + text, cwd=work, env=env, limit=420)
            elif kind == "console":
                for command, output in commands(text):
                    printed = tools.call("bash", "-c", PRELUDE + command, cwd=work, env=env, limit=420).stdout
                    expect(matches(printed, output), f"{command}: the page shows {output!r}, it prints {printed!r}")
