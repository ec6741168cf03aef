"""The packages as a user has them: built once a run, installed from their wheels into a venv of the cache."""
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
    """A venv of the cache whose content is named by what is installed."""
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
    """The python of a venv with all tools of development."""
    with _lock:
        return _venv(cache, "python-tools", TOOLS)


_installed = {}


def installed(cache):
    """The python of a venv with our wheels, which are built first."""
    build = tools(cache)
    with _lock:
        if cache not in _installed:
            call(os.path.join(PYTHON, "build"), env={**os.environ, "PYTHON": build})
            python = _venv(cache, "arl-wrapper", ["kubernetes==37.0.2", "pydantic>=2", "python-dateutil", "pytest"])
            wheels = sorted(os.path.join(DIST, f) for f in os.listdir(DIST) if f.endswith(".whl"))
            call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--force-reinstall", *wheels)
            _installed[cache] = python
        return _installed[cache]


def program(t, text, *argv, limit=240, **more):
    """Runs a program with our package; returns what it printed."""
    env = {**os.environ, "E2E_NAMESPACE": t.ns, "PYTHONDONTWRITEBYTECODE": "1"}
    return call(installed(t.env.cache), "-c", text, *argv, env=env, limit=limit, **more)
