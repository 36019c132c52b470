"""The interface of include/st_secrets.h: its functions and types as an ABI that abidiff reads, and its names.

The types are those of the header as a C compiler sees them, not those of Rust's debug information, which names types of
Rust and of other crates and differs with each compiler. tests/header.rs checks that the header has the functions and
types of the sources, tests/c/symbols that the libraries export just these functions."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HEADER = ROOT / "include/st_secrets.h"
# The version is new in each release.
VERSION = {"ST_VERSION", "ST_VERSION_NUMBER"}


def code() -> str:
    """The header without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", HEADER.read_text(), flags=re.DOTALL)


def names() -> list[str]:
    """What only the source of a program uses, sorted: every macro with its value, and the members of every struct. An
    initializer may change with its struct."""
    defined = re.findall(r"^#define (ST_\w+) (.+)$", code(), flags=re.MULTILINE)
    values = {name: "{…}" if value.startswith("{") else value.strip() for name, value in defined}
    lines = [f"{name} {value}" for name, value in values.items() if name not in VERSION]
    for struct, members in re.findall(r"^typedef struct (\w+) \{(.*?)^\}", code(), flags=re.MULTILINE | re.DOTALL):
        lines += [f"{struct}: {' '.join(member.split())}" for member in members.split(";") if member.strip()]
    return sorted(lines)


def functions() -> str:
    """A definition of every function that the header declares: debug information describes what is defined."""
    declarations = re.findall(r"^(?!typedef|#)(\w[^;{}#]*\bst_\w+\([^;{}]*\));", code(), flags=re.MULTILINE)
    return "".join(f"{declaration}\n{{\n    __builtin_trap();\n}}\n" for declaration in declarations)


def write_abi(path: Path, work: Path) -> None:
    """Writes the ABI of the header without anything of this machine: no paths, no lines, no numbered types."""
    source, library = work / "functions.c", work / "libst_secrets.so"
    source.write_text(f"#include <st_secrets.h>\n{functions()}")
    number = re.search(r"^#define ST_ABI_VERSION (\d+)$", code(), flags=re.MULTILINE)
    assert number, "ST_ABI_VERSION is not in the header"
    build = ["-g", "-O0", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,libst_secrets.so.{number[1]}"]
    compiler = os.environ.get("CC", "cc").split()
    # The debug information has the path of the source as it is given here.
    subprocess.run([*compiler, *build, "-I", HEADER.parent, "-o", library, source.name], cwd=work, check=True)
    plain = ["--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", "--type-id-style", "hash"]
    headers = ["--headers-dir", HEADER.parent, "--drop-private-types"]
    subprocess.run(["abidw", *plain, *headers, "--out-file", path, library], check=True)
