"""Checks the map for contributors: ARCHITECTURE.md and the documents beside it.

Every path that they name exists. Every file of src is in the map: it is named, or a directory above it is. A name
without a directory is that of some file, such as `slot.rs`. Locks are those of `fork_safe`, which check the rule of
forks.

usage: map.py
The exit code is 1 if anything was found.
"""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASING.md"]
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(
    r"(?:src|tests|bindings|docs|include|packaging|benches|fuzz|examples)/[\w./*-]*"
    r"|[\w./-]*\w\.(?:rs|c|h|hpp|go|js|ts|py|md|toml|txt|json|sh)"
)
# Files that a reader finds without the map.
UNMAPPED = ["src/lib.rs", "*/mod.rs", "*test*", "*/fuzzing.rs", "src/fuzz_input.rs", "src/bin/*"]
# They take no lock that a forked child inherits, or are what the rule is made of.
OWN_LOCKS = ["src/fork.rs", "src/fork_safe/locks.rs", "src/cache/reader_slots.rs"]


def names(document):
    """Yields (line number, path) for every path that a document names."""
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        for text in QUOTED.findall(line):
            if PATH.fullmatch(text):
                yield number, text


def problems(files):
    places = {*files, *(f"{parent}/" for file in files for parent in PurePosixPath(file).parents)}
    for document in DOCUMENTS:
        for number, path in names(document):
            wanted = [path, path + "/"] if "/" in path else [path, "*/" + path]
            if not any(fnmatch.fnmatchcase(place, each) for place in places for each in wanted):
                yield f"{document}:{number}: {path} does not exist"
    mapped = {path for _, path in names("ARCHITECTURE.md")}
    for file in files:
        if not fnmatch.fnmatchcase(file, "src/*.rs") or any(fnmatch.fnmatchcase(file, each) for each in UNMAPPED):
            continue
        if file not in mapped and not any(f"{parent}/" in mapped for parent in PurePosixPath(file).parents):
            yield f"{file}: neither it nor its directory is in the map of ARCHITECTURE.md"
        if file not in OWN_LOCKS and re.search(r"\bparking_lot::", (ROOT / file).read_text()):
            yield f"{file}: use the locks of fork_safe, which check the rule of forks, instead of parking_lot"


def main():
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    lines = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = list(problems([line for line in lines if (ROOT / line).is_file()]))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
