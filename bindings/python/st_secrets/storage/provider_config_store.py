"""The configuration of providers. The names are those of SimpleTuner's `cloud.storage.provider_config_store`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .._log import log_skipped
from .._per_path import PerPath
from .._settings import Kept
from ..cache import get_provider_config_cache
from ..errors import CorruptError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["ProviderConfigStore", "get_provider_config_store"]

T = TypeVar("T")

# SimpleTuner's table, for a transaction in a database that does not exist yet.
_TABLE = """CREATE TABLE IF NOT EXISTS provider_config (
    provider TEXT PRIMARY KEY, config TEXT NOT NULL DEFAULT '{}', updated_at TEXT NOT NULL)"""


class ProviderConfigStore(PerPath):
    """The configuration of providers, in the database of the state directory or in `db_path`.

    There is one object for each database. A path that was given counts for later calls without one, until
    `reset_instance`. Reads go through the cache of `get_provider_config_cache`. The coroutines run in another thread.
    """

    _setting = "database"
    _described = "database"

    def get_sync(self, provider: str) -> dict[str, Any]:
        """Returns the configuration of a provider, {} if it has none. One that is not a JSON object is {} too, which is
        logged; it stays as it is until it is saved again.
        """
        try:
            return self._store.provider_config(provider)
        except CorruptError as error:
            self._store.list_provider_configs()  # raises if the database itself is damaged
            log_skipped(error)
            return {}

    def save_sync(self, provider: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a provider."""
        try:
            self._store.save_provider_config(provider, config)
        finally:
            del config

    def update_sync(self, provider: str, updates: Mapping[str, Any]) -> None:
        """Merges `updates` into the configuration of a provider, in one transaction. Raises CorruptError if it is not a
        JSON object: `save_sync` replaces it.
        """
        try:
            self._store.update_provider_config(provider, updates)
        finally:
            del updates

    async def get(self, provider: str) -> dict[str, Any]:
        """Returns the configuration of a provider, as `get_sync` does."""
        return await asyncio.to_thread(self.get_sync, provider)

    async def save(self, provider: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a provider."""
        try:
            kept = Kept(config)
        finally:
            del config
        await asyncio.to_thread(lambda: self.save_sync(provider, kept.settings))

    async def update(self, provider: str, updates: Mapping[str, Any]) -> None:
        """Merges `updates` into the configuration of a provider, as `update_sync` does."""
        try:
            kept = Kept(updates)
        finally:
            del updates
        await asyncio.to_thread(lambda: self.update_sync(provider, kept.settings))

    async def delete(self, provider: str) -> bool:
        """Removes the configuration of a provider and returns whether it existed."""
        return await asyncio.to_thread(self._store.delete_provider_config, provider)

    async def list_providers(self) -> list[str]:
        """Returns the names of the configured providers."""
        entries = await asyncio.to_thread(self._store.list_provider_configs)
        return [entry["provider"] for entry in entries]

    async def get_webhook_config(self, provider: str) -> dict[str, Any]:
        """Returns the webhook settings of a provider, with defaults; those alone for one that is not a JSON object."""
        config = await self.get(provider)
        return {
            "webhook_url": config.get("webhook_url"),
            "webhook_secret": config.get("webhook_secret"),
            "webhook_require_signature": config.get("webhook_require_signature", True),
            "webhook_allowed_ips": config.get("webhook_allowed_ips", []),
        }

    async def get_cost_limit_config(self, provider: str) -> dict[str, Any]:
        """Returns the cost limit of a provider, with defaults: `enabled`, `amount`, `period` and `action`. For a
        configuration that is not a JSON object, these are the defaults alone.
        """
        config = await self.get(provider)
        return {
            "enabled": config.get("cost_limit_enabled", False),
            "amount": config.get("cost_limit_amount", 0.0),
            "period": config.get("cost_limit_period", "daily"),
            "action": config.get("cost_limit_action", "warn"),
        }

    async def get_hardware_info(self, provider: str) -> dict[str, dict[str, Any]] | None:
        """Returns the hardware prices in the configuration of a provider, None if it has none."""
        return (await self.get(provider)).get("hardware_info")

    get_provider_config = get
    save_provider_config = save

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """Returns a connection of Python's `sqlite3` to the database, for statements of the program's own. They are
        committed at the end of the block, or rolled back if it raises. The audit trail does not record them.
        """
        connection = self._connect()
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.close()
            get_provider_config_cache().invalidate_prefix("provider:")

    @asynccontextmanager
    async def transaction_async(self) -> AsyncGenerator[sqlite3.Connection, None]:
        """As `transaction`, for coroutines. The statements of the block run in the thread of the event loop; beginning,
        commit and rollback do not.
        """
        transaction = self.transaction()
        connection = await asyncio.to_thread(transaction.__enter__)
        try:
            yield connection
        except BaseException as error:
            if not await asyncio.to_thread(transaction.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            await asyncio.to_thread(transaction.__exit__, None, None, None)

    async def execute_in_transaction(self, operations: Iterable[Callable[[sqlite3.Connection], T]]) -> list[T]:
        """Calls functions with a connection, in one transaction and another thread, and returns their results."""

        def execute() -> list[T]:
            with self.transaction() as connection:
                return [operation(connection) for operation in operations]

        return await asyncio.to_thread(execute)

    def _connect(self) -> sqlite3.Connection:
        # Only here: a Python that was built without SQLite has everything but this method.
        import sqlite3

        path = self.get_database_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Not otherwise: closing the file would release the locks of its other connections.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=30.0, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
        except BaseException:
            connection.close()
            raise
        return connection


def get_provider_config_store() -> ProviderConfigStore:
    """Returns the store of the process: `ProviderConfigStore()`."""
    return ProviderConfigStore()
