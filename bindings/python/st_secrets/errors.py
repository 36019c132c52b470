"""What can go wrong. One class for each status of the library; each is also the built-in exception that it is like."""

from __future__ import annotations

from typing import Final

RETRYABLE: Final = 1


class Error(Exception):
    """A call of the library failed. Its message says what happened, where, and what to do; it never holds a value."""

    status: int = 0
    """The number of the status, such as -1."""
    source: int = 0
    """The provider that failed, one of `st_secrets.SOURCE_…`."""
    detail: int = 0
    """The HTTP status or `errno`; 0 if there is none."""
    retryable: bool = False
    """Whether the same call may succeed later without anybody changing anything."""

    @property
    def name(self) -> str:
        """The name of the status, such as "ST_NOT_FOUND"."""
        from ._native import status_name  # which is made with the classes of this file

        return status_name(self.status)

    @property
    def message(self) -> str:
        """What happened, where, and what to do about it."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message


class NotFoundError(Error, LookupError):
    """Every configured provider was asked, and each answered that it has no such value."""

    status = -1


class InvalidArgumentError(Error, ValueError):
    """An argument is too long, not UTF-8 or out of range."""

    status = -2


class ConfigError(Error, ValueError):
    """A setting is unknown, missing or of the wrong type."""

    status = -3


class FileError(Error, OSError):
    """The operating system refused a file operation; `detail` is `errno`."""

    status = -4


class AccessDeniedError(Error, PermissionError):
    """Permissions or a policy forbid it."""

    status = -5


class UnavailableError(Error, ConnectionError):
    """Something that is needed does not answer now."""

    status = -6


class DeadlineError(Error, TimeoutError):
    """The deadline passed."""

    status = -7


class ProtocolError(Error, ValueError):
    """A document or an answer is not in the form that it must have."""

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
    """A provider or a factory of the program's own failed."""

    status = -12


class CorruptError(Error):
    """A database or a hash chain is damaged."""

    status = -13


class BusyError(Error):
    """Somebody else holds what is needed."""

    status = -14


class WrongTypeError(Error, TypeError):
    """The value is there, but it is of another type."""

    status = -15


class ReadOnlyError(Error, PermissionError):
    """The place cannot be written to."""

    status = -16


class NoMemoryError(Error, MemoryError):
    """Memory could not be had. (What the library itself cannot get is a plain MemoryError.)"""

    status = -17


class AbandonedError(Error):
    """The load that was waited for was given up by its owner."""

    status = -18


class PanicError(Error):
    """A bug in the library, which stays usable."""

    status = -99


_CLASSES: dict[int, type[Error]] = {kind.status: kind for kind in Error.__subclasses__()}


def make(status: int, source: int, detail: int, flags: int, message: str) -> Error:
    """The exception for what a call told."""
    error = _CLASSES.get(status, Error)(message)
    error.status = status
    error.source = source
    error.detail = detail
    error.retryable = bool(flags & RETRYABLE)
    if isinstance(error, OSError) and source != 0 and 0 < detail < 200:
        error.errno = detail
    return error
