"""A cache whose entries expire, the two built-in caches of the process, and `@cached`.

The names are those of SimpleTuner's `cloud.cache`. Values are stored by reference: `get` returns the object that was
stored. A cache holds at most `max_size` entries and evicts the least recently used one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from . import _native
from ._flight import Flight

__all__ = [
    "TTLCache",
    "cached",
    "get_provider_config_cache",
    "get_user_permission_cache",
    "invalidate_provider_cache",
    "invalidate_user_cache",
]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)
_MISSING: Any = _native.MISSING


class TTLCache(_native.Cache[T]):
    """A cache whose entries expire after `default_ttl` seconds, unless they are set with another TTL.

    It may be used from any number of threads and event loops at once, and in the child of a fork.
    """

    __slots__ = ()

    async def get_or_set_async(self, key: str, factory: Callable[[], Awaitable[T]], ttl: float | None = None) -> T:
        """Returns the value under `key`, or stores and returns the result of `await factory()`.

        It is called once for all tasks and threads that wait for the key. If its task is cancelled, one of the waiting
        callers calls its own factory.
        """
        value: T = self.get(key, _MISSING)
        while value is _MISSING:
            flight, lease = Flight.enter(self, key)
            if lease is None:
                if flight is not None:
                    await flight.wait_async()
                    value = flight.result(_MISSING)
                else:
                    value = self.get(key, _MISSING)
                continue
            try:
                value = await factory()
                flight.finish(self, key, lease, value, ttl)
            except BaseException as error:
                flight.abandon(self, key, lease, error)
                flight = None  # avoids a reference cycle through the traceback
                raise
        return value

    def _load(self, key: str, factory: Callable[[], T], ttl: float | None) -> T:
        """Loads a missing value for `get_or_set`."""
        value: T = _MISSING
        while value is _MISSING:
            flight, lease = Flight.enter(self, key)
            if lease is None:
                if flight is None:
                    value = self.get(key, _MISSING)
                elif flight.wait():
                    value = flight.result(_MISSING)
                else:
                    return factory()  # a task of this thread loads it and will store its own result
                continue
            try:
                value = factory()
                flight.finish(self, key, lease, value, ttl)
            except BaseException as error:
                flight.abandon(self, key, lease, error)
                flight = None  # avoids a reference cycle through the traceback
                raise
        return value


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


class Cached(Protocol[P, R]):
    """A function whose results are cached in `_cache`."""

    _cache: TTLCache[Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


def cached(
    ttl: float = 60.0,
    key_prefix: str = "",
    *,
    max_size: int = 1000,
    key: Callable[..., tuple[Any, ...]] | None = None,
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Caches the results of a function or coroutine function for `ttl` seconds, in a cache of its own.

    The cache key is `key_prefix:name:argument:…`, such as `mymodule:get_user:123`. Arguments may be None, bool, int,
    float, str, bytes, and lists, tuples and dicts of these. For other types pass `key`, which receives the arguments of
    the call and returns a tuple that identifies them: `key=lambda self, user_id: (self.name, user_id)`.
    """

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        cache: TTLCache[Any] = TTLCache(default_ttl=ttl, max_size=max_size)
        name = getattr(function, "__name__", type(function).__name__)
        head = f"{key_prefix}:{name}" if key_prefix else name

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
            if key is None:
                return _native.function_key(head, args, kwargs)
            return _native.function_key(head, tuple(key(*args, **kwargs)), {})

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            where = key_of(args, kwargs)
            value = cache.get(where, _MISSING)
            if value is _MISSING:
                value = cache._load(where, functools.partial(function, *args, **kwargs), None)
            return value

        @functools.wraps(function)
        async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            load: Any = functools.partial(function, *args, **kwargs)
            return await cache.get_or_set_async(key_of(args, kwargs), load)

        # An object whose class defines `async def __call__`.
        called = getattr(type(function), "__call__", None)  # noqa: B004
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
        result: Any = async_wrapper if is_async else wrapper
        result._cache = cache
        return result  # type: ignore[no-any-return]

    return decorate
