"""Redaction: replaces secret values in logs and in what is printed.

    import logging, st_secrets

    logging.basicConfig()
    for handler in logging.getLogger().handlers:
        handler.addFilter(st_secrets.RedactingFilter())
    with st_secrets.redacted_output():      # sys.stdout and sys.stderr
        main()

The redactor of the process replaces each value that `st_secrets` returns after `start_redaction`, or after the first of
these objects is created.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import io
import logging
import operator
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from . import _native
from ._settings import Kept, Settings

__all__ = ["RedactingFilter", "RedactingStream", "Redactor", "redacted_output", "start_redaction"]

# Seconds after which text that may be the beginning of a value is passed on.
_PAUSE = 0.05


class Redactor(_native.Redactor):
    """Replaces values in text. `config` may contain `redact_min` and `redact_with`."""

    def __new__(cls, config: Settings | None = None) -> Redactor:
        try:
            kept = Kept(config)
        finally:
            del config
        return _native.Redactor.__new__(cls, kept.json())

    def add(self, value: str | bytes, name: str | None = None) -> bool:
        """Adds a value, with the name that `redact_with` can show. Returns whether it has at least `redact_min` bytes;
        a shorter one is ignored.
        """
        try:
            return self._add(value, name)
        finally:
            del value

    def redact(self, text: str) -> str:
        """Returns the text with every value replaced."""
        return _redacted_text(self, text)

    def redact_bytes(self, text: bytes) -> bytes:
        """As `redact`, for bytes."""
        return self._redact(text)


_of_process = _native.Redactor(None, True)


def start_redaction(config: Settings | None = None) -> None:
    """Opens the redactor of the process: from now on it receives each value that the library returns. Call this at the
    start of the program. Raises ConfigError if it is open with other settings.
    """
    _native.redactor_start(Kept(config).json())


def _opened(redactor: _native.Redactor | None) -> _native.Redactor:
    """Returns the redactor. For None, opens the redactor of the process and returns it."""
    if redactor is None:
        _of_process._redact(b"")
        return _of_process
    return redactor


def _redacted_text(redactor: _native.Redactor, text: str) -> str:
    """Redacts text, which may have lone surrogates."""
    given = text.encode("utf-8", "surrogatepass")
    redacted = redactor._redact(given)
    return text if redacted == given else _decoded(redacted)


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # A value that is not UTF-8 ended or began within a character.
        return text.decode("utf-8", "replace")


class RedactingFilter(logging.Filter):
    """Redacts log records: the message, arguments, attributes of `extra`, tracebacks and stacks. Add it to handlers,
    because a filter of a logger does not see the records of the loggers below it.

    The record itself is changed, so the handlers after this one get it redacted too. An object whose `str` or `repr`
    has a value becomes text. The filter does not see what a handler formats itself, such as local variables in
    tracebacks: redact the stream that such a handler writes to.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__()
        self._redactor = _opened(redactor)

    def filter(self, record: logging.LogRecord) -> bool:
        # Arguments that do not fit the message are the handler's to report.
        with contextlib.suppress(Exception):
            message = record.getMessage()
            redacted = _redacted_text(self._redactor, message)
            if redacted != message:
                record.msg, record.args = redacted, ()
        if record.exc_info:
            given = logging.Formatter().formatException(record.exc_info)
            traceback = _redacted_text(self._redactor, given)
            if traceback != given:
                # Formatters print `exc_text` where there is no exception that they could format again.
                record.exc_info, record.exc_text = None, record.exc_text or traceback
        for name, value in list(vars(record).items()):
            if name == "exc_info":
                continue
            try:
                new = self._redacted(value)
            except RecursionError:
                new = _redacted_text(self._redactor, repr(value))
            if new is not value:
                setattr(record, name, new)
        return True

    def _redacted(self, value: Any) -> Any:
        """Returns the value with its texts redacted; the same object if nothing is to be replaced. An object of another
        type that prints a value becomes text.
        """
        if isinstance(value, str):
            return _redacted_text(self._redactor, value)
        if isinstance(value, bytes):
            redacted = self._redactor._redact(value)
            return value if redacted == value else redacted
        if type(value) in (list, tuple):
            parts = [self._redacted(part) for part in value]
            return type(value)(parts) if any(map(operator.is_not, parts, value)) else value
        if type(value) is dict:
            items = tuple(value.items())
            redacted_items = self._redacted(items)
            return value if redacted_items is items else dict(redacted_items)
        if value is None or type(value) in (bool, int, float, complex):
            return value
        for form in (str, repr):
            # An object that cannot be printed does not show a value.
            with contextlib.suppress(Exception):
                printed = form(value)
                text = _redacted_text(self._redactor, printed)
                if text != printed:
                    return text
        return value


class _Text:
    """One text that is redacted as it is written. What may be the beginning of a value is held back until more is
    written, at most 50 ms.
    """

    def __init__(self, redactor: _native.Redactor, put: Callable[[bytes], object]) -> None:
        self._stream = redactor._stream()
        self._put = put
        # A signal handler may write while its thread is writing.
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._written_at = 0.0
        _texts.add(self)

    def write(self, text: bytes) -> None:
        with self._lock:
            redacted, held = self._stream.write(text)
            if redacted:
                self._put(redacted)
            self._written_at = time.monotonic()
            if held and self._timer is None:
                self._release_after(_PAUSE)

    def release(self) -> None:
        """Passes on what is held back."""
        with self._lock:
            held = self._stream.flush()
            if held:
                self._put(held)

    def _release_after(self, seconds: float) -> None:
        # Not a daemon: the end of the program waits until it is passed on.
        timer = threading.Timer(seconds, self._paused)
        # From Python 3.12 on, no thread starts while the interpreter ends. `_at_exit` then passes it on.
        with contextlib.suppress(RuntimeError):
            timer.start()
            self._timer = timer

    def _paused(self) -> None:
        with self._lock:
            self._timer = None
            remaining = self._written_at + _PAUSE - time.monotonic()
            if remaining > 0:
                self._release_after(remaining)
                return
            # The stream below may be closed by now.
            with contextlib.suppress(OSError, ValueError):
                self.release()

    def after_fork(self) -> None:
        """In a child, which does not have the thread that may hold the lock."""
        self._lock = threading.RLock()
        self._timer = None


_texts: weakref.WeakSet[_Text] = weakref.WeakSet()


def _after_fork() -> None:
    for text in _texts:
        text.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _at_exit() -> None:
    """Passes on what was written too late for the timers, by other functions that run at exit."""
    for text in list(_texts):
        # The stream below may be closed by now.
        with contextlib.suppress(Exception):
            text.release()


atexit.register(_at_exit)


class _RedactingBuffer(io.BufferedIOBase):
    """The `buffer` of a RedactingStream."""

    def __init__(self, buffer: Any, redactor: _native.Redactor) -> None:
        self._buffer = buffer
        self._text = _Text(redactor, self._put)

    def _put(self, text: bytes) -> None:
        self._buffer.write(text)

    def write(self, text: Any) -> int:
        data = bytes(text)
        self._text.write(data)
        return len(data)

    def flush(self) -> None:
        self._buffer.flush()

    def close(self) -> None:
        """Passes on what is held back. The buffer below stays open."""
        with contextlib.suppress(OSError, ValueError):
            self._text.release()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._buffer.fileno())

    def isatty(self) -> bool:
        return bool(self._buffer.isatty())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._buffer, name)


class RedactingStream(io.TextIOBase):
    """Writes to another text stream, with every value replaced. It has the properties of that stream: `fileno`,
    `isatty`, `encoding`, line buffering and so on.

    What is written to its `buffer` is redacted too, as a text of its own. What is written to the file descriptor is
    not.
    """

    def __init__(self, stream: TextIO, redactor: Redactor | None = None) -> None:
        native = _opened(redactor)
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self._text = _Text(native, self._put)
        buffer = getattr(stream, "buffer", None)
        self._buffer = None if buffer is None else _RedactingBuffer(buffer, native)

    def _put(self, text: bytes) -> None:
        try:
            decoded = self._decoder.decode(text)
        except UnicodeDecodeError:
            self._decoder.reset()
            decoded = _decoded(text)
        self._stream.write(decoded)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._text.write(text.encode("utf-8", "surrogatepass"))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream below. What may be the beginning of a value is still held back, up to 50 ms."""
        self._stream.flush()

    def release(self) -> None:
        """Passes on what is held back."""
        self._text.release()
        if self._buffer is not None:
            self._buffer.close()
        self._stream.flush()

    def close(self) -> None:
        """Passes on what is held back. The stream below stays open."""
        # The stream below may be closed by now.
        with contextlib.suppress(OSError, ValueError):
            self.release()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def buffer(self) -> Any:
        if self._buffer is None:
            raise AttributeError("the stream has no buffer")
        return self._buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    @property
    def newlines(self) -> Any:  # type: ignore[override]
        return self._stream.newlines

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextlib.contextmanager
def redacted_output(redactor: Redactor | None = None) -> Iterator[None]:
    """Redacts what is written to `sys.stdout` and `sys.stderr` in a `with` block."""
    before = sys.stdout, sys.stderr
    streams = RedactingStream(sys.stdout, redactor), RedactingStream(sys.stderr, redactor)
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.release()
        if sys.stdout is streams[0]:
            sys.stdout = before[0]
        if sys.stderr is streams[1]:
            sys.stderr = before[1]
