"""SimpleTuner's name for an entry of a cache. The library's caches do not use it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["CacheEntry"]

T = TypeVar("T")


@dataclass
class CacheEntry(Generic[T]):
    """A value with the times at which it was stored and expires, in seconds since 1970."""

    value: T
    expires_at: float
    created_at: float = field(default_factory=time.time)

    @property
    def is_expired(self) -> bool:
        """Whether it has expired."""
        return time.time() >= self.expires_at

    @property
    def ttl_remaining(self) -> float:
        """The seconds until it expires, 0 if it has."""
        return max(0.0, self.expires_at - time.time())
