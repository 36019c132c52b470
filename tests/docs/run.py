"""Checks the documents: compiles and runs their examples, or parses them; checks that links lead somewhere, and that
the files, functions, statuses, settings, crates and messages that they name exist.

usage: run.py [C_COMPILER [C++_COMPILER]]    needs build/lib, PyYAML
"""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib
import yaml
from documents import ROOT, anchors, blocks, documents, links, prose

CC, CXX = (sys.argv[1:] + ["cc", "c++"][len(sys.argv) - 1 :])[:2]
# The bindings' own pages are tested with the bindings.
OURS = [path for path in documents() if path.parent.parent != ROOT / "bindings"]
# The one in Meson is that of tests/packaging/meson.build.
NOT_TESTED = {"text", "mermaid", "hcl", "meson"}
DOCKERFILE = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "ENTRYPOINT", "CMD", "USER"}

problems = []
count = 0


def problem(path, line, message):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {message}")


def run(command, work, **environment):
    kept = {"PATH": os.environ["PATH"], "HOME": str(work)}
    return subprocess.run(
        command, cwd=work, env={**kept, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def library():
    return ["-L", str(ROOT / "build/lib"), "-lst_secrets", f"-Wl,-rpath,{ROOT / 'build/lib'}"]


def compiled(path, block, work):
    """Compiles and runs a program, and compares what it prints with the block of text behind it."""
    suffix, compiler, standard = (".c", CC, "-std=c11") if block.language == "c" else (".cpp", CXX, "-std=c++17")
    source = work / f"example{suffix}"
    source.write_text(block.text, encoding="utf-8")
    flags = [standard, "-O1", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "include")]
    built = run([compiler, *flags, source, "-o", work / "example", *library()], work)
    if built.returncode != 0:
        return problem(path, block.line, f"does not compile:\n{built.stderr}")
    environment = dict(value.split("=", 1) for value in block.marks.get("env", []))
    result = run([work / "example"], work, **environment)
    if result.returncode != 0 or result.stderr:
        return problem(path, block.line, f"exit code {result.returncode}: {result.stderr}{result.stdout}")
    return result.stdout


def shell(path, block, work):
    result = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        problem(path, block.line, f"not a shell script: {result.stderr}")
    for target in re.findall(r"^make ([a-z][a-z-]*)", block.text, re.MULTILINE):
        if not re.search(rf"^{target}:|^\.PHONY:.* {target}( |$)", MAKEFILE, re.MULTILINE):
            problem(path, block.line, f"there is no `make {target}`")


def cmake(path, block, work):
    """Configures and builds the project against an installed library, or against this repository if it fetches it."""
    source, build, prefix = work / f"cmake-{block.line}", work / f"cmake-build-{block.line}", work / "prefix"
    source.mkdir()
    text = re.sub(r"GIT_REPOSITORY \S+/st-secrets\b", f"SOURCE_DIR {ROOT}", block.text)
    (source / "CMakeLists.txt").write_text(text, encoding="utf-8")
    for name in block.marks.get("cmake", []):
        (source / name).write_text(
            "#include <st_secrets.h>\nint main(void) { return st_abi_version() != ST_ABI_VERSION; }\n"
        )
    for command in (
        ["make", "-q", "-C", ROOT, "all"],  # nothing is built here
        ["make", "-s", "-C", ROOT, "install", f"PREFIX={prefix}"],
        ["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={CC}"],
        ["cmake", "--build", build],
        [build / "app"],
    ):
        result = run(command, work)
        if result.returncode != 0:
            return problem(path, block.line, f"{command[0]} failed:\n{result.stdout}{result.stderr}")


def dockerfile(path, block, work):
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if line.strip() and word not in DOCKERFILE:
            problem(path, block.line, f"not an instruction of a Dockerfile: {line}")
        if rest.startswith("["):
            json.loads(rest)


def ini(path, block, work):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(block.text)


PARSERS = {
    "sh": shell,
    "cmake": cmake,
    "dockerfile": dockerfile,
    "ini": ini,
    "toml": lambda path, block, work: tomllib.loads(block.text),
    "json": lambda path, block, work: json.loads(block.text),
    "yaml": lambda path, block, work: list(yaml.safe_load_all(block.text)),
    # They run where their package is installed: bindings/python/tests/test_readme.py, tests/documents.rs.
    "python": lambda path, block, work: ast.parse(block.text),
    "rust": lambda path, block, work: None,
}


def examples(path, work):
    global count
    printed = None
    for block in blocks(path):
        for value in block.marks.get("file", []):
            name, mode = value.split()
            target = work / name.removeprefix("~/")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            target.chmod(int(mode, 8))
        if block.language == "text":
            if printed is not None and printed != block.text:
                problem(path, block.line, f"the program prints this instead:\n{printed}")
            printed = None
        elif block.language in ("c", "cpp"):
            printed = compiled(path, block, work)
            count += 1
        elif block.language in PARSERS:
            # The commands that build a program may be between it and what it prints.
            printed = printed if block.language == "sh" else None
            try:
                PARSERS[block.language](path, block, work)
            except (ValueError, SyntaxError, yaml.YAMLError, configparser.Error) as error:
                problem(path, block.line, f"not {block.language}: {error}")
            count += 1
        elif block.language not in NOT_TESTED:
            problem(path, block.line, f"a block in {block.language or 'no language'} is not tested")


def check_links(path):
    for line, target in links(path):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (path.parent / name).resolve() if name else path
        if not to.exists():
            problem(path, line, f"leads nowhere: {target}")
        elif anchor and anchor not in anchors(to):
            problem(path, line, f"there is no such heading: {target}")


def check_names(path):
    """Files, functions, constants and variables that the text names exist."""
    for line, text in prose(path):
        for code in re.findall(r"`([^`]+)`", text):
            if re.fullmatch(r"(src|tests|bindings|include|packaging|examples|benches)/[\w./*-]*", code):
                if not list(ROOT.glob(code.rstrip("/"))):
                    problem(path, line, f"there is no {code}")
            for name in re.findall(r"\b(?:st_[a-z]\w*|ST_[A-Z]\w*)\b(?![*…])", code):
                whole = name.rstrip("_")
                if whole == name and name not in NAMES:
                    problem(path, line, f"neither the header nor a variable is {name}")


def check_tables():
    """Each status and each setting is documented, and C++ has a setter for each setting."""
    errors = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    for status in re.findall(r"^#define (ST_[A-Z_]+) -\d+$", HEADER, re.MULTILINE):
        if f"`{status}`" not in errors:
            problem(ROOT / "docs/errors.md", 1, f"{status} is missing")
    keys = (ROOT / "src/config/keys.rs").read_text(encoding="utf-8")
    settings = re.findall(r'^    \("([a-z_]+)", [A-Z][a-z]+\),$', keys, re.MULTILINE)
    assert len(settings) > 40, "the table of settings was not found"
    pages = "".join(path.read_text(encoding="utf-8") for path in OURS if path.parent.name == "docs")
    setters_of_cpp = ROOT / "include/st_secrets/config.hpp"
    setters = setters_of_cpp.read_text(encoding="utf-8")
    for setting in settings:
        if f"`{setting}`" not in pages:
            problem(ROOT / "docs/providers.md", 1, f"the setting {setting} is documented nowhere")
        if f"ST_SETTING({setting}," not in setters:
            problem(setters_of_cpp, 1, f"the setting {setting} has no setter")
    check_dependencies()
    check_messages()


# Of dependencies, for tests and for one system too.
TABLES = r"^\[(?:target\.[^\n]*\.)?(?:dev-)?dependencies\]\n(.*?)(?=^\[)"


def check_dependencies():
    """The crates of the tables are those of Cargo.toml."""
    path = ROOT / "docs/dependencies.md"
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    sections = "".join(re.findall(TABLES, manifest, re.MULTILINE | re.DOTALL))
    entries = re.findall(r'^([\w-]+) = (?:.*?package = "([^"]+)")?', sections, re.MULTILINE)
    used = {package or name for name, package in entries}
    cells = re.findall(r"^\| ([a-z][^|]*) \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    names = {name for cell in cells for name in re.sub(r"\([^)]*\)", "", cell).replace(" ", "").split(",")}
    # The model checker is a dependency of tests/model.
    for name in sorted(used ^ (names - {"crate", "loom"})):
        problem(path, 1, f"{name} is in this table or in Cargo.toml, but not in both")


def check_messages():
    """Messages that a table quotes are written somewhere in the sources."""
    for path in OURS:
        for line, text in prose(path):
            cell = text.split(" | ")[0]
            for message in re.findall(r'"([^"…]+)[^"]*"', cell) if cell.startswith("| `ST_") else []:
                if message.strip() not in SOURCE and not re.search(r"\d", message):
                    problem(path, line, f"no message has {message!r}")


HEADER = (ROOT / "include/st_secrets.h").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SOURCE = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.rs"))
VARIABLES = set(re.findall(r'"(ST_SECRETS_[A-Z_]+)"', SOURCE))
GO = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bindings/go").glob("*.go"))
# Of the builds of Go, in lines that begin with `//go:build` or `#cgo`.
TAGS = set(re.findall(r"\w+", " ".join(re.findall(r"^// ?(?:go:build|#cgo) (.*)", GO, re.MULTILINE))))
NAMES = set(re.findall(r"\b(?:st_\w+|ST_\w+)\b", HEADER)) | VARIABLES | TAGS | {"st_secrets"}


def main():
    if not (ROOT / "build/lib/libst_secrets.so").exists():
        sys.exit("build/lib/libst_secrets.so is missing: run make first")
    for path in documents():
        check_links(path)
    for path in OURS:
        check_names(path)
        work = Path(tempfile.mkdtemp())
        try:
            examples(path, work)
        finally:
            shutil.rmtree(work)
    check_tables()
    print("\n".join(problems), file=sys.stderr)
    print(f"{len(OURS)} documents, {count} examples, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
