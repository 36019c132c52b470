"""SimpleTuner's names for the stores of users' data."""

from .credential_store import CredentialStore, get_credential_store

__all__ = ["CredentialStore", "get_credential_store"]
