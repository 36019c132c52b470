"""An import hook that replaces names in SimpleTuner's modules after they are loaded."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

PREFIX: Final = "simpletuner.simpletuner_sdk.server.services.cloud"

MODULES: Final[dict[str, str]] = {
    f"{PREFIX}.{name}": f"st_secrets.{name}"
    for name in (
        "secrets",
        "cache",
        "audit",
        "auth.credential_encryption",
        "auth.stores.credential_store",
        "credential_resolver",
        "storage.provider_config_store",
        "replicate_client",
    )
}
"""The modules of SimpleTuner and those of this package whose names replace theirs."""


class _Loader(importlib.abc.Loader):
    """Loads a module of SimpleTuner, then replaces its names."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _replace(module, self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # such as get_source, for tracebacks


class _Finder(importlib.abc.MetaPathFinder):
    """Finds SimpleTuner's modules as the other finders do, with the loader above."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MODULES:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: importlib.machinery.ModuleSpec | None = (
                find(fullname, path, target) if find is not None and finder is not self else None
            )
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, fullname)
                return spec
        return None


_finder: Final = _Finder()


def install() -> None:
    """Makes modules that are imported from now on have this package's names."""
    if _finder in sys.meta_path:
        return
    loaded = [name for name in MODULES if name in sys.modules]
    if loaded:
        raise ImportError(
            f"import st_secrets.simpletuner before SimpleTuner: {loaded[0]} is loaded already, and other modules may "
            "have its names"
        )
    sys.meta_path.insert(0, _finder)


def replaced() -> dict[str, list[str]]:
    """Returns the modules of SimpleTuner that are loaded and the names in each that are this package's."""
    return {
        name: [public for public in ours(name).__all__ if getattr(module, public, None) is getattr(ours(name), public)]
        for name in MODULES
        if (module := sys.modules.get(name)) is not None
    }


def ours(name: str) -> Any:
    """Returns the module of this package that replaces a module of SimpleTuner."""
    return importlib.import_module(MODULES[name])


def _replace(module: ModuleType, name: str) -> None:
    own = ours(name)
    for public in own.__all__:
        setattr(module, public, getattr(own, public))
    if name == f"{PREFIX}.audit":
        own.set_audit_webhook(_webhook)


def _webhook() -> dict[str, Any] | None:
    """Returns the webhook for audit entries that is set on SimpleTuner's page."""
    try:
        state: Any = importlib.import_module("simpletuner.simpletuner_sdk.server.services.webui_state")
    except ImportError:
        return None
    defaults = state.WebUIStateStore().load_defaults()
    url = getattr(defaults, "audit_export_webhook_url", None)
    if not url:
        return None
    return {
        "url": url,
        "token": getattr(defaults, "audit_export_auth_token", None),
        "security_only": bool(getattr(defaults, "audit_export_security_only", False)),
    }
