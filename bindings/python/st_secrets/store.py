"""SimpleTuner's databases: provider configuration, hardware prices, stored credentials and the audit trail.

SimpleTuner's own names for these are in `st_secrets.storage`, `st_secrets.replicate_client` and `st_secrets.audit`,
which are built on this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from . import _native
from ._settings import Kept, Settings, document_json, plain

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "CREDENTIAL_GLOBAL",
    "CREDENTIAL_NONE",
    "CREDENTIAL_USER",
    "Resolved",
    "Store",
    "get_store",
    "reset_store",
]

CREDENTIAL_NONE: Final = 0
"""There is no such credential."""
CREDENTIAL_USER: Final = 1
"""The credential is the user's own."""
CREDENTIAL_GLOBAL: Final = 2
"""The credential is the secret shared by all users."""


_BACKUP: Final = {"jobs": 0, "audit": 2, "credentials": 4}


class Resolved(NamedTuple):
    """A credential and its origin: CREDENTIAL_USER or CREDENTIAL_GLOBAL."""

    source: int
    value: str

    def __repr__(self) -> str:
        return f"Resolved(source={self.source}, value=***)"


class Store(_native.Store):
    """The databases of a state directory. `config` may contain `state_dir`, `database`, `audit_database` and `timeout`.

    Reading creates nothing. The audit trail records each change, under the actor of `as_actor` if there is one. A store
    is closed by `close` or as a context manager; that of the process stays open.
    """

    def __new__(cls, config: Settings | None = None) -> Store:
        return _native.Store.__new__(cls, Kept(config).json())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """Returns where the databases are and why: `state_dir`, `reason`, `explanation`, `database`,
        `credentials_database`, `audit_database`, `audit_key` and `warnings`. Opens and creates nothing.
        """
        return _object(self._describe())

    def backup(self, path: str | os.PathLike[str], *, database: str = "jobs", replace: bool = False) -> None:
        """Writes a consistent copy of a database to the file `path` while other programs use it. `database` is
        "jobs", "credentials" (where they are in another file) or "audit".

        NotFoundError: the database does not exist yet. FileError: the file exists; `replace` overwrites it.
        """
        flags = _BACKUP.get(database)
        if flags is None:
            raise ValueError(f"database must be one of {', '.join(_BACKUP)}, not {database!r}")
        self._backup(os.fsencode(path), flags | (1 if replace else 0))

    def as_actor(self, user_id: int | None = None, username: str | None = None, ip: str | None = None) -> Store:
        """Returns the same store; its changes are recorded under this actor."""
        return self._as_actor(user_id, username, ip)

    def provider_config(self, provider: str) -> dict[str, Any]:
        """Returns the configuration of a provider, {} if it has none."""
        return _object(self._config_get(provider))

    def save_provider_config(self, provider: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a provider."""
        try:
            self._config_save(provider, document_json(config))
        finally:
            del config

    def update_provider_config(self, provider: str, updates: Mapping[str, Any]) -> None:
        """Merges `updates` into the configuration of a provider, in one transaction."""
        try:
            self._config_update(provider, document_json(updates))
        finally:
            del updates

    def delete_provider_config(self, provider: str) -> bool:
        """Removes the configuration of a provider and returns whether it existed."""
        return self._config_delete(provider)

    def list_provider_configs(self) -> list[dict[str, Any]]:
        """Returns the configured providers, with the time of their last change."""
        return _array(self._config_list())

    def webhook_config(self, provider: str) -> dict[str, Any]:
        """Returns the webhook settings of a provider, with defaults."""
        return _object(self._webhook_get(provider))

    def cost_limit_config(self, provider: str) -> dict[str, Any]:
        """Returns the cost limit of a provider, with defaults."""
        return _object(self._cost_limit_get(provider))

    def hardware_info(self) -> dict[str, dict[str, Any]]:
        """Returns the hardware prices: the configured ones or the defaults."""
        return _object(self._hardware_get())

    def set_hardware_info(self, info: Mapping[str, Any]) -> None:
        """Replaces the cached prices for 300 s."""
        self._hardware_set(json.dumps(info))

    def clear_hardware_info(self) -> None:
        """Removes the cached prices."""
        self._hardware_clear()

    def hardware_cost_per_hour(self, hardware_id: str) -> float:
        """Returns the hourly price of a device."""
        return self._hardware_cost(hardware_id)

    def default_hardware_cost_per_hour(self) -> float:
        """Returns the hourly price of the default device, gpu-l40s."""
        return self._hardware_default_cost()

    def set_credential(
        self, user_id: int, provider: str, name: str, value: str, cipher: _native.Cipher | None = None
    ) -> int:
        """Encrypts and stores a credential of a user, active, and returns its id."""
        try:
            return self._credential_set(cipher, user_id, provider, name, value)
        finally:
            del value

    def credential(self, user_id: int, provider: str, name: str, cipher: _native.Cipher | None = None) -> str:
        """Returns the value of a user's active credential. Raises NotFoundError if the user does not have it."""
        return self._credential_get(cipher, user_id, provider, name)

    def delete_credential(self, user_id: int, provider: str, name: str) -> bool:
        """Removes a credential of a user and returns whether it existed."""
        return self._credential_delete(user_id, provider, name)

    def deactivate_credential(self, user_id: int, provider: str, name: str) -> bool:
        """Makes a credential of a user unusable until it is set again. Returns whether it existed."""
        return self._credential_deactivate(user_id, provider, name)

    def mark_credential_used(self, user_id: int, provider: str, name: str) -> bool:
        """Records the use of an active credential that was read earlier, and returns whether it exists. The methods
        `credential` and `resolve_credential` record it themselves.
        """
        return self._credential_mark_used(user_id, provider, name)

    def has_credential(self, user_id: int, provider: str, name: str) -> bool:
        """Returns whether a user has an active credential, without reading its value."""
        return self._credential_exists(user_id, provider, name)

    def list_credentials(self, user_id: int | None = None, provider: str | None = None) -> list[dict[str, Any]]:
        """Returns credentials without their values, of a user and a provider (None: all)."""
        return _array(self._credential_list(user_id, provider))

    def resolve_credential(
        self,
        user_id: int | None,
        provider: str,
        name: str,
        global_key: str | None,
        cipher: _native.Cipher | None = None,
        secrets: _native.Secrets | None = None,
    ) -> Resolved:
        """Returns the user's own credential, or else the secret `global_key` of `secrets` (None: of the process). If
        `user_id` is None, only the secret is looked up; if `global_key` is, only the credential.
        """
        manager = _manager(secrets)
        return Resolved(*self._credential_resolve(cipher, manager, user_id, provider, name, global_key))

    def credential_source(
        self,
        user_id: int | None,
        provider: str,
        name: str,
        global_key: str | None,
        secrets: _native.Secrets | None = None,
    ) -> int:
        """Returns which credential `resolve_credential` would return, without reading or recording it:
        CREDENTIAL_USER, CREDENTIAL_GLOBAL or CREDENTIAL_NONE.
        """
        return self._credential_source(_manager(secrets), user_id, provider, name, global_key)

    def rotate_credentials(self, cipher: _native.Cipher | None = None) -> None:
        """Creates a new key and re-encrypts every stored credential under it."""
        self._credentials_rotate(cipher)

    def reencrypt_credentials(
        self,
        cipher: _native.Cipher | None = None,
        plain: bool = False,
        progress: Callable[[int, int], bool | None] | None = None,
    ) -> dict[str, Any]:
        """Re-encrypts every stored credential under the newest key; with `plain`, unencrypted ones too.

        If `progress(done, total)` returns False, nothing is changed. Returns a report.
        """
        return _object(self._credentials_reencrypt(cipher, plain, progress))

    def audit(
        self,
        event_type: str,
        action: str,
        target_type: str | None = None,
        target_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Appends an entry to the audit trail and returns its id. The entry must not contain a secret."""
        text = None if details is None else json.dumps(details)
        return self._audit_log(event_type, action, target_type, target_id, text)

    def query_audit(self, **filters: Any) -> list[dict[str, Any]]:
        """Returns entries of the audit trail, newest first. The filters are `event_type`, `event_types`, `action`,
        `actor_id`, `actor_username`, `target_type`, `target_id`, `since`, `until`, `after_id`, `limit` and `offset`.

        `since` and `until` are dates or times (`datetime`, or text such as 2026-08-22 or 2026-08-22T10:00:00); those
        without a zone are UTC, and a date is its midnight. Both are included. `since_text` and `until_text` are any
        text, which is compared with the stored times as text.
        """
        return _array(self._audit_query(_filter(filters)))

    def verify_audit(self, first: int = 0, last: int = 0) -> dict[str, Any]:
        """Verifies the chain from entry `first` to `last` (0: the first or last of the trail) and returns a report:
        `valid`, `entries_checked`, `first_id`, `last_id`, `broken_links` and more. The store's `timeout` limits the
        time for each 1000 entries.
        """
        return _object(self._audit_verify(first, last))

    def audit_stats(self) -> dict[str, Any]:
        """Returns `total_entries`, `by_type`, `last_24h`, `first_entry` and `last_entry` of the audit trail."""
        return _object(self._audit_stats())

    def export_audit(self, format: str = "json", **filters: Any) -> tuple[str, int]:
        """Returns entries of the audit trail as text, oldest first, and the id of the last of them (0: none), which as
        the filter `after_id` continues the export. `format` is "json" (one object a line) or "csv". The filters are
        those of `query_audit`; `limit` is 10 000 by default and at most.
        """
        if format not in ("json", "csv"):
            raise ValueError(f'format must be "json" or "csv", not {format!r}')
        return self._audit_export(_filter(filters), format == "csv")

    def send_audit(
        self,
        url: str,
        token: str | None = None,
        *,
        security_only: bool = False,
        batch: int = 1,
        timeout: float | timedelta = 5.0,
        retries: int = 2,
        ca_file: str | os.PathLike[str] | None = None,
        **filters: Any,
    ) -> int:
        """Sends entries of the audit trail to a webhook, oldest first, and returns the id of the last one (0: none).
        With a `batch` of 1 each entry is a POST request, as SimpleTuner sends it; with more, that many lines of JSON.
        `timeout` is that of one request, with its retries. A failure has the id of the last delivered entry as
        `last_id`.
        """
        try:
            kept = Kept(
                {
                    "url": url,
                    "token": token,
                    "security_only": security_only,
                    "batch": batch,
                    "timeout": timeout,
                    "retries": retries,
                    "ca_file": ca_file,
                }
            )
        finally:
            del url, token
        return self._audit_send(_filter(filters), cast("str", kept.json()))

    def retain_audit(self, days: int = 0) -> dict[str, Any]:
        """Removes the entries that are older than `days` (0: SIMPLETUNER_AUDIT_RETENTION_DAYS, or 90), signs the rest
        again as a chain, and records in a signed entry what was removed. Returns `removed`, `first_id`, `last_id`,
        `before` and `record_id`. CorruptError, with nothing changed: the chain is broken.
        """
        return _object(self._audit_retain(days))


def _filter(filters: Mapping[str, Any]) -> str | None:
    return json.dumps(filters, default=plain) if filters else None


def _manager(secrets: _native.Secrets | None) -> _native.Secrets:
    from .secrets import get_secrets_manager

    return get_secrets_manager() if secrets is None else secrets


def _object(text: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(text))


def _array(text: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json.loads(text))


_of_process = _native.Store.__new__(Store, None, True)


def get_store() -> Store:
    """Returns the store of the process, configured from the environment on first use."""
    return _of_process


def reset_store(config: Settings | None = None) -> None:
    """Replaces the store of the process with these settings or, with None, reads the environment again."""
    _native.store_reset(Kept(config).json())
