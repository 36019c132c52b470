"""Describes the code of others that the libraries and the program contain: crates, SQLite, Rust's standard library.

    third_party.py licenses TO [OPTION…]           writes the texts of their licences
    third_party.py sbom ARTEFACT TO [OPTION…]      writes a bill of materials of an artefact, in CycloneDX's JSON

    --features 'NAME…'      the features of cargo; without it, those of the program, which has all
    --no-default-features   without the default ones
    --target TARGET         what `make TARGET=…` builds; without it, what `make` builds. Several, in a bill of
                            materials, for an artefact that contains a build of each
    --sources               ARTEFACT holds sources alone: the components are what a build of it adds

The crates come from `cargo metadata`, the texts from the sources of the crates, so cargo must have them: after a
build it does. The same sources give the same bytes; SOURCE_DATE_EPOCH is the time of the bill.
"""

import argparse
import datetime
import hashlib
import html
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)\b.*", re.IGNORECASE)
# Where `make TARGET=…` installs Zig.
ZIG = ROOT / "build" / "zig"


def output(*command):
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False, text=True)
    if result.returncode != 0:
        sys.exit(f"third_party.py: this command failed, see the lines above: {' '.join(command)}")
    return result.stdout


def host():
    return re.search(r"^host: (.*)$", output("rustc", "-vV"), re.MULTILINE)[1]


def crates(arguments, target):
    """Returns the root package, and what is linked into it: a dict from package to the packages that it uses."""
    cargo = os.environ.get("CARGO", "cargo")
    options = ["--locked", "--offline", "--features", arguments.features]
    options += ["--no-default-features"] if arguments.no_default_features else []
    found = json.loads(output(cargo, "metadata", "--format-version", "1", "--filter-platform", target, *options))
    # `cargo metadata` counts what the features of crates for tests add; `cargo tree` does not, but has fewer data.
    edges = ["--edges", "normal,no-proc-macro", "--target", target]
    lines = output(cargo, "tree", "--prefix", "none", "--format", "{p}", *edges, *options).splitlines()
    linked = {tuple(line.replace(" v", " ").split()[:2]) for line in lines if line}
    packages = {package["id"]: package for package in found["packages"]}
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}

    def is_linked(dependency):
        package = packages[dependency["pkg"]]
        is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
        return is_normal and (package["name"], package["version"]) in linked

    root = found["resolve"]["root"]
    graph, todo = {}, [root]
    while todo:
        here = todo.pop()
        if here not in graph:
            graph[here] = sorted({each["pkg"] for each in nodes[here]["deps"] if is_linked(each)})
            todo += graph[here]
    return packages[root], packages, graph


def expression(license_field):
    return license_field.replace("/", " OR ") if " " not in license_field else license_field


def directory(package):
    return Path(package["manifest_path"]).parent


def texts(package):
    """Returns the licence files of a crate, those of code that it has taken over included."""
    files = {path for path in directory(package).rglob("*") if path.is_file() and TEXT.fullmatch(path.name)}
    # Not sources with such a name, and not what is for tests.
    return sorted(path for path in files if path.suffix not in (".rs", ".py", ".html") and "tests" not in path.parts)


def sqlite(package):
    header = (directory(package) / "sqlite3" / "sqlite3.h").read_text()
    return re.search(r'^#define SQLITE_VERSION\s+"(.*)"', header, re.MULTILINE)[1]


def rust_version():
    return re.search(r"^release: (.*)$", output("rustc", "-vV"), re.MULTILINE)[1]


def bundled(arguments, target, packages, graph):
    """Yields (name, version, licence, package URL, used by, texts) of what is not a crate."""
    for key in graph:
        if packages[key]["name"] == "libsqlite3-sys":
            version = sqlite(packages[key])
            text = "SQLite is in the public domain.\n"
            yield "sqlite", version, "blessing", f"pkg:generic/sqlite@{version}", key, text
    version = rust_version()
    documents = Path(output("rustc", "--print", "sysroot").strip()) / "share" / "doc" / "rust"
    copyright_text = documents / "COPYRIGHT-library.html"
    # Some distributions package Rust without it.
    text = mit_text("The Rust Project Contributors")
    if copyright_text.exists():
        text = without_tags(copyright_text.read_text())
    yield "rust-std", version, "MIT OR Apache-2.0", f"pkg:generic/rust-std@{version}", None, text
    if arguments.with_zig:
        yield from of_zig(target)


def of_zig(target):
    """Yields what the linker of `make TARGET=…` adds."""
    places = list(ZIG.glob("lib/python*/site-packages/ziglang"))
    if not places:
        sys.exit(f"third_party.py: {ZIG} is missing: build with TARGET={target} first")
    version = output(str(ZIG / "bin" / "python"), "-m", "ziglang", "version").strip()
    parts = [
        ("llvm-libunwind", "Apache-2.0 WITH LLVM-exception", "lib/libunwind/LICENSE.TXT"),
        ("zig-compiler-rt", "MIT", "LICENSE"),
    ]
    if target.endswith("-musl"):
        parts.append(("musl", "MIT", "lib/libc/musl/COPYRIGHT"))
    for name, license_id, path in parts:
        text = (places[0] / path).read_text()
        yield name, f"zig-{version}", license_id, f"pkg:generic/{name}@zig-{version}", None, text


def without_tags(page):
    page = re.sub(r"<(style|head)\b.*?</\1>", "", page, flags=re.DOTALL)
    page = re.sub(r"</?(p|h\d|li|ul|pre|details|div|br|summary)\b[^>]*>", "\n", page)
    page = re.sub(r"<[^>]*>", "", page)
    return re.sub(r"\n\s*\n+", "\n\n", html.unescape(page)).strip() + "\n"


def mit_text(holder):
    terms = (ROOT / "LICENSE-MIT").read_text().partition("Permission is")
    return f"MIT License\n\nCopyright (c) {holder}\n\n{terms[1]}{terms[2]}"


def standard_text(package):
    """Returns the text for a crate that has no file with it."""
    if "MIT" not in package["license"]:
        sys.exit(f"third_party.py: the crate {package['name']} has no licence text and is not under the MIT licence")
    return mit_text(", ".join(package["authors"]) or f"the authors of {package['repository']}")


def write_licenses(arguments):
    (target,) = arguments.target
    root, packages, graph = crates(arguments, target)
    # The text without differences of white space, to a text, and to those that have it.
    found = {}

    def add(owner, text):
        _, owners = found.setdefault(" ".join(text.split()), (text.strip(), []))
        if owner not in owners:
            owners.append(owner)

    listed = []
    for key in sorted(graph, key=lambda key: (packages[key]["name"], packages[key]["version"])):
        package = packages[key]
        if package is root:
            continue
        owner = f"{package['name']} {package['version']}"
        listed.append(f"{owner}: {expression(package['license'])}; {package['repository']}")
        for path in texts(package):
            add(owner, path.read_text(errors="replace"))
        if not texts(package):
            add(owner, standard_text(package))
    for name, version, license_id, _, _, text in bundled(arguments, target, packages, graph):
        listed.append(f"{name} {version}: {license_id}")
        add(f"{name} {version}", text)
    lines = [f"{root['name']} {root['version']} contains code of these projects. Their licences follow the list.", ""]
    lines += listed
    for text, owners in found.values():
        lines += ["", "=" * 80, *owners, "=" * 80, "", *(line.rstrip() for line in text.splitlines())]
    Path(arguments.to).write_text("\n".join(lines) + "\n")


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def checksums():
    """Returns the SHA-256 sums of the crates' archives by name and version."""
    entry = r'^name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"$'
    found = re.findall(entry, (ROOT / "Cargo.lock").read_text(), re.MULTILINE)
    return {(name, version): checksum for name, version, checksum in found}


def component(name, version, reference, license_id):
    return {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "licenses": [{"expression": license_id}],
        "purl": reference,
    }


def inventory(arguments, target):
    """Returns the package itself, the other components, and which uses which, for one target."""
    root, packages, graph = crates(arguments, target)
    known = checksums()
    own, others, uses = None, [], {}
    for key in sorted(graph, key=lambda key: purl(packages[key])):
        package = packages[key]
        uses[purl(package)] = sorted(purl(packages[each]) for each in graph[key])
        each = component(package["name"], package["version"], purl(package), expression(package["license"]))
        if package is root:
            own = each
            continue
        each["hashes"] = [{"alg": "SHA-256", "content": known[package["name"], package["version"]]}]
        if package["repository"]:
            each["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        others.append(each)
    for name, version, license_id, reference, user, _ in bundled(arguments, target, packages, graph):
        each = component(name, version, reference, license_id)
        if name == "sqlite":
            each["cpe"] = f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"
        others.append(each)
        uses[purl(packages[user]) if user else own["bom-ref"]].append(reference)
        uses[reference] = []
    return own, others, uses


def inventories(arguments):
    """Returns the same for all targets together, the package first among the components."""
    components, uses = {}, {}
    for target in arguments.target:
        own, others, uses_here = inventory(arguments, target)
        components |= {each["bom-ref"]: each for each in others}
        for reference, used in uses_here.items():
            uses[reference] = sorted({*uses.get(reference, []), *used})
    return own, [own, *(components[reference] for reference in sorted(components))], uses


def write_sbom(arguments):
    own, components, uses = inventories(arguments)
    artefact = Path(arguments.artefact)
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    time = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    uses[artefact.name] = [own["bom-ref"]]
    subject = {
        "type": "file",
        "bom-ref": artefact.name,
        "name": artefact.name,
        "version": own["version"],
        "description": "Sources; a build adds the components." if arguments.sources else "Contains the components.",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": own["licenses"],
    }
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": subject},
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": used} for reference, used in sorted(uses.items())],
    }
    Path(arguments.to).write_text(json.dumps(bill, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True, dest="action")
    for action, function in (("licenses", write_licenses), ("sbom", write_sbom)):
        each = actions.add_parser(action)
        if action == "sbom":
            each.add_argument("artefact")
        each.add_argument("to")
        each.add_argument("--features", default="command")
        each.add_argument("--no-default-features", action="store_true")
        each.add_argument("--target", action="append")
        each.add_argument("--sources", action="store_true")
        each.set_defaults(function=function)
    arguments = parser.parse_args()
    arguments.with_zig = arguments.target is not None
    arguments.target = arguments.target or [host()]
    arguments.function(arguments)


if __name__ == "__main__":
    main()
