"""Settings, as the library takes them: a JSON object."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]


def settings_json(settings: Settings | None) -> str | None:
    """The JSON text of settings; a path is written as text. `None` as a value is the setting's default."""
    if not settings:
        return None
    try:
        return json.dumps(dict(settings), default=os.fspath, allow_nan=False)
    except (TypeError, ValueError):
        # The message of the original would show the value.
        raise TypeError("settings must be text, numbers, booleans, None, paths, or lists of these") from None


class Kept:
    """Settings that may hold a token: not shown."""

    __slots__ = ("settings",)

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def __repr__(self) -> str:
        return "<settings>"

    def __reduce__(self) -> str:
        raise TypeError("cannot pickle settings")
