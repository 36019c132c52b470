"""Secrets from the environment, files, AWS Secrets Manager, Vault and custom providers.

The names are those of SimpleTuner's `cloud.secrets`, and so are the answers: a provider that fails is logged and passed
over, `get` returns the default, `set_secret` returns False. `require`, `find` and `strict=True` raise the failure.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from . import _async, _native
from ._log import forget_logged, passed_over
from ._settings import Kept, Settings
from .errors import Error, NotFoundError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .metrics import Stats

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
    "get_secrets_manager",
]


class SecretProvider(ABC):
    """A provider of secrets.

    Custom providers are subclasses, or any object with these methods. If `get_secret` raises, the provider failed: that
    is logged, and the following providers are used.

    Both methods may be coroutines (`async def`). Coroutines of providers run in an event loop of their own, in another
    thread, and are cancelled when the time limit of the lookup ends.
    """

    @abstractmethod
    def get_secret(self, key: str) -> str | None | Awaitable[str | None]:
        """Returns the value, or None if this provider does not have it."""

    @abstractmethod
    def is_available(self) -> bool | Awaitable[bool]:
        """Returns whether the provider is configured."""


class _Provider(SecretProvider):
    """One of the library's own providers, used alone."""

    _provider: str

    def __init__(self, kept: Kept) -> None:
        self._kept = Kept({key: value for key, value in kept.settings.items() if value is not None})
        self._secrets = _native.Secrets(Kept({**kept.settings, "providers": [self._setting()]}).json())

    def get_secret(self, key: str) -> str | None:
        """Returns the value, or None if this provider does not have it or fails, which is logged."""
        return self._secrets.get(key)

    def _setting(self) -> str | dict[str, Any]:
        """Returns the element of the setting `providers`."""
        return self._provider

    def is_available(self) -> bool:
        """Returns whether the provider is configured and healthy. For AWS and Vault this sends a request."""
        try:
            providers = json.loads(self._secrets._check())["providers"]
        except Error as error:
            passed_over(error)
            return False
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
        """Writes a secret to the file. Returns False if that fails, which is logged."""
        try:
            return _set(self._secrets, key, value, False)
        finally:
            del value

    def delete_secret(self, key: str) -> bool:
        """Removes a secret from the file. Returns False if there is no file or that fails, which is logged."""
        return _delete(self._secrets, key, False)

    def get_file_path(self) -> Path:
        """Returns the file or directory, or the file that `set_secret` creates."""
        return Path(self._secrets._file_path())


class AWSSecretsManagerProvider(_Provider):
    """AWS Secrets Manager."""

    _provider = "aws"

    def __init__(self, secret_name: str | None = None, region_name: str | None = None) -> None:
        super().__init__(Kept({"aws_secret_name": secret_name, "aws_region": region_name}))


class AWSParametersProvider(_Provider):
    """Parameters of AWS Systems Manager below a path: each is found by its name below it."""

    _provider = "aws_parameters"

    def __init__(self, path: str | None = None, region_name: str | None = None) -> None:
        super().__init__(Kept({"aws_parameters_path": path, "aws_region": region_name}))


class GoogleSecretManagerProvider(_Provider):
    """Google Secret Manager: a secret that is an object of keys and values."""

    _provider = "google"

    def __init__(self, secret_name: str | None = None, project: str | None = None) -> None:
        super().__init__(Kept({"google_secret_name": secret_name, "google_project": project}))


class AzureKeyVaultProvider(_Provider):
    """Azure Key Vault: all secrets of a vault, or one that is an object of keys and values."""

    _provider = "azure"

    def __init__(self, vault_url: str | None = None, secret_name: str | None = None) -> None:
        super().__init__(Kept({"azure_vault_url": vault_url, "azure_secret_name": secret_name}))


class KubernetesProvider(_Provider):
    """Secrets of a Kubernetes API server: one, or several in order."""

    _provider = "kubernetes"

    def __init__(self, secret_name: str | Sequence[str] | None = None, namespace: str | None = None) -> None:
        super().__init__(Kept({"kubernetes_secret": secret_name, "kubernetes_namespace": namespace}))


class InfisicalProvider(_Provider):
    """Infisical: the secrets at a path of a project, or at several in order."""

    _provider = "infisical"

    def __init__(
        self, environment: str | None = None, path: str | Sequence[str] | None = None, project: str | None = None
    ) -> None:
        super().__init__(
            Kept({"infisical_environment": environment, "infisical_path": path, "infisical_project": project})
        )


class OnePasswordProvider(_Provider):
    """1Password Connect: the fields of an item, or of several in order."""

    _provider = "onepassword"

    def __init__(self, item: str | Sequence[str] | None = None, vault: str | None = None) -> None:
        super().__init__(Kept({"onepassword_item": item, "onepassword_vault": vault}))


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


class CredentialsProvider(_Provider):
    """The credentials that systemd passes to a service in $CREDENTIALS_DIRECTORY."""

    _provider = "credentials"

    def __init__(self) -> None:
        super().__init__(Kept(None))


class HuggingFaceProvider(_Provider):
    """HF_TOKEN, where Hugging Face's tools have it: under other names of variables, or in the file that `hf auth login`
    writes.
    """

    _provider = "huggingface"

    def __init__(self) -> None:
        super().__init__(Kept(None))


class _TableProvider(_Provider):
    """A provider that is an object in the setting `providers`."""

    _table: dict[str, Any]

    def _use(self, table: dict[str, Any]) -> None:
        self._provider, self._table = _name_of(table), table

    def _setting(self) -> str | dict[str, Any]:
        return self._table


class AWSSecretProvider(_TableProvider):
    """A secret of AWS Secrets Manager that is one value: a password, a PEM file.

    `secret_name` is its name or ARN, `key` the key of its value; None uses the name of the secret. `name` identifies
    the provider in errors.
    """

    def __init__(
        self, secret_name: str, key: str | None = None, name: str | None = None, region_name: str | None = None
    ) -> None:
        settings = {"aws_secret": secret_name, "as": key, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"aws_region": region_name}))


class AWSSecretsProvider(_TableProvider):
    """All secrets of AWS Secrets Manager whose names begin with `prefix` and that have these `tags`.

    `format` is "value" (each secret is one value, found by its name below the prefix) or "json" (each is an object of
    keys and values). `name` identifies the provider in errors.
    """

    def __init__(
        self,
        prefix: str | None = None,
        tags: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        region_name: str | None = None,
    ) -> None:
        conditions = {"prefix": prefix, "tags": tags}
        given = {member: value for member, value in conditions.items() if value is not None}
        settings = {"aws_secrets": given, "format": format, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"aws_region": region_name}))


class GoogleSecretProvider(_TableProvider):
    """A secret of Google Secret Manager that is one value.

    `secret_name` is its name, alone or below `projects/…/secrets/`, `key` the key of its value; None uses the name of
    the secret. `version` is a number, an alias or None for the newest one. `name` identifies the provider in errors.
    """

    def __init__(
        self,
        secret_name: str,
        key: str | None = None,
        version: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        settings = {"google_secret": secret_name, "as": key, "version": version, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"google_project": project}))


class GoogleSecretsProvider(_TableProvider):
    """All secrets of Google Secret Manager whose names begin with `prefix` and that have these `labels`.

    `format` is "value" (each secret is one value, found by its name without the prefix) or "json" (each is an object of
    keys and values). `name` identifies the provider in errors.
    """

    def __init__(
        self,
        prefix: str | None = None,
        labels: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        conditions = {"prefix": prefix, "labels": labels}
        given = {member: value for member, value in conditions.items() if value is not None}
        settings = {"google_secrets": given, "format": format, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"google_project": project}))


class AzureSecretProvider(_TableProvider):
    """A secret of Azure Key Vault that is one value.

    `key` is the key of its value; None uses the name of the secret with `_` for `-`. `version` is None for the newest
    one. `name` identifies the provider in errors.
    """

    def __init__(
        self,
        secret_name: str,
        key: str | None = None,
        version: str | None = None,
        name: str | None = None,
        vault_url: str | None = None,
    ) -> None:
        settings = {"azure_secret": secret_name, "as": key, "version": version, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"azure_vault_url": vault_url}))


class AzureSecretsProvider(_TableProvider):
    """All secrets of Azure Key Vault whose names begin with `prefix` and that have these `tags`.

    `format` is "value" (each secret is one value, found by its name without the prefix, with `_` for `-`) or "json"
    (each is an object of keys and values). `name` identifies the provider in errors.
    """

    def __init__(
        self,
        prefix: str | None = None,
        tags: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        vault_url: str | None = None,
    ) -> None:
        conditions = {"prefix": prefix, "tags": tags}
        given = {member: value for member, value in conditions.items() if value is not None}
        settings = {"azure_secrets": given, "format": format, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"azure_vault_url": vault_url}))


class KubernetesSecretProvider(_TableProvider):
    """A Secret of Kubernetes, or several in order. `name` identifies the provider in errors.

    Outside of a pod, `url` and `token_file` are those of the API server.
    """

    def __init__(
        self,
        secret_name: str | Sequence[str],
        namespace: str | None = None,
        name: str | None = None,
        url: str | None = None,
        token_file: str | Path | None = None,
    ) -> None:
        names = secret_name if isinstance(secret_name, str) else list(secret_name)
        settings = {"kubernetes_secret": names, "namespace": namespace, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept({"kubernetes_url": url, "kubernetes_token_file": token_file}))


class InfisicalSecretProvider(_TableProvider):
    """A secret of Infisical at `path`, which is the value of `key`.

    `key` is None for the name of the secret. `name` identifies the provider in errors.
    """

    def __init__(
        self,
        secret_name: str,
        environment: str,
        path: str | None = None,
        key: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        settings = {
            "infisical_secret": secret_name,
            "environment": environment,
            "path": path,
            "as": key,
            "name": name,
            "project": project,
        }
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept(None))


class InfisicalPathProvider(_TableProvider):
    """The secrets of Infisical at `path`. `name` identifies the provider in errors."""

    def __init__(self, path: str, environment: str, name: str | None = None, project: str | None = None) -> None:
        settings = {"infisical_path": path, "environment": environment, "name": name, "project": project}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept(None))


class OnePasswordItemProvider(_TableProvider):
    """An item of 1Password Connect: all its fields, or the one that is the value of `key`.

    `item` and `vault` are names or identifiers; `field` is a label, an identifier or `SECTION/FIELD`. `name` identifies
    the provider in errors.
    """

    def __init__(
        self,
        item: str,
        vault: str | None = None,
        field: str | None = None,
        key: str | None = None,
        name: str | None = None,
    ) -> None:
        settings = {"onepassword_item": item, "vault": vault, "field": field, "as": key, "name": name}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept(None))


class ExecProvider(_TableProvider):
    """The output of a program, which is run without a shell: a JSON object or a dotenv file, or with `key` one value.

    `command` is the program and its arguments. `name` identifies the provider in errors, and differs between several
    of them. `format` is "json", "dotenv" or "value"; None detects it.
    """

    def __init__(
        self, command: Sequence[str | Path], name: str = "exec", format: str | None = None, key: str | None = None
    ) -> None:
        words = command if isinstance(command, str) else [os.fspath(word) for word in command]  # a str is refused below
        settings = {"exec": words, "name": name, "format": format, "as": key}
        self._use({member: value for member, value in settings.items() if value is not None})
        super().__init__(Kept(None))


def _kind_of_table(table: dict[str, Any]) -> type[_TableProvider]:
    """Returns the class of a provider that is an object."""
    kinds: dict[str, type[_TableProvider]] = {
        "aws_secret": AWSSecretProvider,
        "aws_secrets": AWSSecretsProvider,
        "azure_secret": AzureSecretProvider,
        "azure_secrets": AzureSecretsProvider,
        "google_secret": GoogleSecretProvider,
        "google_secrets": GoogleSecretsProvider,
        "infisical_path": InfisicalPathProvider,
        "infisical_secret": InfisicalSecretProvider,
        "kubernetes_secret": KubernetesSecretProvider,
        "onepassword_item": OnePasswordItemProvider,
    }
    return next((kind for member, kind in kinds.items() if member in table), ExecProvider)


def _name_of(table: dict[str, Any]) -> str:
    """Returns the name of a provider that is an object, which is that of the library."""
    if "name" in table or _kind_of_table(table) is ExecProvider:
        return str(table.get("name", "exec"))
    if "onepassword_item" in table:
        key = str(table.get("as") or table.get("field", "").rpartition("/")[2] or table["onepassword_item"])
        return _default_name("onepassword", key)
    if "kubernetes_secret" in table:
        names = table["kubernetes_secret"]
        return f"kubernetes:{names if isinstance(names, str) else names[0]}"
    if "infisical_secret" in table:
        return _default_name("infisical", str(table.get("as") or table["infisical_secret"]))
    if "infisical_path" in table:
        path = str(table["infisical_path"])
        return _default_name("infisical", path.rstrip("/") or "/")
    provider = next(
        cloud for cloud in ("aws", "azure", "google") if f"{cloud}_secret" in table or f"{cloud}_secrets" in table
    )
    if f"{provider}_secret" in table:
        key = str(table.get("as") or _key_of(provider, table[f"{provider}_secret"]))
    else:
        conditions = table[f"{provider}_secrets"]
        tag = next(iter(sorted((conditions.get("tags") or conditions.get("labels") or {}).items())), None)
        key = conditions.get("prefix") or ("=".join(tag) if tag else "all")
    return _default_name(provider, key)


def _default_name(provider: str, key: str) -> str:
    return f"{provider}:" + key.encode()[len(provider) - 30 :].decode(errors="ignore")


def _key_of(provider: str, secret: str) -> str:
    """Returns the key of a secret without `as`."""
    if provider == "aws":
        return secret.rsplit(":", 1)[-1]
    if provider == "google":
        return secret.partition("/versions/")[0].rsplit("/", 1)[-1]
    return secret.partition("/")[0].replace("-", "_")


_PROVIDERS: dict[str, type[_Provider]] = {
    kind._provider: kind
    for kind in (
        EnvironmentSecretProvider,
        FileSecretProvider,
        AWSSecretsManagerProvider,
        AWSParametersProvider,
        GoogleSecretManagerProvider,
        AzureKeyVaultProvider,
        KubernetesProvider,
        OnePasswordProvider,
        InfisicalProvider,
        HashiCorpVaultProvider,
        HuggingFaceProvider,
        CredentialsProvider,
    )
}


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
        loop. If the task is cancelled, the lookup goes on and what it finds is cached.
        """
        try:
            value = self._peek(key)
            if value is _native.MISSING:
                value = await _async.call_once((id(self), key), functools.partial(self._value, key))
        except Error as error:
            passed_over(error)
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
            return _set(super(), key, value, strict)
        finally:
            del value

    set = set_secret

    def set_replicate_token(self, token: str, *, strict: bool = False) -> bool:
        """Writes REPLICATE_API_TOKEN to the secrets file, as `set_secret` does."""
        try:
            return _set(super(), self.REPLICATE_API_TOKEN, token, strict)
        finally:
            del token

    def delete_secret(self, key: str, *, strict: bool = False) -> bool:
        """Removes a secret from the secrets file. Returns False if there is no file, or if that fails, which is logged;
        True also if the file did not have it. With `strict`, raises the errors of `set_secret` and returns whether the
        file had it.
        """
        return _delete(super(), key, strict)

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
        """Adds a custom provider: an object with `get_secret` and, optionally, `is_available` and `name`; the methods
        may be coroutines. `position` is its index in the chain, 0 for the first and None for the last. Its answers are
        cached for `cache_ttl`.
        """
        getter = _getter(provider)
        name = name or getattr(provider, "name", None) or _free_name(type(provider).__name__, self._names())
        self._add_provider(name, getter, position)
        self._own[name] = provider

    def describe(self) -> dict[str, Any]:
        """Returns the settings and the providers in order, without any secret."""
        description: dict[str, Any] = json.loads(self._describe())
        return description

    def stats(self) -> Stats:
        """Returns counters since the manager was created, without a query. `st_secrets.metrics` passes them on to
        Prometheus and OpenTelemetry.
        """
        stats: Stats = json.loads(self._stats())
        return stats

    def check(self) -> dict[str, Any]:
        """Returns the health of every provider, with remedies."""
        report: dict[str, Any] = json.loads(self._check())
        return report

    def share(self) -> dict[str, Any]:
        """Returns what is shared with other processes of this host, without any secret and without a query."""
        report: dict[str, Any] = json.loads(self._share())
        return report

    def listen(self, since: int, timeout: float | timedelta | None = None) -> int:
        """Waits until the generation is another one than `since`, at most for `timeout` seconds, and returns it.

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

    def invalidate(self, key: str | None = None, timeout: float | timedelta = 10.0) -> dict[str, Any]:
        """Makes all processes of this host drop what they have cached, and returns when all have confirmed that, or
        after `timeout` seconds: `{"scope": "host", "confirmed": [1201], "silent": [], "complete": True}`, with process
        IDs. The setting `share` must be `host`. At present everything is dropped, whatever the key.
        """
        report: dict[str, Any] = json.loads(self._invalidate(key, timeout))
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
        kinds = (type(self._own[name]) if name in self._own else _kind_of(name, self._kept) for name in names)
        return f"<SecretsManager of {', '.join(kind.__name__ for kind in kinds)}>"


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    SecretsManager._lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def _set(secrets: Any, key: str, value: str, strict: bool) -> bool:
    try:
        result: bool = secrets.set_secret(key, value)
        return result
    except Error as error:
        if strict:
            raise
        passed_over(error)
        return False
    finally:
        del value


def _delete(secrets: Any, key: str, strict: bool) -> bool:
    try:
        existed: bool = secrets.delete_secret(key)
        return existed if strict else existed or Path(secrets._file_path()).exists()
    except Error as error:
        if strict:
            raise
        passed_over(error)
        return False


M = TypeVar("M", bound=SecretsManager)


def _open(cls: type[M], providers: Sequence[Any], kept: Kept) -> M:
    built_in: dict[str, Any] = {}
    for provider in providers:
        if isinstance(provider, _Provider) and type(provider).get_secret is _Provider.get_secret:
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


def _provider_of(name: str, kept: Kept) -> _Provider:
    """Returns the library's provider of this name, with the settings of a manager."""
    kind = _kind_of(name, kept)
    provider = kind.__new__(kind)
    if isinstance(provider, _TableProvider):
        provider._use(next(table for table in _tables(kept) if _name_of(table) == name))
    _Provider.__init__(provider, kept)
    return provider


def _tables(kept: Kept) -> list[dict[str, Any]]:
    """Returns the elements of `providers` that are objects."""
    return [table for table in kept.settings.get("providers") or () if isinstance(table, dict)]


def _kind_of(name: str, kept: Kept) -> type[_Provider]:
    """Returns the class of the library's provider of this name."""
    tables = (table for table in _tables(kept) if name not in _PROVIDERS and _name_of(table) == name)
    return next((_kind_of_table(table) for table in tables), _PROVIDERS.get(name, ExecProvider))


def _getter(provider: Any) -> Callable[[str, float], str | bytes | None]:
    """Returns the function that the library calls with a key and a time limit."""
    if isinstance(provider, type) or not callable(getattr(provider, "get_secret", None)):
        what = f"the class {provider.__name__}" if isinstance(provider, type) else f"a {type(provider).__name__}"
        raise TypeError(f"a provider must be an object with get_secret(key), not {what}")
    if isinstance(provider, _Provider) and type(provider).get_secret is _Provider.get_secret:
        own = provider._secrets
        return lambda key, timeout: own._value(key)  # unlike get_secret, raises a failure
    is_available = getattr(provider, "is_available", None)
    if isinstance(provider, _Provider) and type(provider).is_available is _Provider.is_available:
        is_available = None  # get_secret reports the same

    def get_secret(key: str, timeout: float) -> str | bytes | None:
        if is_available is not None and not _async.result_of(is_available(), timeout):
            return None
        value: str | bytes | None = _async.result_of(provider.get_secret(key), timeout)
        return value

    return get_secret


def get_secrets_manager() -> SecretsManager:
    """Returns the manager of the process, configured from the environment on first use."""
    return SecretsManager()
