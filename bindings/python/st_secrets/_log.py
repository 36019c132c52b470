"""Forwards log messages of the library to Python's `logging`, loggers `st_secrets.…`."""

from __future__ import annotations

import logging
import sys

from . import _native

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: logging.DEBUG}
_NUMBERS = {logging.CRITICAL: 1, logging.ERROR: 1, logging.WARNING: 2, logging.INFO: 3, logging.DEBUG: 4}

logging.getLogger("st_secrets").addHandler(logging.NullHandler())


def _log(level: int, target: str, message: str) -> None:
    logging.getLogger(f"st_secrets.{target}").log(
        _LEVELS.get(level, logging.DEBUG), "%s", message, stacklevel=_stacklevel()
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
