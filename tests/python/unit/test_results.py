"""A result gets the whole of an output that its status shows cut, or raises an error."""

import asyncio
import copy
import pickle
import random

import pytest
from arl import AsyncSandbox, Sandbox, TaskResult, _tasks, errors, results
from fake_pod import FakePod

FILE = "/var/lib/arl/output/6f2b.0"


def shown(data, keep=20):
    """A stream as a Task's status shows it: about `keep` bytes of each end, with a marker between. No character is cut."""
    head, tail = keep, len(data) - keep
    while 0x80 <= data[head] < 0xC0:
        head -= 1
    while 0x80 <= data[tail] < 0xC0:
        tail += 1
    return f"\n[... {tail - head} bytes dropped ...]\n".join((data[:head].decode(errors="replace"), data[tail:].decode(errors="replace")))


def task(stdout, files="", stderr="", truncated=True):
    step = {"name": "run", "exitCode": 0, "stdout": stdout, "stderr": stderr, "truncated": truncated}
    if files:
        step["outputFile"] = " ".join(f"{FILE}.{n}" for n in files)
    return TaskResult({"metadata": {"name": "t", "uid": "6f2b"}, "spec": {}, "status": {"state": "Succeeded", "exitCode": 0, "steps": [step]}})


class Pod(FakePod):
    """A pod where `arl-sidecar cat` prints the next of these for each connection, and exits with 0. None: it never ends."""

    def __init__(self, *prints):
        self.prints = list(prints)
        super().__init__(self.print)
        self.sandbox = Sandbox(self.connection, "n", {"metadata": {"name": "s", "uid": "u"}, "status": {"phase": "Ready", "podName": "p"}})

    def print(self, peer):
        assert peer.query["command"][:2] == ["arl-sidecar", "cat"]
        data = self.prints.pop(0)
        if data is None:
            peer.receive()
            return
        for at in range(0, len(data), 1 << 20):
            peer.send(1, data[at : at + (1 << 20)])
        peer.end()


TEXT = "".join(f"{i} \u00e4\U0001f600\n" for i in range(300)).encode()
BINARY = bytes(range(256)) * 9
LOOKS_CUT = b"a\n[... 3 bytes dropped ...]\nb" + TEXT + b"a\n[... 9 bytes dropped ...]\nb"


@pytest.mark.parametrize("whole", [TEXT, BINARY, LOOKS_CUT, "\ufffd".encode() * 100, b"\xff" * 100, b"\xe2\x82" * 100])
@pytest.mark.parametrize("kind", ["run", "execute"])
def test_all_of_it(monkeypatch, whole, kind):
    def execute(*_, **__):
        return task(shown(whole, 40), "1", "e")
        yield
    monkeypatch.setattr(_tasks, "execute", execute)
    with Pod(whole) as pod:
        result = pod.sandbox.run("x") if kind == "run" else pod.sandbox.execute([]).result
        assert (result.stdout_bytes(), result.stderr_bytes()) == (whole, b"e")


@pytest.mark.parametrize("whole", [TEXT, BINARY, LOOKS_CUT, "\ufffd".encode() * 100 + b"a", b"\xff" * 100, b"\xe2\x82" * 100 + b"a"])
def test_what_the_connection_drops_is_read_again(whole):
    with Pod(whole[:-1], whole[:100], whole) as pod:
        assert pod.sandbox._result(task(shown(whole), "1")).stdout_bytes() == whole


def test_a_byte_that_is_missing_is_seen():
    rng = random.Random(1)
    parts = [b"a", b"\xff", b"\xe2", b"\x82", b"\xf0\x9f", b"\xf0\x9f\x98", "\ufffd".encode(), "\U0001f600".encode()]
    for _ in range(200):
        whole = b"".join(rng.choices(parts, k=100)) + rng.choice([b"a", b"\xff", "\U0001f600".encode()])    # nobody can tell what of a broken end is missing
        text = shown(whole, 60)
        assert results._is_all(whole, text)
        assert not any(results._is_all(whole[:n], text) for n in range(len(whole)))


class Counted:
    """A str or bytes that counts how much is read from it."""

    taken = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        Counted.taken += len(found) if isinstance(key, slice) else 1
        return found


class CountedStr(Counted, str):
    pass


class CountedBytes(Counted, bytes):
    pass


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("filler", [b"x" * 40, b"\xff" * 40, "\u00e4\U0001f600".encode() * 7])
def test_forged_markers_cost_as_much_as_their_length(filler, cut):
    """Each marker's count is nearly right, so that a simple search would read all that follows, for each marker."""
    def work(count):
        Counted.taken = 0
        dropped = b"m" * 1000
        head = b"".join(filler + b"\n[... %d bytes dropped ...]\n" % (len(dropped) + 1) for _ in range(count))
        tail = filler * count + b"end"
        text = f"\n[... {len(dropped)} bytes dropped ...]\n".join(part.decode(errors="replace") for part in (head, tail))
        whole = head + dropped + tail
        assert results._is_all(CountedBytes(whole[: len(whole) - cut]), CountedStr(text)) == (not cut)
        return Counted.taken
    assert work(400) < 5 * work(100)


def test_what_it_says_is_what_comparing_each_end_anew_says():
    rng = random.Random(2)
    parts = [b"a", b"\xff", b"\xe2", b"\x82", b"\xf0\x9f", "\ufffd".encode(), "\U0001f600".encode(), b"\n[... 3 bytes dropped ...]\n"]

    def each_anew(data, text):
        for marker in results.MARKER.finditer(text):
            head, dropped, tail = text[: marker.start()], int(marker[1]), text[marker.end() :]
            found = data.decode("utf-8", results._WIDTH)[: len(head)]
            widths = [ord(c) & 15 if 0xDC00 < ord(c) < 0xDC04 else len(c.encode()) for c in found]
            broken = found and 0xDC00 < ord(found[-1]) < 0xDC04
            for less in range(widths[-1] if broken else 1):    # the head may end within a broken character
                at = sum(widths) - less + dropped
                shown = "".join("\ufffd" if 0xDC00 < ord(c) < 0xDC04 else c for c in found) == head
                if shown and at <= len(data) and data[at:].decode(errors="replace") == tail:
                    return True
        return False
    found = []
    for _ in range(3000):
        whole = b"".join(rng.choices(parts, k=rng.randint(1, 12)))
        head, tail = sorted(rng.choices(range(len(whole) + 1), k=2))
        text = f"\n[... {tail - head} bytes dropped ...]\n".join(p.decode(errors="replace") for p in (whole[:head], whole[tail:]))
        data = whole[: len(whole) - rng.randint(0, 2)]
        found.append(results._is_all(data, text))
        assert found[-1] == each_anew(data, text), (data, text)
    assert 500 < sum(found) < 2500


def test_a_marker_may_have_any_number():
    """A program may print a marker with more than 4300 digits, of which Python makes no number."""
    whole = b"a" * 50 + b"\n[... " + b"9" * 5000 + b" bytes dropped ...]\n" + b"b" * 50
    assert results._is_all(whole, shown(whole, 20)) and not results._is_all(whole, whole.decode())
    with Pod(whole) as pod:
        assert pod.sandbox._result(task(shown(whole, 20), "1")).stdout_bytes() == whole


def test_what_the_connection_always_drops_is_an_error():
    with Pod(*[TEXT[:-1]] * 9) as pod:
        with pytest.raises(errors.StreamLost, match=f"dropped what came after {len(TEXT) - 1} bytes"):
            pod.sandbox._result(task(shown(TEXT), "1")).stdout_bytes()


def test_what_is_larger_than_what_the_agent_keeps_is_an_error(monkeypatch):
    monkeypatch.setattr(results, "KEPT_MAX", 1000)
    with Pod(TEXT[:1000]) as pod:
        with pytest.raises(errors.FileMissing, match="the agent keeps 1000 bytes"):
            pod.sandbox._result(task(shown(TEXT), "1")).stdout_bytes()


def test_what_the_agent_has_not_kept_is_an_error():
    with Pod() as pod:
        result = pod.sandbox._result(task(shown(TEXT), "2", shown(TEXT)))
        with pytest.raises(errors.FileMissing, match="has not kept it"):
            result.stdout_bytes()


def test_a_result_without_its_sandbox_is_an_error_where_it_was_cut():
    with Pod() as pod:
        result = pod.sandbox._result(task(shown(TEXT), "1"))
        for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result)), pickle.loads(pickle.dumps(TaskResult(result.task))).result):
            with pytest.raises(errors.FileMissing, match="does not know its sandbox"):
                other.stdout_bytes()
            assert other.stderr_bytes() == b""


def test_a_text_that_only_looks_cut():
    assert task(LOOKS_CUT.decode(), truncated=False).result.stdout_bytes() == LOOKS_CUT


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_it_has_a_limit(kind):
    with Pod(None) as pod:
        result = pod.sandbox._result(task(shown(TEXT), "1"))
        with pytest.raises(errors.StreamTimeout):
            if kind == "sync":
                result.stdout_bytes(timeout=0.2)
            else:
                asyncio.run(AsyncSandbox(pod.sandbox).stdout_bytes(result, timeout=0.2))
