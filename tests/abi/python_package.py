"""Prints the public interface of the Python package, which is imported: names, parameters, and how they are passed.
What they take and return are the types, which mypy checks. usage: python_package.py, with the package on PYTHONPATH"""

import enum
import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator

PACKAGE = "st_secrets"
# Methods that programs call by other means than their names.
SPECIAL = {"__init__", "__call__", "__enter__", "__aenter__", "__iter__", "__len__", "__contains__"}


def is_public(path: str) -> bool:
    return not any(part.startswith("_") for part in path.split("."))


def modules() -> Iterator[types.ModuleType]:
    package = importlib.import_module(PACKAGE)
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        # The bootstrap changes the interpreter that imports it.
        if is_public(found.name) and "bootstrap" not in found.name:
            yield importlib.import_module(found.name)


def parameters(name: str, function: object) -> Iterator[str]:
    """The required parameters are one line, as one more breaks callers; each optional one is a line of its own."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        yield name
        return
    required = []
    optional = []
    for place, parameter in enumerate(signature.parameters.values()):
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            optional.append(str(parameter.replace(annotation=parameter.empty)))
        elif parameter.default is parameter.empty:
            required.append(f"{parameter.name}=" if by_name else parameter.name)
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name != "self":
                required[-1] += " (no keyword)"
        else:
            optional.append(f"{'by keyword' if by_name else place} {parameter.name}={parameter.default!r}")
    yield f"{name}({', '.join(required)})"
    yield from (f"{name}: optional {each}" for each in optional)


def members(name: str, of: type) -> Iterator[str]:
    own = [base for base in of.__mro__ if base.__module__.startswith(PACKAGE)]
    others = [base.__name__ for base in of.__mro__ if base is not object and base not in own]
    yield f"class {name}({', '.join(others)})"
    found: dict[str, object] = {}
    for base in reversed(own):
        found.update(vars(base))
    for member, value in found.items():
        path = f"{name}.{member}"
        if isinstance(value, enum.Enum):
            yield f"{path} = {value.value!r}"
        elif member.startswith("_") and member not in SPECIAL:
            continue
        elif member.startswith("_") and member not in ("__init__", "__call__"):
            yield path
        elif isinstance(value, (staticmethod, classmethod)):
            yield from parameters(path, getattr(of, member))
        elif callable(value):
            yield from parameters(path, value)
        else:
            yield path


def lines() -> Iterator[str]:
    paths: dict[int, str] = {}
    for module in modules():
        for name in getattr(module, "__all__", ()):
            value, path = getattr(module, name), f"{module.__name__}.{name}"
            first = paths.setdefault(id(value), path) if callable(value) else path
            if first != path:
                yield f"{path} is {first}"
            elif isinstance(value, type):
                yield from members(path, value)
            elif callable(value):
                yield from parameters(path, value)
            else:
                yield path


if __name__ == "__main__":
    print(*sorted(set(lines())), sep="\n")
