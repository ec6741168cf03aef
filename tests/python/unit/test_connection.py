"""Which cluster a connection is to, and requests that are repeated."""

import json
import math
import time

import pytest
from arl import InteractiveShellClient, _connection, _hub, _tasks, errors
from arl._connection import Connection
from arl._names import CLIENT_LABEL
from fake_pod import FakePod
from fake_server import refusal, serving
from kubernetes import client, config


def kubeconfig(path, host, namespace, token="t"):
    body = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [{"name": "c", "cluster": {"server": host}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(json.dumps(body))
    return str(path)


def test_kubeconfig_counts_as_it_is_now(tmp_path, monkeypatch):
    """KUBECONFIG may be set after the import, as notebooks do."""
    monkeypatch.setattr(_connection, "_shared", {})
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in ("one", "two"):
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / name, f"http://{name}", name))
        found = Connection.load()
        assert (found.api_client.configuration.host, found.namespace) == (f"http://{name}", name)


@pytest.mark.parametrize("value", [None, ""])
def test_without_kubeconfig_it_is_that_of_the_user(tmp_path, monkeypatch, value):
    monkeypatch.setattr(_connection, "_shared", {})
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "http://mine", "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False) if value is None else monkeypatch.setenv("KUBECONFIG", value)
    assert Connection.load().namespace == "mine"


@pytest.mark.parametrize(("value", "wanted"), [("-1", None), ("nan", None), ("-inf", None), ("soon", None), ("0", 0), ("1.5", 1.5), ("inf", math.inf)])
def test_retry_after_is_a_time_or_nothing(value, wanted):
    error = client.ApiException(status=429)
    error.headers = {"Retry-After": value}
    assert _connection.retry_after(error) == wanted


BROKEN = {
    "empty": "", "no YAML": "{a: [", "a list": "[1, 2]", "no context": "{apiVersion: v1, kind: Config, clusters: [], contexts: [], users: []}",
}


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(_connection, "_shared", {})
    monkeypatch.setattr(_connection, "RETRY_S", 0.3)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_kubeconfig_is_named(alone, tmp_path, monkeypatch, text):
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(config.ConfigException, match=str(tmp_path)) as e:
        Connection.load()
    assert isinstance(e.value, errors.NotConfigured)


def test_a_folder_is_no_kubeconfig(alone, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(errors.NotConfigured, match=str(tmp_path)):
        Connection.load()


def test_nothing_is_repeated_below_us_and_the_settings_of_others_stay(alone, tmp_path, monkeypatch):
    """urllib3 does not repeat a POST whose connection breaks; only we may. This one has no label, so it is sent once."""
    monkeypatch.setattr(client.Configuration, "_default", None)
    monkeypatch.setattr(_connection, "RETRY_S", 0.0)
    with serving(lambda request: None) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", server.url, "n"))
        with pytest.raises(errors.ClusterUnreachable):
            Connection.load_as_default().create("n", "sandboxes", {"metadata": {"name": "a"}})
        assert server.seen == ["POST sandboxes"]
    default = client.Configuration.get_default_copy()
    assert (default.host, default.retries, default.connection_pool_maxsize) == (
        server.url, client.Configuration().retries, client.Configuration().connection_pool_maxsize)


def renewing(valid):
    """Answers of a server that accepts only the token valid[0]."""
    def answer(request):
        if request.headers["Authorization"].lower() != f"bearer {valid[0]}":
            return refusal(401, "Unauthorized", "Unauthorized")
        if request.watch:
            return 200, [{"type": "MODIFIED", "object": ready}]
        if request.name == "sandboxes":
            return (201, pending) if request.method == "POST" else (200, {"metadata": {"resourceVersion": "1"}, "items": []})
        return 200, ready
    meta = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    pending = {"metadata": meta}
    ready = {"metadata": {**meta, "resourceVersion": "2"}, "status": {"phase": "Ready"}}
    return answer


def test_a_token_that_is_renewed_is_read_again(alone, tmp_path, monkeypatch):
    """After a 401 to a request, and after one to a watch."""
    valid, file = ["t"], tmp_path / "config"
    with serving(renewing(valid)) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(file, server.url, "n"))
        connection = Connection.load()
        connection.get("n", "sandboxes", "a")
        valid[0] = "t2"
        kubeconfig(file, server.url, "n", "t2")
        connection.get("n", "sandboxes", "a")
        assert server.seen == ["GET a"] * 3
        valid[0] = "t3"
        kubeconfig(file, server.url, "n", "t3")
        wait = _hub.Hub(connection).wait_own("n", "sandboxes", "a", _tasks.look_ready)
        wait.uid = "u"
        assert wait.future.result(20)["status"]["phase"] == "Ready"
        assert server.seen[3:] == ["GET sandboxes", "GET sandboxes", "WATCH sandboxes"]


def test_credentials_that_are_the_same_are_not_tried_again(alone, tmp_path, monkeypatch):
    with serving(renewing(["another"])) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", server.url, "n"))
        with pytest.raises(errors.NotAllowed, match="sign in again"):
            Connection.load().get("n", "sandboxes", "a")
        assert server.seen == ["GET a"]


@pytest.mark.parametrize("text", ["{", None])
def test_objects_are_not_looked_for_in_another_cluster(alone, tmp_path, monkeypatch, text):
    """A changed kubeconfig may name another cluster, or be half written: then the first error stays."""
    file = tmp_path / "config"
    with serving(renewing(["another"])) as server, serving(lambda request: None) as other:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(file, server.url, "n"))
        connection = Connection.load()
        file.write_text(text) if text else kubeconfig(file, other.url, "n", "another")
        with pytest.raises(errors.NotAllowed):
            connection.get("n", "sandboxes", "a")
        assert (server.seen, other.seen) == (["GET a"], [])


def test_a_server_that_wants_a_day_is_not_waited_for(monkeypatch):
    with serving(lambda request: (*refusal(429, "TooManyRequests", "busy"), (("Retry-After", "86400"),))) as server:
        began = time.monotonic()
        for deadline in (None, began + 300):
            with pytest.raises(errors.ServerBusy):
                server.connection.get("n", "sandboxes", "a", deadline=deadline)
        assert (len(server.seen), time.monotonic() - began < 10) == (2, True)


def test_a_server_that_says_when_is_waited_for_as_long_as_the_caller_has_time(monkeypatch):
    """Retry-After may be longer than the time for which requests are repeated otherwise."""
    monkeypatch.setattr(_connection, "RETRY_S", 0.1)
    answers = [(*refusal(429, "TooManyRequests", "busy"), (("Retry-After", "1"),)), (200, {"metadata": {"name": "a"}})]
    with serving(lambda request: answers.pop(0)) as server:
        assert server.connection.get("n", "sandboxes", "a", deadline=time.monotonic() + 20)["metadata"]["name"] == "a"


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, {"error": "bad gateway"}), (200, "{")])
def test_what_is_no_answer_of_the_api_server_is_none(alone, answer):
    with serving(lambda request: answer) as server:
        for call in (lambda: server.connection.get("n", "sandboxes", "a"), lambda: server.connection.list("n", "sandboxes")):
            with pytest.raises(errors.ClusterUnreachable):
                call()


def test_a_deletion_whose_answer_was_lost_is_one():
    answers = [None, refusal(404, "NotFound", "it is gone")]
    with serving(lambda request: answers.pop(0)) as server:
        assert server.connection.delete("n", "sandboxes", "a") is True


class TestLostPost:
    """The answers to a POST are lost until it is not repeated any more."""

    LABELS = {CLIENT_LABEL: "me"}
    BODY = {"metadata": {"name": "a", "labels": LABELS}}

    def create(self, there, deadline, broken=(504, {"reason": "Timeout"})):
        def answer(request):
            return broken if request.method == "POST" else there
        with serving(answer) as server:
            try:
                return server.connection.create("n", "tasks", self.BODY, deadline=deadline), server.seen
            except errors.ArlError as e:
                return type(e), server.seen

    @pytest.mark.parametrize("broken", [(504, {"reason": "Timeout"}), None])
    def test_what_it_has_made_is_found(self, alone, broken):
        made, seen = self.create((200, {"metadata": {"name": "a", "uid": "u", "labels": self.LABELS}}), time.monotonic() + 20, broken)
        assert (made["metadata"]["uid"], seen[-1]) == ("u", "GET a")

    @pytest.mark.parametrize("there", [
        (404, {"reason": "NotFound"}), (200, {"metadata": {"name": "a", "uid": "u", "labels": {CLIENT_LABEL: "another"}}})])
    def test_what_it_has_not_made_is_its_error(self, alone, there):
        error, _ = self.create(there, time.monotonic() + 20)
        assert error is errors.ServerBusy


    def test_what_was_not_sent_is_not_looked_for(self, alone, monkeypatch):
        """If there is no server at all, the error comes without a further look."""
        settings = client.Configuration()
        settings.host = "http://127.0.0.1:9"
        began = time.monotonic()
        with pytest.raises(errors.ClusterUnreachable):
            Connection(client.ApiClient(settings)).create("n", "tasks", self.BODY, deadline=began + 20)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(("status", "asked"), [(500, 1), (502, 1), (503, 2), (429, 2)])
def test_a_shell_of_arl_env_that_may_run_is_not_started_again(alone, tmp_path, monkeypatch, status, asked):
    monkeypatch.setattr(_connection, "RETRY_FIRST_S", 0.01)
    with FakePod(None) as pod:
        pod.refuse += [(status, refusal(status, "No", "words")[1], ()), (403, refusal(403, "Forbidden", "words")[1], ())]
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", pod.connection.api_client.configuration.host, "n"))
        with pytest.raises(client.ApiException, match="words"):
            InteractiveShellClient().connect_sync("n", "p")
        assert len(pod.seen) == asked


def test_a_shell_of_arl_env_that_is_refused_is_what_arl_env_raised(alone, tmp_path, monkeypatch):
    """arl-env raises an ApiException, and from create_interactive_shell a RuntimeError."""
    with FakePod(None) as pod:
        pod.refuse.append((403, refusal(403, "Forbidden", "cannot exec")[1], ()))
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", pod.connection.api_client.configuration.host, "n"))
        with pytest.raises(errors.NotAllowed, match="cannot exec") as e:
            InteractiveShellClient().connect_sync("n", "p")
    assert isinstance(e.value, client.ApiException) and e.value.status == 403
