"""A proxy between an operator and the API server, which breaks requests and answers as a test wants.

The operator speaks plain HTTP/1.1 to it on loopback (its kubeconfig says http://127.0.0.1:PORT and its own token); the
proxy speaks TLS to the API server and passes on everything else as it is. Every request has a number, from 1 on since the
last reset().

    proxy.hook = f       f(moment, request) is called "before" a request is forwarded, when it is "applied" (the server has
                         answered, the operator does not know), and "after" its answer was passed on (of a watch, its head). It may return
                         RESET, SILENCE, or an Answer that is given instead. An exception in it resets the connection.
    proxy.chop = f       f(data) -> an iterable of pieces in which this part of a watch is passed on. Cut, raised by f, ends the
                         watch there, perhaps within an event. HalfCut does that, too, but keeps the connection half open
    proxy.end_watches()  ends all that are under way

Hooks are called from the threads of their connections, several at once.
"""
import base64
import http.client
import http.server
import json
import re
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse

RESET = object()
SILENCE = object()      # no answer, ever, on a connection that stays open
SILENCE_S = 120         # the operator must have closed the connection within this time
HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class Cut(Exception):
    """Raised by chop: ends the watch."""


class HalfCut(Cut):
    """Raised by chop: nothing more is sent, and the connection stays half open until the other side closes it."""


class Answer:
    def __init__(self, status, reason="", message="", headers=None):
        self.status, self.headers = status, headers or {}
        self.body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
                                "message": message or f"made by the proxy: {status}", "code": status}).encode()


class Request:
    def __init__(self, number, method, path, body):
        self.number, self.method, self.path, self.body = number, method, path, body
        self.began = time.monotonic()
        self.status = None      # of the server's answer
        self.is_watch = bool(re.search(r"[?&]watch=(1|true)(&|$)", path, re.IGNORECASE))

    def writes(self, *kinds):
        """Whether the request writes an object of one of these kinds, given as plurals."""
        return self.method != "GET" and any(f"/{k}/" in self.path or f"/{k}?" in self.path for k in kinds)

    def __repr__(self):
        return f"#{self.number} {self.method} {self.path.split('?')[0]} {self.status}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.upstream = None

    def finish(self):
        if self.upstream:
            self.upstream.close()
        try:
            super().finish()
        except OSError:
            pass

    def reset(self):
        """Closes the connection so that the other side sees a reset instead of a clean end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True

    def outwait(self):
        """Answers nothing, and waits until the other side has closed the connection."""
        self.close_connection = True
        self.connection.settimeout(SILENCE_S)
        while self.connection.recv(4096):
            pass

    def give(self, answer):
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def hooked(self, moment, request):
        """Calls the hook. True if the hook has decided the request's answer, so that nothing else is to be done."""
        hook = self.server.proxy.hook
        result = hook(moment, request) if hook else None
        if result is RESET:
            self.reset()
        elif result is SILENCE:
            self.outwait()
        elif result and moment != "after":
            self.give(result)
        return bool(result)

    def forward(self, request):
        if not self.upstream:
            self.upstream = self.server.proxy.connect()
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        self.upstream.request(request.method, request.path, body=request.body or None, headers=headers)
        return self.upstream.getresponse()

    def stream(self, request, answer):
        """Passes the body of a watch on as it comes."""
        proxy = self.server.proxy
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if self.hooked("after", request):
            return
        proxy.watches.add(self)
        try:
            while data := answer.read1(65536):
                for piece in proxy.chop(data) if proxy.chop else (data,):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except HalfCut:
            self.connection.shutdown(socket.SHUT_WR)
            self.outwait()
        except Cut:
            self.close_connection = True
        finally:
            proxy.watches.discard(self)

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = self.server.proxy.number(self.command, self.path, body)
        if self.hooked("before", request):
            return
        answer = self.forward(request)
        request.status = answer.status
        if request.is_watch and answer.status == 200:
            if self.hooked("applied", request):
                self.close_connection = True
                self.upstream.close()
                self.upstream = None
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.stream(request, answer)
            return
        data = answer.read()
        if self.hooked("applied", request):
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        self.hooked("after", request)

    def handle_one_request(self):
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.serve()
        except (OSError, http.client.HTTPException):
            # The server or the operator is gone: the other side sees a reset, as it would without the proxy.
            self.reset()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Proxy:
    def __init__(self, config):
        """config: an administrator's kubeconfig as `kubectl config view --raw -o json` gives it, for the server and its CA."""
        cluster = config["clusters"][0]["cluster"]
        url = urllib.parse.urlsplit(cluster["server"])
        self.address = (url.hostname, url.port or 443)
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.lock = threading.Lock()
        self.hook = self.chop = None
        self.watches = set()
        self.reset()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def connect(self):
        return http.client.HTTPSConnection(*self.address, context=self.tls, timeout=700)

    def reset(self):
        with self.lock:
            self.requests = []

    def number(self, method, path, body):
        with self.lock:
            request = Request(len(self.requests) + 1, method, path, body)
            self.requests.append(request)
        return request

    def end_watches(self):
        """Ends all watches. Returns how many there were."""
        watches = list(self.watches)
        for w in watches:
            try:
                w.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return len(watches)
