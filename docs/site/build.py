"""Renders the documents as a web site, in which every relative link leads somewhere. usage: build.py SITE VERSION"""

import html
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from documents import ROOT, documents, slug
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

SITE, VERSION = Path(sys.argv[1]), sys.argv[2]
C_REFERENCE = "c/st__secrets_8h.html"
C_CONVENTIONS = "c/index.html"
RUST_REFERENCE = "rust/st_secrets/index.html"

# The order of the navigation is that of the links in the documentation table of the README.
ORDER = re.findall(
    r"\]\(([\w/]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8").partition("## Documentation")[2]
)
# Tables with at most this many columns become blocks on a narrow screen; wider ones scroll.
STACKED = 4
FORMATTER = HtmlFormatter(nowrap=True)


def target_of(path):
    """Where the page of a document is in the site."""
    relative = path.relative_to(ROOT)
    if relative == Path("README.md"):
        return Path("index.html")
    return relative.with_name("index.html") if relative.name == "README.md" else relative.with_suffix(".html")


PAGES = {path: target_of(path) for path in documents()}


def title_of(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip().replace("`", "")
    return path.stem


def rank(path):
    name = str(path.relative_to(ROOT))
    if name == "README.md":
        return (-1, name)
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def relative(to, page):
    return os.path.relpath(to, page.parent)


def resolved(target, path):
    """A link of a document as one of its page. Other files are copied into the site."""
    if re.match(r"[a-z]+:|#", target):
        return target
    name, hash_, anchor = target.partition("#")
    to = (path.parent / unquote(name)).resolve()
    if to in PAGES:
        place = PAGES[to]
    elif to == ROOT / "include/st_secrets.h":
        place = Path(C_REFERENCE)
    elif to.is_file():
        place = to.relative_to(ROOT)
        (SITE / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(to, SITE / place)
    elif to.is_dir() and to in (ROOT / "docs", ROOT):
        place = Path("index.html")
    elif to.is_dir():
        files = "".join(f"<li>{html.escape(file.name)}</li>" for file in sorted(to.iterdir()))
        place = to.relative_to(ROOT) / "index.html"
        (SITE / place).parent.mkdir(parents=True, exist_ok=True)
        (SITE / place).write_text(page(to, place, to.name, f"<h1>{html.escape(to.name)}</h1><ul>{files}</ul>"), "utf-8")
    else:
        raise SystemExit(f"{path.relative_to(ROOT)}: {target} leads nowhere")
    return relative(place, PAGES[path]) + hash_ + anchor


def code(text, language):
    if language == "mermaid":
        return f'<pre class="mermaid">{html.escape(text)}</pre>'
    try:
        body = highlight(text, get_lexer_by_name(language), FORMATTER)
    except ClassNotFound:
        body = html.escape(text)
    return f"<pre><code>{body}</code></pre>"


def label_cells(tokens):
    """Gives the cells of narrow tables the names of their columns, which the style shows on a narrow screen."""
    names, column = [], 0
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            table, names = token, []
        elif token.type == "th_open":
            names.append(tokens[index + 1].content.replace("`", ""))
        elif token.type == "tbody_open" and len(names) <= STACKED:
            table.attrSet("class", "stacked")
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            if names[column]:
                token.attrSet("data-label", names[column])
            column += 1


def body_of(path):
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    seen = {}
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            name = slug(tokens[index + 1].content.replace("`", ""))
            number = seen.get(name, 0)
            seen[name] = number + 1
            token.attrSet("id", f"{name}-{number}" if number else name)
        for child in token.children or []:
            for attribute in ("href", "src"):
                if attribute in child.attrs:
                    child.attrSet(attribute, resolved(str(child.attrs[attribute]), path))
    label_cells(tokens)
    markdown.add_render_rule("fence", lambda self, tokens, i, *_: code(tokens[i].content, tokens[i].info.strip()))
    text = markdown.renderer.render(tokens, markdown.options, {})
    text = re.sub(r"<table[^>]*>", r'<div class="table">\g<0>', text).replace("</table>", "</table></div>")
    return re.sub(r'(<h[23] id="([^"]*)">.*?)(</h[23]>)', r'\1<a href="#\2" aria-label="link">#</a>\3', text)


def navigation(current):
    def entry(place, title):
        mark = ' aria-current="page"' if place == current else ""
        return f'<li><a href="{relative(place, current)}"{mark}>{html.escape(title)}</a></li>'

    ordered = sorted(PAGES, key=rank)
    names = {"README.md": "st-secrets", "CHANGELOG.md": "Changes"}
    titles = {path: names.get(str(path.relative_to(ROOT)), title_of(path)) for path in ordered}
    groups = [
        ("Guide", [(PAGES[p], titles[p]) for p in ordered if p.parent == ROOT / "docs" or p == ROOT / "README.md"]),
        (
            "Languages",
            [
                (PAGES[p], titles[p].removeprefix("st-secrets for "))
                for p in ordered
                if p.parent.parent == ROOT / "bindings"
            ],
        ),
        (
            "Reference",
            [
                (Path(C_CONVENTIONS), "C conventions"),
                (Path(C_REFERENCE), "st_secrets.h"),
                (Path(RUST_REFERENCE), "Rust"),
            ],
        ),
        ("Project", [(PAGES[p], titles[p]) for p in ordered if p.parent == ROOT and p.name != "README.md"]),
    ]
    return "".join(f"<h2>{name}</h2><ul>{''.join(entry(*item) for item in items)}</ul>" for name, items in groups)


def page(path, place, title, body):
    root = relative(Path("."), place)
    diagrams = ""
    if 'class="mermaid"' in body:
        diagrams = (
            f'<script src="{root}/mermaid.js"></script><script>mermaid.initialize({{startOnLoad: true}})</script>'
        )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)} · st-secrets</title>
<link rel="stylesheet" href="{root}/style.css">
<link rel="stylesheet" href="{root}/code.css">
</head>
<body>
<div class="page">
<nav><details id="pages" open><summary>Pages</summary>{navigation(place)}</details></nav>
<script>if (matchMedia("(max-width: 50rem)").matches) document.getElementById("pages").open = false</script>
<main>
{body}
<footer>st-secrets {VERSION}</footer>
</main>
</div>
{diagrams}
</body>
</html>
"""


class Page(HTMLParser):
    """The links and anchors of a finished page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src"):
                self.links.append(value or "")
            elif name in ("id", "name"):
                self.anchors.add(value)


def check():
    """Every relative link of our pages leads to a file of the site, and to an anchor of it."""
    pages = {}

    def read(place):
        if place not in pages:
            pages[place] = Page(place.read_text(encoding="utf-8", errors="replace"))
        return pages[place]

    dead = []
    for place in sorted((SITE / target).resolve() for target in PAGES.values()):
        for link in read(place).links:
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            to = (place.parent / name).resolve() if name else place
            if not to.is_file() or (anchor and anchor not in read(to).anchors):
                dead.append(f"{place.relative_to(SITE.resolve())}: {link} leads nowhere")
    if dead:
        raise SystemExit("\n".join(dead))


def main():
    light = HtmlFormatter(style="default").get_style_defs("pre")
    dark = HtmlFormatter(style="github-dark").get_style_defs("pre")
    without_background = [re.sub(r"^pre \{[^}]*\}$", "", text, flags=re.MULTILINE) for text in (light, dark)]
    style = "{}\n@media (prefers-color-scheme: dark) {{\n{}\n}}\n".format(*without_background)
    (SITE / "code.css").write_text(style, encoding="utf-8")
    for path, place in PAGES.items():
        (SITE / place).parent.mkdir(parents=True, exist_ok=True)
        (SITE / place).write_text(page(path, place, title_of(path), body_of(path)), encoding="utf-8")
    check()
    print(f"{len(PAGES)} pages")


main()
