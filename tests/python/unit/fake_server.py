"""An HTTP server whose answers a test decides, one request at a time."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from arl import errors
from arl._connection import Connection
from kubernetes import client


class Request:
    """A request that came: method, path, query (lists), body (a dict), headers."""

    def __init__(self, handler):
        address = urlsplit(handler.path)
        size = int(handler.headers.get("Content-Length") or 0)
        self.method, self.path, self.query = handler.command, address.path, parse_qs(address.query)
        self.body = json.loads(handler.rfile.read(size)) if size else {}
        self.headers = handler.headers
        self.watch = "watch" in self.query
        self.name = self.path.rsplit("/", 1)[1]


class JsonHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True    # else the second part of an answer waits 40 ms

    def log_message(self, *_):
        pass

    def give(self, status, body, headers=()):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, str) else "application/json"
        self.send_response(status)
        for k, v in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers):
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)


def loopback(handler):
    """Starts a server with this handler on a free port. Returns the server and a connection to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings = client.Configuration()
    settings.host = f"http://127.0.0.1:{server.server_port}"
    return server, Connection(client.ApiClient(settings), "n")


class Server:
    """answer(request) returns (status, body), (status, body, headers), or None, with which the connection is cut.

    A body that is a str is sent as it is. A list is sent as the events of a watch, which stays open. seen has each request as text.
    """

    def __init__(self, answer):
        self.answer, self.seen, self.closing = answer, [], threading.Event()
        outer = self

        class Handler(JsonHandler):
            def do(self):
                request = Request(self)
                outer.seen.append(f"{'WATCH' if request.watch else request.method} {request.name}")
                got = outer.answer(request)
                if got is None:
                    self.close_connection = True
                elif isinstance(got[1], list):
                    self.events(got[1])
                else:
                    self.give(*got)

            do_GET = do_POST = do_PATCH = do_DELETE = do

            def events(self, events):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for event in events:
                    data = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                outer.closing.wait(20)
                self.close_connection = True

        self.server, self.connection = loopback(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def serving(answer):
    server = Server(answer)
    try:
        yield server
    finally:
        server.close()


def refusal(status, reason, message, **more):
    """The API server's answer to a refused request: (status, a Status object)."""
    return status, {"kind": "Status", "code": status, "reason": reason, "message": message, **more}


def unanswered(call):
    """Makes the call with a connection to a server that never answers. Returns after how long it raised ClusterUnreachable."""
    server = Server(lambda request: server.closing.wait(20) and None)
    began = time.monotonic()
    try:
        with pytest.raises(errors.ClusterUnreachable):
            call(server.connection)
    finally:
        server.close()
    return time.monotonic() - began
