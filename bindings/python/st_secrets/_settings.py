"""Converts settings and documents to the JSON text that the library reads.

They may contain a token, and some tools print tracebacks with the local variables of each frame. So every frame that an
exception can leave deletes its references first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

Settings = Mapping[str, Any]


def plain(value: Any) -> Any:
    """Returns a timedelta in seconds, a date or datetime in ISO format, and a path as text; for `json.dumps`."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) else os.fspath(value)


class Kept:
    """Settings that may contain a token; `repr` does not show them."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings | None) -> None:
        fits = settings is None or isinstance(settings, Mapping)
        self.settings: dict[str, Any] = dict(settings or {}) if fits else {}
        del settings
        if not fits:
            raise TypeError("settings must be a dict")

    def json(self) -> str | None:
        """Returns the settings as JSON text, with paths as strings. `None` selects a setting's default."""
        try:
            return json.dumps(self.settings, default=plain, allow_nan=False) if self.settings else None
        except (TypeError, ValueError):
            pass  # the exception would contain the value
        raise TypeError(
            f"{self._unfit()} must be text, a number, a boolean, None, a path, a timedelta, or a list of these"
        )

    def differing(self, other: Kept, providers: object) -> str:
        """Returns the names of the settings that differ from `other`, as the end of a sentence."""
        names = [
            name for name in {**self.settings, **other.settings} if self.settings.get(name) != other.settings.get(name)
        ]
        names = ["providers"] if providers else names
        return f" ({', '.join(map(str, names))})" if names else ""

    def _unfit(self) -> str:
        """Returns a description of the setting that cannot be converted to JSON."""
        for name, value in self.settings.items():
            try:
                json.dumps({name: value}, default=plain, allow_nan=False)
            except (TypeError, ValueError):
                return f"the setting {name!r}" if isinstance(name, str) else "the name of a setting"
        return "a setting"

    def __repr__(self) -> str:
        return "<settings>"

    def __reduce__(self) -> str:
        raise TypeError("cannot pickle settings")


def document_json(document: Any) -> str:
    """Returns the JSON text of a document. Raises TypeError or ValueError as `json.dumps` does."""
    try:
        return json.dumps(document)
    except (TypeError, ValueError) as error:
        failure = type(error)(str(error))
    finally:
        del document
    raise failure
