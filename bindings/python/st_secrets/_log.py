"""Forwards log messages of the library to Python's `logging`, loggers `st_secrets.…`."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from typing import Final

from . import _native
from .errors import Error

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: logging.DEBUG}
_NUMBERS = {logging.CRITICAL: 1, logging.ERROR: 1, logging.WARNING: 2, logging.INFO: 3, logging.DEBUG: 4}

logging.getLogger("st_secrets").addHandler(logging.NullHandler())


PERIOD: Final = 60.0
"""The seconds in which a failure of a provider is logged once."""

# The beginning of a message about the lookup of a key. What follows is the cause, which is the same for all keys.
_KEY = re.compile(r'(?:secret )?"(?:[^"\\]|\\.)*": ')
_CAUSES: Final = 200

_lock = threading.RLock()  # a signal handler may use the library while its thread holds the lock
_logged: dict[str, float] = {}


def _is_repeated(message: str) -> bool:
    """Returns whether the cause of a failed lookup was logged in this period. Other messages are not repeated ones."""
    key = _KEY.match(message)
    if key is None:
        return False
    cause, now = message[key.end() :], time.monotonic()
    with _lock:
        if now - _logged.get(cause, now - PERIOD) < PERIOD:
            return True
        while len(_logged) >= _CAUSES:
            del _logged[next(iter(_logged))]
        _logged.pop(cause, None)
        _logged[cause] = now
        return False


def forget_logged() -> None:
    """Makes the next failure of each cause be logged again."""
    with _lock:
        _logged.clear()


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def log_skipped(error: Error) -> None:
    """Logs a failure that a call does not raise."""
    message = error.message
    if not _is_repeated(message if _KEY.match(message) else f'"": {message}'):
        logging.getLogger("st_secrets.secrets").warning("%s", message, stacklevel=_stacklevel())


def _log(level: int, target: str, message: str, fields: dict[str, str | int | float]) -> None:
    if target == "secrets" and level == 2 and _is_repeated(message):
        return
    logging.getLogger(f"st_secrets.{target}").log(
        _LEVELS.get(level, logging.DEBUG), "%s", message, stacklevel=_stacklevel(), extra={"st_secrets": fields}
    )


def _stacklevel() -> int:
    """Returns the `stacklevel` at which a record names the program's line that called the library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "st_secrets":
        frame, level = frame.f_back, level + 1
    return level


def set_log_level(level: int) -> None:
    """Forwards log messages of the library from this `logging` level on; the default is WARNING. Other messages cost
    nothing.
    """
    number = max((number for name, number in _NUMBERS.items() if name >= level), default=0)
    _native.log_set(number, _log if number else None)


set_log_level(logging.WARNING)
