"""The errors: one tree of classes. Each is also of the class that programs of arl-env and of the official package catch."""

import copy
import errno
import json
import pathlib
import pickle
import re

import pytest
from arl import CommandResult, Pool, Sandbox, _connection, _runner, errors
from arl._connection import Connection
from fake_server import refusal, serving
from kubernetes import client, config

API = pathlib.Path(__file__).parents[3] / "docs" / "api.md"
KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.ArlError)]
TASK = {"metadata": {"name": "t"}, "spec": {"sandboxRef": "s"}, "status": {
    "state": "Failed", "exitCode": 3, "stdout": "cut", "steps": [{"stdout": "cut", "truncated": True, "outputFile": "u/0.1"}]}}


def error_of(kind, **more):
    result = (CommandResult.of(TASK, None),) if issubclass(kind, errors.CommandFailed) else ()
    return kind("words", *result, reason="Why", hint="do this", object={"kind": "Task"}, **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_is_the_same_in_another_process(kind, again):
    e = error_of(kind)
    for name in ("path", "available", "verb"):
        if hasattr(e, name):
            setattr(e, name, f"its {name}")
    copied = again(e)
    assert (type(copied), str(copied), repr(copied)) == (kind, str(e), repr(e))
    assert vars(copied) == vars(e)


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_a_file_error_still_says_what_an_oserror_says(again):
    e = _runner.failed("get", "/a", 1, b'{"error": "ENOENT", "message": "no such file"}')
    copied = again(e)
    assert (type(copied), copied.errno, copied.filename, copied.strerror) == (errors.FileMissing, errno.ENOENT, "/a", "no such file")


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not errors.ArlError and k is not errors.ApiError])
def test_its_reason_is_in_the_documentation(kind):
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", API.read_text(encoding="utf-8"), re.M)
    assert (kind.default_reason, kind.__name__) in rows


def test_each_reason_that_is_given_here_is_in_the_documentation():
    """Each reason that a verb of the sandbox gives is in docs/files.md."""
    given = {m for file in pathlib.Path(errors.__file__).parent.rglob("*.py") for m in re.findall(r'\breason="(\w+)"', file.read_text(encoding="utf-8"))}
    text = API.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| `\w+` \|", text, re.M))
    assert (given | {_runner.CUT}) <= rows and {"ARCHIVE", "CHANGED"} <= given
    verbs = (API.parent / "files.md").read_text(encoding="utf-8")
    assert {reason for reason in _runner._KINDS if not reason.startswith("E")} <= set(re.findall(r"^\| `(\w+)` \| \d+ \|", verbs, re.M))


@pytest.mark.parametrize(("kind", "old"), [
    (errors.NotConfigured, config.ConfigException), (errors.ClusterUnreachable, client.ApiException), (errors.ClusterUnreachable, ConnectionError),
    (errors.ServerBusy, client.ApiException), (errors.NotInstalled, client.ApiException), (errors.NotAllowed, PermissionError), (errors.Refused, ValueError),
    (errors.PoolNotFound, ValueError), (errors.PoolNotReady, TimeoutError),
])
def test_what_old_code_catches(kind, old):
    assert issubclass(kind, old) and issubclass(kind, RuntimeError)


@pytest.mark.parametrize(("kind", "reason"), [(errors.TaskGone, "TaskDeleted"), (errors.CommandTimeout, "StepTimeout"), (errors.SandboxGone, "SandboxDeleted")])
def test_a_reason_that_is_no_name_of_a_class(kind, reason):
    result = (CommandResult.of(TASK),) if issubclass(kind, errors.CommandFailed) else ()
    assert kind("words", *result).reason == reason


def test_a_result_is_the_same_in_another_process():
    result = CommandResult.of(TASK, lambda file, timeout: b"all")
    for again in (lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy):
        assert again(result) == result


RIGHT = 'sandboxes.arl.infra.io is forbidden: User "u" cannot create resource "sandboxes" in API group "arl.infra.io" in the namespace "n"'


def test_a_right_that_is_missing_is_named():
    with serving(lambda request: refusal(403, "Forbidden", RIGHT)) as server:
        with pytest.raises(errors.NotAllowed, match="Role that allows create of sandboxes in namespace n") as e:
            server.connection.create("n", "sandboxes", {"metadata": {"name": "a"}})
    assert (e.value.verb, e.value.resource, e.value.namespace, e.value.status) == ("create", "sandboxes", "n", 403)


@pytest.mark.parametrize("answer", [(404, "404 page not found\n"), refusal(404, "NotFound", "the server could not find the requested resource")])
@pytest.mark.parametrize("call", [
    lambda c: Sandbox.create("p", connection=c), lambda c: Sandbox.attach("a", connection=c), lambda c: Pool.get("p", connection=c),
    lambda c: Pool(c, "n", "p").wait_ready(5), lambda c: Pool.list(connection=c)])
def test_a_cluster_without_the_kinds_is_told(answer, call):
    with serving(lambda request: answer) as server, pytest.raises(errors.NotInstalled, match="kubectl apply -f crds/") as e:
        call(server.connection)
    assert e.value.status == 404


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stays_busy_is_an_api_exception(status, monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.1)
    with serving(lambda request: refusal(status, "Busy", "not now")) as server, pytest.raises(client.ApiException, match="not now") as e:
        server.connection.get("n", "sandboxes", "a")
    assert (type(e.value), e.value.status, json.loads(e.value.body)["message"]) == (errors.ServerBusy, status, "not now")


def test_a_server_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.1)
    monkeypatch.setattr(_connection, "_shared", {})
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "config"
    file.write_text(json.dumps({
        "current-context": "here", "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}], "users": [{"name": "u", "user": {"token": "t"}}]}))
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(errors.ClusterUnreachable, match="the API server http://127.0.0.1:9") as e:
        Connection.load().get("n", "sandboxes", "a")
    assert f"the context here of {file}" in e.value.hint
    assert e.value.status == 0
