"""Credentials of users or else the secrets that all users share. The names are those of SimpleTuner's
`cloud.credential_resolver`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from ._log import log_skipped
from .auth.stores.credential_store import CredentialStore
from .errors import Error
from .secrets import get_secrets_manager
from .store import CREDENTIAL_GLOBAL, CREDENTIAL_USER

__all__ = ["CredentialResolver", "get_credential_resolver", "reset_credential_resolver"]

_logger = logging.getLogger("st_secrets.credential")


class CredentialResolver:
    """Finds a credential for a user: the user's own, otherwise the secret that all users share. One that cannot be read
    is logged and skipped.

    `user_store` is a CredentialStore, or an object with the coroutines of SimpleTuner's UserStore:
    `get_provider_credential`, `mark_credential_used` and `list_provider_credentials`. The default is CredentialStore().
    """

    REPLICATE_API_TOKEN: ClassVar[str] = "api_token"
    HF_TOKEN: ClassVar[str] = "api_token"

    def __init__(self, user_store: Any = None) -> None:
        self._user_store = user_store

    async def get_replicate_token(self, user_id: int | None = None) -> str | None:
        """Returns the token for Replicate of a user or the shared one, None if there is neither."""
        return await self.get_credential("replicate", self.REPLICATE_API_TOKEN, user_id, "REPLICATE_API_TOKEN")

    async def get_hf_token(self, user_id: int | None = None) -> str | None:
        """Returns the token for Hugging Face of a user or the shared one, None if there is neither."""
        return await self.get_credential("huggingface", self.HF_TOKEN, user_id, "HF_TOKEN")

    async def get_credential(
        self, provider: str, credential_name: str, user_id: int | None = None, global_key: str | None = None
    ) -> str | None:
        """Returns a credential of a user, or else the secret `global_key`; None if there is neither. Both may be None.
        The use of a user's credential is recorded.
        """
        if user_id is not None:
            own = await self._own(user_id, provider, credential_name)
            if own:
                return own
        return await get_secrets_manager().get_async(global_key) if global_key else None

    async def has_user_credential(self, user_id: int, provider: str, credential_name: str) -> bool:
        """Returns whether a user has an active credential. Reads no value."""
        store = self._store()
        try:
            if isinstance(store, CredentialStore):
                return await asyncio.to_thread(store._store.has_credential, user_id, provider, credential_name)
            listed = await store.list_provider_credentials(user_id, provider)
            return any(entry["credential_name"] == credential_name and entry["is_active"] for entry in listed)
        except Exception as error:
            _log_skipped(error, provider, credential_name)
            return False

    async def get_credential_source(
        self, provider: str, credential_name: str, user_id: int | None = None, global_key: str | None = None
    ) -> str | None:
        """Returns where `get_credential` would find it: "user", "global" or None."""
        store = self._store()
        if isinstance(store, CredentialStore):
            try:
                source = await asyncio.to_thread(
                    store._store.credential_source, user_id, provider, credential_name, global_key or None
                )
                return {CREDENTIAL_USER: "user", CREDENTIAL_GLOBAL: "global"}.get(source)
            except Error as error:
                log_skipped(error)
                return None
        if user_id is not None and await self.has_user_credential(user_id, provider, credential_name):
            return "user"
        return "global" if global_key and await get_secrets_manager().get_async(global_key) else None

    async def _own(self, user_id: int, provider: str, credential_name: str) -> str | None:
        """Returns the credential of a user and records its use."""
        store = self._store()
        try:
            if isinstance(store, CredentialStore):
                return await store.get(user_id, provider, credential_name)
            value: str | None = await store.get_provider_credential(
                user_id=user_id, provider=provider, credential_name=credential_name
            )
            if value and not isinstance(getattr(store, "_credentials", None), CredentialStore):
                await store.mark_credential_used(user_id, provider, credential_name)  # otherwise the read recorded it
            return value
        except Exception as error:
            _log_skipped(error, provider, credential_name)
            return None

    def _store(self) -> Any:
        return CredentialStore() if self._user_store is None else self._user_store


def _log_skipped(error: Exception, provider: str, credential_name: str) -> None:
    if isinstance(error, Error):
        log_skipped(error)
    else:  # its text may contain the credential
        _logger.warning("the credential %s/%s cannot be read: %s", provider, credential_name, type(error).__name__)


_resolver: CredentialResolver | None = None


def get_credential_resolver() -> CredentialResolver:
    """Returns the resolver of the process."""
    global _resolver
    if _resolver is None:
        _resolver = CredentialResolver()
    return _resolver


def reset_credential_resolver() -> None:
    """Makes the next call of `get_credential_resolver` create a new resolver."""
    global _resolver
    _resolver = None
