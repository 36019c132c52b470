"""SimpleTuner's names for what is stored."""

from .provider_config_store import ProviderConfigStore, get_provider_config_store

__all__ = ["ProviderConfigStore", "get_provider_config_store"]
