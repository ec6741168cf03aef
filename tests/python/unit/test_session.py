"""Sessions, pools and sandboxes against a server that keeps objects: how many requests they need, and the errors for missing pools."""

import threading
import time

import pytest
from arl import Pool, Sandbox, SandboxSession, _connection, _exec, _tasks, errors, pool
from fake_pod import FakePod
from fake_server import Server, refusal, unanswered

STEP = {"name": "x", "type": "Command", "command": ["true"]}
LIMIT_S = 20


class Cluster:
    """A server that has these pools. A sandbox or task has its last state at once. Lists wait until something was made."""

    def __init__(self, pools=("pool",), conditions=()):
        self.pools, self.conditions, self.made, self.asked = pools, list(conditions), [], threading.Event()
        self.server = Server(self.answer)
        self.connection = self.server.connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.asked.set()
        self.server.close()

    def answer(self, request):
        plural = request.path.split("/")[6]
        if plural == "warmpools":
            items = [{"metadata": {"name": name}} for name in self.pools][:int(request.query.get("limit", ["1000"])[0])]
            return (200, {"metadata": {}, "items": items}) if request.name == plural else refusal(404, "NotFound", "no pool")
        if request.method == "POST":
            self.make(request.body)
            self.asked.set()
            return 201, self.made[-1]
        if request.method == "DELETE":
            return 200, {}
        if request.watch:
            return 200, [{"type": "MODIFIED", "object": o} for o in self.made if o["kind"].lower() in plural]
        self.asked.wait(LIMIT_S)
        self.asked.clear()
        return 200, {"metadata": {"resourceVersion": "1"}, "items": [o for o in self.made if o["kind"].lower() in plural]}

    def make(self, body):
        body["metadata"].update(uid=f"u{len(self.made)}", resourceVersion="1")
        ready = self.conditions.pop(0) if self.conditions and body["kind"] == "Sandbox" else None
        body["status"] = {"phase": "Ready", "state": "Succeeded", "exitCode": 0}
        if ready:
            body["status"] = {"phase": ready[0], "conditions": [{"type": "Ready", "status": "False", "reason": ready[1], "message": "words"}]}
        self.made.append(body)


def session(cluster, pool="pool"):
    s = SandboxSession(pool, "n")
    s._connection = cluster.connection
    return s


def test_a_session_costs_three_writes_and_no_get():
    with Cluster() as cluster:
        with session(cluster) as s:
            assert s.execute([STEP])["status"]["state"] == "Succeeded"
        seen = list(cluster.server.seen)
    assert sorted(text.split()[0] for text in seen if not text.startswith(("WATCH", "GET"))) == ["DELETE", "POST", "POST"]
    lists = [text for text in seen if text.startswith("GET")]
    # At most one list of each kind, although two threads ask. There may be none, if the answer came before.
    assert len(lists) == len(set(lists)) and set(lists) <= {"GET sandboxes", "GET tasks"}


@pytest.mark.parametrize("ready", [("Pending", "WaitingForPool"), ("Failed", "PoolNotFound")])
def test_a_pool_that_is_not_there_is_told_with_those_that_are(ready):
    with Cluster(("python", "node"), [ready]) as cluster, pytest.raises(ValueError, match="'pyhton' not found") as e:
        session(cluster, "pyhton").create_sandbox()
    assert (type(e.value), e.value.available, e.value.status) == (errors.PoolNotFound, ("python", "node"), 404)
    assert "Available pools: python, node" in str(e.value) and "Did you mean 'python'?" in e.value.hint
    assert "DELETE" in [text.split()[0] for text in cluster.server.seen]


def test_a_pool_that_the_operator_has_not_seen_yet_is_there():
    with Cluster(("pool",), [("Pending", "WaitingForPool")]) as cluster:
        s = session(cluster)
        assert s.create_sandbox()["status"]["phase"] == "Ready"
        s.delete_sandbox()
        assert [text for text in cluster.server.seen if text.startswith(("POST", "DELETE"))][:2] == ["POST sandboxes", "DELETE " + cluster.made[0]["metadata"]["name"]]


def test_a_sandbox_says_which_pools_are_there():
    """Of many pools the error names those whose names are most alike."""
    pools = tuple(f"image-{i:03}" for i in range(600)) + ("python",)
    with Cluster(("python",) + pools, [("Failed", "PoolNotFound")]) as cluster:
        with pytest.raises(errors.PoolNotFound, match="Available pools: python, .* and 490 more") as e:
            Sandbox.create("pythn", connection=cluster.connection)
        assert len(e.value.available) == 500
        with pytest.raises(errors.PoolNotFound, match=r"Did you mean 'image-012'\?"):
            Pool.get("imag-012", connection=cluster.connection)


RIGHT = 'warmpools.arl.infra.io is forbidden: User "u" cannot list resource "warmpools" in API group "arl.infra.io" in the namespace "n"'


def without_the_right_to_list(cluster):
    usual = cluster.answer
    cluster.server.answer = lambda request: refusal(403, "Forbidden", RIGHT) if request.name == "warmpools" else usual(request)
    return cluster


def test_a_pool_that_the_operator_has_not_seen_yet_is_waited_for_by_who_may_not_list_pools():
    with Cluster((), [("Pending", "WaitingForPool")]) as cluster:
        s = session(without_the_right_to_list(cluster))
        assert s.create_sandbox()["status"]["phase"] == "Ready"
        s.delete_sandbox()


@pytest.mark.parametrize("create", [
    lambda c: session(c, "pol").create_sandbox(), lambda c: Sandbox.create("pol", connection=c.connection), lambda c: Pool.get("pol", connection=c.connection)])
def test_who_may_not_list_pools_is_told_so_with_the_right_that_is_missing(create):
    with Cluster((), [("Failed", "PoolNotFound")] * 2) as cluster:
        with pytest.raises(errors.PoolNotFound, match="'pol' not found in namespace 'n'.\nAvailable pools: .not known: .*cannot list") as e:
            create(without_the_right_to_list(cluster))
    assert (e.value.available, e.value.listed) == ((), False)
    assert "Role that allows list of warmpools in namespace n" in e.value.hint


def SANDBOX(c):
    return Sandbox(c, "n", {"metadata": {"name": "s", "uid": "u"}})


@pytest.mark.parametrize("call", [
    lambda c: Sandbox.create("p", connection=c, timeout=0.5), lambda c: Pool(c, "n", "p").wait_ready(0.5), lambda c: SANDBOX(c).wait_ready(0.5),
    lambda c: SANDBOX(c).delete(wait=True, timeout=0.5), lambda c: Sandbox(c, "n", {"metadata": {"name": "s", "uid": "u"}}).execute([STEP])])
def test_a_server_that_says_nothing_does_not_take_longer_than_the_caller_has(call, monkeypatch):
    monkeypatch.setattr(_tasks, "TASK_GRACE_S", 0.5)
    monkeypatch.setattr(_tasks, "DEFAULT_STEP_TIMEOUT_S", 0.0)
    assert unanswered(call) < 2.5


def test_a_pool_that_is_late_is_late_also_when_nobody_says_why(monkeypatch):
    """The caller waits hardly longer than his limit."""
    monkeypatch.setattr(pool, "LAST_LOOK_S", 0.1)
    found = {"metadata": {"name": "p", "uid": "u"}, "spec": {"replicas": 1}}
    answers = [(200, found), (200, {"metadata": {"resourceVersion": "1"}, "items": [found]}), (200, [])]
    server = Server(lambda request: answers.pop(0) if answers else server.closing.wait(LIMIT_S) and None)
    began = time.monotonic()
    try:
        with pytest.raises(errors.PoolNotReady, match="is not ready after 0.5 s: .*no answer from the API server"):
            Pool(server.connection, "n", "p").wait_ready(0.5)
    finally:
        server.close()
    assert time.monotonic() - began < 2.5


def test_a_long_output_of_a_session_is_had_whole(monkeypatch):
    whole, file = b"a" * 100, "/var/lib/arl/output/u1.0"
    step = {"name": "x", "stdout": f"{'a' * 10}\n[... 80 bytes dropped ...]\n{'a' * 10}", "truncated": True, "outputFile": f"{file}.1"}

    def cat(peer):
        assert (peer.query["command"], peer.query["container"]) == (["arl-sidecar", "cat", f"{file}.1"], ["sidecar"])
        peer.send(1, whole)
        peer.end()
    with Cluster() as cluster, FakePod(cat) as pod, session(cluster) as s:
        task = s.execute([STEP])
        task["status"]["steps"] = [step]
        usual = cluster.answer
        cluster.made[0]["status"]["podName"] = "p"
        cluster.server.answer = lambda request: (200, cluster.made[0]) if request.name == s.sandbox_name else usual(request)
        open_exec = _exec.open_exec
        monkeypatch.setattr(_exec, "open_exec", lambda _, *args, **more: open_exec(pod.connection, *args, **more))
        assert task.result.stdout_bytes() == whole


def test_a_task_whose_post_lost_all_its_answers_is_waited_for(monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.2)
    with Cluster() as cluster:
        usual = cluster.answer

        def answer(request):
            name = cluster.made[0]["metadata"]["name"] if cluster.made else None
            if request.method == "POST":
                if not cluster.made:
                    usual(request)
                return refusal(504, "Timeout", "the request did not complete")
            return (200, cluster.made[0]) if request.name == name else usual(request)
        cluster.server.answer = answer
        sandbox = Sandbox(cluster.connection, "n", {"metadata": {"name": "s", "uid": "u"}})
        assert sandbox.execute([STEP]).state == "Succeeded"
    assert len(cluster.made) == 1
