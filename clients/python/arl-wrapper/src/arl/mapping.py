"""The same work in many sandboxes, each used once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_futures
from typing import Any, TypeVar

from arl.aio import AsyncSandbox
from arl.errors import SandboxFailed, SandboxGone, TaskLost
from arl.pool import Pool
from arl.sandbox import Sandbox

Item = TypeVar("Item")
Result = TypeVar("Result")

# What a fresh sandbox may mend; what an item's own code raises is the caller's.
_LOST = (SandboxFailed, SandboxGone, TaskLost)


def _check(concurrency: int, retries: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, and not {concurrency}")
    if retries < 0:
        raise ValueError(f"retries must be at least 0, and not {retries}")


def map(
    fn: Callable[[Sandbox, Item], Result],
    items: Iterable[Item],
    pool: Pool | str,
    *,
    concurrency: int = 16,
    retries: int = 0,
    **options: Any,
) -> Iterator[tuple[Item, Result]]:
    """Calls ``fn(sandbox, item)`` for each item, with a fresh sandbox each, and yields ``(item, result)`` as they end.

    Args:
        fn: Called in threads of its own.
        items: Taken one by one, as sandboxes get free.
        pool: A pool or its name.
        concurrency: How many at once.
        retries: How often an item is begun anew, in another sandbox, when its sandbox was lost. Only for work that
            may be done twice.
        options: Those of ``Sandbox.create``.

    Raises:
        ValueError: ``concurrency`` is below 1, or ``retries`` below 0.
        BaseException: The first error of ``fn``, once what runs has ended; no further item is begun.
    """
    _check(concurrency, retries)

    def one(item: Item) -> Result:
        for left in range(retries, -1, -1):
            try:
                with Sandbox.create(pool, **options) as sandbox:
                    return fn(sandbox, item)
            except _LOST:
                if left == 0:
                    raise
        raise AssertionError("not reached")

    waiting: dict[Future[Result], Item] = {}
    rest = iter(items)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="arl-map") as executor:

        def fill() -> None:
            while len(waiting) < concurrency:
                try:
                    item = next(rest)
                except StopIteration:
                    return
                waiting[executor.submit(one, item)] = item

        fill()
        while waiting:
            done, _ = wait_futures(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                item = waiting.pop(future)
                yield item, future.result()
            fill()


async def amap(
    fn: Callable[[AsyncSandbox, Item], Awaitable[Result]],
    items: Iterable[Item],
    pool: Pool | str,
    *,
    concurrency: int = 16,
    retries: int = 0,
    **options: Any,
) -> AsyncIterator[tuple[Item, Result]]:
    """The same with coroutines; see ``map``."""
    _check(concurrency, retries)

    async def one(item: Item) -> Result:
        for left in range(retries, -1, -1):
            try:
                async with AsyncSandbox.create(pool, **options) as sandbox:
                    return await fn(sandbox, item)
            except _LOST:
                if left == 0:
                    raise
        raise AssertionError("not reached")

    waiting: dict[asyncio.Task[Result], Item] = {}
    rest = iter(items)
    try:
        while True:
            while len(waiting) < concurrency:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                waiting[asyncio.ensure_future(one(item))] = item
            if not waiting:
                return
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                item = waiting.pop(task)
                yield item, task.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
