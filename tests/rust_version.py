"""Checks that no crate needs a newer Rust than `rust-version` in Cargo.toml, and that one of them needs just that. With
the toolchain of that version installed, also compiles the library and the program with it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def number(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return tuple(parts + [0] * (3 - len(parts)))


def main() -> int:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    own = packages.pop(metadata["resolve"]["root"])["rust_version"]
    needs = {f"{package['name']} {package['version']}": package["rust_version"] for package in packages.values()}
    newer = [
        f"{name} needs Rust {version}" for name, version in needs.items() if version and number(version) > number(own)
    ]
    if newer:
        print(f"rust-version in Cargo.toml is {own}, but:", *sorted(newer), sep="\n  ")
        return 1
    highest = max((version for version in needs.values() if version), key=number)
    if number(highest) < number(own):
        print(f"rust-version in Cargo.toml is {own}; the crates need {highest} only: lower it, or say here why not")
        return 1
    check = ["cargo", f"+{own}", "check", "--quiet", "--locked", "--all-features", "--lib", "--bins"]
    toolchains = subprocess.run(["rustup", "toolchain", "list"], check=False, stdout=subprocess.PIPE, text=True).stdout
    if not any(line.startswith(f"{own}-") for line in toolchains.splitlines()):
        print(f"not compiled with Rust {own}, which is not installed: rustup toolchain install --profile minimal {own}")
        return 0
    return subprocess.run([*check, "--target-dir", "target/rust-version"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
