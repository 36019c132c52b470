"""Compares a public interface with its record in this directory: everything recorded must still be there as it was, and
everything that is there must be recorded. usage: interface.py PART [--record [--breaking]]

PART is `c`, `rust`, `go`, `python` or `node`; those after `rust` need what the tests of their language build. With
--record, writes the record: only additions, or with --breaking all changes."""

import argparse
import difflib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import c_header
import rust_docs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

ADDED = "this is new: run `make abi-record` and commit what it writes to tests/abi"
BROKEN = (
    "this breaks programs that use the library; keep the old interface beside the new one, or see"
    " CONTRIBUTING.md, 'Public interfaces'"
)


class Report:
    """What differs from a record."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.added: list[str] = []


def compare_lists(name: str, recorded: list[str], current: list[str], report: Report) -> None:
    """A line that is gone or differs breaks programs; a line that is new does not."""
    gone = [line for line in recorded if line not in set(current)]
    new = [line for line in current if line not in set(recorded)]
    for line in gone:
        text = f"{name}: no longer there: {line}"
        # The line that replaces it, to show what changed.
        for other in difflib.get_close_matches(line, new, 1, 0.8):
            new.remove(other)
            text += f"\n{' ' * len(name)}  there now:       {other}"
        report.broken.append(text)
    report.added += [f"{name}: {line}" for line in new]


def printed(directory: str, command: list[str]) -> list[str]:
    """The lines that a program prints."""
    output = subprocess.run(command, cwd=ROOT / directory, check=True, stdout=subprocess.PIPE, text=True).stdout
    return output.splitlines()


LISTS: dict[str, Callable[[], list[str]]] = {
    "rust": rust_docs.lines,
    # With the variables of bindings/go/test.sh.
    "go": lambda: printed("bindings/go", ["go", "run", "api.go"]),
    "python": lambda: printed(
        "build/python", ["env", "PYTHONPATH=.", "../venv/bin/python", "../../tests/abi/python_package.py"]
    ),
    "node": lambda: printed("bindings/node/test", ["node", "../../../tests/abi/node_package.js"]),
}

RECORDS = {"c": ["c.abi", "c_names.txt"], **{part: [f"{part}.txt"] for part in LISTS}}


def abidiff(recorded: Path, current: Path, *options: str) -> str:
    """Returns what differs between two records of an ABI; nothing if they are the same."""
    result = subprocess.run(["abidiff", *options, recorded, current], check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode & 3:
        raise SystemExit(f"abidiff failed with status {result.returncode}: {result.stdout}")
    return result.stdout.strip() if result.returncode else ""


def compare_abi(recorded: Path, current: Path, report: Report) -> None:
    """Structs that begin with their size may grow at the end, and functions may be added."""
    compatible = ("--suppressions", HERE / "growing.abignore", "--no-added-syms")
    if broken := abidiff(recorded, current, *map(str, compatible)):
        report.broken.append(broken)
    elif added := abidiff(recorded, current):
        report.added.append(added)


def check_list(name: str, lines: Callable[[], list[str]], report: Report, record: bool) -> Callable[[], None]:
    """Compares a list with its record. Returns a function that writes the record."""
    path = HERE / name
    current = lines()
    if not current:
        raise SystemExit(f"{name}: nothing public was found")
    if path.exists() or not record:
        compare_lists(name, path.read_text().splitlines(), current, report)
    return lambda: (path.write_text("".join(f"{line}\n" for line in current)), None)[1]


def check(part: str, report: Report, record: bool, work: Path) -> list[Callable[[], None]]:
    if part in LISTS:
        return [check_list(f"{part}.txt", LISTS[part], report, record)]
    path, current = HERE / "c.abi", work / "c.abi"
    c_header.write_abi(current, work)
    if path.exists() or not record:
        compare_abi(path, current, report)
    names = check_list("c_names.txt", c_header.names, report, record)
    return [names, lambda: (path.write_bytes(current.read_bytes()), None)[1]]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=RECORDS)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--breaking", action="store_true")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        try:
            writers = check(options.part, report, options.record, Path(work))
        except subprocess.CalledProcessError as error:
            # The program printed the reason.
            print(f"{options.part}: {error.cmd[0]} failed with status {error.returncode}")
            return 1
        except FileNotFoundError as error:
            print(f"{options.part}: {error.filename} is missing: see `make tools` and `make abi-record`")
            return 1
        if report.broken and not (options.record and options.breaking):
            print(*report.broken, f"{options.part}: {BROKEN}", sep="\n")
            return 1
        if options.record:
            # Another version of abidw or of a compiler writes the same in other words.
            is_same = not (report.added or report.broken) and all(
                (HERE / name).exists() for name in RECORDS[options.part]
            )
            for write in [] if is_same else writers:
                write()
            return 0
    if report.added:
        print(*report.added, f"{options.part}: {ADDED}", sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
