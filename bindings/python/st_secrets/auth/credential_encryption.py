"""Encryption of credentials at rest, in the format of SimpleTuner.

The names are those of SimpleTuner's `cloud.auth.credential_encryption`. The key comes from SIMPLETUNER_CREDENTIAL_KEY, or
`~/.simpletuner/credential.key`, or is made and saved there.
"""

from __future__ import annotations

from .. import _native
from .._settings import Kept, Settings

__all__ = ["Cipher", "decrypt_credential", "encrypt_credential", "reencrypt_credential", "reset_cipher", "rotate_key"]


class Cipher(_native.Cipher):
    """Keys of a program's own; `config` may have `key`, `key_file`, `previous_keys` and `generate`."""

    def __new__(cls, config: Settings | None = None) -> Cipher:
        try:
            kept = Kept(config)
        finally:
            del config
        return _native.Cipher.__new__(cls, kept.json())


_of_process = _native.Cipher(None, True)


def encrypt_credential(plaintext: str) -> str:
    """Encrypts a credential under the newest key."""
    try:
        return _of_process.encrypt(plaintext)
    finally:
        del plaintext


def decrypt_credential(ciphertext: str) -> str:
    """Decrypts a credential. `BadTokenError`, a ValueError: it is damaged, or its key is not at hand."""
    try:
        return _of_process.decrypt_text(ciphertext)
    finally:
        del ciphertext


def reencrypt_credential(ciphertext: str) -> tuple[str, bool]:
    """A token of the same under the newest key, and whether it is another one."""
    try:
        return _of_process.reencrypt(ciphertext)
    finally:
        del ciphertext


def rotate_key() -> None:
    """Puts a new key into the key file. What the old one encrypted can still be decrypted."""
    _of_process.rotate_key()


def reset_cipher(config: Settings | None = None) -> None:
    """Has the process take its keys from these settings or, with None, from the environment anew."""
    try:
        kept = Kept(config)
    finally:
        del config
    _native.cipher_reset(kept.json())
