"""Tests of the operator's program without a cluster: its flags, start and end, HTTP pages, Lease, and an API server that goes away.
The API server is a fake one, which has no pools, sandboxes, tasks or pods.
"""
import base64
import contextlib
import http.client
import http.server
import json
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.append(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from ports import free_port  # noqa: E402

PATIENCE_S = 60
SECRET = "/api/v1/namespaces/arl-system/secrets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/arl-system/leases"
CASES = []
with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../docs/operations.md"), encoding="utf-8") as doc:
    OPERATIONS = doc.read()


def case(text):
    def add(f):
        CASES.append((text, f))
        return f
    return add


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def has(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text[-3000:]!r}")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no {what} within {PATIENCE_S} s")


class Api(http.server.ThreadingHTTPServer):
    """An API server that keeps a Secret and a Lease. Lists are empty. A watch lasts until set_down(True)."""
    daemon_threads = True

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.secret = self.lease = None
        self.version = 10
        self.down = False
        self.rival = None  # a holder that writes itself into the Lease before the operator can
        self.watches = []
        self.lock = threading.Lock()
        self.lists = threading.Event()  # lists are answered only after it is set
        self.lists.set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the client has closed its connection

    def holder(self):
        return ((self.lease or {}).get("spec") or {}).get("holderIdentity")

    def put_lease(self, spec):
        self.version += 1
        old = self.lease or {"metadata": {"name": "arl-operator", "namespace": "arl-system", "uid": "lease-uid"}, "spec": {}}
        self.lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                      "metadata": dict(old["metadata"], resourceVersion=str(self.version)), "spec": dict(old["spec"], **spec)}
        self.tell(LEASES, {"type": "MODIFIED", "object": self.lease})
        return self.lease

    def tell(self, path, event):
        for where, events in self.watches:
            if event is None or where == path:
                events.put(event)

    def set_down(self, down):
        self.down = down
        if down:
            self.tell(None, None)

    def close(self):
        self.set_down(True)
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, obj):
        data = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, reason):
        self.reply(status, {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": f"fake: {reason}"})

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def watch(self, path, version):
        events, lease = queue.Queue(), self.server.lease
        if path == LEASES and lease and int(lease["metadata"]["resourceVersion"]) > int(version):
            events.put({"type": "MODIFIED", "object": lease})
        self.server.watches.append((path, events))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            event = events.get()
            data = (json.dumps(event) + "\n").encode() if event else b""
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if not event:
                return

    def answer(self):
        api, (path, _, query) = self.server, self.path.partition("?")
        body = self.body()
        if path.endswith("/pods"):
            api.lists.wait(PATIENCE_S)
        with api.lock:
            if api.down:
                self.fail(503, "ServiceUnavailable")
                return
            if "watch=1" not in query:
                self.answer_one(api, path, body)
                return
        self.watch(path, re.search(r"resourceVersion=(\d+)", query).group(1))

    def answer_one(self, api, path, body):
        if self.command == "GET" and path == SECRET + "/arl-signing-key":
            self.reply(200, api.secret) if api.secret else self.fail(404, "NotFound")
        elif self.command == "POST" and path == SECRET:
            key = base64.b64encode(body["stringData"]["key"].encode()).decode()
            api.secret = {"metadata": body["metadata"], "data": {"key": key}}
            self.reply(201, api.secret)
        elif path.startswith(LEASES) and (self.command != "GET" or path != LEASES):
            self.answer_lease(api, body)
        elif self.command == "GET":
            items = [api.lease] if path == LEASES and api.lease else []
            self.reply(200, {"metadata": {"resourceVersion": str(api.version)}, "items": items})
        else:
            self.fail(404, "NotFound")

    def answer_lease(self, api, body):
        if api.rival and self.command != "GET" and api.holder() != api.rival:
            api.put_lease({"holderIdentity": api.rival})
        if self.command == "GET":
            self.reply(200, api.lease) if api.lease else self.fail(404, "NotFound")
        elif self.command == "PATCH" and body["metadata"]["resourceVersion"] != api.lease["metadata"]["resourceVersion"]:
            self.fail(409, "Conflict")
        else:
            self.reply(200, api.put_lease(body["spec"]))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer


class Operator:
    """An operator that runs. Its log goes into a file."""

    def __init__(self, binary, folder, cluster, user, *flags):
        self.port = free_port()
        self.config = os.path.join(folder, "kubeconfig")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
                       "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "arl-system"}}],
                       "current-context": "x"}, f)
        self.log_file = os.path.join(folder, "log")
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "--kubeconfig", self.config, "--sidecar-image", "s", "--listen", f"[::]:{self.port}", *flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def says(self, pattern, times=1):
        try:
            wait_for(lambda: len(re.findall(pattern, self.log())) >= times, repr(pattern))
        except AssertionError as e:
            raise AssertionError(f"{e}; the log: {self.log()[-2000:]}") from None

    def request(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(c):
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.read().decode()

    def ready(self):
        try:
            return self.request("/readyz")[0] == 200
        except OSError:
            return False

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)$", self.request("/metrics")[1], re.M)
        return found and float(found.group(1))

    def stop(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE_S)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


class Place:
    """What a case works with: a folder, a fake API server, and operators, which are ended after the case."""

    def __init__(self, binary):
        self.binary, self.folder, self.api, self.operators = binary, tempfile.mkdtemp(prefix="arl-program-"), Api(), []

    def start(self, *flags, user=None, **cluster):
        cluster = dict({"server": f"http://127.0.0.1:{self.api.server_port}"}, **cluster)
        op = Operator(self.binary, tempfile.mkdtemp(dir=self.folder), cluster, user or {"token": "t"}, *flags)
        self.operators.append(op)
        return op

    def certificates(self, ca, *names):
        """Makes a CA, and a certificate for each name, with the key in the same file. Returns the paths."""
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE_S)
        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        openssl(*new, "-subj", f"/CN={ca}", "-keyout", f"{ca}.pem", "-out", f"{ca}.crt")
        for name in names:
            openssl(*new, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=CA:FALSE",
                    "-CA", f"{ca}.crt", "-CAkey", f"{ca}.pem", "-keyout", f"{name}.pem", "-out", f"{name}.crt")
        return lambda name: os.path.join(self.folder, name)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def call(self, *args, **env):
        """Runs the program until it ends by itself. Returns (status, stdout and stderr)."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KUBE")}
        r = subprocess.run([self.binary, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           text=True, timeout=PATIENCE_S, env=dict(clean, HOME=self.folder, **env))
        return r.returncode, r.stdout

    def close(self):
        for op in self.operators:
            op.end()
        self.api.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- flags --------------------------------------------------------------------------------------

@case("a wrong flag: status 2 and a sentence that names it")
def _(p):
    for args, says in (
            (["--nosuch"], "there is no flag --nosuch"),
            (["extra"], "extra: arl-operator takes only flags"),
            ([], "--sidecar-image is missing"),
            (["--sidecar-image", ""], "--sidecar-image is missing"),
            (["--sidecar-image=s", "--namespace", "$(POD_NAMESPACE)"], "is not the name of a namespace"),
            (["--sidecar-image=s", "--namespace="], '"" is not the name of a namespace'),
            (["--sidecar-image=s", "--namespace", "-a"], "is not the name of a namespace"),
            (["--sidecar-image=s", "--sidecar-image-policy=Never"], "Never is neither Replace nor Keep"),
            (["--sidecar-image=s", "--log-level=loud"], "loud is none of debug, info, warn, error"),
            (["--sidecar-image=s", "--log-format=xml"], "xml is neither text nor json"),
            (["--sidecar-image=s", "--sandbox-wait=soon"], "--sandbox-wait wants a duration such as"),
            (["--sidecar-image=s", "--default-task-timeout=0s"], "must be at least 1ms"),
            (["--sidecar-image=s", "--output-limit=1023"], "at least 1Ki"),
            (["--sidecar-image=s", "--leader-elect=maybe"], "--leader-elect wants true or false")):
        status, text = p.call(*args)
        equal((args, status), (args, 2))
        has(text, "arl-operator: ", says)


@case("--help lists each flag with its default; --version; keygen makes a key that --signing-key takes")
def _(p):
    status, text = p.call("--help", "--output-limit=1Mi")
    equal(status, 0)
    has(text, "--kubeconfig FILE", "(default 262144 bytes)", "(default 5m0s)", "(default true)", "(default Replace)")
    equal(p.call("-h", "--output-limit=1Mi"), (0, text))
    status, text = p.call("--version")
    equal((status, text.startswith("arl-operator ")), (0, True))
    keys = [p.call("keygen") for _ in range(2)]
    equal([k[0] for k in keys], [0, 0])
    equal(keys[0] == keys[1], False)
    op = p.start("--leader-elect=false", "--signing-key", p.file("key", keys[0][1]))
    wait_for(op.ready, "readiness")
    equal(p.api.secret, None)
    equal(op.stop(), 0)


@case("what it needs is missing: status 1 and the reason")
def _(p):
    def fails(says, *args, **env):
        status, text = p.call("--sidecar-image=s", "--listen=127.0.0.1:0", *args, **env)
        equal((says, status), (says, 1))
        has(text, "cannot start", says)
    config = p.start(server="http://127.0.0.1:9").config
    fails("no cluster: neither --kubeconfig, KUBECONFIG nor")
    fails("No such file or directory", "--kubeconfig", "/nosuch/config")
    fails("No such file or directory", KUBECONFIG="/nosuch/config")
    fails("nosuch", "--kubeconfig", config, "--context", "nosuch")
    fails("signing key /nosuch", "--kubeconfig", config, "--signing-key", "/nosuch")
    fails("the file is empty", "--kubeconfig", config, "--signing-key", p.file("empty", "\n"))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        fails("127.0.0.1:%d" % s.getsockname()[1], "--kubeconfig", config, "--listen=127.0.0.1:%d" % s.getsockname()[1])


# ---- life ---------------------------------------------------------------------------------------

@case("no API server: alive, not ready, says why, and stops")
def _(p):
    op = p.start(server="http://127.0.0.1:%d" % free_port())
    op.says("no signing key yet.*why=.*arl-signing-key")
    equal(op.request("/healthz"), (200, "ok\n"))
    equal(op.request("/readyz"), (503, "starting: no signing key yet\n"))
    equal(json.loads(op.request("/debug/state")[1]), {"active": False})
    has(op.request("/metrics")[1], "arl_build_info{version=", "process_resident_memory_bytes ")
    equal(op.stop(signal.SIGINT), 0)
    has(op.log(), "stopping signal=SIGINT")


@case("makes its key, takes the Lease, serves its pages, gives the Lease up on SIGTERM")
def _(p):
    p.api.lists.clear()
    op = p.start("--identity=me", "--log-level=debug")
    wait_for(lambda: p.api.holder() == "me", "leader")
    equal(op.request("/readyz"), (503, "starting: waiting for the first lists from the API server\n"))
    p.api.lists.set()
    wait_for(op.ready, "readiness")
    wait_for(lambda: op.metric("arl_active") == 1, "activity")
    equal(p.api.holder(), "me")
    equal(op.request("/readyz"), (200, "ok\n"))
    state = json.loads(op.request("/debug/state")[1])
    equal((state["active"], state["synced"], state["api"]["state"]), (True, True, "open"))
    equal(json.loads(op.request("/debug/state?key=task/ns/t")[1])["known"], False)
    equal(op.request("/debug/state?key=ns/t")[0], 400)
    metrics = op.request("/metrics")[1]
    has(metrics, 'arl_objects{kind="Pod"} 0', 'arl_api_answers_total{reason="', "arl_claim_seconds_count 0")
    for name in set(re.findall(r"^(arl_\w+?)(?:_bucket|_sum|_count)?[ {]", metrics, re.M)):
        equal((name, metrics.count(f"# TYPE {name} ")), (name, 1))
        has(OPERATIONS, f"`{name}`")
    equal(op.request("/metrics", "HEAD")[0], 200)
    equal(op.request("/nosuch")[0], 404)
    equal(op.request("/healthz", "POST"), (405, "only GET\n"))
    equal(op.stop(), 0)
    equal(p.api.holder(), "")


@case("a second operator stands by, takes over; who finds the Lease taken begins anew as a standby")
def _(p):
    one = p.start("--identity=one")
    wait_for(lambda: p.api.holder() == "one", "leader")
    two = p.start("--identity=two", "--log-format=json")
    wait_for(two.ready, "readiness of the standby")
    two.says('"note":"held by one"')
    equal(two.metric("arl_active"), 0)
    equal(one.stop(), 0)
    wait_for(lambda: two.metric("arl_active") == 1, "new leader")
    p.api.rival = "three"
    two.says("the lease was lost: beginning anew as a standby")
    wait_for(lambda: two.ready() and two.metric("arl_active") == 0, "standby")
    p.api.rival = None
    with p.api.lock:
        p.api.put_lease({"holderIdentity": ""})
    wait_for(lambda: two.metric("arl_active") == 1, "leader again")
    equal(two.stop(), 0)


@case("an API server that goes away and comes back: told once each, and the watches go on")
def _(p):
    op = p.start("--leader-elect=false")
    wait_for(op.ready, "readiness")
    p.api.set_down(True)
    op.says("the API server is down, requests wait: ")
    equal(op.metric("arl_api_down"), 1)
    p.api.set_down(False)
    op.says("the API server is back after ")
    wait_for(lambda: op.metric("arl_api_down") == 0 and op.metric("arl_api_requests_waiting") == 0, "end of the outage")
    wait_for(lambda: json.loads(op.request("/debug/state")[1])["watches"] == ["watching"] * 4, "new watches")
    equal(op.metric("arl_api_outages_total"), 1)
    equal(op.stop(), 0)


@case("https: the CA, the server's name and the client's certificate count")
def _(p):
    path = p.certificates("ca", "api.test", "client")
    p.certificates("other")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=path("ca.crt"))
    tls.load_cert_chain(path("api.test.crt"), path("api.test.pem"))
    tls.verify_mode = ssl.CERT_REQUIRED
    p.api.close()
    p.api = Api(tls)
    cluster = {"server": f"https://127.0.0.1:{p.api.server_port}", "tls-server-name": "api.test", "certificate-authority": path("ca.crt")}
    user = {"client-certificate": path("client.crt"), "client-key": path("client.pem")}
    for changed, without_user, says in (({"certificate-authority": path("other.crt")}, False, "SSL certificate problem"),
                                        ({"tls-server-name": "api.other"}, False, "api.other"),
                                        ({}, True, "")):  # the message depends on the moment at which the server hangs up
        op = p.start(user=None if without_user else user, **dict(cluster, **changed))
        op.says("no signing key yet.*" + says)
        equal((op.ready(), p.api.secret, op.stop()), (False, None, 0))
    wrong = {"certificate-authority": None, "tls-server-name": "api.other", "insecure-skip-tls-verify": True}
    for changed in ({}, wrong):
        cluster.update(changed)
        op = p.start("--leader-elect=false", user=user, **{k: v for k, v in cluster.items() if v})
        wait_for(op.ready, "readiness")
        equal(op.stop(), 0)


def run_case(binary, f):
    place = Place(binary)
    try:
        f(place)
        return []
    except Exception as e:  # any failure is this case's, and the others go on
        where = traceback.extract_tb(e.__traceback__)
        logs = [line for op in place.operators for line in ["its log:", *op.log().splitlines()[-10:]]]
        return traceback.format_exception_only(type(e), e) + [", ".join(f"{w.name}:{w.lineno}" for w in where)] + logs
    finally:
        place.close()


def run(binary):
    """Runs all cases. Yields (name, failures) of each."""
    for text, f in CASES:
        yield text, run_case(binary, f)
