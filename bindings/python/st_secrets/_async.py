"""Lookups for coroutines, and providers that are coroutines.

A lookup that has to wait for a server runs in one of a few threads, so that neither the event loop waits nor each call
has a thread of its own. The coroutines of asynchronous providers run in one event loop, in a thread of its own. A
lookup of such a coroutine has a thread of its own, because lookups in all other threads may wait for that coroutine.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeVar

T = TypeVar("T")

THREADS: Final = 8
"""How many lookups wait at the same time; others wait for one of the threads."""

_lock = threading.RLock()  # a signal handler may use the library while its thread holds the lock
_threads: concurrent.futures.ThreadPoolExecutor | None = None
_loop: asyncio.AbstractEventLoop | None = None
_shared: dict[Any, Call[Any]] = {}


def _after_fork() -> None:
    # The child has none of the threads.
    global _lock, _threads, _loop
    _lock, _threads, _loop = threading.RLock(), None, None
    _shared.clear()


os.register_at_fork(after_in_child=_after_fork)


def _pool() -> concurrent.futures.ThreadPoolExecutor:
    global _threads
    with _lock:
        if _threads is None:
            _threads = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="st_secrets")
        return _threads


def _is_of_provider() -> bool:
    """Returns whether a coroutine of a provider is running."""
    return _loop is not None and asyncio.get_running_loop() is _loop


def _start(function: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Calls a function in a thread of its own."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=run, name="st_secrets-alone", daemon=True).start()
    return future


class Call(Awaitable[T]):
    """A call in one of the threads, and the tasks of any event loop that wait for it.

    If the last waiting task is cancelled before a thread begins the call, the call is dropped.
    """

    def __init__(self, function: Callable[[], T], alone: bool = False) -> None:
        self._waiting = 0
        submit = _start if alone or _is_of_provider() else _pool().submit
        self._future = submit(functools.partial(contextvars.copy_context().run, function))

    async def wait(self) -> T:
        """Returns the result of the call or raises its exception."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake(_: object) -> None:
            try:
                loop.call_soon_threadsafe(end)
            except RuntimeError:
                pass  # the event loop is closed: no task waits

        with _lock:
            self._waiting += 1
        try:
            self._future.add_done_callback(wake)
            await waiter
        finally:
            with _lock:
                self._waiting -= 1
                if self._waiting == 0:
                    self._future.cancel()  # has no effect on a call that runs or is done
        return self._future.result()

    def __await__(self) -> Generator[Any, Any, T]:
        return self.wait().__await__()

    def ended(self) -> bool:
        """Returns whether the call is done or was dropped."""
        return self._future.done()

    def when_ended(self, function: Callable[[], object]) -> None:
        """Calls a function when the call is done or was dropped, whether a task waits for it or not."""
        self._future.add_done_callback(lambda _: function())


async def call(function: Callable[[], T]) -> T:
    """Calls a function in one of the threads."""
    return await Call(function)


async def call_alone(function: Callable[[], T]) -> T:
    """Calls a function, which may take long, in a thread of its own."""
    return await Call(function, alone=True)


async def call_once(key: Any, function: Callable[[], T]) -> T:
    """As `call`; calls under the same key that overlap are one call."""
    key = (key, _is_of_provider())  # a coroutine of a provider waits for no call that may wait for a thread
    while True:
        with _lock:
            current = _shared.get(key)
            if current is None or current.ended():
                current = _shared[key] = Call(function)
                current.when_ended(functools.partial(_forget, key, current))
        try:
            result: T = await current
            return result
        except concurrent.futures.CancelledError:
            pass  # the last waiting task of another event loop dropped it


def _forget(key: Any, ended: Call[Any]) -> None:
    with _lock:
        if _shared.get(key) is ended:
            del _shared[key]


def _provider_loop() -> asyncio.AbstractEventLoop:
    """Returns the event loop of asynchronous providers, which is started by the first of them."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="st_secrets-providers", daemon=True).start()
        return _loop


def result_of(answer: Any, timeout: float) -> Any:
    """Returns an answer of a provider. If it is awaitable, waits for it, for at most `timeout` seconds."""
    if not inspect.isawaitable(answer):
        return answer
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not None and running is _loop:
        if inspect.iscoroutine(answer):
            answer.close()
        raise RuntimeError("an asynchronous provider waits for itself: use get_async in it")
    future = asyncio.run_coroutine_threadsafe(_awaited(answer), _provider_loop())
    try:
        result, error = future.result(min(timeout, threading.TIMEOUT_MAX))
    except concurrent.futures.TimeoutError:
        raise TimeoutError from None
    except concurrent.futures.CancelledError:
        raise RuntimeError("the provider was cancelled") from None
    finally:
        future.cancel()  # has no effect if it is done
    if error is None:
        return result
    try:
        raise error
    finally:
        del error


async def _awaited(answer: Awaitable[T]) -> tuple[T | None, BaseException | None]:
    """Returns the result or the exception of an awaitable. A SystemExit in a task would end the event loop."""
    try:
        return await answer, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error
