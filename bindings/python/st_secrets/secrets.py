"""Secrets from the environment, files, AWS Secrets Manager, Vault and custom providers.

The names are those of SimpleTuner's `cloud.secrets`, and so is the behaviour: a provider that fails is logged and
skipped, `get` returns the default, `set_secret` returns False. `require`, `find` and `strict=True` raise the failure.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from . import _async, _native
from ._log import forget_logged, log_skipped
from ._providers import (
    AWSParametersProvider,
    AWSSecretsManagerProvider,
    AzureKeyVaultProvider,
    CredentialsProvider,
    EnvironmentSecretProvider,
    FileSecretProvider,
    GoogleSecretManagerProvider,
    HashiCorpVaultProvider,
    HuggingFaceProvider,
    InfisicalProvider,
    KubernetesProvider,
    OnePasswordProvider,
    SecretProvider,
    delete_secret,
    getter,
    is_built_in,
    set_secret,
)
from ._settings import Kept, Settings
from ._table_providers import (
    AWSSecretProvider,
    AWSSecretsProvider,
    AzureSecretProvider,
    AzureSecretsProvider,
    ExecProvider,
    GoogleSecretProvider,
    GoogleSecretsProvider,
    InfisicalPathProvider,
    InfisicalSecretProvider,
    KubernetesSecretProvider,
    OnePasswordItemProvider,
    VaultDynamicProvider,
    VaultSecretProvider,
    kind_of,
    provider_of,
)
from .errors import Error, NotFoundError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .reports import Check, ClusterConfirmation, Confirmation, Description, Sharing, Stats

D = TypeVar("D")

__all__ = [
    "AWSParametersProvider",
    "AWSSecretProvider",
    "AWSSecretsManagerProvider",
    "AWSSecretsProvider",
    "AzureKeyVaultProvider",
    "AzureSecretProvider",
    "AzureSecretsProvider",
    "CredentialsProvider",
    "EnvironmentSecretProvider",
    "ExecProvider",
    "FileSecretProvider",
    "GoogleSecretManagerProvider",
    "GoogleSecretProvider",
    "GoogleSecretsProvider",
    "HashiCorpVaultProvider",
    "HuggingFaceProvider",
    "InfisicalPathProvider",
    "InfisicalProvider",
    "InfisicalSecretProvider",
    "KubernetesProvider",
    "KubernetesSecretProvider",
    "OnePasswordItemProvider",
    "OnePasswordProvider",
    "SecretProvider",
    "SecretsManager",
    "VaultDynamicProvider",
    "VaultSecretProvider",
    "get_secrets_manager",
]


class SecretsManager(_native.Secrets):
    """The provider chain of the process: every call of the class returns the same object, until `reset`.
    `SecretsManager.open` returns further managers.
    """

    REPLICATE_API_TOKEN: ClassVar[str] = "REPLICATE_API_TOKEN"
    HF_TOKEN: ClassVar[str] = "HF_TOKEN"
    WEBHOOK_SECRET: ClassVar[str] = "CLOUD_WEBHOOK_SECRET"

    _instance: ClassVar[SecretsManager | None] = None
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _kept: Kept
    _own: dict[str, Any]

    def __new__(cls, providers: Sequence[Any] | None = None, config: Settings | None = None) -> SecretsManager:
        """Creates the manager of the process with the settings in `config`, or returns the existing one, whose settings
        do not change; if they are others, that is logged.

        `providers` are instances such as EnvironmentSecretProvider() or custom ones, in order; the default is
        environment, file, AWS, Vault, Hugging Face. The library itself runs the first one of each kind. A second one,
        or a subclass that overrides `get_secret`, is called like a custom provider.
        """
        try:
            kept = Kept(config)
        finally:
            del config
        with SecretsManager._lock:
            present = SecretsManager._instance
            if present is None:
                present = SecretsManager._instance = _open(cls, list(providers or ()), kept)
            elif providers or (kept.settings and kept.settings != present._kept.settings):
                logging.getLogger("st_secrets.secrets").warning(
                    "the SecretsManager of the process keeps its settings, which differ%s: "
                    "call SecretsManager.reset() first, or SecretsManager.open(…) for another one",
                    kept.differing(present._kept, providers),
                    stacklevel=2,
                )
            return present

    @classmethod
    def open(cls, providers: Sequence[Any] | None = None, config: Settings | None = None) -> Self:
        """Returns a manager of its own, with the arguments of the class. Close it, or use it as a context manager."""
        try:
            kept = Kept(config)
        finally:
            del config
        return _open(cls, list(providers or ()), kept)

    @classmethod
    def reset(cls) -> None:
        """Makes the next call create a new manager. References to the old one remain valid."""
        with SecretsManager._lock:
            SecretsManager._instance = None
        forget_logged()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    async def get_async(self, key: str, default: None = None) -> str | None: ...
    @overload
    async def get_async(self, key: str, default: D) -> str | D: ...
    async def get_async(self, key: str, default: Any = None) -> Any:
        """As `get`, for coroutines: a lookup that has to wait does so in another thread, without blocking the event
        loop. If the task is cancelled, the lookup continues and its result is cached.
        """
        try:
            value = self._peek(key)
            if value is _native.MISSING:
                value = await _async.call_once((id(self), key), functools.partial(self._value, key))
        except Error as error:
            log_skipped(error)
            return default
        return default if value is None else value

    async def find_async(
        self, key: str, timeout: float | timedelta | None = None, refresh: bool = False, cached_only: bool = False
    ) -> _native.Secret:
        """As `find`, for coroutines, without blocking the event loop."""
        if not refresh:
            try:
                secret = self.find(key, timeout, cached_only=True)
                if cached_only or not secret.degraded:
                    return secret
            except NotFoundError:
                raise
            except Error:
                if cached_only:
                    raise  # otherwise a provider that has to be waited for may have it
        return await _async.call(functools.partial(self.find, key, timeout, refresh, cached_only))

    def set_secret(self, key: str, value: str, *, strict: bool = False) -> bool:
        """Writes a secret to the secrets file, which is created if it does not exist, or to the provider of the setting
        `set_provider`.

        If that fails, returns False and logs the reason; with `strict`, raises it. ProtocolError: the file cannot be
        parsed. AccessDeniedError, ReadOnlyError: it cannot be written. BusyError: another process holds the lock of the
        file. ConfigError: there is no file provider.
        """
        try:
            return set_secret(super(), key, value, strict)
        finally:
            del value

    set = set_secret

    def set_replicate_token(self, token: str, *, strict: bool = False) -> bool:
        """Writes REPLICATE_API_TOKEN to the secrets file, as `set_secret` does."""
        try:
            return set_secret(super(), self.REPLICATE_API_TOKEN, token, strict)
        finally:
            del token

    def delete_secret(self, key: str, *, strict: bool = False) -> bool:
        """Removes a secret from the secrets file. Returns False if there is no file, or if that fails, which is logged;
        True also if the file did not have it. With `strict`, raises the errors of `set_secret` and returns whether the
        file had it.
        """
        return delete_secret(super(), key, strict)

    @property
    def _providers(self) -> list[Any]:
        """The providers in order, each an object with `is_available` and `get_secret`."""
        return [self._own[name] if name in self._own else provider_of(name, self._kept) for name in self._names()]

    def _names(self) -> list[str]:
        return [provider["name"] for provider in self.describe()["providers"]]

    def close(self) -> None:
        """Frees the manager; further calls raise ValueError. The next call of the class creates a new one."""
        with SecretsManager._lock:
            if SecretsManager._instance is self:
                SecretsManager._instance = None
        super().close()

    def add_provider(self, provider: Any, position: int | None = None, name: str | None = None) -> None:
        """Adds a custom provider: an object with `get_secret` and, optionally, `is_available` and `name`; the methods
        may be coroutines. `position` is its index in the chain, 0 for the first and None for the last. Its answers are
        cached for `cache_ttl`.
        """
        get_secret = getter(provider)
        name = name or getattr(provider, "name", None) or _free_name(type(provider).__name__, self._names())
        self._add_provider(name, get_secret, position)
        self._own[name] = provider

    def describe(self) -> Description:
        """Returns the settings and the providers in order, without any secret."""
        description: Description = json.loads(self._describe())
        return description

    def stats(self) -> Stats:
        """Returns counters since the manager was created, without a query. `st_secrets.metrics` passes them on to
        Prometheus and OpenTelemetry.
        """
        stats: Stats = json.loads(self._stats())
        return stats

    def check(self) -> Check:
        """Returns the health of every provider, with remedies."""
        report: Check = json.loads(self._check())
        return report

    def share(self) -> Sharing:
        """Returns what is shared with other processes on this host, without any secret and without a query."""
        report: Sharing = json.loads(self._share())
        return report

    def listen(self, since: int, timeout: float | timedelta | None = None) -> int:
        """Waits until the generation differs from `since`, at most for `timeout` seconds, and returns it.

        While it waits, it looks for changes: of files once a second, and of documents when they are due.
        """
        return self._listening(since, timeout, threading.Event())

    async def listen_async(self, since: int, timeout: float | timedelta | None = None) -> int:
        """As `listen`, for coroutines, in a thread of its own, which ends soon after the task is cancelled."""
        cancelled = threading.Event()
        try:
            return await _async.call_alone(functools.partial(self._listening, since, timeout, cancelled))
        finally:
            cancelled.set()

    def _listening(self, since: int, timeout: float | timedelta | None, cancelled: threading.Event) -> int:
        left = math.inf if timeout is None else timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = time.monotonic() + left
        while True:
            # In short waits, between which Python handles Ctrl-C.
            generation = self._listen(since, min(left, 0.5))
            left = max(end - time.monotonic(), 0.0)
            if generation != since or left == 0.0 or cancelled.is_set():
                return generation

    def invalidate(self, key: str | None = None, timeout: float | timedelta = 10.0) -> Confirmation:
        """Drops the cached values of all processes on this host, and returns when all have confirmed it, or
        after `timeout` seconds: `{"scope": "host", "confirmed": [1201], "silent": [], "complete": True}`, with process
        IDs. The setting `share` must be `host`. At present everything is dropped, whatever the key.
        """
        report: Confirmation = json.loads(self._invalidate(key, timeout, False))
        return report

    def invalidate_cluster(self, key: str | None = None, timeout: float | timedelta = 10.0) -> ClusterConfirmation:
        """Makes all hosts that share a tier drop what they have cached, and returns when all have confirmed that, or
        after `timeout` seconds, with the names of hosts. A host confirms by a get or `listen` of one of its processes;
        one that has made no such call for 15 seconds is not waited for. The setting `share_url` must be set. At present
        everything is dropped, whatever the key.
        """
        report: ClusterConfirmation = json.loads(self._invalidate(key, timeout, True))
        return report

    async def prefetch_async(self, timeout: float | timedelta | None = None) -> None:
        """As `prefetch`, for coroutines, without blocking the event loop."""
        await _async.call(functools.partial(self.prefetch, timeout))

    def get_secrets_file_path(self) -> Path:
        """Returns the file or directory of the file provider, or the file that `set_secret` creates."""
        return Path(self._file_path())

    def __repr__(self) -> str:
        try:
            names = self._names()
        except ValueError:
            return "<SecretsManager, closed>"
        kinds = (type(self._own[name]) if name in self._own else kind_of(name, self._kept) for name in names)
        return f"<SecretsManager of {', '.join(kind.__name__ for kind in kinds)}>"


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    SecretsManager._lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


M = TypeVar("M", bound=SecretsManager)


def _open(cls: type[M], providers: Sequence[Any], kept: Kept) -> M:
    built_in: dict[str, Any] = {}
    for provider in providers:
        if is_built_in(provider):
            built_in.setdefault(provider._provider, provider)
    for provider in built_in.values():
        kept.settings.update(provider._kept.settings)
    if providers:
        kept.settings["providers"] = [provider._setting() for provider in built_in.values()]
    manager = _native.Secrets.__new__(cls, kept.json())
    manager._kept = kept
    manager._own = built_in
    for position, provider in enumerate(providers):
        if not any(provider is known for known in built_in.values()):
            manager.add_provider(provider, position)
    return manager


def _free_name(kind: str, taken: list[str]) -> str:
    """Returns an unused name of at most 31 bytes for a provider, derived from its class."""
    name, number = kind.encode()[:31].decode(errors="ignore"), 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = kind.encode()[: 31 - len(end)].decode(errors="ignore") + end
    return name


def get_secrets_manager() -> SecretsManager:
    """Returns the manager of the process, configured from the environment on first use."""
    return SecretsManager()
