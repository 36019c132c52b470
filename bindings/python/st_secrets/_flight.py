"""A load in progress in this process, and the threads and tasks that wait for it.

The library issues one lease for each key. The holder of the lease is registered in the cache's `_flights`; other
threads, and tasks of any event loop, wait for the flight and take its result.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import Any

from ._native import MISSING
from .errors import BusyError

# The flight that each waiting thread waits for, to detect threads that wait for each other in a circle.
_waiting: dict[int, Flight] = {}
os.register_at_fork(after_in_child=_waiting.clear)


class Flight:
    """A load in progress."""

    __slots__ = ("_ended", "_error", "_futures", "_key", "_task", "_thread", "_value")

    def __init__(self, key: str) -> None:
        self._key = key
        self._thread = threading.get_ident()
        task = _current_task()
        # A weak reference: if the task's event loop is dropped, so is the task, and a waiting caller loads instead.
        self._task = None if task is None else weakref.ref(task)
        self._ended = threading.Event()
        self._futures: list[asyncio.Future[None]] = []
        self._value: Any = MISSING
        self._error: Exception | None = None

    @staticmethod
    def enter(cache: Any, key: str) -> tuple[Any, int | None]:
        """Returns (new flight, its lease) if the caller is to load the key, (the flight to wait for, None), or (None,
        None) if the value may have been stored in the meantime.
        """
        own = Flight(key)
        given = cache._begin(key, own)
        if type(given) is int:
            return own, given
        if given is False:
            # A caller outside of Python loads the key. Waits are short, so that signals are handled.
            cache._wait(key, 0.1)
        return given or None, None

    def wait(self) -> bool:
        """Waits in this thread for the end of the load. Returns False at once if a task of this thread loads the key,
        because that task could not run.
        """
        me = threading.get_ident()
        if self._task is not None and self._thread == me and not self._ended.is_set():
            self._refuse_itself()
            return False
        before = _waiting.get(me)  # a signal handler may interrupt another wait
        _waiting[me] = self
        try:
            following: Flight | None = self
            while following is not None and not following._ended.is_set():
                if following._thread == me:
                    raise self._waits_for_itself()
                following = _waiting.get(following._thread)
            self._ended.wait()
            return True
        finally:
            if before is None:
                _waiting.pop(me, None)
            else:
                _waiting[me] = before

    async def wait_async(self) -> None:
        """Waits in this task for the end of the load."""
        self._refuse_itself()
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        if not self._ended.is_set():
            await future

    def _refuse_itself(self) -> None:
        """Raises BusyError if the waiting task is the one that loads."""
        if self._task is None:
            itself = self._thread == threading.get_ident()
        else:
            owner = self._task()
            itself = owner is not None and owner is _current_task()
        if itself:
            raise self._waits_for_itself()

    def _waits_for_itself(self) -> BusyError:
        return BusyError(f"the load of {self._key!r} waits for itself: it requests the key that it loads")

    def result(self, otherwise: Any) -> Any:
        """Returns the loaded value, raises the failure, or returns `otherwise` if the load was cancelled."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self = None  # type: ignore[assignment]  # avoids a reference cycle through the traceback
        return otherwise if self._value is MISSING else self._value

    def finish(self, cache: Any, key: str, lease: int, value: Any, ttl: float | None) -> None:
        """Stores the value and wakes the waiting callers."""
        self._value = value
        try:
            cache._finish(key, self, lease, value, ttl)
        except BaseException:
            self._value = MISSING
            raise
        self._end()

    def abandon(self, cache: Any, key: str, lease: int, error: BaseException) -> None:
        """Ends the load without a value. All waiting callers get an exception; after an interruption or cancellation
        one of them loads the value instead.
        """
        if isinstance(error, Exception):
            self._error = error
        cache._abandon(key, self, lease)
        self._end()

    def _end(self) -> None:
        self._ended.set()
        for future in self._futures:
            try:
                future.get_loop().call_soon_threadsafe(_wake, future)
            except RuntimeError:
                pass  # its event loop is closed: no task waits


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
