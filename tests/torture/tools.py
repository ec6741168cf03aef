"""Makes a call fail, judges the run in which it failed, and keeps the table of all outcomes."""
import collections
import itertools
import os
import re
import struct
import subprocess
import threading

CLASSES = ("malloc", "read", "write", "net", "fd", "sync", "name", "spawn", "poll", "short", "eintr")
SANITIZER = re.compile(rb"ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer|Sanitizer:DEADLYSIGNAL|AddressSanitizer CHECK")
OUT_OF_MEMORY = re.compile(rb"^out of memory: \d+ bytes asked for$", re.M)
OUT_OF_MEMORY_STATUS = 134
RETIRED_STATUS = 76     # the exit status of a runner that the sidecar does not let in again: only the container's next runner
RETIRED = b"arl-runner: the sidecar waits for another start of this container"
REPORT_LINES = 16
NUMBERS = itertools.count(1)
STATE = "QQ48s"
# With gcc, libasan is loaded after the library that makes calls fail. verify_asan_link_order=0 turns its warning about that off.
SANITIZERS = {"ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1"}


class Finding(Exception):
    """Something happened that must never happen."""


class Fault:
    """Lets the k-th call of a class fail in a process. k 0: none fails, the calls are only counted."""

    def __init__(self, build, folder, cls, k, short_sockets=False):
        self.file = os.path.join(folder, "fault")
        with open(self.file, "wb") as f:
            f.write(bytes(struct.calcsize(STATE)))
        self.env = {"LD_PRELOAD": os.path.join(build, "tests/torture/torture-fail.so"), "TORTURE_CLASS": cls,
                    "TORTURE_AT": str(k), "TORTURE_FILE": self.file, **SANITIZERS}
        if short_sockets:
            self.env["TORTURE_SHORT_SOCKETS"] = "1"
        self.cls = cls

    def read(self):
        with open(self.file, "rb") as f:
            count, hit, name = struct.unpack(STATE, f.read())
        return count, bool(hit), name.rstrip(b"\0").decode()

    def end(self, who, status, text):
        """Judges the end of a process that should have run on. "oom", "exit": it has said why. "abort": libuv ended it without a word.
        Anything else is a Finding."""
        check_log(who, text)
        if status == OUT_OF_MEMORY_STATUS and self.cls == "malloc" and OUT_OF_MEMORY.search(text):
            return "oom"
        if status in (1, 2, 3, 126) and text.strip():
            return "exit"
        if who == "runner" and status == RETIRED_STATUS and RETIRED in text:
            return "exit"
        if status == -6 and self.cls in ("poll", "fd"):
            return "abort"      # libuv calls abort() if it cannot poll, or cannot make its pipe for signals
        raise Finding(f"{who} ended with status {status}: {tail(text)}")


def address():
    """A loopback address of its own for each run: so nobody else can take the port while the sidecar is restarted."""
    n = next(NUMBERS) + 200 * (os.getpid() % 200)
    return "127.%d.%d.%d" % (77 + n // 60000, n // 240 % 250, 1 + n % 240)


def tail(text, lines=12):
    return "\n".join(text.decode(errors="replace").splitlines()[-lines:]) or "(it said nothing)"


def check_log(who, text):
    found = SANITIZER.search(text)
    if found:
        raise Finding("\n".join([f"{who}:"] + text[found.start():].decode(errors="replace").splitlines()[:REPORT_LINES]))


def choose(count, most, seed):
    """All numbers from 1 to count, or about `most` of them: a quarter from the start, a quarter from the end, and the others evenly
    spread; the seed moves these."""
    if not most or count <= most:
        return list(range(1, count + 1))
    edge = most // 4
    between = most - 2 * edge
    spread = {1 + (i * count // between + seed) % count for i in range(between)}
    return sorted(spread | set(range(1, edge + 1)) | set(range(count - edge + 1, count + 1)))


class Cell:
    """All runs of one scenario with one class."""

    def __init__(self, scenario, cls, count):
        self.scenario, self.cls, self.count = scenario, cls, count
        self.outcomes = collections.Counter()
        self.findings = []
        self.lock = threading.Lock()

    def add(self, k, outcome, finding=None):
        with self.lock:
            self.outcomes[outcome] += 1
            if finding:
                self.findings.append((k, finding))

    def row(self):
        o = self.outcomes
        return f"{self.scenario:<16} {self.cls:<7} {self.count:>6} {sum(o.values()):>6}" + \
            "".join(f"{o[c]:>8}" for c in OUTCOMES)


# right: the same result as without the fault. error: a task or a program ended with an error that says what was wrong. restart: the
# process ended with a message and was started again, and the result is right. oom: the process ended with the line "out of memory".
# abort: libuv called abort(). podlost: the container's runner is not let in any more (see pod.py). unhit: there was no k-th call.
OUTCOMES = ("right", "error", "restart", "oom", "abort", "podlost", "unhit", "FINDING")
HEADER = f"{'scenario':<16} {'class':<7} {'calls':>6} {'runs':>6}" + "".join(f"{c:>8}" for c in OUTCOMES)


def outcome(ends, well, hit):
    if not hit:
        return "unhit"
    for kind in ("podlost", "oom", "abort"):
        if kind in ends:
            return kind
    return ("restart" if ends else "right") if well else "error"


def run_cell(pool, cell, ks, run):
    """Runs a cell for each k of ks. run(k) returns an outcome or raises Finding."""
    def one(k):
        try:
            cell.add(k, run(k))
        except Finding as e:
            cell.add(k, "FINDING", str(e))
    for f in [pool.submit(one, k) for k in ks]:
        f.result()


def run_program(argv, env, limit_s):
    """Runs a program. Returns (status, stdout, stderr). Raises Finding if it does not end in time."""
    try:
        p = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as e:
        raise Finding(f"HANG: no end within {limit_s} s\n{tail(e.stderr or b'')}") from e
    return p.returncode, p.stdout, p.stderr
