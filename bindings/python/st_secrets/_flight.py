"""Loads in progress in this process, and the callers that wait for them.

The library issues one lease for each key, and calls back when the load of another caller ends.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from .errors import BusyError

# The load that each waiting thread waits for, to detect threads that wait for each other in a circle.
_waiting: dict[int, Load] = {}
os.register_at_fork(after_in_child=_waiting.clear)


class Load:
    """The thread or task that loads a key. `lease` is the number of its lease, or 0."""

    __slots__ = ("_key", "_task", "_thread", "ended", "lease")

    def __init__(self, key: Hashable) -> None:
        self._key = key
        self._thread = threading.get_ident()
        task = _current_task()
        # A weak reference: if the task's event loop is dropped, so is the task, and a waiting caller loads instead.
        self._task = None if task is None else weakref.ref(task)
        self.ended = False
        self.lease = 0

    def needs_this_thread(self) -> bool:
        """Whether a task of this thread runs the load, which could not continue if the thread waited."""
        if self._task is None or self._thread != threading.get_ident() or self.ended:
            return False
        self.refuse_itself()
        return True

    def refuse_itself(self) -> None:
        """Raises BusyError if the calling task runs the load."""
        if self._task is None:
            is_own = self._thread == threading.get_ident()
        else:
            owner = self._task()
            is_own = owner is not None and owner is _current_task()
        if is_own:
            raise self._waits_for_itself()

    def _waits_for_itself(self) -> BusyError:
        return BusyError(f"the load of {self._key!r} waits for itself: it requests the key that it loads")

    def block(self, lock: threading.Lock) -> None:
        """Waits in this thread until `lock` is released. Signals interrupt it."""
        me = threading.get_ident()
        before = _waiting.get(me)  # a signal handler may interrupt another wait
        _waiting[me] = self
        try:
            following: Load | None = self
            while following is not None and not following.ended:
                if following._thread == me:
                    raise self._waits_for_itself()
                following = _waiting.get(following._thread)
            lock.acquire()
        finally:
            if before is None:
                _waiting.pop(me, None)
            else:
                _waiting[me] = before


def wait(load: Load | None, lock: threading.Lock) -> None:
    """Waits in this thread until the load of another caller ends and releases `lock`. None: Python does not know it."""
    if load is None:
        lock.acquire()
    else:
        load.block(lock)


class Waiter:
    """A caller that waits for the load of another. It is called with the value or the exception. `number` is the number
    of its registration, or 0.
    """

    __slots__ = ("_error", "_value", "_wake", "number")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self.number = 0

    @classmethod
    def of_task(cls, future: asyncio.Future[None]) -> Waiter:
        def settle() -> None:
            if not future.done():
                future.set_result(None)

        return cls(lambda: future.get_loop().call_soon_threadsafe(settle))

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error = value, error
        try:
            self._wake()
        except RuntimeError:
            pass  # its event loop is closed: no task waits

    def take(self) -> Any:
        """Returns the value or raises the exception, without a reference cycle through the traceback."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
