"""What a caller has begun when he is cancelled, or gives up: nothing of it is left behind, and his error is the one he sees."""

import asyncio
import functools
import threading
import time

import pytest
from arl import _cleanup, _ops


def test_a_request_is_finished_however_often_its_caller_is_cancelled():
    """Else what follows it, such as a delete, would overtake it."""
    ended = []

    def post():
        time.sleep(0.5)
        ended.append("POST")

    def op():
        try:
            yield _ops.Call(post)
        except BaseException:
            yield _ops.Call(lambda: ended.append("PATCH"))
            raise

    async def main():
        task = asyncio.create_task(_ops.arun(op()))
        for _ in range(4):
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(main())
    assert ended == ["POST", "PATCH"]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_end_of_the_process_deletes_what_it_has(monkeypatch, allowed):
    """Python 3.12.0 and 3.12.1 start no thread then."""
    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    if not allowed:
        monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(_cleanup, "_open", {})
    monkeypatch.setattr(_cleanup, "_installed", True)
    deleted = []
    for key in "ab":
        _cleanup.remember(key, functools.partial(deleted.append, key))
    _cleanup._at_exit()
    assert sorted(deleted) == ["a", "b"]
