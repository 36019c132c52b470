"""Settings and documents, as the library takes them: JSON. They may hold a token, and programs show tracebacks together with
the local variables of each frame; so a frame that an exception can leave lets go of them before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]


class Kept:
    """Settings that may hold a token: not shown."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings | None) -> None:
        fits = settings is None or isinstance(settings, Mapping)
        self.settings: dict[str, Any] = dict(settings or {}) if fits else {}
        del settings
        if not fits:
            raise TypeError("settings must be a dict")

    def json(self) -> str | None:
        """The JSON text of them; a path is written as text. `None` as a value is the setting's default."""
        try:
            return json.dumps(self.settings, default=os.fspath, allow_nan=False) if self.settings else None
        except (TypeError, ValueError):
            pass  # the exception would show the value
        raise TypeError(f"{self._unfit()} must be text, a number, a boolean, None, a path, or a list of these")

    def differing(self, other: Kept, providers: object) -> str:
        """The names of the settings that the other one has not, or has another value for, as the end of a phrase."""
        names = [
            name for name in {**self.settings, **other.settings} if self.settings.get(name) != other.settings.get(name)
        ]
        names = ["providers"] if providers else names
        return f" ({', '.join(map(str, names))})" if names else ""

    def _unfit(self) -> str:
        """The setting that JSON has no form for."""
        for name, value in self.settings.items():
            try:
                json.dumps({name: value}, default=os.fspath, allow_nan=False)
            except (TypeError, ValueError):
                return f"the setting {name!r}" if isinstance(name, str) else "the name of a setting"
        return "a setting"

    def __repr__(self) -> str:
        return "<settings>"

    def __reduce__(self) -> str:
        raise TypeError("cannot pickle settings")


def document_json(document: Any) -> str:
    """The JSON text of a document. What cannot be written is a TypeError or ValueError, as of `json.dumps`."""
    try:
        return json.dumps(document)
    except (TypeError, ValueError) as error:
        failure = type(error)(str(error))
    finally:
        del document
    raise failure
