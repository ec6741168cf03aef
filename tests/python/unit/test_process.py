"""Live output, from the agent or from the status. The agent may break off, have dropped some of it, or have none."""

import asyncio
import struct
import threading
import time

import pytest
from arl import AsyncProcess, AsyncSandbox, Sandbox, _exec, _ops, _tasks, errors, process
from arl.results import CommandResult
from fake_cluster import Cluster
from fake_pod import FakePod, cut
from test_fork import forked

UID = "6f2b"


def frame(kind, data):
    return struct.pack(">BI", kind, len(data)) + data


def out(data):
    return frame(1, data)


END = frame(4, b'{"exitCode":0}')


class Box:
    """The parts of a Sandbox that Process uses.

    Each connection plays the next script: pieces to send, and then an exit code, None for a cut, or ... for silence.
    """

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.attempts = []
        self.waits = []
        self.fake = FakePod(self.serve)

    def serve(self, peer):
        *pieces, code = self.scripts.pop(0)
        for piece in pieces:
            peer.send(1, piece)
        if code is None:
            cut(peer)
        elif code is ...:
            peer.receive()
        else:
            peer.end(code)

    def _exec(self, command, container, deadline, again):
        assert (container, command[:5], command[-1]) == ("sidecar", ["arl-sidecar", "tail", "-f", "--framed", "--wait"], f"{UID}/0")
        self.attempts.append(int(command[command.index("--attempt") + 1]))
        self.waits.append(int(command[command.index("--wait") + 1]))
        return _exec.open_exec(self.fake.connection, "n", "p", container, command, deadline=deadline, again=again)

    def _result(self, task):
        return CommandResult.of(task)


class Task(_tasks.Watched):
    def __init__(self):
        super().__init__(None, "n", "t")
        self.wait = _tasks.Wait("t", self._look, UID)
        self.version = 0
        self.shows()

    def shows(self, retries=0, **status):
        self.version += 1
        spec = {"steps": [{}], "retries": retries}
        self.wait.take({"metadata": {"uid": UID, "name": "t"}, "spec": spec, "status": status})

    def ends(self, stdout, **more):
        self.shows(state="Succeeded", exitCode=0, stdout=stdout, steps=[{"exitCode": 0, "stdout": stdout, **more}])


@pytest.fixture
def follow():
    boxes = []

    def make(*scripts):
        box, task = Box(*scripts), Task()
        boxes.append(box)
        return process.Process(box, task, 10), task
    yield make
    for box in boxes:
        box.fake.close()


def text(outputs):
    return "".join(o.text for o in outputs)


def test_pieces_come_as_they_are(follow):
    p, _ = follow((out(b"one\n"), frame(2, b"err\n") + out(b"t"), out(b"wo\n\xff") + END, 0))
    got = list(p)
    assert [(o.stream, o.data) for o in got] == [("stdout", b"one\n"), ("stderr", b"err\n"), ("stdout", b"t"), ("stdout", b"wo\n\xff")]
    assert text(o for o in got if o.stream == "stdout") == "one\ntwo\n\ufffd"


def test_frames_that_are_cut_anywhere_are_put_together(follow):
    whole = out(b"one") + frame(2, b"two") + END
    p, _ = follow((*(whole[i : i + 1] for i in range(len(whole))), 0))
    assert text(p) == "onetwo"


def test_a_connection_that_breaks_goes_on_where_it_was(follow):
    p, _ = follow((out(b"one "), out(b"two ")[:7], None), (None,), (out(b"one two "), out(b"three") + END, 0))
    assert text(p) == "one two three"


def test_an_end_that_was_dropped_is_asked_for_again(follow):
    """If a reader is slow, Kubernetes may drop the end of a stream and report success."""
    p, task = follow((out(b"one "), out(b"two")[:6], 0), (out(b"one two") + END, 0))
    threading.Timer(3, lambda: task.ends("one of the status")).start()
    assert text(p) == "one two"


def test_what_the_agent_has_dropped_is_counted(follow):
    p, _ = follow((out(b"one"), frame(3, b'{"stream":1,"bytes":7}') + out(b"two") + END, 0))
    assert [(o.data, o.missing) for o in p] == [(b"one", 0), (b"two", 7)]


def test_a_step_that_does_not_begin_is_asked_for_again(follow):
    p, _ = follow((4,), (4,), (out(b"late") + END, 0))
    assert text(p) == "late"


def test_a_step_that_its_attempt_never_began_is_asked_for_once(follow):
    p, task = follow((4,), (out(b"second") + END, 0))
    task.shows(retries=1, state="Running", attempt=2)
    assert (text(p), p._sandbox.attempts) == ("second", [1, 2])


def test_a_step_of_an_attempt_that_has_passed_is_not_waited_for(follow):
    p, task = follow((4,), (out(b"second") + END, 0))
    task.shows(retries=1, state="Running", attempt=2)
    assert (text(p), p._sandbox.waits) == ("second", [0, 60])


@pytest.mark.parametrize("code", [1, 2, 3, 5, 127])
def test_the_status_does_where_the_agent_has_nothing(follow, code):
    p, task = follow((code,))
    threading.Timer(0.1, lambda: task.shows(state="Running", steps=[{"stdout": "one\n"}])).start()
    threading.Timer(0.2, lambda: task.ends("one\ntwo\n")).start()
    assert text(p) == "one\ntwo\n"
    assert p.wait(10).stdout == "one\ntwo\n"


def test_the_status_goes_on_where_the_agent_was_lost(follow):
    p, task = follow((out(b"one\n"), None), *[(None,)] * 4)
    threading.Timer(0.3, lambda: task.ends("one\ntwo\n")).start()
    assert text(p) == "one\ntwo\n"


def test_a_status_that_shows_the_end_only(follow):
    p, task = follow((5,))
    task.shows(state="Running", steps=[{"stdout": "\n[... 4 bytes dropped ...]\nfive\n"}])
    threading.Timer(0.3, lambda: task.ends("one\n\n[... 10 bytes dropped ...]\nfour\n", truncated=True)).start()
    got = list(p)
    assert [(o.data, o.missing) for o in got] == [(b"five\n", 4), (b"four\n", 5)]


def test_a_task_that_is_lost_ends_it(follow):
    p, task = follow((2,))
    threading.Timer(0.1, lambda: task.wait.gone(UID)).start()
    assert list(p) == []
    with pytest.raises(errors.TaskGone):
        p.wait(10)


def test_no_result_in_time_is_an_error(follow):
    p, _ = follow()
    with pytest.raises(errors.TaskTimeout):
        p.wait(0.05)


@pytest.mark.parametrize("script", [(out(b"one"), ...), (5,), (4,), (out(b"one") + END, 0)])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_run_with_callbacks_waits_no_longer_than_without(follow, script, kind):
    p, task = follow(*[script] * 30)
    p._limit, canceled = 0.2, []
    task.cancel_quietly = lambda: canceled.append(1)

    class Starts(Sandbox):
        def __init__(self):
            pass

        def _start(self, *_):
            yield _ops.Call(lambda: None)
            return p

    box = Starts() if kind == "sync" else AsyncSandbox.__new__(AsyncSandbox)
    box._sync = Starts()

    def run():
        done = box.run("x", on_stdout=print)
        if kind == "async":
            asyncio.run(asyncio.wait_for(done, 10))

    caught = []
    thread = threading.Thread(target=lambda: caught.append(pytest.raises(errors.TaskTimeout, run)), daemon=True)
    thread.start()
    thread.join(10)
    assert (len(caught), canceled) == (1, [1])


@pytest.fixture
def cluster():
    c = Cluster(endless=True)
    yield c
    c.close()


def there(cluster, name="t", sandbox="s", **spec):
    spec = {"sandboxRef": sandbox, "steps": [{"name": "run", "type": "Command", "command": ["x"]}], **spec}
    cluster.objects["tasks", name] = {"metadata": {"name": name, "namespace": "n", "uid": UID}, "spec": spec, "status": {"state": "Running"}}
    cluster.note("ADDED", "tasks", cluster.objects["tasks", name])
    return Sandbox(cluster.connection, "n", {"metadata": {"name": "s", "uid": "u"}})


def ends(cluster, state, reason):
    task = cluster.objects["tasks", "t"]
    task["status"] = {"state": state, "exitCode": 137, "conditions": [{"type": "Finished", "status": "True", "reason": reason, "message": "why"}]}
    cluster.note("MODIFIED", "tasks", task)


def wait(sandbox, kind, name="t"):
    if kind == "sync":
        return sandbox.process(name).wait()

    async def find():
        return await (await AsyncSandbox(sandbox).process(name)).wait()
    return asyncio.run(find())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_that_is_not_there_is_told_at_once(cluster, kind):
    sandbox = there(cluster)
    with pytest.raises(errors.NotFound):
        wait(sandbox, kind, "other")
    for wrong, error in ((None, TypeError), (5, TypeError), ("", ValueError)):
        with pytest.raises(error, match="^task_name must "):
            wait(sandbox, kind, wrong)


def test_a_task_of_another_sandbox_is_not_taken_for_one_of_this(cluster):
    with pytest.raises(errors.NotFound, match="is one of sandbox x, and not of s"):
        there(cluster, sandbox="x").process("t")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("happens", "error"), [
    (lambda c: c.delete(["tasks", "t"], None), errors.TaskGone),
    (lambda c: ends(c, "Failed", "PodLost"), errors.TaskLost),
    (lambda c: ends(c, "Failed", "SandboxDeleted"), errors.TaskLost),
])
@pytest.mark.parametrize("after", [0, 0.5])
def test_a_task_that_is_lost_is_told_as_soon_as_it_is(cluster, happens, error, kind, after):
    sandbox = there(cluster)
    began = time.monotonic()
    timer = threading.Timer(after, happens, (cluster,))
    timer.start()
    with pytest.raises((error, errors.NotFound) if not after else error):
        wait(sandbox, kind)
    assert time.monotonic() - began < 10
    timer.join()


@pytest.mark.parametrize(("spec", "limit"), [
    ({}, 300 + 420), ({"timeout": "3600000ms", "retries": 3}, 4 * 3600 + 420), ({"timeout": "1h2m3.5s", "steps": [{}] * 3}, 3 * 3723.5 + 420),
    ({"timeout": "1500us"}, 0.0015 + 420), ({"timeout": "10\u00b5s5\u03bcs2ns"}, 15.002e-6 + 420), ({"timeout": ".5s"}, 420.5),
])
def test_a_task_that_is_found_is_waited_for_as_long_as_it_may_take(cluster, spec, limit):
    assert there(cluster, **spec).process("t")._limit == pytest.approx(limit)


@pytest.mark.parametrize(("wrong", "error"), [(float("inf"), ValueError), (float("nan"), ValueError), (-1, ValueError), ("5", TypeError), (True, TypeError)])
def test_a_wrong_limit_is_told(cluster, wrong, error):
    process_ = there(cluster).process("t")
    with pytest.raises(error, match="^timeout must be"):
        process_.wait(wrong)
    with pytest.raises(error, match="^timeout must be"):
        asyncio.run(AsyncProcess(process_).wait(wrong))


def test_a_child_waits_for_what_its_parent_has_started(cluster):
    sandbox = there(cluster)
    process_ = sandbox.start("x", timeout=600)
    (_, name), = [key for key in cluster.objects if key[0] == "tasks" and key[1] != "t"]
    task = cluster.objects["tasks", name]

    def end():
        task["status"] = {"state": "Succeeded", "exitCode": 0, "stdout": "from the child"}
        cluster.note("MODIFIED", "tasks", task)
    threading.Timer(0.1, end).start()
    assert forked(lambda: process_.wait(5).stdout) == "from the child"


def test_following_waits_for_no_connection_longer_than_it_may(follow):
    """The API server answers for long that it is busy."""
    p, _ = follow()
    p._sandbox.fake.refuse = [(503, {}, [])] * 100
    p._limit, began = 0.2, time.monotonic()
    with pytest.raises(errors.TaskTimeout):
        list(p.followed())
    assert time.monotonic() - began < 5
