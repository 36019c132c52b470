"""Hardware prices. The names are those of SimpleTuner's `cloud.replicate_client`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from . import _native
from .cache import TTLCache
from .errors import Error
from .storage.provider_config_store import ProviderConfigStore
from .store import Store, get_store

__all__ = [
    "DEFAULT_HARDWARE_INFO",
    "clear_hardware_info_cache",
    "get_default_hardware_cost_per_hour",
    "get_hardware_cost_per_hour",
    "get_hardware_info",
    "get_hardware_info_async",
    "set_hardware_info",
    "update_hardware_info_cache",
]

DEFAULT_HARDWARE_INFO: Final[dict[str, dict[str, Any]]] = json.loads(_native.hardware_defaults())
"""The default prices. Changing this dict has no effect: use `set_hardware_info`."""

_PROVIDER: Final = "replicate"
_DEFAULT_DEVICE: Final = "gpu-l40s"

# The prices that `set_hardware_info` set, or that a store of another type had. The library caches all others.
_prices: TTLCache[dict[str, dict[str, Any]]] = TTLCache(default_ttl=300.0, max_size=1)
_KEY: Final = "hardware_info"


def get_hardware_info() -> dict[str, dict[str, Any]]:
    """Returns the hardware prices: cached, configured for the provider `replicate`, or the defaults."""
    return _prices.get(_KEY) or get_store().hardware_info()


async def get_hardware_info_async(store: Any = None) -> dict[str, dict[str, Any]]:
    """Returns the hardware prices, with those configured in `store`; reads them in another thread.

    `store` is a Store, a ProviderConfigStore, or any object with `get_provider_config(provider)` or `get(provider)`,
    which may be a coroutine. If that raises, the failure is logged and the defaults are returned.
    """
    if isinstance(store, ProviderConfigStore):
        store = store._store
    if store is None or isinstance(store, Store):
        known = _prices.get(_KEY)
        return known if known else await asyncio.to_thread((get_store() if store is None else store).hardware_info)
    return await _prices.get_or_set_async(_KEY, lambda: _of_other(store))


async def _of_other(store: Any) -> dict[str, dict[str, Any]]:
    """Returns the prices in the configuration that a store of another type has, or the defaults."""
    try:
        config = getattr(store, "get_provider_config", None) or store.get
        found = config(_PROVIDER)
        info = (await found if inspect.isawaitable(found) else found).get("hardware_info")
        if isinstance(info, dict) and info:
            return info
    except Exception as error:
        reason = str(error) if isinstance(error, Error) else type(error).__name__
        logging.getLogger("st_secrets.store").warning("the configuration of %s cannot be read: %s", _PROVIDER, reason)
    return {name: dict(device) for name, device in DEFAULT_HARDWARE_INFO.items()}


def set_hardware_info(info: Mapping[str, Any]) -> None:
    """Replaces the cached prices for 300 s."""
    get_store().set_hardware_info(info)
    _prices.set(_KEY, dict(info))


update_hardware_info_cache = set_hardware_info


def clear_hardware_info_cache() -> None:
    """Removes the cached prices, so that the next call reads the configuration again."""
    _prices.clear()
    get_store().clear_hardware_info()


def get_hardware_cost_per_hour(hardware_id: str) -> float:
    """Returns the hourly price of a device, with the prices of `get_hardware_info`."""
    device: Any = (_prices.get(_KEY) or {}).get(hardware_id)
    price = device.get("cost_per_second") if isinstance(device, dict) else None
    if isinstance(price, (int, float)):
        return price * 3600.0
    return get_store().hardware_cost_per_hour(hardware_id)


async def get_default_hardware_cost_per_hour(store: Any = None) -> float:
    """Returns the hourly price of the default device, gpu-l40s, with the prices of `get_hardware_info_async`."""
    device = (await get_hardware_info_async(store)).get(_DEFAULT_DEVICE) or {}
    price: float = device.get("cost_per_second", DEFAULT_HARDWARE_INFO[_DEFAULT_DEVICE]["cost_per_second"])
    return price * 3600
