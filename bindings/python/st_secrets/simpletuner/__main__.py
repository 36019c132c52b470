"""python -m st_secrets.simpletuner: runs a command with SimpleTuner's modules replaced, or reports what is replaced."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from . import _check

USAGE = """usage: python -m st_secrets.simpletuner -- COMMAND [ARGUMENT…]
       python -m st_secrets.simpletuner --check

Runs a command, such as `simpletuner server`, in which st_secrets replaces modules of SimpleTuner, also in the Python
processes that it starts. --check lists what is replaced and what that changes for this installation."""


def environment() -> dict[str, str]:
    """Returns the environment of the command: each Python in it runs the file in `bootstrap` when it starts."""
    bootstrap = str(Path(__file__).with_name("bootstrap"))
    given = os.environ.get("PYTHONPATH")
    places = [place for place in given.split(os.pathsep) if place != bootstrap] if given else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join([bootstrap, *places])}


def find(command: str) -> str | None:
    """Returns the program on PATH, or else beside this Python."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(command) or shutil.which(command, path=beside)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        report = _check.check()
        print(_check.text(report))
        return 0 if report["simpletuner"] and all(module["file"] for module in report["modules"]) else 1
    if arguments in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command or command[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    program = find(command[0])
    if program is None:
        print(f"{command[0]}: not found on PATH, nor beside {sys.executable}", file=sys.stderr)
        return 127
    sys.stdout.flush()
    os.execve(program, command, environment())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
