"""The packages as users get them: built once a run, and installed from their wheels into a venv of the cache."""
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import threading

from harness import expect

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PYTHON = os.path.join(ROOT, "clients", "python")
DIST = os.path.join(PYTHON, "dist")
TOOLS = ["build", "hatchling", "uv", "mypy==2.4.1", "kubernetes==37.0.2", "-r", os.path.join(PYTHON, "requirements-generate.txt")]

_lock = threading.Lock()


def call(*argv, limit=600, fails=False, **more):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=limit, **more)
    if not fails:
        expect(r.returncode == 0, f"{' '.join(argv)}: exit {r.returncode}\n{r.stdout[-3000:]}{r.stderr[-3000:]}")
    return r


def _venv(cache, name, install):
    """The python of a venv in the cache. The venv's name has a digest of the packages to install."""
    key = hashlib.sha256("\n".join(install).encode()).hexdigest()[:12]
    folder = os.path.join(cache, "venv", f"{name}-{key}-py{sys.version_info.major}.{sys.version_info.minor}")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(os.path.join(folder, "complete")):
        shutil.rmtree(folder, ignore_errors=True)
        call(sys.executable, "-m", "venv", folder)
        call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *install)
        with open(os.path.join(folder, "complete"), "w", encoding="utf-8"):
            pass
    return python


def tools(cache):
    """The python of a venv with the tools for development."""
    with _lock:
        return _venv(cache, "python-tools", TOOLS)


_installed = {}


def wheels():
    return sorted(os.path.join(DIST, f) for f in os.listdir(DIST) if f.endswith(".whl"))


def installed(cache):
    """The python of a venv with our wheels, which are built first."""
    build = tools(cache)
    with _lock:
        if cache not in _installed:
            call(os.path.join(PYTHON, "build"), env={**os.environ, "PYTHON": build})
            python = _venv(cache, "arl-wrapper", UNITS)
            call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--force-reinstall", *wheels())
            _installed[cache] = python
        return _installed[cache]


# The frameworks of arl.integrations, in the versions for which it was written. inspect-ai does not work with kubernetes 37.
FRAMEWORKS = ["inspect-ai==0.3.285", "mini-swe-agent==2.4.6", "deepagents==0.7.32", "mcp==2.3.0", "kubernetes==36.0.3", "pydantic>=2",
              "pytest==9.2.0", "pytest-asyncio==1.5.0"]
UNITS = ["kubernetes==37.0.2", "pydantic>=2", "python-dateutil", "pytest"]
HARBOR = ["harbor==0.26.0", "kubernetes==37.0.2", "pydantic>=2"]
NO_HARBOR = "ARL_NO_HARBOR"


def find_python(*minors):
    """The first Python 3 with one of these minor versions that is installed; None if there is none."""
    for minor in minors:
        names = [shutil.which(f"python3.{minor}"), *sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python")))]
        for path in filter(None, names):
            if call(path, "-c", "import venv, ssl", fails=True).returncode == 0:
                return path
    return None


def version_of(python):
    return call(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()


def _with_uv(cache, name, python, install):
    """As _venv, but by uv, which is fast with hundreds of packages."""
    uv = os.path.join(os.path.dirname(tools(cache)), "uv")
    env = {**os.environ, "UV_CACHE_DIR": os.path.join(cache, "uv")}
    version = version_of(python)
    key = hashlib.sha256("\n".join(install).encode()).hexdigest()[:12]
    folder = os.path.join(cache, "venv", f"{name}-{key}-py{version}")
    ours = os.path.join(folder, "bin", "python")
    installed(cache)
    with _lock:
        if not os.path.exists(os.path.join(folder, "complete")):
            shutil.rmtree(folder, ignore_errors=True)
            call(uv, "venv", "--quiet", "--python", python, folder, env=env)
            call(uv, "pip", "install", "--quiet", "--python", ours, *install, env=env, limit=1200)
            with open(os.path.join(folder, "complete"), "w", encoding="utf-8"):
                pass
        if folder not in _installed:
            call(uv, "pip", "install", "--quiet", "--python", ours, "--no-deps", "--reinstall", "--no-index", *wheels(), env=env)
            _installed[folder] = ours
    return ours


def frameworks(cache):
    """The python of a venv with our wheels and all frameworks but harbor."""
    python = sys.executable if sys.version_info >= (3, 11) else find_python(11, 12, 13)
    expect(python, "inspect-ai and deepagents need Python 3.11 or newer, and there is none")
    return _with_uv(cache, "frameworks", python, FRAMEWORKS)


def harbor(cache):
    """The python of a venv with our wheels and harbor."""
    python = find_python(12, 13)
    expect(python, "harbor needs Python 3.12 or newer, and there is none: install one, or leave harbor out with --no-harbor")
    return _with_uv(cache, "harbor", python, HARBOR)


def others(cache):
    """The pythons of venvs with our wheels: one for each other version that arl-wrapper supports and that is installed."""
    found = [find_python(minor) for minor in (10, 11, 12, 13) if minor != sys.version_info[1]]
    return [_with_uv(cache, "units", python, UNITS) for python in found if python]


def typed(cache, python, *modules):
    """Checks modules of arl.integrations by mypy --strict, against the frameworks of this python."""
    folder = os.path.join(PYTHON, "arl-wrapper")
    version = version_of(python)
    call(tools(cache), "-m", "mypy", "--strict", "--config-file", os.path.join(folder, "pyproject.toml"), "--follow-imports", "silent",
         "--cache-dir", os.path.join(cache, "mypy", os.path.basename(os.path.dirname(os.path.dirname(python)))),
         "--python-version", version, "--python-executable", python,
         *(f"arl/integrations/{m}.py" for m in modules), cwd=os.path.join(folder, "src"))


def kubeconfig(t, folder):
    """Writes a kubeconfig with the case's namespace. Returns an environment that names it."""
    path = os.path.join(folder, "kubeconfig")
    with open(path, "w", encoding="utf-8") as f:
        f.write(t.env.run_kubectl("config", "view", "--raw", "--flatten").stdout)
    env = {**os.environ, "KUBECONFIG": path, "PYTHONDONTWRITEBYTECODE": "1", "E2E_NAMESPACE": t.ns}
    call("kubectl", "config", "set-context", "--current", f"--namespace={t.ns}", env=env)
    return env


def program(t, text, *argv, limit=240, **more):
    """Runs a program with our package. Returns the CompletedProcess."""
    env = {**os.environ, "E2E_NAMESPACE": t.ns, "PYTHONDONTWRITEBYTECODE": "1"}
    return call(installed(t.env.cache), "-c", text, *argv, env=env, limit=limit, **more)
