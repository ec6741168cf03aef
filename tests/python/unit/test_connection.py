"""Which cluster it is, and requests that are repeated."""

import json

import pytest
from arl import _connection
from arl._connection import Connection
from kubernetes import client


def kubeconfig(path, host, namespace):
    body = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [{"name": "c", "cluster": {"server": host}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(body))
    return str(path)


def test_kubeconfig_counts_as_it_is_now(tmp_path, monkeypatch):
    """Also where it was set after the import, as by a notebook."""
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


@pytest.mark.parametrize(("value", "wanted"), [("-1", None), ("nan", None), ("-inf", None), ("soon", None), ("0", 0), ("1.5", 1.5), ("inf", _connection.RETRY_MAX_S)])
def test_retry_after_is_a_time_or_nothing(value, wanted):
    error = client.ApiException(status=429)
    error.headers = {"Retry-After": value}
    assert _connection._retry_after(error) == wanted
