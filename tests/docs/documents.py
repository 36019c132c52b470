"""Reads what the checks need out of Markdown: code blocks, headings, links. Standard library only."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

FENCE = re.compile(r"^( *)```(\S*)\s*$")
# <!-- name: value --> on a line of its own, before a block.
MARK = re.compile(r"^<!-- (file|env|cmake|python): (.*) -->$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@dataclass
class Block:
    """A fenced block, with the marks in front of it."""

    language: str
    line: int
    text: str = ""
    marks: dict[str, list[str]] = field(default_factory=dict)


def documents():
    """Every document of the project."""
    return sorted(
        path
        for pattern in ("*.md", "docs/*.md", "bindings/*/README.md")
        for path in ROOT.glob(pattern)
        if path.is_file()
    )


def blocks(path):
    found, marks, block, indent = [], {}, None, 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if block is not None:
            if fence and not fence[2] and len(fence[1]) == indent:
                found.append(block)
                block = None
            else:
                block.text += line[indent:] + "\n"
        elif fence:
            block, indent = Block(fence[2], number, marks=marks), len(fence[1])
            marks = {}
        elif mark := MARK.match(line):
            marks.setdefault(mark[1], []).append(mark[2])
        elif line.strip():
            marks = {}
    if block is not None:
        raise ValueError(f"{path}:{block.line}: the block has no end")
    return found


def prose(path):
    """The lines outside of code blocks, with their numbers."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def slug(heading):
    """The anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path):
    found, seen = set(), {}
    for _, line in prose(path):
        if heading := re.match(r"^#{1,6} +(.*?) *#*$", line):
            name = slug(heading[1])
            count = seen.get(name, 0)
            seen[name] = count + 1
            found.add(f"{name}-{count}" if count else name)
    return found


def links(path):
    """The targets of the links, with the lines in which they begin."""
    lines = list(prose(path))
    text = "\n".join(re.sub(r"`[^`]*`", lambda code: "`" + "x" * (len(code[0]) - 2) + "`", line) for _, line in lines)
    for link in LINK.finditer(text):
        yield lines[text.count("\n", 0, link.start())][0], link[1]
