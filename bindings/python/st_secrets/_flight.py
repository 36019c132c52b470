"""A load of a cache that is under way in this process, and who waits for it.

The library gives out one lease for each key; whoever has it stands in the cache's `_flights`. Others wait here, as threads
or as tasks of any event loop, and get from here what comes of it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import Any

from ._native import MISSING
from .errors import BusyError

# Which flight each waiting thread waits for, so that a ring of threads which wait for each other is noticed.
_waiting: dict[int, Flight] = {}
os.register_at_fork(after_in_child=_waiting.clear)


class Flight:
    """One load."""

    __slots__ = ("_ended", "_error", "_futures", "_key", "_task", "_thread", "_value")

    def __init__(self, key: str) -> None:
        self._key = key
        self._thread = threading.get_ident()
        task = _current_task()
        # Not held: if its event loop is gone, so goes the task, and what it loads falls to others.
        self._task = None if task is None else weakref.ref(task)
        self._ended = threading.Event()
        self._futures: list[asyncio.Future[None]] = []
        self._value: Any = MISSING
        self._error: Exception | None = None

    @staticmethod
    def enter(cache: Any, key: str) -> tuple[Any, int | None]:
        """(a new flight, its lease) if the caller is to load the key; (the flight to wait for, None); or (None, None):
        the value may be there by now."""
        own = Flight(key)
        given = cache._begin(key, own)
        if type(given) is int:
            return own, given
        if given is False:
            # Somebody outside of Python loads it. Short waits, so that signals are seen.
            cache._wait(key, 0.1)
        return given or None, None

    def wait(self) -> bool:
        """Lets this thread wait for the end. False, at once: it would wait for a task that only this thread can run."""
        me = threading.get_ident()
        if self._task is not None and self._thread == me and not self._ended.is_set():
            self._refuse_itself()
            return False
        before = _waiting.get(me)  # a signal handler may wait within another wait
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
        """Lets this task wait for the end."""
        self._refuse_itself()
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        if not self._ended.is_set():
            await future

    def _refuse_itself(self) -> None:
        """Raises if whoever asks is who loads."""
        if self._task is None:
            itself = self._thread == threading.get_ident()
        else:
            owner = self._task()
            itself = owner is not None and owner is _current_task()
        if itself:
            raise self._waits_for_itself()

    def _waits_for_itself(self) -> BusyError:
        return BusyError(f"the load of {self._key!r} waits for itself: it asks for the key that it loads")

    def result(self, otherwise: Any) -> Any:
        """What came of it; `otherwise` if the owner was cancelled."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self = None  # type: ignore[assignment]  # else the error would hold itself, through its traceback
        return otherwise if self._value is MISSING else self._value

    def finish(self, cache: Any, key: str, lease: int, value: Any, ttl: float | None) -> None:
        """Stores the value and gives it to all who wait."""
        self._value = value
        try:
            cache._finish(key, self, lease, value, ttl)
        except BaseException:
            self._value = MISSING
            raise
        self._end()

    def abandon(self, cache: Any, key: str, lease: int, error: BaseException) -> None:
        """Ends it without a value. A failure is handed to all who wait; if the owner was interrupted or cancelled, they
        load it themselves."""
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
                pass  # its event loop is closed, so nobody waits


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
