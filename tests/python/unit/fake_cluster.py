"""An API server that keeps objects, runs tasks, and breaks whatever the test tells it to."""

import itertools
import json
import socket
import threading
import uuid
from urllib.parse import parse_qs, urlsplit

from fake_server import JsonHandler, loopback

LIMIT_S = 60


class Cluster:
    """Sandboxes are ready, and tasks end, as soon as they are made. fault(moment, method, is_watch) says what to break.

    With ``endless``, tasks end only when they are cancelled.
    """

    def __init__(self, fault=lambda moment, method, watch: None, endless=False):
        self.fault, self.endless = fault, endless
        self.changed = threading.Condition()
        self.objects, self.events, self.ran, self.canceled = {}, [], [], []
        self.closing = False
        outer = self

        class Handler(JsonHandler):
            def do_GET(self):
                self.handle_with(outer.get)

            def do_POST(self):
                self.handle_with(outer.post)

            def do_PATCH(self):
                self.handle_with(outer.patch)

            def do_DELETE(self):
                self.handle_with(outer.delete)

            def reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                self.connection.close()

            def handle_with(self, fn):
                query = parse_qs(urlsplit(self.path).query)
                watch = "watch" in query
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                try:
                    broken = outer.fault("before", self.command, watch)
                    if broken == "reset":
                        self.reset()
                        return
                    if broken:
                        self.give(broken, {"code": broken, "reason": "Broken"}, (("Retry-After", "0"),))
                        return
                    if watch:
                        self.watch(int(query["resourceVersion"][0]))
                        return
                    answer = fn(urlsplit(self.path).path.split("/")[6:], body)
                    if outer.fault("after", self.command, watch) == "reset":
                        self.reset()
                        return
                    self.give(*answer)
                except (OSError, ValueError):
                    self.close_connection = True

            def watch(self, version):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for event in outer.since(version, self.path.split("?")[0].rsplit("/", 1)[1]):
                    data = json.dumps(event).encode() + b"\n"
                    broken = outer.fault("event", "GET", True)
                    if broken == "expired":
                        data = json.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}).encode() + b"\n"
                    if broken == "reset":
                        data = data[: len(data) // 2]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    if broken:
                        self.reset()
                        return

        self.server, self.connection = loopback(Handler)

    def close(self):
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def note(self, kind, plural, obj):
        with self.changed:
            obj["metadata"]["resourceVersion"] = str(len(self.events) + 1)
            self.events.append((plural, {"type": kind, "object": json.loads(json.dumps(obj))}))
            self.changed.notify_all()

    def since(self, version, plural):
        for at in itertools.count(version):
            with self.changed:
                self.changed.wait_for(lambda: self.closing or len(self.events) > at, LIMIT_S)  # noqa: B023
                if self.closing or len(self.events) <= at:
                    return
                of, event = self.events[at]
            if of == plural:
                yield event

    def get(self, path, _):
        with self.changed:
            if len(path) == 2:
                found = self.objects.get(tuple(path))
                return (200, found) if found else (404, {"reason": "NotFound"})
            items = [o for (plural, _), o in self.objects.items() if plural == path[0]]
            return 200, {"metadata": {"resourceVersion": str(len(self.events))}, "items": items}

    def post(self, path, body):
        key = path[0], body["metadata"]["name"]
        with self.changed:
            if key in self.objects:
                return 409, {"reason": "AlreadyExists"}
            body["metadata"]["uid"] = str(uuid.uuid4())
            self.objects[key] = body
        self.note("ADDED", path[0], body)
        if path[0] == "sandboxes":
            body["status"] = {"phase": "Ready"}
        else:
            text = body["spec"]["steps"][0]["command"][-1]
            self.ran.append(text)
            if self.endless:
                return 201, body
            done = [{"type": "Finished", "status": "True", "reason": "Completed"}]
            body["status"] = {"state": "Succeeded", "exitCode": 0, "stdout": text, "conditions": done, "steps": []}
        self.note("MODIFIED", path[0], body)
        return 201, body

    def patch(self, path, body):
        if body.get("spec", {}).get("cancel"):
            self.canceled.append(path[1])
        return self.get(path, body)

    def delete(self, path, _):
        with self.changed:
            gone = self.objects.pop(tuple(path), None)
        if not gone:
            return 404, {"reason": "NotFound"}
        self.note("DELETED", path[0], gone)
        return 200, {}
