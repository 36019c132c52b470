"""Encryption of credentials at rest, in SimpleTuner's format.

The names are those of SimpleTuner's `cloud.auth.credential_encryption`. The key comes from SIMPLETUNER_CREDENTIAL_KEY
or `~/.simpletuner/credential.key`; without either, a new key is written to that file.
"""

from __future__ import annotations

from .. import _native
from .._settings import Kept, Settings

__all__ = ["Cipher", "decrypt_credential", "encrypt_credential", "reencrypt_credential", "reset_cipher", "rotate_key"]


class Cipher(_native.Cipher):
    """A cipher with its own keys. `config` may contain `key`, `key_file`, `previous_keys` and `generate`."""

    def __new__(cls, config: Settings | None = None) -> Cipher:
        try:
            kept = Kept(config)
        finally:
            del config
        return _native.Cipher.__new__(cls, kept.json())


_of_process = _native.Cipher(None, True)


def encrypt_credential(plaintext: str) -> str:
    """Encrypts a credential under the newest key and returns the token."""
    try:
        return _of_process.encrypt(plaintext)
    finally:
        del plaintext


def decrypt_credential(ciphertext: str) -> str:
    """Decrypts a credential. Raises BadTokenError, a ValueError, if it is damaged or its key is not available."""
    try:
        return _of_process.decrypt_text(ciphertext)
    finally:
        del ciphertext


def reencrypt_credential(ciphertext: str) -> tuple[str, bool]:
    """Re-encrypts a token under the newest key. Returns the token and whether it differs from the argument."""
    try:
        return _of_process.reencrypt(ciphertext)
    finally:
        del ciphertext


def rotate_key() -> None:
    """Writes a new key to the key file. Tokens of the old key can still be decrypted."""
    _of_process.rotate_key()


def reset_cipher(config: Settings | None = None) -> None:
    """Replaces the keys of the process with these settings or, with None, reads them from the environment again."""
    try:
        kept = Kept(config)
    finally:
        del config
    _native.cipher_reset(kept.json())
