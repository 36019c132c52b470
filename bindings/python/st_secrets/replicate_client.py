"""Hardware prices. The names are those of SimpleTuner's `cloud.replicate_client`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from .storage.provider_config_store import ProviderConfigStore
from .store import Store, get_store

__all__ = [
    "DEFAULT_HARDWARE_INFO",
    "clear_hardware_info_cache",
    "get_hardware_cost_per_hour",
    "get_hardware_info",
    "get_hardware_info_async",
    "set_hardware_info",
]

DEFAULT_HARDWARE_INFO: Final[dict[str, dict[str, Any]]] = {
    "gpu-l40s": {"name": "L40S (48GB)", "cost_per_second": 0.000975},
    "gpu-a100-large": {"name": "A100 (80GB)", "cost_per_second": 0.001400},
}
"""The default prices. Changing this dict has no effect: use `set_hardware_info`."""


def get_hardware_info() -> dict[str, dict[str, Any]]:
    """Returns the hardware prices: cached, configured for the provider `replicate`, or the defaults."""
    return get_store().hardware_info()


async def get_hardware_info_async(store: ProviderConfigStore | Store | None = None) -> dict[str, dict[str, Any]]:
    """Returns the hardware prices, with those configured in `store`; reads them in another thread."""
    used = store._store if isinstance(store, ProviderConfigStore) else store
    return await asyncio.to_thread((used or get_store()).hardware_info)


def set_hardware_info(info: Mapping[str, Any]) -> None:
    """Replaces the cached prices for 300 s."""
    get_store().set_hardware_info(info)


def clear_hardware_info_cache() -> None:
    """Removes the cached prices, so that the next call reads the configuration again."""
    get_store().clear_hardware_info()


def get_hardware_cost_per_hour(hardware_id: str) -> float:
    """Returns the hourly price of a device."""
    return get_store().hardware_cost_per_hour(hardware_id)
