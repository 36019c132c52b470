"""Checks the bill of materials and the texts of licences: against `cargo tree`, Cargo.lock, the built library, and the
schema of CycloneDX. Needs build/packaging and build/lib."""

import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tomllib
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = ROOT / "build" / "lib" / "libst_secrets.so"
PROGRAM = ["--features", "command"]
SMALL = ["--features", "wiping-allocator", "--no-default-features"]


def output(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


def generated(action, *arguments):
    """Returns what the generator writes."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "out"
        paths = [str(LIBRARY), str(target)] if action == "sbom" else [str(target)]
        output(sys.executable, "packaging/third_party.py", action, *paths, *arguments)
        return target.read_text()


def tree(*arguments):
    """Returns the crates that cargo links, with their versions."""
    edges = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    lines = output("cargo", "tree", "--locked", "--offline", *edges, *arguments).splitlines()
    found = {tuple(line.split()[:2]) for line in lines if line}
    return {(name, version.removeprefix("v")) for name, version in found if name != "st-secrets"}


class Bill(unittest.TestCase):
    def test_of_each_set_of_features_has_the_crates_that_cargo_links(self):
        for features in (PROGRAM, SMALL):
            bill = json.loads(generated("sbom", *features))
            crates = {
                (each["name"], each["version"]) for each in bill["components"] if each["purl"].startswith("pkg:cargo/")
            }
            self.assertEqual(crates - {("st-secrets", bill["components"][0]["version"])}, tree(*features))
        self.assertNotIn("aws-sigv4", {name for name, _ in crates})

    def test_has_no_crate_that_the_build_lacks(self):
        build = "build --release --locked --features command --bin st-secrets --message-format json".split()
        messages = [json.loads(line) for line in output("cargo", *build).splitlines()]
        built = {each["package_id"] for each in messages if each["reason"] == "compiler-artifact"}
        # An identifier is URL#NAME@VERSION, or URL/NAME#VERSION.
        names = {tuple(re.split(r"[/#@]", each)[-2:]) for each in built}
        bill = json.loads(generated("sbom"))["components"]
        crates = {(each["name"], each["version"]) for each in bill if "hashes" in each}
        self.assertLessEqual(crates, names)

    def test_has_the_checksums_of_the_lock_file(self):
        lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock}
        bill = json.loads(generated("sbom"))
        checked = 0
        for each in bill["components"]:
            if "hashes" in each:
                self.assertEqual(each["hashes"][0]["content"], checksums[each["name"], each["version"]])
                checked += 1
        self.assertEqual(checked, len(tree(*PROGRAM)))

    def test_is_valid_and_the_same_each_time(self):
        text = generated("sbom")
        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_5).validate_str(text))
        self.assertEqual(text, generated("sbom"))
        # The checker finds mistakes.
        self.assertIsNotNone(JsonStrictValidator(SchemaVersion.V1_5).validate_str(text.replace('"library"', '"shelf"')))

    def test_names_the_built_in_sqlite_and_the_compilers_library(self):
        components = {each["name"]: each["version"] for each in json.loads(generated("sbom"))["components"]}
        self.assertIn(components["sqlite"].encode(), LIBRARY.read_bytes())
        self.assertIn(components["rust-std"], output("rustc", "--version"))

    @unittest.skipUnless((ROOT / "build" / "zig" / "pins").exists(), "make TARGET=… has installed no Zig")
    def test_of_a_build_with_zig_names_what_its_linker_adds(self):
        names = {}
        for target in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-musl"):
            bill = json.loads(generated("sbom", "--target", target))
            names[target] = {each["name"] for each in bill["components"]}
            self.assertIn("llvm-libunwind", names[target])
        self.assertIn("musl", names["aarch64-unknown-linux-musl"])
        self.assertNotIn("musl", names["x86_64-unknown-linux-gnu"])
        # Of an artefact with builds for several targets.
        several = json.loads(generated("sbom", *(f"--target={target}" for target in names)))
        self.assertEqual({each["name"] for each in several["components"]}, set().union(*names.values()))
        (own,) = (each for each in several["dependencies"] if "/st-secrets@" in each["ref"])
        self.assertIn("musl", {re.split("[/@]", used)[1] for used in own["dependsOn"]})

    def test_refers_to_components_that_it_has(self):
        bill = json.loads(generated("sbom"))
        references = {each["bom-ref"] for each in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
        self.assertEqual({each["ref"] for each in bill["dependencies"]}, references)
        self.assertLessEqual({use for each in bill["dependencies"] for use in each["dependsOn"]}, references)


class Licenses(unittest.TestCase):
    def test_have_a_text_for_each_crate(self):
        text = generated("licenses")
        # Names and text by turns, after the list of all.
        parts = re.split(f"^{'=' * 80}\n", text, flags=re.MULTILINE)[1:]
        sections = list(zip(parts[::2], parts[1::2], strict=True))
        owners = {tuple(owner.split()) for names, _ in sections for owner in names.splitlines()}
        self.assertLessEqual(tree(*PROGRAM), owners)
        for name, version in tree(*PROGRAM):
            size = sum(len(body) for names, body in sections if f"{name} {version}" in names.splitlines())
            self.assertGreater(size, 500, name)
        phrases = {"rust-std": "The Rust Project", "ring": "BoringSSL", "fernet": "Mozilla Public License"}
        for name, phrase in phrases.items():
            bodies = [body for names, body in sections if re.search(rf"^{name} ", names, re.MULTILINE)]
            self.assertTrue(any(phrase in body for body in bodies), name)


if __name__ == "__main__":
    unittest.main()
