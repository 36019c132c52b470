"""Checks that a type name of src means one type: no two modules of the library define types of the same name.

usage: type_names.py
The exit code is 1 if a name is defined twice. Types inside functions, tests and the command are left out.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
# A program of its own, which uses the library from outside.
SKIPPED = SRC / "bin"
DEFINITION = re.compile(r"^(?:pub(?:\([^)]*\))? )?(?:struct|enum|union|trait|type) (\w+)", re.MULTILINE)
CONDITION = re.compile(r"#\[cfg\(([^\n]*)\)\]\n\Z")


def definitions(text):
    """Yields the names of types and the lines of their definitions; of types that differ between builds, the first."""
    for found in DEFINITION.finditer(text):
        condition = CONDITION.search(text[: found.start()])
        if not (condition and condition[1].startswith("not(")):
            yield found[1], text.count("\n", 0, found.start()) + 1


def main():
    places = defaultdict(list)
    for path in sorted(SRC.rglob("*.rs")):
        if SKIPPED in path.parents or "tests" in path.parts or path.stem in ("tests", "model_tests"):
            continue
        for name, line in definitions(path.read_text(encoding="utf-8")):
            places[name].append(f"{path.relative_to(ROOT)}:{line}")
    repeated = {name: found for name, found in places.items() if len(found) > 1}
    for name, found in sorted(repeated.items()):
        print(f"the type name {name} is defined more than once: {', '.join(found)}")
    sys.exit(bool(repeated))


if __name__ == "__main__":
    main()
