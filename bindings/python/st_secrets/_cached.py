"""Functions whose results are cached."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from . import _native

if TYPE_CHECKING:
    from .cache import TTLCache

S = TypeVar("S")
P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
_MISSING: Any = _native.MISSING


class Cached(Protocol[P, R]):
    """A function or method whose results are cached in `_cache`."""

    _cache: TTLCache[Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Cached[P, R]: ...
    @overload
    def __get__(self: Cached[Concatenate[S, Q], R], instance: S, owner: type | None = None, /) -> Callable[Q, R]: ...


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
    from .cache import TTLCache

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        name = name_of(function)
        head = f"{key_prefix}:{name}" if key_prefix else name

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
            if key is None:
                return _native.function_key(head, args, kwargs)
            return _native.function_key(head, tuple(key(*args, **kwargs)), {})

        return cached_function(function, TTLCache(default_ttl=ttl, max_size=max_size), key_of, keeps_none=True)

    return decorate


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of a function in cache keys."""
    return getattr(function, "__name__", type(function).__name__)


def cached_function(
    function: Callable[P, R],
    cache: TTLCache[Any],
    key_of: Callable[[tuple[Any, ...], dict[str, Any]], str],
    *,
    keeps_none: bool,
) -> Cached[P, R]:
    """Returns a function whose results are in `cache`, under the keys that `key_of` returns."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        where = key_of(args, kwargs)
        value = cache.get(where, _MISSING)
        if value is _MISSING:
            value = cache._load(where, functools.partial(function, *args, **kwargs), None, keeps_none)
        return value

    @functools.wraps(function)
    async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        where = key_of(args, kwargs)
        value = cache.get(where, _MISSING)
        if value is _MISSING:
            load: Any = functools.partial(function, *args, **kwargs)
            value = await cache._load_async(where, load, None, keeps_none)
        return value

    # An object whose class defines `async def __call__`.
    called = getattr(type(function), "__call__", None)  # noqa: B004
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
    result: Any = async_wrapper if is_async else wrapper
    result._cache = cache
    return result  # type: ignore[no-any-return]
