"""What the replacement does to an installation of SimpleTuner."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Error
from ..replicate_client import DEFAULT_HARDWARE_INFO
from ..secrets import SecretsManager
from ..store import Store
from ._replace import MODULES, ours


def check() -> dict[str, Any]:
    """Returns a report: `simpletuner`, its directory or None; `modules`, for each of `MODULES` its `name`, `file` (None
    if this SimpleTuner does not have it), and the names that are `replaced` and that `stay`; `changes`, the differences
    here from SimpleTuner, as sentences. Imports nothing of SimpleTuner and changes nothing.
    """
    root = _directory()
    modules = [_module(name, root) for name in MODULES] if root is not None else []
    changes: list[str] = []
    for find in (_state_directory, _plain_credentials, _secrets, _variables, lambda: _prices(root)):
        try:
            changes.extend(find())
        except Error as error:
            changes.append(str(error))
    return {"simpletuner": None if root is None else str(root), "modules": modules, "changes": changes}


def text(report: dict[str, Any]) -> str:
    """Returns a report as text."""
    if report["simpletuner"] is None:
        return "SimpleTuner is not installed for this Python: install it, or use its Python."
    lines = [f"SimpleTuner in {report['simpletuner']}", "", "Replaced:"]
    for module in report["modules"]:
        if module["file"] is None:
            lines.append(f"  {module['name']}: this SimpleTuner does not have it")
            continue
        lines.append(f"  {module['name']}: {', '.join(module['replaced'])}")
        if module["stay"]:
            lines.append(f"    stay SimpleTuner's: {', '.join(module['stay'])}")
    lines += ["", "What changes here:"]
    lines += [f"  - {change}" for change in report["changes"]] or ["  nothing"]
    return "\n".join(lines)


def _directory() -> Path | None:
    try:
        spec = importlib.util.find_spec("simpletuner")
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def _file(name: str, root: Path) -> Path | None:
    stem = root.joinpath(*name.split(".")[1:])
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _module(name: str, root: Path) -> dict[str, Any]:
    file = _file(name, root)
    there = _public_names(file) if file is not None else []
    own = set(ours(name).__all__)
    return {
        "name": name,
        "file": None if file is None else str(file),
        "replaced": [public for public in there if public in own],
        "stay": [public for public in there if public not in own],
    }


def _public_names(file: Path) -> list[str]:
    """Returns the public classes, functions and constants that a module defines."""
    names: list[str] = []
    for statement in _statements(file):
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(statement.name)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names += [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
    return [name for name in names if not name.startswith("_") and len(name) > 1]


def _statements(file: Path) -> list[ast.stmt]:
    try:
        return ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []


def _state_directory() -> Iterator[str]:
    with Store() as store:
        description = store.describe()
    if description["reason"] == "in_use":
        yield f"the databases are those in {description['state_dir']}: {description['explanation']}"
    yield from description["warnings"]
    second = Path(description["database"]).with_name("audit.db")
    if str(second) != description["audit_database"] and second.is_file():
        yield f"{second} is a second audit trail, which is not read: the trail is {description['audit_database']}"


def _plain_credentials() -> Iterator[str]:
    with Store() as store:
        plain = sum(not entry["encrypted"] for entry in store.list_credentials())
    if plain:
        yield (
            f"{plain} credentials of users are stored in plain text: they are read, and encrypted when they are set "
            "again, or all at once by Store().reencrypt_credentials(plain=True). SimpleTuner without this package does "
            "not decrypt them"
        )


def _secrets() -> Iterator[str]:
    with SecretsManager.open() as manager:
        for provider in manager.check()["providers"]:
            if provider["state"] not in ("ok", "absent"):
                yield f"provider {provider['name']}: {provider.get('detail') or provider['state']}"


def _variables() -> Iterator[str]:
    region, default = os.environ.get("AWS_REGION"), os.environ.get("AWS_DEFAULT_REGION")
    if region and default and region != default:
        yield f"AWS_REGION ({region}) is used before AWS_DEFAULT_REGION ({default}), as by AWS's own tools"
    keys = (SecretsManager.REPLICATE_API_TOKEN, SecretsManager.HF_TOKEN, SecretsManager.WEBHOOK_SECRET)
    for name in keys:
        if os.environ.get(name) == "":
            yield f"{name} is empty and counts as not set: the other providers are used"


def _prices(root: Path | None) -> Iterator[str]:
    file = _file(next(name for name in MODULES if name.endswith(".replicate_client")), root) if root else None
    for statement in _statements(file) if file is not None else []:
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "DEFAULT_HARDWARE_INFO":
            yield from _different_prices(statement)


def _different_prices(statement: ast.stmt) -> Iterator[str]:
    value = getattr(statement, "value", None)
    try:
        theirs = ast.literal_eval(value) if value is not None else {}
    except ValueError:
        return
    for device, info in theirs.items():
        price = DEFAULT_HARDWARE_INFO.get(device, {}).get("cost_per_second")
        if price != info.get("cost_per_second"):
            yield (
                f"the default price of {device} is {price} US dollars a second instead of "
                f"{info.get('cost_per_second')}: set `hardware_info` in the configuration of replicate"
            )
