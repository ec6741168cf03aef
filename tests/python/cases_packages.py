"""The packages themselves: what is generated, style, types, wheels, and a fresh project of uv."""
import concurrent.futures
import os
import statistics
import tarfile
import tempfile
import zipfile

import tools
from harness import IMAGES, case, equal, expect

IMPORT_MS_MAX = 150     # of processor time: it is hardly longer on a busy machine


@case()
def models_are_those_of_the_crds(t):
    python = tools.tools(t.env.cache)
    path = os.path.dirname(python) + ":" + os.environ["PATH"]
    tools.call(python, os.path.join(tools.PYTHON, "generate"), "--check", env={**os.environ, "PATH": path})


@case()
def style(t):
    ruff = os.path.join(os.path.dirname(tools.tools(t.env.cache)), "ruff")
    folder = os.path.join(tools.PYTHON, "arl-wrapper")
    tools.call(ruff, "check", "--no-cache", "src", cwd=folder)
    tools.call(ruff, "format", "--no-cache", "--check", "src", cwd=folder)


@case()
def types(t):
    """Types of our own code, and of a user's program that uses all of it."""
    python = tools.tools(t.env.cache)
    tools.call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-e", os.path.join(tools.PYTHON, "arl-client"),
               "-e", os.path.join(tools.PYTHON, "arl-wrapper"))
    folder = os.path.join(tools.PYTHON, "arl-wrapper")
    cache = os.path.join(t.env.cache, "mypy")    # the official client alone takes minutes
    tools.call(python, "-m", "mypy", "--cache-dir", cache, "src", cwd=folder)
    tools.call(python, "-m", "mypy", "--strict", "--cache-dir", cache, os.path.join(os.path.dirname(__file__), "typed_user.py"))


def run_units(python):
    return tools.call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", os.path.join(os.path.dirname(__file__), "unit"), cwd=tools.ROOT, limit=900,
                      env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


@case()
def units(t):
    run_units(tools.installed(t.env.cache))


@case()
def units_with_other_pythons(t):
    """Runs the unit tests with each of Python 3.10 to 3.13 that is installed."""
    pythons = tools.others(t.env.cache)
    with concurrent.futures.ThreadPoolExecutor() as e:
        list(e.map(run_units, pythons))
    print(f"# also with {', '.join(tools.version_of(p) for p in pythons) or 'no other Python'}", flush=True)


@case()
def wheels_and_sdists(t):
    tools.installed(t.env.cache)
    names = os.listdir(tools.DIST)
    equal(sorted(n.split("-")[0] for n in names), ["arl_client", "arl_client", "arl_wrapper", "arl_wrapper"], "what is built")
    for name in names:
        path = os.path.join(tools.DIST, name)
        files = zipfile.ZipFile(path).namelist() if name.endswith(".whl") else tarfile.open(path).getnames()
        expect(any(f.endswith("py.typed") for f in files), f"{name} has no py.typed")


@case()
def import_is_quick(t):
    """Limits the time that the package's own modules take, as the interpreter counts it: most of an import is that of kubernetes."""
    python = tools.installed(t.env.cache)
    text = tools.call(python, "-X", "importtime", "-c", "import kubernetes, arl").stderr
    loaded = [line.rsplit("|", 1)[1].strip() for line in text.splitlines() if "|" in line]
    for heavy in ("arl_client", "kubernetes.stream", "websocket"):
        after = loaded[loaded.index("kubernetes") + 1:]
        expect(heavy not in after, f"import arl loads {heavy}, which is not needed by everybody")
    clock = "import time; a = time.process_time(); import kubernetes; b = time.process_time(); import arl; print(b - a, time.process_time() - b)"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    tools.call(python, "-c", clock, env=env)    # the first run compiles the modules
    times = [[float(x) for x in tools.call(python, "-c", clock, env=env).stdout.split()] for _ in range(20 if os.environ.get("ARL_LONG") == "1" else 5)]
    theirs, ours = (1000 * statistics.median(column) for column in zip(*times))
    expect(ours <= IMPORT_MS_MAX, f"import arl takes {ours:.0f} ms of processor time more than import kubernetes alone")
    print(f"# import kubernetes takes {theirs:.0f} ms of processor time, import arl {ours:.0f} ms more (median of {len(times)})", flush=True)


@case()
def readme_in_an_empty_uv_project(t):
    """`uv add arl-wrapper`, then the first Python block of the package's README; its output is compared."""
    tools.installed(t.env.cache)
    uv = os.path.join(os.path.dirname(tools.tools(t.env.cache)), "uv")
    with open(os.path.join(tools.PYTHON, "arl-wrapper", "README.md"), encoding="utf-8") as f:
        block = f.read().split("```python\n")[1].split("```")[0]
    expect(len(block.strip().splitlines()) <= 5, "the first block of the README has more than five lines")
    with open(os.path.join(tools.ROOT, "README.md"), encoding="utf-8") as f:
        first = f.read().split("```python\n")[1].split("```")[0]
    equal(first.replace('"first", namespace="default"', '"my-pool"'), block, "the block of the project's README, but for the pool")
    t.pool(name="my-pool", spec={"containers": [{"name": "executor", "image": IMAGES["busybox"]}]})
    with tempfile.TemporaryDirectory() as work:
        env = {**os.environ, "UV_CACHE_DIR": os.path.join(t.env.cache, "uv"), "KUBECONFIG": os.path.join(work, "kubeconfig")}
        with open(env["KUBECONFIG"], "w", encoding="utf-8") as f:
            f.write(t.env.run_kubectl("config", "view", "--raw", "--flatten").stdout)
        tools.call("kubectl", "config", "set-context", "--current", f"--namespace={t.ns}", env=env)
        project = os.path.join(work, "project")
        tools.call(uv, "init", "--quiet", "--no-workspace", "--vcs", "none", project, env=env)
        tools.call(uv, "add", "--quiet", "--find-links", tools.DIST, "arl-wrapper", cwd=project, env=env)
        with open(os.path.join(project, "main.py"), "w", encoding="utf-8") as f:
            f.write(block)
        out = tools.call(uv, "run", "--quiet", "main.py", cwd=project, env=env).stdout
    expect(out.startswith("hello from my-pool-") and out.count("\n") == 2, f"the README's block printed {out!r}")
