"""Credentials of users. The names are those of SimpleTuner's `cloud.auth.stores.credential_store`."""

from __future__ import annotations

import asyncio
from typing import Any

from ..._per_path import PerPath
from ..._settings import Kept
from ...errors import NotFoundError

__all__ = ["CredentialStore", "get_credential_store"]


class CredentialStore(PerPath):
    """Credentials of users, encrypted in the database of the state directory or in `db_path`. Credentials that
    SimpleTuner stored in plain text are read as well; `Store.reencrypt_credentials` encrypts them.

    There is one object for each database. A path that was given counts for later calls without one, until
    `reset_instance`. The coroutines run in another thread. The audit trail records changes and reads.
    """

    _setting = "database"
    _described = "credentials_database"

    async def set(self, user_id: int, provider: str, credential_name: str, credential_value: str) -> int:
        """Stores a credential, active, and returns its id."""
        try:
            kept = Kept({"value": credential_value})
        finally:
            del credential_value
        return await asyncio.to_thread(
            lambda: self._store.set_credential(user_id, provider, credential_name, kept.settings["value"])
        )

    async def get(self, user_id: int, provider: str, credential_name: str) -> str | None:
        """Returns the value of an active credential, None if the user does not have it. Raises BadTokenError if its key
        is not available.
        """
        try:
            return await asyncio.to_thread(self._store.credential, user_id, provider, credential_name)
        except NotFoundError:
            return None

    async def mark_used(self, user_id: int, provider: str, credential_name: str) -> bool:
        """Records the use of an active credential, and returns whether it exists. `get` records it itself."""
        return await asyncio.to_thread(self._store.mark_credential_used, user_id, provider, credential_name)

    async def list_for_user(self, user_id: int, provider: str | None = None) -> list[dict[str, Any]]:
        """Returns the credentials of a user, without their values: `id`, `provider`, `credential_name`, `created_at`,
        `updated_at`, `last_used_at` and `is_active`.
        """
        entries = await asyncio.to_thread(self._store.list_credentials, user_id, provider or None)
        listed = [
            {
                "id": entry["id"],
                "provider": entry["provider"],
                "credential_name": entry["name"],
                "created_at": entry["created_at"],
                "updated_at": entry["updated_at"],
                "last_used_at": entry["last_used_at"],
                "is_active": bool(entry["is_active"]),
            }
            for entry in entries
        ]
        return sorted(listed, key=lambda entry: (entry["provider"], entry["credential_name"]))

    async def delete(self, user_id: int, provider: str, credential_name: str) -> bool:
        """Removes a credential and returns whether it existed."""
        return await asyncio.to_thread(self._store.delete_credential, user_id, provider, credential_name)

    async def deactivate(self, user_id: int, provider: str, credential_name: str) -> bool:
        """Makes a credential unusable until it is set again, and returns whether it existed."""
        return await asyncio.to_thread(self._store.deactivate_credential, user_id, provider, credential_name)

    def _init_schema(self, cursor: object) -> None:
        """SimpleTuner's user store calls this; the first write of a credential creates the table."""


def get_credential_store() -> CredentialStore:
    """Returns the store of the process: `CredentialStore()`."""
    store: CredentialStore = CredentialStore()
    return store
