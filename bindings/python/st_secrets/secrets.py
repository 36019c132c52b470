"""Secrets, from the environment, files, AWS Secrets Manager, Vault and providers of the program's own.

The names are those of SimpleTuner's `cloud.secrets`.
"""

from __future__ import annotations

import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from . import _native
from ._settings import Kept, Settings
from .errors import ConfigError

__all__ = [
    "AWSSecretsManagerProvider",
    "EnvironmentSecretProvider",
    "FileSecretProvider",
    "HashiCorpVaultProvider",
    "SecretProvider",
    "SecretsManager",
    "get_secrets_manager",
]


class SecretProvider(ABC):
    """A provider in which secrets are looked for. Programs write their own as subclasses, or as any object with these
    methods. What `get_secret` raises is that provider's failure: the next providers are asked, and the log is told."""

    @abstractmethod
    def get_secret(self, key: str) -> str | None:
        """The value, or None if this provider has none."""

    @abstractmethod
    def is_available(self) -> bool:
        """Whether there is something to ask."""


class _Provider(SecretProvider):
    """One of the library's own providers, alone."""

    _provider: ClassVar[str]

    def __init__(self, kept: Kept) -> None:
        self._kept = Kept({key: value for key, value in kept.settings.items() if value is not None})
        self._secrets = _native.Secrets(Kept({**kept.settings, "providers": [self._provider]}).json())

    def get_secret(self, key: str) -> str | None:
        """The value, or None if this provider has none. Error: the provider failed."""
        return self._secrets.get(key)

    def is_available(self) -> bool:
        """Whether there is something to ask, and it can be asked. AWS and Vault are asked over the network for that."""
        providers = json.loads(self._secrets._check())["providers"]
        return providers[0]["state"] in ("ok", "warning")


class EnvironmentSecretProvider(_Provider):
    """Environment variables: `hf-token` is HF_TOKEN, or with a prefix PREFIX_HF_TOKEN."""

    _provider = "env"

    def __init__(self, prefix: str = "") -> None:
        super().__init__(Kept({"env_prefix": prefix or None}))


class FileSecretProvider(_Provider):
    """A JSON or YAML file, or a directory with one file for each secret."""

    _provider = "file"

    def __init__(self, file_path: str | Path | None = None) -> None:
        super().__init__(Kept({"file_path": file_path}))

    def set_secret(self, key: str, value: str) -> bool:
        """Writes a secret into the file."""
        try:
            return self._secrets.set_secret(key, value)
        finally:
            del value

    def delete_secret(self, key: str) -> bool:
        """Removes a secret from the file. Tells whether it was there."""
        return self._secrets.delete_secret(key)

    def get_file_path(self) -> Path:
        """The file or directory; where there is none yet, the file that `set_secret` creates."""
        return Path(self._secrets._file_path())


class AWSSecretsManagerProvider(_Provider):
    """AWS Secrets Manager."""

    _provider = "aws"

    def __init__(self, secret_name: str | None = None, region_name: str | None = None) -> None:
        super().__init__(Kept({"aws_secret_name": secret_name, "aws_region": region_name}))


class HashiCorpVaultProvider(_Provider):
    """HashiCorp Vault or OpenBao."""

    _provider = "vault"

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        path: str | None = None,
        mount_point: str | None = "secret",
    ) -> None:
        kept = Kept({"vault_url": url, "vault_token": token, "vault_path": path, "vault_mount": mount_point})
        del url, token
        super().__init__(kept)


_PROVIDERS: dict[str, type[_Provider]] = {
    kind._provider: kind
    for kind in (EnvironmentSecretProvider, FileSecretProvider, AWSSecretsManagerProvider, HashiCorpVaultProvider)
}


class SecretsManager(_native.Secrets):
    """The providers in their order. There is one in a process: each call of the class gives the same, until `reset`."""

    REPLICATE_API_TOKEN: ClassVar[str] = "REPLICATE_API_TOKEN"
    HF_TOKEN: ClassVar[str] = "HF_TOKEN"
    WEBHOOK_SECRET: ClassVar[str] = "CLOUD_WEBHOOK_SECRET"

    _instance: ClassVar[SecretsManager | None] = None
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _kept: Kept
    _own: dict[str, Any]

    def __new__(cls, providers: Sequence[Any] | None = None, config: Settings | None = None) -> SecretsManager:
        """Makes the manager of the process with the settings in `config`, or gives the one that there is.

        `providers` are objects such as EnvironmentSecretProvider() or the program's own, in their order; without them,
        the library's own providers are asked: environment, file, AWS, Vault. The first of each kind is a provider of the
        library; a second one, or a subclass with a `get_secret` of its own, is asked as the program's own are.
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
                raise ConfigError(
                    f"there is a SecretsManager with other settings{kept.differing(present._kept, providers)}: "
                    "call SecretsManager.reset() first"
                )
            return present

    @classmethod
    def reset(cls) -> None:
        """Has the next call make a new manager. Who holds the old one may go on with it."""
        with SecretsManager._lock:
            SecretsManager._instance = None

    @property
    def _providers(self) -> list[Any]:
        """The providers in their order, each an object with `is_available` and `get_secret`."""
        return [self._own[name] if name in self._own else _provider_of(name, self._kept) for name in self._names()]

    def _names(self) -> list[str]:
        return [provider["name"] for provider in self.describe()["providers"]]

    def close(self) -> None:
        """Frees the manager; further calls raise ValueError. The next call of the class makes a new one."""
        with SecretsManager._lock:
            if SecretsManager._instance is self:
                SecretsManager._instance = None
        super().close()

    def add_provider(self, provider: Any, position: int | None = None, name: str | None = None) -> None:
        """Adds a provider of the program's own: an object with `get_secret` and, if it likes, `is_available` and `name`.
        `position` is its place in the order, 0 being first and None last. Its answers are remembered for `cache_ttl`."""
        asking = _asking(provider)
        name = name or getattr(provider, "name", None) or _free_name(type(provider).__name__, self._names())
        self._add_provider(name, asking, position)
        self._own[name] = provider

    def describe(self) -> dict[str, Any]:
        """The settings and the providers in their order, without any value."""
        description: dict[str, Any] = json.loads(self._describe())
        return description

    def check(self) -> dict[str, Any]:
        """How every provider is, and what to do about it."""
        report: dict[str, Any] = json.loads(self._check())
        return report

    def get_secrets_file_path(self) -> Path:
        """The file or directory of the file provider; where there is none yet, the file that `set_secret` creates."""
        return Path(self._file_path())

    def __repr__(self) -> str:
        try:
            names = self._names()
        except ValueError:
            return "<SecretsManager, closed>"
        kinds = (type(self._own[name]) if name in self._own else _PROVIDERS[name] for name in names)
        return f"<SecretsManager of {', '.join(kind.__name__ for kind in kinds)}>"


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    SecretsManager._lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def _open(cls: type[SecretsManager], providers: Sequence[Any], kept: Kept) -> SecretsManager:
    built_in: dict[str, Any] = {}
    for provider in providers:
        if isinstance(provider, _Provider) and type(provider).get_secret is _Provider.get_secret:
            built_in.setdefault(provider._provider, provider)
    for provider in built_in.values():
        kept.settings.update(provider._kept.settings)
    if providers:
        kept.settings["providers"] = list(built_in)
    manager = _native.Secrets.__new__(cls, kept.json())
    manager._kept = kept
    manager._own = built_in
    for position, provider in enumerate(providers):
        if not any(provider is known for known in built_in.values()):
            manager.add_provider(provider, position)
    return manager


def _free_name(kind: str, taken: list[str]) -> str:
    """A name for a provider, of 31 bytes at most, after its class, of which there may be several."""
    name, number = kind.encode()[:31].decode(errors="ignore"), 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = kind.encode()[: 31 - len(end)].decode(errors="ignore") + end
    return name


def _provider_of(name: str, kept: Kept) -> _Provider:
    """The library's provider of this name, alone, with the settings of a manager."""
    provider = _PROVIDERS[name].__new__(_PROVIDERS[name])
    _Provider.__init__(provider, kept)
    return provider


def _asking(provider: Any) -> Callable[[str], str | None]:
    if isinstance(provider, type) or not callable(getattr(provider, "get_secret", None)):
        what = f"the class {provider.__name__}" if isinstance(provider, type) else f"a {type(provider).__name__}"
        raise TypeError(f"a provider must be an object with get_secret(key), not {what}")
    is_available = getattr(provider, "is_available", None)
    if isinstance(provider, _Provider) and type(provider).is_available is _Provider.is_available:
        is_available = None  # the answer to get_secret tells as much

    def get_secret(key: str) -> str | None:
        if is_available is not None and not is_available():
            return None
        value: str | None = provider.get_secret(key)
        return value

    return get_secret


def get_secrets_manager() -> SecretsManager:
    """The manager of the process; it is made from the environment on first use."""
    return SecretsManager()
