"""Secrets from the environment, files, AWS Secrets Manager, Vault and custom providers.

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
    """A provider of secrets.

    Custom providers are subclasses, or any object with these methods. If `get_secret` raises, the provider failed: that
    is logged, and the following providers are used.
    """

    @abstractmethod
    def get_secret(self, key: str) -> str | None:
        """Returns the value, or None if this provider does not have it."""

    @abstractmethod
    def is_available(self) -> bool:
        """Returns whether the provider is configured."""


class _Provider(SecretProvider):
    """One of the library's own providers, used alone."""

    _provider: ClassVar[str]

    def __init__(self, kept: Kept) -> None:
        self._kept = Kept({key: value for key, value in kept.settings.items() if value is not None})
        self._secrets = _native.Secrets(Kept({**kept.settings, "providers": [self._provider]}).json())

    def get_secret(self, key: str) -> str | None:
        """Returns the value, or None if this provider does not have it. Raises Error if the provider fails."""
        return self._secrets.get(key)

    def is_available(self) -> bool:
        """Returns whether the provider is configured and healthy. For AWS and Vault this sends a request."""
        providers = json.loads(self._secrets._check())["providers"]
        return providers[0]["state"] in ("ok", "warning")


class EnvironmentSecretProvider(_Provider):
    """Environment variables: `hf-token` is read from HF_TOKEN, or with a prefix from PREFIX_HF_TOKEN."""

    _provider = "env"

    def __init__(self, prefix: str = "") -> None:
        super().__init__(Kept({"env_prefix": prefix or None}))


class FileSecretProvider(_Provider):
    """A JSON or YAML file, or a directory with one file for each secret."""

    _provider = "file"

    def __init__(self, file_path: str | Path | None = None) -> None:
        super().__init__(Kept({"file_path": file_path}))

    def set_secret(self, key: str, value: str) -> bool:
        """Writes a secret to the file."""
        try:
            return self._secrets.set_secret(key, value)
        finally:
            del value

    def delete_secret(self, key: str) -> bool:
        """Removes a secret from the file and returns whether it existed."""
        return self._secrets.delete_secret(key)

    def get_file_path(self) -> Path:
        """Returns the file or directory, or the file that `set_secret` creates."""
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
    """The provider chain of the process: every call of the class returns the same object, until `reset`."""

    REPLICATE_API_TOKEN: ClassVar[str] = "REPLICATE_API_TOKEN"
    HF_TOKEN: ClassVar[str] = "HF_TOKEN"
    WEBHOOK_SECRET: ClassVar[str] = "CLOUD_WEBHOOK_SECRET"

    _instance: ClassVar[SecretsManager | None] = None
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _kept: Kept
    _own: dict[str, Any]

    def __new__(cls, providers: Sequence[Any] | None = None, config: Settings | None = None) -> SecretsManager:
        """Creates the manager of the process with the settings in `config`, or returns the existing one.

        `providers` are instances such as EnvironmentSecretProvider() or custom ones, in order; the default is
        environment, file, AWS, Vault. The library itself runs the first one of each kind. A second one, or a subclass
        that overrides `get_secret`, is called like a custom provider.
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
        """Makes the next call create a new manager. References to the old one remain valid."""
        with SecretsManager._lock:
            SecretsManager._instance = None

    @property
    def _providers(self) -> list[Any]:
        """The providers in order, each an object with `is_available` and `get_secret`."""
        return [self._own[name] if name in self._own else _provider_of(name, self._kept) for name in self._names()]

    def _names(self) -> list[str]:
        return [provider["name"] for provider in self.describe()["providers"]]

    def close(self) -> None:
        """Frees the manager; further calls raise ValueError. The next call of the class creates a new one."""
        with SecretsManager._lock:
            if SecretsManager._instance is self:
                SecretsManager._instance = None
        super().close()

    def add_provider(self, provider: Any, position: int | None = None, name: str | None = None) -> None:
        """Adds a custom provider: an object with `get_secret` and, optionally, `is_available` and `name`. `position` is
        its index in the chain, 0 for the first and None for the last. Its answers are cached for `cache_ttl`.
        """
        getter = _getter(provider)
        name = name or getattr(provider, "name", None) or _free_name(type(provider).__name__, self._names())
        self._add_provider(name, getter, position)
        self._own[name] = provider

    def describe(self) -> dict[str, Any]:
        """Returns the settings and the providers in order, without any secret."""
        description: dict[str, Any] = json.loads(self._describe())
        return description

    def check(self) -> dict[str, Any]:
        """Returns the health of every provider, with remedies."""
        report: dict[str, Any] = json.loads(self._check())
        return report

    def get_secrets_file_path(self) -> Path:
        """Returns the file or directory of the file provider, or the file that `set_secret` creates."""
        return Path(self._file_path())

    def __repr__(self) -> str:
        try:
            names = self._names()
        except ValueError:
            return "<SecretsManager, closed>"
        kinds = (type(self._own[name]) if name in self._own else _PROVIDERS[name] for name in names)
        return f"<SecretsManager of {', '.join(kind.__name__ for kind in kinds)}>"


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
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
    """Returns an unused name of at most 31 bytes for a provider, derived from its class."""
    name, number = kind.encode()[:31].decode(errors="ignore"), 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = kind.encode()[: 31 - len(end)].decode(errors="ignore") + end
    return name


def _provider_of(name: str, kept: Kept) -> _Provider:
    """Returns the library's provider of this name, with the settings of a manager."""
    provider = _PROVIDERS[name].__new__(_PROVIDERS[name])
    _Provider.__init__(provider, kept)
    return provider


def _getter(provider: Any) -> Callable[[str], str | None]:
    if isinstance(provider, type) or not callable(getattr(provider, "get_secret", None)):
        what = f"the class {provider.__name__}" if isinstance(provider, type) else f"a {type(provider).__name__}"
        raise TypeError(f"a provider must be an object with get_secret(key), not {what}")
    is_available = getattr(provider, "is_available", None)
    if isinstance(provider, _Provider) and type(provider).is_available is _Provider.is_available:
        is_available = None  # get_secret reports the same

    def get_secret(key: str) -> str | None:
        if is_available is not None and not is_available():
            return None
        value: str | None = provider.get_secret(key)
        return value

    return get_secret


def get_secrets_manager() -> SecretsManager:
    """Returns the manager of the process, configured from the environment on first use."""
    return SecretsManager()
