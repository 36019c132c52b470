"""SimpleTuner's databases: provider configuration, hardware prices, stored credentials and the audit trail.

SimpleTuner's own names for these are in `st_secrets.storage`, `st_secrets.replicate_client` and `st_secrets.audit`,
which are built on this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

from . import _native
from ._settings import Kept, Settings, document_json

__all__ = ["CREDENTIAL_GLOBAL", "CREDENTIAL_USER", "Resolved", "Store", "get_store", "reset_store"]

CREDENTIAL_USER: Final = 1
"""The credential is the user's own."""
CREDENTIAL_GLOBAL: Final = 2
"""The credential is the secret shared by all users."""


class Resolved(NamedTuple):
    """A credential and its origin: CREDENTIAL_USER or CREDENTIAL_GLOBAL."""

    source: int
    value: str

    def __repr__(self) -> str:
        return f"Resolved(source={self.source}, value=***)"


class Store(_native.Store):
    """The databases of a state directory. `config` may contain `state_dir`, `database`, `audit_database` and `timeout`.

    Reading creates nothing. The audit trail records each change, under the actor of `as_actor` if there is one."""

    def __new__(cls, config: Settings | None = None) -> Store:
        return _native.Store.__new__(cls, Kept(config).json())

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

    def set_credential(
        self, user_id: int, provider: str, name: str, value: str, cipher: _native.Cipher | None = None
    ) -> None:
        """Encrypts and stores a credential of a user."""
        try:
            self._credential_set(cipher, user_id, provider, name, value)
        finally:
            del value

    def credential(self, user_id: int, provider: str, name: str, cipher: _native.Cipher | None = None) -> str:
        """Returns the value of a user's active credential. Raises NotFoundError if the user does not have it."""
        return self._credential_get(cipher, user_id, provider, name)

    def delete_credential(self, user_id: int, provider: str, name: str) -> bool:
        """Removes a credential of a user and returns whether it existed."""
        return self._credential_delete(user_id, provider, name)

    def list_credentials(self, user_id: int | None = None, provider: str | None = None) -> list[dict[str, Any]]:
        """Returns credentials without their values, of a user and a provider (None: all)."""
        return _array(self._credential_list(user_id, provider))

    def resolve_credential(
        self,
        user_id: int,
        provider: str,
        name: str,
        global_key: str,
        cipher: _native.Cipher | None = None,
        secrets: _native.Secrets | None = None,
    ) -> Resolved:
        """Returns the user's own credential, or else the secret `global_key` of `secrets` (None: of the process)."""
        from .secrets import get_secrets_manager

        manager = get_secrets_manager() if secrets is None else secrets
        return Resolved(*self._credential_resolve(cipher, manager, user_id, provider, name, global_key))

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
        """Returns entries of the audit trail, newest first. The filters are `event_type`, `action`, `actor_id`,
        `actor_username`, `target_type`, `target_id`, `since`, `until`, `limit` and `offset`.
        """
        return _array(self._audit_query(json.dumps(filters) if filters else None))

    def verify_audit(self, first: int = 0, last: int = 0) -> dict[str, Any]:
        """Verifies the chain from entry `first` to `last` (0: the first or last of the trail) and returns a report."""
        return _object(self._audit_verify(first, last))


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
