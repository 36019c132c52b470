"""A cache of bytes that processes share, on one host or on many, through Redis, Valkey or etcd.

    cache = st_secrets.SharedCache("rediss://user:password@redis.example.com", share_key=key)
    page = cache.get_or_set("page:1", lambda: render(1), ttl=60)
    cache.invalidate_prefix("page:")    # in all processes, within a second

The server has only ciphertext. If it fails, each process has a cache of its own. See `docs/tier.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from . import _native
from ._settings import Kept, Settings

__all__ = ["SharedCache"]

# Seconds between two questions whether another thread has loaded a value.
_PAUSE = 0.005


class SharedCache(_native.SharedCache):
    """A cache of bytes, whose keys are text or bytes. It may be used from any number of threads at once, and in the
    child of a fork.

    `tier` is the URL of the server. `share_key` is 32 bytes in base64, the same in all processes; the default is the
    variable ST_SECRETS_SHARE_KEY. `config` may contain `tier_name`, `tier_interval`, `default_ttl`, `max_size` and the
    other settings of a cache.
    """

    def __new__(cls, tier: str, *, share_key: str | None = None, config: Settings | None = None) -> SharedCache:
        settings = Kept(config)
        settings.settings["tier"] = tier
        if share_key is not None:
            settings.settings["share_key"] = share_key
        del tier, share_key, config
        return _native.SharedCache.__new__(cls, settings.json() or "{}")

    def get(self, key: str | bytes) -> bytes | None:
        """Returns the value, from this process or from the server; None if there is none."""
        return self._get(key)

    def set(self, key: str | bytes, value: str | bytes, ttl: float | timedelta | None = None) -> None:
        """Stores a value in this process and on the server. It replaces the value of all processes."""
        self._set(key, value, ttl)

    def get_or_set(
        self, key: str | bytes, factory: Callable[[], str | bytes], ttl: float | timedelta | None = None
    ) -> bytes:
        """Returns the value, or stores and returns what `factory` returns. The threads of this process call it once."""
        while True:
            value, lease = self._begin(key)
            if value is not None:
                return value
            if lease:
                break
            time.sleep(_PAUSE)
        try:
            made = factory()
            self._finish(lease, made, ttl)
        except BaseException:
            self._abandon(lease)
            raise
        return made.encode() if isinstance(made, str) else made

    def delete(self, key: str | bytes) -> bool:
        """Removes a value everywhere. Returns whether this process had it."""
        return self._delete(key)

    def invalidate_prefix(self, prefix: str | bytes) -> int:
        """Removes the values whose keys begin with this, everywhere. Returns how many of them this process had."""
        return self._invalidate_prefix(prefix)

    def clear(self) -> int:
        """Removes all values everywhere. Returns how many this process had."""
        return self._invalidate_prefix(b"")
