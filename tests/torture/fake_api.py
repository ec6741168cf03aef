"""As much of an API server as one pool, one sandbox and one task need: list, watch, get, create, merge patch and delete, with
resourceVersions, over TLS. The first pod is Ready as soon as it is made; further pods stay Pending.

It is small, so that it is easily seen to be right. tests/sim/api.c is the full model of an API server."""
import http.server
import json
import re
import socketserver
import ssl
import threading
import time
import uuid

PATH = re.compile(r"^(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/?]+))?(/status)?$")
KINDS = {"warmpools": "WarmPool", "sandboxes": "Sandbox", "tasks": "Task", "pods": "Pod", "events": "Event", "secrets": "Secret",
         "leases": "Lease"}


def merge(target, patch):
    for name, value in patch.items():
        if isinstance(value, dict):
            if not isinstance(target.get(name), dict):
                target[name] = {}
            merge(target[name], value)
        elif value is None:
            target.pop(name, None)
        else:
            target[name] = value


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(reason)
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code}


class Cluster:
    """The objects, and what happened to them; all under one lock."""

    def __init__(self, pod_uid, pod_ip, agent_key):
        self.changed = threading.Condition()
        self.objects, self.log, self.version = {}, [], 1
        self.pod_uid, self.pod_ip, self.agent_key = pod_uid, pod_ip, agent_key
        self.owners, self.stopped = set(), False

    def happened(self, what, plural, obj):
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, plural, json.dumps({"type": what, "object": obj})))
        if plural == "pods":
            self.owners.update((obj["metadata"]["uid"], o["uid"]) for o in obj["metadata"].get("ownerReferences", [])
                               if o["kind"] == "Sandbox")
        self.changed.notify_all()

    def create(self, plural, ns, obj):
        with self.changed:
            md = obj.setdefault("metadata", {})
            key = (plural, ns, md["name"])
            if key in self.objects:
                raise Refused(409, "AlreadyExists")
            md.update(namespace=ns, uid=str(uuid.uuid4()), generation=1,
                      creationTimestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            obj.setdefault("kind", KINDS[plural])
            if plural == "pods":
                self.run_pod(obj)
            self.objects[key] = obj
            self.happened("ADDED", plural, obj)
            return json.dumps(obj)

    def run_pod(self, obj):
        obj["status"] = {"phase": "Pending"}
        if self.pod_uid:
            obj["metadata"]["uid"], self.pod_uid = self.pod_uid, None
            obj["status"] = {"phase": "Running", "podIP": self.pod_ip, "conditions": [{"type": "Ready", "status": "True"}],
                             "initContainerStatuses": [{"name": "arl-init", "state": {"terminated": {"exitCode": 0, "message": self.agent_key}}}]}

    def find(self, key):
        if key not in self.objects:
            raise Refused(404, "NotFound")
        return self.objects[key]

    def patch(self, key, status, patch):
        with self.changed:
            obj = self.find(key)
            for name in ("resourceVersion", "uid"):
                if patch.get("metadata", {}).pop(name, obj["metadata"][name]) != obj["metadata"][name]:
                    raise Refused(409, "Conflict")
            merge(obj, {"status": patch.get("status", {})} if status else patch)
            self.happened("MODIFIED", key[0], obj)
            return json.dumps(obj)

    def delete(self, key, options):
        with self.changed:
            obj = self.find(key)
            for name, value in (options.get("preconditions") or {}).items():
                if obj["metadata"][name] != value:
                    raise Refused(409, "Conflict")
            del self.objects[key]
            self.happened("DELETED", key[0], obj)
            return json.dumps(obj)

    def get(self, plural, ns, name):
        with self.changed:
            if name:
                return json.dumps(self.find((plural, ns, name)))
            items = [o for (p, n, _), o in self.objects.items() if p == plural and ns in (None, n)]
            return json.dumps({"kind": KINDS[plural] + "List", "metadata": {"resourceVersion": str(self.version)}, "items": items})

    def wait(self, condition, limit_s):
        with self.changed:
            return self.changed.wait_for(condition, limit_s)

    def stop(self):
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def setup(self):
        self.request.settimeout(60)
        self.request.do_handshake()
        super().setup()

    def answer(self, code, text):
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def watch(self, plural, query):
        cluster, end = self.server.cluster, time.monotonic() + int(query.get("timeoutSeconds", 300))
        seen = int(query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not cluster.stopped and time.monotonic() < end:
            with cluster.changed:
                cluster.changed.wait_for(lambda: cluster.stopped or cluster.version > seen, 1)
                lines = [text for version, p, text in cluster.log if version > seen and p == plural]
                seen = cluster.version
            for line in lines:
                self.wfile.write(b"%x\r\n%s\n\r\n" % (len(line.encode()) + 1, line.encode()))
        self.wfile.write(b"0\r\n\r\n")

    def serve(self):
        path, _, text = self.path.partition("?")
        query = dict(p.partition("=")[::2] for p in text.split("&"))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = PATH.match(path)
        try:
            if not found:
                raise Refused(404, "NotFound")
            ns, plural, name, status = found.groups()
            if "watch" in query:
                self.watch(plural, query)
                return
            key = (plural, ns, name)
            cluster = self.server.cluster
            if self.command == "GET":
                self.answer(200, cluster.get(*key))
            elif self.command == "POST":
                self.answer(201, cluster.create(plural, ns, json.loads(body)))
            elif self.command == "PATCH":
                self.answer(200, cluster.patch(key, status, json.loads(body)))
            else:
                self.answer(200, cluster.delete(key, json.loads(body or "{}")))
        except Refused as e:
            self.answer(e.body["code"], json.dumps(e.body))
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, cluster, cert):
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.cluster = cluster
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass        # resets, also during a TLS handshake, are what the suite wants to happen

    def stop(self):
        self.cluster.stop()
        self.shutdown()
        self.server_close()
