"""Runs the commands of CONTRIBUTING.md that need no cluster, as they stand there. tests/quickstart runs the others."""
import os
import re
import subprocess
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("ARL_BUILD_SAN", os.path.join(ROOT, "build-gcc-san"))
CASES = []
# ninja only lists what it would build: the programs are built already, and other suites run them at this moment.
PRELUDE = """set -euo pipefail
ninja() { command ninja -n "$@" >/dev/null; }
"""


def case(f):
    CASES.append(f)
    return f


def blocks():
    with open(os.path.join(ROOT, "CONTRIBUTING.md"), encoding="utf-8") as f:
        parts = re.split(r"^## ", f.read(), flags=re.M)[1:]
    return {part.partition("\n")[0]: b for part in parts for b in re.findall(r"```sh\n(.*?)```", part, re.S)}


def run(folder, text):
    r = subprocess.run(["bash", "-c", PRELUDE + text], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       encoding="utf-8", errors="replace", timeout=240, check=False)
    if r.returncode != 0:
        raise AssertionError(f"exit {r.returncode}\n{text}{r.stdout[-3000:]}")
    return r.stdout


@case
def contributing_says_how_to_build_and_run_one_test():
    texts = blocks()
    if list(texts) != ["Build", "One test", "One case on a cluster"]:
        raise AssertionError(f"CONTRIBUTING.md has commands under {list(texts)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(ROOT):
            if not name.startswith((".", "build")):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
        run(folder, texts["Build"])
        os.rename(os.path.join(folder, "build"), os.path.join(folder, "configured"))
        os.symlink(os.path.realpath(BUILD), os.path.join(folder, "build"))
        out = run(folder, texts["One test"])
    for text in ("[  PASSED  ]", "1 seeds from 4711: 0 failed", "op0 call 1 "):
        if text not in out:
            raise AssertionError(f"{text!r} is not in what is printed:\n{out[-3000:]}")
