"""The public interface of the Rust crate, read from the pages that rustdoc writes: they have every public item with its
signature. Tools that read rustdoc's JSON need a nightly compiler. The C interface in `ffi` is recorded by itself."""

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OUTPUT = ROOT / "target/api"
VOID = {"br", "hr", "img", "input", "link", "meta", "wbr"}


class Page(HTMLParser):
    """The declaration on a page, and the headers of each of its lists: methods, implementations of traits."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.list_id = ""
        # The open elements, and whether their text belongs to what is collected.
        self.open: list[tuple[str, bool]] = []
        self.texts: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.collected: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        classes = values.get("class", "").split()
        if values.get("id", "").endswith("-list") or values.get("id", "").startswith("deref-methods-"):
            self.list_id = values["id"]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in VOID:
            return
        skipped = bool({"comment", "tooltip", "docblock"} & set(classes)) or tag == "summary"
        if self.collected is None:
            is_listed = "code-header" in classes and self.list_id
            if "item-decl" in classes or is_listed or values.get("id", "").startswith("reexport."):
                self.collected, self.open = [], [(tag, True)]
        else:
            # The clause `where` is a block of its own.
            self.collected.append(" " if tag == "div" else "")
            self.open.append((tag, self.open[-1][1] and not skipped))

    def handle_endtag(self, tag: str) -> None:
        if self.collected is None or tag in VOID:
            return
        self.open.pop()
        if not self.open:
            text = " ".join("".join(self.collected).split())
            # On one line, as a signature that rustdoc wraps.
            self.texts.append((self.list_id, re.sub(r",? \)", ")", text.replace("( ", "("))))
            self.collected = None

    def handle_data(self, data: str) -> None:
        if self.collected is not None and self.open[-1][1]:
            self.collected.append(data)


def item_lines(path: str, page: Page) -> list[str]:
    """The lines of one item. What programs match without a catch-all, and traits, are one line: an addition breaks."""
    lines = []
    for list_id, text in page.texts:
        if list_id == "":
            if text.startswith("#[non_exhaustive]") and text.endswith("}"):
                head, _, members = text[:-1].partition("{")
                # At commas outside of the members of a variant.
                lines += [head.strip(), *re.findall(r"[^\s,{(](?:[^,{(]|\{.*?\}|\(.*?\))*", members)]
            else:
                # The value of a constant may change.
                lines.append(re.sub(r"^(pub const [^=;]+?)( = .*)?;$", r"\1", text))
        elif (
            list_id == "implementations-list"
            and not text.startswith("impl")
            or list_id == "trait-implementations-list"
            and text.startswith("impl")
            and "StructuralPartialEq" not in text
            or list_id == "synthetic-implementations-list"
            and re.match(r"impl.* (Send|Sync) for ", text)
        ):
            lines.append(text)
    return [f"{path}: {line.strip()}" for line in lines]


def lines() -> list[str]:
    """Documents the crate, and returns its public items, sorted. The dependencies are compiled once for all builds."""
    command = [os.environ.get("CARGO", "cargo"), "rustdoc", "--quiet", "--locked", "--lib", "--target-dir", OUTPUT]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "CARGO_BUILD_BUILD_DIR": str(ROOT / "target")})
    documents = OUTPUT / "doc/st_secrets"
    found: set[str] = set()
    modules = {documents}
    # Only the pages that are in the list: rustdoc leaves those of earlier runs.
    for link in Page((documents / "all.html").read_text()).links:
        if not re.fullmatch(r"(?!ffi/)[\w/]+\.\w+\.html", link):
            continue
        path = documents / link
        kind, name, _ = path.name.split(".")
        modules.update(parent for parent in path.parents if parent.is_relative_to(documents))
        module = "::".join(path.parent.relative_to(documents).parts)
        found.update(item_lines(f"{module}::{name}".lstrip(":"), Page(path.read_text())))
    for module_directory in modules:
        module = "::".join(module_directory.relative_to(documents).parts) or "st_secrets"
        page = Page((module_directory / "index.html").read_text())
        found.update(f"{module}: {text}" for _, text in page.texts if text.startswith("pub use "))
    return sorted(found)
