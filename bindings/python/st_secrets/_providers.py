"""The providers as objects: used alone, or in the list that a manager is opened with."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from . import _async, _native
from ._log import log_skipped
from ._settings import Kept
from .errors import Error


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


class BuiltInProvider(SecretProvider):
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
            log_skipped(error)
            return False
        return providers[0]["state"] in ("ok", "warning")


class EnvironmentSecretProvider(BuiltInProvider):
    """Environment variables: `hf-token` is read from HF_TOKEN, or with a prefix from PREFIX_HF_TOKEN."""

    _provider = "env"

    def __init__(self, prefix: str = "") -> None:
        super().__init__(Kept({"env_prefix": prefix or None}))


class FileSecretProvider(BuiltInProvider):
    """A JSON or YAML file, or a directory with one file for each secret."""

    _provider = "file"

    def __init__(self, file_path: str | Path | None = None) -> None:
        super().__init__(Kept({"file_path": file_path}))

    def set_secret(self, key: str, value: str) -> bool:
        """Writes a secret to the file. Returns False if that fails, which is logged."""
        try:
            return set_secret(self._secrets, key, value, False)
        finally:
            del value

    def delete_secret(self, key: str) -> bool:
        """Removes a secret from the file. Returns False if there is no file or that fails, which is logged."""
        return delete_secret(self._secrets, key, False)

    def get_file_path(self) -> Path:
        """Returns the file or directory, or the file that `set_secret` creates."""
        return Path(self._secrets._file_path())


class AWSSecretsManagerProvider(BuiltInProvider):
    """AWS Secrets Manager."""

    _provider = "aws"

    def __init__(self, secret_name: str | None = None, region_name: str | None = None) -> None:
        super().__init__(Kept({"aws_secret_name": secret_name, "aws_region": region_name}))


class AWSParametersProvider(BuiltInProvider):
    """Parameters of AWS Systems Manager below a path: each is found by its name below it."""

    _provider = "aws_parameters"

    def __init__(self, path: str | None = None, region_name: str | None = None) -> None:
        super().__init__(Kept({"aws_parameters_path": path, "aws_region": region_name}))


class GoogleSecretManagerProvider(BuiltInProvider):
    """Google Secret Manager: a secret that is an object of keys and values."""

    _provider = "google"

    def __init__(self, secret_name: str | None = None, project: str | None = None) -> None:
        super().__init__(Kept({"google_secret_name": secret_name, "google_project": project}))


class AzureKeyVaultProvider(BuiltInProvider):
    """Azure Key Vault: all secrets of a vault, or one that is an object of keys and values."""

    _provider = "azure"

    def __init__(self, vault_url: str | None = None, secret_name: str | None = None) -> None:
        super().__init__(Kept({"azure_vault_url": vault_url, "azure_secret_name": secret_name}))


class HashiCorpVaultProvider(BuiltInProvider):
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


class CredentialsProvider(BuiltInProvider):
    """The credentials that systemd passes to a service in $CREDENTIALS_DIRECTORY."""

    _provider = "credentials"

    def __init__(self) -> None:
        super().__init__(Kept(None))


class HuggingFaceProvider(BuiltInProvider):
    """HF_TOKEN, where Hugging Face's tools have it: under other names of variables, or in the file that `hf auth login`
    writes.
    """

    _provider = "huggingface"

    def __init__(self) -> None:
        super().__init__(Kept(None))


class InfisicalProvider(BuiltInProvider):
    """Infisical: the secrets at a path of a project, or at several in order."""

    _provider = "infisical"

    def __init__(
        self, environment: str | None = None, path: str | Sequence[str] | None = None, project: str | None = None
    ) -> None:
        settings = {"infisical_environment": environment, "infisical_project": project}
        super().__init__(Kept({**settings, "infisical_path": names_in(path)}))


class OnePasswordProvider(BuiltInProvider):
    """1Password Connect: the fields of an item, or of several in order."""

    _provider = "onepassword"

    def __init__(self, item: str | Sequence[str] | None = None, vault: str | None = None) -> None:
        super().__init__(Kept({"onepassword_item": names_in(item), "onepassword_vault": vault}))


class KubernetesProvider(BuiltInProvider):
    """Kubernetes Secrets, through the API server: one or several by name, or those that a label selector matches."""

    _provider = "kubernetes"

    def __init__(
        self, secret_name: str | Sequence[str] | None = None, namespace: str | None = None, selector: str | None = None
    ) -> None:
        settings = {"kubernetes_secret": names_in(secret_name), "kubernetes_selector": selector}
        super().__init__(Kept({**settings, "kubernetes_namespace": namespace}))


def names_in(names: str | Sequence[str] | None) -> str | list[str] | None:
    return names if names is None or isinstance(names, str) else list(names)


def is_built_in(provider: Any) -> bool:
    """Returns whether the library itself can run the provider."""
    return isinstance(provider, BuiltInProvider) and type(provider).get_secret is BuiltInProvider.get_secret


def set_secret(secrets: Any, key: str, value: str, strict: bool) -> bool:
    try:
        result: bool = secrets.set_secret(key, value)
        return result
    except Error as error:
        if strict:
            raise
        log_skipped(error)
        return False
    finally:
        del value


def delete_secret(secrets: Any, key: str, strict: bool) -> bool:
    try:
        existed: bool = secrets.delete_secret(key)
        return existed if strict else existed or Path(secrets._file_path()).exists()
    except Error as error:
        if strict:
            raise
        log_skipped(error)
        return False


def getter(provider: Any) -> Callable[[str, float], str | bytes | None]:
    """Returns the function that the library calls with a key and a time limit."""
    if isinstance(provider, type) or not callable(getattr(provider, "get_secret", None)):
        what = f"the class {provider.__name__}" if isinstance(provider, type) else f"a {type(provider).__name__}"
        raise TypeError(f"a provider must be an object with get_secret(key), not {what}")
    if is_built_in(provider):
        own = provider._secrets
        return lambda key, timeout: own._value(key)  # unlike get_secret, raises a failure
    is_available = getattr(provider, "is_available", None)
    if isinstance(provider, BuiltInProvider) and type(provider).is_available is BuiltInProvider.is_available:
        is_available = None  # get_secret reports the same

    def get_secret(key: str, timeout: float) -> str | bytes | None:
        end = time.monotonic() + timeout
        if is_available is not None and not _async.result_of(is_available(), timeout):
            return None
        value: str | bytes | None = _async.result_of(provider.get_secret(key), max(end - time.monotonic(), 0.0))
        return value

    return get_secret
