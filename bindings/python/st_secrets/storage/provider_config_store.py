"""The configuration of providers. The names are those of SimpleTuner's `cloud.storage.provider_config_store`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._settings import Kept
from ..store import Store, get_store

__all__ = ["ProviderConfigStore", "get_provider_config_store"]


class ProviderConfigStore:
    """The configuration of providers, in the database of the state directory or in `db_path`. Reads go through the
    cache of `get_provider_config_cache`. The coroutines run in another thread.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        self._store = get_store() if db_path is None else Store({"database": db_path})

    def get_sync(self, provider: str) -> dict[str, Any]:
        """Returns the configuration of a provider, {} if it has none."""
        return self._store.provider_config(provider)

    def save_sync(self, provider: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a provider."""
        try:
            self._store.save_provider_config(provider, config)
        finally:
            del config

    def update_sync(self, provider: str, updates: Mapping[str, Any]) -> None:
        """Merges `updates` into the configuration of a provider, in one transaction."""
        try:
            self._store.update_provider_config(provider, updates)
        finally:
            del updates

    async def get(self, provider: str) -> dict[str, Any]:
        """Returns the configuration of a provider, {} if it has none."""
        return await asyncio.to_thread(self.get_sync, provider)

    async def save(self, provider: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a provider."""
        try:
            kept = Kept(config)
        finally:
            del config
        await asyncio.to_thread(lambda: self.save_sync(provider, kept.settings))

    async def update(self, provider: str, updates: Mapping[str, Any]) -> None:
        """Merges `updates` into the configuration of a provider, in one transaction."""
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
        """Returns the webhook settings of a provider, with defaults."""
        return await asyncio.to_thread(self._store.webhook_config, provider)

    async def get_cost_limit_config(self, provider: str) -> dict[str, Any]:
        """Returns the cost limit of a provider, with defaults: `enabled`, `amount`, `period` and `action`."""
        limit = await asyncio.to_thread(self._store.cost_limit_config, provider)
        return {name.removeprefix("cost_limit_"): value for name, value in limit.items()}

    async def get_hardware_info(self, provider: str) -> dict[str, dict[str, Any]] | None:
        """Returns the hardware prices in the configuration of a provider, None if it has none."""
        return (await self.get(provider)).get("hardware_info")

    get_provider_config = get
    save_provider_config = save


_store: ProviderConfigStore | None = None


def get_provider_config_store() -> ProviderConfigStore:
    """Returns the store of the process."""
    global _store
    if _store is None:
        _store = ProviderConfigStore()
    return _store
