"""The operator's credentials change while it works: tokens, client certificates, the CA, a credential plugin. And: HTTP proxies.

In these cases the operator speaks TLS to the API server, with a kubeconfig of the case's own.
"""
import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from base import LONG, Work
from cases_server import Load
from harness import ApiError, case, equal, expect, wait
from tools import SYSTEM, figure, lines, read

ROUNDS = 10 if LONG else 1
ACCOUNT = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/arl-operator"
SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
BACK_S = 10     # how long the operator may take to work again, once it can; added to twice the time of tasks without a fault
PLUGIN_BACK_S = BACK_S + 10     # a plugin that has failed for long is run every 10 s
LASTING_S = 45  # life of a client certificate: it is used for a part of it, and the rest is waited for


class Beside:
    """An operator with a kubeconfig of this case instead of the suite's. The kubeconfig names its files, which lie in self.folder, by
    relative paths."""

    def __init__(self, t, variables=None):
        self.t, self.variables, self.process = t, variables or {}, None
        self.folder = tempfile.mkdtemp(prefix="arl-creds-", dir="/var/tmp")
        self.made = []
        self.server = "https://%s:%d" % t.env.proxy.address
        config = json.loads(t.env.run_kubectl("config", "view", "--raw", "--minify", "-o", "json").stdout)
        self.ca = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        for path in self.made:
            self.delete(path)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.t.env.operator.start()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        """Writes a file in place, as some editors do."""
        with open(self.path(name), "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as f:
            f.write(text)

    def replace(self, name, text, mode=0o600):
        """Replaces a file by a rename, all at once."""
        self.write(name + ".new", text, mode)
        os.replace(self.path(name + ".new"), self.path(name))

    def start(self, user, **cluster):
        self.write("kubeconfig", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": "ca.crt", **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": SYSTEM}}]}))
        if not os.path.exists(self.path("ca.crt")):
            self.write("ca.crt", self.ca)
        operator = self.t.env.operator
        operator.stop()
        argv = [a for a in operator.argv if not a.startswith("--kubeconfig")] + [f"--kubeconfig={self.path('kubeconfig')}"]
        with open(operator.log, "ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**self.plain_environment(), **self.variables})
        wait("the operator to be ready", self.ready, 60)

    @staticmethod
    def plain_environment():
        return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}

    def ready(self):
        self.runs()
        with contextlib.suppress(OSError, http.client.HTTPException):
            c = http.client.HTTPConnection("127.0.0.1", self.t.env.port, timeout=5)
            c.request("GET", "/readyz")
            return c.getresponse().status == 200
        return False

    def runs(self):
        expect(self.process.poll() is None, f"the operator ended: {self.t.env.operator.logs(5)}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    # -- the API server's side

    def create(self, folder, obj):
        self.t.api.call("POST", folder, obj)
        self.made.append(f"{folder}/{obj['metadata']['name']}")

    def delete(self, path):
        with contextlib.suppress(ApiError):
            self.t.api.call("DELETE", path)

    def token(self, name):
        """Makes a token of the operator's account that is good as long as a Secret exists. Returns the name of the Secret and the token."""
        name = f"{self.t.env.id}-{self.t.number}-{name}"
        secret = self.t.api.call("POST", SECRETS, {"metadata": {"name": name}})
        self.made.append(f"{SECRETS}/{name}")
        bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": secret["metadata"]["uid"]}
        answer = self.t.api.call("POST", f"{ACCOUNT}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                                              "spec": {"boundObjectRef": bound, "expirationSeconds": 3600}})
        return name, answer["status"]["token"]

    def revoke(self, name, token):
        """Deletes the token's Secret, and waits until the API server refuses the token: it remembers good tokens for some seconds."""
        self.delete(f"{SECRETS}/{name}")
        wait("the old token to be refused", lambda: self.status(token=token) == 401, 60)

    def status(self, token=None, cert=None, path="/api"):
        tls = ssl.create_default_context(cadata=self.ca)
        if cert:
            tls.load_cert_chain(self.path(cert + ".crt"), self.path(cert + ".key"))
        c = http.client.HTTPSConnection(*self.t.env.proxy.address, context=tls, timeout=30)
        c.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return c.getresponse().status


def goes_on(w, since="", limit=60):
    """Waits until three tasks have ended that are made from now on: so also their sandboxes' present tasks. Returns how long it took."""
    before, began = len(w.made), time.monotonic()

    def look():
        later = [n for n, _ in w.made[before + 3:]]
        return len([n for n in later if w.states.finals.get(n)]) >= 3
    wait(f"tasks to go on {since}", look, limit)
    return time.monotonic() - began


def log_count(b, text, since):
    return b.t.env.operator.logs(100000)[since:].count(text)


@case(alone=True)
def token_file_replaced(t):
    """Each token is revoked as soon as the next one is in the file, or a moment before."""
    with Beside(t) as b:
        name, token = b.token("0")
        b.write("token", token)
        b.start({"tokenFile": "token"})
        with Work(t) as w:
            load = Load(w)
            took, late, usual = [], [], 0.0
            for i in range(ROUNDS):
                usual = max(usual, goes_on(w))
                log = len(t.env.operator.logs(100000))
                old, (name, token) = (name, token), b.token(f"{i + 1}")
                (b.write if i % 2 else b.replace)("token", token)
                b.revoke(*old)
                took.append(goes_on(w, "with the new token"))
                equal(log_count(b, "Unauthorized", log), 0, "refusals, though the new token was in the file in time")
            for i in range(ROUNDS):
                old, (name, token) = (name, token), b.token(f"late-{i}")
                b.revoke(*old)
                b.replace("token", token)
                late.append(goes_on(w, "with the new token, after refusals"))
            load.stop()
            b.runs()
            figure(f"token file replaced {2 * ROUNDS} times, {len(w.made)} tasks; until later tasks had ended: in time at most {max(took):.2f} s, after the old one was refused at most {max(late):.2f} s")
            w.settle(load.boxes)
            expect(max(took + late) <= BACK_S + 2 * usual, f"work went on only after {max(took + late):.1f} s, and after {usual:.1f} s without a fault")


def openssl(*argv, text=None):
    r = subprocess.run(["openssl", *argv], input=text, capture_output=True, text=True, timeout=60)
    expect(r.returncode == 0, f"openssl {' '.join(argv)}: {r.stderr}")
    return r.stdout


class Authority:
    """A certificate authority whose certificate and key are the files NAME.crt and NAME.key of the folder. Missing files are made."""

    def __init__(self, folder, name):
        self.cert, self.key = os.path.join(folder, name + ".crt"), os.path.join(folder, name + ".key")
        if not os.path.exists(self.key):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
            openssl("req", "-x509", "-new", "-key", self.key, "-days", "2", "-subj", f"/CN={name}", "-out", self.cert,
                    "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, subject, usage, names="", lasting_s=86400):
        """Signs a new certificate. Returns the certificate and its key as texts."""
        with tempfile.TemporaryDirectory() as d:
            key, request, extensions = (os.path.join(d, n) for n in ("key", "request", "extensions"))
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
            openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
            with open(extensions, "w", encoding="utf-8") as f:
                f.write(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
            os.makedirs(os.path.join(d, "ca"))
            for name, text in (("index.txt", ""), ("serial", os.urandom(8).hex().replace("00", "01"))):
                with open(os.path.join(d, "ca", name), "w", encoding="utf-8") as f:
                    f.write(text)
            config = os.path.join(d, "config")
            with open(config, "w", encoding="utf-8") as f:
                f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={d}/ca/index.txt\nserial={d}/ca/serial\nnew_certs_dir={d}\n"
                        "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\norganizationName=optional\n")
            end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + lasting_s))
            begin = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 60))
            openssl("ca", "-batch", "-notext", "-config", config, "-cert", self.cert, "-keyfile", self.key, "-in", request,
                    "-out", os.path.join(d, "cert"), "-startdate", begin, "-enddate", end, "-extfile", extensions)
            return read(os.path.join(d, "cert")), read(key)


def allow(b, user):
    """Gives the user the rights of the operator's account. Returns the paths of the bindings."""
    before = len(b.made)
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
    for folder, kind in ((f"{RBAC}/clusterrolebindings", "ClusterRole"), (f"{RBAC}/namespaces/{SYSTEM}/rolebindings", "Role")):
        b.create(folder, {"metadata": {"name": user}, "subjects": [subject],
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "arl-operator"}})
    return b.made[before:]


@case(alone=True)
def client_certificate_rotated(t):
    """Each new certificate is for another user. The old user loses its rights, and the old certificate expires."""
    authority = Authority(os.path.join(os.path.dirname(os.environ["KUBECONFIG"]), "pki"), "ca")
    look = f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/tasks"
    with Beside(t) as b:
        def issue(i, lasting_s):
            user = f"{t.env.id}-{t.number}-{i}"
            paths = allow(b, user)
            cert, key = authority.issue(f"/CN={user}", "clientAuth", lasting_s=lasting_s)
            b.write(f"user-{i}.crt", cert)
            b.write(f"user-{i}.key", key)
            wait("the user to have its rights", lambda: b.status(cert=f"user-{i}", path=look) == 200, 30)
            return paths, cert, key
        with Work(t) as w:      # the pool is ready before the certificate begins to age
            rights, cert, key = issue(0, LASTING_S)
            b.write("me.crt", cert)
            b.write("me.key", key)
            b.start({"client-certificate": "me.crt", "client-key": "me.key"})
            load = Load(w)
            took, usual = [], 0.0
            for i in range(1, ROUNDS + 1):
                usual = max(usual, goes_on(w))
                old, (rights, cert, key) = rights, issue(i, LASTING_S if i < ROUNDS else 86400)
                b.write("me.crt", cert)
                time.sleep(0.05)  # tested: for a moment the certificate and the key do not belong together
                b.write("me.key", key)
                took.append(goes_on(w, "with the new certificate"))
                for path in old:
                    b.delete(path)
                wait("the old user to be refused", lambda: b.status(cert=f"user-{i - 1}", path=look) in (401, 403), 30)  # pylint: disable=cell-var-from-loop
                took.append(goes_on(w, "without the old user's rights"))
                wait("the old certificate to expire", lambda: b.status(cert=f"user-{i - 1}", path=look) == 401, 60)  # pylint: disable=cell-var-from-loop
                took.append(goes_on(w, "after the old certificate has expired"))
            load.stop()
            b.runs()
            figure(f"client certificate rotated {ROUNDS} times, {len(w.made)} tasks; until later tasks had ended: at most {max(took):.2f} s")
            w.settle(load.boxes)
            expect(max(took) <= BACK_S + 2 * usual, f"work went on only after {max(took):.1f} s, and after {usual:.1f} s without a fault")


class Relay:
    """Passes bytes between two sockets, with a thread for each direction. When one socket ends, it ends the other one."""

    def __init__(self, near, far, done):
        self.ends = (near, far)
        for source, target in (self.ends, self.ends[::-1]):
            threading.Thread(target=self.run, args=(source, target, done), daemon=True).start()

    def run(self, source, target, done):
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)
        self.cut()
        done(self)

    def cut(self):
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Front:
    """A server that relays each connection to the socket that open() returns."""

    def __init__(self):
        self.relays, self.closing = set(), False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn = self.listener.accept()[0]
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            conn.settimeout(30)
            near, far = self.open(conn)
        except (OSError, ValueError):
            conn.close()
            return
        for end in (near, far):
            end.settimeout(None)
        self.relays.add(Relay(near, far, self.relays.discard))

    def cut(self):
        for relay in list(self.relays):
            relay.cut()

    def close(self):
        self.listener.close()
        self.cut()


class TlsFront(Front):
    """The API server under a certificate of another authority."""

    def __init__(self, proxy):
        self.upstream, self.context, self.refused = proxy, None, 0
        super().__init__()

    def use(self, authority, folder):
        """Uses a certificate of this authority from the next connection on, and cuts the present connections."""
        cert, key = authority.issue("/CN=front", "serverAuth", names="IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for name, text in (("front.crt", cert), ("front.key", key)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        context.load_cert_chain(os.path.join(folder, "front.crt"), os.path.join(folder, "front.key"))
        self.context = context
        self.cut()

    def open(self, conn):
        try:
            near = self.context.wrap_socket(conn, server_side=True)
        except ssl.SSLError:
            self.refused += 1
            raise
        far = self.upstream.tls.wrap_socket(socket.create_connection(self.upstream.address, 30), server_hostname=self.upstream.address[0])
        return near, far


@case(alone=True)
def ca_bundle_replaced(t):
    """The server comes back with a certificate of another authority. The CA file has that authority before, or a moment later."""
    with Beside(t) as b, contextlib.closing(TlsFront(t.env.proxy)) as front:
        authorities = [Authority(b.folder, f"authority-{i}") for i in range(2 * ROUNDS + 1)]
        front.use(authorities[0], b.folder)
        b.server = f"https://127.0.0.1:{front.port}"
        b.write("ca.crt", read(authorities[0].cert))
        b.write("token", b.token("0")[1])
        b.start({"tokenFile": "token"})
        with Work(t) as w:
            load = Load(w)
            early, late, usual = [], [], 0.0
            for i in range(ROUNDS):
                usual = max(usual, goes_on(w))
                b.write("ca.crt", read(authorities[2 * i].cert) + read(authorities[2 * i + 1].cert))
                goes_on(w, "with both authorities")
                front.use(authorities[2 * i + 1], b.folder)
                early.append(goes_on(w, "under the new one"))
                refused = front.refused
                front.use(authorities[2 * i + 2], b.folder)
                wait("the operator to refuse the server", lambda: front.refused > refused, 30)  # pylint: disable=cell-var-from-loop
                b.replace("ca.crt", read(authorities[2 * i + 2].cert))
                late.append(goes_on(w, "with the new file"))
            load.stop()
            b.runs()
            figure(f"CA bundle replaced {2 * ROUNDS} times, {len(w.made)} tasks; until later tasks had ended: in time at most {max(early):.2f} s, after the server was refused at most {max(late):.2f} s")
            w.settle(load.boxes)
            expect(max(early + late) <= BACK_S + 2 * usual, f"work went on only after {max(early + late):.1f} s, and after {usual:.1f} s without a fault")


PLUGIN = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo run >>runs
[ ! -e broken ] || { echo the test broke it >&2; exit 1; }
case $KUBERNETES_EXEC_INFO in *'"server":"'"$1"'"'*) ;; *) echo "told of another server: $KUBERNETES_EXEC_INFO" >&2; exit 1 ;; esac
cat answer
"""


@case(alone=True)
def plugin_with_tokens_of_seconds(t):
    with Beside(t) as b:
        def answer(token, lasting_s):
            end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasting_s))
            b.replace("answer", json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
                                            "status": {"token": token, "expirationTimestamp": end}}))
        b.write("plugin", PLUGIN, 0o700)
        b.write("runs", "")
        held = [b.token("0")]
        answer(held[0][1], 6)
        b.start({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "args": [b.server],
                          "interactiveMode": "Never", "provideClusterInfo": True}})
        with Work(t) as w:
            load = Load(w)
            for i in range(1, 2 * ROUNDS):
                held.append(b.token(f"{i}"))
                answer(held[-1][1], 6)
                before = len(lines(b.path("runs")))
                wait("the plugin to be run again", lambda: len(lines(b.path("runs"))) > before, 30)  # pylint: disable=cell-var-from-loop
                goes_on(w, "with the plugin's next token")
                b.revoke(*held.pop(0))
                goes_on(w, "without the one before")
                answer(held[-1][1], 6)
            # While the plugin fails, the last token is used. When that is revoked, work waits until the plugin gives a good one.
            b.write("broken", "")
            before = len(lines(b.path("runs")))
            wait("the plugin to fail", lambda: len(lines(b.path("runs"))) > before + 1, 30)
            goes_on(w, "with the old token")
            b.revoke(*held.pop())
            log = t.env.operator.logs(100000)
            expect("exit status 1: the test broke it" in log, "the log does not say why the plugin fails")
            wait("the operator to be refused", lambda: "refuses our credentials" in t.env.operator.logs(100000)[len(log) - 2000:], 60)
            answer(b.token("last")[1], 3600)
            os.unlink(b.path("broken"))
            back = goes_on(w, "with a plugin that works again", 120)
            load.stop()
            b.runs()
            figure(f"plugin run {len(lines(b.path('runs')))} times, {len(w.made)} tasks; until later tasks had ended after it had failed for a while: {back:.2f} s")
            w.settle(load.boxes)
            expect(back <= PLUGIN_BACK_S, f"work went on only after {back:.1f} s")


class Connect(Front):
    """A proxy that makes tunnels."""

    def __init__(self):
        self.asked, self.heads = [], []
        super().__init__()

    def open(self, conn):
        head = b""
        while b"\r\n\r\n" not in head:
            more = conn.recv(1)
            if not more:
                raise OSError("no request")
            head += more
        method, target = head.decode().split(" ")[:2]
        self.asked.append((method, target))
        self.heads.append(head.decode())
        if method != "CONNECT":
            raise OSError("no tunnel")
        host, port = urllib.parse.urlsplit("//" + target).hostname, urllib.parse.urlsplit("//" + target).port
        far = socket.create_connection((host, port), 30)
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return conn, far


def by_proxy(t, variables, cluster, used):
    """Does some work with these settings. Checks whether the proxy was used, and that it was used for nothing but the API server."""
    with contextlib.closing(Connect()) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with Beside(t, {k: v.format(url) for k, v in variables.items()}) as b:
            target = "%s:%d" % t.env.proxy.address
            b.write("token", b.token(f"proxy-{proxy.port}")[1])
            b.start({"tokenFile": "token"}, **{k: v.format(url) for k, v in cluster.items()})
            with Work(t) as w:
                load = Load(w, boxes=2)
                goes_on(w)
                proxy.cut()
                goes_on(w, "after all tunnels were cut")
                load.stop()
                w.settle(load.boxes)
        equal(set(proxy.asked), {("CONNECT", target)} if used else set(), f"what was asked of the proxy, with {variables} {cluster}")
        expect(not any("uthorization" in h for h in proxy.heads), "the proxy was told the token")


@case(alone=True)
def proxy_of_the_kubeconfig(t):
    by_proxy(t, {"NO_PROXY": "*"}, {"proxy-url": "{}"}, True)


@case(alone=True)
def proxy_of_the_environment(t):
    by_proxy(t, {"HTTPS_PROXY": "{}", "HTTP_PROXY": "{}", "ALL_PROXY": "{}", "NO_PROXY": "10.255.255.0/30,.other"}, {}, True)


@case(alone=True)
def proxy_not_for_this_server(t):
    by_proxy(t, {"HTTPS_PROXY": "{}", "https_proxy": "{}", "HTTP_PROXY": "{}", "http_proxy": "{}", "NO_PROXY": t.env.proxy.address[0] + "/24"}, {}, False)
