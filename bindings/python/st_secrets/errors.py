"""The exceptions: one class for each status of the library, each also a subclass of the closest built-in exception."""

from __future__ import annotations

from typing import Final

RETRYABLE: Final = 1


class Error(Exception):
    """The base class of all failures of the library. The message says what failed, where, and the remedy; it never
    contains a secret.
    """

    status: int = 0
    """The number of the status, such as -1."""
    source: int = 0
    """The provider that failed, one of `st_secrets.SOURCE_…`."""
    detail: int = 0
    """The HTTP status or `errno`; 0 if there is none."""
    retryable: bool = False
    """Whether the same call may succeed later without any change by the user."""

    @property
    def name(self) -> str:
        """The name of the status, such as "ST_NOT_FOUND"."""
        from ._native import status_name  # imported here, because it uses the classes of this file

        return status_name(self.status)

    @property
    def message(self) -> str:
        """What failed, where, and the remedy."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message


class NotFoundError(Error, LookupError):
    """No provider has the value. All configured providers answered."""

    status = -1


class InvalidArgumentError(Error, ValueError):
    """An argument is too long, not UTF-8 or out of range."""

    status = -2


class ConfigError(Error, ValueError):
    """A setting is unknown, missing or of the wrong type."""

    status = -3


class FileError(Error, OSError):
    """A file operation failed; `detail` is `errno`."""

    status = -4


class AccessDeniedError(Error, PermissionError):
    """Permissions or a policy deny the operation."""

    status = -5


class UnavailableError(Error, ConnectionError):
    """A server or another resource is unavailable."""

    status = -6


class DeadlineError(Error, TimeoutError):
    """The call timed out."""

    status = -7


class ProtocolError(Error, ValueError):
    """A document or response is malformed."""

    status = -8


class BadTokenError(Error, ValueError):
    """An encrypted token is damaged, or was made with another key."""

    status = -9


class BadKeyError(Error, ValueError):
    """An encryption key is missing, empty or unreadable."""

    status = -10


class BufferTooSmallError(Error):
    """A buffer is too small."""

    status = -11


class CallbackError(Error):
    """A custom provider or a factory failed."""

    status = -12


class CorruptError(Error):
    """A database or a hash chain is damaged."""

    status = -13


class BusyError(Error):
    """Another process or thread holds the resource."""

    status = -14


class WrongTypeError(Error, TypeError):
    """The value exists, but has another type."""

    status = -15


class ReadOnlyError(Error, PermissionError):
    """The file or database is read-only."""

    status = -16


class NoMemoryError(Error, MemoryError):
    """Out of memory on a server or in a provider. (If the library itself runs out of memory, it raises MemoryError.)"""

    status = -17


class AbandonedError(Error):
    """The load that the call waited for was abandoned."""

    status = -18


class PanicError(Error):
    """A bug in the library. It remains usable."""

    status = -99


_CLASSES: dict[int, type[Error]] = {kind.status: kind for kind in Error.__subclasses__()}


def make(status: int, source: int, detail: int, flags: int, message: str) -> Error:
    """Returns the exception for the outcome of a call."""
    error = _CLASSES.get(status, Error)(message)
    error.status = status
    error.source = source
    error.detail = detail
    error.retryable = bool(flags & RETRYABLE)
    if isinstance(error, OSError) and source != 0 and 0 < detail < 200:
        error.errno = detail
    return error
