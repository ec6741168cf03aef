"""What the integration tests use: a client that signs and seals, and a sidecar and a runner on loopback.

common/wire/signature.h describes the signature. Ed25519 comes from libsodium, by ctypes. channel.py seals.
"""
import base64
import ctypes
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
import channel  # noqa: E402
from channel import SODIUM, url64  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
POD = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
SANDBOX = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
COMPONENTS = '("@method" "@path" "@query" "content-digest" "arl-pod-uid" "arl-sandbox-uid" "arl-operator-key")'
PATIENCE_S = 60
AGENT_PORT = 27182      # common/wire/task_proto.h


def std64(data):
    return base64.b64encode(data).decode()


class Key:
    """The keys of an operator: one that signs requests, and a pair to which answers are sealed."""

    def __init__(self):
        self.public = ctypes.create_string_buffer(32)
        self.secret = ctypes.create_string_buffer(64)
        SODIUM.crypto_sign_keypair(self.public, self.secret)
        self.operator = channel.Pair()
        self.id = url64(hashlib.sha256(self.public.raw).digest()[:12])

    def sign(self, text):
        out = ctypes.create_string_buffer(64)
        SODIUM.crypto_sign_detached(out, None, text, ctypes.c_ulonglong(len(text)), self.secret)
        return out.raw

    def ring(self):
        return "%s=%s" % (self.id, url64(self.public.raw))


def signed_headers(key, method, target, body, pod=POD, sandbox=SANDBOX, created=None, nonce=None):
    """The headers of a signed request. body: as it is sent, so it is sealed already."""
    path, _, query = target.partition("?")
    digest = "sha-256=:%s:" % std64(hashlib.sha256(body).digest())
    params = '%s;created=%d;nonce="%s";keyid="%s";alg="ed25519"' % (
        COMPONENTS, time.time() if created is None else created, nonce or url64(os.urandom(16)), key.id)
    base = "\n".join(['"@method": ' + method, '"@path": ' + path, '"@query": ?' + query, '"content-digest": ' + digest,
                      '"arl-pod-uid": ' + pod, '"arl-sandbox-uid": ' + sandbox,
                      '"arl-operator-key": ' + key.operator.text, '"@signature-params": ' + params])
    return {"Signature-Input": "arl=" + params, "Signature": "arl=:%s:" % std64(key.sign(base.encode())),
            "Content-Digest": digest, "Arl-Pod-Uid": pod, "Arl-Sandbox-Uid": sandbox, "Arl-Operator-Key": key.operator.text}


class Request:
    """A sealed and signed request to the agent of a pod. It can be sent more than once."""

    def __init__(self, key, agent_key, method, target, plain=b"", pod=POD, sandbox=SANDBOX, created=None, shared=None):
        path, _, query = target.partition("?")
        nonce = url64(os.urandom(16))
        shared = shared or key.operator.shared(agent_key, pod)
        about = (method, path, query, sandbox, nonce)
        self.method, self.target = method, target
        self.answer_key = channel.derive(shared, "answer", *about)
        self.body = channel.seal(channel.derive(shared, "request", *about), plain) if plain else b""
        self.headers = signed_headers(key, method, target, self.body, pod, sandbox, created, nonce)
        self.headers.update({"Content-Type": channel.CONTENT_TYPE} if plain else {})


def in_the_clear(status):
    """What status() returns for an answer that is not sealed."""
    return "%d in the clear" % status


class Result:
    """The events of an attempt, put together as the operator does it."""

    def __init__(self, events):
        self.events = events
        self.types = [e["type"] for e in events]
        self.seqs = [e["seq"] for e in events]
        self.exits = {e["step"]: e for e in events if e["type"] == "exit"}
        self.end = events[-1] if events and events[-1]["type"] == "end" else None
        self.code = self.end["code"] if self.end else None
        self.reason = self.end["reason"] if self.end else None

    def raw(self, fd, step=None):
        return b"".join(base64.b64decode(e["data"]) for e in self.events
                        if e["type"] == "out" and e["fd"] == fd and step in (None, e["step"]))

    def gap(self, fd):
        return sum(e["bytes"] for e in self.events if e["type"] == "gap" and e["fd"] == fd)

    @property
    def out(self):
        return self.raw(1)

    @property
    def err(self):
        return self.raw(2)


class Stream:
    """A PUT under way: read() to the end, next() one event."""

    def __init__(self, connection, response):
        self.connection, self.response = connection, response
        self.tails = []

    def next(self):
        while True:
            line = self.response.readline()
            if not line:
                return None
            if not line.strip():
                continue
            event = json.loads(line)
            if event["type"] != "tail":     # a tail has no number and is no part of the result
                return event
            self.tails.append(event)

    def until(self, kind):
        events = []
        while not events or events[-1]["type"] != kind:
            e = self.next()
            if e is None:
                raise AssertionError("the stream ended before %s: %r" % (kind, events))
            events.append(e)
        return events

    def read(self):
        events = []
        while True:
            e = self.next()
            if e is None:
                self.close()
                return Result(events)
            events.append(e)

    def close(self):
        self.response.close()
        self.connection.close()


def namespace():
    """The command line that runs a program as PID 1 of a new process namespace; [] if that is not allowed here."""
    args = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid() != 0:
        args[1:1] = ["--user", "--map-current-user"]
    ok = shutil.which("unshare") and subprocess.run(args + ["true"], stderr=subprocess.DEVNULL).returncode == 0
    return args if ok else []


def build():
    """The build folder from the first argument, ARL_BUILD or ARL_BUILD_SAN, else a fresh one with sanitizers."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ARL_BUILD") or os.environ.get("ARL_BUILD_SAN")
    if given:
        return os.path.abspath(given), lambda: None
    d = tempfile.mkdtemp(prefix="arl-integ-build-")
    subprocess.run(["meson", "setup", d, ROOT, "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dtests=false"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", d, "operator/arl-operator", "sidecar/arl-sidecar", "sidecar/runner/arl-runner", "sidecar/runner/arl-runner-san"],
                   check=True, stdout=subprocess.DEVNULL)
    return d, lambda: shutil.rmtree(d, ignore_errors=True)


class Pod:
    """A sidecar and a runner in a folder of their own."""

    def __init__(self, build_dir, limit=None, containers="executor"):
        self.dir = tempfile.mkdtemp(prefix="arl-")
        self.build, self.key, self.limit, self.containers = build_dir, Key(), limit, containers.split(",")
        self.sidecar = self.runner = None
        self.runners = []
        self.host, self.port = "127.0.0.1", 0
        self.listen = None      # where the sidecar listens, if that is not self.host: an IPv6 address in brackets
        self.work = os.path.join(self.dir, "work")
        os.mkdir(self.work)
        self.count = 0
        self.sidecar_env, self.sidecar_prefix = {}, []
        self.shared = {}
        self.namespace = namespace()
        self.logs = open(os.path.join(self.dir, "log"), "wb")
        san = os.path.exists(os.path.join(build_dir, "sidecar/runner/arl-runner-san"))
        self.use_runner("arl-runner-san" if san else "arl-runner")

    def use_runner(self, name):
        self.runner_name = name
        self.install()

    def install(self):
        """Does what the container arl-init does: installs the runner, and reads the agent's public key from the message."""
        subprocess.run([self.sidecar_file(), "install", "--dir", self.dir, "--state", os.path.join(self.dir, "state"),
                        "--termination-log", os.path.join(self.dir, "message"), "--runner", os.path.join(self.build, "sidecar/runner", self.runner_name)] +
                       [a for c in self.containers for a in ("--container", c)], check=True)
        with open(os.path.join(self.dir, "message"), encoding="ascii") as f:
            self.message = f.read()
        if not re.fullmatch(channel.KEY_PREFIX + "[A-Za-z0-9_-]{43}", self.message):
            raise AssertionError("the termination message: %r" % self.message)
        self.agent_key = channel.unurl64(self.message.removeprefix(channel.KEY_PREFIX))

    def secret(self, container="executor"):
        """The secret by which the agent knows the next runner. It is there until that runner was let in."""
        with open(os.path.join(self.dir, container, "secret"), "rb") as f:
            return f.read()

    def sidecar_file(self):
        return os.path.join(self.build, "sidecar/arl-sidecar")

    def start_sidecar(self):
        env = dict(os.environ, ARL_POD_UID=POD, ARL_PUBLIC_KEYS=self.key.ring(), ARL_CONTAINERS=",".join(self.containers))
        env.update({"ARL_OUTPUT_LIMIT": str(self.limit)} if self.limit else {})
        env.update(self.sidecar_env)
        log = os.path.join(self.dir, "sidecar.log")
        start = os.path.getsize(log) if os.path.exists(log) else 0
        with open(log, "ab") as f:
            self.sidecar = subprocess.Popen(
                self.sidecar_prefix + [self.sidecar_file(), "serve", "--listen", "%s:%d" % (self.listen or self.host, self.port), "--dir", self.dir,
                 "--state", os.path.join(self.dir, "state")], env=env, stdin=subprocess.DEVNULL, stderr=f)
        wait_for(lambda: re.search(rb" port=(\d+)", self.log_from(log, start)) or self.sidecar.poll() is not None,
                 "the sidecar to listen")
        found = re.search(rb" port=(\d+)", self.log_from(log, start))
        if not found:
            raise RuntimeError("the sidecar did not start: %r" % self.log_from(log, start))
        self.port = int(found.group(1))

    @staticmethod
    def log_from(log, start):
        with open(log, "rb") as f:
            f.seek(start)
            return f.read()

    def log(self):
        return self.log_from(os.path.join(self.dir, "sidecar.log"), 0).decode()

    def start_runner(self, command=(), container="executor", env=None, prefix=None, root=None, cwd=None):
        """Starts the runner, as PID 1 of a process namespace if that is allowed, as it is in a container."""
        if prefix is None:
            prefix = self.namespace
        base = os.path.join(root or self.dir, container)
        args = [os.path.join(base, "runner"), "run", "--socket", os.path.join(base, "sock")]
        environ = {"PATH": os.environ["PATH"], "CONTAINER": container, "ASAN_OPTIONS": "detect_leaks=0"}
        environ.update(env or {})
        self.runner = subprocess.Popen(prefix + args + (["--"] + list(command) if command else []), env=environ, cwd=cwd,
                                       stdin=subprocess.DEVNULL, stdout=self.logs, stderr=self.logs)
        self.runners.append(self.runner)
        return self.runner

    def start(self):
        self.start_sidecar()
        for c in self.containers:
            self.start_runner(container=c)
        self.wait_ready()
        return self

    def wait_ready(self):
        wait_for(lambda: self.get("/readyz")[0] == 200, "readiness")

    def kill_sidecar(self, sig=signal.SIGKILL):
        self.sidecar.send_signal(sig)
        return self.sidecar.wait(PATIENCE_S)

    def kill_runner(self):
        """Kills the process that start_runner() has started. If that is unshare, the runner ends with it (--kill-child)."""
        self.runner.kill()
        self.runner.wait(PATIENCE_S)

    def stop(self):
        for r in self.runners:
            r.kill()
            r.wait(PATIENCE_S)
        code = self.kill_sidecar(signal.SIGTERM) if self.sidecar and self.sidecar.poll() is None else None
        self.logs.close()
        return code

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- requests ----

    def get(self, path, headers=None):
        c = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            c.request("GET", path, headers=headers or {})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def sealed(self, method, target, plain=b"", key=None, **more):
        """Makes a Request. The shared secret is computed once and kept, as the operator does."""
        key, pod = key or self.key, more.get("pod", POD)
        which = (key, self.agent_key, pod)
        if which not in self.shared:
            self.shared[which] = key.operator.shared(self.agent_key, pod)
        return Request(key, self.agent_key, method, target, plain, shared=self.shared[which], **more)

    def send(self, method, target, body, headers):
        c = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        c.request(method, target, body=body, headers=headers)
        return c, c.getresponse()

    def request(self, method, target, plain=b"", send=None, **sign):
        """Sends a request. Returns (status, connection, answer). The status is the one inside of a sealed answer, or in_the_clear() of
        another answer. send: a Request that is to be sent instead of a new one."""
        q = send or self.sealed(method, target, plain, **sign)
        c, r = self.send(q.method, q.target, q.body, q.headers)
        if r.status != 200:
            return in_the_clear(r.status), c, r
        if r.getheader("Content-Type") != channel.CONTENT_TYPE:
            raise channel.NotBelieved("an answer of type %r" % r.getheader("Content-Type"))
        answer = channel.Answer(r, q.answer_key)
        return answer.status, c, answer

    def status(self, *args, **kwargs):
        status, c, r = self.request(*args, **kwargs)
        r.read()
        c.close()
        return status

    def clear_status(self, method, target, body=b"", headers=None):
        """Sends a request as it is given, neither signed nor sealed. Returns the status."""
        c, r = self.send(method, target, body, headers or {})
        r.read()
        c.close()
        return r.status

    def metrics(self):
        status, c, r = self.request("GET", "/metrics")
        text = r.read().decode()
        c.close()
        if status != 200:
            raise AssertionError("/metrics: %s %s" % (status, text))
        return text

    def body(self, steps, timeout_ms=30000, limit=262144, work_dir=None, sandbox=SANDBOX):
        return json.dumps({"sandboxUID": sandbox, "task": "ns/t", "traceID": "tr", "workDir": work_dir or self.work,
                           "timeoutMs": timeout_ms, "outputLimit": limit, "steps": steps}).encode()

    def next_uid(self):
        self.count += 1
        return "task-%d" % self.count

    def put(self, steps, uid=None, attempt=1, after=0, body=None, **request):
        uid = uid or self.next_uid()
        target = "/v1/tasks/%s/%d?after=%d" % (uid, attempt, after)
        status, c, r = self.request("PUT", target, body or self.body(steps, **request))
        if status != 200:
            text = r.read()
            c.close()
            raise AssertionError("PUT answered %s %r" % (status, text))
        return Stream(c, r)

    def run(self, steps, **kwargs):
        return self.put(steps, **kwargs).read()

    def sh(self, script, **step):
        return self.run([command("sh", "-c", script, **step)])

    def delete(self, uid, attempt=1):
        return self.status("DELETE", "/v1/tasks/%s/%d" % (uid, attempt))


def command(*argv, **more):
    return dict({"name": more.pop("name", "s"), "type": "Command", "command": list(argv)}, **more)


def patch(path, content="", **more):
    return dict({"name": "p", "type": "FilePatch", "path": path, "content": content}, **more)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise AssertionError("no %s within %d s" % (what, PATIENCE_S))
