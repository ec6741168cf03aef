"""The errors: one tree, each with what programs of arl-env and of the official package catch."""

import copy
import pathlib
import pickle
import re

import pytest
from arl import CommandResult, errors
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


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not errors.ArlError and k is not errors.ApiError])
def test_its_reason_is_in_the_documentation(kind):
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", API.read_text(encoding="utf-8"), re.M)
    assert (kind.default_reason, kind.__name__) in rows


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
