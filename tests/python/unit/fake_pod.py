"""An API server with pods/exec and portforward only, which says and does what the test tells it to."""

import base64
import hashlib
import json
import socket
import struct
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from fake_server import loopback

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LIMIT_S = 20
LINGER_S = 2
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


class Peer:
    """The server's side of one WebSocket."""

    def __init__(self, sock, protocol, query):
        self.sock, self.protocol, self.query = sock, protocol, query
        sock.settimeout(LIMIT_S)

    def raw(self, data):
        self.sock.sendall(data)

    def frame(self, kind, payload, final=True):
        head = bytes(((0x80 if final else 0) | kind,))
        if len(payload) < 126:
            head += bytes((len(payload),))
        elif len(payload) < 65536:
            head += b"\x7e" + struct.pack(">H", len(payload))
        else:
            head += b"\x7f" + struct.pack(">Q", len(payload))
        return head + payload

    def send(self, channel, data):
        self.raw(self.frame(2, bytes((channel,)) + data))

    def end(self, code=0):
        causes = {"reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
        self.status({"status": "Failure", **causes} if code else {"status": "Success"})

    def status(self, status):
        self.send(3, json.dumps(status).encode())
        self.raw(self.frame(8, b"\x03\xe8"))

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def finish(self):
        """Reads what the client still sends. A connection that is closed with unread input loses what is on its way to the client."""
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(LINGER_S)
        while self.sock.recv(65536):
            pass

    def receive(self):
        """The next frame, as (opcode, payload)."""
        first, second = self.exactly(2)
        assert second & 0x80, "a client must mask its frames"
        size = second & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.exactly(8))[0]
        key, data = self.exactly(4), self.exactly(size)
        return first & 15, bytes(b ^ key[i % 4] for i, b in enumerate(data))

    def stdin(self):
        """Reads all of standard input, up to its CLOSE frame."""
        data = b""
        while True:
            kind, payload = self.receive()
            if kind == 2 and payload[0] == 0:
                data += payload[1:]
            elif kind == 2 and payload == b"\xff\x00":
                return data


class FakePod:
    """Calls serve(peer) for each connection. If serve raises EOFError, the connection is closed at once.

    The first requests get the entries of refuse instead: (status, body, headers), where a body that is a str is sent as it is, or
    None, with which the connection is cut after the request.
    """

    def __init__(self, serve, protocols=(V5, V4)):
        self.serve, self.protocols, self.refuse, self.seen, self.failure = serve, protocols, [], [], None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append(self.path)
                if outer.refuse:
                    refusal = outer.refuse.pop(0)
                    if refusal is None:
                        self.close_connection = True
                        return
                    status, body, headers = refusal
                    data = (body if isinstance(body, str) else json.dumps(body)).encode()
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for k, v in headers:
                        self.send_header(k, v)
                    self.end_headers()
                    self.wfile.write(data)
                    return
                asked = [p.strip() for p in self.headers["Sec-WebSocket-Protocol"].split(",")]
                protocol = next(p for p in asked if p in outer.protocols)
                key = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + GUID).digest()).decode()
                self.send_response(101)
                for k, v in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key), ("Sec-WebSocket-Protocol", protocol)):
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.flush()
                self.close_connection = True
                peer = Peer(self.connection, protocol, parse_qs(urlsplit(self.path).query))
                try:
                    outer.serve(peer)
                    peer.finish()
                except (EOFError, OSError):
                    pass
                except AssertionError as e:
                    outer.failure = e

            def log_message(self, *args):
                pass

        self.server, self.connection = loopback(Handler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        assert self.failure is None, self.failure


def cut(peer):
    """Breaks the connection without a word."""
    peer.sock.shutdown(socket.SHUT_RDWR)
