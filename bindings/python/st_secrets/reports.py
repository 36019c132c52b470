"""The types of what a manager reports. None of the reports contains a secret."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

__all__ = [
    "Check",
    "ClusterConfirmation",
    "Confirmation",
    "Description",
    "Health",
    "MemoryHealth",
    "ProviderHealth",
    "ProviderStats",
    "SharedDocument",
    "Sharing",
    "SharingTier",
    "Stats",
]


class _Health(TypedDict):
    state: Literal["ok", "absent", "warning", "failed"]
    """`absent`: not configured, or no file."""
    detail: str


class Health(_Health, total=False):
    """The result of a check."""

    advice: str
    """What to do, if there is anything to do."""


class ProviderHealth(Health):
    """The health of one provider."""

    name: str


class MemoryHealth(Health):
    """The health of the memory that holds secrets."""

    mapped_bytes: int
    unlocked_bytes: int


class Check(TypedDict):
    """What `SecretsManager.check` returns."""

    ok: bool
    """False if a provider failed."""
    providers: list[ProviderHealth]
    memory: MemoryHealth
    share: Health
    """The directory that is shared with other processes, and the server of `share_url`."""


class Description(TypedDict):
    """What `SecretsManager.describe` returns. Times are in seconds."""

    timeout: float
    cache_ttl: float
    miss_ttl: float
    max_stale: float
    max_backoff: float
    cached_values: int
    providers: list[dict[str, Any]]
    """In their order: `name`, and settings, which differ between the kinds of providers."""


class SharedDocument(TypedDict):
    """An AWS or Vault document that processes share."""

    id: str
    """Part of the names of its files."""
    provider: str
    place: str
    """The secret or path."""
    age: float | None
    """Seconds since it was requested; None if this process cannot decrypt it or no process has loaded it."""
    expires_in: float | None
    loading: bool
    loader_pid: int | None
    """The process that loads it, in its own PID namespace."""
    failing: str | None
    """The message of the last load if it failed."""
    retry_in: float | None


class SharingTier(TypedDict):
    """The server through which hosts share."""

    url: str
    """Without a password."""
    revision: int | None
    """The last one that this host has seen."""
    retry_in: float | None
    """Seconds for which the server is left alone after a failure."""


class Sharing(TypedDict):
    """What `SecretsManager.share` returns."""

    share: Literal["host", "off"]
    directory: str | None
    owner: int | None
    """The user that the directory belongs to."""
    tier: SharingTier | None
    refused: str | None
    """Why nothing is shared."""
    documents: list[SharedDocument]


class Confirmation(TypedDict):
    """What `SecretsManager.invalidate` returns."""

    scope: str
    confirmed: list[int]
    """The processes in which no lookup that begins now returns an older value."""
    silent: list[int]
    """Those that are stopped, possibly in the middle of a lookup."""
    complete: bool
    """Whether the lists contain all processes on the host; they have room for 4088."""


class ClusterConfirmation(TypedDict):
    """What `SecretsManager.invalidate_cluster` returns, with names of hosts."""

    scope: str
    confirmed: list[str]
    """The hosts in which no lookup that begins now returns an older value."""
    silent: list[str]
    """Those that have not confirmed in time, or have made no call lately."""
    complete: bool


class ProviderStats(TypedDict):
    """The counters of one provider."""

    name: str
    found: int
    """Gets that had their value from this provider."""
    hits: int
    """Those of them that had it from memory, without a query of its source."""
    stale: int
    """Those of them that had an expired value."""
    loads: int
    """How often its source was read, or its method was called."""
    load_failures: int
    """Loads that failed, in whole or in part."""
    shared_loads: int
    """Documents that another process on this host had loaded."""
    retries: int
    """Requests that were repeated."""
    load_seconds: float
    """The time of all loads."""
    last_load_seconds: float
    longest_load_seconds: float


class Stats(TypedDict):
    """The counters of a manager since it was created."""

    gets: int
    """Gets; each key of `get_many` is one."""
    not_found: int
    failed: int
    providers: list[ProviderStats]
    """In their order."""
