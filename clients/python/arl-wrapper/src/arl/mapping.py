"""The same work in many sandboxes, each used once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_futures
from functools import partial
from typing import Any, Generic, TypeVar

from arl import _arguments, _cleanup, _ops
from arl._scope import Scope
from arl.aio import AsyncSandbox
from arl.errors import SandboxFailed, SandboxGone, TaskLost
from arl.pool import Pool
from arl.sandbox import Sandbox

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long those who are broken off have to end, and to delete their sandboxes themselves.
GRACE_S = 5.0
# What a fresh sandbox may mend; what an item's own code raises is the caller's.
_LOST = (SandboxFailed, SandboxGone, TaskLost)


def _check(fn: Any, concurrency: int, retries: int) -> None:
    if not callable(fn):
        raise TypeError(f"fn must be a function, and not {fn!r:.100}")
    _arguments.whole("concurrency", concurrency, 1)
    _arguments.whole("retries", retries)


class _Run(Generic[Item, Result]):
    """An item that is worked on, in a thread of its own."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.scope = Scope()
        self.future: Future[Result] = Future()
        self.sandbox: Sandbox | None = None

    def work(
        self, fn: Callable[[Sandbox, Item], Result], pool: Pool | str, retries: int, options: dict[str, Any]
    ) -> Result:
        for left in range(retries, -1, -1):
            try:
                with Sandbox.create(pool, **options) as self.sandbox:
                    return fn(self.sandbox, self.item)
            except _LOST:
                if left == 0:
                    raise
        raise AssertionError("not reached")


def _break_off(runs: Iterable[_Run[Any, Any]]) -> None:
    """Ends what is waited for there, and deletes the sandboxes: by those who have them, or else from here."""
    left = list(runs)
    for run in left:
        run.scope.cancel()
    wait_futures([run.future for run in left], timeout=GRACE_S)
    _cleanup.delete_all([run.sandbox._delete_by for run in left if run.sandbox and not run.future.done()])


def map(
    fn: Callable[[Sandbox, Item], Result],
    items: Iterable[Item],
    pool: Pool | str,
    concurrency: int = 16,
    retries: int = 0,
    **options: Any,
) -> Iterator[tuple[Item, Result]]:
    """Calls ``fn(sandbox, item)`` for each item, with a fresh sandbox each, and yields ``(item, result)`` as they end.

    When it is broken off, by Ctrl-C or because no further result is asked for, no item is begun any more, what the
    others wait for in arl ends at once, their commands are cancelled and their sandboxes deleted. Code of ``fn`` that
    waits for something else cannot be broken off: after 5 s it is left to itself, without its sandbox.

    Args:
        fn: Called in threads of its own.
        items: Taken one by one, as sandboxes get free.
        pool: A pool or its name.
        concurrency: How many at once.
        retries: How often an item is begun anew, in another sandbox, when its sandbox was lost. Only for work that
            may be done twice.
        options: Those of ``Sandbox.create``.

    Raises:
        TypeError: ``fn`` is no function, or one of the numbers is none.
        ValueError: ``concurrency`` is below 1, or ``retries`` below 0.
        BaseException: The first error of ``fn``, once what runs has ended; no further item is begun.
    """
    _check(fn, concurrency, retries)
    _cleanup.install()
    return _map(fn, iter(items), pool, concurrency, retries, options)


def _map(
    fn: Callable[[Sandbox, Item], Result],
    items: Iterator[Item],
    pool: Pool | str,
    concurrency: int,
    retries: int,
    options: dict[str, Any],
) -> Iterator[tuple[Item, Result]]:
    running: dict[Future[Result], _Run[Item, Result]] = {}
    try:
        while True:
            while len(running) < concurrency:
                try:
                    run: _Run[Item, Result] = _Run(next(items))
                except StopIteration:
                    break
                running[run.future] = run
                _ops.begin(partial(run.work, fn, pool, retries, options), run.scope, run.future, "arl-map")
            if not running:
                return
            done, _ = wait_futures(running, return_when=FIRST_COMPLETED)
            for future in done:
                run = running.pop(future)
                if future.exception() is not None:
                    wait_futures(running)
                yield run.item, future.result()
    finally:
        _break_off(running.values())


async def amap(
    fn: Callable[[AsyncSandbox, Item], Awaitable[Result]],
    items: Iterable[Item],
    pool: Pool | str,
    concurrency: int = 16,
    retries: int = 0,
    **options: Any,
) -> AsyncIterator[tuple[Item, Result]]:
    """The same with coroutines; see ``map``."""
    _check(fn, concurrency, retries)

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
