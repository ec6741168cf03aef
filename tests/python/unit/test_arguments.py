"""Arguments: which are taken, and what is said of wrong ones."""

import asyncio

import arl
import pytest
from arl import AsyncSandbox, Pool, Sandbox, _tasks


@pytest.fixture
def created(monkeypatch):
    """The bodies of the sandboxes that were made, with their clusters."""
    made = []

    def create(make, connection, body, **_):
        made.append((connection, body["metadata"]["namespace"], body["spec"]["poolRef"]))
        return make(body)
        yield
    monkeypatch.setattr(_tasks, "create_sandbox", create)
    return made


@pytest.mark.parametrize(("more", "wanted"), [({}, "n"), ({"namespace": "other"}, "other")])
def test_a_pool_does_for_its_name(created, more, wanted):
    pool, cluster = Pool("cluster", "n", "p"), ("cluster", wanted, "p")

    async def make():
        await AsyncSandbox.create(pool, **more)
    Sandbox.create(pool, **more)
    asyncio.run(make())
    assert created == [cluster, cluster]


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"concurrency": -1}, {"retries": -1}])
def test_a_map_with_wrong_numbers_is_an_error_and_no_empty_result(wrong):
    (name,) = wrong

    async def amap():
        return [x async for x in arl.amap(print, [1], "p", **wrong)]
    with pytest.raises(ValueError, match=name):
        list(arl.map(print, [1], "p", **wrong))
    with pytest.raises(ValueError, match=name):
        asyncio.run(amap())
