"""Keys of a cache that are not text: any hashable object, as in a dict."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Hashable

_numbers = itertools.count()
_lock = threading.RLock()  # an object's own `__eq__` and `__hash__` may use the cache


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class Key:
    """The key under which the library stores the entry of an object."""

    __slots__ = ("__weakref__", "data")

    def __init__(self) -> None:
        self.data = b"\xff%d" % next(_numbers)  # which no text is: UTF-8 has no byte 0xff


class Keys:
    """The keys of the objects in a cache. Objects that are equal have the same key.

    An object and its key are dropped once no entry and no caller uses the key.
    """

    def __init__(self) -> None:
        self._keys: weakref.WeakValueDictionary[Hashable, Key] = weakref.WeakValueDictionary()

    def find(self, of: Hashable) -> Key | None:
        """Returns the key of an object, None if it has none."""
        return self._keys.get(of)

    def make(self, of: Hashable) -> Key:
        """Returns the key of an object."""
        with _lock:
            key = self._keys.get(of)
            if key is None:
                key = self._keys[of] = Key()
            return key
