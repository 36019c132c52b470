"""A cache of bytes that processes share, on one host or on many, through Redis, Valkey or etcd.

    cache = st_secrets.SharedCache("rediss://user:password@redis.example.com", share_key=key)
    page = cache.get_or_set("page:1", lambda: render(1), ttl=60)
    cache.invalidate_prefix("page:")    # in all processes, within a second

The server has only ciphertext. If it fails, each process has a cache of its own. See `docs/tier.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import _native
from ._flight import Load, Waiter, wait
from ._settings import Kept, Settings

__all__ = ["SharedCache"]

_MISSING: Any = _native.MISSING


class SharedCache(_native.SharedCache):
    """A cache of bytes, whose keys are text or bytes. It may be used from any number of threads at once, and in the
    child of a fork.

    `tier` is the URL of the server. `share_key` is 32 bytes in base64, the same in all processes; the default is the
    variable ST_SECRETS_SHARE_KEY. `config` may contain `tier_name`, `tier_interval`, `default_ttl`, `max_size` and the
    other settings of a cache.
    """

    # Those in progress in this process, to detect a caller that waits for itself.
    _loads: dict[bytes, Load]

    def __new__(cls, tier: str, *, share_key: str | None = None, config: Settings | None = None) -> SharedCache:
        settings = Kept(config)
        settings.settings["tier"] = tier
        if share_key is not None:
            settings.settings["share_key"] = share_key
        del tier, share_key, config
        made = _native.SharedCache.__new__(cls, settings.json() or "{}")
        made._loads = {}
        return made

    def get(self, key: str | bytes) -> bytes | None:
        """Returns the value, from this process or from the server; None if there is none."""
        return self._get(key)

    def set(self, key: str | bytes, value: str | bytes, ttl: float | timedelta | None = None) -> None:
        """Stores a value in this process and on the server. It replaces the value of all processes."""
        self._set(key, value, ttl)

    def get_or_set(
        self, key: str | bytes, factory: Callable[[], str | bytes], ttl: float | timedelta | None = None
    ) -> bytes:
        """Returns the value, or stores and returns what `factory` returns. One thread of this process calls it; others
        wait for its result or exception. If a reload after `soft_ttl` fails, the old value is returned, unless with
        NotFoundError or AccessDeniedError.
        """
        value: bytes = _MISSING
        used = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
        while value is _MISSING:
            lock = threading.Lock()
            lock.acquire()
            own, waiter, old = Load(key), Waiter(lock.release), _MISSING
            try:
                found = self._begin(key, own, waiter)
                if own.lease:
                    old, self._loads[used] = found, own
                    value = self._end(own, factory(), ttl)
                elif waiter.number:
                    wait(self._loads.get(used), lock)
                    value = waiter.take()
                else:
                    value = found
            except BaseException as error:
                value = self._fail(own, old, error)
                if value is _MISSING:
                    raise
            finally:
                self._leave(used, own, waiter)
        return value

    def _end(self, own: Load, made: str | bytes, ttl: float | timedelta | None) -> bytes:
        own.ended = True
        self._finish(own.lease, made, ttl)
        return made.encode() if isinstance(made, str) else made

    def _fail(self, own: Load, old: bytes, error: BaseException) -> bytes:
        """Ends a load without a value, if this caller began one. Returns the old value if it may still be served."""
        own.ended = True
        return old if own.lease and self._abandon(own.lease, error) else _MISSING

    def _leave(self, key: bytes, own: Load, waiter: Waiter) -> None:
        if own.lease and self._loads.get(key) is own:
            del self._loads[key]
        if waiter.number:
            self._cancel(waiter.number, waiter)

    def delete(self, key: str | bytes) -> bool:
        """Removes a value everywhere. Returns whether this process had it."""
        return self._delete(key)

    def invalidate_prefix(self, prefix: str | bytes) -> int:
        """Removes the values whose keys begin with this, everywhere. Returns how many of them this process had."""
        return self._invalidate_prefix(prefix)

    def clear(self) -> int:
        """Removes all values everywhere. Returns how many this process had."""
        return self._invalidate_prefix(b"")
