"""SimpleTuner's names for the stores."""

from .provider_config_store import ProviderConfigStore, get_provider_config_store

__all__ = ["ProviderConfigStore", "get_provider_config_store"]
