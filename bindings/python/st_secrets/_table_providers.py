"""The providers that are objects in the setting `providers`, and which class is behind a name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from . import _native
from ._providers import (
    AWSParametersProvider,
    AWSSecretsManagerProvider,
    AzureKeyVaultProvider,
    BuiltInProvider,
    CredentialsProvider,
    EnvironmentSecretProvider,
    FileSecretProvider,
    GoogleSecretManagerProvider,
    HashiCorpVaultProvider,
    HuggingFaceProvider,
    InfisicalProvider,
    KubernetesProvider,
    OnePasswordProvider,
    names_in,
)
from ._settings import Kept


class _TableProvider(BuiltInProvider):
    """A provider that is an object in the setting `providers`."""

    _member: ClassVar[str]
    """The member that only this kind of object has."""
    _table: dict[str, Any]

    def __init__(self, what: Any, /, members: dict[str, Any], **settings: Any) -> None:
        """`what` is the value of the member that names the kind. What is None is left out."""
        what = _given(what) if isinstance(what, dict) else what
        self._open({self._member: what, **_given(members)}, Kept(_given(settings)))

    def _open(self, table: dict[str, Any], kept: Kept) -> None:
        self._table = table
        BuiltInProvider.__init__(self, kept)
        self._provider = _names_of(self._secrets)[0]

    def _setting(self) -> str | dict[str, Any]:
        return self._table


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _names_of(secrets: _native.Secrets) -> list[str]:
    """Returns the names of the providers, in their order."""
    return [provider["name"] for provider in json.loads(secrets._describe())["providers"]]


class AWSSecretProvider(_TableProvider):
    """A secret of AWS Secrets Manager that is one value: a password, a PEM file.

    `secret_name` is its name or ARN, `key` the key of its value; None uses the name of the secret. `name` identifies
    the provider in errors.
    """

    _member = "aws_secret"

    def __init__(
        self,
        secret_name: str,
        key: str | None = None,
        name: str | None = None,
        region_name: str | None = None,
    ) -> None:
        super().__init__(secret_name, {"as": key, "name": name}, aws_region=region_name)


class AWSSecretsProvider(_TableProvider):
    """All secrets of AWS Secrets Manager whose names begin with `prefix` and that have these `tags`.

    `format` is "value" (each secret is one value, found by its name below the prefix) or "json" (each is an object of
    keys and values). `name` identifies the provider in errors.
    """

    _member = "aws_secrets"

    def __init__(
        self,
        prefix: str | None = None,
        tags: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        region_name: str | None = None,
    ) -> None:
        super().__init__({"prefix": prefix, "tags": tags}, {"format": format, "name": name}, aws_region=region_name)


class GoogleSecretProvider(_TableProvider):
    """A secret of Google Secret Manager that is one value.

    `secret_name` is its name, alone or below `projects/…/secrets/`, `key` the key of its value; None uses the name of
    the secret. `version` is a number, an alias or None for the newest one. `name` identifies the provider in errors.
    """

    _member = "google_secret"

    def __init__(
        self,
        secret_name: str,
        key: str | None = None,
        version: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        super().__init__(secret_name, {"as": key, "version": version, "name": name}, google_project=project)


class GoogleSecretsProvider(_TableProvider):
    """All secrets of Google Secret Manager whose names begin with `prefix` and that have these `labels`.

    `format` is "value" (each secret is one value, found by its name without the prefix) or "json" (each is an object of
    keys and values). `name` identifies the provider in errors.
    """

    _member = "google_secrets"

    def __init__(
        self,
        prefix: str | None = None,
        labels: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        super().__init__({"prefix": prefix, "labels": labels}, {"format": format, "name": name}, google_project=project)


class AzureSecretProvider(_TableProvider):
    """A secret of Azure Key Vault that is one value.

    `key` is the key of its value; None uses the name of the secret with `_` for `-`. `version` is None for the newest
    one. `name` identifies the provider in errors.
    """

    _member = "azure_secret"

    def __init__(
        self,
        secret_name: str,
        key: str | None = None,
        version: str | None = None,
        name: str | None = None,
        vault_url: str | None = None,
    ) -> None:
        super().__init__(secret_name, {"as": key, "version": version, "name": name}, azure_vault_url=vault_url)


class AzureSecretsProvider(_TableProvider):
    """All secrets of Azure Key Vault whose names begin with `prefix` and that have these `tags`.

    `format` is "value" (each secret is one value, found by its name without the prefix, with `_` for `-`) or "json"
    (each is an object of keys and values). `name` identifies the provider in errors.
    """

    _member = "azure_secrets"

    def __init__(
        self,
        prefix: str | None = None,
        tags: dict[str, str] | None = None,
        format: str | None = None,
        name: str | None = None,
        vault_url: str | None = None,
    ) -> None:
        super().__init__({"prefix": prefix, "tags": tags}, {"format": format, "name": name}, azure_vault_url=vault_url)


class KubernetesSecretProvider(_TableProvider):
    """One or several Kubernetes Secrets, through the API server, in another namespace than that of the setting.

    Of several, the first that has a key supplies it. `name` identifies the provider in errors.
    """

    _member = "kubernetes_secret"

    def __init__(
        self,
        secret_name: str | Sequence[str],
        namespace: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(names_in(secret_name), {"namespace": namespace, "name": name})


class InfisicalSecretProvider(_TableProvider):
    """A secret of Infisical at `path`, which is the value of `key`.

    `key` is None for the name of the secret. `name` identifies the provider in errors.
    """

    _member = "infisical_secret"

    def __init__(
        self,
        secret_name: str,
        environment: str,
        path: str | None = None,
        key: str | None = None,
        name: str | None = None,
        project: str | None = None,
    ) -> None:
        place = {"environment": environment, "path": path, "project": project}
        super().__init__(secret_name, {**place, "as": key, "name": name})


class InfisicalPathProvider(_TableProvider):
    """The Infisical secrets at `path`. `name` identifies the provider in errors."""

    _member = "infisical_path"

    def __init__(self, path: str, environment: str, name: str | None = None, project: str | None = None) -> None:
        super().__init__(path, {"environment": environment, "name": name, "project": project})


class OnePasswordItemProvider(_TableProvider):
    """An item of 1Password Connect: all its fields, or the one that is the value of `key`.

    `item` and `vault` are names or identifiers; `field` is a label, an identifier or `SECTION/FIELD`. `name` identifies
    the provider in errors.
    """

    _member = "onepassword_item"

    def __init__(
        self,
        item: str,
        vault: str | None = None,
        field: str | None = None,
        key: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(item, {"vault": vault, "field": field, "as": key, "name": name})


class VaultDynamicProvider(_TableProvider):
    """A credential that HashiCorp Vault or OpenBao issues for a lease: of a database, a cloud, a certificate authority.

    `path` is the path of the API, and `keys` maps members of its response to keys; None takes all, under their own
    names. `parameters` are sent with a POST, and with `revoke` the lease is revoked when the manager is closed. `name`
    identifies the provider in errors.
    """

    _member = "vault_dynamic"

    def __init__(
        self,
        path: str,
        keys: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
        revoke: bool | None = None,
        name: str | None = None,
        url: str | None = None,
        token: str | None = None,
    ) -> None:
        table = {
            "vault_dynamic": path,
            **_given({"as": keys, "parameters": parameters, "revoke": revoke, "name": name}),
        }
        kept = Kept(_given({"vault_url": url, "vault_token": token}))
        del url, token
        self._open(table, kept)


class VaultSecretProvider(_TableProvider):
    """One or several secrets of a KV engine of HashiCorp Vault or OpenBao, such as `kv/train`, of any mount.

    Of several, the first that has a key supplies it. `keys` maps members of the secrets to keys; None takes all, under
    their own names. `name` identifies the provider in errors.
    """

    _member = "vault_secret"

    def __init__(
        self,
        secret: str | Sequence[str],
        keys: dict[str, str] | None = None,
        name: str | None = None,
        url: str | None = None,
        token: str | None = None,
    ) -> None:
        table = {"vault_secret": names_in(secret), **_given({"as": keys, "name": name})}
        kept = Kept(_given({"vault_url": url, "vault_token": token}))
        del url, token
        self._open(table, kept)


class ExecProvider(_TableProvider):
    """The output of a program, which is run without a shell: a JSON object or a dotenv file, or with `key` one value.

    `command` is the program and its arguments. `name` identifies the provider in errors, and differs between several
    of them. `format` is "json", "dotenv" or "value"; None detects it. `depends_on` names the environment variables that
    the output depends on; with it and the setting `share`, the processes on a host share the output.
    """

    _member = "exec"

    def __init__(
        self,
        command: Sequence[str | Path],
        name: str = "exec",
        format: str | None = None,
        key: str | None = None,
        depends_on: Sequence[str] | None = None,
    ) -> None:
        words = command if isinstance(command, str) else [os.fspath(word) for word in command]  # a str is refused below
        depends = depends_on if depends_on is None or isinstance(depends_on, str) else list(depends_on)
        super().__init__(words, {"name": name, "format": format, "as": key, "depends_on": depends})


_PROVIDERS: dict[str, type[BuiltInProvider]] = {
    kind._provider: kind
    for kind in (
        EnvironmentSecretProvider,
        FileSecretProvider,
        AWSSecretsManagerProvider,
        AWSParametersProvider,
        GoogleSecretManagerProvider,
        AzureKeyVaultProvider,
        HashiCorpVaultProvider,
        KubernetesProvider,
        OnePasswordProvider,
        InfisicalProvider,
        HuggingFaceProvider,
        CredentialsProvider,
    )
}
_TABLES: dict[str, type[_TableProvider]] = {
    kind._member: kind
    for kind in (
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
    )
}


def provider_of(name: str, kept: Kept) -> BuiltInProvider:
    """Returns the library's provider of this name, with the settings of a manager."""
    kind = kind_of(name, kept)
    provider = kind.__new__(kind)
    if isinstance(provider, _TableProvider):
        provider._open(_tables(kept)[name], kept)
    else:
        BuiltInProvider.__init__(provider, kept)
    return provider


def kind_of(name: str, kept: Kept) -> type[BuiltInProvider]:
    """Returns the class of the library's provider of this name."""
    if name in _PROVIDERS:
        return _PROVIDERS[name]
    table = _tables(kept).get(name, {})
    return next((kind for member, kind in _TABLES.items() if member in table), ExecProvider)


def _tables(kept: Kept) -> dict[str, dict[str, Any]]:
    """Returns the elements of `providers` that are objects, by the names that the library gives them."""
    tables = [table for table in kept.settings.get("providers") or () if isinstance(table, dict)]
    if not tables:
        return {}
    settings = Kept({**kept.settings, "providers": tables, "share": "off"})  # only for the names
    return dict(zip(_names_of(_native.Secrets(settings.json())), tables, strict=True))
