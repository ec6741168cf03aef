"""WarmPoolManager uses the same layer as all other classes, and raises the errors that programs of arl-env catch."""

import pytest
from arl import WarmPoolManager, _connection, errors
from fake_server import refusal, serving
from kubernetes import client

POOL = {"metadata": {"name": "p"}, "spec": {}}
CALLS = {
    "create": lambda m: m.create_warmpool("p", "image"), "get": lambda m: m.get_warmpool("p"), "list": lambda m: m.list_warmpools(),
    "delete": lambda m: m.delete_warmpool("p"),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS)
def call(request):
    return request.param


def manager(server):
    m = WarmPoolManager("n")
    m._connection = server.connection
    return m


def right(request):
    if request.method == "POST":
        return 201, request.body
    return 200, {"metadata": {}, "items": [POOL]} if request.name == "warmpools" else POOL


def test_a_busy_server_is_asked_again(call):
    busy = [(*refusal(429, "TooManyRequests", "busy"), (("Retry-After", "0"),)), None]
    with serving(lambda request: busy.pop(0) if busy else right(request)) as server:
        call(manager(server))
        assert len(server.seen) == 3


@pytest.mark.parametrize("status", [403, 429, 500])
def test_what_is_refused_is_what_arl_env_raised(call, status, monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.1)
    with serving(lambda request: refusal(status, "No", "not now")) as server, pytest.raises(client.ApiException, match="not now") as e:
        call(manager(server))
    assert (e.value.status, isinstance(e.value, errors.ArlError)) == (status, True)


def test_a_server_that_says_nothing_is_an_error(call, monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.1)
    monkeypatch.setattr(_connection, "READ_TIMEOUT_S", 0.2)
    with serving(lambda request: server.closing.wait(20) and None) as server, pytest.raises(errors.ClusterUnreachable):
        call(manager(server))


@pytest.mark.parametrize("call", [CALLS["get"], CALLS["delete"], lambda m: m.wait_for_warmpool_ready("p", timeout=5)])
def test_a_pool_that_is_not_there_is_404(call):
    def answer(request):
        return refusal(404, "NotFound", "no") if request.name == "p" else (200, {"metadata": {}, "items": [{"metadata": {"name": "q"}}]})
    with serving(answer) as server, pytest.raises(client.ApiException) as e:
        call(manager(server))
    assert (type(e.value), e.value.status, e.value.available) == (errors.PoolNotFound, 404, ("q",))


def test_a_pool_whose_post_lost_its_answer_is_made_once():
    made = []

    def answer(request):
        if request.method == "POST" and made:
            return refusal(409, "AlreadyExists", "there is one")
        if request.method == "POST":
            made.append(request.body)
            return None
        return 200, made[0]
    with serving(answer) as server:
        assert manager(server).create_warmpool("p", "image") == made[0]
        with pytest.raises(errors.Refused, match="there is one"):
            manager(server).create_warmpool("p", "image")
