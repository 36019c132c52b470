"""Writes what a build is made of: an SBOM (CycloneDX 1.5) and the licences of all crates in it.

    python3 contents.py TARGET FEATURES DIRECTORY

writes DIRECTORY/st-secrets.cdx.json and DIRECTORY/THIRD-PARTY.txt. FEATURES is a list with commas; TARGET is a target of
Rust. Only crates that are compiled into the build for that target are in it, not those for tests and build scripts.
The same source gives the same bytes. A licence that deny.toml does not accept is found by `cargo deny`.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCE = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(target, features):
    """The package itself, the crates that are compiled into it, and what each of these needs."""
    command = "cargo metadata --locked --format-version 1 --filter-platform".split()
    metadata = json.loads(run(*command, target, "--features", features))
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    root = metadata["resolve"]["root"]
    needs = {}
    waiting = [root]
    while waiting:
        package = waiting.pop()
        if package in needs:
            continue
        needs[package] = sorted(
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            # Procedural macros run in the compiler.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            and not any("proc-macro" in part["kind"] for part in packages[dependency["pkg"]]["targets"])
        )
        waiting += needs[package]
    return packages[root], [packages[package] for package in sorted(needs) if package != root], needs


def expression(package):
    # Old crates write A/B.
    return (package["license"] or "").replace("/", " OR ")


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def sqlite(package):
    """SQLite is in the sources of its crate."""
    header = (Path(package["manifest_path"]).parent / "sqlite3" / "sqlite3.h").read_text(encoding="utf-8")
    version = re.search(r'#define SQLITE_VERSION +"([0-9.]+)"', header)[1]
    return {
        "type": "library", "bom-ref": f"pkg:generic/sqlite@{version}", "name": "sqlite", "version": version,
        "licenses": [{"license": {"name": "Public domain"}}], "purl": f"pkg:generic/sqlite@{version}",
    }  # fmt: skip


def component(package, hashes):
    result = {
        "type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"],
        "licenses": [{"expression": expression(package)}], "purl": purl(package),
    }  # fmt: skip
    digest = hashes.get((package["name"], package["version"]))
    if digest:
        result["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"]:
        result["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return result


def sbom(root, packages, needs, target):
    lock = (ROOT / "Cargo.lock").read_text()
    pattern = r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"'
    hashes = {(name, version): digest for name, version, digest in re.findall(pattern, lock)}
    names = {package["id"]: purl(package) for package in [root, *packages]}
    components = [component(package, hashes) for package in packages]
    dependencies = [
        {"ref": names[package], "dependsOn": [names[dependency] for dependency in needs[package]]}
        for package in sorted(needs)
    ]
    embedded = [sqlite(package) for package in packages if package["name"] == "libsqlite3-sys"]
    rust = re.search(r"rustc ([0-9.]+)", run("rustc", "--version"))[1]
    standard = f"pkg:generic/rust-std@{rust}"
    library = {
        "type": "library", "bom-ref": standard, "name": "rust-std", "version": rust,
        "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": standard,
    }  # fmt: skip
    subject = {"type": "library", "bom-ref": purl(root), "name": root["name"], "version": root["version"]}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": subject | {"licenses": [{"expression": expression(root)}], "purl": purl(root)},
            "properties": [{"name": "target", "value": target}],
        },
        "components": [*components, *embedded, library],
        "dependencies": dependencies,
    }


def licences(packages):
    """The texts, each once, with the crates that it is for."""
    texts = {}
    listed = []
    for package in packages:
        listed.append(f"{package['name']} {package['version']}: {expression(package)}")
        directory = Path(package["manifest_path"]).parent
        files = [path for path in sorted(directory.iterdir()) if path.is_file() and LICENCE.match(path.name)]
        if not files:
            # Its authors publish it without the text; the licence is named above, and its text is among the others.
            listed[-1] += f" (no text in the crate; by {', '.join(package['authors']) or package['repository']})"
        for path in files:
            text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()
            digest = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            texts.setdefault(digest, (text, []))[1].append(f"{package['name']} {package['version']}")
    line = "=" * 80
    parts = [f"{line}\n{', '.join(sorted(set(names)))}\n{line}\n\n{text}\n" for text, names in texts.values()]
    head = "st-secrets contains these crates, SQLite, which is in the public domain, and the standard library of Rust\n"
    return head + "(MIT OR Apache-2.0):\n\n" + "\n".join(listed) + "\n\n" + "\n".join(parts)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    target, features, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    root, packages, needs = crates(target, features)
    directory.mkdir(parents=True, exist_ok=True)
    bom = json.dumps(sbom(root, packages, needs, target), indent=1, sort_keys=True)
    (directory / "st-secrets.cdx.json").write_text(bom + "\n")
    (directory / "THIRD-PARTY.txt").write_text(licences(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
