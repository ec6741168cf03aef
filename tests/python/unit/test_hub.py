"""Waits, against an API server that fails in the way that each test wants."""

import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from arl import Pool, _hub, _tasks, errors
from arl._connection import Connection
from arl._names import CLIENT_LABEL, client_id
from kubernetes import client

LIMIT_S = 20


class FakeApi:
    """Answers lists and watches of sandboxes with what the test has put into its queues."""

    def __init__(self):
        self.lists, self.watches, self.posts, self.seen = queue.Queue(), queue.Queue(), queue.Queue(), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True    # else the second part of an answer waits 40 ms

            def answer(self, status, body, headers=()):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for k, v in headers:
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append("POST")
                self.answer(*outer.posts.get(timeout=LIMIT_S))

            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                if "watch" not in query and self.path.split("?")[0].rsplit("/", 1)[1] != "sandboxes":
                    outer.seen.append("GET")
                    self.answer(*outer.posts.get(timeout=LIMIT_S))
                elif "watch" not in query:
                    outer.seen.append("LIST")
                    self.answer(*outer.lists.get(timeout=LIMIT_S))
                else:
                    outer.seen.append(f"WATCH {query['resourceVersion'][0]}")
                    self.watch()

            def watch(self):
                first = outer.watches.get(timeout=LIMIT_S)
                if isinstance(first, tuple):
                    self.answer(*first)
                    return
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while first not in (None, "half", "cut"):
                    data = json.dumps(first).encode() + b"\n"
                    for part in (data[:7], data[7:]):    # events are split anywhere
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                    first = outer.watches.get(timeout=LIMIT_S)
                if first == "half":
                    self.wfile.write(b"7\r\n{\"type\"\r\n")
                if first in (None, "half"):
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{self.server.server_port}"
        settings.retries = False
        self.connection = Connection(client.ApiClient(settings))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def api():
    fake = FakeApi()
    yield fake
    fake.close()


def box(phase, version="5", uid="u1", name="a", reason="X"):
    condition = {"type": "Ready", "status": "True" if phase == "Ready" else "False", "reason": reason, "message": "words"}
    return {"metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": version}, "status": {"phase": phase, "conditions": [condition]}}


def listing(*items, version="1"):
    return 200, {"metadata": {"resourceVersion": version}, "items": list(items)}


def event(kind, obj):
    return {"type": kind, "object": obj}


def wait(api, name="a", uid="u1", hub=None):
    """Begins a wait for an object that was just made: its UID is known, but lists may not have it yet."""
    w = (hub or _hub.Hub(api.connection)).wait_own("n", "sandboxes", name, _tasks.look_ready)
    w.uid = uid
    return w


def wait_unless(wrong, right):
    until = time.monotonic() + LIMIT_S
    while not wrong() and not right() and time.monotonic() < until:
        time.sleep(0.005)
    return wrong() or not right()


def test_an_event_ends_the_wait(api):
    w = wait(api)
    api.lists.put(listing())
    for e in (event("ADDED", box("Pending")), event("MODIFIED", box("Ready", "6"))):
        api.watches.put(e)
    assert w.future.result(LIMIT_S)["status"]["phase"] == "Ready"
    assert api.seen == ["LIST", "WATCH 1"]


def test_a_failed_sandbox_fails_the_wait_with_its_message(api):
    w = wait(api)
    api.lists.put(listing(box("Failed", reason="PodLost")))
    with pytest.raises(errors.SandboxFailed, match="words") as e:
        w.future.result(LIMIT_S)
    assert e.value.reason == "PodLost"


def test_a_watch_that_is_cut_goes_on_where_it_was(api):
    w = wait(api)
    api.lists.put(listing())
    api.watches.put(event("ADDED", box("Pending", "7")))
    api.watches.put("cut")
    api.watches.put(event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    api.watches.put(None)
    api.watches.put(event("MODIFIED", box("Ready", "10")))
    w.future.result(LIMIT_S)
    assert api.seen[:4] == ["LIST", "WATCH 1", "WATCH 7", "WATCH 9"]


@pytest.mark.parametrize("gone", [(410, {"reason": "Expired"}), event("ERROR", {"code": 410, "reason": "Expired"})])
def test_a_version_that_is_too_old_means_a_new_list(api, gone):
    w = wait(api)
    api.lists.put(listing())
    api.watches.put(gone)
    api.lists.put(listing(box("Ready")))
    w.future.result(LIMIT_S)
    assert api.seen[:3] == ["LIST", "WATCH 1", "LIST"]


def test_what_is_missing_from_a_new_list_is_gone(api):
    w = wait(api)
    api.lists.put(listing())
    w.exists(box("Pending"))
    api.watches.put((410, {}))
    api.lists.put(listing(box("Ready", uid="another one of this name")))
    with pytest.raises(errors.SandboxGone):
        w.future.result(LIMIT_S)


def test_what_is_not_made_yet_is_not_gone(api):
    w = wait(api)
    api.lists.put(listing())
    api.watches.put((410, {}))
    api.lists.put(listing())
    api.watches.put(event("ADDED", box("Ready")))
    w.future.result(LIMIT_S)


def test_deletion_ends_the_wait(api):
    w = wait(api)
    w.exists(box("Pending"))
    api.lists.put(listing(box("Pending")))
    api.watches.put(event("DELETED", box("Pending", uid="another")))
    api.watches.put(event("DELETED", box("Pending")))
    with pytest.raises(errors.SandboxGone):
        w.future.result(LIMIT_S)


@pytest.mark.parametrize("gone", [event("DELETED", box("Ready", uid="old")), event("MODIFIED", box("Ready", uid="old")), event("MODIFIED", box("Failed", uid="old"))])
def test_an_earlier_object_of_the_name_ends_nothing(api, gone):
    """The last events of the earlier object may come while the new one is being made, before and after the answer to its POST."""
    w = wait(api, uid=None)
    api.lists.put(listing())
    api.watches.put(gone)
    api.watches.put(event("ADDED", box("Pending", "6")))
    assert not wait_unless(lambda: w.future.done(), lambda: "u1" in w._unknown)
    w.exists(box("Pending"))
    api.watches.put(gone)
    api.watches.put(event("MODIFIED", box("Ready", "7")))
    assert w.future.result(LIMIT_S)["metadata"]["uid"] == "u1"


@pytest.mark.parametrize(("kind", "phase", "error"), [("ADDED", "Ready", None), ("MODIFIED", "Failed", errors.SandboxFailed), ("DELETED", "Pending", errors.SandboxGone)])
def test_what_was_told_before_the_answer_is_kept(api, kind, phase, error):
    w = wait(api, uid=None)
    api.lists.put(listing())
    api.watches.put(event(kind, box(phase)))
    for i in range(_hub.UNKNOWN_MAX - 1):
        api.watches.put(event("MODIFIED", box("Failed", uid=f"other {i}")))
    assert not wait_unless(lambda: w.future.done(), lambda: len(w._unknown) == _hub.UNKNOWN_MAX)
    w.exists(box("Pending"))
    assert type(w.future.exception(0)) is (error or type(None))


@pytest.mark.parametrize("phase", ["Ready", "Failed"])
def test_a_caller_who_goes_while_his_wait_ends_harms_no_other(api, monkeypatch, phase):
    hub = _hub.Hub(api.connection)
    gone, other = wait(api, hub=hub), wait(api, "b", hub=hub)
    for name in ("set_result", "set_exception"):
        settle = getattr(gone.future, name)
        monkeypatch.setattr(gone.future, name, lambda value, settle=settle: (gone.future.cancel(), settle(value)))
    api.lists.put(listing())
    api.watches.put(event("ADDED", box(phase)))
    api.watches.put(event("ADDED", box("Ready", name="b")))
    assert other.future.result(LIMIT_S)


def test_a_thread_that_has_died_is_replaced(api, monkeypatch):
    hub = _hub.Hub(api.connection)
    first = wait(api, hub=hub)
    watcher = next(iter(hub._watchers.values()))
    with monkeypatch.context() as m:
        m.setattr(threading, "excepthook", lambda _: None)
        m.setattr(watcher, "_watch", lambda _: sys.exit())    # ends the thread without an error
        api.lists.put(listing())
        watcher._thread.join(LIMIT_S)
    wait(api, "b", hub=hub)
    api.lists.put(listing(box("Ready")))
    assert first.future.result(LIMIT_S)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(api, status):
    w = wait(api)
    api.lists.put((status, {}))
    api.lists.put(listing(box("Ready")))
    w.future.result(LIMIT_S)


@pytest.mark.parametrize(("status", "hint"), [(401, "sign in again"), (403, "arl-edit")])
def test_who_may_not_look_is_told(api, status, hint):
    w = wait(api)
    for _ in range(_hub.FATAL_TRIES):
        api.lists.put((status, {"message": "no"}))
    with pytest.raises(errors.NotAllowed, match=hint):
        w.future.result(LIMIT_S)


def test_refusals_between_watches_that_are_cut_end_nothing(api, monkeypatch):
    """Between the refusals there are watches that are accepted, though they bring no event: so the credentials are good."""
    monkeypatch.setattr(_hub, "PAUSE_MAX_S", 0.05)
    w = wait(api)
    for _ in range(_hub.FATAL_TRIES + 1):
        api.lists.put(listing())    # not all of these lists are asked for
        api.watches.put((401, {"message": "no"}))
        api.watches.put("cut")
    api.watches.put(event("ADDED", box("Ready")))
    assert w.future.result(LIMIT_S)


@pytest.mark.parametrize("nothing", ["cut", None, {"error": "bad gateway"}, ["no event"], {"type": "ADDED", "object": {"metadata": {"name": "a"}}}])
def test_watches_that_bring_nothing_lead_to_a_list(api, monkeypatch, nothing):
    """A proxy may cut each event, end each watch, or send an answer of its own."""
    monkeypatch.setattr(_hub, "PAUSE_MAX_S", 0.05)
    w = wait(api)
    api.lists.put(listing())
    for _ in range(_hub.BARREN_MAX):
        api.watches.put(nothing)
        if nothing not in ("cut", None):
            api.watches.put("cut")
    api.lists.put(listing(box("Ready"), version="9"))
    assert w.future.result(LIMIT_S)
    assert api.seen[: _hub.BARREN_MAX + 2] == ["LIST", *["WATCH 1"] * _hub.BARREN_MAX, "LIST"]


@pytest.mark.parametrize("answer", [None, "half", (410, {}), event("ERROR", {"code": 410})])
def test_whoever_ends_each_watch_at_once_is_not_asked_without_a_pause(api, monkeypatch, answer):
    monkeypatch.setattr(_hub, "PAUSE_FIRST_S", 0.2)
    w = wait(api)
    for _ in range(100):
        api.lists.put(listing())
        api.watches.put(answer)
        if isinstance(answer, dict):
            api.watches.put("cut")
    time.sleep(1)
    w.future.cancel()
    assert 2 <= len(api.seen) < 16


def test_a_watch_that_was_ended_late_goes_on_at_once(api, monkeypatch):
    monkeypatch.setattr(_hub, "SHORT_S", 0.1)
    monkeypatch.setattr(_hub, "PAUSE_FIRST_S", LIMIT_S)
    monkeypatch.setattr(_hub, "BARREN_MAX", 1)
    w = wait(api)
    api.lists.put(listing())
    for _ in range(2):
        threading.Timer(0.3, api.watches.put, (None,)).start()
        time.sleep(0.4)
    api.watches.put(event("ADDED", box("Ready")))
    assert w.future.result(LIMIT_S / 2)
    assert api.seen == ["LIST", *["WATCH 1"] * 3]


def test_after_a_failed_wait_the_next_one_has_all_its_tries(api, monkeypatch):
    monkeypatch.setattr(_hub, "PAUSE_MAX_S", 0.05)
    hub = _hub.Hub(api.connection)
    kept = wait(api, "kept", hub=hub)
    for _ in range(2):
        w = wait(api, hub=hub)
        for _ in range(_hub.FATAL_TRIES):
            api.lists.put((401, {"message": "no"}))
        kept.fail = lambda _: None
        with pytest.raises(errors.NotAllowed):
            w.future.result(LIMIT_S)
    assert len(api.seen) == 2 * _hub.FATAL_TRIES
    kept.future.cancel()


def test_waits_share_one_watch(api):
    hub = _hub.Hub(api.connection)
    waits = [wait(api, str(i), hub=hub) for i in range(50)]
    api.lists.put(listing())
    for i in range(50):
        api.watches.put(event("ADDED", box("Ready", name=str(i))))
    for w in waits:
        w.future.result(LIMIT_S)
    assert api.seen == ["LIST", "WATCH 1"]


def test_a_wait_ends_soon_after_its_event(api):
    """Measures from the last byte of the event to the end of the wait. A poll would take longer."""
    hub = _hub.Hub(api.connection)
    api.lists.put(listing())
    delays = []
    for i in range(50):
        w = wait(api, str(i), hub=hub)
        began = time.perf_counter()
        api.watches.put(event("ADDED", box("Ready", name=str(i))))
        w.future.result(LIMIT_S)
        delays.append(time.perf_counter() - began)
    assert sorted(delays)[len(delays) // 2] < 0.1    # a poll of a second or half of one would show


def test_a_pool_that_is_not_there_is_told_also_where_pools_may_not_be_listed(api, monkeypatch):
    def refuse(*_, **__):
        raise errors.NotAllowed("no list")
    monkeypatch.setattr(api.connection, "list", refuse)
    api.posts.put((404, {"reason": "NotFound"}))
    with pytest.raises(errors.PoolNotFound, match="'a' not found.*\n.*no list") as e:
        Pool.get("a", namespace="n", connection=api.connection)
    assert e.value.available == ()


class TestCreate:
    """A POST may be repeated, since its name is random."""

    body = {"metadata": {"name": "a", "labels": {CLIENT_LABEL: "me"}}}
    taken = 409, {"reason": "AlreadyExists", "message": "there is one"}

    @staticmethod
    def labelled(client):
        made = box("Pending")
        made["metadata"]["labels"] = {CLIENT_LABEL: client}
        return 200, made

    def test_a_lost_answer_is_no_error(self, api):
        for answer in ((503, {}), self.taken, self.labelled("me")):
            api.posts.put(answer)
        assert api.connection.create("n", "sandboxes", self.body)["metadata"]["uid"] == "u1"
        assert api.seen == ["POST", "POST", "GET"]

    @pytest.mark.parametrize("body", [body, {"metadata": {"name": "a"}}])
    @pytest.mark.parametrize("there", [labelled("somebody"), (200, box("Pending"))])
    def test_what_somebody_else_has_made_is_not_taken_for_it(self, api, body, there):
        for answer in ((503, {}), self.taken, there):
            api.posts.put(answer)
        with pytest.raises(errors.Refused, match="there is one"):
            api.connection.create("n", "sandboxes", body)

    def test_a_pool_can_be_told_from_another_ones(self, api):
        for answer in ((503, {}), self.taken, self.labelled(client_id())):
            api.posts.put(answer)
        assert Pool.create("a", "image", namespace="n", connection=api.connection).name == "a"

    def test_a_try_that_was_sent_away_has_made_nothing(self, api):
        for answer in ((429, {}, (("Retry-After", "0"),)), self.taken):
            api.posts.put(answer)
        with pytest.raises(errors.Refused, match="there is one"):
            api.connection.create("n", "sandboxes", self.body)
        assert api.seen == ["POST", "POST"]

    def test_a_name_that_is_taken_is_one(self, api):
        api.posts.put((409, {"reason": "AlreadyExists", "message": "there is one"}))
        with pytest.raises(errors.Refused, match="there is one"):
            api.connection.create("n", "sandboxes", self.body)

    def test_what_is_refused_is_not_repeated(self, api):
        api.posts.put((422, {"message": "spec.poolRef: required"}))
        with pytest.raises(errors.Refused, match="spec.poolRef") as e:
            api.connection.create("n", "sandboxes", self.body)
        assert isinstance(e.value, ValueError)
        assert api.seen == ["POST"]

    def test_retry_after_is_heeded(self, api):
        api.posts.put((429, {}, (("Retry-After", "1"),)))
        api.posts.put((201, box("Pending")))
        began = time.monotonic()
        api.connection.create("n", "sandboxes", self.body)
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize("state", ["list", "watch", "pause"])
def test_the_end_of_the_process_ends_its_threads(api, monkeypatch, state):
    monkeypatch.setattr(_hub, "PAUSE_FIRST_S", LIMIT_S)
    monkeypatch.setattr(_hub, "EXIT_S", LIMIT_S)
    hub = _hub.Hub(api.connection)
    first = wait(api, hub=hub)
    watcher = next(iter(hub._watchers.values()))
    thread = watcher._thread
    if state == "watch":
        api.lists.put(listing())
        assert not wait_unless(lambda: False, lambda: "WATCH 1" in api.seen)
        api.watches.put(event("BOOKMARK", {"metadata": {"resourceVersion": "2"}}))
    elif state == "pause":
        api.lists.put((500, {}))
    assert not wait_unless(lambda: False, lambda: watcher._response is not None if state == "watch" else api.seen)
    if state == "list":
        threading.Timer(0.1, api.lists.put, (listing(),)).start()
    _hub._at_exit()
    assert not thread.is_alive()
    assert not first.future.done()
    # Clean-up that runs later may still begin a wait.
    last = wait(api, "b", hub=hub)
    api.lists.put(listing(box("Ready", name="b")))
    assert last.future.result(LIMIT_S)
    first.future.cancel()
    api.watches.put(None)
