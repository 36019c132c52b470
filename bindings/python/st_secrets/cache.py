"""A cache whose entries expire, the two built-in caches of the process, and `@cached`.

The names are those of SimpleTuner's `cloud.cache`. Values are stored by reference: `get` returns the object that was
stored. A cache holds at most `max_size` entries and evicts the least recently used one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from . import _native
from ._cached import Cached, P, R, cached_function, name_of
from ._entry import CacheEntry
from ._flight import Load, Waiter, wait

__all__ = [
    "CacheEntry",
    "TTLCache",
    "cached",
    "get_provider_config_cache",
    "get_user_permission_cache",
    "invalidate_provider_cache",
    "invalidate_user_cache",
]

T = TypeVar("T")
_MISSING: Any = _native.MISSING


class TTLCache(_native.Cache[T]):
    """A cache whose entries expire after `default_ttl` seconds, unless they are set with another TTL.

    A key is any hashable object, as in a dict; text is the fastest. `invalidate_prefix` applies to text alone.

    It may be used from any number of threads and event loops at once, and in the child of a fork.

    After `soft_ttl` seconds, the first caller of `get_or_set` or `get_or_set_async` reloads a value, while the others
    still get the old one; so does the caller whose reload fails, unless with NotFoundError or AccessDeniedError. For
    `absent_ttl` seconds the cache remembers that a load raised NotFoundError. `ttl_jitter` (0 to 1) is the fraction of
    its lifetime by which an entry may expire early, so that entries stored together do not expire together.
    """

    __slots__ = ()

    async def get_or_set_async(self, key: Hashable, factory: Callable[[], Awaitable[T]], ttl: float | None = None) -> T:
        """Returns the value under `key`, or stores and returns the result of `await factory()`.

        It is called once for all tasks and threads that wait for the key. If its task is cancelled, one of the waiting
        callers calls its own factory.
        """
        value: T = _MISSING if self._refreshes else self.get(key, _MISSING)
        return await self._load_async(key, factory, ttl) if value is _MISSING else value

    async def _load_async(
        self, key: Hashable, factory: Callable[[], Awaitable[T]], ttl: float | None, keeps_none: bool = True
    ) -> T:
        """Loads a missing value for `get_or_set_async`. None is stored only if `keeps_none`."""
        value: T = _MISSING
        shown, key = key, self._key(key)
        while value is _MISSING:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            own, waiter = Load(shown), Waiter.of_task(future)
            try:
                other = self._begin(key, own, waiter)
                if own.lease:
                    value = await factory()
                    self._end(key, own, value, 0.0 if value is None and not keeps_none else ttl)
                elif waiter.number:
                    if other is not None:
                        other.refuse_itself()
                    await future
                    value = waiter.take()
                else:
                    value = self.get(key, _MISSING)
            except BaseException as error:
                value = self._fail(key, own, error)
                if value is _MISSING:
                    raise
            finally:
                self._leave(waiter)
        return value

    def _load(self, key: Hashable, factory: Callable[[], T], ttl: float | None, keeps_none: bool = True) -> T:
        """Loads a missing value for `get_or_set`. None is stored only if `keeps_none`."""
        value: T = _MISSING
        shown, key = key, self._key(key)
        while value is _MISSING:
            lock = threading.Lock()
            lock.acquire()
            own, waiter = Load(shown), Waiter(lock.release)
            try:
                other = self._begin(key, own, waiter)
                if own.lease:
                    value = factory()
                    self._end(key, own, value, 0.0 if value is None and not keeps_none else ttl)
                elif not waiter.number:
                    value = self.get(key, _MISSING)
                elif other is not None and other.needs_this_thread():
                    return factory()  # that task will store its own result
                else:
                    wait(other, lock)
                    value = waiter.take()
            except BaseException as error:
                value = self._fail(key, own, error)
                if value is _MISSING:
                    raise
            finally:
                self._leave(waiter)
        return value

    def _end(self, key: Hashable, own: Load, value: T, ttl: float | None) -> None:
        own.ended = True
        self._finish(key, own, own.lease, value, ttl)

    def _fail(self, key: Hashable, own: Load, error: BaseException) -> T:
        """Ends a load without a value, if this caller began one. Returns the old value if it may still be served."""
        old: T = _MISSING
        if own.lease:
            own.ended = True
            self._abandon(key, own, own.lease, error)
            if self._refreshes and isinstance(error, Exception):
                old = self.get(key, _MISSING)
        return old

    def _leave(self, waiter: Waiter) -> None:
        if waiter.number:
            self._cancel(waiter.number, waiter)


_provider_config_cache: TTLCache[dict[str, Any]] = TTLCache._built_in(False)
_user_permission_cache: TTLCache[Any] = TTLCache._built_in(True)


def get_provider_config_cache() -> TTLCache[dict[str, Any]]:
    """Returns the built-in cache for provider configuration: 300 s, 100 entries, keys such as
    `provider:replicate:config`. `ProviderConfigStore` reads through it.
    """
    return _provider_config_cache


def get_user_permission_cache() -> TTLCache[Any]:
    """Returns the built-in cache for user permissions: 60 s, 500 entries, keys such as `user:123:permissions`."""
    return _user_permission_cache


def invalidate_provider_cache(provider: str) -> int:
    """Removes the cached entries of a provider and returns their number."""
    return _native.invalidate_provider(provider)


def invalidate_user_cache(user_id: int) -> int:
    """Removes the cached entries of a user and returns their number."""
    return _native.invalidate_user(user_id)


def cached(ttl: float = 60.0, key_prefix: str = "") -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Caches the results of a function or coroutine function for `ttl` seconds, as SimpleTuner's `cached` does.

    The cache key is `key_prefix:name:argument:…:name=argument`, with the `str()` of each argument, so arguments with
    the same `str()` share a result. None is not cached. `st_secrets.cached` distinguishes them, and caches None.
    """

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        head = [key_prefix, name_of(function)]

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
            named = (f"{name}={value}" for name, value in sorted(kwargs.items()))
            return ":".join([*head, *map(str, args), *named])

        return cached_function(function, TTLCache(default_ttl=ttl), key_of, keeps_none=False)

    return decorate
