"""Checks the wording and the width of comments.

usage: words.py [--summary] [PATH…]

Reports the words of BANNED with their replacements, and comment lines wider than 120 characters, in the tracked files
under each PATH; without one, in all sources and documents. `--summary` prints counts for each directory and word.
The exit code is 1 if anything was found.

Names, comments, messages and documents are checked alike; `_` counts as a space, and a phrase may continue on the next
line.
"""

import bisect
import collections
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120

# A regular expression over lower-case text, and what to write instead.
BANNED = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again",
    r"who(ever|m)": "the caller, the user",
    r"(be|been|is|are|was|were) had": "obtained, available",
    r"lies": "is",
    r"stands(?! for)|stood(?! for)|stand (in|on|at|there|still|behind|before|meanwhile)": "is, waits",
    r"at hand": "cached, available",
    r"tells|told(?! apart)|tell(?! \w+ apart)": "returns, reports",
    r"ill(?!-)": "unavailable",
    r"for ever": "forever",
    r"(?<!there )(is|are|was|were) no(?! (longer|more than|other|later|less)\b)": "is not a",
    r"be it": "whether",
    r"by then": "(name the time)",
    r"knows": "has, contains, supports",
    r"folders?": "directory",
    r"layers?": "provider",
    r"out of reach": "unreachable",
    r"time (is|was) up": "timed out",
    r"any more": "no longer",
    r"(go|goes|went) on(?! to )": "continue",
    r"pass(es|ed)? over": "skip",
    r"somebody|anybody": "a caller, a process, a user",
    r"people": "users",
    r"other way round": "vice versa",
}

# (path, text of the line, reason), with wildcards: names of third parties, and lines where the ordinary sense is meant.
ALLOWED = [
    ("tests/words.py", "*", "this list"),
    ("*packaging/conan*", "*folder*", "names of Conan"),
]

SUFFIXES = set(
    ".rs .h .hpp .c .cpp .py .pyi .go .js .mjs .ts .mts .cts .sh .md .toml .cmake .in .txt .yml .yaml".split()
)
NAMES = {"Makefile", "CMakeLists.txt", "conformance.json"}
DEFAULT = "src include bindings tests examples benches docs packaging Makefile build.rs Cargo.toml *.md".split()
# Generated from src, licences, and lists of names.
SKIPPED = ["include/st_secrets.h", "*/requirements.txt", "*/openbao.txt", "packaging/exports.txt", "*/node_modules/*"]

PATTERNS = {text: re.compile(rf"(?<![a-z0-9])(?:{text})(?![a-z0-9])") for text in BANNED}
COMMENT = re.compile(r"\s*(///?!?|//!|/?\*+(?!\w)|#+!?(?!\w)|--|\"\"\")")
MARKER = re.compile(r"^\s*(//[/!]?|/\*+|\*+/?|#+(?=\s|$)|\"\"\")?\s*")
TRAILING = re.compile(r"\s(//|#|/\*)\s[^\"]*$")
TABLE = re.compile(r"\s*//[/!]? \|")


def files(paths):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in sorted(listed):
        path = Path(name)
        if (path.suffix in SUFFIXES or path.name in NAMES) and not any(fnmatch.fnmatch(name, each) for each in SKIPPED):
            if (ROOT / name).is_file():
                yield name


def is_allowed(name, line):
    return any(fnmatch.fnmatch(name, path) and fnmatch.fnmatch(line.lower(), text) for path, text, _ in ALLOWED)


def banned_words(name, lines):
    """Yields (line number, pattern, what was found)."""
    starts, parts, length = [], [], 0
    for line in lines:
        part = MARKER.sub("", line).replace("_", " ").lower().rstrip() + " "
        starts.append(length)
        parts.append(part)
        length += len(part)
    text = "".join(parts)
    for key, pattern in PATTERNS.items():
        for match in pattern.finditer(text):
            number = bisect.bisect_right(starts, match.start()) - 1
            if not is_allowed(name, lines[number]):
                yield number + 1, key, match.group()


def wide_comments(name, lines):
    """Yields the numbers of comment lines, and in documents of lines of prose, that are too wide."""
    fenced = False
    for number, line in enumerate(lines, 1):
        fenced ^= line.lstrip().startswith("```")
        if len(line) <= WIDTH:
            continue
        if name.endswith(".md"):
            # Tables and links cannot be wrapped.
            if not fenced and not line.startswith("|") and " " in line[WIDTH:].strip():
                yield number
        elif (COMMENT.match(line) or TRAILING.search(line)) and not TABLE.match(line):
            yield number


def main():
    arguments = sys.argv[1:]
    summary = "--summary" in arguments
    paths = [each for each in arguments if each != "--summary"] or DEFAULT
    by_directory, by_word = collections.Counter(), collections.Counter()
    for name in files(paths):
        lines = (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines()
        found = [(number, f"'{text}': write {BANNED[key]}", key) for number, key, text in banned_words(name, lines)]
        found += [(number, f"wider than {WIDTH} characters", "(width)") for number in wide_comments(name, lines)]
        for number, message, key in sorted(found):
            by_directory["/".join(name.split("/")[:2]) if "/" in name else name] += 1
            by_word[key] += 1
            if not summary:
                print(f"{name}:{number}: {message}")
    if summary:
        for counter in (by_directory, by_word):
            for key, count in counter.most_common():
                print(f"{count:6} {key}")
            print()
    total = sum(by_word.values())
    if total:
        print(f"{total} places; the list is in tests/words.py", file=sys.stderr)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
