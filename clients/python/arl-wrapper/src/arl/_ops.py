"""One body for sync and async.

What both have to do is a generator: it yields each request that it makes and each end that it waits for, and gets back
what came of it. ``run`` does that by waiting, ``arun`` with asyncio. So cleaning up, too, is written once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from arl import _scope
from arl._event import Event
from arl._fork import in_child
from arl._scope import BrokenOff, Scope, check_scope, in_scope
from arl.errors import ArlError

T = TypeVar("T")

# Requests at once of all event loops; each takes milliseconds.
REQUESTS_AT_ONCE = 32
# Pieces of output that wait for an event loop.
QUEUED = 16


@dataclass(frozen=True)
class Call:
    """A request to the API server."""

    fn: Callable[[], Any]


@dataclass(frozen=True)
class Until:
    """The end of a wait."""

    future: Future[Any]
    timeout: float | None


class Late(Exception):
    """A wait was not over in time."""


Op = Generator[Call | Until, Any, T]


def run(op: Op[T]) -> T:
    """Does it in this thread."""
    return _drive(op, _do)


def _drive(op: Op[T], do: Callable[[Call | Until], Any]) -> T:
    try:
        step = next(op)
        while True:
            try:
                value = do(step)
            except BaseException as e:
                step = op.throw(e)
            else:
                step = op.send(value)
    except StopIteration as e:
        result: T = e.value
        return result


def _do(step: Call | Until) -> Any:
    if isinstance(step, Call):
        return step.fn()
    return _End(step.future).wait(step.timeout)


class _End:
    """The end of a future, or of the scope of who waits for it, if there is one."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        self._over = Event()
        in_scope(self.abort)
        future.add_done_callback(lambda _: self.abort())

    def abort(self) -> None:
        self._over.set()

    def wait(self, timeout: float | None) -> Any:
        self._over.wait(timeout)
        check_scope()
        if not self._future.done():
            raise Late
        return self._future.result()


async def arun(op: Op[T]) -> T:
    """Does it in this event loop."""
    gone = Event()
    try:
        step = next(op)
        while True:
            try:
                value = await _ado(step, gone)
            except BaseException as e:
                step = op.throw(e)
            else:
                step = op.send(value)
    except StopIteration as e:
        result: T = e.value
        return result


# A request that has begun goes on when the caller is cancelled: what it has made must be known. It is not repeated.
async def _ado(step: Call | Until, gone: Event) -> Any:
    if isinstance(step, Call):
        return await request(step.fn, gone)
    future = asyncio.wrap_future(step.future)
    done, _ = await asyncio.wait({future}, timeout=step.timeout)
    if not done:
        raise Late
    return future.result()


async def _finish(future: asyncio.Future[T], gone: Event) -> T:
    canceled: asyncio.CancelledError | None = None
    while not future.done():  # anyio cancels again and again
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as e:
            canceled = e
            gone.set()
    if canceled is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # it is seen
    raise canceled


_executor: ThreadPoolExecutor | None = None
_executor_lock = threading.Lock()


def _forked() -> None:
    global _executor, _executor_lock
    _executor, _executor_lock = None, threading.Lock()


in_child(_forked)


def _requests() -> ThreadPoolExecutor:
    global _executor
    with _executor_lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(REQUESTS_AT_ONCE, "arl-request")
        return _executor


async def request(fn: Callable[[], T], gone: Event | None = None) -> T:
    """Makes one request; ``gone`` is set, or is set here, when the caller is cancelled."""
    gone = gone or Event()
    context = contextvars.copy_context()
    context.run(_scope.gone.set, gone)
    return await _finish(asyncio.wrap_future(_requests().submit(context.run, fn)), gone)


def begin(
    fn: Callable[[], T], scope: Scope, future: Future[T], name: str, undo: Callable[[T], object] | None = None
) -> None:
    """Does something in a thread of its own, whose waits and connections end with this scope.

    ``undo`` gets a result that nobody takes.
    """

    def body() -> None:
        try:
            with scope:
                result = fn()
        except BaseException as e:
            error = e  # e is gone when the block ends
            settle(lambda: future.set_exception(error))
        else:
            if not settle(lambda: future.set_result(result)) and undo is not None:
                undo(result)

    threading.Thread(target=body, name=name, daemon=True).start()


async def in_thread(fn: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Does something long in a thread of its own, which is broken off when the caller is cancelled.

    ``undo`` gets a result that comes too late for him.
    """
    scope = Scope()
    future: Future[T] = Future()
    begin(fn, scope, future, "arl-async", undo)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        scope.cancel()
        if undo is not None and future.done() and not future.cancelled() and future.exception() is None:
            undo(future.result())
        raise


def settle(end: Callable[[], None]) -> bool:
    """Sets the result or the error of a Future; False: it has ended, or its caller has gone."""
    try:
        end()
        return True
    except InvalidStateError:
        return False


@contextmanager
def unless_gone(error: BaseException | None) -> Iterator[None]:
    """For cleaning up: drops its errors where the caller goes by Ctrl-C or a cancellation, which must be seen."""
    try:
        yield
    except ArlError:
        if error is None or isinstance(error, Exception):
            raise


class Pump(Generic[T]):
    """Iterates over something that waits, in a thread of its own, for an event loop.

    Args:
        items: Makes the iterator, in that thread.
    """

    def __init__(self, items: Callable[[], Iterator[T]]) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[T | None, BaseException | None]] = asyncio.Queue(QUEUED)
        self._scope = Scope()
        self.over = False
        threading.Thread(target=self._body, name="arl-async", daemon=True).start()

    def _put(self, item: T | None, error: BaseException | None) -> None:
        put = self._queue.put((item, error))
        try:
            waiting = asyncio.run_coroutine_threadsafe(put, self._loop)
        except RuntimeError:  # the loop is closed
            put.close()
            raise BrokenOff from None
        try:
            _End(waiting).wait(None)
        except BrokenOff:
            waiting.cancel()
            raise

    def _body(self) -> None:
        error: BaseException | None = None
        with self._scope, suppress(BrokenOff):
            try:
                for item in self._items():
                    self._put(item, None)
            except BaseException as e:
                error = e
            self._put(None, error)

    async def get(self) -> T | None:
        """The next one; None: there is none."""
        if self.over:
            return None
        return self._next(await self._queue.get())

    async def get_now(self) -> T | None:
        """The next one that is there; None: none is."""
        await asyncio.sleep(0)  # so that it can come in between
        return None if self.over or self._queue.empty() else self._next(self._queue.get_nowait())

    def _next(self, got: tuple[T | None, BaseException | None]) -> T | None:
        item, error = got
        if item is None:
            self.over = True
        if error is not None:
            raise error
        return item

    def stop(self) -> None:
        """Breaks it off; who waits for the next one is told that there is none."""
        self.abandon()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait((None, None))

    def abandon(self) -> None:
        """Breaks it off, from any thread, when nobody waits for it any more."""
        self._scope.cancel()


async def iterate(items: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """The same as an iterator, which is broken off when the caller goes."""
    pump = Pump(items)
    try:
        while (item := await pump.get()) is not None:
            yield item
    finally:
        pump.stop()
