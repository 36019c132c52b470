"""Checks that the modules of src do not import each other in circles.

In each directory of src, its files and subdirectories are the modules, and an import of anything in another one is an
arrow. `mod.rs` and its like are left out: they declare the others. Tests may import anything.

usage: imports.py
The exit code is 1 if there is a circle.
"""

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
# A program of its own, which uses the library from outside.
SKIPPED = ("bin/",)
COMMENT = re.compile(r"//[^\n]*")
TESTS = re.compile(r"#\[cfg\((all\()?test\b[^\]]*\]\s*mod \w+ \{.*", re.DOTALL)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")


def expanded(tree):
    """Returns the paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    before, brace, inner = tree.partition("{")
    if not brace:
        return [tree.strip()]
    parts, depth, start = [], 0, 0
    inner = inner.rsplit("}", 1)[0] + ","
    for at, character in enumerate(inner):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            parts.append(inner[start:at])
            start = at + 1
    return [before.strip() + path for part in parts if part.strip() for path in expanded(part.strip())]


def module(path):
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def imports(text, own):
    """Returns the paths that a module imports, as parts from the root."""
    text = TESTS.sub("", COMMENT.sub("", text))
    paths = [path for tree in USE.findall(text) for path in expanded(tree)] + PATH.findall(USE.sub("", text))
    for path in paths:
        first, *rest = re.split(r"\s*::\s*", path)
        base = list(own)
        while first == "super":
            base.pop()
            first, *rest = rest or [""]
            if first != "super":
                yield [*base, first, *rest]
        if first == "crate" and base == list(own):
            yield rest


def circles():
    files = [path for path in SRC.rglob("*.rs") if not str(path.relative_to(SRC)).startswith(SKIPPED)]
    files = [path for path in files if "test" not in path.stem and not any("test" in part for part in module(path))]
    modules = {module(path) for path in files}
    graphs = {}
    for path in files:
        own = module(path)
        for target in imports(path.read_text(), own):
            for depth, (here, there) in enumerate(zip(own, target, strict=False)):
                if here != there:
                    if any(other[: depth + 1] == tuple(target[: depth + 1]) for other in modules):
                        graphs.setdefault(own[:depth], {}).setdefault(here, set()).add(there)
                    break
    for directory, graph in sorted(graphs.items()):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield f"{'/'.join(('src', *directory))}: {' -> '.join(reversed(error.args[1]))}"


if __name__ == "__main__":
    found = list(circles())
    for circle in found:
        print(f"modules that import each other in a circle, in {circle}")
    sys.exit(1 if found else 0)
